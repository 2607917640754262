//! Bytes of a connection → lines. What is no line is dropped and told, and the connection lives on.

use std::ops::Range;
use std::str;

use memchr::{memchr, memchr2, memrchr};

/// How much one read of a socket may bring, in bytes.
pub const READ_BYTES_MAX: usize = 64 << 10;

/// What the buffer found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// A line without its line end; never empty.
    Line(&'a str),
    /// Dropped; the reason is the label of `messages_dropped_total`.
    Dropped(&'static str),
}

/// Collects what a socket brings and cuts it into lines of at most `line_bytes_max` bytes.
#[derive(Debug)]
pub struct LineBuffer {
    /// Read, and not yet cut; after [`LineBuffer::cut`] at most the beginning of one line.
    pub bytes: Vec<u8>,
    line_bytes_max: usize,
    /// The rest of an oversized line is still to come, up to its line end.
    skipping: bool,
}

impl LineBuffer {
    pub fn new(line_bytes_max: usize) -> Self {
        Self { bytes: Vec::with_capacity(READ_BYTES_MAX), line_bytes_max, skipping: false }
    }

    /// Hands every complete line to `on`, oldest first, and keeps the incomplete rest.
    pub fn cut(&mut self, mut on: impl FnMut(Found<'_>)) {
        let Some(last) = memrchr(b'\n', &self.bytes) else { return self.shorten(&mut on) };
        let mut start = 0;
        if self.skipping {
            self.skipping = false;
            start = memchr(b'\n', &self.bytes).map_or(0, |at| at + 1);
        }
        let block = &self.bytes[..=last];
        // One check for all lines of the read; only when it fails is each line looked at by itself.
        let text = str::from_utf8(block).ok();
        while start < block.len() {
            let (line, next) = next_line(block, start);
            let found = match line {
                Some(range) if range.is_empty() => None,
                Some(range) if range.len() > self.line_bytes_max => Some(Found::Dropped("oversized")),
                Some(range) => Some(
                    match text.map_or_else(
                        || str::from_utf8(&block[range.clone()]).ok(),
                        |text| text.get(range.clone()),
                    ) {
                        Some(line) => Found::Line(line),
                        None => Found::Dropped("not_utf8"),
                    },
                ),
                None => Some(Found::Dropped("malformed")),
            };
            if let Some(found) = found {
                on(found);
            }
            start = next;
        }
        self.bytes.drain(..=last);
        self.shorten(&mut on);
    }

    /// Gives up a line that is too long before its end has come.
    fn shorten(&mut self, on: &mut impl FnMut(Found<'_>)) {
        // The line end itself may be the one byte (or two) over.
        if self.skipping {
            self.bytes.clear();
        } else if self.bytes.len() > self.line_bytes_max + 2 {
            self.bytes.clear();
            self.skipping = true;
            on(Found::Dropped("oversized"));
        }
    }
}

/// The line that begins at `start` and where the next one begins. `None`: a CR stands inside, so where the line
/// really ends is anybody's guess.
fn next_line(block: &[u8], start: usize) -> (Option<Range<usize>>, usize) {
    let rest = &block[start..];
    let Some(at) = memchr2(b'\r', b'\n', rest) else { return (None, block.len()) };
    if rest[at] == b'\n' {
        return (Some(start..start + at), start + at + 1);
    }
    if rest.get(at + 1) == Some(&b'\n') {
        return (Some(start..start + at), start + at + 2);
    }
    let end = memchr(b'\n', &rest[at..]).map_or(block.len(), |end| start + at + end + 1);
    (None, end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut(buffer: &mut LineBuffer, bytes: &[u8]) -> Vec<Result<String, &'static str>> {
        let mut found = Vec::new();
        buffer.bytes.extend_from_slice(bytes);
        buffer.cut(|line| {
            found.push(match line {
                Found::Line(line) => Ok(line.to_owned()),
                Found::Dropped(reason) => Err(reason),
            });
        });
        found
    }

    fn lines(bytes: &[u8]) -> Vec<Result<String, &'static str>> {
        cut(&mut LineBuffer::new(16), bytes)
    }

    #[test]
    fn lines_end_with_cr_lf_or_lf_and_empty_ones_are_nothing() {
        assert_eq!(lines(b"PING\r\nPONG\n\r\n\nrest"), [Ok("PING".to_owned()), Ok("PONG".to_owned())]);
    }

    #[test]
    fn a_line_over_two_reads_is_one_line() {
        let mut buffer = LineBuffer::new(16);
        assert_eq!(cut(&mut buffer, b"PI"), []);
        assert_eq!(cut(&mut buffer, b"NG\r"), []);
        assert_eq!(cut(&mut buffer, b"\nPO"), [Ok("PING".to_owned())]);
    }

    #[test]
    fn a_line_that_is_not_utf8_is_dropped_alone() {
        assert_eq!(
            lines(b"a\r\n\xff\xfe\r\nb\r\n"),
            [Ok("a".to_owned()), Err("not_utf8"), Ok("b".to_owned())]
        );
    }

    #[test]
    fn a_carriage_return_inside_a_line_drops_it_alone() {
        assert_eq!(lines(b"a\rJOIN #x\r\nb\r\n"), [Err("malformed"), Ok("b".to_owned())]);
    }

    #[test]
    fn an_oversized_line_is_counted_once_and_the_next_one_lives() {
        let mut buffer = LineBuffer::new(16);
        assert_eq!(cut(&mut buffer, &[b'x'; 40]), [Err("oversized")]);
        assert_eq!(cut(&mut buffer, &[b'x'; 40]), []);
        assert_eq!(cut(&mut buffer, b"xx\r\nok\r\n"), [Ok("ok".to_owned())]);
        assert_eq!(cut(&mut buffer, b"seventeen-letters\r\nok\r\n"), [Err("oversized"), Ok("ok".to_owned())]);
        assert_eq!(cut(&mut buffer, b"sixteen--letters\r\n"), [Ok("sixteen--letters".to_owned())]);
    }

    proptest! {
        #[test]
        fn how_the_bytes_are_cut_into_reads_does_not_matter(
            bytes in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'a'), Just(0xff)], 0..200),
            at in 0usize..200,
        ) {
            let at = at.min(bytes.len());
            let mut whole = LineBuffer::new(64);
            let mut split = LineBuffer::new(64);
            let mut second = cut(&mut split, &bytes[..at]);
            second.extend(cut(&mut split, &bytes[at..]));
            // What is dropped may be told in one read or the other; the lines are the same.
            let kept = |found: Vec<Result<String, &'static str>>| found.into_iter().flatten().collect::<Vec<_>>();
            prop_assert_eq!(kept(cut(&mut whole, &bytes)), kept(second));
            prop_assert!(split.bytes.len() <= 66);
        }
    }
}
