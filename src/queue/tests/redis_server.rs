//! A real Redis for one test, on a free port; it ends with this value.

use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use fred::clients::Client;
use fred::interfaces::ClientLike;
use fred::types::Builder;
use fred::types::config::{Config, ReconnectPolicy};
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
        let client = self.client();
        client.wait_for_connect().await.unwrap();
        client.flushall::<()>(false).await.unwrap();
    }

    pub fn bell(&self) -> StreamBell {
        StreamBell::new(self.client(), self.client(), Duration::from_millis(100))
    }

    fn client(&self) -> Client {
        let config = Config::from_url(&format!("redis://127.0.0.1:{}", self.port)).unwrap();
        let mut builder = Builder::from_config(config);
        builder.set_policy(ReconnectPolicy::new_constant(0, 50));
        let client = builder.build().unwrap();
        client.connect();
        client
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
