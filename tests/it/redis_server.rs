//! A Redis server of the test's own, on a free port, in a temporary folder, ended by its process id with the handle.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fred::clients::Client;
use fred::interfaces::ClientLike;
use fred::types::config::Config;
use fred::types::{ClusterHash, CustomCommand, Value};
use secrecy::SecretString;
use tempfile::TempDir;
use waddlebot::redis::RedisOptions;

use crate::node::{PATIENCE, eventually};

/// A running server.
#[derive(Debug)]
pub struct RedisServer {
    child: Child,
    port: u16,
    folder: TempDir,
    password: Option<String>,
}

impl RedisServer {
    /// An empty server on a free port that keeps nothing on disk.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        drop(listener);
        let server = Self { child: spawn(port, &folder), port, folder, password: None };
        server.answers().await;
        server
    }

    pub fn url(&self) -> String {
        match &self.password {
            Some(password) => format!("redis://:{password}@127.0.0.1:{}", self.port),
            None => format!("redis://127.0.0.1:{}", self.port),
        }
    }

    /// What a handle on this server needs.
    pub fn options(&self) -> RedisOptions {
        let url = SecretString::from(self.url());
        RedisOptions { url, timeout: Duration::from_millis(100), databases: [0, 1, 2] }
    }

    /// kill -9, and gone.
    pub fn kill(&mut self) {
        self.child.kill().expect("is killed");
        self.child.wait().expect("has ended");
    }

    /// A new, empty server on the same port.
    pub async fn start_again(&mut self) {
        self.child = spawn(self.port, &self.folder);
        self.password = None;
        self.answers().await;
    }

    /// Stops it in its tracks, as a machine that hangs.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    pub fn resume(&self) {
        self.signal("-CONT");
    }

    /// From now on only who knows the password gets in, and everybody else is thrown out.
    pub async fn set_password(&mut self, password: &str) {
        self.command(0, &["CONFIG", "SET", "requirepass", password]).await;
        self.password = (!password.is_empty()).then(|| password.to_owned());
        self.command(0, &["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await;
    }

    /// Makes the limits' database look as if it had counted for long: its sentinel is old.
    pub async fn age(&self) {
        let info = self.command(0, &["INFO", "server"]).await.as_string().expect("a text");
        let run_id = info.lines().find_map(|line| line.strip_prefix("run_id:")).expect("a run id").trim();
        self.command(1, &["SET", "waddlebot:rate_limit:sentinel", &format!("{run_id} 1")]).await;
    }

    /// One command in that database.
    pub async fn command(&self, database: u8, words: &[&str]) -> Value {
        let mut config = Config::from_url(&self.url()).expect("a URL");
        (config.database, config.fail_fast) = (Some(database), true);
        let client = Client::new(config, None, None, None);
        client.init().await.expect("the server answers");
        let command = CustomCommand::new(words[0], ClusterHash::FirstKey, false);
        let answer = client.custom(command, words[1..].iter().map(|word| (*word).to_owned()).collect());
        let answer = tokio::time::timeout(PATIENCE, answer).await.expect("answers in time").expect("answers");
        client.quit().await.expect("quits");
        answer
    }

    fn signal(&self, name: &str) {
        let kill = Command::new("kill").arg(name).arg(self.child.id().to_string()).status();
        assert!(kill.expect("kill runs").success());
    }

    async fn answers(&self) {
        let address = ("127.0.0.1", self.port);
        eventually("redis-server listens", || async {
            tokio::net::TcpStream::connect(address).await.is_ok()
        })
        .await;
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // Ends a paused one too.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn spawn(port: u16, folder: &TempDir) -> Child {
    Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
        .args(["--dir", &folder.path().display().to_string(), "--loglevel", "warning"])
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server is installed (apt-get install redis-server)")
}
