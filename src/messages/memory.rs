//! How near the process is to its memory ceiling. A sampler of the supervision notes it, everybody else reads it: one
//! atomic load an event, no lock.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use serde::Serialize;

use super::EventClass;

/// From here on, in percent of the ceiling, plain chat is shed.
const CHAT_FROM_PERCENT: u64 = 85;
/// From here on commands are shed too.
const COMMANDS_FROM_PERCENT: u64 = 95;
/// A level ends this far below where it began, so that it does not flap.
const HYSTERESIS_PERCENT: u64 = 5;

/// What is shed because memory is short, from nothing up. Moderation and control never are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Pressure {
    #[default]
    None,
    /// Plain chat, which modules would only have listened to.
    Chat,
    /// Commands and events of the stream too.
    Commands,
}

impl Pressure {
    const LEVELS: [Self; 3] = [Self::None, Self::Chat, Self::Commands];

    /// The name in `/api/v1/status` and the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Chat => "chat",
            Self::Commands => "commands",
        }
    }

    /// Where it begins, in percent of the ceiling.
    const fn begins_at_percent(self) -> u64 {
        match self {
            Self::None => 0,
            Self::Chat => CHAT_FROM_PERCENT,
            Self::Commands => COMMANDS_FROM_PERCENT,
        }
    }

    /// The level at `rss_bytes` of `ceiling_bytes`, coming from this one.
    fn after(self, rss_bytes: u64, ceiling_bytes: u64) -> Self {
        let reaches = |level: &Self| {
            let kept = if *level <= self { HYSTERESIS_PERCENT } else { 0 };
            let percent = level.begins_at_percent().saturating_sub(kept);
            rss_bytes.saturating_mul(100) >= ceiling_bytes.saturating_mul(percent)
        };
        Self::LEVELS.into_iter().rev().find(reaches).unwrap_or_default()
    }
}

/// The memory of the process as the sampler last saw it.
#[derive(Debug, Default)]
pub struct Memory {
    /// What nothing may pass. `None`: no ceiling, nothing is ever shed.
    ceiling_bytes: Option<u64>,
    rss_bytes: AtomicU64,
    pressure: AtomicU8,
}

/// What `/api/v1/status` shows of it.
#[derive(Clone, Debug, Serialize)]
pub struct MemoryReport {
    pub rss_bytes: u64,
    /// `None`: no ceiling.
    pub ceiling_bytes: Option<u64>,
    /// What is shed: `none`, `chat` or `commands`.
    pressure: &'static str,
}

impl Memory {
    /// Sheds as `ceiling_bytes` comes near.
    pub const fn with_ceiling(ceiling_bytes: Option<u64>) -> Self {
        Self { ceiling_bytes, rss_bytes: AtomicU64::new(0), pressure: AtomicU8::new(0) }
    }

    /// Notes how much the process has resident now. The levels before and after, when they differ. One caller only.
    pub fn note(&self, rss_bytes: u64) -> Option<(Pressure, Pressure)> {
        self.rss_bytes.store(rss_bytes, Ordering::Relaxed);
        let before = self.pressure();
        let after = before.after(rss_bytes, self.ceiling_bytes?);
        self.pressure.store(after as u8, Ordering::Relaxed);
        (before != after).then_some((before, after))
    }

    pub fn pressure(&self) -> Pressure {
        Pressure::LEVELS[usize::from(self.pressure.load(Ordering::Relaxed)).min(Pressure::LEVELS.len() - 1)]
    }

    /// Whether events of that class are not taken now.
    pub fn sheds(&self, class: EventClass) -> bool {
        match class {
            EventClass::Chat => self.pressure() >= Pressure::Chat,
            EventClass::Command => self.pressure() >= Pressure::Commands,
            EventClass::Moderation | EventClass::Control => false,
        }
    }

    pub const fn ceiling_bytes(&self) -> Option<u64> {
        self.ceiling_bytes
    }

    pub fn report(&self) -> MemoryReport {
        MemoryReport {
            rss_bytes: self.rss_bytes.load(Ordering::Relaxed),
            ceiling_bytes: self.ceiling_bytes,
            pressure: self.pressure().as_str(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MIB: u64 = 1 << 20;

    /// The levels at these percentages of the ceiling, one after the other.
    fn levels(percents: &[u64]) -> Vec<Pressure> {
        let memory = Memory::with_ceiling(Some(200 * MIB));
        let level = |percent: &u64| {
            memory.note(percent * 2 * MIB);
            memory.pressure()
        };
        percents.iter().map(level).collect()
    }

    #[test]
    fn chat_is_shed_from_85_percent_and_commands_from_95() {
        use Pressure::{Chat, Commands, None};
        assert_eq!(
            levels(&[0, 84, 85, 94, 95, 100, 300]),
            [None, None, Chat, Chat, Commands, Commands, Commands]
        );
        assert_eq!(levels(&[99, 10]), [Commands, None], "a level may be skipped, up and down");
    }

    #[test]
    fn a_level_ends_five_points_below_where_it_began() {
        use Pressure::{Chat, Commands, None};
        assert_eq!(
            levels(&[95, 94, 90, 89, 94, 80, 79, 84]),
            [Commands, Commands, Commands, Chat, Chat, Chat, None, None]
        );
    }

    #[test]
    fn a_change_is_told_once() {
        let memory = Memory::with_ceiling(Some(100 * MIB));
        assert_eq!(memory.note(50 * MIB), None);
        assert_eq!(memory.note(96 * MIB), Some((Pressure::None, Pressure::Commands)));
        assert_eq!(memory.note(97 * MIB), None);
        assert_eq!(memory.note(85 * MIB), Some((Pressure::Commands, Pressure::Chat)));
        assert_eq!(memory.report().rss_bytes, 85 * MIB);
    }

    #[test]
    fn without_a_ceiling_nothing_is_shed_and_the_size_is_known_all_the_same() {
        let memory = Memory::default();
        assert_eq!(memory.note(u64::MAX), None);
        assert!(!memory.sheds(EventClass::Chat));
        assert_eq!(memory.report().rss_bytes, u64::MAX);
    }

    proptest! {
        #[test]
        fn moderation_and_control_are_never_shed_and_commands_only_after_chat(
            samples in prop::collection::vec(0..400_u64, 1..50)
        ) {
            let memory = Memory::with_ceiling(Some(100 * MIB));
            for sample in samples {
                memory.note(sample * MIB);
                prop_assert!(!memory.sheds(EventClass::Moderation) && !memory.sheds(EventClass::Control));
                prop_assert!(memory.sheds(EventClass::Chat) || !memory.sheds(EventClass::Command));
                prop_assert!(memory.sheds(EventClass::Command) || sample < 95);
            }
        }
    }
}
