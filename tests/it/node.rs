//! A waddlebot process under test: started from the built binary, in a folder of its own, killed with its handle.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// The program as cargo built it for this test run.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_waddlebot");
/// How long anything may take on a busy machine before the test is red.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How a node is started.
#[derive(Debug)]
pub struct Launch {
    folder: TempDir,
    config: String,
    env: Vec<(String, String)>,
    console: bool,
    wrapper: Vec<String>,
}

impl Launch {
    /// A node with that configuration beside a data folder and a free port of its own.
    pub fn new(config: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self { folder, config: config.to_owned(), env: Vec::new(), console: false, wrapper: Vec::new() }
    }

    /// With the terminal's channel, driven through standard input.
    pub fn console(mut self) -> Self {
        self.console = true;
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Runs the program under another one (`prlimit …`, `unshare …`).
    pub fn under(mut self, wrapper: &[&str]) -> Self {
        self.wrapper = wrapper.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn command(&self) -> Command {
        let config = self.folder.path().join("waddlebot.toml");
        std::fs::write(&config, &self.config).expect("the configuration is written");
        let mut command = match self.wrapper.split_first() {
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(PROGRAM);
                command
            }
            None => Command::new(PROGRAM),
        };
        command.arg("run").arg("--config").arg(&config);
        if self.console {
            command.arg("--console");
        }
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("WADDLEBOT_HUB__LISTEN", "127.0.0.1:0")
            .env("WADDLEBOT_NODE__DATA_DIR", self.data_dir())
            .env("WADDLEBOT_NODE__ID", "test")
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .current_dir(self.folder.path())
            .kill_on_drop(true);
        command
    }

    /// Starts the node and waits until it says that it is ready.
    pub async fn start(self) -> Node {
        let mut child = self
            .command()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::from(self.log_file()))
            .spawn()
            .expect("the program starts");
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("standard output is piped")).lines();
        let mut node = Node { launch: self, child, input, output, url: String::new(), client: client() };
        node.wait_ready().await;
        node
    }

    /// Starts the node and kills it after that time, ready or not.
    pub async fn start_and_kill(&self, after: Duration) {
        let mut child = self
            .command()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        tokio::time::sleep(after).await;
        child.kill().await.expect("is killed");
    }

    /// Runs the node to its end, for starts that are refused: status, both outputs, how long it took.
    pub async fn run_to_end(&self) -> (ExitStatus, String, Duration) {
        let started = Instant::now();
        let run = self.command().stdin(Stdio::null()).output();
        let output = tokio::time::timeout(PATIENCE, run).await.expect("ends by itself").expect("runs");
        let text = [output.stdout, output.stderr].concat();
        (output.status, String::from_utf8_lossy(&text).into_owned(), started.elapsed())
    }

    fn log_file(&self) -> std::fs::File {
        let path = self.folder.path().join("stderr.log");
        std::fs::OpenOptions::new().create(true).append(true).open(path).expect("the log is opened")
    }
}

/// A running node.
#[derive(Debug)]
pub struct Node {
    pub launch: Launch,
    child: Child,
    input: Option<ChildStdin>,
    output: Lines<BufReader<ChildStdout>>,
    pub url: String,
    client: reqwest::Client,
}

/// One client a node: making one reads the system's certificates, which takes longer than what is measured.
fn client() -> reqwest::Client {
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    reqwest::Client::builder().timeout(PATIENCE).build().expect("a client")
}

impl Node {
    async fn wait_ready(&mut self) {
        while self.url.is_empty() {
            let line = self.line().await.unwrap_or_else(|| panic!("the node ended: {}", self.log()));
            if let Some((_, rest)) = line.split_once("http://") {
                self.url = format!("http://{}", rest.split([',', ' ']).next().unwrap_or_default());
            }
        }
        if self.launch.console {
            while !self.line().await.expect("a first screen").starts_with("To stop") {}
            self.line().await;
        }
    }

    /// The next line of standard output; `None` at its end.
    pub async fn line(&mut self) -> Option<String> {
        let line = tokio::time::timeout(PATIENCE, self.output.next_line()).await;
        line.unwrap_or_else(|_| panic!("no further line; log: {}", self.log())).expect("standard output")
    }

    /// Types a line and returns what the bot says to it.
    pub async fn say(&mut self, line: &str) -> String {
        self.type_line(line).await;
        let said = self.line().await.expect("the node runs");
        said.strip_prefix("waddlebot: ").unwrap_or(&said).to_owned()
    }

    /// Types a line and waits for nothing.
    pub async fn type_line(&mut self, line: &str) {
        self.type_bytes(format!("{line}\n").as_bytes()).await;
    }

    pub async fn type_bytes(&mut self, bytes: &[u8]) {
        let input = self.input.as_mut().expect("standard input is open");
        input.write_all(bytes).await.expect("the node reads");
    }

    /// Ends standard input.
    pub fn close_input(mut self) -> Self {
        self.input = None;
        self
    }

    pub fn log(&self) -> String {
        let read = |path: PathBuf| std::fs::read_to_string(path).unwrap_or_default();
        read(self.launch.folder().join("stderr.log")) + &read(self.launch.data_dir().join("waddlebot.log"))
    }

    pub fn pid(&self) -> u32 {
        self.child.id().expect("the node runs")
    }

    fn service_key(&self) -> String {
        std::fs::read_to_string(self.launch.data_dir().join("service.key")).expect("a service key")
    }

    /// A GET of the API with the service key: status and body.
    pub async fn get(&self, path: &str) -> (u16, Value) {
        self.ask(reqwest::Method::GET, path, None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        self.ask(reqwest::Method::POST, path, Some(body)).await
    }

    pub async fn delete(&self, path: &str) -> (u16, Value) {
        self.ask(reqwest::Method::DELETE, path, None).await
    }

    /// A POST with one more header.
    pub async fn post_with(&self, path: &str, header: (&str, &str), body: Value) -> (u16, Value) {
        let request = self.client.post(format!("{}{path}", self.url)).header(header.0, header.1);
        self.send(request.json(&body)).await
    }

    async fn ask(&self, method: reqwest::Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let mut request = self.client.request(method, format!("{}{path}", self.url));
        if let Some(body) = body {
            request = request.json(&body);
        }
        self.send(request).await
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> (u16, Value) {
        let request = request.header("X-Service-Key", self.service_key());
        let answer = request.send().await.expect("the hub answers");
        let status = answer.status().as_u16();
        let text = answer.text().await.expect("a body");
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// The answer to a GET, which may have no end.
    pub async fn follow(&self, path: &str) -> reqwest::Response {
        let request =
            self.client.get(format!("{}{path}", self.url)).header("X-Service-Key", self.service_key());
        request.send().await.expect("the hub answers")
    }

    /// A GET with one header and no key.
    pub async fn raw_get(&self, path: &str, header: &str, value: &str) -> reqwest::Response {
        let request = self.client.get(format!("{}{path}", self.url)).header(header, value);
        request.send().await.expect("the hub answers")
    }

    /// A router event; the JSON answer with its status.
    pub async fn event(&self, key: &str, user: &str, text: &str, level: &str) -> (u16, Value) {
        let (platform, channel_id) = key.split_once(':').expect("a channel key");
        let body = serde_json::json!({
            "platform": platform, "channel_id": channel_id, "user_id": format!("id-{user}"), "username": user,
            "message": text, "message_type": "chatMessage", "metadata": { "level": level },
        });
        self.post("/api/v1/router/events", body).await
    }

    /// The value of one metric, all its label sets added up; 0 when it is not there.
    pub async fn metric(&self, name: &str) -> f64 {
        self.metrics([name]).await[0]
    }

    /// Waits until more than `n_at_least` lines came in and each is handled, dropped or a repeat: not one more or less.
    pub async fn lines_balance(&self, n_at_least: f64) {
        eventually("every line that came in is accounted for", || async {
            let names = [
                "waddlebot_lines_in_total",
                "waddlebot_lines_handled_total",
                "waddlebot_messages_dropped_total",
                "waddlebot_duplicates_suppressed_total",
            ];
            let [lines_in, handled, dropped, repeated] = self.metrics(names).await;
            println!("in {lines_in} = handled {handled} + dropped {dropped} + repeated {repeated}");
            lines_in > n_at_least && (lines_in - handled - dropped - repeated).abs() < 0.5
        })
        .await;
    }

    /// Several metrics as they were at one moment.
    pub async fn metrics<const N: usize>(&self, names: [&str; N]) -> [f64; N] {
        let (_, text) = self.get("/metrics").await;
        let text = text.as_str().unwrap_or_default().to_owned();
        names.map(|name| {
            let of_name =
                |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
            text.lines().filter(of_name).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
        })
    }

    /// Sends a signal by number to this process.
    pub async fn signal(&self, number: u8) {
        let kill = Command::new("kill").arg(format!("-{number}")).arg(self.pid().to_string()).status().await;
        assert!(kill.expect("kill runs").success());
    }

    /// Whether the process ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("the process is ours").is_some()
    }

    /// Waits for the end of the process.
    pub async fn ended(&mut self) -> ExitStatus {
        tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("ends in time").expect("a status")
    }

    /// SIGTERM, wait, and start again on the same folder.
    pub async fn restart(mut self) -> Self {
        self.signal(15).await;
        let status = self.ended().await;
        assert!(status.success(), "a soft stop ends with 0: {status}; {}", self.log());
        self.launch.start().await
    }

    /// kill -9, and wait for the end.
    pub async fn kill(mut self) -> Launch {
        self.signal(9).await;
        self.ended().await;
        self.launch
    }

    /// kill -9, wait, and start again on the same folder.
    pub async fn kill_and_restart(self) -> Self {
        self.kill().await.start().await
    }
}

/// Waits until `done` says so, looking often; red after [`PATIENCE`].
pub async fn eventually<F, Fut>(what: &str, mut done: F)
where
    F: FnMut() -> Fut,
    Fut: Future<Output = bool>,
{
    let deadline = Instant::now() + PATIENCE;
    while !done().await {
        assert!(Instant::now() < deadline, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
