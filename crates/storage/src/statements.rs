//! Every SQL text of the program, for the test that prepares each on both databases.

use crate::db::{self, Statement};
use crate::{
    aliases, audit, bookmarks, bot_accounts, budgets, changes, channels, cluster, commands, communities,
    cooldowns, counters, event_log, migrate, module_states, outbox, persons, pins, presence, queue, quotes,
    recordings, reminders, roles, settings, suspects, timers, unit_of_work,
};

/// The lists of all files.
#[cfg_attr(not(test), expect(dead_code, reason = "read by the tests below; kept beside the files it lists"))]
pub(crate) const ALL: &[&[&Statement]] = &[
    db::STATEMENTS,
    db::replicas::STATEMENTS,
    migrate::STATEMENTS,
    unit_of_work::STATEMENTS,
    unit_of_work::FENCE_STATEMENTS,
    aliases::STATEMENTS,
    audit::STATEMENTS,
    bookmarks::STATEMENTS,
    bookmarks::SUMMARY_STATEMENTS,
    bot_accounts::STATEMENTS,
    budgets::STATEMENTS,
    changes::STATEMENTS,
    channels::STATEMENTS,
    cluster::LEASE_STATEMENTS,
    cluster::NODE_STATEMENTS,
    cluster::OWNER_STATEMENTS,
    cluster::REPORT_STATEMENTS,
    cluster::VIEW_STATEMENTS,
    commands::STATEMENTS,
    communities::STATEMENTS,
    cooldowns::STATEMENTS,
    counters::STATEMENTS,
    event_log::STATEMENTS,
    module_states::STATEMENTS,
    outbox::STATEMENTS,
    persons::STATEMENTS,
    pins::STATEMENTS,
    presence::STATEMENTS,
    queue::STATEMENTS,
    queue::CLAIM_STATEMENTS,
    queue::OPERATE_STATEMENTS,
    quotes::STATEMENTS,
    quotes::SUMMARY_STATEMENTS,
    quotes::VOTE_STATEMENTS,
    recordings::STATEMENTS,
    reminders::STATEMENTS,
    reminders::DUE_STATEMENTS,
    roles::STATEMENTS,
    settings::STATEMENTS,
    suspects::STATEMENTS,
    timers::STATEMENTS,
];
