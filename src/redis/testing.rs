//! A redis-server of a test's own: a free port, a folder of its own, killed with its handle.

use std::net::TcpListener;
use std::process::Stdio;
use std::time::{Duration, Instant};

use secrecy::SecretString;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::RedisOptions;

/// How long anything may take on a busy machine before the test is red.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running server, or one that was killed.
pub struct RedisServer {
    folder: TempDir,
    port: u16,
    /// `None` while it is killed.
    child: Option<Child>,
}

impl RedisServer {
    pub async fn start() -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let mut server = Self { folder: tempfile::tempdir().unwrap(), port, child: None };
        server.spawn().await;
        server
    }

    async fn spawn(&mut self) {
        let mut command = Command::new("redis-server");
        let port = self.port.to_string();
        command.args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        command.arg("--dir").arg(self.folder.path());
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true).spawn();
        self.child = Some(child.expect("the tests need redis-server: apt-get install redis-server"));
        let port = self.port;
        until("the server listens", || async move {
            tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok()
        })
        .await;
    }

    pub async fn kill(&mut self) {
        self.child.take().unwrap().kill().await.unwrap();
    }

    /// What `redis-cli` prints for a command.
    pub async fn cli(&self, words: &[&str]) -> String {
        let port = self.port.to_string();
        let output = Command::new("redis-cli").args(["-p", &port]).args(words).output().await.unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    pub fn options(&self) -> RedisOptions {
        let url = SecretString::from(format!("redis://127.0.0.1:{}", self.port));
        RedisOptions { url, timeout: Duration::from_millis(500), databases: [0, 1, 2] }
    }
}

/// Waits for the condition, looking often.
async fn until<F, Fut>(what: &str, mut done: F)
where
    F: FnMut() -> Fut,
    Fut: Future<Output = bool>,
{
    let deadline = Instant::now() + PATIENCE;
    while !done().await {
        assert!(Instant::now() < deadline, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
