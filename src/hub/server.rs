//! The listener: accepts connections, bounds their number and the time for a header, and ends them when the node stops.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use super::client::Peer;

/// Open connections; more wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 1_024;

/// A client that takes longer for its request's header is cut off; also how long a kept connection may idle.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest header, in bytes.
const HEADER_BYTES_MAX: usize = 32 << 10;

/// Most header fields of a request.
const HEADERS_MAX: usize = 100;

/// Who does not show a certificate within this time is cut off.
const TLS_TIMEOUT: Duration = Duration::from_secs(3);

/// What open requests get when the node stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Wait after an accept that failed for want of descriptors or memory.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Serves `router` on `listener` until `stop` is cancelled.
pub(super) async fn run(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
    stop: CancellationToken,
) -> io::Result<()> {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let connections = TaskTracker::new();
    loop {
        let place = tokio::select! {
            () = stop.cancelled() => break,
            place = Arc::clone(&places).acquire_owned() => place.map_err(io::Error::other)?,
        };
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((socket, peer)) => {
                // Answers are small and written at once; waiting for more to send would only delay them.
                drop(socket.set_nodelay(true));
                let (router, stop) = (router.clone(), stop.clone());
                match tls.clone() {
                    None => drop(connections.spawn(connection((socket, peer), router, stop, place))),
                    Some(tls) => drop(connections.spawn(async move {
                        match tokio::time::timeout(TLS_TIMEOUT, tls.accept(socket)).await {
                            Ok(Ok(socket)) => connection((socket, peer), router, stop, place).await,
                            // Who only looks whether somebody listens closes at once.
                            Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {}
                            Ok(Err(error)) => tracing::warn!(%peer, %error, "a connection was refused"),
                            Err(_elapsed) => tracing::warn!(%peer, "a connection said nothing"),
                        }
                    })),
                }
            }
            Err(error) if is_fatal(&error) => return Err(error),
            Err(error) => {
                tracing::warn!(%error, "a connection to the hub could not be accepted");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(STOP_TIMEOUT, connections.wait()).await.is_err() {
        tracing::warn!(open = connections.len(), "requests were still open when the hub stopped");
    }
    Ok(())
}

/// One connection, from its first byte to its last.
async fn connection(
    (socket, peer): (impl AsyncRead + AsyncWrite + Unpin + Send + 'static, SocketAddr),
    router: Router,
    stop: CancellationToken,
    _place: OwnedSemaphorePermit,
) {
    let service = router.map_request(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Peer(peer));
        request
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEADER_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(socket), TowerToHyperService::new(service));
    tokio::pin!(serving);
    let stopped = tokio::select! {
        result = serving.as_mut() => return note(result),
        () = stop.cancelled() => tokio::time::sleep(STOP_TIMEOUT),
    };
    serving.as_mut().graceful_shutdown();
    tokio::select! {
        result = serving => note(result),
        () = stopped => {}
    }
}

/// A client that hangs up or talks nonsense is its own trouble.
fn note(result: hyper::Result<()>) {
    if let Err(error) = result {
        tracing::debug!(%error, "a connection to the hub ended early");
    }
}

/// Whether the listener itself is broken, as opposed to one connection or a passing shortage.
fn is_fatal(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::NotConnected)
}
