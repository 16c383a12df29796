//! What several tests need: a log on a disk in memory, and a model of what must be in it.

#![allow(dead_code, reason = "each test uses a part")]

use std::sync::Arc;

use wal::testing::MemDisk;
use wal::{Background, Fsync, Kind, Log, LogError, Options, Position, Preallocate, Reader, Recovery};

/// One record as it was appended or read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub end: Position,
    pub kind: u8,
    pub payload: Vec<u8>,
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
