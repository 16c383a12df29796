//! What a node must not forget, as a file of entries: votes, and reports of what was undone.
//!
//! ```text
//! votes  := "anabranch-votes 1\n" ‖ (length u32 LE ‖ crc32c u32 LE ‖ kept)*       the checksum is that of length and what is kept
//! undone := "anabranch-undone 1\n" ‖ the same
//! kept   := 0 u8 ‖ entry | 1 u8 ‖ entry sealed, bound to where it stands
//! ```
//! An entry that is not whole is the end: nothing behind it was ever synced. When most of it is over, the file is written anew with what
//! is left, and takes the old one's place.
//!
//! *Invariant:* what was synced is read back, in its order.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crc_fast::{CrcAlgorithm, checksum};
use envelope::{Cipher, HEAD_BYTES};
use thiserror::Error;

use crate::limits::JOURNAL_ENTRY_BYTES;

/// Which journal: the name of its file, and how that begins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Purpose {
    name: &'static str,
    head: &'static [u8],
}

const VOTES: Purpose = Purpose { name: "votes", head: b"anabranch-votes 1\n" };

/// Reports of what was undone.
pub(crate) const UNDONE: Purpose = Purpose { name: "undone", head: b"anabranch-undone 1\n" };

/// Length and checksum.
const FRAME: usize = 8;

/// Why entries cannot be kept.
#[derive(Debug, Error)]
pub enum JournalError {
    /// The file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is something else.
    #[error("{path} is not what its name says, or was written by another version")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// Entries cannot be sealed or opened.
    #[error("{path}: {source}")]
    Sealed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: envelope::Error,
    },
    /// A write or a sync has failed before: nobody knows what is durable.
    #[error("a journal of transactions has failed before; the node takes no part in them until it starts again")]
    Failed,
}

/// Where entries are kept.
pub trait Journal {
    /// Adds an entry.
    fn append(&mut self, entry: &[u8]) -> Result<(), JournalError>;
    /// Makes all that was added durable.
    fn sync(&mut self) -> Result<(), JournalError>;
    /// Bytes that it has.
    fn bytes(&self) -> u64;
    /// Puts these entries in the place of all, durably.
    fn replace(&mut self, entries: &[Vec<u8>]) -> Result<(), JournalError>;
}

/// A journal in the data directory.
#[derive(Debug)]
pub struct JournalFile {
    dir: PathBuf,
    purpose: Purpose,
    file: File,
    cipher: Option<Cipher>,
    bytes: u64,
    has_failed: bool,
}

impl JournalFile {
    /// The votes of a data directory. With a cipher ([`engine::Engine::votes_cipher`]) whatever is added is sealed.
    pub fn open(dir: &Path, cipher: Option<Cipher>) -> Result<(Self, Vec<Vec<u8>>), JournalError> {
        Self::open_for(VOTES, dir, cipher)
    }

    /// A journal with its entries. Two never share a cipher's registry: one would forget the keys of the other.
    pub(crate) fn open_for(
        purpose: Purpose,
        dir: &Path,
        cipher: Option<Cipher>,
    ) -> Result<(Self, Vec<Vec<u8>>), JournalError> {
        let Purpose { name, head } = purpose;
        let path = dir.join(name);
        let io = |source| JournalError::Io { path: path.clone(), source };
        let opened = OpenOptions::new().read(true).append(true).create(true).open(&path);
        let mut file = opened.map_err(io)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(io)?;
        if bytes.len() < head.len() && head.starts_with(&bytes) {
            file.set_len(0).and_then(|()| file.write_all(head)).and_then(|()| file.sync_all()).map_err(io)?;
            sync_dir(dir).map_err(io)?;
            bytes = head.to_vec();
        }
        let body = bytes.strip_prefix(head).ok_or_else(|| JournalError::Foreign { path: path.clone() })?;
        let (kept, whole) = read(head.len(), body);
        let entries =
            kept.into_iter().map(|(at, kept)| open_entry(cipher.as_ref(), at, kept)).collect::<Result<_, _>>();
        let entries = entries.map_err(|source| JournalError::Sealed { path: path.clone(), source })?;
        let end = (head.len() + whole) as u64;
        if end < bytes.len() as u64 {
            tracing::warn!(path = %path.display(), lost = bytes.len() as u64 - end, "a journal ends in what was not synced");
            file.set_len(end).and_then(|()| file.sync_all()).map_err(io)?;
        }
        file.seek(SeekFrom::End(0)).map_err(io)?;
        Ok((Self { dir: dir.into(), purpose, file, cipher, bytes: end, has_failed: false }, entries))
    }

    fn path(&self) -> PathBuf {
        self.dir.join(self.purpose.name)
    }

    fn done<T>(&mut self, result: std::io::Result<T>) -> Result<T, JournalError> {
        let path = self.path();
        result.map_err(|source| {
            self.has_failed = true;
            JournalError::Io { path, source }
        })
    }

    /// The entry as it stands in the file at `at`.
    fn frame(&self, at: u64, entry: &[u8], out: &mut Vec<u8>) -> Result<(), JournalError> {
        let mut kept = vec![u8::from(self.cipher.is_some())];
        if let Some(cipher) = &self.cipher {
            let sealed = |source| JournalError::Sealed { path: self.path(), source };
            let (mut head, mut body) = ([0; HEAD_BYTES], entry.to_vec());
            let mut sealer = cipher.prepare(envelope::Purpose::Record, 1).map_err(sealed)?;
            sealer.seal(&at.to_le_bytes(), &mut head, &mut body).map_err(sealed)?;
            kept.extend_from_slice(&head);
            kept.extend(body);
        } else {
            kept.extend_from_slice(entry);
        }
        frame(&kept, out);
        Ok(())
    }

    fn check(&self) -> Result<(), JournalError> {
        if self.has_failed { Err(JournalError::Failed) } else { Ok(()) }
    }
}

impl Journal for JournalFile {
    fn append(&mut self, entry: &[u8]) -> Result<(), JournalError> {
        self.check()?;
        let mut framed = Vec::with_capacity(entry.len() + FRAME);
        self.frame(self.bytes, entry, &mut framed)?;
        let written = self.file.write_all(&framed);
        self.done(written)?;
        self.bytes += framed.len() as u64;
        Ok(())
    }

    fn sync(&mut self) -> Result<(), JournalError> {
        self.check()?;
        let synced = self.file.sync_data();
        self.done(synced)
    }

    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn replace(&mut self, entries: &[Vec<u8>]) -> Result<(), JournalError> {
        self.check()?;
        let mut bytes = self.purpose.head.to_vec();
        entries.iter().try_for_each(|entry| self.frame(bytes.len() as u64, entry, &mut bytes))?;
        let replaced = (|| {
            let (next, path) = (self.dir.join(format!("{}.next", self.purpose.name)), self.path());
            let mut file = File::create(&next)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            std::fs::rename(&next, &path)?;
            sync_dir(&self.dir)?;
            OpenOptions::new().read(true).append(true).open(&path)
        })();
        self.file = self.done(replaced)?;
        self.bytes = bytes.len() as u64;
        if let Some(cipher) = &self.cipher {
            // All of it has just been sealed by this process.
            let newest = cipher.data_keys().last().map(|(key, _)| *key);
            let forgotten = newest.filter(|_| !entries.is_empty()).map_or(Ok(0), |key| cipher.forget_below(key));
            forgotten.map_err(|source| JournalError::Sealed { path: self.path(), source })?;
        }
        Ok(())
    }
}

fn sync_dir(dir: &Path) -> std::io::Result<()> {
    File::open(dir)?.sync_all()
}

fn crc(length: [u8; 4], entry: &[u8]) -> u32 {
    let whole = [&length[..], entry].concat();
    checksum(CrcAlgorithm::Crc32Iscsi, &whole) as u32
}

fn frame(entry: &[u8], out: &mut Vec<u8>) {
    let length = (entry.len() as u32).to_le_bytes();
    out.extend_from_slice(&length);
    out.extend_from_slice(&crc(length, entry).to_le_bytes());
    out.extend_from_slice(entry);
}

fn open_entry(cipher: Option<&Cipher>, at: u64, kept: &[u8]) -> Result<Vec<u8>, envelope::Error> {
    match (kept.split_first(), cipher) {
        (Some((0, entry)), _) => Ok(entry.to_vec()),
        (Some((1, sealed)), Some(cipher)) => {
            let mut entry = Vec::new();
            cipher.open_into(envelope::Purpose::Record, &at.to_le_bytes(), sealed, &mut entry)?;
            Ok(entry)
        }
        _ => Err(envelope::Error::Integrity),
    }
}

/// What is kept, and where in the file, and how many bytes are whole, behind the first `begin` bytes.
fn read(begin: usize, bytes: &[u8]) -> (Vec<(u64, &[u8])>, usize) {
    let (mut entries, mut at) = (Vec::new(), 0);
    while let Some((head, rest)) = bytes[at..].split_at_checked(FRAME) {
        let (length, sum) = head.split_at(4);
        let length: [u8; 4] = length.try_into().expect("four of eight bytes");
        let len = u32::from_le_bytes(length) as usize;
        let Some(entry) = rest.get(..len).filter(|_| len <= JOURNAL_ENTRY_BYTES) else { break };
        if crc(length, entry).to_le_bytes() != sum {
            break;
        }
        entries.push(((begin + at) as u64, entry));
        at += FRAME + len;
    }
    (entries, at)
}
