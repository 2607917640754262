//! A `PostgreSQL` of the test's own with streaming replicas, in one temporary folder, ended with the value.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sqlx::{ConnectOptions, Connection, Executor, PgConnection};
use tempfile::TempDir;

use super::server::{MISSING, as_owner, find_binaries, run, user_id};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Between two looks at a condition.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A primary (number 0) and its replicas (1, 2, …).
///
/// The servers end with the thread that started them, so a test must start them on its own thread.
#[derive(Debug)]
pub struct Streaming {
    servers: Vec<Server>,
    bin: PathBuf,
    folder: TempDir,
}

#[derive(Debug)]
struct Server {
    /// `None` while it is down.
    process: Option<Child>,
}

impl Streaming {
    /// Starts a primary and so many replicas, all of which answer.
    pub async fn start(n_replicas: usize) -> Self {
        let bin = find_binaries().expect(MISSING);
        let folder = tempfile::tempdir().expect("the temporary folder can be written");
        if user_id() == "0" {
            run(Command::new("chown").arg("postgres").arg(folder.path()));
        }
        let mut this = Self { servers: Vec::new(), bin, folder };
        let primary = this.data(0);
        run(as_owner(&this.bin.join("initdb"))
            .args(["-A", "trust", "-U", "postgres", "-E", "UTF8", "-N"])
            .arg(&primary));
        this.servers.push(Server { process: None });
        this.revive(0).await;
        for n in 1..=n_replicas {
            let copy = ["-p", "1", "-U", "postgres", "-R", "-X", "stream", "-c", "fast", "--no-sync"];
            let mut backup = as_owner(&this.bin.join("pg_basebackup"));
            run(backup.arg("-h").arg(this.folder.path()).args(copy).arg("-D").arg(this.data(n)));
            this.servers.push(Server { process: None });
            this.revive(n).await;
        }
        this
    }

    /// The address of one server.
    pub fn url(&self, n: usize) -> String {
        format!("postgres://postgres@localhost:{}/postgres?host={}", n + 1, self.folder.path().display())
    }

    /// Ends a server at once, as a crash would, and waits for its end.
    pub fn kill(&mut self, n: usize) {
        if let Some(mut process) = self.servers[n].process.take() {
            run(Command::new("kill").args(["-QUIT", &process.id().to_string()]));
            process.wait().expect("a child can be waited for");
        }
    }

    /// Starts a server that is down and waits until it answers.
    pub async fn revive(&mut self, n: usize) {
        let process = start(&self.bin.join("postgres"), &self.data(n), self.folder.path(), n + 1);
        self.servers[n].process = Some(process);
        eventually("the server answers", async || self.connect(n).await.is_some()).await;
    }

    /// Stops a server with all its processes in the middle of whatever they do; false lets them go on.
    pub fn freeze(&self, n: usize, is_frozen: bool) {
        let process = self.servers[n].process.as_ref().expect("the server runs");
        let parent = process.id().to_string();
        let signal = if is_frozen { "-STOP" } else { "-CONT" };
        run(Command::new("kill").args([signal, &parent]));
        let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"));
        for child in children.expect("the kernel tells a process's children").split_whitespace() {
            // One that has ended by now needs no signal.
            drop(Command::new("kill").args([signal, child]).output());
        }
    }

    /// Replays no further, and returns when that is so.
    pub async fn pause(&self, n: usize) {
        self.execute(n, "SELECT pg_wal_replay_pause()").await;
        let paused = "SELECT pg_get_wal_replay_pause_state() = 'paused'";
        eventually("the replay pauses", async || self.says(n, paused).await).await;
    }

    /// Goes on replaying.
    pub async fn resume(&self, n: usize) {
        self.execute(n, "SELECT pg_wal_replay_resume()").await;
    }

    /// Makes a replica a server of its own.
    pub async fn promote(&self, n: usize) {
        self.execute(n, "SELECT pg_promote()").await;
    }

    /// Waits until a replica has replayed all that the primary wrote.
    pub async fn caught_up(&self, n: usize) {
        let (written,): (String,) = sqlx::query_as("SELECT CAST(pg_current_wal_lsn() AS TEXT)")
            .fetch_one(&mut self.connect(0).await.expect("the primary answers"))
            .await
            .expect("it tells its position");
        eventually("the replica caught up", async || {
            let mut replica = self.connect(n).await.expect("the replica answers");
            let asked =
                sqlx::query_as("SELECT pg_last_wal_replay_lsn() >= CAST($1 AS PG_LSN)").bind(&written);
            let (is_there,): (bool,) = asked.fetch_one(&mut replica).await.expect("it tells its position");
            is_there
        })
        .await;
    }

    fn data(&self, n: usize) -> PathBuf {
        self.folder.path().join(format!("data-{n}"))
    }

    async fn connect(&self, n: usize) -> Option<PgConnection> {
        let options: sqlx::postgres::PgConnectOptions = self.url(n).parse().expect("an address");
        options.disable_statement_logging().connect().await.ok()
    }

    async fn execute(&self, n: usize, sql: &'static str) {
        let mut server = self.connect(n).await.expect("the server answers");
        server.execute(sql).await.expect("the statement is right");
        server.close().await.expect("the connection ends");
    }

    async fn says(&self, n: usize, sql: &'static str) -> bool {
        let mut server = self.connect(n).await.expect("the server answers");
        let (answer,): (bool,) = sqlx::query_as(sql).fetch_one(&mut server).await.expect("an answer");
        answer
    }
}

impl Drop for Streaming {
    fn drop(&mut self) {
        for n in (0..self.servers.len()).rev() {
            if self.servers[n].process.is_some() {
                self.freeze(n, false);
            }
            self.kill(n);
        }
    }
}

/// Starts a server that ends with this thread.
fn start(program: &Path, data: &Path, sockets: &Path, port: usize) -> Child {
    let mut command = Command::new("setpriv");
    if user_id() == "0" {
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
    }
    let log = std::fs::File::create(sockets.join(format!("log-{port}"))).expect("a log");
    command.args(["--pdeathsig", "QUIT", "--"]).arg(program).arg("-D").arg(data);
    command.arg("-k").arg(sockets).args(["-p", &port.to_string(), "-c", "listen_addresses="]);
    for setting in [
        "fsync=off",
        "full_page_writes=off",
        "shared_buffers=16MB",
        "max_connections=50",
        "wal_retrieve_retry_interval=100ms",
    ] {
        command.args(["-c", setting]);
    }
    let errors = log.try_clone().expect("a second handle on the log");
    command.current_dir("/").stdin(Stdio::null()).stdout(log).stderr(errors);
    command.spawn().expect("setpriv of util-linux is installed")
}

/// Waits until `done` says so, looking often.
///
/// # Panics
/// After 30 s.
pub async fn eventually(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done().await {
        assert!(Instant::now() < deadline, "never happened: {what}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
