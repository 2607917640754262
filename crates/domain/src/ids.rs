//! Newtypes for the ids that cross function boundaries.

use std::fmt;

use serde::{Deserialize, Serialize};
use ulid::Ulid;

/// Defines a newtype over a ULID, stored and shown as its 26 characters.
macro_rules! ulid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Ulid);

        impl $name {
            /// Reads the 26-character form. `None` when the text is not a ULID.
            pub fn parse(text: &str) -> Option<Self> {
                Ulid::from_string(text).ok().map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    };
}

ulid_id!(
    /// A channel's id: ours, never changes, whatever the platform renames.
    ChannelId
);
ulid_id!(
    /// A community: one streamer or group with its channels on several platforms.
    CommunityId
);
ulid_id!(
    /// A person: begins as one platform account; linking accounts repoints it.
    PersonId
);
ulid_id!(
    /// Follows one request or chat line through every log line, hop and answer.
    CorrelationId
);
