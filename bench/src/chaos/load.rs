//! The load under which faults happen: entries into the ledger by chat and by the API, and probes that only ask.

use std::io::Result;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use fake_twitch::{Chatter, FakeTwitch, Line};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::caller::{Ask, Caller};
use super::ledger::Ledger;

/// Entries a second by chat, as reliability figures ask for, and by the API on top.
const CHAT_PER_SECOND: u64 = 150;
const API_PER_SECOND: u64 = 20;
const API_IN_FLIGHT_MAX: usize = 128;
/// A caller who gets no answer asks again that long, as a service does.
const API_PATIENCE: Duration = Duration::from_secs(15);
const COLLECT_EACH: Duration = Duration::from_millis(10);
/// Visits the channels in an order that is not theirs.
const STRIDE: usize = 2_741;

/// Runs until it is dropped.
pub(crate) struct Load {
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

struct Shared {
    fake: Arc<FakeTwitch>,
    ledger: Arc<Ledger>,
    caller: Caller,
    channels: Vec<String>,
    n_nodes: usize,
    is_resting: AtomicBool,
    n_in_flight: AtomicUsize,
    /// Makes every token another one.
    next: AtomicUsize,
}

impl Shared {
    fn next(&self) -> (usize, &str) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        (number, &self.channels[number.wrapping_mul(STRIDE) % self.channels.len()])
    }

    fn say(&self, kind: &str, command: &str, login: &str, number: usize) {
        let token = format!("{kind}-{number}");
        let line = Line::new(login, Chatter::viewer("ann"), &format!("{command} {token}"));
        let line = Line { id: Some(token.clone()), ..line };
        // In the books before it is out: the reply may be faster than the return.
        self.ledger.said(token.clone(), login);
        let n_heard = self.fake.say_line(&line).connections.len();
        self.ledger.heard(&token, n_heard);
    }
}

impl Load {
    pub(crate) fn start(
        fake: &Arc<FakeTwitch>,
        ledger: &Arc<Ledger>,
        caller: &Caller,
        channels: &[String],
        n_nodes: usize,
    ) -> Self {
        let shared = Arc::new(Shared {
            fake: Arc::clone(fake),
            ledger: Arc::clone(ledger),
            caller: caller.clone(),
            channels: channels.to_vec(),
            n_nodes,
            is_resting: AtomicBool::new(true),
            n_in_flight: AtomicUsize::new(0),
            next: AtomicUsize::new(0),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(chat(Arc::clone(&shared)));
        tasks.spawn(api(Arc::clone(&shared)));
        tasks.spawn(collect(Arc::clone(&shared)));
        Self { shared, _tasks: tasks }
    }

    pub(crate) fn go_on(&self) {
        self.shared.is_resting.store(false, Ordering::Relaxed);
    }

    /// Asks for nothing more and waits until everything under way has ended.
    pub(crate) async fn rest(&self) -> Result<()> {
        self.shared.is_resting.store(true, Ordering::Relaxed);
        let is_busy = || {
            let n_in_flight = self.shared.n_in_flight.load(Ordering::Relaxed);
            n_in_flight > 0 || !self.shared.ledger.is_quiet_for(Duration::from_secs(3))
        };
        while is_busy() {
            tokio::time::sleep(COLLECT_EACH).await;
        }
        Ok(())
    }

    /// Says one entry in a channel.
    pub(crate) fn say_entry(&self, login: &str) {
        let (number, _) = self.shared.next();
        self.shared.say("chat", "!ledger", login, number);
    }

    /// Asks in each of these channels that often, until it is dropped. The name begins every token.
    pub(crate) fn probe(&self, name: &str, logins: Vec<String>, each: Duration) -> JoinSet<()> {
        let (shared, name) = (Arc::clone(&self.shared), name.to_owned());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut ticks = interval(each / u32::try_from(logins.len()).unwrap_or(1));
            for login in logins.iter().cycle() {
                ticks.tick().await;
                let (number, _) = shared.next();
                shared.say(&name, "!echo", login, number);
            }
        });
        tasks
    }
}

async fn chat(shared: Arc<Shared>) {
    let mut ticks = interval(Duration::from_micros(1_000_000 / CHAT_PER_SECOND));
    loop {
        ticks.tick().await;
        if !shared.is_resting.load(Ordering::Relaxed) {
            let (number, login) = shared.next();
            shared.say("chat", "!ledger", login, number);
        }
    }
}

async fn api(shared: Arc<Shared>) {
    let mut ticks = interval(Duration::from_micros(1_000_000 / API_PER_SECOND));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut calls = JoinSet::new();
    loop {
        ticks.tick().await;
        while calls.try_join_next().is_some() {}
        if shared.is_resting.load(Ordering::Relaxed) || calls.len() >= API_IN_FLIGHT_MAX {
            continue;
        }
        shared.n_in_flight.fetch_add(1, Ordering::Relaxed);
        calls.spawn(enter(Arc::clone(&shared)));
    }
}

/// One entry by the API: the same token until a node acknowledges it.
async fn enter(shared: Arc<Shared>) {
    let (number, login) = shared.next();
    let token = format!("api-{number}");
    shared.ledger.asked();
    let nodes: Vec<usize> = (0..shared.n_nodes).map(|node| (node + number) % shared.n_nodes).collect();
    let answer = shared.caller.insist(&nodes, &Ask::entry(login, &token), API_PATIENCE).await;
    if answer.is_some_and(|answer| answer.ends_with(&token)) {
        shared.ledger.acknowledged(token);
    }
    shared.n_in_flight.fetch_sub(1, Ordering::Relaxed);
}

async fn collect(shared: Arc<Shared>) {
    loop {
        shared.ledger.received(shared.fake.take_received());
        tokio::time::sleep(COLLECT_EACH).await;
    }
}
