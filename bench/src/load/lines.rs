//! What is said: lines as long and as different as on the platform, most of them rendered before the first is said.

use std::io::Write;

use fake_twitch::{Chatter, PreparedLine};

use crate::zipf::Random;

/// Both are powers of two, so that a mask draws one.
const N_CHATTERS: usize = 1024;
const N_TEXTS: usize = 64;
/// Badges as chatters have them; none is the most frequent.
const BADGES: [&str; 8] = [
    "",
    "subscriber/12,premium/1",
    "",
    "moderator/1,subscriber/3024,bits-leader/2",
    "subscriber/0,premium/1",
    "vip/1,subscriber/42,bits/1000",
    "",
    "premium/1",
];
const WORDS: [&str; 8] = ["so", "well", "played", "this", "channel", "never", "disappoints", "LUL"];
/// Characters of a longer command, of which it takes as many as it is told.
const FILLING: &[u8] = &[b'x'; 400];

/// The next line to be said, and what it is made of.
pub(crate) struct Lines {
    chatters: Vec<PreparedLine>,
    texts: Vec<Vec<u8>>,
    chatter: usize,
    /// `None`: a command, in `command`.
    plain: Option<usize>,
    command: Vec<u8>,
}

impl Lines {
    pub(crate) fn new() -> Self {
        let chatter = |index: usize| {
            let login =
                format!("viewer{}{}", "_of_a_stream".get(..index % 13).unwrap_or_default(), index * 37);
            PreparedLine::new(&Chatter::with_badges(&login, BADGES[index % BADGES.len()]))
        };
        Self {
            chatters: (0..N_CHATTERS).map(chatter).collect(),
            texts: (0..N_TEXTS).map(text).collect(),
            chatter: 0,
            plain: None,
            command: Vec::new(),
        }
    }

    /// Makes the next line an ordinary one.
    pub(crate) fn plain(&mut self, random: &mut Random) {
        let number = random.below(N_CHATTERS * N_TEXTS);
        self.chatter = number % N_CHATTERS;
        self.plain = Some(number / N_CHATTERS);
    }

    /// Makes the next line a command that is answered with its number and `n_more` characters.
    pub(crate) fn command(&mut self, random: &mut Random, number: u64, n_more: usize) {
        self.chatter = random.below(N_CHATTERS);
        self.plain = None;
        self.command.clear();
        write!(self.command, "!echo bench-{number}").expect("a vector takes everything");
        if n_more > 0 {
            self.command.push(b' ');
            self.command.extend_from_slice(&FILLING[..n_more.min(FILLING.len())]);
        }
    }

    pub(crate) fn line(&self) -> &PreparedLine {
        &self.chatters[self.chatter]
    }

    pub(crate) fn text(&self) -> &[u8] {
        self.plain.map_or(self.command.as_slice(), |text| &self.texts[text])
    }
}

/// From one word to two hundred characters, most of them short.
fn text(index: usize) -> Vec<u8> {
    let n_words = 1 + index * index / 128;
    let words: Vec<&str> = (0..n_words).map(|word| WORDS[(index + word * 3) % WORDS.len()]).collect();
    words.join(" ").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_have_the_lengths_of_chat() {
        let lengths: Vec<usize> = (0..N_TEXTS).map(|index| text(index).len()).collect();
        let mean = lengths.iter().sum::<usize>() / lengths.len();
        assert!((30..80).contains(&mean), "{mean} {lengths:?}");
        assert!(*lengths.iter().max().unwrap() <= 250 && *lengths.iter().min().unwrap() >= 2, "{lengths:?}");
    }

    #[test]
    fn a_command_has_its_number_and_length() {
        let mut lines = Lines::new();
        lines.command(&mut Random::new(), 42, 0);
        assert_eq!(lines.text(), b"!echo bench-42");
        lines.command(&mut Random::new(), 42, 3);
        assert_eq!(lines.text(), b"!echo bench-42 xxx");
    }
}
