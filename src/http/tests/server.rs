//! A server of raw answers that counts who comes.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What a request is answered with.
#[derive(Clone)]
pub enum Said {
    Whole(Vec<u8>),
    /// A head, then one byte each second for ever.
    Drip,
    /// Nothing, and the connection stays.
    Nothing,
}

type Script = dyn Fn(usize, &str) -> Said + Send + Sync;

pub struct Server {
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Answers by `script`, which gets the number of the request from 0 and its head.
    #[expect(clippy::disallowed_methods, reason = "the test's runtime ends what is left with itself")]
    pub async fn start(script: impl Fn(usize, &str) -> Said + Send + Sync + 'static) -> Self {
        // Every address of this machine, IPv4 and IPv6 where there is any.
        let listener = match TcpListener::bind("[::]:0").await {
            Ok(listener) => listener,
            Err(_) => TcpListener::bind("0.0.0.0:0").await.unwrap(),
        };
        let (connections, heads) = (Arc::<AtomicUsize>::default(), Arc::<Mutex<Vec<String>>>::default());
        let server = Self {
            address: SocketAddr::from(([127, 0, 0, 1], listener.local_addr().unwrap().port())),
            connections: Arc::clone(&connections),
            heads: Arc::clone(&heads),
        };
        let script: Arc<Script> = Arc::new(script);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(socket, Arc::clone(&script), Arc::clone(&heads)));
            }
        });
        server
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn n_connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub fn n_requests(&self) -> usize {
        self.heads.lock().unwrap().len()
    }

    pub fn last_head(&self) -> String {
        self.heads.lock().unwrap().last().cloned().unwrap_or_default()
    }
}

async fn serve(mut socket: TcpStream, script: Arc<Script>, heads: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match socket.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let number = {
        let mut heads = heads.lock().unwrap();
        heads.push(head.clone());
        heads.len() - 1
    };
    match script(number, &head) {
        Said::Whole(bytes) => {
            // A client that had enough closes early.
            drop(socket.write_all(&bytes).await);
            drop(socket.shutdown().await);
        }
        Said::Drip => {
            drop(socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n").await);
            while socket.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
        Said::Nothing => std::future::pending().await,
    }
}

/// An answer with that status and body; `headers` are whole lines.
pub fn answer(status: u16, headers: &str, body: &[u8]) -> Said {
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n");
    Said::Whole([head.as_bytes(), body].concat())
}

/// An answer that becomes 64 MiB of zeros.
pub fn gzip_bomb() -> Said {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    for _ in 0..64 {
        encoder.write_all(&vec![0; 1 << 20]).unwrap();
    }
    answer(200, "content-encoding: gzip\r\n", &encoder.finish().unwrap())
}
