//! The face: starts the listeners and names their addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Result;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::NamedTempFile;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::config::FakeConfig;
use crate::counters::Counters;
use crate::http;
use crate::tls;
use crate::transport::{serve_lines, serve_web_socket};
use crate::world::{ConnectionLog, World};

/// Connections that may wait to be accepted, as tokio has it.
const BACKLOG: u32 = 1024;

/// A running fake Twitch; it stops, and cuts everybody, when it is dropped.
#[derive(Debug)]
pub struct FakeTwitch {
    world: Arc<World>,
    addresses: Addresses,
    ca_file: NamedTempFile,
    /// The listeners; each owns the tasks of its connections.
    _listeners: JoinSet<()>,
}

#[derive(Clone, Copy, Debug)]
struct Addresses {
    irc: SocketAddr,
    ircs: SocketAddr,
    ws: SocketAddr,
    wss: SocketAddr,
    http: SocketAddr,
}

/// Which of the four a listener speaks.
#[derive(Clone)]
struct Transport {
    /// `None`: plain.
    tls: Option<TlsAcceptor>,
    web_socket: bool,
}

impl FakeTwitch {
    /// Opens all listeners and serves them on the current runtime.
    ///
    /// # Errors
    /// A port is taken, or the certificate could not be made or written.
    #[expect(clippy::unused_async, reason = "its sockets need a runtime, which only async callers have")]
    pub async fn start(config: FakeConfig) -> Result<Self> {
        let (tls, ca_file) = tls::make()?;
        let irc = bind(config.irc_port, &config)?;
        let ircs = bind(config.ircs_port, &config)?;
        let ws = bind(config.ws_port, &config)?;
        let wss = bind(config.wss_port, &config)?;
        let http = bind(config.http_port, &config)?;
        let addresses = Addresses {
            irc: irc.local_addr()?,
            ircs: ircs.local_addr()?,
            ws: ws.local_addr()?,
            wss: wss.local_addr()?,
            http: http.local_addr()?,
        };
        let world = Arc::new(World::new(config));
        let mut listeners = JoinSet::new();
        for (listener, secure, web_socket) in
            [(irc, false, false), (ircs, true, false), (ws, false, true), (wss, true, true)]
        {
            let transport = Transport { tls: secure.then(|| tls.clone()), web_socket };
            listeners.spawn(listen(listener, transport, Arc::clone(&world)));
        }
        listeners.spawn(http::serve(http, Arc::clone(&world)));
        Ok(Self { world, addresses, ca_file, _listeners: listeners })
    }

    pub(crate) fn world(&self) -> &World {
        &self.world
    }

    /// Plain TCP: `irc://127.0.0.1:port`.
    pub fn irc_url(&self) -> String {
        format!("irc://{}", self.addresses.irc)
    }

    /// The address behind `irc_url`.
    pub fn irc_addr(&self) -> SocketAddr {
        self.addresses.irc
    }

    /// TLS: `ircs://127.0.0.1:port`, to be trusted through `ca_file`.
    pub fn ircs_url(&self) -> String {
        format!("ircs://{}", self.addresses.ircs)
    }

    /// WebSocket: `ws://127.0.0.1:port`.
    pub fn ws_url(&self) -> String {
        format!("ws://{}", self.addresses.ws)
    }

    /// WebSocket over TLS: `wss://127.0.0.1:port`, to be trusted through `ca_file`.
    pub fn wss_url(&self) -> String {
        format!("wss://{}", self.addresses.wss)
    }

    /// `/validate`, `/token` and `/users`, each also below `/oauth2` or `/helix`.
    pub fn http_url(&self) -> String {
        format!("http://{}", self.addresses.http)
    }

    /// The certificate authority of the two TLS listeners, as a PEM file.
    pub fn ca_file(&self) -> &Path {
        self.ca_file.path()
    }

    /// Copies the counters.
    pub fn counters(&self) -> Counters {
        self.world.state().counters.clone()
    }

    /// Lists the channels that at least one connection has joined.
    pub fn joined(&self) -> BTreeSet<String> {
        let state = self.world.state();
        state
            .channels
            .iter()
            .filter(|(_, channel)| !channel.joined.is_empty())
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// Counts the channels that at least one connection has joined.
    pub fn n_joined(&self) -> usize {
        self.world.state().channels.values().filter(|channel| !channel.joined.is_empty()).count()
    }

    /// Whether at least one connection has joined the channel.
    pub fn joined_channel(&self, channel_login: &str) -> bool {
        self.world.state().channels.get(channel_login).is_some_and(|channel| !channel.joined.is_empty())
    }

    /// Counts the joined channels of each open connection.
    pub fn channels_per_connection(&self) -> BTreeMap<u64, usize> {
        let state = self.world.state();
        let mut counts: BTreeMap<u64, usize> = state.connections.keys().map(|id| (*id, 0)).collect();
        for connection in state.channels.values().flat_map(|channel| &channel.joined) {
            *counts.entry(connection.id).or_default() += 1;
        }
        counts
    }

    /// Lists all connections since the start, ended ones too (the newest 100,000).
    pub fn connection_log(&self) -> Vec<ConnectionLog> {
        self.world.state().log.iter().cloned().collect()
    }

    /// Waits until that many channels are joined; `false`: not until the deadline.
    pub async fn wait_joined(&self, n_channels: usize, deadline: Instant) -> bool {
        self.wait_until(|fake| fake.n_joined() >= n_channels, deadline).await
    }

    /// Lines of every kind that were queued for connections since the start, ended ones too.
    pub fn n_wire_lines(&self) -> u64 {
        let state = self.world.state();
        state.n_lines_ended + state.connections.values().map(|connection| connection.n_lines()).sum::<u64>()
    }

    /// Bytes that wait to be written to all connections.
    pub fn backlog_bytes(&self) -> usize {
        self.world.state().connections.values().map(|connection| connection.outbox_bytes()).sum()
    }
}

/// Accepted sockets inherit the buffers' sizes.
fn bind(port: u16, config: &FakeConfig) -> Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    if let Some(bytes) = config.send_buffer_bytes {
        socket.set_send_buffer_size(bytes)?;
    }
    if let Some(bytes) = config.receive_buffer_bytes {
        socket.set_recv_buffer_size(bytes)?;
    }
    socket.bind((config.address, port).into())?;
    socket.listen(BACKLOG)
}

async fn listen(listener: TcpListener, transport: Transport, world: Arc<World>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((socket, peer)) => {
                connections.spawn(serve(socket, peer, transport.clone(), Arc::clone(&world)));
            }
            // Out of file descriptors: accepting goes on when some are free again.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn serve(socket: TcpStream, peer: SocketAddr, transport: Transport, world: Arc<World>) {
    if socket.set_nodelay(true).is_err() {
        return;
    }
    match (transport.tls, transport.web_socket) {
        (None, false) => serve_lines(world, socket, peer).await,
        (None, true) => serve_web_socket(world, socket, peer).await,
        (Some(tls), web_socket) => {
            let Ok(socket) = tls.accept(socket).await else { return };
            if web_socket {
                serve_web_socket(world, socket, peer).await;
            } else {
                serve_lines(world, socket, peer).await;
            }
        }
    }
}
