//! From a public key to the key of one object, and back with the private key: HPKE with X-Wing, export only.

use std::convert::Infallible;

use aws_lc_rs::aead::{AES_256_GCM, LessSafeKey, UnboundKey};
use hpke::aead::ExportOnlyAead;
use hpke::kdf::HkdfSha256;
use hpke::kem::XWing;
use hpke::rand_core::{TryCryptoRng, TryRng};
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable, setup_receiver, setup_sender_with_rng};
use zeroize::Zeroizing;

use super::header::{BOUND, ENCAPSULATED};
use super::{Entropy, Error, PrivateKey, PublicKey, Result};

/// Random bytes that one encapsulation of X-Wing takes: 32 for ML-KEM, 32 for X25519.
const DRAW: usize = 64;

/// A new object's key, and the form in which only the private key finds it again.
pub(super) fn encapsulate(
    key: &PublicKey,
    bound: &[u8; BOUND],
    name: &str,
    entropy: &mut dyn Entropy,
) -> Result<(LessSafeKey, [u8; ENCAPSULATED])> {
    let mut drawn = Drawn { bytes: Zeroizing::new([0; DRAW]), used: 0 };
    entropy.fill(&mut *drawn.bytes)?;
    let info = info(bound, name);
    let made =
        setup_sender_with_rng::<ExportOnlyAead, HkdfSha256, XWing>(&OpModeS::Base, &key.inner, &info, &mut drawn);
    let (encapsulated, context) = made.map_err(|_| Error::Library("to encapsulate for this key"))?;
    if drawn.used != DRAW {
        return Err(Error::Library("to take the random bytes that were drawn"));
    }
    let mut secret = Zeroizing::new([0; 32]);
    context.export(b"chunks", &mut *secret).map_err(|_| Error::Library("to export a key"))?;
    let mut bytes = [0; ENCAPSULATED];
    bytes.copy_from_slice(&encapsulated.to_bytes());
    Ok((chunk_key(&secret)?, bytes))
}

/// The key of an object again. A wrong or changed one gives another key, not an error: the first chunk tells.
pub(super) fn decapsulate(
    key: &PrivateKey,
    bound: &[u8; BOUND],
    name: &str,
    encapsulated: &[u8; ENCAPSULATED],
) -> Result<LessSafeKey> {
    let encapsulated = <XWing as Kem>::EncappedKey::from_bytes(encapsulated)
        .map_err(|_| Error::DamagedHeader("its encapsulated key is none"))?;
    let info = info(bound, name);
    let context = setup_receiver::<ExportOnlyAead, HkdfSha256, XWing>(&OpModeR::Base, &key.inner, &encapsulated, &info)
        .map_err(|_| Error::DamagedHeader("its encapsulated key is none"))?;
    let mut secret = Zeroizing::new([0; 32]);
    context.export(b"chunks", &mut *secret).map_err(|_| Error::Library("to export a key"))?;
    chunk_key(&secret)
}

fn chunk_key(secret: &[u8; 32]) -> Result<LessSafeKey> {
    let unbound = UnboundKey::new(&AES_256_GCM, secret).map_err(|_| Error::Library("a key for AES-256-GCM"))?;
    Ok(LessSafeKey::new(unbound))
}

fn info(bound: &[u8; BOUND], name: &str) -> Vec<u8> {
    [b"anabranch seal 1\0".as_slice(), bound, name.as_bytes()].concat()
}

/// Random bytes drawn before, because HPKE's interface cannot say that there are none. It gives each byte once; that
/// exactly all were taken is checked afterwards.
struct Drawn {
    bytes: Zeroizing<[u8; DRAW]>,
    used: usize,
}

impl TryRng for Drawn {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, dst: &mut [u8]) -> Result<(), Infallible> {
        if let Some(source) = self.bytes.get(self.used..self.used + dst.len()) {
            dst.copy_from_slice(source);
        }
        self.used += dst.len();
        Ok(())
    }
}

impl TryCryptoRng for Drawn {}
