//! Which command waits for its reply, and what the replies showed.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use fake_twitch::Received;

/// Commands that are remembered; a reply to an older one counts as doubled.
const COMMANDS_MAX: usize = 8_000_000;
/// What stands before the number of a command in its reply.
const MARK: &str = "bench-";

/// How the replies matched the commands.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) commands: u64,
    pub(crate) answered: u64,
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
    /// Answered in another channel.
    pub(crate) misrouted: u64,
    /// Answered after a later command of the same channel.
    pub(crate) disordered: u64,
}

impl Tally {
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            commands: self.commands + other.commands,
            answered: self.answered + other.answered,
            lost: self.lost + other.lost,
            doubled: self.doubled + other.doubled,
            misrouted: self.misrouted + other.misrouted,
            disordered: self.disordered + other.disordered,
        }
    }
}

/// What a command was said for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    /// Every reply is awaited.
    Measured,
    /// Too many to be answered; none is awaited.
    Flood,
    /// In a channel beside the flooded one, on its connection.
    SameConnection,
}

/// A command that was answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    pub(crate) group: Group,
    pub(crate) due: Instant,
    pub(crate) waited: Duration,
}

#[derive(Clone, Copy)]
struct Asked {
    /// Since the ledger was made; smaller than an `Instant`, of which there are millions.
    due_ns: u64,
    channel: u32,
    group: Group,
    is_answered: bool,
}

/// The commands in the order of their numbers.
pub(crate) struct Ledger {
    made_at: Instant,
    asked: VecDeque<Asked>,
    /// Number of the first that is remembered.
    first: u64,
    n_pending: usize,
    /// The latest command answered in each channel.
    latest: Vec<u64>,
    pub(crate) last_reply_at: Instant,
    pub(crate) answers: Vec<Answer>,
    pub(crate) tally: Tally,
}

impl Ledger {
    pub(crate) fn new(n_channels: usize) -> Self {
        let now = Instant::now();
        Self {
            made_at: now,
            asked: VecDeque::new(),
            first: 1,
            n_pending: 0,
            latest: vec![0; n_channels],
            last_reply_at: now,
            answers: Vec::new(),
            tally: Tally::default(),
        }
    }

    /// Awaits nothing that was asked before.
    pub(crate) fn begin(&mut self) -> Instant {
        for asked in &mut self.asked {
            // Late replies to these are no doubled ones, and nobody waits for them.
            asked.group = Group::Flood;
        }
        self.n_pending = 0;
        self.answers.clear();
        self.tally = Tally::default();
        self.last_reply_at = Instant::now();
        self.last_reply_at
    }

    pub(crate) fn n_pending(&self) -> usize {
        self.n_pending
    }

    /// The number that the next command asked will have.
    pub(crate) fn next_command(&self) -> u64 {
        self.first + self.asked.len() as u64
    }

    /// Notes the command that has just been said.
    pub(crate) fn ask(&mut self, channel: usize, due: Instant, group: Group) {
        if self.asked.len() == COMMANDS_MAX {
            self.forget_oldest();
        }
        let due_ns =
            u64::try_from(due.saturating_duration_since(self.made_at).as_nanos()).unwrap_or(u64::MAX);
        let channel = u32::try_from(channel).unwrap_or(u32::MAX);
        self.asked.push_back(Asked { due_ns, channel, group, is_answered: false });
        self.tally.commands += 1;
        self.n_pending += usize::from(group != Group::Flood);
        // Before the first that is open nothing can come but a doubled reply, which needs no memory of it.
        while self.asked.front().is_some_and(|asked| asked.is_answered) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some(oldest) = self.asked.pop_front() {
            self.first += 1;
            self.n_pending -= usize::from(!oldest.is_answered && oldest.group != Group::Flood);
        }
    }

    /// Takes in a reply; `login` names a channel of the load.
    pub(crate) fn take<'a>(&mut self, reply: &Received, login: impl FnOnce(usize) -> &'a str) {
        let mut words = reply.text.split(' ');
        let Some(number) = words.find_map(|word| word.strip_prefix(MARK)?.parse::<u64>().ok()) else {
            return;
        };
        self.last_reply_at = reply.at;
        let position = number.checked_sub(self.first).and_then(|place| usize::try_from(place).ok());
        let asked = position.and_then(|place| self.asked.get_mut(place)).filter(|asked| !asked.is_answered);
        let Some(asked) = asked else {
            self.tally.doubled += 1;
            return;
        };
        asked.is_answered = true;
        let channel = asked.channel as usize;
        let due = self.made_at + Duration::from_nanos(asked.due_ns);
        let waited = reply.at.saturating_duration_since(due);
        self.answers.push(Answer { group: asked.group, due, waited });
        self.n_pending -= usize::from(asked.group != Group::Flood);
        self.tally.answered += 1;
        self.tally.misrouted += u64::from(login(channel) != reply.channel_login);
        self.tally.disordered += u64::from(self.latest[channel] > number);
        self.latest[channel] = self.latest[channel].max(number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGINS: [&str; 2] = ["first", "second"];

    fn reply(channel_login: &str, text: &str) -> Received {
        Received {
            seq: 0,
            channel_login: channel_login.to_owned(),
            login: "waddlebot".to_owned(),
            text: text.to_owned(),
            reply_parent: None,
            at: Instant::now(),
            connection: 0,
        }
    }

    fn ledger_with(n_commands: usize) -> Ledger {
        let mut ledger = Ledger::new(2);
        ledger.begin();
        (0..n_commands).for_each(|_| ledger.ask(0, Instant::now(), Group::Measured));
        ledger
    }

    #[test]
    fn each_command_is_answered_once() {
        let mut ledger = ledger_with(2);
        for text in ["bench-1", "bench-2 xxx", "bench-2", "bench-9", "no number"] {
            ledger.take(&reply("first", text), |channel| LOGINS[channel]);
        }
        assert_eq!((ledger.tally.answered, ledger.tally.doubled, ledger.n_pending()), (2, 2, 0));
        assert_eq!((ledger.tally.misrouted, ledger.tally.disordered), (0, 0));
    }

    #[test]
    fn wrong_channels_and_wrong_orders_are_seen() {
        let mut ledger = ledger_with(3);
        ledger.take(&reply("first", "bench-2"), |channel| LOGINS[channel]);
        ledger.take(&reply("first", "bench-1"), |channel| LOGINS[channel]);
        ledger.take(&reply("second", "bench-3"), |channel| LOGINS[channel]);
        assert_eq!((ledger.tally.misrouted, ledger.tally.disordered), (1, 1));
    }

    #[test]
    fn a_flood_is_not_awaited() {
        let mut ledger = ledger_with(1);
        ledger.ask(1, Instant::now(), Group::Flood);
        assert_eq!(ledger.n_pending(), 1);
        ledger.take(&reply("second", "bench-2"), |channel| LOGINS[channel]);
        assert_eq!((ledger.n_pending(), ledger.tally.answered), (1, 1));
    }
}
