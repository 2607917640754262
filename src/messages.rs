//! What actors, platforms and the hub say to each other. No behaviour beyond the values' own.

pub mod board;
pub mod channel;
pub mod clock;
pub mod event;
pub mod lane;
pub mod memory;
pub mod module;
pub mod module_info;
pub mod operator;
pub mod outbox;
pub mod record;
pub mod recorder;
pub mod replay;
pub mod reply;
pub mod sink;
pub mod spawner;
pub mod streamers;
pub mod table;

pub use board::{Board, PlatformReport};
pub use channel::{ChannelMsg, ChannelReport, ModuleAction, ModuleReport};
pub use clock::Clock;
pub use event::{ChatEvent, Chatter, Delivery, EventClass, EventKind, Line, Source};
pub use lane::{ByteBudget, Lane, Offer, Permit};
pub use memory::{Memory, MemoryReport, Pressure};
pub use module::{CallEnd, CallReport, CommandCall, CustomCommand, EventCall, ModuleMsg};
pub use module_info::{CommandInfo, ModuleInfo};
pub use operator::{NotDelivered, Operator, PartReport};
pub use outbox::{Ends, Once, TakenEnds, Ticket};
pub use record::{EffectResult, EventRecord, RecordedLine, SendState, What};
pub use recorder::{Logged, Recorder};
pub use replay::{ReplayAsk, ReplayPage, Replayed};
pub use reply::{ModerationAction, Reply, ReplyTarget};
pub use sink::{Completion, OutboundReply, ReplySink};
pub use spawner::{ModuleRequest, Spawner};
pub use table::{CommandTable, TableEntry};
