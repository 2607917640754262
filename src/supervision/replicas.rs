//! Looks at the storage's read replicas each second, so that lists are read only from those that are well.
//!
//! Receives: its own tick. Sends: nothing. Owns: nothing. Dies: never by itself.

use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use storage::Db;

use crate::telemetry::metric_names::SERVICE;

const LOOK_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub struct Replicas {
    pub db: Db,
}

#[derive(Debug)]
pub struct Look;

impl Actor for Replicas {
    type Msg = Look;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<Look>, (): ()) -> Result<(), ActorProcessingErr> {
        if self.db.has_replicas() {
            myself.cast(Look)?;
        }
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<Look>,
        Look: Look,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        self.db.check_replicas().await;
        for replica in self.db.replicas() {
            metrics::gauge!("waddlebot_db_replica_healthy", "service" => SERVICE, "pool" => replica.name)
                .set(f64::from(u8::from(replica.state.is_ok())));
            if let Ok(lag) = replica.state {
                metrics::gauge!("waddlebot_db_replica_lag_seconds", "service" => SERVICE, "pool" => replica.name)
                    .set(lag.as_secs_f64());
            }
        }
        // Not an interval: a replica that hangs makes a look take longer than a second.
        myself.send_after(LOOK_EVERY, || Look);
        Ok(())
    }
}
