//! Sealing: a stream of bytes, compressed and encrypted for a public key, in chunks that can be neither changed, moved
//! nor left out without notice.
//!
//! A node that writes backups has the public key only ([`Sealer`]); who restores has the private one ([`Opener`]). The
//! keys live in small text files ([`KeyPair`], [`PublicKey`], [`PrivateKey`]).
//!
//! # What it promises, and what not
//!
//! Without the private key nobody learns the content. Its length shows, after compression: so do not seal together what
//! an attacker may choose and what he shall not learn, if he can see the length.
//!
//! Whoever has the public key can seal. A seal says that an object is as somebody made it, not who that was. What
//! nobody may replace must be kept from being replaced by the rights of the storage.
//!
//! # The pieces
//!
//! HPKE ([RFC 9180](https://www.rfc-editor.org/rfc/rfc9180)) in base mode with the KEM X-Wing, that is ML-KEM-768 and
//! X25519 together (`draft-connolly-cfrg-xwing-kem-10`; number 0x647A and its use in HPKE after
//! `draft-ietf-hpke-pq-03`), HKDF-SHA256 (0x0001), export only (0xFFFF). What it exports is the key of one object. Its
//! chunks are sealed with AES-256-GCM in the manner of STREAM (Hoang, Reyhanitabar, Rogaway, Vizár: Online
//! Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance, 2015): the nonce holds the number of the chunk and
//! whether it is the last. The drafts may change before they are RFCs; then there is another version of this format,
//! and this one can still be read.
//!
//! # The bytes
//!
//! Numbers are big-endian. A header of 1172 bytes, then frames:
//!
//! ```text
//!      0 ┌────────────────────────────────┐
//!        │ 8B 41 4E 42 53 45 41 4C        │ magic: 8B "ANBSEAL"
//!      8 ├────┬────┬─────────┬─────────┬──┴──────┐
//!        │ 01 │ lg │  KEM    │  KDF    │  AEAD   │ version 1; binary logarithm of the chunks' bytes, 16 to 20;
//!     16 ├────┴────┴─────────┴─────────┴─────────┤ 0x647A; 0x0001; 0x0002 (AES-256-GCM, of the chunks)
//!        │ fingerprint of the public key, 16     │ SHA-256("anabranch public key 1\0" ‖ key), its head
//!     32 ├───────────────────────────────────────┤
//!        │ tag of the object's name, 16          │ SHA-256("anabranch object name 1\0" ‖ name), its head
//!     48 ├───────────────────────────────────────┤
//!        │ encapsulated key, 1120                │ ML-KEM-768 ciphertext, X25519 public key
//!   1168 ├───────────────────────────────────────┤
//!        │ CRC32C of all before, 4               │ tells damage from a wrong key; it protects nothing
//!   1172 └───────────────────────────────────────┘
//!
//!      0 ┌───────────────────────────────────────┐
//!        │ bit 31: last; bit 30: compressed;     │ head of a frame, 4
//!        │ bits 0 to 20: n                       │
//!      4 ├───────────────────────────────────────┤
//!        │ body, n bytes, encrypted              │ a frame of zstd (RFC 8878), or the bytes themselves
//!    4+n ├───────────────────────────────────────┤
//!        │ tag, 16                               │
//!   20+n └───────────────────────────────────────┘
//!
//!   HPKE info   "anabranch seal 1\0" ‖ header[0..48] ‖ name
//!   chunk key   HPKE export, context "chunks", 32 bytes
//!   nonce       last, 1 byte (0 or 1) ‖ 00 00 00 ‖ number of the chunk, 8 bytes, from 0
//!   AAD         the head of the frame
//! ```
//!
//! A chunk that is not the last has exactly 2^lg bytes once opened, the last has fewer, maybe none: so there is one way
//! to cut an object, and a chunk that grows beyond its bound when it is decompressed is refused before it has. Nothing
//! follows the last frame. The name is not in the object but bound to it: an object that was copied over another does
//! not open.

mod chunk;
mod entropy;
mod error;
mod header;
mod hybrid;
mod key;
mod key_text;
mod opener;
mod sealer;

pub use entropy::{Entropy, OsEntropy};
pub use error::{Damage, Error, Result};
pub use key::{Fingerprint, KeyPair, PrivateKey, PublicKey};
pub use key_text::{KeyError, KeyKind};
pub use opener::{OpenReader, Opener};
pub use sealer::{SealReader, SealWriter, Sealed, Sealer};
