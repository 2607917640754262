//! A real Redis for one test, on a free port; it ends with this value.

use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use fred::interfaces::ClientLike;
use fred::types::Builder;
use fred::types::config::Config;
use tempfile::TempDir;

use crate::queue::StreamBell;

pub struct RedisServer {
    child: Mutex<Child>,
    port: u16,
    _folder: TempDir,
}

impl RedisServer {
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"])
            .arg(folder.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed: apt-get install redis-server");
        let server = Self { child: Mutex::new(child), port, _folder: folder };
        let deadline = Instant::now() + Duration::from_secs(10);
        while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            assert!(Instant::now() < deadline, "redis-server never listened");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        server
    }

    /// kill -9, once; what it held is gone.
    pub fn kill(&self) {
        let mut child = self.child.lock().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    pub async fn empty(&self) {
        let client = Builder::from_config(Config::from_url(&self.url()).unwrap()).build().unwrap();
        client.init().await.unwrap();
        client.flushall::<()>(false).await.unwrap();
    }

    pub fn bell(&self) -> StreamBell {
        StreamBell::connect(&self.url(), Duration::from_millis(100)).unwrap()
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let mut child = self.child.lock().unwrap();
        // It may have ended already.
        drop(child.kill());
        drop(child.wait());
    }
}
