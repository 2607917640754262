//! Which changes this node has followed already: its own are announced at once and come again from the storage.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use storage::{Change, Made};

/// Scopes and kinds remembered at most; forgetting one costs a reading too many, never one too few.
const VERSIONS_MAX: usize = 65_536;

/// The highest version seen of each scope and kind.
#[derive(Debug, Default)]
pub struct Versions(Mutex<HashMap<Change, i64>>);

impl Versions {
    /// Whether nobody has seen this version or a later one yet. Says so once.
    ///
    /// Versions rise in the order of the commits, so whoever read after a later one has read this one too.
    pub fn is_news(&self, made: &Made) -> bool {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= VERSIONS_MAX && !seen.contains_key(&made.change) {
            seen.clear();
        }
        let newest = seen.entry(made.change).or_default();
        let is_news = made.version > *newest;
        *newest = made.version.max(*newest);
        is_news
    }
}

#[cfg(test)]
mod tests {
    use storage::{ChangeKind, ChangeScope};

    use super::*;

    #[test]
    fn a_version_is_news_once_and_an_older_one_never() {
        let versions = Versions::default();
        let made = |version| Made { change: Change::new(ChangeScope::Global, ChangeKind::Commands), version };
        assert!(versions.is_news(&made(2)));
        assert!(!versions.is_news(&made(2)) && !versions.is_news(&made(1)));
        assert!(versions.is_news(&made(3)));
    }
}
