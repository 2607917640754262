//! A connection to Twitch as bytes in and lines out: TCP, TLS or WebSocket, as the address says.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Bytes, Message};
use url::Url;

/// Name lookup, TCP, TLS and WebSocket handshakes together.
pub const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// Largest WebSocket message; what lies between `line_bytes_max` and this is dropped and the connection lives.
const MESSAGE_BYTES_MAX: usize = 2 << 20;
/// How much one read of a socket may bring, in bytes.
pub const READ_BYTES_MAX: usize = 64 << 10;

thread_local! {
    /// What a worker reads into, whichever connection it reads. Nothing stays in it from one read to the next. One buffer
    /// for each worker instead of each connection: it stays in the processor's cache, and an idle connection has none.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES_MAX].into());
}

pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

type BoxIo = Box<dyn Io>;

/// The side that is read.
pub enum Reader {
    Bytes(ReadHalf<BoxIo>),
    Frames {
        frames: SplitStream<WebSocketStream<BoxIo>>,
        /// What is left of the last message.
        rest: Bytes,
    },
}

/// The side that is written.
pub enum Writer {
    Bytes(WriteHalf<BoxIo>),
    Frames(SplitSink<WebSocketStream<BoxIo>, Message>),
}

/// Whom to trust.
#[derive(Clone)]
pub struct Trust(Arc<ClientConfig>);

impl Trust {
    /// Trusts the system's authorities and those of `ca_file`. Reads files: run it where blocking is allowed.
    ///
    /// # Errors
    /// The file is not readable PEM, or there is no authority at all.
    pub fn load(ca_file: Option<&Path>) -> io::Result<Self> {
        let mut roots = RootCertStore::empty();
        let (_, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if let Some(path) = ca_file {
            for certificate in CertificateDer::pem_file_iter(path).map_err(io::Error::other)? {
                roots.add(certificate.map_err(io::Error::other)?).map_err(io::Error::other)?;
            }
        }
        if roots.is_empty() {
            return Err(io::Error::other(
                "no certificate authority found; install ca-certificates or set ca_file",
            ));
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(Arc::new(config)))
    }
}

/// Whether connections to this address are encrypted.
pub fn is_encrypted(url: &Url) -> bool {
    matches!(url.scheme(), "wss" | "ircs")
}

/// Opens a connection within [`CONNECT_LIMIT`]. `trust` is `None` for an address that is not encrypted.
pub async fn connect(url: &Url, trust: Option<&Trust>) -> io::Result<(Reader, Writer)> {
    tokio::time::timeout(CONNECT_LIMIT, open(url, trust)).await.unwrap_or_else(|_| {
        Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("no connection within {} s", CONNECT_LIMIT.as_secs()),
        ))
    })
}

async fn open(url: &Url, trust: Option<&Trust>) -> io::Result<(Reader, Writer)> {
    let host = url.host_str().ok_or_else(|| io::Error::other("the address names no host"))?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let default_port = match url.scheme() {
        "wss" => 443,
        "ircs" => 6697,
        "ws" => 80,
        _ => 6667,
    };
    let tcp = TcpStream::connect((host, url.port().unwrap_or(default_port))).await?;
    tcp.set_nodelay(true)?;
    let io: BoxIo = match trust {
        Some(trust) if is_encrypted(url) => {
            let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
            Box::new(TlsConnector::from(Arc::clone(&trust.0)).connect(name, tcp).await?)
        }
        // An address that asks for encryption is never spoken to without.
        None if is_encrypted(url) => return Err(io::Error::other("no certificate authorities were loaded")),
        _ => Box::new(tcp),
    };
    if !matches!(url.scheme(), "ws" | "wss") {
        let (read, write) = tokio::io::split(io);
        return Ok((Reader::Bytes(read), Writer::Bytes(write)));
    }
    let config = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX))
        .max_write_buffer_size(MESSAGE_BYTES_MAX);
    let request = url.as_str().into_client_request().map_err(io::Error::other)?;
    let (stream, _) =
        tokio_tungstenite::client_async_with_config(request, io, Some(config)).await.map_err(broken)?;
    let (sink, frames) = stream.split();
    Ok((Reader::Frames { frames, rest: Bytes::new() }, Writer::Frames(sink)))
}

impl Reader {
    /// Waits for bytes and shows them to `on`, at most [`READ_BYTES_MAX`] at a time; returns how many came, 0 when the
    /// other side closed.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped: what was read was shown.
    pub async fn read(&mut self, mut on: impl FnMut(&[u8])) -> io::Result<usize> {
        match self {
            Self::Bytes(half) => poll_fn(|cx| read_shared(half, cx, &mut on)).await,
            Self::Frames { frames, rest } => {
                while rest.is_empty() {
                    match frames.next().await {
                        None | Some(Ok(Message::Close(_))) => return Ok(0),
                        Some(Ok(Message::Text(text))) => *rest = text.into(),
                        Some(Ok(Message::Binary(bytes))) => *rest = bytes,
                        Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                        Some(Err(error)) => return Err(broken(error)),
                    }
                }
                let piece = rest.split_to(rest.len().min(READ_BYTES_MAX));
                on(&piece);
                if rest.is_empty() && !piece.ends_with(b"\n") {
                    // The end of a message is the end of its line.
                    on(b"\r\n");
                }
                Ok(piece.len())
            }
        }
    }
}

/// One read into the worker's buffer.
fn read_shared(
    half: &mut ReadHalf<BoxIo>,
    cx: &mut Context<'_>,
    on: &mut impl FnMut(&[u8]),
) -> Poll<io::Result<usize>> {
    SCRATCH.with_borrow_mut(|scratch| {
        let mut bytes = ReadBuf::new(scratch);
        ready!(Pin::new(half).poll_read(cx, &mut bytes))?;
        on(bytes.filled());
        Poll::Ready(Ok(bytes.filled().len()))
    })
}

impl Writer {
    /// Writes complete lines, each with its line end.
    ///
    /// # Cancel safety
    /// None: a line may be half written, so the connection must be closed then.
    pub async fn write_lines(&mut self, blocks: [&[u8]; 2]) -> io::Result<()> {
        match self {
            Self::Bytes(half) => {
                for lines in blocks.into_iter().filter(|lines| !lines.is_empty()) {
                    half.write_all(lines).await?;
                }
                half.flush().await
            }
            Self::Frames(sink) => {
                for line in blocks.into_iter().flat_map(|lines| lines.split_inclusive(|byte| *byte == b'\n'))
                {
                    let text = String::from_utf8_lossy(line).into_owned();
                    sink.feed(Message::text(text)).await.map_err(broken)?;
                }
                sink.flush().await.map_err(broken)
            }
        }
    }

    /// Says goodbye to the transport.
    pub async fn close(&mut self) {
        // The connection ends either way; nobody waits for the other side's answer.
        match self {
            Self::Bytes(half) => drop(half.shutdown().await),
            Self::Frames(sink) => drop(sink.close().await),
        }
    }
}

fn broken(error: tungstenite::Error) -> io::Error {
    match error {
        tungstenite::Error::Io(error) => error,
        other => io::Error::other(other),
    }
}
