//! Encryption at rest: bytes sealed with AES-256-GCM under data keys, which are wrapped under master keys.
//!
//! **What it is.** A [`Keyring`] holds the master keys that the operator gives. A [`Cipher`] keeps data keys in a small
//! file, the registry, wrapped under the current master key. It seals and opens byte strings; what each of them is, and
//! where it stands, is the caller's associated data.
//!
//! **What it is not.** It stores nothing but the registry, knows no row and no record, asks no key service, and does not
//! hide lengths. It does not notice that something is gone, or that all of a disk is an older one.
//!
//! ```text
//!   master keys (file, environment)          never on the disk that they protect
//!        │ wrap
//!   data keys (registry)  ◀── drawn at random for each start, durable before the first use
//!        │ AES-256-GCM, nonce = purpose ‖ counter
//!   sealed bytes          data key id ‖ counter ‖ tag ‖ ciphertext
//!
//!   Cipher::prepare(n) ─▶ Sealer: n counters that nobody else has, of a data key that is durable ─▶ seal, without I/O
//!   Cipher::open_into  ─▶ the data key that the bytes name ─▶ plain bytes, or an error
//! ```
//!
//! Read first: [`Cipher`], [`Sealer`], [`Keyring`].
//!
//! *Invariant:* no nonce is used twice with one key, whatever is restarted, restored or copied: a counter is never
//! stored, because a data key seals only for the process that drew it.
//!
//! *Invariant:* a data key that may have sealed something is in the registry, durably, before it did.
//!
//! *Invariant:* no key is printed, by an error or by `Debug`, and the memory of each is overwritten when it is dropped.

mod cipher;
mod data_key;
mod error;
mod format;
mod keyring;
mod limits;
mod place;
mod registry;
mod sealer;
mod secret;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use cipher::Cipher;
pub use error::{Action, Error, Result};
pub use format::{DataKeyId, HEAD_BYTES, Purpose, key_of};
pub use keyring::Keyring;
pub use limits::MAX_DATA_KEYS;
pub use place::{Directory, Place};
pub use registry::{REGISTRY, RegistryId};
pub use sealer::Sealer;
