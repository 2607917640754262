//! Which module is being polled, and since when: for the watchdog, and for whoever starts after this process fell.
//!
//! A busy loop in a module cannot be interrupted, only noticed, and a stack that overflows is not even that. So each
//! poll takes a free place in a mapped file, names its module there and clears it afterwards: some stores into one
//! line of the cache. The file outlives the process; [`Fallen::read`] says what it tells of the last one.

use std::fs;
use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering, fence};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use domain::ChannelId;
use mapped::MappedWords;
use membership::Incarnation;

const FILE: &str = "polls";

// The head of the file, in words.
const FORMAT: u64 = 0x7761_6464_6c65_0001;
const FORMAT_WORD: usize = 0;
const INCARNATION: usize = 1;
/// How the process ended, as far as it could say.
const END: usize = 3;
/// When the watchdog looked last, in milliseconds.
const LOOKED_MS: usize = 4;

/// Words of the head, and of each place.
const PLACE_WORDS: usize = 8;
/// Polls that can run at once: one a thread of the runtime, so this is never reached.
const PLACES: usize = 512;
/// Places that a poll looks at; none free means that it is not watched.
const TRIES_MAX: usize = 64;

// A place, in words: since when, the channel's id in two, the module's name in the rest.
const SINCE: usize = 0;
const NAME_BYTES_MAX: usize = (PLACE_WORDS - 3) * size_of::<u64>();
/// The place is free.
const FREE: u64 = 0;
/// It is being written; times are above it.
const TAKEN: u64 = 1;

const ENDED_BY_ABORT: u64 = 1;
const ENDED_BY_WATCHDOG: u64 = 2;

/// A poll that ran so long when the process was killed is suspected; a shorter one ran by chance.
const LONG: Duration = Duration::from_millis(500);
/// The watchdog aborts for polls that are longer; the others ran by chance.
pub const STUCK_AFTER: Duration = Duration::from_secs(1);

/// Which module is polled in which channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Polled {
    pub channel_id: ChannelId,
    pub module: String,
    /// How long it has been running.
    pub long: Duration,
}

/// The places of all polls.
#[derive(Debug)]
pub struct PollSlots {
    words: Arc<MappedWords>,
    origin: Instant,
    /// Spreads the actors over the places.
    registered: AtomicUsize,
}

impl Default for PollSlots {
    /// Places that nobody finds later.
    fn default() -> Self {
        let words = MappedWords::anonymous((PLACES + 1) * PLACE_WORDS).expect("there is memory for 32 KiB");
        Self::on(words)
    }
}

impl PollSlots {
    /// Places in a new file in the data folder, which forgets the last process.
    ///
    /// # Errors
    /// When the file cannot be written or mapped.
    pub fn create(data_dir: &Path, incarnation: Incarnation) -> io::Result<Self> {
        let slots = Self::on(MappedWords::create(&data_dir.join(FILE), (PLACES + 1) * PLACE_WORDS)?);
        let head = slots.words.words();
        let [high, low] = halves(incarnation.0);
        head[INCARNATION].store(high, Ordering::Relaxed);
        head[INCARNATION + 1].store(low, Ordering::Relaxed);
        head[FORMAT_WORD].store(FORMAT, Ordering::Release);
        mapped::mark_aborts(Arc::clone(&slots.words), END, ENDED_BY_ABORT)?;
        Ok(slots)
    }

    fn on(words: MappedWords) -> Self {
        Self { words: Arc::new(words), origin: Instant::now(), registered: AtomicUsize::new(0) }
    }

    /// What a module actor notes its polls with.
    pub fn register(&self, channel_id: ChannelId, module: &str) -> PollSlot {
        let mut label = [0; PLACE_WORDS - 1];
        [label[0], label[1]] = halves(channel_id.0.0);
        for (word, bytes) in label[2..].iter_mut().zip(module.as_bytes().chunks(size_of::<u64>())) {
            let mut padded = [0; size_of::<u64>()];
            padded[..bytes.len()].copy_from_slice(bytes);
            *word = u64::from_ne_bytes(padded);
        }
        debug_assert!(module.len() <= NAME_BYTES_MAX, "the name of a module fits into its place");
        let first = self.registered.fetch_add(1, Ordering::Relaxed) % PLACES;
        PollSlot { words: Arc::clone(&self.words), origin: self.origin, label, first }
    }

    /// The polls that have been running for at least `limit`.
    pub fn stuck(&self, limit: Duration) -> Vec<Polled> {
        let now_ms = elapsed_ms(self.origin);
        let words = self.words.words();
        let running = words[PLACE_WORDS..].chunks_exact(PLACE_WORDS).filter_map(|place| {
            let since = place[SINCE].load(Ordering::Acquire);
            let label: [u64; PLACE_WORDS] = std::array::from_fn(|n| place[n].load(Ordering::Relaxed));
            fence(Ordering::Acquire);
            // Another poll came meanwhile: neither is long.
            (place[SINCE].load(Ordering::Relaxed) == since).then(|| polled(since, &label, now_ms)).flatten()
        });
        running.filter(|polled| polled.long >= limit).collect()
    }

    /// The watchdog is awake: how long polls ran is told from its last look.
    pub fn looked(&self) {
        self.words.words()[LOOKED_MS].store(elapsed_ms(self.origin), Ordering::Relaxed);
    }

    /// The watchdog aborts now: only what is stuck is suspected.
    pub fn ends_by_watchdog(&self) {
        self.words.words()[END].store(ENDED_BY_WATCHDOG, Ordering::Relaxed);
    }
}

/// One module actor's label for its polls.
#[derive(Debug)]
pub struct PollSlot {
    words: Arc<MappedWords>,
    origin: Instant,
    label: [u64; PLACE_WORDS - 1],
    first: usize,
}

impl PollSlot {
    /// `None`: no place is free, so nobody sees this poll.
    fn enter(&self) -> Option<Running<'_>> {
        let words = self.words.words();
        for n in 0..TRIES_MAX {
            let at = ((self.first + n) % PLACES + 1) * PLACE_WORDS;
            let place = &words[at..at + PLACE_WORDS];
            if place[SINCE].compare_exchange(FREE, TAKEN, Ordering::Acquire, Ordering::Relaxed).is_err() {
                continue;
            }
            fence(Ordering::Release);
            for (word, value) in place[SINCE + 1..].iter().zip(self.label) {
                word.store(value, Ordering::Relaxed);
            }
            place[SINCE].store(elapsed_ms(self.origin) + TAKEN + 1, Ordering::Release);
            return Some(Running { since: &place[SINCE] });
        }
        None
    }
}

/// A poll that runs; its place is free again when it is dropped, by a panic too.
struct Running<'a> {
    since: &'a AtomicU64,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.since.store(FREE, Ordering::Release);
    }
}

/// A future that notes its polls in a slot.
#[derive(Debug)]
pub struct Watched<'a, F> {
    slot: &'a PollSlot,
    future: F,
}

impl<'a, F> Watched<'a, F> {
    pub const fn new(slot: &'a PollSlot, future: F) -> Self {
        Self { slot, future }
    }
}

impl<F: Future + Unpin> Future for Watched<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let _running = self.slot.enter();
        Pin::new(&mut self.future).poll(cx)
    }
}

/// What the last process on this data folder left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fallen {
    pub incarnation: Incarnation,
    pub suspects: Vec<Polled>,
    /// How it ended, for people.
    pub reason: &'static str,
}

impl Fallen {
    /// Reads what the file says. `None`: no module is suspected.
    ///
    /// After an abort, and so after a stack that overflowed, every poll that ran is; after a kill, which may be
    /// anybody's, and after an abort of the watchdog, only one that had run for long.
    pub fn read(data_dir: &Path) -> Option<Self> {
        let bytes = fs::read(data_dir.join(FILE)).ok()?;
        let word = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_ne_bytes);
        let words: Vec<u64> = bytes.chunks_exact(size_of::<u64>()).map(word).collect();
        let (head, places) = words.split_at_checked(PLACE_WORDS)?;
        if head[FORMAT_WORD] != FORMAT {
            return None;
        }
        let (limit, reason) = match head[END] {
            ENDED_BY_ABORT => (Duration::ZERO, "the process aborted, as after a stack that overflowed"),
            ENDED_BY_WATCHDOG => (STUCK_AFTER, "it did not yield, and the watchdog ended the process"),
            _ => (LONG, "it did not yield, and the process was killed"),
        };
        let suspects: Vec<_> = places
            .chunks_exact(PLACE_WORDS)
            .filter_map(|place| polled(place[SINCE], place, head[LOOKED_MS]))
            .filter(|polled| polled.long >= limit)
            .collect();
        let incarnation = Incarnation(whole([head[INCARNATION], head[INCARNATION + 1]]));
        (!suspects.is_empty()).then_some(Self { incarnation, suspects, reason })
    }
}

/// What a place says; `None` when nothing runs there.
fn polled(since: u64, place: &[u64], now_ms: u64) -> Option<Polled> {
    let since_ms = since.checked_sub(TAKEN + 1)?;
    let name: Vec<u8> =
        place[3..].iter().flat_map(|word| word.to_ne_bytes()).take_while(|byte| *byte != 0).collect();
    Some(Polled {
        channel_id: ChannelId(ulid::Ulid(whole([place[1], place[2]]))),
        module: String::from_utf8(name).ok()?,
        long: Duration::from_millis(now_ms.saturating_sub(since_ms)),
    })
}

fn halves(id: u128) -> [u64; 2] {
    let low = u128::from(u64::MAX);
    [id >> 64, id & low].map(|half| u64::try_from(half).unwrap_or_default())
}

fn whole([high, low]: [u64; 2]) -> u128 {
    u128::from(high) << 64 | u128::from(low)
}

fn elapsed_ms(origin: Instant) -> u64 {
    u64::try_from(origin.elapsed().as_millis()).unwrap_or(u64::MAX - TAKEN - 1)
}

#[cfg(test)]
mod tests;
