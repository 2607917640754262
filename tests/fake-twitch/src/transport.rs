//! A connection's task: reads lines, writes what waits, and ends by a fault, over any stream.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Sink, SinkExt, Stream, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_tungstenite::tungstenite::{Error as WebSocketError, Message};

use crate::connection::Connection;
use crate::session::Session;
use crate::world::World;

/// A longer line of a client ends its connection.
const CLIENT_LINE_BYTES_MAX: usize = 64 << 10;
const READ_BYTES: usize = 16 << 10;
const FRAME_BYTES_MAX: usize = 16 << 10;
/// How long a closed side is still read, so that the client's late lines do not turn the close into a reset.
const LINGER: Duration = Duration::from_millis(500);

/// Serves IRC over a byte stream until either side ends it.
pub(crate) async fn serve_lines<S: AsyncRead + AsyncWrite>(world: Arc<World>, socket: S, peer: SocketAddr) {
    let (reader, writer) = tokio::io::split(socket);
    let connection = world.open(peer);
    tokio::select! {
        () = read_lines(&world, &connection, reader) => {}
        () = write_lines(&connection, writer) => {}
        () = play_faults(&world, &connection) => {}
    }
    world.close(connection.id);
}

/// Serves IRC over a WebSocket until either side ends it.
pub(crate) async fn serve_web_socket<S: AsyncRead + AsyncWrite + Unpin>(
    world: Arc<World>,
    socket: S,
    peer: SocketAddr,
) {
    let Ok(web_socket) = tokio_tungstenite::accept_async(socket).await else { return };
    let (sink, stream) = web_socket.split();
    let connection = world.open(peer);
    tokio::select! {
        () = read_frames(&world, &connection, stream) => {}
        () = write_frames(&connection, sink) => {}
        () = play_faults(&world, &connection) => {}
    }
    world.close(connection.id);
}

async fn read_lines(world: &Arc<World>, connection: &Arc<Connection>, mut reader: impl AsyncRead + Unpin) {
    let mut session = Session::new(Arc::clone(world), Arc::clone(connection));
    let mut buffer = Vec::with_capacity(READ_BYTES);
    loop {
        connection.until_readable().await;
        buffer.reserve(READ_BYTES);
        if reader.read_buf(&mut buffer).await.unwrap_or(0) == 0 {
            return;
        }
        connection.until_readable().await;
        let mut start = 0;
        while let Some(length) = buffer[start..].iter().position(|byte| *byte == b'\n') {
            session.on_line(&buffer[start..start + length]);
            start += length + 1;
        }
        world.touch();
        buffer.drain(..start);
        if buffer.len() > CLIENT_LINE_BYTES_MAX {
            world.state().counters.malformed += 1;
            return;
        }
    }
}

async fn write_lines(connection: &Connection, mut writer: impl AsyncWrite + Unpin) {
    let mut batch = Vec::new();
    while connection.fill(&mut batch).await {
        if writer.write_all(&batch).await.is_err() || writer.flush().await.is_err() {
            return;
        }
    }
    if writer.shutdown().await.is_ok() {
        tokio::time::sleep(LINGER).await;
    }
}

async fn read_frames(
    world: &Arc<World>,
    connection: &Arc<Connection>,
    mut frames: impl Stream<Item = Result<Message, WebSocketError>> + Unpin,
) {
    let mut session = Session::new(Arc::clone(world), Arc::clone(connection));
    loop {
        connection.until_readable().await;
        let Some(Ok(frame)) = frames.next().await else { return };
        connection.until_readable().await;
        match frame {
            Message::Text(text) => {
                for line in text.as_bytes().split(|byte| *byte == b'\n') {
                    session.on_line(line);
                }
                world.touch();
            }
            Message::Binary(_) => world.state().counters.malformed += 1,
            Message::Close(_) => return,
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
    }
}

async fn write_frames(connection: &Connection, mut sink: impl Sink<Message> + Unpin) {
    let mut batch = Vec::new();
    while connection.fill(&mut batch).await {
        let mut rest = batch.as_slice();
        while !rest.is_empty() {
            let (frame, after) = rest.split_at(frame_length(rest));
            if sink.feed(to_message(frame)).await.is_err() {
                return;
            }
            rest = after;
        }
        if sink.flush().await.is_err() {
            return;
        }
    }
    if sink.close().await.is_ok() {
        tokio::time::sleep(LINGER).await;
    }
}

/// Whole lines up to the frame size, or one longer line.
fn frame_length(bytes: &[u8]) -> usize {
    if bytes.len() <= FRAME_BYTES_MAX {
        return bytes.len();
    }
    let last_end = bytes[..FRAME_BYTES_MAX].iter().rposition(|byte| *byte == b'\n');
    let end = last_end.or_else(|| bytes.iter().position(|byte| *byte == b'\n'));
    end.map_or(bytes.len(), |end| end + 1)
}

/// Bytes that are no UTF-8 may not stand in a text frame: they go out as a binary one.
fn to_message(frame: &[u8]) -> Message {
    match std::str::from_utf8(frame) {
        Ok(text) => Message::text(text),
        Err(_) => Message::binary(frame.to_vec()),
    }
}

/// Ends when the connection shall be cut; sends the fake's own PINGs meanwhile.
async fn play_faults(world: &World, connection: &Connection) {
    let pings = async {
        let Some(period) = world.config.ping_every else { return std::future::pending().await };
        loop {
            tokio::time::sleep(period).await;
            connection.push(b"PING :tmi.twitch.tv\r\n");
        }
    };
    let due = async {
        connection.until_logged_in().await;
        match world.config.cut_every {
            Some(after) => tokio::time::sleep(after).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = connection.until_cut() => {}
        () = due => {}
        () = pings => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_end_at_line_ends() {
        let lines = b"0123456789\r\n".repeat(3000);
        let length = frame_length(&lines);
        assert!(length <= FRAME_BYTES_MAX && lines[..length].ends_with(b"\r\n"));
        let long = [vec![b'a'; FRAME_BYTES_MAX * 2], b"\r\nb\r\n".to_vec()].concat();
        assert_eq!(frame_length(&long), FRAME_BYTES_MAX * 2 + 2);
        assert_eq!(frame_length(b"short"), 5);
    }
}
