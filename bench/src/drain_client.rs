//! Reads and discards as fast as a socket allows, answering only `!echo`: shows what the load itself can give.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::arguments::Target;
use crate::subject::{LOGIN, TOKEN, channel_login};

const READ_BYTES: usize = 256 << 10;

/// Joins over one connection and ends with it.
pub(crate) async fn run(target: Target) -> io::Result<()> {
    let mut socket = TcpStream::connect(target.address).await?;
    socket.set_nodelay(true)?;
    let mut login =
        format!("CAP REQ :twitch.tv/tags twitch.tv/commands\r\nPASS oauth:{TOKEN}\r\nNICK {LOGIN}\r\n");
    for index in 0..target.n_channels {
        login.extend(["JOIN #", &channel_login(index), "\r\n"]);
    }
    socket.write_all(login.as_bytes()).await?;
    println!("ready: {} channels", target.n_channels);
    let mut buffer = Vec::with_capacity(READ_BYTES * 2);
    loop {
        buffer.reserve(READ_BYTES);
        if socket.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
        let mut replies = String::new();
        let mut start = 0;
        while let Some(length) = buffer[start..].iter().position(|byte| *byte == b'\n') {
            answer(&buffer[start..start + length], &mut replies);
            start += length + 1;
        }
        buffer.drain(..start);
        socket.write_all(replies.as_bytes()).await?;
    }
}

/// Looks only at the end of the line, where a command's few bytes would stand.
fn answer(line: &[u8], replies: &mut String) {
    const TAIL_BYTES: usize = 80;
    let tail = &line[line.len().saturating_sub(TAIL_BYTES)..];
    let Ok(tail) = std::str::from_utf8(tail) else { return };
    if let Some((before, query)) = tail.trim_end().split_once(" :!echo ")
        && let Some((_, channel_login)) = before.rsplit_once('#')
    {
        replies.extend(["PRIVMSG #", channel_login, " :", query, "\r\n"]);
    }
}
