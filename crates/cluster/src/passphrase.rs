//! Passphrases: who has one is of the cluster. Files of them, and new ones.
//!
//! ```text
//! Yk3…Q1s     signs, and is trusted
//! 9fW…e_0     only trusted; there while it is changed
//! ```

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use crate::error::Error;
use crate::limits::{PASSPHRASE_FILE_BYTES, PASSPHRASE_MIN_BYTES, PASSPHRASE_MIN_DISTINCT, PASSPHRASES};

/// What nobody else may do with the file: write it as its group, or anything as others. A group may read it.
const EXPOSED: u32 = 0o027;

/// A secret that all nodes of a cluster have. Its memory is overwritten when it is dropped, and nothing prints it.
#[derive(Clone, PartialEq, Eq)]
pub struct Passphrase(Zeroizing<Vec<u8>>);

impl Passphrase {
    /// The passphrase of these bytes, if it is long enough to be one.
    pub fn new(bytes: &[u8]) -> Result<Self, Error> {
        let mut seen = [false; 256];
        bytes.iter().for_each(|b| seen[usize::from(*b)] = true);
        let distinct = seen.iter().filter(|s| **s).count();
        if bytes.len() < PASSPHRASE_MIN_BYTES || distinct < PASSPHRASE_MIN_DISTINCT {
            return Err(Error::WeakPassphrase);
        }
        Ok(Self(Zeroizing::new(bytes.to_vec())))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase")
    }
}

/// The passphrases of a node: the first signs, and all are trusted.
#[derive(Debug, Clone)]
pub struct Passphrases(Vec<Passphrase>);

impl Passphrases {
    /// These, if there is one, or two.
    pub fn new(all: Vec<Passphrase>) -> Result<Self, Error> {
        match all.len() {
            1..=PASSPHRASES => Ok(Self(all)),
            count => Err(Error::Passphrases { count }),
        }
    }

    /// Those of files, in order. Each line of a file is one; the last line may end with a newline or not.
    pub fn load<P: AsRef<Path>>(paths: &[P]) -> Result<Self, Error> {
        let mut all = Vec::new();
        for path in paths {
            let text = read(path.as_ref())?;
            for line in text.strip_suffix(b"\n").unwrap_or(&text).split(|b| *b == b'\n') {
                all.push(Passphrase::new(line.strip_suffix(b"\r").unwrap_or(line))?);
            }
        }
        Self::new(all)
    }

    pub(crate) fn all(&self) -> &[Passphrase] {
        &self.0
    }
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, Error> {
    let failed = |source| Error::PassphraseFile { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.mode() & 0o777;
    if mode & EXPOSED != 0 {
        return Err(Error::Exposed { path: path.to_owned(), mode });
    }
    let mut text = Zeroizing::new(Vec::with_capacity(PASSPHRASE_FILE_BYTES as usize + 1));
    file.take(PASSPHRASE_FILE_BYTES + 1).read_to_end(&mut text).map_err(failed)?;
    if text.len() as u64 > PASSPHRASE_FILE_BYTES {
        return Err(failed(std::io::Error::other("it is too large to be one")));
    }
    Ok(text)
}

/// A new passphrase: 256 random bits as 43 letters, digits, `-` and `_`.
pub fn generate() -> Result<Zeroizing<String>, Error> {
    let mut bits = Zeroizing::new([0; 32]);
    SystemRandom::new().fill(&mut *bits).map_err(|_| Error::Keys("there is no randomness".into()))?;
    Ok(Zeroizing::new(URL_SAFE_NO_PAD.encode(*bits)))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn load(text: &str, mode: u32) -> Result<Vec<Vec<u8>>, Error> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pass");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        Passphrases::load(&[path]).map(|p| p.0.iter().map(|p| p.bytes().to_vec()).collect())
    }

    #[test]
    fn a_new_one_is_accepted_and_never_the_same() {
        let (one, other) = (generate().unwrap(), generate().unwrap());
        assert_eq!((one.len(), *one == *other), (43, false));
        assert!(one.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
        assert!(Passphrase::new(one.as_bytes()).is_ok());
    }

    #[test]
    fn one_newline_belongs_to_the_file_and_all_else_to_the_passphrase() {
        let (a, b) = ("0123456789abcdefghij0123456789 yz", "a secret of many nodes, thirty-two and more");
        for text in [a.to_owned(), format!("{a}\n"), format!("{a}\r\n")] {
            assert_eq!(load(&text, 0o600).unwrap(), [a.as_bytes()]);
        }
        assert_eq!(load(&format!("{a}\n{b}\n"), 0o640).unwrap(), [a.as_bytes(), b.as_bytes()]);
        assert_eq!(load(&format!("{a} \n"), 0o600).unwrap(), [format!("{a} ").as_bytes()]);
    }

    #[test]
    fn what_can_be_guessed_or_read_by_others_is_refused() {
        let good = generate().unwrap();
        for weak in ["", "\n", "short", &good[..31], &"a1".repeat(40)] {
            assert!(matches!(load(weak, 0o600), Err(Error::WeakPassphrase)), "{weak}");
        }
        assert!(matches!(load(&format!("{}\n\n", *good), 0o600), Err(Error::WeakPassphrase)));
        for mode in [0o604, 0o644, 0o620, 0o602] {
            assert!(matches!(load(&good, mode), Err(Error::Exposed { mode: m, .. }) if m == mode));
        }
        let three = [good.as_str(); 3].join("\n");
        assert!(matches!(load(&three, 0o600), Err(Error::Passphrases { count: 3 })));
        assert!(matches!(load(&"x".repeat(5000), 0o600), Err(Error::PassphraseFile { .. })));
    }

    #[test]
    fn nothing_prints_it() {
        let one = Passphrase::new(generate().unwrap().as_bytes()).unwrap();
        assert_eq!(format!("{one:?}"), "Passphrase");
    }
}
