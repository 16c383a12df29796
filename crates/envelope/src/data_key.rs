//! One data key at work.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::aead::{Aad, LessSafeKey, Nonce};

use crate::error::{Error, Result};
use crate::format::{DataKeyId, Head, Purpose};
use crate::secret::Secret;

/// A data key.
pub(crate) struct DataKey {
    pub(crate) id: DataKeyId,
    /// Kept, so that it can be wrapped anew under another master key.
    pub(crate) secret: Secret,
    aead: LessSafeKey,
    sealed_bytes: AtomicU64,
}

impl DataKey {
    pub(crate) fn new(id: DataKeyId, secret: Secret) -> Self {
        Self { id, aead: secret.aead(), secret, sealed_bytes: AtomicU64::new(0) }
    }

    /// Bytes sealed with it by this process.
    pub(crate) fn sealed_bytes(&self) -> u64 {
        self.sealed_bytes.load(Ordering::Relaxed)
    }

    /// Encrypts `body` where it is. The caller has the counter for itself.
    pub(crate) fn seal(&self, purpose: Purpose, counter: u32, aad: &[u8], body: &mut [u8]) -> Result<Head> {
        let nonce = Nonce::assume_unique_for_key(purpose.nonce(counter));
        let sealed = self.aead.seal_in_place_separate_tag(nonce, Aad::from(aad), body);
        let tag = sealed.map_err(|_| Error::TooLarge(body.len()))?;
        self.sealed_bytes.fetch_add(body.len() as u64, Ordering::Relaxed);
        let tag = tag.as_ref().try_into().expect("a tag of AES-GCM has 16 bytes");
        Ok(Head { key: self.id, counter, tag })
    }

    /// Decrypts `ciphertext` into `out`, which is as long.
    pub(crate) fn open(
        &self,
        purpose: Purpose,
        head: &Head,
        aad: &[u8],
        ciphertext: &[u8],
        out: &mut [u8],
    ) -> Result<()> {
        let nonce = Nonce::assume_unique_for_key(purpose.nonce(head.counter));
        self.aead.open_separate_gather(nonce, Aad::from(aad), ciphertext, &head.tag, out).map_err(|_| Error::Integrity)
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DataKey({})", self.id)
    }
}
