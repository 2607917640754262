//! The process that is measured: its configuration, start and end.

use std::fs;
use std::io::{Error, Result};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use fake_twitch::FakeTwitch;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

use crate::arguments::Plan;

pub(crate) const LOGIN: &str = "waddlebot";
pub(crate) const TOKEN: &str = "token";
pub(crate) const CHANNELS_PER_CONNECTION: usize = 90;
const READY_TIMEOUT: Duration = Duration::from_mins(2);
const STOP_TIMEOUT: Duration = Duration::from_secs(20);
/// A limit that does not bind.
const LIFTED: u32 = 1_000_000;

/// What is measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Bot(PathBuf),
    BareClient,
    DrainClient,
}

impl Kind {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Bot(_) => "waddlebot",
            Self::BareClient => "bare twitch-irc",
            Self::DrainClient => "(discards all)",
        }
    }
}

/// The login of a channel of the load.
pub(crate) fn channel_login(index: usize) -> String {
    format!("channel_{index:05}")
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
    /// Starts it on its core and waits for its ready line.
    pub(crate) async fn start(
        kind: &Kind,
        plan: &Plan,
        fake: &FakeTwitch,
        n_channels: usize,
    ) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("waddlebot-bench-").tempdir()?;
        let mut command = Command::new("taskset");
        command.args(["-c", &plan.bot_core.to_string()]);
        match kind {
            Kind::Bot(path) => {
                let config = folder.path().join("bench.toml");
                fs::write(&config, configuration(folder.path(), fake, n_channels).await?)?;
                restrict(&config)?;
                command.arg(path).args(["run", "--config"]).arg(config);
            }
            Kind::BareClient => drop(own_client(&mut command, "bare-client", fake, n_channels)?),
            Kind::DrainClient => drop(own_client(&mut command, "drain-client", fake, n_channels)?),
        }
        let log = fs::File::create(folder.path().join("stderr.log"))?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).kill_on_drop(true);
        let started_at = Instant::now();
        let mut child = command.spawn()?;
        let process_id = child.id().ok_or_else(|| Error::other("the process ended at once"))?;
        let ready = tokio::time::timeout(READY_TIMEOUT, ready_line(&mut child)).await;
        let line = ready.ok().flatten().ok_or_else(|| {
            let log = fs::read_to_string(folder.path().join("stderr.log")).unwrap_or_default();
            Error::other(format!("{} did not get ready; its log ends:\n{}", kind.name(), tail(&log)))
        })?;
        let http_address =
            line.split_once("http://").map(|(_, rest)| rest.split(',').next().unwrap_or(rest).to_owned());
        Ok(Self { child, process_id, started_at, ready_after: started_at.elapsed(), http_address, folder })
    }

    /// Sum of a Prometheus counter over its labels; `None`: it has no such metric.
    pub(crate) async fn metric(&self, name: &str) -> Option<f64> {
        let mut socket = TcpStream::connect(self.http_address.as_ref()?.trim()).await.ok()?;
        let request = "GET /metrics HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n";
        socket.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.ok()?;
        let samples = answer
            .lines()
            .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])));
        let values: Vec<f64> = samples.filter_map(|line| line.rsplit_once(' ')?.1.parse().ok()).collect();
        (!values.is_empty()).then(|| values.iter().sum())
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

fn own_client<'a>(
    command: &'a mut Command,
    name: &str,
    fake: &FakeTwitch,
    n_channels: usize,
) -> Result<&'a mut Command> {
    let own = std::env::current_exe()?;
    Ok(command.arg(own).args([name, &fake.irc_addr().to_string(), &n_channels.to_string()]))
}

/// The file holds a token, and the bot minds who can read it.
fn restrict(file: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(file, fs::Permissions::from_mode(0o600))
}

async fn configuration(folder: &Path, fake: &FakeTwitch, n_channels: usize) -> Result<String> {
    let free = TcpListener::bind(("127.0.0.1", 0)).await?.local_addr()?;
    let names: Vec<String> = (0..n_channels).map(|index| format!("{:?}", channel_login(index))).collect();
    let data = folder.join("data").display().to_string();
    Ok(format!(
        r#"[node]
id = "bench"
data_dir = {data:?}
[storage]
url = "sqlite://{data}/waddlebot.db"
[hub]
listen = "{free}"
[limits]
command_rate = 0
[telemetry]
log = "warn"
[platforms.twitch]
channels = [{names}]
irc_url = "{irc}"
auth_url = "{http}/oauth2"
helix_url = "{http}/helix"
client_id = "fake-client-id"
bot_login = "{LOGIN}"
bot_token = "{TOKEN}"
channels_per_connection = {CHANNELS_PER_CONNECTION}
joins_per_10s = {LIFTED}
messages_per_30s = {LIFTED}
messages_per_30s_moderator = {LIFTED}
channel_interval_ms = 0
send_queue = 1024
connections_per_second = 1000.0
auth_per_10s = {LIFTED}
[[commands]]
name = "!echo"
response = "$(query)"
cooldown_secs = 0
"#,
        names = names.join(", "),
        irc = fake.irc_url(),
        http = fake.http_url(),
    ))
}
