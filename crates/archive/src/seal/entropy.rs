//! Where random bytes come from: the operating system, or whatever a test hands in.

use aws_lc_rs::rand::{SecureRandom, SystemRandom};

use super::{Error, Result};

/// A source of random bytes. A key, and the secret of each sealed object, is only as good as this.
pub trait Entropy {
    /// Fills `bytes`, all of it.
    ///
    /// # Errors
    /// [`Error::Entropy`] if there are none to be had; `bytes` must not be used then.
    fn fill(&mut self, bytes: &mut [u8]) -> Result<()>;
}

/// The operating system's generator.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsEntropy;

impl Entropy for OsEntropy {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<()> {
        SystemRandom::new().fill(bytes).map_err(|_| Error::Entropy)
    }
}
