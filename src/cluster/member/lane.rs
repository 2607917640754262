//! One lane of asks: a connection that is opened when it is needed and opened anew when it was lost.

use membership::ask::{Answer, Ask};
use membership::{Incarnation, Input, Lane};
use secrecy::SecretString;
use storage::StorageError;
use storage::cluster::{self, LeaseConnection};
use tokio::sync::mpsc;

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
) -> mpsc::Sender<(u64, Ask)> {
    let (asks, taken) = mpsc::channel(1);
    let asking = Asking { lane, url, me, conn: None, inputs, in_trouble: false };
    #[expect(
        clippy::disallowed_methods,
        reason = "ends with its sender; the member's thread waits for nothing"
    )]
    tokio::spawn(asking.run(taken));
    asks
}

impl Asking {
    async fn run(mut self, mut asks: mpsc::Receiver<(u64, Ask)>) {
        while let Some((number, ask)) = asks.recv().await {
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
        if self.conn.is_none() {
            let mut conn = LeaseConnection::connect(&self.url, self.me).await?;
            if self.lane == Lane::Lease {
                conn.lock().await?;
            }
            self.conn = Some(conn);
        }
        let Some(conn) = &mut self.conn else { return Err(StorageError::Closed) };
        cluster::ask(conn, ask).await
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
