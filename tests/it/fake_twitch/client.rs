//! A raw client over each transport: sends what it is told, and reads what comes.

use std::sync::Arc;
use std::time::Duration;

use fake_twitch::FakeTwitch;
use futures_util::{SinkExt, StreamExt};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

const DEADLINE: Duration = Duration::from_secs(20);

trait Socket: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Socket for S {}

enum Stream {
    Lines(Box<dyn Socket>),
    WebSocket(Box<WebSocketStream<Box<dyn Socket>>>),
}

/// A connection without any manners of its own.
pub struct Client {
    stream: Stream,
    unread: String,
}

/// Connects to one of the fake's four addresses.
pub async fn connect(url: &str, fake: &FakeTwitch) -> Client {
    let (scheme, address) = url.split_once("://").unwrap();
    let tcp = TcpStream::connect(address).await.unwrap();
    let socket: Box<dyn Socket> = if scheme.ends_with("ss") || scheme == "ircs" {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(fake.ca_file()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        Box::new(TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap())
    } else {
        Box::new(tcp)
    };
    let stream = if scheme.starts_with("ws") {
        let (web_socket, _) = tokio_tungstenite::client_async(url, socket).await.unwrap();
        Stream::WebSocket(Box::new(web_socket))
    } else {
        Stream::Lines(socket)
    };
    Client { stream, unread: String::new() }
}

impl Client {
    pub async fn send(&mut self, line: &str) {
        match &mut self.stream {
            Stream::Lines(socket) => socket.write_all(format!("{line}\r\n").as_bytes()).await.unwrap(),
            Stream::WebSocket(socket) => socket.send(Message::text(line)).await.unwrap(),
        }
    }

    pub async fn log_in(&mut self, login: &str, token: &str) {
        self.send("CAP REQ :twitch.tv/tags twitch.tv/commands").await;
        self.send(&format!("PASS oauth:{token}")).await;
        self.send(&format!("NICK {login}")).await;
        self.read_until("GLOBALUSERSTATE").await;
    }

    /// Reads up to the end of the first line that holds `wanted`, and returns all of it.
    pub async fn read_until(&mut self, wanted: &str) -> String {
        loop {
            if let Some(found) = self.unread.find(wanted) {
                let line_end = self.unread[found..].find('\n').map(|end| found + end + 1);
                if let Some(end) = line_end {
                    return self.unread.drain(..end).collect();
                }
            }
            let more = tokio::time::timeout(DEADLINE, self.read()).await;
            let more = more.unwrap_or_else(|_| panic!("no {wanted} in {}", self.unread));
            assert!(more, "closed before {wanted} in {}", self.unread);
        }
    }

    /// Reads until the other side closes.
    pub async fn read_to_end(&mut self) -> String {
        while tokio::time::timeout(DEADLINE, self.read()).await.expect("the other side closes in time") {}
        std::mem::take(&mut self.unread)
    }

    pub async fn is_quiet_for(&mut self, wait: Duration) -> bool {
        tokio::time::timeout(wait, self.read()).await.is_err()
    }

    async fn read(&mut self) -> bool {
        let mut bytes = [0; 8192];
        match &mut self.stream {
            Stream::Lines(socket) => match socket.read(&mut bytes).await {
                Ok(n_read @ 1..) => self.unread.push_str(std::str::from_utf8(&bytes[..n_read]).unwrap()),
                Ok(0) | Err(_) => return false,
            },
            Stream::WebSocket(socket) => match socket.next().await {
                Some(Ok(frame)) => self.unread.push_str(frame.to_text().unwrap()),
                Some(Err(_)) | None => return false,
            },
        }
        true
    }
}
