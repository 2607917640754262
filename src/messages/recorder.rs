//! Where everybody notes what happened: a slab of the node's newest records. A note is one push behind a short lock; the
//! log's writer takes what is new from here to the store.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use domain::ChannelId;
use foldhash::fast::RandomState;
use storage::event_log::{EVENT_ID_STEP, event_id, event_time};

use super::Clock;
use super::record::{EventRecord, What};

/// What all records of the node may take; beyond it the oldest go.
pub const SLAB_BYTES_MAX: usize = 32 << 20;

/// A record with its id and time.
#[derive(Clone, Debug)]
pub struct Logged {
    pub id: i64,
    pub record: Arc<EventRecord>,
}

impl Logged {
    pub fn at(&self) -> DateTime<Utc> {
        event_time(self.id)
    }
}

#[derive(Debug, Default)]
struct Slab {
    /// In the order of their ids.
    records: VecDeque<Logged>,
    bytes: usize,
    last_id: i64,
    /// So many at the end are not in the store yet.
    n_unwritten: usize,
    /// Went before the store had them, and no mark tells so yet.
    n_lost: u64,
    /// Up to this id nothing is here any more.
    gone_to: i64,
}

/// What a follower finds: see [`Recorder::after`].
#[derive(Debug)]
pub struct Found {
    /// The oldest first.
    pub records: Vec<Logged>,
    /// Where the next look begins.
    pub seen_to: i64,
    /// False when records after the last look went before this one.
    pub is_whole: bool,
}

/// The node's memory of what happened.
#[derive(Debug)]
pub struct Recorder {
    clock: Clock,
    /// Tells ids of this node from others'.
    node: u32,
    is_on: bool,
    bytes_max: usize,
    slab: Mutex<Slab>,
    /// Lines shed since the last look; at most one entry a channel and reason.
    sheds: Mutex<HashMap<(ChannelId, &'static str), u64, RandomState>>,
}

impl Default for Recorder {
    fn default() -> Self {
        Self::new(Clock::System, "", true)
    }
}

impl Recorder {
    /// An empty memory; one that is not on keeps nothing.
    pub fn new(clock: Clock, node_id: &str, is_on: bool) -> Self {
        // FNV-1a: the same for one node at every start.
        let node = node_id
            .bytes()
            .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        let (slab, sheds) = (Mutex::default(), Mutex::default());
        Self { clock, node, is_on, bytes_max: SLAB_BYTES_MAX, slab, sheds }
    }

    pub const fn is_on(&self) -> bool {
        self.is_on
    }

    /// Notes one thing that happened, now.
    pub fn note(&self, record: EventRecord) {
        if !self.is_on {
            return;
        }
        let (id, bytes) = (event_id(self.clock.now(), self.node), record.bytes());
        let record = Arc::new(record);
        let mut gone = Vec::new();
        let mut slab = lock(&self.slab);
        let id = id.max(slab.last_id + EVENT_ID_STEP);
        slab.last_id = id;
        slab.bytes += bytes;
        slab.n_unwritten += 1;
        slab.records.push_back(Logged { id, record });
        while slab.bytes > self.bytes_max {
            let Some(oldest) = slab.records.pop_front() else { break };
            slab.bytes -= oldest.record.bytes();
            if slab.records.len() < slab.n_unwritten {
                slab.n_unwritten -= 1;
                slab.n_lost += 1;
            }
            slab.gone_to = oldest.id;
            gone.push(oldest);
        }
        drop(slab);
    }

    /// Counts one line that found no room; a burst becomes one record a second and channel.
    pub fn shed(&self, channel_id: ChannelId, reason: &'static str) {
        if self.is_on {
            *lock(&self.sheds).entry((channel_id, reason)).or_default() += 1;
        }
    }

    /// Notes the bursts so far, and what was lost. The writer calls it each second.
    pub fn close_bursts(&self) {
        let sheds = std::mem::take(&mut *lock(&self.sheds));
        for ((channel_id, reason), count) in sheds {
            self.note(EventRecord::about(Some(channel_id), What::Shed { reason: reason.into(), count }));
        }
        let count = std::mem::take(&mut lock(&self.slab).n_lost);
        if count > 0 {
            metrics::counter!("waddlebot_event_records_lost_total").increment(count);
            self.note(EventRecord::about(None, What::Lost { count }));
        }
    }

    /// The oldest records that the store does not have, at most `max`; they count as unwritten until
    /// [`Recorder::written`].
    pub fn unwritten(&self, max: usize) -> Vec<Logged> {
        let slab = lock(&self.slab);
        let first = slab.records.len() - slab.n_unwritten;
        slab.records.range(first..).take(max).cloned().collect()
    }

    /// The store has everything up to this id.
    pub fn written(&self, id: i64) {
        let mut slab = lock(&self.slab);
        let first = slab.records.len() - slab.n_unwritten;
        let n_written = slab.records.range(first..).take_while(|logged| logged.id <= id).count();
        slab.n_unwritten -= n_written;
    }

    /// These were given up before the store had them.
    pub fn lose(&self, count: usize) {
        lock(&self.slab).n_lost += count as u64;
    }

    /// The newest records within a range of ids that `wanted` picks, the newest first.
    pub fn newest(&self, ids: Range<i64>, max: usize, wanted: impl Fn(&EventRecord) -> bool) -> Vec<Logged> {
        let slab = lock(&self.slab);
        let [first, end] =
            [ids.start, ids.end].map(|id| slab.records.partition_point(|logged| logged.id < id));
        let found = slab.records.range(first..end.max(first)).rev().filter(|logged| wanted(&logged.record));
        found.take(max).cloned().collect()
    }

    /// The records after an id, which are to come next for who follows the node; looks at `max` at most.
    pub fn after(&self, id: i64, max: usize) -> Found {
        let slab = lock(&self.slab);
        let first = slab.records.partition_point(|logged| logged.id <= id);
        let records: Vec<_> = slab.records.range(first..).take(max).cloned().collect();
        let seen_to = records.last().map_or(id.max(slab.gone_to), |logged| logged.id);
        Found { records, seen_to, is_whole: slab.gone_to <= id }
    }

    /// Bytes that all records take, about.
    pub fn bytes(&self) -> usize {
        lock(&self.slab).bytes
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small(bytes_max: usize) -> Recorder {
        Recorder { bytes_max, ..Recorder::default() }
    }

    fn started(n: usize) -> EventRecord {
        EventRecord::about(None, What::Started { node_id: n.to_string().into() })
    }

    #[test]
    fn the_slab_is_bounded_the_oldest_go_and_what_the_store_lacks_is_marked() {
        let recorder = small(10_000);
        for n in 0..1_000 {
            recorder.note(started(n));
        }
        assert!(recorder.bytes() <= 10_000, "{}", recorder.bytes());
        let kept = recorder.unwritten(usize::MAX);
        let n_kept = kept.len();
        assert!(n_kept < 100 && n_kept > 20, "{n_kept}");
        assert_eq!(*kept.last().unwrap().record, started(999), "the newest stays");
        recorder.close_bursts();
        let marks = recorder.newest(0..i64::MAX, 10, |record| matches!(record.what, What::Lost { .. }));
        let What::Lost { count } = marks[0].record.what else { panic!("no mark") };
        assert_eq!(usize::try_from(count).unwrap() + n_kept, 1_000);
    }

    #[test]
    fn what_is_written_is_not_written_again_and_can_still_be_read() {
        let recorder = Recorder::default();
        (0..5).for_each(|n| recorder.note(started(n)));
        let first = recorder.unwritten(3);
        recorder.written(first[2].id);
        assert_eq!(recorder.unwritten(10).len(), 2);
        assert_eq!(recorder.newest(0..i64::MAX, 10, |_| true).len(), 5);
        assert_eq!(recorder.newest(0..first[2].id, 10, |_| true).len(), 2);
        let ids: Vec<_> = recorder.newest(0..i64::MAX, 10, |_| true).iter().map(|logged| logged.id).collect();
        assert!(ids.is_sorted_by(|a, b| a > b), "ids grow");
    }

    #[test]
    fn who_follows_sees_each_record_once_in_order_and_is_told_of_what_went_unseen() {
        let recorder = small(10_000);
        (0..20).for_each(|n| recorder.note(started(n)));
        let first = recorder.after(0, 15);
        assert_eq!((first.records.len(), first.is_whole), (15, true));
        let rest = recorder.after(first.seen_to, 15);
        assert_eq!((rest.records.len(), rest.is_whole), (5, true));
        assert_eq!(*rest.records[0].record, started(15));
        let none = recorder.after(rest.seen_to, 15);
        assert_eq!((none.records.len(), none.seen_to, none.is_whole), (0, rest.seen_to, true));

        (20..1_000).for_each(|n| recorder.note(started(n)));
        let late = recorder.after(rest.seen_to, 1_000);
        assert!(!late.is_whole && late.records.len() < 100);
        assert!(recorder.after(late.seen_to, 1_000).is_whole, "told once");
    }

    #[test]
    fn a_burst_is_one_record_with_the_exact_count() {
        let recorder = Recorder::default();
        let id = ChannelId(ulid::Ulid::nil());
        (0..12_345).for_each(|_| recorder.shed(id, "channel_full"));
        recorder.close_bursts();
        recorder.close_bursts();
        let all = recorder.newest(0..i64::MAX, 10, |_| true);
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].record.what, What::Shed { reason: "channel_full".into(), count: 12_345 });
    }

    #[test]
    fn a_log_that_is_off_keeps_nothing() {
        let recorder = Recorder::new(Clock::System, "n", false);
        recorder.note(started(1));
        recorder.shed(ChannelId(ulid::Ulid::nil()), "memory");
        recorder.close_bursts();
        assert_eq!(recorder.bytes(), 0);
    }

    /// What a command costs more is a few of these; printed for who runs it by hand, bounded so that it cannot rot.
    #[test]
    fn a_note_takes_microseconds_at_most() {
        let recorder = Recorder::default();
        let started_at = std::time::Instant::now();
        for n in 0..100_000 {
            recorder.note(started(n));
        }
        let each = started_at.elapsed() / 100_000;
        println!("one note: {each:?}");
        assert!(each < std::time::Duration::from_micros(50), "{each:?}");
    }
}
