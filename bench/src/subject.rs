//! The process that is measured: its start and end.

use std::fs;
use std::io::{Error, Result};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use fake_twitch::FakeTwitch;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

mod configuration;
mod scrape;

pub(crate) use self::configuration::Transport;
pub(crate) use self::scrape::Scrape;

pub(crate) const LOGIN: &str = "waddlebot";
pub(crate) const TOKEN: &str = "token";
pub(crate) const CHANNELS_PER_CONNECTION: usize = 90;
const READY_TIMEOUT: Duration = Duration::from_mins(5);
const STOP_TIMEOUT: Duration = Duration::from_mins(1);

/// What is measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Bot(PathBuf, Transport),
    BareClient,
    EchoLoop,
}

impl Kind {
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Bot(_, Transport::Tcp) => "waddlebot".to_owned(),
            Self::Bot(_, transport) => format!("waddlebot over {}", transport.name()),
            Self::BareClient => "bare twitch-irc".to_owned(),
            Self::EchoLoop => "echo loop".to_owned(),
        }
    }

    pub(crate) fn is_bot(&self) -> bool {
        matches!(self, Self::Bot(..))
    }
}

/// The login of a channel of the load.
pub(crate) fn channel_login(index: usize) -> String {
    format!("channel_{index:05}")
}

/// How a process is started.
#[derive(Clone, Copy)]
pub(crate) struct Setup<'a> {
    pub(crate) kind: &'a Kind,
    /// As `taskset` takes them, e.g. `0,1`.
    pub(crate) cores: &'a str,
    pub(crate) n_channels: usize,
    /// `None`: the bot's own.
    pub(crate) module_idle_secs: Option<u64>,
    /// Names and values that the process sees beside its configuration.
    pub(crate) environment: &'a [(String, String)],
}

/// A running process; killed when it is dropped.
pub(crate) struct Subject {
    child: Child,
    pub(crate) process_id: u32,
    pub(crate) started_at: Instant,
    /// Since `started_at`.
    pub(crate) ready_after: Duration,
    /// `None`: it has no HTTP.
    http_address: Option<String>,
    folder: TempDir,
}

impl Subject {
    /// Starts it on its cores and waits for its ready line.
    pub(crate) async fn start(setup: Setup<'_>, fake: &FakeTwitch) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("waddlebot-bench-").tempdir()?;
        let mut command = Command::new("taskset");
        command.args(["-c", setup.cores]);
        match setup.kind {
            Kind::Bot(path, transport) => {
                let config = folder.path().join("bench.toml");
                let text = configuration::of_bot(folder.path(), fake, *transport, setup).await?;
                fs::write(&config, text)?;
                restrict(&config)?;
                command.arg(path).args(["run", "--config"]).arg(config);
            }
            Kind::BareClient => own_client(&mut command, "bare-client", fake, setup.n_channels)?,
            Kind::EchoLoop => own_client(&mut command, "echo-loop", fake, setup.n_channels)?,
        }
        let log = fs::File::create(folder.path().join("stderr.log"))?;
        command.envs(setup.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).kill_on_drop(true);
        let started_at = Instant::now();
        let mut child = command.spawn()?;
        let process_id = child.id().ok_or_else(|| Error::other("the process ended at once"))?;
        let ready = tokio::time::timeout(READY_TIMEOUT, ready_line(&mut child)).await;
        let line = ready.ok().flatten().ok_or_else(|| {
            let log = fs::read_to_string(folder.path().join("stderr.log")).unwrap_or_default();
            Error::other(format!("{} did not get ready; its log ends:\n{}", setup.kind.name(), tail(&log)))
        })?;
        let http_address = line
            .split_once("http://")
            .map(|(_, rest)| rest.split(',').next().unwrap_or(rest).trim().to_owned());
        Ok(Self { child, process_id, started_at, ready_after: started_at.elapsed(), http_address, folder })
    }

    /// Everything that it counts, at one moment; `None`: it has no metrics or does not answer.
    pub(crate) async fn scrape(&self) -> Option<Scrape> {
        Scrape::read(self.http_address.as_ref()?).await.ok()
    }

    /// The end of its log, for a report of what went wrong.
    pub(crate) fn log_tail(&self) -> String {
        tail(&fs::read_to_string(self.folder.path().join("stderr.log")).unwrap_or_default())
    }

    /// Asks it to end, and kills it when it does not.
    pub(crate) async fn stop(mut self) -> Result<()> {
        Command::new("kill").arg(self.process_id.to_string()).status().await?;
        if tokio::time::timeout(STOP_TIMEOUT, self.child.wait()).await.is_err() {
            self.child.kill().await?;
        }
        Ok(())
    }
}

async fn ready_line(child: &mut Child) -> Option<String> {
    let mut lines = BufReader::new(child.stdout.take()?).lines();
    loop {
        let line = lines.next_line().await.ok()??;
        if line.starts_with("ready:") {
            return Some(line);
        }
    }
}

fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

fn own_client(command: &mut Command, name: &str, fake: &FakeTwitch, n_channels: usize) -> Result<()> {
    command.arg(std::env::current_exe()?);
    command.args([name, &fake.irc_addr().to_string(), &n_channels.to_string()]);
    Ok(())
}

/// The file holds a token, and the bot minds who can read it.
fn restrict(file: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(file, fs::Permissions::from_mode(0o600))
}
