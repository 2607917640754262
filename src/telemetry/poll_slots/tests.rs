use futures_util::FutureExt;

use super::*;

const CHANNEL: ChannelId = ChannelId(ulid::Ulid(0x0123_4567_89ab_cdef_0011_2233_4455_6677));

fn busy_for(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        std::hint::spin_loop();
    }
}

#[tokio::test]
async fn a_poll_that_takes_long_is_seen_while_it_runs_and_not_after() {
    let slots = PollSlots::default();
    let slot = slots.register(CHANNEL, "spin");
    let seen = std::cell::RefCell::new(Vec::new());
    let busy = std::pin::pin!(async {
        busy_for(Duration::from_millis(20));
        *seen.borrow_mut() = slots.stuck(Duration::from_millis(15));
    });
    Watched::new(&slot, busy).await;
    let seen = seen.into_inner();
    assert_eq!((seen.len(), seen[0].channel_id, seen[0].module.as_str()), (1, CHANNEL, "spin"));
    assert!(slots.stuck(Duration::ZERO).is_empty());
}

#[tokio::test]
async fn a_poll_that_panics_leaves_its_place() {
    let slots = PollSlots::default();
    let slot = slots.register(CHANNEL, "panic");
    let panics = std::pin::pin!(async { panic!("on purpose") });
    let caught = std::panic::AssertUnwindSafe(Watched::new(&slot, panics)).catch_unwind().await;
    assert!(caught.is_err() && slots.stuck(Duration::ZERO).is_empty());
}

#[test]
fn polls_at_the_same_time_have_places_of_their_own() {
    let slots = PollSlots::default();
    let slot = slots.register(CHANNEL, "twice");
    let running = (slot.enter(), slot.enter());
    assert_eq!(slots.stuck(Duration::ZERO).len(), 2);
    drop(running);
    assert!(slots.stuck(Duration::ZERO).is_empty());
}

/// What is found when a process ended like that after a poll of `long`.
fn found(end: Option<u64>, long: Duration) -> Option<Fallen> {
    let folder = tempfile::tempdir().unwrap();
    let slots = PollSlots::create(folder.path(), Incarnation(7)).unwrap();
    let slot = slots.register(CHANNEL, "counters");
    let running = slot.enter();
    let words = slots.words.words();
    words[END].store(end.unwrap_or_default(), Ordering::Relaxed);
    let long_ms = u64::try_from(long.as_millis()).unwrap();
    words[LOOKED_MS].store(elapsed_ms(slots.origin) + long_ms, Ordering::Relaxed);
    let found = Fallen::read(folder.path());
    drop(running);
    assert_eq!(Fallen::read(folder.path()), None, "nothing runs any more");
    found
}

#[test]
fn whoever_ran_in_an_abort_is_suspected_and_after_a_kill_only_who_ran_for_long() {
    let (short, long) = (Duration::from_millis(2), Duration::from_secs(2));
    let overflow = found(Some(ENDED_BY_ABORT), short).unwrap();
    assert_eq!(overflow.incarnation, Incarnation(7));
    assert_eq!(
        (overflow.suspects[0].channel_id, overflow.suspects[0].module.as_str()),
        (CHANNEL, "counters")
    );
    assert_eq!(found(None, short), None);
    assert!(found(None, long).is_some());
    assert_eq!(found(Some(ENDED_BY_WATCHDOG), short), None);
    assert!(found(Some(ENDED_BY_WATCHDOG), long).is_some());
}

#[test]
fn a_folder_without_a_file_or_with_another_accuses_nobody() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(Fallen::read(folder.path()), None);
    for bytes in [&[][..], &[1; 7], &[0xff; 4096]] {
        fs::write(folder.path().join(FILE), bytes).unwrap();
        assert_eq!(Fallen::read(folder.path()), None);
    }
}
