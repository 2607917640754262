//! The machine's noise: a loop that finds lines, answers `!echo`, and does nothing else a bot must do.
//!
//! It has the bot's runtime and as many connections, so what it needs and how long it waits is not the bot's doing.

use std::io;

use memchr::{memchr, memmem, memrchr};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::arguments::Target;
use crate::subject::{CHANNELS_PER_CONNECTION, LOGIN, TOKEN, channel_login};

const READ_BYTES: usize = 64 << 10;
const COMMAND: &[u8] = b" :!echo ";

/// Joins, answers `!echo` in each channel, and ends with its first connection.
pub(crate) async fn run(target: Target) -> io::Result<()> {
    let mut connections = JoinSet::new();
    for first in (0..target.n_channels).step_by(CHANNELS_PER_CONNECTION) {
        let end = target.n_channels.min(first + CHANNELS_PER_CONNECTION);
        connections.spawn(connection(target, first..end));
    }
    println!("ready: {} channels", target.n_channels);
    match connections.join_next().await {
        Some(result) => result.map_err(io::Error::other)?,
        None => Ok(()),
    }
}

async fn connection(target: Target, channels: std::ops::Range<usize>) -> io::Result<()> {
    let mut socket = TcpStream::connect(target.address).await?;
    socket.set_nodelay(true)?;
    let mut login =
        format!("CAP REQ :twitch.tv/tags twitch.tv/commands\r\nPASS oauth:{TOKEN}\r\nNICK {LOGIN}\r\n");
    for index in channels {
        login.extend(["JOIN #", &channel_login(index), "\r\n"]);
    }
    socket.write_all(login.as_bytes()).await?;
    let command = memmem::Finder::new(COMMAND);
    let mut buffer = Vec::with_capacity(READ_BYTES * 2);
    let mut replies = Vec::new();
    loop {
        buffer.reserve(READ_BYTES);
        if socket.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
        let mut start = 0;
        while let Some(length) = memchr(b'\n', &buffer[start..]) {
            answer(&buffer[start..start + length], &command, &mut replies);
            start += length + 1;
        }
        buffer.drain(..start);
        if !replies.is_empty() {
            socket.write_all(&replies).await?;
            replies.clear();
        }
    }
}

fn answer(line: &[u8], command: &memmem::Finder<'_>, replies: &mut Vec<u8>) {
    if let Some(at) = command.find(line)
        && let Some(hash) = memrchr(b'#', &line[..at])
    {
        let query = line[at + COMMAND.len()..].trim_ascii_end();
        for part in [b"PRIVMSG #", &line[hash + 1..at], b" :", query, b"\r\n"] {
            replies.extend_from_slice(part);
        }
    } else if let Some(payload) = line.strip_prefix(b"PING ") {
        for part in [b"PONG ", payload.trim_ascii_end(), b"\r\n"] {
            replies.extend_from_slice(part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(line: &str) -> String {
        let mut replies = Vec::new();
        answer(line.as_bytes(), &memmem::Finder::new(COMMAND), &mut replies);
        String::from_utf8(replies).unwrap()
    }

    #[test]
    fn only_commands_and_pings_are_answered() {
        let said = |text: &str| answered(&format!("@id=1 :a!a@a.tmi.twitch.tv PRIVMSG #some :{text}\r"));
        assert_eq!(said("!echo bench-7"), "PRIVMSG #some :bench-7\r\n");
        assert_eq!(said("a sentence with !echo in it"), "");
        assert_eq!(answered("PING :tmi.twitch.tv\r"), "PONG :tmi.twitch.tv\r\n");
    }
}
