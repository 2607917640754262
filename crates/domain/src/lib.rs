//! Pure values and state machines of waddlebot.
//!
//! Nothing here does I/O, reads a clock or knows an actor: time comes in as an argument, and every rule
//! (levels, cooldowns, breakers, templates) can be tested as a function.

pub mod breaker;
pub mod channel;
pub mod command_line;
pub mod cooldown;
pub mod ids;
pub mod level;
pub mod outcome;
pub mod platform;
pub mod refusal_text;
pub mod reply_text;
pub mod restart;
pub mod sliding_window;

pub use breaker::{Admission, AfterCrash, Breaker, BreakerConfig, BreakerState, CallResult};
pub use channel::{ChannelKey, ChannelKeyError};
pub use command_line::CommandLine;
pub use cooldown::{CooldownLeft, CooldownSpec, Cooldowns, SaidOnce};
pub use ids::{ChannelId, CommunityId, CorrelationId, PersonId};
pub use level::Level;
pub use outcome::{Outcome, Refusal};
pub use platform::Platform;
pub use restart::{Backoff, RestartPolicy, Restarts, Verdict};
pub use sliding_window::SlidingWindow;
