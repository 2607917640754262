//! One lane of asks: a connection that is opened when it is needed and opened anew when it was lost.

use std::sync::mpsc::SyncSender;

use membership::ask::{Answer, Ask};
use membership::{Incarnation, Input, Lane};
use secrecy::SecretString;
use storage::StorageError;
use storage::cluster::{self, LeaseConnection};
use storage::suspects::{self, Suspicion};
use tokio::sync::mpsc;

/// What a lane is sent on.
#[derive(Debug)]
pub(super) enum Errand {
    Ask(u64, Ask),
    /// This process is about to end. Who waits holds the other end of `done`.
    Accuse {
        suspicions: Vec<Suspicion>,
        done: SyncSender<()>,
    },
}

/// One ask, and the last word of the process behind it.
const ERRANDS_MAX: usize = 2;

struct Asking {
    lane: Lane,
    url: SecretString,
    me: Incarnation,
    conn: Option<LeaseConnection>,
    inputs: mpsc::Sender<Input>,
    /// The last ask failed: said once.
    in_trouble: bool,
}

/// Opens a lane; it ends when what it returns is dropped.
pub(super) fn open(
    lane: Lane,
    url: SecretString,
    me: Incarnation,
    inputs: mpsc::Sender<Input>,
) -> mpsc::Sender<Errand> {
    let (errands, taken) = mpsc::channel(ERRANDS_MAX);
    let asking = Asking { lane, url, me, conn: None, inputs, in_trouble: false };
    #[expect(
        clippy::disallowed_methods,
        reason = "ends with its sender; the member's thread waits for nothing"
    )]
    tokio::spawn(asking.run(taken));
    errands
}

impl Asking {
    async fn run(mut self, mut errands: mpsc::Receiver<Errand>) {
        while let Some(errand) = errands.recv().await {
            let (number, ask) = match errand {
                Errand::Ask(number, ask) => (number, ask),
                Errand::Accuse { suspicions, done } => {
                    if self.accuse(suspicions).await.is_ok() {
                        // Who waited too long is gone.
                        let _told = done.try_send(());
                    }
                    continue;
                }
            };
            let done = self.ask(&ask).await;
            if let Err(error) = &done {
                self.failed(error).await;
            } else if std::mem::take(&mut self.in_trouble) {
                tracing::info!(lane = ?self.lane, "the cluster's database answers again");
            }
            let input = done.map_or(Input::Lost { number }, |answer| Input::Answer { number, answer });
            if self.inputs.send(input).await.is_err() {
                return;
            }
        }
    }

    async fn ask(&mut self, ask: &Ask) -> Result<Answer, StorageError> {
        let answer = cluster::ask(self.connected().await?, ask).await;
        if let Ask::Bury { victim, evidence, .. } = ask {
            tracing::info!(%victim, ?evidence, ?answer, "asked the database to take a process for dead");
        }
        answer
    }

    async fn accuse(&mut self, suspicions: Vec<Suspicion>) -> Result<(), StorageError> {
        let conn = self.connected().await?;
        for suspicion in suspicions {
            suspects::accuse(conn, suspicion).await?;
        }
        Ok(())
    }

    async fn connected(&mut self) -> Result<&mut LeaseConnection, StorageError> {
        if self.conn.is_none() {
            let mut conn = LeaseConnection::connect(&self.url, self.me).await?;
            if self.lane == Lane::Lease {
                conn.lock().await?;
            }
            self.conn = Some(conn);
        }
        self.conn.as_mut().ok_or(StorageError::Closed)
    }

    async fn failed(&mut self, error: &StorageError) {
        if !std::mem::replace(&mut self.in_trouble, true) {
            tracing::warn!(lane = ?self.lane, %error, "no answer of the cluster's database, trying again");
        }
        if self.conn.take_if(|conn| conn.is_lost()).is_some() && self.lane == Lane::Lease {
            // A machine that ended does not want to know.
            drop(self.inputs.send(Input::LeaseSessionLost).await);
        }
    }
}
