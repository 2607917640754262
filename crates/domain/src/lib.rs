//! Pure values and state machines of waddlebot.
//!
//! Nothing here does I/O, reads a clock or knows an actor: time comes in as an argument, and every rule
//! (levels, cooldowns, breakers, templates) can be tested as a function.

pub mod alias;
pub mod breaker;
pub mod budget_ledger;
pub mod channel;
pub mod command_line;
pub mod cooldown;
pub mod duration;
pub mod ids;
pub mod level;
pub mod names;
pub mod outcome;
pub mod partition;
pub mod platform;
pub mod recent_ids;
pub mod recurrence;
pub mod refusal_text;
pub mod reply_text;
pub mod restart;
pub mod shoutout;
pub mod sliding_window;
pub mod stream_info;
pub mod template;
pub mod when;

pub use alias::AliasError;
pub use breaker::{Admission, AfterCrash, Breaker, BreakerConfig, BreakerState, CallResult, Trip};
pub use budget_ledger::{Booked, BudgetLedger, BudgetTerms, SliceUse};
pub use channel::{ChannelKey, ChannelKeyError};
pub use command_line::CommandLine;
pub use cooldown::{CooldownLeft, CooldownSpec, Cooldowns, SaidOnce};
pub use duration::{DurationError, DurationUnit, human_duration, parse_duration, parse_duration_in};
pub use ids::{ChannelId, CommunityId, CorrelationId, PersonId};
pub use level::Level;
pub use names::NameError;
pub use outcome::{Outcome, Refusal};
pub use partition::{Partition, PartitionSet};
pub use platform::Platform;
pub use recent_ids::RecentIds;
pub use recurrence::{Recurrence, RecurrenceError};
pub use restart::{Backoff, RestartPolicy, Restarts, Verdict};
pub use shoutout::{ShoutoutProfile, ShoutoutTemplate, ShoutoutTemplateError};
pub use sliding_window::SlidingWindow;
pub use stream_info::StreamInfo;
pub use template::{Template, TemplateError, Values};
pub use when::{WhenError, parse_when, parse_zone};
