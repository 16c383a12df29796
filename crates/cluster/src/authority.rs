//! The certificate authority that a passphrase is: the same on every node, without being sent or stored.
//!
//! ```text
//! passphrase ─HKDF-SHA256─▶ 32 bytes ─▶ Ed25519 key ─▶ certificate of the authority, to the byte the same everywhere
//! ```
//! Ed25519 signatures are deterministic and nothing else in the certificate is chosen, so it can be compared and held by a
//! golden digest. Its name has a digest of its public key: authorities of two passphrases are told apart by name.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ED25519, SerialNumber, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use crate::error::Error;
use crate::passphrase::Passphrase;

/// Ours: the same passphrase in another program gives another key.
const SALT: &[u8] = b"anabranch/cluster/authority/1";
/// What the derived bytes are for.
const INFO: &[u8] = b"ed25519 signing key";

/// The key of a passphrase, and its certificate.
pub(crate) struct Authority {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn of(passphrase: &Passphrase) -> Result<Self, Error> {
        let key = key(passphrase)?;
        let mark = digest(&SHA256, key.public_key_raw());
        let short: String = mark.as_ref()[..8].iter().map(|b| format!("{b:02x}")).collect();
        let mut name = DistinguishedName::new();
        name.push(DnType::CommonName, format!("Anabranch cluster {short}"));
        let mut params = CertificateParams::default();
        params.distinguished_name = name;
        params.serial_number = Some(SerialNumber::from_slice(&mark.as_ref()[8..24]));
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(9999, 12, 31));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let certificate = params.self_signed(&key).map_err(keys)?.der().clone();
        Ok(Self { certificate, issuer: Issuer::new(params, key) })
    }

    pub(crate) fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    pub(crate) fn issuer(&self) -> &Issuer<'static, KeyPair> {
        &self.issuer
    }
}

fn key(passphrase: &Passphrase) -> Result<KeyPair, Error> {
    let mut seed = Zeroizing::new([0; 32]);
    let derived = Salt::new(HKDF_SHA256, SALT).extract(passphrase.bytes());
    let filled = derived.expand(&[INFO], HKDF_SHA256).and_then(|okm| okm.fill(&mut *seed));
    filled.map_err(|_| Error::Keys("nothing could be derived".into()))?;
    let pair = Ed25519KeyPair::from_seed_unchecked(&*seed).map_err(keys)?;
    debug_assert_eq!(pair.public_key().as_ref().len(), 32);
    let text = pair.to_pkcs8v1().map_err(keys)?;
    KeyPair::from_pkcs8_der_and_sign_algo(&PrivatePkcs8KeyDer::from(text.as_ref()), &PKCS_ED25519).map_err(keys)
}

pub(crate) fn keys(error: impl std::fmt::Display) -> Error {
    Error::Keys(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(passphrase: &str) -> String {
        let authority = Authority::of(&Passphrase::new(passphrase.as_bytes()).unwrap()).unwrap();
        digest(&SHA256, authority.certificate()).as_ref().iter().map(|b| format!("{b:02x}")).collect()
    }

    /// If this changes, nodes of two releases do not know each other.
    #[test]
    fn a_passphrase_has_one_certificate_forever() {
        let golden = "7698ea850e3992625624617fc891a69f500e10794c4e16d08a08242712a6e4cf";
        assert_eq!(mark("a passphrase for tests: 0123456789"), golden);
        assert_ne!(mark("a passphrase for tests: 0123456780"), golden);
    }
}
