//! One node's process in its namespace.

use std::fs::{self, File, OpenOptions};
use std::io::{Error, Result};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};

use super::network::{Place, namespace};
use super::postgres::Postgres;
use super::world::N_NODES;

pub(crate) const SERVICE_KEY: &str = "0123456789abcdef0123456789abcdef";

/// What all nodes are started with.
pub(crate) struct Setting {
    pub(crate) bot: PathBuf,
    pub(crate) is_fence_off: bool,
    pub(crate) channels: Vec<String>,
    pub(crate) irc_url: String,
    pub(crate) http_url: String,
    pub(crate) joins_per_10s: u32,
    certificates: PathBuf,
}

impl Setting {
    pub(crate) fn new(bot: &Path, is_fence_off: bool, under: &Path) -> Result<Self> {
        let certificates = under.join("certificates");
        make_certificates(bot, &certificates)?;
        Ok(Self {
            bot: bot.to_owned(),
            is_fence_off,
            channels: Vec::new(),
            irc_url: String::new(),
            http_url: String::new(),
            joins_per_10s: 0,
            certificates,
        })
    }

    /// Texts of the certificates' files, one behind the other.
    pub(crate) fn pem(&self, names: &[&str]) -> Result<Vec<u8>> {
        let mut text = Vec::new();
        for name in names {
            text.extend(fs::read(self.certificates.join(name))?);
        }
        Ok(text)
    }

    fn configuration(&self, number: usize, folder: &Path) -> String {
        let channels: Vec<String> = self.channels.iter().map(|login| format!("{login:?}")).collect();
        let address = Place::Node(number).address();
        let tls = |name: &str| self.certificates.join(name).display().to_string();
        format!(
            r#"[node]
id = "node-{number}"
data_dir = {data:?}
[storage]
url = "{database}"
[hub]
listen = "{address}:8080"
service_key = "{SERVICE_KEY}"
[cluster]
enabled = true
listen = "{address}:7070"
cookie = "{SERVICE_KEY}"
tls_cert = {cert:?}
tls_key = {key:?}
tls_ca = {ca:?}
[limits]
command_rate = 0
[telemetry]
log = "info"
[platforms.twitch]
channels = [{channels}]
irc_url = "{irc}"
auth_url = "{http}/oauth2"
helix_url = "{http}/helix"
client_id = "fake-client-id"
bot_login = "waddlebot"
bot_token = "token"
joins_per_10s = {joins}
messages_per_30s = 0
messages_per_30s_moderator = 0
channel_interval_ms = 0
connections_per_second = 100.0
auth_per_10s = 1000
[[commands]]
name = "!echo"
response = "$(query)"
cooldown_secs = 0
"#,
            data = folder.join("data").display().to_string(),
            database = Postgres::url(),
            cert = tls(&format!("{address}.pem")),
            key = tls(&format!("{address}.key")),
            ca = tls("ca.pem"),
            channels = channels.join(","),
            irc = self.irc_url,
            http = self.http_url,
            joins = self.joins_per_10s,
        )
    }
}

/// A node, running or not. Its process is killed with this value.
pub(crate) struct Node {
    pub(crate) number: usize,
    folder: PathBuf,
    child: Option<Child>,
}

impl Node {
    /// Keeps its data and its log under that folder.
    pub(crate) fn new(number: usize, under: &Path) -> Result<Self> {
        let folder = under.join(format!("node-{number}"));
        fs::create_dir_all(&folder)?;
        Ok(Self { number, folder, child: None })
    }

    pub(crate) fn id(&self) -> String {
        format!("node-{}", self.number)
    }

    /// Starts the process; the caller asks when it serves.
    pub(crate) fn start(&mut self, setting: &Setting) -> Result<()> {
        let file = self.folder.join("waddlebot.toml");
        write_private(&file, &setting.configuration(self.number, &self.folder))?;
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &namespace(self.number)]);
        command.arg(&setting.bot).arg("run").arg("--config").arg(file);
        if setting.is_fence_off {
            command.env("WADDLEBOT_TEST_FENCE", "off");
            // A module's own limit would end what the fence is to end.
            command.env("WADDLEBOT_LIMITS__MODULE_TIMEOUT_MS", "5000");
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(self.log_file()?).kill_on_drop(true);
        self.child = Some(command.spawn()?);
        Ok(())
    }

    /// Starts it again if its process has ended by itself, as whoever runs it in earnest does.
    pub(crate) fn start_if_ended(&mut self, setting: &Setting) -> Result<()> {
        let has_ended = self.child.as_mut().is_none_or(|child| !matches!(child.try_wait(), Ok(None)));
        if has_ended { self.start(setting) } else { Ok(()) }
    }

    /// Sends a signal: `KILL`, `STOP`, `CONT`, `TERM`.
    pub(crate) fn signal(&self, name: &str) -> Result<()> {
        let process_id = self.process_id().ok_or_else(|| Error::other(format!("{} has ended", self.id())))?;
        let process_id = process_id.to_string();
        let status = std::process::Command::new("kill").args(["-s", name, &process_id]).status()?;
        if status.success() { Ok(()) } else { Err(Error::other(format!("kill -s {name} {process_id}"))) }
    }

    pub(crate) fn process_id(&self) -> Option<u32> {
        self.child.as_ref()?.id()
    }

    /// Waits for the end of its process.
    pub(crate) async fn ended(&mut self, within: Duration) -> Result<()> {
        let Some(child) = &mut self.child else { return Ok(()) };
        tokio::time::timeout(within, child.wait())
            .await
            .map_err(|_| Error::other(format!("node-{} does not end", self.number)))??;
        self.child = None;
        Ok(())
    }

    fn log_file(&self) -> Result<File> {
        OpenOptions::new().create(true).append(true).open(self.folder.join("stderr.log"))
    }

    pub(crate) fn log_tail(&self) -> String {
        let log = fs::read_to_string(self.folder.join("stderr.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

fn write_private(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))
}

/// Has the program make an authority, and a certificate for each node.
fn make_certificates(bot: &Path, folder: &Path) -> Result<()> {
    let hosts = (0..N_NODES).map(|number| Place::Node(number).address().to_string());
    let mut command = std::process::Command::new(bot);
    command.args(["cluster", "certificates", "--dir"]).arg(folder).arg("--host").args(hosts);
    let output = command.output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(Error::other(format!("cluster certificates: {said}"))) }
}
