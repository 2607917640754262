//! The supervisor with real actors that crash when they are told to.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use domain::restart::Backoff;
use tokio::sync::watch;

use super::*;

/// Starts an actor that ends as soon as it runs: with a crash, or cleanly.
#[derive(Debug)]
struct Doomed {
    restart: Restart,
    crashes: bool,
    n_started: watch::Sender<usize>,
    ends: Mutex<Vec<Option<String>>>,
    drained: AtomicUsize,
}

impl Doomed {
    fn new(restart: Restart, crashes: bool) -> Arc<Self> {
        let n_started = watch::Sender::new(0);
        Arc::new(Self { restart, crashes, n_started, ends: Mutex::default(), drained: AtomicUsize::new(0) })
    }

    async fn started(&self, n: usize) {
        let mut seen = self.n_started.subscribe();
        let reached = tokio::time::timeout(Duration::from_secs(10), seen.wait_for(|seen| *seen >= n)).await;
        assert!(reached.is_ok(), "started {} times, not {n}", *self.n_started.borrow());
    }
}

/// The actor itself; lives on when it is not told to crash.
struct Body(bool);

impl Actor for Body {
    type Msg = ();
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<()>, (): ()) -> Result<(), ActorProcessingErr> {
        if self.0 {
            myself.cast(())?;
        }
        Ok(())
    }

    async fn handle(&self, _: ActorRef<()>, (): (), (): &mut ()) -> Result<(), ActorProcessingErr> {
        Err("told to crash".into())
    }
}

impl Child for Doomed {
    fn id(&self) -> ChildId {
        ChildId::Part("doomed")
    }

    fn restart(&self) -> Restart {
        self.restart
    }

    fn spawn(&self, supervisor: ActorCell) -> BoxFuture<'static, Result<ActorCell, SpawnErr>> {
        self.n_started.send_modify(|n| *n += 1);
        let body = Body(self.crashes);
        Box::pin(async move { Ok(Actor::spawn_linked(None, body, (), supervisor).await?.0.get_cell()) })
    }

    fn ended(&self, crash: Option<&str>) {
        self.ends.lock().unwrap().push(crash.map(str::to_owned));
    }

    fn drain(&self, actor: &ActorCell) {
        self.drained.fetch_add(1, Ordering::Relaxed);
        actor.stop(None);
    }
}

const QUICK: Backoff = Backoff { base: Duration::from_millis(1), max: Duration::from_millis(1) };

async fn supervise(child: &Arc<Doomed>) -> (ActorRef<SupervisorMsg>, tokio::task::JoinHandle<()>) {
    let first: Vec<Arc<dyn Child>> = vec![Arc::clone(child) as Arc<dyn Child>];
    Actor::spawn(None, Supervisor { name: "test" }, first).await.unwrap()
}

async fn states(supervisor: &ActorRef<SupervisorMsg>) -> Vec<PartReport> {
    supervisor.call(SupervisorMsg::List, Some(Duration::from_secs(5))).await.unwrap().unwrap()
}

#[tokio::test]
async fn crashes_within_the_intensity_restart_and_one_more_escalates() {
    let policy = RestartPolicy::Intensity { crashes_max: 3, window: Duration::from_mins(1), backoff: QUICK };
    let child = Doomed::new(Restart::Permanent(policy), true);
    let (_, ended) = supervise(&child).await;
    tokio::time::timeout(Duration::from_secs(10), ended).await.expect("escalates").unwrap();
    assert_eq!(*child.n_started.borrow(), 4, "three restarts, then the supervisor gives up");
}

#[tokio::test]
async fn a_child_that_crashes_too_often_is_parked_and_an_operator_starts_it_again() {
    let park_for = Duration::from_mins(5);
    let policy =
        RestartPolicy::Park { crashes_max: 2, window: Duration::from_mins(1), park_for, backoff: QUICK };
    let child = Doomed::new(Restart::OnDemand(policy), true);
    let (supervisor, ended) = supervise(&child).await;
    child.started(2).await;
    while states(&supervisor).await[0].state != "parked" {
        tokio::task::yield_now().await;
    }
    let before = *child.n_started.borrow();
    let unpark = |reply| SupervisorMsg::Unpark(ChildId::Part("doomed"), reply);
    assert!(supervisor.call(unpark, Some(Duration::from_secs(5))).await.unwrap().unwrap());
    child.started(before + 1).await;
    assert!(!ended.is_finished(), "a parked child does not take its supervisor along");
    supervisor.kill();
}

#[tokio::test]
async fn a_temporary_child_is_not_restarted_and_its_end_is_told() {
    let child = Doomed::new(Restart::Temporary, true);
    let (supervisor, _) = supervise(&child).await;
    child.started(1).await;
    while !states(&supervisor).await.is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(*child.n_started.borrow(), 1);
    let ends = child.ends.lock().unwrap().clone();
    assert!(
        ends.len() == 1 && ends[0].as_deref().is_some_and(|why| why.contains("told to crash")),
        "{ends:?}"
    );
    supervisor.kill();
}

#[tokio::test]
async fn draining_asks_every_child_waits_and_starts_nothing_any_more() {
    let child = Doomed::new(Restart::Permanent(RestartPolicy::platform()), false);
    let (supervisor, ended) = supervise(&child).await;
    child.started(1).await;
    let drain = |reply| SupervisorMsg::Drain { within: Duration::from_secs(5), reply };
    let killed = supervisor.call(drain, Some(Duration::from_secs(6))).await.unwrap().unwrap();
    assert_eq!((killed, child.drained.load(Ordering::Relaxed)), (0, 1));
    tokio::time::timeout(Duration::from_secs(5), ended).await.expect("stops itself").unwrap();
    assert_eq!(*child.n_started.borrow(), 1, "a permanent child is not restarted while draining");
}
