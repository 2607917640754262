//! A long-running task as a supervised actor: when the task ends before it was told to, the actor crashes.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

/// Makes the task; it must end soon after its token is cancelled.
pub type Run = Arc<dyn Fn(CancellationToken) -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

pub struct TaskActor {
    pub name: &'static str,
    pub run: Run,
    pub tasks: TaskTracker,
}

impl fmt::Debug for TaskActor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskActor").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The task ended.
#[derive(Debug)]
pub struct Ended(Result<(), String>);

impl Actor for TaskActor {
    type Msg = Ended;
    /// Cancels the task when the actor ends, however it ends.
    type State = DropGuard;
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<Ended>, (): ()) -> Result<DropGuard, ActorProcessingErr> {
        let stop = CancellationToken::new();
        let task = (self.run)(stop.clone());
        self.tasks.spawn(async move {
            let ended =
                AssertUnwindSafe(task).catch_unwind().await.unwrap_or_else(|_| Err("panicked".to_owned()));
            // The actor is gone when it was the one who stopped the task.
            drop(myself.cast(Ended(ended)));
        });
        Ok(stop.drop_guard())
    }

    async fn handle(
        &self,
        _: ActorRef<Ended>,
        Ended(result): Ended,
        _: &mut DropGuard,
    ) -> Result<(), ActorProcessingErr> {
        let reason = result.err().unwrap_or_else(|| "ended without being asked".to_owned());
        Err(format!("{}: {reason}", self.name).into())
    }
}
