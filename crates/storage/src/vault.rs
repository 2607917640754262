//! Encrypts what must not be readable in the database.
//!
//! XChaCha20-Poly1305 under one key. A blob is version (1 byte), key id (8 bytes), nonce (24 bytes), ciphertext
//! with its tag; table, row and column are authenticated beside it, so that a blob which was copied into another
//! place does not open there.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::path::Path;

use chacha20poly1305::aead::{Aead, Generate, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use secrecy::{ExposeSecret, SecretString};

use crate::StorageError;

const VERSION: u8 = 1;
const KEY_BYTES: usize = 32;
const KEY_ID_BYTES: usize = 8;
const NONCE_BYTES: usize = 24;
const HEADER_BYTES: usize = 1 + KEY_ID_BYTES + NONCE_BYTES;

/// What the key's id is computed from: the tag of an empty message under this nonce, which no blob ever uses
/// because theirs are random.
const KEY_ID_NONCE: [u8; NONCE_BYTES] = [0; NONCE_BYTES];

/// The place of a secret, authenticated with it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub table: &'static str,
    pub row: &'a str,
    pub column: &'static str,
}

impl Place<'_> {
    fn bytes(&self) -> Vec<u8> {
        [self.table, self.row, self.column].join("\u{0}").into_bytes()
    }
}

/// Holds the key that encrypts tokens at rest.
#[derive(Clone)]
pub struct Vault {
    cipher: XChaCha20Poly1305,
    key_id: [u8; KEY_ID_BYTES],
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").field("key_id", &self.key_id()).finish_non_exhaustive()
    }
}

impl Vault {
    /// A vault with that key.
    ///
    /// # Errors
    /// [`StorageError::Invalid`] when the cipher refuses the key, which no 32 bytes make it do.
    pub fn from_key(key: [u8; KEY_BYTES]) -> Result<Self, StorageError> {
        let cipher = XChaCha20Poly1305::new(&key.into());
        let tag = cipher
            .encrypt(&XNonce::from(KEY_ID_NONCE), Payload { msg: b"", aad: b"waddlebot key id" })
            .map_err(|_| StorageError::invalid("the storage key cannot be used"))?;
        let mut key_id = [0; KEY_ID_BYTES];
        key_id.copy_from_slice(&tag[..KEY_ID_BYTES]);
        Ok(Self { cipher, key_id })
    }

    /// Reads the key (64 hexadecimal digits) from a file; makes the file with a new key, mode 0600, when it is
    /// missing.
    ///
    /// # Errors
    /// [`StorageError::Invalid`] for a file that others can read or that holds no key; the key is never shown.
    pub fn open_or_create(path: &Path) -> Result<Self, StorageError> {
        use std::os::unix::fs::OpenOptionsExt;
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        match made {
            Ok(mut file) => {
                let key = <[u8; KEY_BYTES]>::try_generate()
                    .map_err(|error| StorageError::invalid(format!("no randomness: {error}")))?;
                let written = file.write_all(hex(&key).as_bytes()).and_then(|()| file.sync_all());
                written.map_err(|error| file_error(path, &error))?;
                Self::from_key(key)
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Self::open(path),
            Err(error) => Err(file_error(path, &error)),
        }
    }

    fn open(path: &Path) -> Result<Self, StorageError> {
        use std::os::unix::fs::PermissionsExt;
        let file = OpenOptions::new().read(true).open(path).map_err(|error| file_error(path, &error))?;
        let mode = file.metadata().map_err(|error| file_error(path, &error))?.permissions().mode();
        if mode & 0o077 != 0 {
            let path = path.display();
            return Err(StorageError::invalid(format!("{path} can be read by others: chmod 600 {path}")));
        }
        let mut text = String::new();
        file.take(1_024).read_to_string(&mut text).map_err(|error| file_error(path, &error))?;
        Self::from_hex(&SecretString::from(text)).map_err(|_| {
            StorageError::invalid(format!("{} holds no key: 64 hexadecimal digits", path.display()))
        })
    }

    /// A vault with the key that 64 hexadecimal digits write, as in `storage.key`.
    ///
    /// # Errors
    /// [`StorageError::Invalid`] for anything else; the text is never shown.
    pub fn from_hex(text: &SecretString) -> Result<Self, StorageError> {
        let wrong = || StorageError::invalid("storage.key must be 64 hexadecimal digits");
        let text = text.expose_secret().trim().as_bytes();
        if text.len() != KEY_BYTES * 2 {
            return Err(wrong());
        }
        let mut key = [0; KEY_BYTES];
        for (byte, digits) in key.iter_mut().zip(text.chunks_exact(2)) {
            let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            *byte = digit(digits[0])
                .zip(digit(digits[1]))
                .map(|(high, low)| high << 4 | low)
                .ok_or_else(wrong)?;
        }
        Self::from_key(key)
    }

    /// Names the key without telling it.
    pub fn key_id(&self) -> String {
        hex(&self.key_id)
    }

    pub(crate) fn seal(&self, place: Place<'_>, secret: &SecretString) -> Result<Vec<u8>, StorageError> {
        let nonce = XNonce::try_generate()
            .map_err(|error| StorageError::Unavailable { detail: format!("no randomness: {error}") })?;
        let payload = Payload { msg: secret.expose_secret().as_bytes(), aad: &place.bytes() };
        let sealed = self
            .cipher
            .encrypt(&nonce, payload)
            .map_err(|_| StorageError::invalid("a token is too long to be encrypted"))?;
        let mut blob = Vec::with_capacity(HEADER_BYTES + sealed.len());
        blob.push(VERSION);
        blob.extend_from_slice(&self.key_id);
        blob.extend_from_slice(&nonce);
        blob.extend_from_slice(&sealed);
        Ok(blob)
    }

    pub(crate) fn unseal(&self, place: Place<'_>, blob: &[u8]) -> Result<SecretString, StorageError> {
        let unreadable = |why: &str| {
            let Place { table, column, .. } = place;
            StorageError::invalid(format!("a stored token ({table}.{column}) cannot be read: {why}"))
        };
        let (header, sealed) =
            blob.split_at_checked(HEADER_BYTES).ok_or_else(|| unreadable("it is too short"))?;
        let (version, header) = header.split_at(1);
        let (key_id, nonce) = header.split_at(KEY_ID_BYTES);
        if version != [VERSION] {
            return Err(unreadable("it is of a newer version"));
        }
        if key_id != self.key_id {
            return Err(unreadable("it was encrypted with another storage.key"));
        }
        let mut nonce_bytes = [0; NONCE_BYTES];
        nonce_bytes.copy_from_slice(nonce);
        let payload = Payload { msg: sealed, aad: &place.bytes() };
        let opened = self
            .cipher
            .decrypt(&XNonce::from(nonce_bytes), payload)
            .map_err(|_| unreadable("it was changed, or copied from another row"))?;
        let text = String::from_utf8(opened).map_err(|_| unreadable("it is no text"))?;
        Ok(SecretString::from(text))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |text, byte| format!("{text}{byte:02x}"))
}

fn file_error(path: &Path, error: &std::io::Error) -> StorageError {
    use std::io::ErrorKind;
    let place = path.display().to_string().into();
    match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => StorageError::ReadOnly { place },
        ErrorKind::StorageFull => StorageError::Full { place },
        _ => StorageError::invalid(format!("{place}: {error}")),
    }
}

#[cfg(test)]
mod tests;
