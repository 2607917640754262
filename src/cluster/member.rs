//! This node as a member of its cluster: a thread of its own renews the lease and drives the protocol.
//!
//! The protocol itself is [`membership::Machine`]; here is what it cannot do: connections, clocks, dialling. The thread
//! has a runtime of its own, so that a busy node still renews, and a lane for each kind of ask, so that a claim of many
//! keys never delays a renewal. What the node has to do about it comes out as [`Output`]s, in order.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use membership::ask::{self, Newcomer, View};
use membership::{Epoch, Input, Lane, Machine, MonotonicUs, Output, OwnedKey, Timings};
use secrecy::SecretString;
use storage::suspects::Suspicion;
use tokio::sync::{mpsc, watch};

use super::send_gate::{SendGate, boot_time_us};

mod lane;
mod probe;

use lane::Errand;

/// Longest sleep of the thread.
const WAKE_MAX: Duration = Duration::from_secs(1);
/// What may wait to be told to the protocol; who tells more waits.
const INPUTS_MAX: usize = 4_096;

/// What a member is made from.
#[derive(Debug)]
pub struct MemberOptions {
    /// The database that decides, without a pooler between.
    pub url: SecretString,
    pub newcomer: Newcomer,
    pub timings: Timings,
    /// Opened and shut by the thread.
    pub gate: Arc<SendGate>,
}

/// What the cluster looks like from here.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Everybody who is not dead.
    pub members: Vec<ask::Member>,
    pub view: View,
    /// Keys that this node owns.
    pub n_owned: usize,
    /// Keys that it hands over, or is about to.
    pub n_leaving: usize,
    /// Keys that fall to it and are not yet its own.
    pub n_awaited: usize,
}

/// A handle on the thread; all clones are the same member.
#[derive(Clone, Debug)]
pub struct Member {
    inputs: mpsc::Sender<Input>,
    seen: watch::Receiver<Seen>,
    /// The lane of the lease.
    lease: mpsc::Sender<Errand>,
}

/// What the node has to do, in order. Its end means that the thread ended: so must the process.
pub type Outputs = mpsc::Receiver<Vec<Output>>;

impl Member {
    /// Starts the thread, which joins the cluster as soon as the database lets it.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(options: MemberOptions) -> io::Result<(Self, Outputs)> {
        let (inputs, taken) = mpsc::channel(INPUTS_MAX);
        let (outputs, given) = mpsc::channel(1);
        let (see, seen) = watch::channel(Seen::default());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let lanes = {
            let _entered = runtime.enter();
            [Lane::Lease, Lane::Members, Lane::Keys]
                .map(|lane| lane::open(lane, options.url.clone(), options.newcomer.me, inputs.clone()))
        };
        let lease = lanes[Lane::Lease as usize].clone();
        let member = Self { inputs: inputs.clone(), seen, lease };
        let thread = thread::Builder::new().name("member".to_owned());
        thread.spawn(move || {
            let driver = Driver::new(options, lanes, inputs, (outputs, see));
            runtime.block_on(driver.run(taken));
        })?;
        Ok((member, given))
    }

    /// Tells the protocol what happened. After its end nobody hears it.
    pub async fn tell(&self, input: Input) {
        drop(self.inputs.send(input).await);
    }

    /// Tells the database, over the lease's connection, what is about to end this process; waits at most `limit`.
    /// `false` when it did not say in time that it knows. For a thread outside of any runtime.
    pub fn accuse(&self, suspicions: Vec<Suspicion>, limit: Duration) -> bool {
        let (done, told) = std::sync::mpsc::sync_channel(1);
        self.lease.try_send(Errand::Accuse { suspicions, done }).is_ok() && told.recv_timeout(limit).is_ok()
    }

    /// The cluster as it was seen last.
    pub fn seen(&self) -> watch::Receiver<Seen> {
        self.seen.clone()
    }
}

/// The machine with its hands.
struct Driver {
    machine: Machine,
    gate: Arc<SendGate>,
    lanes: [mpsc::Sender<Errand>; 3],
    inputs: mpsc::Sender<Input>,
    outputs: mpsc::Sender<Vec<Output>>,
    /// What the node has not taken yet: a slow node must not hold up a renewal. Bounded by the keys.
    backlog: Vec<Output>,
    see: watch::Sender<Seen>,
    owned: BTreeMap<OwnedKey, Epoch>,
    /// It left or died.
    is_over: bool,
}

impl Driver {
    fn new(
        options: MemberOptions,
        lanes: [mpsc::Sender<Errand>; 3],
        inputs: mpsc::Sender<Input>,
        (outputs, see): (mpsc::Sender<Vec<Output>>, watch::Sender<Seen>),
    ) -> Self {
        let MemberOptions { newcomer, timings, gate, .. } = options;
        let machine = Machine::new(newcomer, timings);
        Self {
            machine,
            gate,
            lanes,
            inputs,
            outputs,
            backlog: Vec::new(),
            see,
            owned: BTreeMap::new(),
            is_over: false,
        }
    }

    async fn run(mut self, mut inputs: mpsc::Receiver<Input>) {
        let outputs = self.outputs.clone();
        self.step(Input::Tick);
        while !self.is_over {
            let wait = self.machine.next_wake().map_or(WAKE_MAX, |wake| {
                let wait = u64::try_from(wake.0.saturating_sub(boot_time_us())).unwrap_or(0);
                Duration::from_micros(wait).min(WAKE_MAX)
            });
            tokio::select! {
                Some(input) = inputs.recv() => self.step(input),
                Ok(place) = outputs.reserve(), if !self.backlog.is_empty() => {
                    place.send(std::mem::take(&mut self.backlog));
                }
                () = tokio::time::sleep(wait) => self.step(Input::Tick),
            }
        }
        // It left or died: the last thing that the node hears.
        drop(outputs.send(self.backlog).await);
    }

    fn step(&mut self, input: Input) {
        let outputs = self.machine.on(MonotonicUs(boot_time_us()), input);
        let mut changed = false;
        for output in outputs {
            match output {
                // A lane has one ask under way at most.
                Output::Ask { number, lane, ask } => {
                    drop(self.lanes[lane as usize].try_send(Errand::Ask(number, ask)));
                }
                Output::Probe { incarnation, address } => {
                    probe::dial(incarnation, address, self.inputs.clone());
                }
                Output::Gate { until } => {
                    if until.is_none() {
                        metrics::counter!("waddlebot_gate_closed_total").increment(1);
                    }
                    self.gate.hold_until(until.map_or(0, |until| until.0));
                }
                other => {
                    changed = true;
                    self.note(&other);
                    self.backlog.push(other);
                }
            }
        }
        let (n_leaving, n_awaited) = self.machine.moves();
        let seen = self.see.borrow();
        if changed || (seen.n_leaving, seen.n_awaited) != (n_leaving, n_awaited) {
            drop(seen);
            let (members, view) = (self.machine.members().to_vec(), self.machine.view().clone());
            self.see.send_replace(Seen { members, view, n_owned: self.owned.len(), n_leaving, n_awaited });
        }
    }

    fn note(&mut self, output: &Output) {
        match output {
            Output::Granted { key, epoch, .. } => drop(self.owned.insert(key.clone(), *epoch)),
            Output::HandOver { key, .. } => drop(self.owned.remove(key)),
            Output::Died | Output::Left => {
                self.gate.end();
                self.is_over = true;
            }
            _ => {}
        }
    }
}
