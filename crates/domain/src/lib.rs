//! Pure values and state machines of waddlebot.
//!
//! Nothing here does I/O, reads a clock or knows an actor: time comes in as an argument, and every rule
//! (levels, cooldowns, breakers, templates) can be tested as a function.

pub mod channel;
pub mod ids;
pub mod level;
pub mod outcome;
pub mod platform;

pub use channel::{ChannelKey, ChannelKeyError};
pub use ids::{ChannelId, CommunityId, CorrelationId, PersonId};
pub use level::Level;
pub use outcome::{Outcome, Refusal};
pub use platform::Platform;
