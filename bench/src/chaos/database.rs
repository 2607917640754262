//! The database killed, locked, cut off, full, and its clock stepped: nobody is buried, nothing moves.

use std::io::{Error, Result};
use std::time::{Duration, Instant};

use sqlx::{Connection, PgConnection};

use super::caller::Ask;
use super::faults::Spread;
use super::network::{self, Place};
use super::postgres::Postgres;
use super::table::{Line, ms, row};
use super::world::{N_NODES, World};

const AWAY: Duration = Duration::from_secs(10);
const LOCKED: Duration = Duration::from_secs(20);
const STEPPED: Duration = Duration::from_secs(12);
const SERVICE_BACK: Duration = Duration::from_secs(30);
const ONE_ASK: Duration = Duration::from_millis(500);
/// Channels that are asked for an entry from the moment on that the database is back.
const N_ASKED: usize = 20;

/// R5: four ways to lose the database.
pub(crate) async fn outages(world: &World) -> Result<Vec<Line>> {
    world.balanced().await?;
    let before = world.owning().await?;
    let mut back = Vec::new();
    eprintln!("the database is killed for {AWAY:?}");
    world.postgres.kill()?;
    tokio::time::sleep(AWAY).await;
    world.postgres.start()?;
    back.extend(service_back(world).await);
    eprintln!("the database's packets are dropped for {AWAY:?}");
    for node in (0..N_NODES).map(Place::Node) {
        network::cut(node, Place::Database)?;
    }
    tokio::time::sleep(AWAY).await;
    for node in (0..N_NODES).map(Place::Node) {
        network::heal(node, Place::Database)?;
    }
    back.extend(service_back(world).await);
    eprintln!("all its connections are taken for {AWAY:?}");
    let n_taken = take_all_connections().await;
    back.extend(service_back(world).await);
    let slow = locked(world).await?;
    world.settled().await?;
    let n_changes = world.owning().await?;
    let moves = usize::try_from(n_changes.n_changes - before.n_changes).unwrap_or(usize::MAX);
    Ok(vec![
        row(
            "R5",
            format!(
                "killed 10 s, cut off 10 s, {n_taken} connections taken: an entry in each of {N_ASKED} channels after it is back"
            ),
            &back,
            "≤5,000 ms",
            |p| p.max_ms <= 5_000.0,
        ),
        slow,
        Line::count("R5", "channels that moved", moves, 0),
        Line::new(
            "R5",
            "nobody buried",
            (n_changes.living == before.living).to_string(),
            "true",
            n_changes.living == before.living,
        ),
    ])
}

/// How long until entries are acknowledged again; one that is not counts with the whole patience.
async fn service_back(world: &World) -> Vec<Duration> {
    let started = Instant::now();
    let nodes: Vec<usize> = (0..N_NODES).collect();
    let series = world.ledger.n_api_asked();
    let channels = world.setting.channels.iter().step_by(97).take(N_ASKED);
    let asked = channels.enumerate().map(|(n, login)| {
        let nodes = &nodes;
        async move {
            // Each attempt is an entry of its own: of one that was given up nobody knows whether it is done.
            for attempt in 0.. {
                let ask = Ask::entry(login, &format!("back-{series}-{n}-{attempt}"));
                let answer = world.caller.insist(nodes, &ask, ONE_ASK).await;
                if answer.is_some() || started.elapsed() > SERVICE_BACK {
                    break;
                }
            }
            started.elapsed()
        }
    });
    futures_util::future::join_all(asked).await
}

/// Opens sessions until the server refuses, holds them, and lets them go.
async fn take_all_connections() -> usize {
    let mut taken = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < AWAY {
        match PgConnection::connect(&Postgres::url()).await {
            Ok(session) => taken.push(session),
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
    taken.len()
}

/// Every entry waits for a lock; what needs no database is answered meanwhile.
async fn locked(world: &World) -> Result<Line> {
    eprintln!("its ledger is locked for {LOCKED:?}");
    let mut lock = world.postgres.pool.begin().await.map_err(Error::other)?;
    sqlx::query("LOCK TABLE ops IN ACCESS EXCLUSIVE MODE").execute(&mut *lock).await.map_err(Error::other)?;
    let logins: Vec<String> = world.setting.channels.iter().step_by(41).take(100).cloned().collect();
    let probes = world.load.probe("locked", logins, Duration::from_secs(1));
    tokio::time::sleep(LOCKED).await;
    drop(probes);
    lock.rollback().await.map_err(Error::other)?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let gaps = world.ledger.gaps("locked");
    let what = format!(
        "ledger locked 20 s: {} commands without it in 100 channels, {} unanswered, the longest of each channel",
        gaps.n_asked, gaps.n_unanswered
    );
    let is_met = |p: &Spread| p.p99_ms < 500.0 && gaps.n_unanswered == 0;
    Ok(row("R5", what, &gaps.longest, "p99 <500 ms", is_met))
}

/// R11: the database's clock an hour ahead, right again, an hour behind, right again.
pub(crate) async fn clock_steps(world: &World) -> Result<Vec<Line>> {
    // Sessions take the stepped functions from their first moment on, so they begin anew.
    world.run(STEPPABLE).await?;
    renew_sessions(world).await?;
    world.balanced().await?;
    let before = world.owning().await?;
    for statement in [
        "UPDATE chaos_clock.step SET ahead = interval '1 hour'",
        "UPDATE chaos_clock.step SET ahead = interval '0'",
        "UPDATE chaos_clock.step SET ahead = interval '-1 hour'",
        "UPDATE chaos_clock.step SET ahead = interval '0'",
    ] {
        eprintln!("{statement}");
        world.run(statement).await?;
        tokio::time::sleep(STEPPED).await;
    }
    let started = Instant::now();
    let back = service_back(world).await;
    let after = world.owning().await?;
    world.run("ALTER DATABASE postgres RESET search_path").await?;
    renew_sessions(world).await?;
    let moves = usize::try_from(after.n_changes - before.n_changes).unwrap_or(usize::MAX);
    eprintln!("clock steps ended, service asked for {:.0} ms", ms(started.elapsed()));
    Ok(vec![
        Line::count("R11", "the database's clock ±1 h: channels that moved", moves, 0),
        Line::new(
            "R11",
            "nobody buried",
            (after.living == before.living).to_string(),
            "true",
            after.living == before.living,
        ),
        row("R11", "an entry in each of 20 channels afterwards".to_owned(), &back, "≤5,000 ms", |p| {
            p.max_ms <= 5_000.0
        }),
    ])
}

/// Ends every session of the nodes by a start of the server.
async fn renew_sessions(world: &World) -> Result<()> {
    world.postgres.kill()?;
    world.postgres.start()?;
    service_back(world).await;
    world.settled().await
}

/// The two clocks that statements ask, before PostgreSQL's own in every session's path.
const STEPPABLE: &str = "CREATE SCHEMA IF NOT EXISTS chaos_clock;
    CREATE TABLE IF NOT EXISTS chaos_clock.step (ahead INTERVAL);
    INSERT INTO chaos_clock.step SELECT interval '0' WHERE NOT EXISTS (SELECT FROM chaos_clock.step);
    CREATE OR REPLACE FUNCTION chaos_clock.clock_timestamp() RETURNS TIMESTAMPTZ LANGUAGE sql VOLATILE
        AS 'SELECT pg_catalog.clock_timestamp() + ahead FROM chaos_clock.step';
    CREATE OR REPLACE FUNCTION chaos_clock.now() RETURNS TIMESTAMPTZ LANGUAGE sql VOLATILE
        AS 'SELECT pg_catalog.now() + ahead FROM chaos_clock.step';
    ALTER DATABASE postgres SET search_path = public, chaos_clock, pg_catalog;";
