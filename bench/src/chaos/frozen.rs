//! A process that freezes in the middle of a transaction, past its fence, and wakes when its channels are others'.

use std::io::{Error, Result};
use std::process::Command;
use std::time::{Duration, Instant};

use super::faults::choose;
use super::held::hold;
use super::ledger::n_strays;
use super::table::{Line, row};
use super::world::World;

/// Less than the database lets a statement wait for a row.
const PATIENCE: Duration = Duration::from_secs(8);
/// Since the signal until the row is let go: less than a unit's statement may take. The transaction is idle from then on, and
/// its answer lies in the frozen process's socket when it wakes.
const HELD: Duration = Duration::from_secs(1);
/// How long the woken process's other sessions stand still, so that it commits before it hears that it is dead.
const UNTOLD: Duration = Duration::from_millis(300);
/// What a woken process has to come back.
const WAKE: Duration = Duration::from_secs(2);

/// R2: signal 19 while a row that the transaction wants is held, and the row let go, so that it stands idle past its fence; once
/// the others have its channels the process is woken, with nothing but the fence between it and its commit: even the sessions
/// that would tell it of its end are slow to answer. Where the fence stands they were ended with it.
pub(crate) async fn wakes(world: &mut World, n_rounds: usize) -> Result<Vec<Line>> {
    let (mut taken_over, mut n_never) = (Vec::new(), 0);
    let n_before = n_strays(&world.postgres.pool).await?;
    for round in 0..n_rounds {
        let victim = choose(world).await?;
        eprintln!(
            "freeze {}/{n_rounds}: node-{} of {} channels",
            round + 1,
            victim.number,
            victim.channels.len()
        );
        let held = hold(world, &victim.incarnation, &victim.channels).await?;
        let stopped = Instant::now();
        world.nodes[victim.number].signal("STOP")?;
        let let_go = async {
            tokio::time::sleep(HELD).await;
            drop(held);
        };
        match tokio::join!(world.taken_over(&victim.incarnation, stopped, PATIENCE), let_go).0 {
            Some(took) => taken_over.push(took),
            None => n_never += 1,
        }
        let others = IdleSessions::stop(world, &victim.incarnation).await?;
        world.nodes[victim.number].signal("CONT")?;
        tokio::time::sleep(UNTOLD).await;
        drop(others);
        tokio::time::sleep(WAKE).await;
        world.settled().await?;
    }
    let n_strays = n_strays(&world.postgres.pool).await? - n_before;
    Ok(vec![
        row(
            "R2",
            format!("SIGSTOP in a transaction, {n_rounds}: claims, its own channel too"),
            &taken_over,
            "max ≤3,000 ms",
            |p| p.max_ms <= 3_000.0,
        ),
        Line::count("R2", "takeovers that never came", n_never, 0),
        Line::count(
            "R2",
            "entries that it committed when it woke",
            usize::try_from(n_strays).unwrap_or_default(),
            0,
        ),
    ])
}

/// Sessions of a node, outside a transaction, whose server processes stand still until this is dropped.
struct IdleSessions {
    process_ids: Vec<String>,
}

impl IdleSessions {
    async fn stop(world: &World, incarnation: &str) -> Result<Self> {
        let idle = "SELECT CAST(pid AS TEXT) FROM pg_stat_activity WHERE application_name = 'waddlebot/' || $1 \
            AND state = 'idle'";
        let found: Vec<(String,)> = sqlx::query_as(idle)
            .bind(incarnation)
            .fetch_all(&world.postgres.pool)
            .await
            .map_err(Error::other)?;
        let sessions = Self { process_ids: found.into_iter().map(|(id,)| id).collect() };
        sessions.signal("STOP");
        Ok(sessions)
    }

    /// One that has ended meanwhile needs none.
    fn signal(&self, name: &str) {
        for id in &self.process_ids {
            drop(Command::new("kill").args(["-s", name, id]).status());
        }
    }
}

impl Drop for IdleSessions {
    fn drop(&mut self) {
        self.signal("CONT");
    }
}
