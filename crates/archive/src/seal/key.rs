//! Keys: a pair of X-Wing, and the fingerprint by which they are known.

use std::fmt;
use std::path::Path;

use aws_lc_rs::digest;
use hpke::kem::XWing;
use hpke::{Deserializable, Kem, Serializable};
use zeroize::{Zeroize, Zeroizing};

use super::key_text::{self, KeyError, KeyKind};
use super::{Entropy, OsEntropy, Result};

/// Bytes of a public key: 1184 of ML-KEM-768, 32 of X25519.
pub(super) const PUBLIC_BYTES: usize = 1216;
/// Bytes of a private key: a seed, from which both private keys are derived.
pub(super) const PRIVATE_BYTES: usize = 32;

/// What a pair of keys is known by: 16 bytes of the SHA-256 of its public key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(pub [u8; 16]);

impl Fingerprint {
    fn of(public: &[u8]) -> Self {
        Self(short_hash(b"anabranch public key 1\0", public))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

/// The first 16 bytes of SHA-256 of `domain` and `bytes`.
pub(super) fn short_hash(domain: &[u8], bytes: &[u8]) -> [u8; 16] {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(domain);
    context.update(bytes);
    let mut head = [0; 16];
    head.copy_from_slice(&context.finish().as_ref()[..16]);
    head
}

/// What seals. It is no secret.
#[derive(Clone)]
pub struct PublicKey {
    pub(super) inner: <XWing as Kem>::PublicKey,
    fingerprint: Fingerprint,
}

impl PublicKey {
    /// From its 1216 bytes.
    ///
    /// # Errors
    /// [`KeyError::Invalid`] if they are no public key of X-Wing.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        let inner = <XWing as Kem>::PublicKey::from_bytes(bytes).map_err(|_| KeyError::Invalid(KeyKind::Public))?;
        Ok(Self { inner, fingerprint: Fingerprint::of(bytes) })
    }

    fn new(inner: <XWing as Kem>::PublicKey) -> Self {
        let fingerprint = Fingerprint::of(&inner.to_bytes());
        Self { inner, fingerprint }
    }

    /// Its 1216 bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.inner.to_bytes().to_vec()
    }

    /// What it is known by.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// From its text form.
    ///
    /// # Errors
    /// Says what is wrong with the text; a private key is [`KeyError::WrongKind`].
    pub fn from_text(text: &str) -> Result<Self, KeyError> {
        let parsed = key_text::parse(text, KeyKind::Public)?;
        let key = Self::from_bytes(&parsed.bytes)?;
        parsed.check(key.fingerprint)?;
        Ok(key)
    }

    /// Its text form: what a file of it holds.
    #[must_use]
    pub fn to_text(&self) -> String {
        key_text::format(KeyKind::Public, self.fingerprint, &self.to_bytes()).to_string()
    }

    /// Reads a key file.
    ///
    /// # Errors
    /// As [`from_text`](Self::from_text), with the path; or the file cannot be read.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        key_text::read(path).and_then(|text| Self::from_text(&text).map_err(|e| e.at(path)))
    }

    /// Writes a key file that everybody may read (mode 0644, less the umask), and makes it durable.
    ///
    /// # Errors
    /// [`KeyError::Exists`] if there is such a file: keys are never overwritten.
    pub fn save(&self, path: &Path) -> Result<(), KeyError> {
        key_text::write(path, &self.to_text(), 0o644)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.fingerprint)
    }
}

/// What opens. Its memory is wiped when it is dropped, and it is never shown.
#[derive(Clone)]
pub struct PrivateKey {
    pub(super) inner: <XWing as Kem>::PrivateKey,
    public: PublicKey,
}

impl PrivateKey {
    /// From its 32 bytes.
    ///
    /// # Errors
    /// [`KeyError::Invalid`] if there are more or fewer.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        let inner = <XWing as Kem>::PrivateKey::from_bytes(bytes).map_err(|_| KeyError::Invalid(KeyKind::Private))?;
        let public = PublicKey::new(XWing::sk_to_pk(&inner));
        Ok(Self { inner, public })
    }

    /// Its 32 bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<[u8; PRIVATE_BYTES]> {
        let mut array = self.inner.to_bytes();
        let mut bytes = Zeroizing::new([0; PRIVATE_BYTES]);
        bytes.copy_from_slice(&array);
        array.zeroize();
        bytes
    }

    /// The key that seals for it.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// What it is known by: the fingerprint of its public key.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.public.fingerprint
    }

    /// From its text form.
    ///
    /// # Errors
    /// Says what is wrong with the text; a public key is [`KeyError::WrongKind`].
    pub fn from_text(text: &str) -> Result<Self, KeyError> {
        let parsed = key_text::parse(text, KeyKind::Private)?;
        let key = Self::from_bytes(&parsed.bytes)?;
        parsed.check(key.fingerprint())?;
        Ok(key)
    }

    /// Its text form: what a file of it holds.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        key_text::format(KeyKind::Private, self.fingerprint(), &*self.to_bytes())
    }

    /// Reads a key file.
    ///
    /// # Errors
    /// As [`from_text`](Self::from_text), with the path; or the file cannot be read.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        key_text::read(path).and_then(|text| Self::from_text(&text).map_err(|e| e.at(path)))
    }

    /// Writes a key file that only its owner may read (mode 0600 from the beginning), and makes it durable.
    ///
    /// # Errors
    /// [`KeyError::Exists`] if there is such a file: keys are never overwritten.
    pub fn save(&self, path: &Path) -> Result<(), KeyError> {
        key_text::write(path, &self.to_text(), 0o600)
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({}, not shown)", self.fingerprint())
    }
}

/// A new pair of keys.
#[derive(Clone, Debug)]
pub struct KeyPair {
    /// What opens.
    pub private: PrivateKey,
    /// What seals.
    pub public: PublicKey,
}

impl KeyPair {
    /// A new pair, from the operating system's random bytes.
    ///
    /// # Errors
    /// [`Error::Entropy`](super::Error::Entropy) if there are none.
    pub fn generate() -> Result<Self> {
        Self::generate_with(&mut OsEntropy)
    }

    /// A new pair, from random bytes that are handed in; 32 are taken.
    ///
    /// # Errors
    /// What `entropy` says.
    pub fn generate_with(entropy: &mut dyn Entropy) -> Result<Self> {
        let mut seed = Zeroizing::new([0; PRIVATE_BYTES]);
        entropy.fill(&mut *seed)?;
        let private = PrivateKey::from_bytes(&*seed)?;
        Ok(Self { public: private.public.clone(), private })
    }
}
