//! The right to seal so many times.

use std::sync::Arc;

use crate::data_key::DataKey;
use crate::error::Result;
use crate::format::{DataKeyId, HEAD_BYTES, Purpose};

/// Counters of a data key that nobody else has, and that are used once each. The key is durable already, so sealing does no
/// I/O. Counters that are left when it is dropped are never used.
#[derive(Debug)]
pub struct Sealer {
    key: Arc<DataKey>,
    purpose: Purpose,
    next: u32,
    left: u32,
}

impl Sealer {
    pub(crate) fn new(key: Arc<DataKey>, purpose: Purpose, next: u32, left: u32) -> Self {
        Self { key, purpose, next, left }
    }

    /// How many more times it seals.
    #[must_use]
    pub fn left(&self) -> u32 {
        self.left
    }

    /// The data key that it seals with.
    #[must_use]
    pub fn key(&self) -> DataKeyId {
        self.key.id
    }

    /// Seals `body` where it is, bound to `aad`, and writes what stands in front of it.
    ///
    /// # Errors
    /// `TooLarge`; then `body` is not to be used.
    ///
    /// # Panics
    /// If nothing is [`left`](Self::left): a counter that is used twice would give away both plain texts.
    pub fn seal(&mut self, aad: &[u8], head: &mut [u8; HEAD_BYTES], body: &mut [u8]) -> Result<()> {
        assert!(self.left > 0, "a sealer seals as many times as was asked for");
        let counter = self.next;
        self.left -= 1;
        self.next = self.next.wrapping_add(1);
        *head = self.key.seal(self.purpose, counter, aad, body)?.encode();
        Ok(())
    }
}
