//! Prepared lines: what a load says a million times a second, without a lookup, a format or an allocation for each.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::config::Chatter;
use crate::connection::Connection;
use crate::events::{Line, now_ms};
use crate::lines;
use crate::server::FakeTwitch;

/// Stand where the parts of a line go that differ each time; no chatter's tag holds a NUL.
const ID_MARK: &str = "\0i\0";
const ROOM_MARK: &str = "\0r\0";
const SENT_MARK: &str = "\0s\0";
const CHANNEL_MARK: &str = "\0c\0";
/// `xxxxxxxx-0000-4000-8000-` and twelve digits of which each line has its own.
const ID_BYTES: usize = 36;
const SERIAL_BYTES: usize = 12;
/// Milliseconds of the Unix epoch have so many digits until the year 2286.
const SENT_BYTES: usize = 13;
/// Message ids that are taken from the fake at once.
const IDS_PER_BLOCK: u64 = 1 << 16;

/// A chatter's line with all its tags; only its id, room, time, channel and text are filled in when it is said.
#[derive(Clone, Debug)]
pub struct PreparedLine {
    /// Up to the id.
    head: Vec<u8>,
    /// From the id to the room.
    up_to_room: Vec<u8>,
    /// From the room to the time.
    up_to_sent: Vec<u8>,
    /// From the time to the channel.
    up_to_channel: Vec<u8>,
}

impl PreparedLine {
    /// Renders the line of this chatter as `FakeTwitch::say` would.
    pub fn new(chatter: &Chatter) -> Self {
        let mut bytes = Vec::new();
        let line = Line::new(CHANNEL_MARK, chatter.clone(), "");
        lines::privmsg(&mut bytes, &line, ID_MARK, ROOM_MARK, SENT_MARK);
        let text = String::from_utf8_lossy(&bytes);
        let mut rest = text.as_ref();
        let mut until = |mark: &str| {
            let (before, after) = rest.split_once(mark).expect("a chat line has each of the parts");
            rest = after;
            before.as_bytes().to_vec()
        };
        Self {
            head: until(ID_MARK),
            up_to_room: until(ROOM_MARK),
            up_to_sent: until(SENT_MARK),
            up_to_channel: until(CHANNEL_MARK),
        }
    }
}

/// Gives prepared lines their ids, which are unique among all of the fake's, and their time.
#[derive(Debug)]
pub struct LineStamps {
    id: [u8; ID_BYTES],
    next_serial: u64,
    /// End of the block of serials that were taken from the fake.
    end: u64,
    sent: [u8; SENT_BYTES],
}

impl LineStamps {
    /// Takes the clock's time for the lines from now on: once for a batch.
    pub fn refresh_time(&mut self) {
        put_decimal(&mut self.sent, now_ms());
    }

    /// Whether the ids that were taken from the fake are used up.
    pub fn is_spent(&self) -> bool {
        self.next_serial >= self.end
    }

    fn stamp(&mut self) -> (&[u8; ID_BYTES], &[u8; SENT_BYTES]) {
        put_hex(&mut self.id[ID_BYTES - SERIAL_BYTES..], self.next_serial);
        self.next_serial += 1;
        (&self.id, &self.sent)
    }
}

/// What became of a prepared line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    Yes,
    /// The client does not read, and as much waits for it as is allowed.
    Full,
    /// The connection has ended: another feed is needed.
    Ended,
}

/// A channel as seen by the connection that joined it.
#[derive(Clone, Debug)]
pub struct Feed {
    connection: Arc<Connection>,
    /// `FakeConfig::feed_bytes_max`.
    bytes_max: usize,
    room_id: Vec<u8>,
    /// The channel's login and what stands between it and the text.
    target: Vec<u8>,
}

impl Feed {
    /// Number of the connection behind it.
    pub fn connection_id(&self) -> u64 {
        self.connection.id
    }

    /// Says a line; `text` is valid UTF-8 without line ends.
    pub fn say(&self, line: &PreparedLine, stamps: &mut LineStamps, text: &[u8]) -> Taken {
        let taken = self.connection.append_line(self.bytes_max, |out| {
            let (id, sent) = stamps.stamp();
            for part in [&line.head, id.as_slice(), &line.up_to_room, &self.room_id, &line.up_to_sent] {
                out.extend_from_slice(part);
            }
            for part in [sent.as_slice(), &line.up_to_channel, &self.target, text, b"\r\n"] {
                out.extend_from_slice(part);
            }
        });
        match taken {
            true => Taken::Yes,
            false if self.connection.is_ended() => Taken::Ended,
            false => Taken::Full,
        }
    }

    /// Sends a PING with this payload; the answer is among `FakeTwitch::take_pongs`.
    pub fn ping(&self, payload: &str) -> bool {
        self.connection.push(format!("PING :{payload}\r\n").as_bytes())
    }
}

impl FakeTwitch {
    /// Resolves a channel for prepared lines; `None`: nobody with tags has joined it.
    ///
    /// Lines of a feed go to one connection, the first that joined, and are not among `Counters::lines_out`.
    pub fn feed(&self, channel_login: &str) -> Option<Feed> {
        let state = self.world().state();
        let channel = state.channels.get(channel_login)?;
        let connection = channel.joined.first().filter(|first| first.capabilities.tags.load(Relaxed))?;
        Some(Feed {
            connection: Arc::clone(connection),
            bytes_max: self.world().config.feed_bytes_max,
            room_id: channel.room_id.as_bytes().to_vec(),
            target: format!("{channel_login} :").into_bytes(),
        })
    }

    /// Makes the source of ids and times for a feed's lines.
    pub fn line_stamps(&self) -> LineStamps {
        let mut stamps =
            LineStamps { id: [b'0'; ID_BYTES], next_serial: 0, end: 0, sent: [b'0'; SENT_BYTES] };
        self.refill(&mut stamps);
        stamps.refresh_time();
        stamps
    }

    /// Takes further ids from the fake: needed when they are spent.
    pub fn refill(&self, stamps: &mut LineStamps) {
        let world = self.world();
        let mut state = world.state();
        stamps.id.copy_from_slice(world.next_message_id(&mut state).as_bytes());
        stamps.next_serial = state.reserve_messages(IDS_PER_BLOCK);
        stamps.end = stamps.next_serial + IDS_PER_BLOCK;
    }
}

fn put_hex(out: &mut [u8], mut value: u64) {
    for digit in out.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(value & 15) as usize];
        value >>= 4;
    }
}

fn put_decimal(out: &mut [u8], mut value: u64) {
    for digit in out.iter_mut().rev() {
        *digit = b"0123456789"[(value % 10) as usize];
        value /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serials_and_times_fill_their_digits() {
        let mut serial = [b'x'; SERIAL_BYTES];
        put_hex(&mut serial, 0x2a_bcde);
        assert_eq!(&serial, b"0000002abcde");
        let mut sent = [b'x'; SENT_BYTES];
        put_decimal(&mut sent, 1_594_545_155_039);
        assert_eq!(&sent, b"1594545155039");
    }

    #[test]
    fn a_prepared_line_is_the_line_that_would_be_rendered() {
        let chatter = Chatter::with_badges("viewer_7", "subscriber/12,premium/1");
        let line = PreparedLine::new(&chatter);
        let mut stamps =
            LineStamps { id: [b'0'; ID_BYTES], next_serial: 42, end: 43, sent: *b"1594545155039" };
        let connection = Arc::new(Connection::new(1, 1024, false, false));
        let feed = Feed {
            connection,
            bytes_max: 1024,
            room_id: b"11148817".to_vec(),
            target: b"some_channel :".to_vec(),
        };
        assert_eq!(feed.say(&line, &mut stamps, b"hello : you"), Taken::Yes);

        let mut rendered = Vec::new();
        let plain = Line::new("some_channel", chatter, "hello : you");
        let id = format!("{}00000000002a", "0".repeat(24));
        lines::privmsg(&mut rendered, &plain, &id, "11148817", "1594545155039");
        assert_eq!(feed.connection.outbox_text(), String::from_utf8(rendered).unwrap());
    }

    #[test]
    fn a_full_or_ended_connection_takes_no_line() {
        let line = PreparedLine::new(&Chatter::viewer("ann"));
        let mut stamps =
            LineStamps { id: [b'0'; ID_BYTES], next_serial: 0, end: 9, sent: [b'0'; SENT_BYTES] };
        let connection = Arc::new(Connection::new(1, 1024, false, false));
        let feed = Feed { connection, bytes_max: 1, room_id: b"1".to_vec(), target: b"c :".to_vec() };
        let said = [(); 3].map(|()| feed.say(&line, &mut stamps, b"hi"));
        // The bound holds for what waited before.
        assert_eq!(said, [Taken::Yes, Taken::Full, Taken::Full]);
        feed.connection.end();
        assert_eq!(feed.say(&line, &mut stamps, b"hi"), Taken::Ended);
    }
}
