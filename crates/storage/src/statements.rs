//! Every SQL text of the program, for the test that prepares each on both databases.

use crate::db::{self, Statement};
use crate::{
    aliases, audit, bot_accounts, changes, channels, commands, communities, cooldowns, counters, migrate,
    module_states, outbox, persons, presence, roles, settings, timers, unit_of_work,
};

/// The lists of all files.
#[cfg_attr(not(test), expect(dead_code, reason = "read by the tests below; kept beside the files it lists"))]
pub(crate) const ALL: &[&[&Statement]] = &[
    db::STATEMENTS,
    db::replicas::STATEMENTS,
    migrate::STATEMENTS,
    unit_of_work::STATEMENTS,
    aliases::STATEMENTS,
    audit::STATEMENTS,
    bot_accounts::STATEMENTS,
    changes::STATEMENTS,
    channels::STATEMENTS,
    commands::STATEMENTS,
    communities::STATEMENTS,
    cooldowns::STATEMENTS,
    counters::STATEMENTS,
    module_states::STATEMENTS,
    outbox::STATEMENTS,
    persons::STATEMENTS,
    presence::STATEMENTS,
    roles::STATEMENTS,
    settings::STATEMENTS,
    timers::STATEMENTS,
];
