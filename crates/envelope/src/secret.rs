//! The bytes of a key.

use std::convert::Infallible;
use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, LessSafeKey, UnboundKey};
use zeroize::Zeroizing;

/// Bytes of a key, master key or data key.
pub(crate) const KEY_BYTES: usize = 32;

/// A key. Its bytes stay where they are, so that moving it leaves no copies, and are overwritten when it is dropped.
pub(crate) struct Secret(Box<Zeroizing<[u8; KEY_BYTES]>>);

impl Secret {
    /// A key that `fill` writes in place.
    pub(crate) fn fill<E>(fill: impl FnOnce(&mut [u8; KEY_BYTES]) -> Result<(), E>) -> Result<Self, E> {
        let mut secret = Self(Box::new(Zeroizing::new([0; KEY_BYTES])));
        fill(&mut secret.0).map(|()| secret)
    }

    pub(crate) fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }

    /// The same key, ready for use.
    pub(crate) fn aead(&self) -> LessSafeKey {
        let key = UnboundKey::new(&AES_256_GCM, self.bytes()).expect("a key of AES-256 has 32 bytes");
        LessSafeKey::new(key)
    }
}

impl Clone for Secret {
    fn clone(&self) -> Self {
        let Ok(secret) = Self::fill(|out| {
            out.copy_from_slice(self.bytes());
            Ok::<_, Infallible>(())
        });
        secret
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}
