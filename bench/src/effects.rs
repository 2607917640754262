//! Effects a second through the whole bot: a chat line, its transaction, its reply, on both databases.
//!
//! Every channel has one command under way, `!deaths +`. The replies must count one, two, three in each channel: nothing
//! lost, nothing twice.

use std::fmt::Write;
use std::io::{Error, Result};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use fake_twitch::{Chatter, FakeConfig, FakeTwitch};
use tempfile::TempDir;

use crate::arguments::Plan;
use crate::percentiles::Percentiles;
use crate::process;
use crate::run::{bots, joined};
use crate::subject::{Setup, Subject, channel_login};

const STRAGGLERS: Duration = Duration::from_secs(10);
/// The pause that a slow disk adds to each call that makes data durable.
const SLOW_FSYNC: Duration = Duration::from_millis(5);
/// `PostgreSQL` publishes a session's counts when it has been idle for a second.
const PUBLISHED_AFTER: Duration = Duration::from_millis(1_500);
const SHIM: &str = include_str!("../slow_fsync.c");

/// What one case showed.
struct Shown {
    per_second: f64,
    latency: Percentiles,
    bot_cpu_micros: f64,
    /// Durable calls, or commits, for each effect.
    syncs_per_effect: f64,
}

/// Where the bot stores.
enum Store {
    Sqlite {
        pause: Duration,
    },
    /// A database of its own on the server of this address.
    Postgres(String),
}

impl Store {
    fn name(&self) -> String {
        match self {
            Self::Sqlite { pause } if pause.is_zero() => "SQLite".to_owned(),
            Self::Sqlite { pause } => format!("SQLite, each fsync {} ms slower", pause.as_millis()),
            Self::Postgres(_) => "PostgreSQL".to_owned(),
        }
    }
}

/// Measures every store and prints a table.
pub(crate) async fn report(plan: &Plan) -> Result<(String, Option<String>)> {
    let mut stores = vec![Store::Sqlite { pause: Duration::ZERO }, Store::Sqlite { pause: SLOW_FSYNC }];
    stores.extend(plan.postgres.clone().map(Store::Postgres));
    let mut out = format!("{}\n\n`{}`\n\n", process::machine()?, plan.command);
    out.push_str("| storage | channels | effects/s | p50 ms | p99 ms | max ms | CPU µs an effect (bot) | commits an effect |\n");
    out.push_str("|---|---|---|---|---|---|---|---|\n");
    for store in &stores {
        for n_channels in &plan.channels {
            let mut runs = Vec::new();
            for n_run in 1..=plan.n_runs {
                eprintln!("run {n_run}/{}: effects on {}, {n_channels} channels", plan.n_runs, store.name());
                runs.push(measure(plan, store, *n_channels).await?);
            }
            runs.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
            let Shown { per_second, latency, bot_cpu_micros, syncs_per_effect } = &runs[runs.len() / 2];
            writeln!(
                out,
                "| {} | {n_channels} | {per_second:.0} | {:.2} | {:.2} | {:.1} | {bot_cpu_micros:.0} | {syncs_per_effect:.3} |",
                store.name(),
                latency.p50_ms,
                latency.p99_ms,
                latency.max_ms
            )
            .map_err(Error::other)?;
        }
    }
    out.push_str("\nOne command under way in each channel; bot, database and load share the machine's cores. Of SQLite the calls of fsync \
                  and fdatasync are counted, of PostgreSQL the commits of its own statistics.\n");
    Ok((out, None))
}

async fn measure(plan: &Plan, store: &Store, n_channels: usize) -> Result<Shown> {
    let fake = FakeTwitch::start(FakeConfig::default().without_limits()).await?;
    let folder = tempfile::tempdir()?;
    let environment = environment(store, &folder)?;
    let kind = &bots(plan)[0];
    let cores = format!("{},{}", plan.load_core, plan.bot_core);
    let setup = Setup { kind, cores: &cores, n_channels, module_idle_secs: None, environment: &environment };
    let subject = Subject::start(setup, &fake).await?;
    joined(&fake, n_channels).await?;
    let mut channels = Channels::new(&fake, n_channels);
    // Reads every channel's commands and starts its module.
    channels.work(Duration::from_secs(1)).await?;
    tokio::time::sleep(PUBLISHED_AFTER).await;
    let syncs = n_syncs(store, &environment, &folder)?;
    let cpu = process::usage(subject.process_id)?.cpu_secs;
    let (latencies, wall) = channels.work(plan.length).await?;
    let cpu = process::usage(subject.process_id)?.cpu_secs - cpu;
    tokio::time::sleep(PUBLISHED_AFTER).await;
    let syncs = n_syncs(store, &environment, &folder)? - syncs;
    subject.stop().await?;
    let n_effects = latencies.len() as f64;
    Ok(Shown {
        per_second: n_effects / wall.as_secs_f64(),
        latency: Percentiles::of(latencies),
        bot_cpu_micros: cpu * 1e6 / n_effects,
        syncs_per_effect: syncs / n_effects,
    })
}

/// The channels and how far each has counted.
struct Channels<'a> {
    fake: &'a FakeTwitch,
    moderator: Chatter,
    /// The value last said, and when the command under way was said.
    states: Vec<(usize, Option<Instant>)>,
    n_replies: u64,
}

impl<'a> Channels<'a> {
    fn new(fake: &'a FakeTwitch, n_channels: usize) -> Self {
        let moderator = Chatter::with_badges("moderator", "moderator/1");
        Self { fake, moderator, states: vec![(0, None); n_channels], n_replies: 0 }
    }

    /// Keeps one command under way in every channel for that long; returns every waiting time.
    async fn work(&mut self, length: Duration) -> Result<(Vec<Duration>, Duration)> {
        let started = Instant::now();
        let until = started + length;
        for index in 0..self.states.len() {
            self.say(index);
        }
        let mut latencies = Vec::new();
        while self.states.iter().any(|(_, said_at)| said_at.is_some()) {
            let n_replies = self.n_replies;
            if !self.fake.wait_until(|fake| fake.counters().sends > n_replies, until + STRAGGLERS).await {
                return Err(Error::other("a command was not answered within 10 s"));
            }
            for reply in self.fake.take_received() {
                latencies.push(self.answered(&reply.channel_login, &reply.text, until)?);
            }
        }
        Ok((latencies, started.elapsed()))
    }

    fn say(&mut self, index: usize) {
        self.states[index].1 = Some(Instant::now());
        self.fake.say(&channel_login(index), &self.moderator, "!deaths +");
    }

    fn answered(&mut self, login: &str, text: &str, until: Instant) -> Result<Duration> {
        let index = login.rsplit('_').next().and_then(|digits| digits.parse::<usize>().ok());
        let wrong = || Error::other(format!("{login} said {text:?}: lost, doubled or misrouted"));
        let index = index.filter(|index| *index < self.states.len()).ok_or_else(wrong)?;
        let (value, said_at) = &mut self.states[index];
        *value += 1;
        self.n_replies += 1;
        let latency = said_at.take().ok_or_else(wrong)?.elapsed();
        if text != format!("deaths: {value}") {
            return Err(wrong());
        }
        if Instant::now() < until {
            self.say(index);
        }
        Ok(latency)
    }
}

/// What the bot's process is started with beside its configuration.
fn environment(store: &Store, folder: &TempDir) -> Result<Vec<(String, String)>> {
    match store {
        Store::Sqlite { pause } => {
            let library = shim(folder.path())?;
            Ok(vec![
                ("LD_PRELOAD".to_owned(), library),
                ("SLOW_FSYNC_COUNT".to_owned(), count_file(folder)),
                ("SLOW_FSYNC_MICROS".to_owned(), pause.as_micros().to_string()),
            ])
        }
        Store::Postgres(server) => Ok(vec![("WADDLEBOT_STORAGE__URL".to_owned(), new_database(server)?)]),
    }
}

/// Makes an empty database and tells its address.
pub(crate) fn new_database(server: &str) -> Result<String> {
    let name = format!("waddlebot_bench_{}", std::process::id());
    psql(server, &format!("DROP DATABASE IF EXISTS {name}"))?;
    psql(server, &format!("CREATE DATABASE {name}"))?;
    Ok(with_database(server, &name))
}

/// Builds the library that counts and slows fsync.
fn shim(folder: &Path) -> Result<String> {
    let (source, library) = (folder.join("slow_fsync.c"), folder.join("slow_fsync.so"));
    std::fs::write(&source, SHIM)?;
    let built = Command::new("cc")
        .args(["-O2", "-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(&source)
        .arg("-ldl")
        .status()?;
    if built.success() { Ok(library.display().to_string()) } else { Err(Error::other("cc failed")) }
}

fn count_file(folder: &TempDir) -> String {
    folder.path().join("fsyncs").display().to_string()
}

/// How often data was made durable so far.
fn n_syncs(store: &Store, environment: &[(String, String)], folder: &TempDir) -> Result<f64> {
    match store {
        Store::Sqlite { .. } => {
            let bytes = std::fs::read(count_file(folder))?;
            let bytes = bytes.try_into().map_err(|_| Error::other("the count is not eight bytes"))?;
            Ok(u64::from_ne_bytes(bytes) as f64)
        }
        Store::Postgres(_) => {
            let commits = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()";
            psql(&environment[0].1, commits)?.trim().parse().map_err(Error::other)
        }
    }
}

/// The same server, another database.
fn with_database(server: &str, name: &str) -> String {
    let (address, options) =
        server.split_once('?').map_or((server, None), |(left, right)| (left, Some(right)));
    let base = address.rsplit_once('/').map_or(address, |(base, _)| base);
    options.map_or_else(|| format!("{base}/{name}"), |options| format!("{base}/{name}?{options}"))
}

fn psql(url: &str, statement: &str) -> Result<String> {
    let output = Command::new("psql").args([url, "-X", "-A", "-t", "-q", "-c", statement]).output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(Error::other(format!("psql: {}", String::from_utf8_lossy(&output.stderr).trim())))
}
