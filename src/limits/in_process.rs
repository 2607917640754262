//! Windows in this process: what is left when Redis is not there.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use domain::SlidingWindow;
use tokio::time::Instant;

use super::{Exceeded, Limit};

/// Windows of one node; callers beyond share one, so that inventing keys neither fills the memory nor opens the limit.
const KEYS_MAX: usize = 1_024;

/// The key of those who share one window.
const OVERFLOW: &str = "";

type Key = (&'static str, String);

/// A node that went may have taken its share within a window that began before: it counts for this long at most.
const GONE_COUNTS_MAX: Duration = Duration::from_hours(1);

/// Among how many nodes a limit is divided.
#[derive(Clone, Copy, Debug)]
struct Sharing {
    n_nodes: u32,
    since: Instant,
    /// The most that it were shortly before.
    n_before: u32,
}

impl Sharing {
    /// A share grows only a window after a node went.
    fn share(&self, limit: &Limit, now: Instant) -> u32 {
        let is_settled = now - self.since >= limit.window.min(GONE_COUNTS_MAX);
        limit.slots / if is_settled { self.n_nodes } else { self.n_nodes.max(self.n_before) }
    }
}

/// The windows of this process, exact, each with the node's share of its limit.
pub(super) struct LocalWindows {
    sharing: Mutex<Sharing>,
    windows: Mutex<HashMap<Key, SlidingWindow>>,
}

impl LocalWindows {
    pub fn new(n_nodes: u32) -> Self {
        let sharing = Sharing { n_nodes: n_nodes.max(1), since: Instant::now(), n_before: 0 };
        Self { sharing: Mutex::new(sharing), windows: Mutex::default() }
    }

    /// So many nodes divide the limits from now on.
    pub fn set_nodes(&self, n_nodes: u32) {
        let (now, n_nodes) = (Instant::now(), n_nodes.max(1));
        let mut sharing = self.sharing.lock().unwrap_or_else(PoisonError::into_inner);
        if sharing.n_nodes != n_nodes {
            let lately = if now - sharing.since < GONE_COUNTS_MAX { sharing.n_before } else { 0 };
            let was = if sharing.n_nodes == u32::MAX { 0 } else { sharing.n_nodes };
            *sharing = Sharing { n_nodes, since: now, n_before: lately.max(was) };
        }
    }

    /// Takes a slot of this node's share. What was taken before `since`, elsewhere, counts as all of it.
    pub fn take(&self, limit: &Limit, key: &str, since: Option<Instant>) -> Result<(), Exceeded> {
        let now = Instant::now();
        let spent = since.map_or(Duration::ZERO, |since| limit.window.saturating_sub(now - since));
        let share = self.sharing.lock().unwrap_or_else(PoisonError::into_inner).share(limit, now);
        if spent > Duration::ZERO || share == 0 {
            return Err(Exceeded { retry_after: if share == 0 { limit.window } else { spent } });
        }
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let key = place(&mut windows, limit.resource, key, now);
        let window = windows.entry(key).or_insert_with(|| SlidingWindow::new(share, limit.window));
        window.set_limit(share);
        window.try_take(now.into_std()).map_err(|retry_after| Exceeded { retry_after })
    }

    /// Time until this node's share of that key has a slot. `None`: it has one.
    pub fn free_at(&self, limit: &Limit, key: &str) -> Option<Duration> {
        let now = Instant::now().into_std();
        let windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let window = |key: &str| windows.get(&(limit.resource, key.to_owned()));
        let shared = || if windows.len() < KEYS_MAX { None } else { window(OVERFLOW) };
        window(key).or_else(shared)?.free_at(now)
    }
}

/// The key itself, or the shared one when there is no room for it.
fn place(windows: &mut HashMap<Key, SlidingWindow>, resource: &'static str, key: &str, now: Instant) -> Key {
    let own = (resource, key.to_owned());
    if windows.len() < KEYS_MAX || windows.contains_key(&own) {
        return own;
    }
    windows.retain(|_, window| !window.is_idle(now.into_std()));
    if windows.len() < KEYS_MAX { own } else { (resource, OVERFLOW.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Limit = Limit { resource: "test", slots: 7, window: Duration::from_mins(1) };

    fn n_taken(windows: &LocalWindows, key: &str, since: Option<Instant>) -> usize {
        (0..20).filter(|_| windows.take(&LIMIT, key, since).is_ok()).count()
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_takes_its_share_and_no_more() {
        for (n_nodes, share) in [(1, 7), (2, 3), (7, 1), (8, 0)] {
            assert_eq!(n_taken(&LocalWindows::new(n_nodes), "k", None), share, "{n_nodes} nodes");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_share_shrinks_at_once_and_grows_a_window_after_a_node_went() {
        let windows = LocalWindows::new(u32::MAX);
        assert_eq!(n_taken(&windows, "k", None), 0, "nobody is known yet");
        windows.set_nodes(2);
        assert_eq!(n_taken(&windows, "k", None), 3);
        windows.set_nodes(3);
        assert_eq!((n_taken(&windows, "k", None), n_taken(&windows, "other", None)), (0, 2));
        windows.set_nodes(1);
        assert_eq!(n_taken(&windows, "third", None), 2, "the others' last window is not over");
        tokio::time::advance(LIMIT.window).await;
        assert_eq!((n_taken(&windows, "k", None), n_taken(&windows, "third", None)), (7, 7));
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_switch_the_window_counts_as_spent_once() {
        let (windows, since) = (LocalWindows::new(1), Instant::now());
        assert_eq!(n_taken(&windows, "k", Some(since)), 0);
        tokio::time::advance(LIMIT.window.saturating_sub(Duration::from_millis(1))).await;
        assert_eq!(n_taken(&windows, "k", Some(since)), 0);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(n_taken(&windows, "k", Some(since)), 7);
        assert_eq!(windows.free_at(&LIMIT, "k"), Some(LIMIT.window));
        assert_eq!(windows.free_at(&LIMIT, "other"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn more_keys_than_there_is_room_for_share_one_window() {
        let windows = LocalWindows::new(1);
        for n in 0..KEYS_MAX {
            assert!(windows.take(&LIMIT, &n.to_string(), None).is_ok());
        }
        let beyond = (0..1_000).filter(|n| windows.take(&LIMIT, &format!("late-{n}"), None).is_ok()).count();
        assert_eq!(beyond, 7);
        assert!(windows.windows.lock().unwrap().len() <= KEYS_MAX + 1);
        tokio::time::advance(LIMIT.window).await;
        assert_eq!(n_taken(&windows, "late-0", None), 7, "idle windows make room");
    }
}
