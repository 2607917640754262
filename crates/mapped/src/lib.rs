//! Words of memory in a file: what was stored last is read by the next process, however this one ended.
//!
//! A store is a store into memory; the system keeps the page when the process dies. Mapping a file and acting on a
//! signal cannot be had without `unsafe`: the two blocks of this crate are all that the program has of it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::{MmapOptions, MmapRaw};

const WORD_BYTES: usize = size_of::<u64>();
/// SIGABRT on every Unix: `abort()`, and so a stack that overflowed.
const SIGABRT: i32 = 6;

/// Words that every thread may store into.
#[derive(Debug)]
pub struct MappedWords {
    map: MmapRaw,
    n_words: usize,
}

impl MappedWords {
    /// Makes a new file of so many zeros in place of the one at `path` and maps it. The caller sees to it that no other
    /// process shortens it.
    ///
    /// # Errors
    /// When the file cannot be written or mapped.
    pub fn create(path: &Path, n_words: usize) -> io::Result<Self> {
        let new = path.with_extension("new");
        let mut file: File =
            OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        // Written, not just made long: a page that the disk has no room for would end the process at its first store.
        file.write_all(&vec![0; n_words * WORD_BYTES])?;
        fs::rename(&new, path)?;
        let map = MmapOptions::new().len(n_words * WORD_BYTES).map_raw(&file)?;
        Ok(Self { map, n_words })
    }

    /// Words without a file, which nobody finds later.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn anonymous(n_words: usize) -> io::Result<Self> {
        let map = MmapOptions::new().len(n_words * WORD_BYTES).map_anon()?.into();
        Ok(Self { map, n_words })
    }

    /// All of them.
    pub fn words(&self) -> &[AtomicU64] {
        let first = self.map.as_mut_ptr();
        // SAFETY: a mapping begins at a page and so is aligned, is `n_words` long, stays where it is for as long as
        // `self`, and any bytes are a number. It is reached through this slice only, by atomic stores and loads.
        #[expect(unsafe_code, clippy::cast_ptr_alignment, reason = "memory of a file has no other door")]
        let words =
            unsafe { std::slice::from_raw_parts(first.cast::<AtomicU64>().cast_const(), self.n_words) };
        words
    }
}

/// From now on an abort of this process puts `mark` into the word, if that is 0. The process aborts all the same.
///
/// # Errors
/// When the system lets nobody listen to the signal.
///
/// # Panics
/// When there is no such word.
pub fn mark_aborts(words: Arc<MappedWords>, word: usize, mark: u64) -> io::Result<()> {
    assert!(word < words.n_words, "there is such a word");
    let on_abort = move || {
        // Who marked it before knows better.
        let _marked = words.words()[word].compare_exchange(0, mark, Ordering::Relaxed, Ordering::Relaxed);
    };
    // SAFETY: the action may do only what a signal handler may: it takes no lock, allocates nothing and cannot panic,
    // since the word is there. It is one atomic instruction on memory that the closure keeps alive.
    #[expect(unsafe_code, reason = "a signal handler has no other door")]
    let registered = unsafe { signal_hook_registry::register(SIGABRT, on_abort) };
    registered.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_stored_stands_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("words");
        let words = MappedWords::create(&path, 600).unwrap();
        assert!(words.words().iter().all(|word| word.load(Ordering::Relaxed) == 0));
        words.words()[599].store(0x0102_0304, Ordering::Relaxed);
        let read = fs::read(&path).unwrap();
        assert_eq!((read.len(), &read[4_792..]), (4_800, &0x0102_0304_u64.to_ne_bytes()[..]));
        drop(words);
        MappedWords::create(&path, 600).unwrap();
        assert!(fs::read(&path).unwrap().iter().all(|byte| *byte == 0), "a new one begins with zeros");
    }
}
