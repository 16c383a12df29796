//! Whole files.

use super::{len, string};
use crate::kinds::{self, Dialect};

/// A file, written record by record.
#[derive(Debug, Clone)]
pub struct File(pub Vec<u8>);

impl File {
    /// The head of a file of Redis.
    pub fn redis(version: u16) -> Self {
        Self(format!("REDIS{version:04}").into_bytes())
    }

    /// The head of a file of Valkey.
    pub fn valkey(version: u16) -> Self {
        Self(format!("VALKEY{version:03}").into_bytes())
    }

    /// The head of a file of the newest version in a dialect.
    pub fn of(dialect: Dialect) -> Self {
        match dialect {
            Dialect::Redis => Self::redis(kinds::REDIS_MAX),
            Dialect::Valkey => Self::valkey(kinds::VALKEY_MAX),
        }
    }

    /// Adds any bytes.
    pub fn raw(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.0.extend_from_slice(bytes.as_ref());
        self
    }

    /// What the writer says of itself.
    pub fn aux(self, name: &str, value: &str) -> Self {
        self.raw([250]).raw(string(name.as_bytes())).raw(string(value.as_bytes()))
    }

    /// The keys that follow are of this database.
    pub fn select(self, db: u64) -> Self {
        self.raw([254]).raw(len(db))
    }

    /// The next key expires then, in unix ms.
    pub fn expire_ms(self, at: i64) -> Self {
        self.raw([252]).raw(at.to_le_bytes())
    }

    /// The next key expires then, in unix seconds.
    pub fn expire_s(self, at: i32) -> Self {
        self.raw([253]).raw(at.to_le_bytes())
    }

    /// A key.
    pub fn key(self, number: u8, key: &[u8], body: &[u8]) -> Self {
        self.raw([number]).raw(string(key)).raw(body)
    }

    /// The end mark and a checksum, bit by bit.
    pub fn end(mut self) -> Vec<u8> {
        self.0.push(255);
        let mut crc = 0u64;
        for byte in &self.0 {
            crc ^= u64::from(*byte);
            for _ in 0..8 {
                crc = if crc & 1 == 1 { crc >> 1 ^ 0x95ac_9329_ac4b_c9b5 } else { crc >> 1 };
            }
        }
        self.raw(crc.to_le_bytes()).0
    }

    /// The end mark, without a checksum: the writer had them turned off.
    pub fn end_unsigned(self) -> Vec<u8> {
        self.raw([255]).raw([0; 8]).0
    }
}
