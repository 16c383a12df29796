//! Keys as text files.
//!
//! ```text
//! anabranch private key 1            what it is, version of this form
//! kem x-wing 0x647a                  of HPKE
//! fingerprint 0f3a…                  32 hexadecimal digits; of a private key's public key
//! qk3V…                              base64 (RFC 4648, padded) in lines of at most 64: 32 bytes, or 1216 of a public key
//! end
//! ```
//!
//! Lines that begin with `#`, empty lines and blanks around a line are skipped, and lines may end as in Windows. The
//! fingerprint is computed again when a key is read, so it is the check of everything in the file.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::Fingerprint;
use super::key::{PRIVATE_BYTES, PUBLIC_BYTES};
use crate::limits::MOST_KEY_FILE_BYTES;

const LINE: usize = 64;
const KEM: &str = "kem x-wing 0x647a";

/// Which half of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// The half that seals.
    Public,
    /// The half that opens.
    Private,
}

impl KeyKind {
    fn bytes(self) -> usize {
        match self {
            Self::Public => PUBLIC_BYTES,
            Self::Private => PRIVATE_BYTES,
        }
    }

    fn use_of(self) -> &'static str {
        match self {
            Self::Public => "sealing takes the public key",
            Self::Private => "opening takes the private key",
        }
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Public => "public",
            Self::Private => "private",
        })
    }
}

/// What can be wrong with a key or its file.
#[derive(Clone, Debug, thiserror::Error)]
pub enum KeyError {
    /// The text is no key of ours.
    #[error("this is no key of anabranch: its first line is not \"anabranch public key 1\" or the like")]
    NotAKey,
    /// It is the other half of a pair.
    #[error("this is a {found} key, but {}", wanted.use_of())]
    WrongKind {
        /// What was needed.
        wanted: KeyKind,
        /// What it is.
        found: KeyKind,
    },
    /// A later version of this program wrote it.
    #[error("this key has version \"{0}\" of the text form, known is 1; use a newer anabranch")]
    NewerVersion(String),
    /// It is for something else than X-Wing.
    #[error("this key is for \"{0}\", known is \"{KEM}\"")]
    UnknownKem(String),
    /// The text is not as it was written.
    #[error("the key is damaged: {0}; take it from another copy")]
    Damaged(&'static str),
    /// The bytes do not belong to the fingerprint beside them.
    #[error("the key is damaged: it says {said}, but its bytes are the key {computed}; take it from another copy")]
    Fingerprint {
        /// What the text says.
        said: Fingerprint,
        /// What its bytes give.
        computed: Fingerprint,
    },
    /// The bytes are no key of this kind.
    #[error("these bytes are no {0} key of X-Wing")]
    Invalid(KeyKind),
    /// There is a file already.
    #[error("{} exists; a key is never overwritten", path.display())]
    Exists {
        /// Which.
        path: PathBuf,
    },
    /// Reading or writing the file failed.
    #[error("{}: {cause}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: Arc<io::Error>,
    },
    /// Something is wrong with the key in a file.
    #[error("{}: {cause}", path.display())]
    InFile {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        cause: Box<KeyError>,
    },
}

impl KeyError {
    pub(super) fn at(self, path: &Path) -> Self {
        Self::InFile { path: path.to_owned(), cause: Box::new(self) }
    }
}

/// What a text holds; the fingerprint is not checked yet.
pub(super) struct Parsed {
    pub(super) bytes: Zeroizing<Vec<u8>>,
    said: Fingerprint,
}

impl Parsed {
    /// Compares with the fingerprint that was computed from the bytes.
    pub(super) fn check(&self, computed: Fingerprint) -> Result<(), KeyError> {
        if self.said == computed { Ok(()) } else { Err(KeyError::Fingerprint { said: self.said, computed }) }
    }
}

pub(super) fn format(kind: KeyKind, fingerprint: Fingerprint, bytes: &[u8]) -> Zeroizing<String> {
    // As large as it will get, so that it does not move and leave copies behind.
    let mut text = Zeroizing::new(String::with_capacity(256 + bytes.len() * 2));
    let encoded = Zeroizing::new(STANDARD.encode(bytes));
    text.push_str(&format!("anabranch {kind} key 1\n{KEM}\nfingerprint {fingerprint}\n"));
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(LINE));
        text.push_str(line);
        text.push('\n');
        rest = tail;
    }
    text.push_str("end\n");
    text
}

pub(super) fn parse(text: &str, wanted: KeyKind) -> Result<Parsed, KeyError> {
    let mut lines = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
    first_line(lines.next().unwrap_or_default(), wanted)?;
    let kem = lines.next().ok_or(KeyError::Damaged("it ends after its first line"))?;
    if kem != KEM {
        return Err(KeyError::UnknownKem(kem.chars().take(LINE).collect()));
    }
    let said = lines.next().and_then(|l| l.strip_prefix("fingerprint ")).and_then(fingerprint);
    let said = said.ok_or(KeyError::Damaged("the line of its fingerprint is missing or malformed"))?;
    let mut encoded = Zeroizing::new(String::with_capacity(text.len()));
    loop {
        match lines.next() {
            Some("end") => break,
            Some(line) => encoded.push_str(line),
            None => return Err(KeyError::Damaged("its last line, \"end\", is missing")),
        }
    }
    if lines.next().is_some() {
        return Err(KeyError::Damaged("something follows its last line"));
    }
    let bytes = STANDARD.decode(encoded.as_bytes()).map_err(|_| KeyError::Damaged("its data is not base64"))?;
    let bytes = Zeroizing::new(bytes);
    if bytes.len() != wanted.bytes() {
        return Err(KeyError::Damaged("its data has the wrong length"));
    }
    Ok(Parsed { bytes, said })
}

fn first_line(line: &str, wanted: KeyKind) -> Result<(), KeyError> {
    let rest = line.strip_prefix("anabranch ").ok_or(KeyError::NotAKey)?;
    let (kind, version) = rest.split_once(" key ").ok_or(KeyError::NotAKey)?;
    let found = match kind {
        "public" => KeyKind::Public,
        "private" => KeyKind::Private,
        _ => return Err(KeyError::NotAKey),
    };
    if version != "1" {
        return Err(KeyError::NewerVersion(version.chars().take(LINE).collect()));
    }
    if found == wanted { Ok(()) } else { Err(KeyError::WrongKind { wanted, found }) }
}

fn fingerprint(hex: &str) -> Option<Fingerprint> {
    if hex.len() != 32 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    u128::from_str_radix(hex, 16).ok().map(|n| Fingerprint(n.to_be_bytes()))
}

pub(super) fn read(path: &Path) -> Result<Zeroizing<String>, KeyError> {
    let failed = |e: io::Error| KeyError::Io { path: path.to_owned(), cause: Arc::new(e) };
    let mut bytes = Zeroizing::new(Vec::with_capacity(4096));
    let file = File::open(path).map_err(failed)?;
    file.take(MOST_KEY_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MOST_KEY_FILE_BYTES {
        return Err(KeyError::NotAKey.at(path));
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| KeyError::NotAKey.at(path))?;
    Ok(Zeroizing::new(text.to_owned()))
}

pub(super) fn write(path: &Path, text: &str, mode: u32) -> Result<(), KeyError> {
    let failed = |e: io::Error| match e.kind() {
        io::ErrorKind::AlreadyExists => KeyError::Exists { path: path.to_owned() },
        _ => KeyError::Io { path: path.to_owned(), cause: Arc::new(e) },
    };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(failed)?;
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    written.and_then(|()| File::open(folder)?.sync_all()).map_err(|e| {
        // Half a key is of no use, and would be in the way of the next attempt.
        let _ = std::fs::remove_file(path);
        failed(e)
    })
}
