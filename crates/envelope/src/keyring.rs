//! The master keys that an operator gives.
//!
//! ```text
//! # made with: openssl rand -hex 32
//! 1 1f0c…                64 hexadecimal digits, or base64 (RFC 4648, padded) of 32 bytes
//! 2 q83v…                numbers ascend; the last key is the current one, those before only open
//! ```
//!
//! In a variable of the environment a comma may stand for the end of a line. Empty lines, blanks around a line and lines
//! that begin with `#` are skipped.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::error::{Action, Error, Result};
use crate::limits::MAX_KEYRING_BYTES;
use crate::secret::{KEY_BYTES, Secret};

/// What nobody but the owner may do with the file, and what a group may not.
const EXPOSED: u32 = 0o027;

/// Master keys by number.
#[derive(Clone, Debug)]
pub struct Keyring {
    keys: BTreeMap<u32, Secret>,
}

impl Keyring {
    /// Reads the text of master keys.
    ///
    /// # Errors
    /// `KeyLine`, `NoKeys`, `KeysTooLarge`.
    pub fn parse(text: &[u8]) -> Result<Self> {
        if text.len() > MAX_KEYRING_BYTES {
            return Err(Error::KeysTooLarge { limit: MAX_KEYRING_BYTES });
        }
        let mut keys = BTreeMap::new();
        for (n, line) in text.split(|byte| matches!(byte, b'\n' | b',')).enumerate() {
            let wrong = |reason| Error::KeyLine { line: n + 1, reason };
            let line = std::str::from_utf8(line).map_err(|_| wrong("it is no text"))?.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let mut words = line.split_ascii_whitespace();
            let (Some(id), Some(key), None) = (words.next(), words.next(), words.next()) else {
                return Err(wrong("it must be a number, a blank and a key"));
            };
            let id: u32 = id.parse().map_err(|_| wrong("the key's number must be one from 1 to 4294967295"))?;
            if id == 0 {
                return Err(wrong("the key's number must be one from 1 to 4294967295"));
            }
            if keys.last_key_value().is_some_and(|(&last, _)| last >= id) {
                return Err(wrong("the numbers must ascend; the last key is the current one"));
            }
            let secret = parse_key(key)
                .ok_or_else(|| wrong("the key must be 32 bytes: 64 hexadecimal digits, or 44 characters of base64"))?;
            keys.insert(id, secret);
        }
        if keys.is_empty() { Err(Error::NoKeys) } else { Ok(Self { keys }) }
    }

    /// Reads the file at `path`. One that everybody may read, or that a group may write, is refused: with a copy of the disk
    /// it is all that somebody needs, and a warning would come too late. A group may read it, since that is how a service is
    /// given a file that it does not own.
    ///
    /// # Errors
    /// `Io`, `Exposed`, and as [`parse`](Self::parse).
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let failed = |action| move |error| Error::io(action, path.display().to_string(), error);
        let file = File::open(path).map_err(failed(Action::Open))?;
        let mode = file.metadata().map_err(failed(Action::Read))?.mode() & 0o777;
        if mode & EXPOSED != 0 {
            return Err(Error::Exposed { file: path.display().to_string(), mode });
        }
        // As large as it may get, so that it does not move and leave copies behind.
        let mut text = Zeroizing::new(Vec::with_capacity(MAX_KEYRING_BYTES + 1));
        file.take(MAX_KEYRING_BYTES as u64 + 1).read_to_end(&mut text).map_err(failed(Action::Read))?;
        Self::parse(&text)
    }

    /// Reads the environment variable `name`.
    ///
    /// # Errors
    /// `NoVariable`, and as [`parse`](Self::parse).
    pub fn from_env(name: &str) -> Result<Self> {
        let value = std::env::var_os(name).ok_or_else(|| Error::NoVariable { name: name.to_owned() })?;
        let text = Zeroizing::new(value.into_encoded_bytes());
        Self::parse(&text)
    }

    /// The number of the key that data keys are wrapped under from now on.
    #[must_use]
    pub fn current(&self) -> u32 {
        *self.keys.last_key_value().expect("a keyring has a key").0
    }

    pub(crate) fn key(&self, id: u32) -> Result<&Secret> {
        self.keys.get(&id).ok_or(Error::MasterKeyMissing { id })
    }
}

fn parse_key(text: &str) -> Option<Secret> {
    let text = text.as_bytes();
    Secret::fill(|out| if text.len() == 2 * KEY_BYTES { from_hex(text, out) } else { from_base64(text, out) }.ok_or(()))
        .ok()
}

fn from_hex(text: &[u8], out: &mut [u8; KEY_BYTES]) -> Option<()> {
    for (byte, pair) in out.iter_mut().zip(text.chunks(2)) {
        let digit = |digit: u8| char::from(digit).to_digit(16);
        *byte = (digit(pair[0])? << 4 | digit(pair[1])?) as u8;
    }
    Some(())
}

fn from_base64(text: &[u8], out: &mut [u8; KEY_BYTES]) -> Option<()> {
    let mut bytes = Zeroizing::new([0; KEY_BYTES + 1]);
    let len = STANDARD.decode_slice(text, &mut bytes[..]).ok()?;
    (len == KEY_BYTES).then(|| out.copy_from_slice(&bytes[..KEY_BYTES]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1F";
    const BASE64: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    #[test]
    fn both_spellings_are_the_same_key_and_the_last_is_current() {
        let text = format!("# keys\r\n\n 3 {HEX}\r\n7\t{BASE64}");
        let keyring = Keyring::parse(text.as_bytes()).unwrap();
        assert_eq!(keyring.current(), 7);
        let expected: [u8; 32] = std::array::from_fn(|n| n as u8);
        assert_eq!(keyring.key(3).unwrap().bytes(), &expected);
        assert_eq!(keyring.key(7).unwrap().bytes(), &expected);
        assert!(matches!(keyring.key(4), Err(Error::MasterKeyMissing { id: 4 })));
        let one_line = Keyring::parse(format!("3 {HEX},7 {BASE64}").as_bytes()).unwrap();
        assert_eq!(one_line.keys.len(), 2);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line_and_without_a_byte_of_a_key() {
        let bad = [
            (format!("1 {HEX}\n1 {HEX}"), 2),
            (format!("2 {HEX}\n1 {HEX}"), 2),
            (format!("0 {HEX}"), 1),
            (format!("-1 {HEX}"), 1),
            (format!("4294967296 {HEX}"), 1),
            (format!("# x\n{HEX}"), 2),
            (format!("1 {HEX} more"), 1),
            (format!("1 {}", &HEX[2..]), 1),
            (format!("1 {}g", &HEX[1..]), 1),
            (format!("1 {}", &BASE64[4..]), 1),
            (format!("1 {}", BASE64.trim_end_matches('=')), 1),
            (format!("1 {HEX}{HEX}"), 1),
        ];
        for (text, at) in bad {
            let error = Keyring::parse(text.as_bytes()).unwrap_err();
            assert!(matches!(error, Error::KeyLine { line, .. } if line == at), "{text}: {error}");
            let said = format!("{error} {error:?}");
            assert!(!said.contains(&HEX[4..12]) && !said.contains(&BASE64[4..12]), "{said}");
        }
        assert!(matches!(Keyring::parse(b" \n# only words\n"), Err(Error::NoKeys)));
        assert!(matches!(Keyring::parse(&[b'#'; MAX_KEYRING_BYTES + 1]), Err(Error::KeysTooLarge { .. })));
    }

    #[test]
    fn debug_shows_no_key() {
        let keyring = Keyring::parse(format!("1 {HEX}").as_bytes()).unwrap();
        assert_eq!(format!("{keyring:?}"), "Keyring { keys: {1: Secret} }");
    }

    fn write(path: &Path, mode: u32) {
        std::fs::write(path, format!("5 {HEX}\n")).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_file_that_others_may_read_or_change_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("master");
        for (mode, is_taken) in
            [(0o600, true), (0o400, true), (0o440, true), (0o604, false), (0o620, false), (0o601, false)]
        {
            write(&path, mode);
            let error = Keyring::from_file(&path).err();
            assert_eq!(error.is_none(), is_taken, "{mode:o}: {error:?}");
            assert!(error.is_none_or(|error| error.to_string().contains("chmod 600")));
        }
    }

    #[test]
    fn a_file_is_read_and_one_that_is_not_there_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("master");
        let error = Keyring::from_file(&path).unwrap_err();
        assert!(error.to_string().contains("master"), "{error}");
        write(&path, 0o600);
        assert_eq!(Keyring::from_file(&path).unwrap().current(), 5);
        assert!(matches!(Keyring::from_env("ANABRANCH_NO_SUCH_VARIABLE"), Err(Error::NoVariable { .. })));
    }
}
