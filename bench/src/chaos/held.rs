//! A transaction of a node that stands in the middle: past its fence, waiting for a row that the run holds.

use std::io::{Error, Result};
use std::time::{Duration, Instant};

use sqlx::{Postgres, Transaction};

use super::caller::Ask;
use super::world::{LOOK_EACH, World};

const PATIENCE: Duration = Duration::from_secs(5);
/// An entry that was said waits for its row by then, where the channel stays.
const HELD_WITHIN: Duration = Duration::from_secs(2);
/// Channels that are tried.
const TRIES: usize = 4;

/// The row's lock; the node's transaction goes on when it is dropped.
pub(crate) struct Held {
    _transaction: Transaction<'static, Postgres>,
}

/// Has a node begin an entry in one of these channels of its own and holds it there. A channel that is just being moved
/// is given up for another.
pub(crate) async fn hold(world: &World, incarnation: &str, channels: &[String]) -> Result<Held> {
    let spread = (1..=TRIES).filter_map(|n| channels.get(channels.len() * n / (TRIES + 1)));
    for login in spread {
        if let Some(held) = try_hold(world, incarnation, login).await? {
            return Ok(held);
        }
        eprintln!("  no transaction in {login} could be held, trying another channel");
    }
    Err(Error::other("the node begins no transaction that could be held"))
}

async fn try_hold(world: &World, incarnation: &str, login: &str) -> Result<Option<Held>> {
    let first = format!("held-{login}-{}", world.ledger.n_api_asked());
    // The account must be there before its row can be held.
    let nodes: Vec<usize> = (0..world.nodes.len()).collect();
    world.caller.insist(&nodes, &Ask::entry(login, &first), PATIENCE).await;
    let mut transaction = world.postgres.pool.begin().await.map_err(Error::other)?;
    let lock = "SELECT value FROM counters k JOIN channels c ON c.community_id = k.community_id \
         WHERE k.name = 'ledger' AND c.login = $1 FOR UPDATE OF k";
    sqlx::query(lock).bind(login).execute(&mut *transaction).await.map_err(Error::other)?;
    world.load.say_entry(login);
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'waddlebot/' || $1 \
         AND wait_event_type = 'Lock'";
    let deadline = Instant::now() + HELD_WITHIN;
    while Instant::now() < deadline {
        let (n_waiting,): (i64,) = sqlx::query_as(waiting)
            .bind(incarnation)
            .fetch_one(&world.postgres.pool)
            .await
            .map_err(Error::other)?;
        if n_waiting > 0 {
            return Ok(Some(Held { _transaction: transaction }));
        }
        tokio::time::sleep(LOOK_EACH).await;
    }
    Ok(None)
}
