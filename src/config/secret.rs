//! Secrets: their three forms (key, `_file`, environment), who can read them, and how strong they are.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use secrecy::SecretString;

/// Least length of a key that we check others by, in bytes.
pub(super) const KEY_BYTES_MIN: usize = 32;

/// Largest file that holds one secret, in bytes.
const SECRET_FILE_BYTES_MAX: u64 = 16 << 10;

/// A key with fewer different bytes is a pattern, not a key.
const DISTINCT_BYTES_MIN: usize = 4;

/// What keys hold that were copied from a manual and never changed.
const WELL_KNOWN: [&str; 10] = [
    "change-me",
    "changeme",
    "change_me",
    "change-this",
    "change_this",
    "change-in-production",
    "change_in_production",
    "your-secret",
    "your_secret",
    "placeholder",
];

/// Permission bits by which users outside owner and group read or change a file. The group is left out:
/// it is how a service manager and Kubernetes (`fsGroup`) hand a file to a service that is not root.
const MODE_OTHERS: u32 = 0o006;

/// Reads a secret from a file that only owner and group may read; white space around it is dropped.
///
/// # Errors
/// A sentence without path and content: people put the secret itself into `_file` by mistake.
pub(super) fn read_private_file(path: &Path) -> Result<SecretString, String> {
    // Asked before opening, because opening a pipe would wait for its writer.
    if !fs::metadata(path).map_err(|error| unreadable(&error))?.is_file() {
        return Err("the named file is not a regular file".to_owned());
    }
    let file = File::open(path).map_err(|error| unreadable(&error))?;
    let mode = file.metadata().map_err(|error| unreadable(&error))?.permissions().mode();
    if mode & MODE_OTHERS != 0 {
        return Err("other users can read or change the named file; `chmod 600` it".to_owned());
    }
    let mut text = String::new();
    file.take(SECRET_FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(|error| unreadable(&error))?;
    if text.len() as u64 > SECRET_FILE_BYTES_MAX {
        return Err(format!("the named file is larger than {SECRET_FILE_BYTES_MAX} bytes"));
    }
    Ok(SecretString::from(text.trim()))
}

fn unreadable(error: &std::io::Error) -> String {
    format!("the named file cannot be read: {error}")
}

/// Whether users outside owner and group can read or change the file.
pub(super) fn others_can_read(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & MODE_OTHERS != 0)
}

/// Says why a key must not be used. `None` for a good one.
pub(super) fn weakness(key: &str) -> Option<String> {
    if key.len() < KEY_BYTES_MIN {
        return Some(format!("must have at least {KEY_BYTES_MIN} bytes; `openssl rand -hex 32` makes one"));
    }
    let lower = key.to_ascii_lowercase();
    let mut distinct = key.as_bytes().to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    let known = WELL_KNOWN.iter().any(|known| lower.contains(known));
    (known || distinct.len() < DISTINCT_BYTES_MIN)
        .then(|| "is a well-known or guessable key; `openssl rand -hex 32` makes a good one".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_known_and_patterned_keys_are_weak() {
        for weak in [
            "",
            "changeme",
            "waddlebot-service-key-changeme-now",
            "dev-secret-key-change-in-production",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "abababababababababababababababababab",
        ] {
            assert!(weakness(weak).is_some(), "{weak}");
        }
        assert_eq!(weakness("9f3c1e7ab24d6058c1f7e92ab3d4605f"), None);
    }
}
