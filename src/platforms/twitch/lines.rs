//! Bytes of a connection → lines. What is no line is dropped and told, and the connection lives on.

use std::ops::Range;
use std::str;

use memchr::{memchr, memchr2, memrchr};

/// What was found in the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// A line without its line end; never empty.
    Line(&'a str),
    /// Dropped; the reason is the label of `messages_dropped_total`.
    Dropped(&'static str),
}

/// Cuts what a socket brings into lines of at most `line_bytes_max` bytes.
#[derive(Debug)]
pub struct LineCutter {
    /// The beginning of a line whose end is still to come.
    rest: Vec<u8>,
    line_bytes_max: usize,
    /// The rest of an oversized line is still to come, up to its line end.
    skipping: bool,
}

impl LineCutter {
    pub const fn new(line_bytes_max: usize) -> Self {
        Self { rest: Vec::new(), line_bytes_max, skipping: false }
    }

    /// Hands every line that is complete with `bytes` to `on`, oldest first, and keeps the incomplete rest.
    pub fn cut(&mut self, bytes: &[u8], mut on: impl FnMut(Found<'_>)) {
        let Some(first) = memchr(b'\n', bytes) else { return self.keep(bytes, &mut on) };
        let mut whole = bytes;
        if self.skipping || !self.rest.is_empty() {
            let (end, others) = bytes.split_at(first + 1);
            whole = others;
            if !std::mem::take(&mut self.skipping) {
                // The memory goes with the line: a connection that is silent keeps none.
                let mut line = std::mem::take(&mut self.rest);
                line.extend_from_slice(end);
                self.cut_whole(&line, &mut on);
            }
        }
        let end = memrchr(b'\n', whole).map_or(0, |last| last + 1);
        self.cut_whole(&whole[..end], &mut on);
        self.keep(&whole[end..], &mut on);
    }

    /// Cuts a block that ends with a line end.
    fn cut_whole(&self, block: &[u8], on: &mut impl FnMut(Found<'_>)) {
        // One check for all lines of the read; only when it fails is each line looked at by itself.
        let text = str::from_utf8(block).ok();
        let mut start = 0;
        while start < block.len() {
            let (line, next) = next_line(block, start);
            start = next;
            match line {
                Some(range) if range.is_empty() => {}
                Some(range) if range.len() > self.line_bytes_max => on(Found::Dropped("oversized")),
                Some(range) => {
                    let line = match text {
                        Some(text) => text.get(range),
                        None => str::from_utf8(&block[range]).ok(),
                    };
                    on(line.map_or(Found::Dropped("not_utf8"), Found::Line));
                }
                None => on(Found::Dropped("malformed")),
            }
        }
    }

    /// Keeps the beginning of a line, unless it is too long before its end has come.
    fn keep(&mut self, bytes: &[u8], on: &mut impl FnMut(Found<'_>)) {
        if self.skipping {
            return;
        }
        // The line end itself may be the one byte (or two) over.
        if self.rest.len() + bytes.len() > self.line_bytes_max + 2 {
            self.rest = Vec::new();
            self.skipping = true;
            on(Found::Dropped("oversized"));
        } else {
            self.rest.extend_from_slice(bytes);
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

    fn cut(cutter: &mut LineCutter, bytes: &[u8]) -> Vec<Result<String, &'static str>> {
        let mut found = Vec::new();
        cutter.cut(bytes, |line| {
            found.push(match line {
                Found::Line(line) => Ok(line.to_owned()),
                Found::Dropped(reason) => Err(reason),
            });
        });
        found
    }

    fn lines(bytes: &[u8]) -> Vec<Result<String, &'static str>> {
        cut(&mut LineCutter::new(16), bytes)
    }

    #[test]
    fn lines_end_with_cr_lf_or_lf_and_empty_ones_are_nothing() {
        assert_eq!(lines(b"PING\r\nPONG\n\r\n\nrest"), [Ok("PING".to_owned()), Ok("PONG".to_owned())]);
    }

    #[test]
    fn a_line_over_two_reads_is_one_line() {
        let mut cutter = LineCutter::new(16);
        assert_eq!(cut(&mut cutter, b"PI"), []);
        assert_eq!(cut(&mut cutter, b"NG\r"), []);
        assert_eq!(cut(&mut cutter, b"\nPO"), [Ok("PING".to_owned())]);
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
        let mut cutter = LineCutter::new(16);
        assert_eq!(cut(&mut cutter, &[b'x'; 40]), [Err("oversized")]);
        assert_eq!(cut(&mut cutter, &[b'x'; 40]), []);
        assert_eq!(cut(&mut cutter, b"xx\r\nok\r\n"), [Ok("ok".to_owned())]);
        assert_eq!(cut(&mut cutter, b"seventeen-letters\r\nok\r\n"), [Err("oversized"), Ok("ok".to_owned())]);
        assert_eq!(cut(&mut cutter, b"sixteen--letters\r\n"), [Ok("sixteen--letters".to_owned())]);
    }

    proptest! {
        #[test]
        fn how_the_bytes_are_cut_into_reads_does_not_matter(
            bytes in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'a'), Just(0xff)], 0..200),
            at in 0usize..200,
        ) {
            let at = at.min(bytes.len());
            let mut whole = LineCutter::new(64);
            let mut split = LineCutter::new(64);
            let mut second = cut(&mut split, &bytes[..at]);
            second.extend(cut(&mut split, &bytes[at..]));
            // What is dropped may be told in one read or the other; the lines are the same.
            let kept = |found: Vec<Result<String, &'static str>>| found.into_iter().flatten().collect::<Vec<_>>();
            prop_assert_eq!(kept(cut(&mut whole, &bytes)), kept(second));
            prop_assert!(split.rest.len() <= 66);
        }
    }
}
