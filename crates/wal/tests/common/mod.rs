//! What several tests need: a log on a disk in memory, and a model of what must be in it.

#![allow(dead_code, reason = "each test uses a part")]

use std::sync::{Arc, OnceLock};

use envelope::Cipher;
use envelope::testing::{MemPlace, keyring};
use wal::testing::MemDisk;
use wal::{Background, Fsync, Kind, Log, LogError, Options, Position, Preallocate, Reader, Recovery};

/// One record as it was appended or read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub end: Position,
    pub kind: u8,
    pub payload: Vec<u8>,
}

/// Data keys for all encrypted logs of this test program.
pub fn cipher() -> Arc<Cipher> {
    static CIPHER: OnceLock<Arc<Cipher>> = OnceLock::new();
    let open = || Cipher::open_place(Box::new(MemPlace::new(1)), keyring(&[1])).expect("an empty place");
    Arc::clone(CIPHER.get_or_init(|| Arc::new(open())))
}

/// Whether all logs of this test program are encrypted: the tests of others are run again in `encrypted`.
fn all_encrypted() -> bool {
    env!("CARGO_CRATE_NAME") == "encrypted"
}

/// A reader that has keys where they are needed.
pub fn keyed(reader: Reader) -> Reader {
    if all_encrypted() { reader.with_cipher(cipher()) } else { reader }
}

/// Options for small logs without a thread.
pub fn small(segment_bytes: u64) -> Options {
    Options {
        segment_bytes,
        policy: Fsync::Always,
        buffer_limit_bytes: 1 << 16,
        preallocate: Preallocate::Reserve,
        background: Background::None,
        max_payload_bytes: 1 << 20,
        cipher: all_encrypted().then(cipher),
        ..Options::default()
    }
}

pub fn kind(n: u8) -> Kind {
    Kind::new(n).expect("a kind for owners")
}

pub fn open(disk: &MemDisk, options: &Options) -> Result<(Log, Recovery), LogError> {
    Log::open_disk(Arc::new(disk.clone()), options.clone(), ())
}

pub fn append(log: &Log, n: u8, payload: &[u8]) -> Result<Position, LogError> {
    log.lock().append(kind(n), &[payload])
}

/// Every record from the first on.
pub fn read_all(log: &Log) -> Vec<Entry> {
    drain(&mut log.reader(log.first()).expect("the first position can be read")).expect("the log can be read")
}

pub fn drain(reader: &mut Reader) -> Result<Vec<Entry>, LogError> {
    let mut entries = Vec::new();
    while let Some(record) = reader.next()? {
        entries.push(Entry { end: record.end, kind: record.kind.get(), payload: record.payload.to_vec() });
    }
    Ok(entries)
}

/// A payload of `len` bytes that differs for each `salt`; every fifth is mostly zeros.
pub fn payload(len: usize, salt: u64) -> Vec<u8> {
    let mut x = salt.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let zeros = salt.is_multiple_of(5);
    (0..len)
        .map(|i| {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            if zeros && i > 4 { 0 } else { x as u8 }
        })
        .collect()
}
