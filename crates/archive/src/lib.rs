//! What backups are made of: sealing, so that only the holder of a private key can read them, and object storage, so
//! that they can lie anywhere.
//!
//! **What it is.** [`seal`] turns a stream of bytes into a sealed object and back: compressed, encrypted for a public
//! key, and such that no change of it goes unnoticed. [`storage`] is one contract for objects under names, with memory,
//! a directory, the big clouds and plain HTTP services below it. [`store_sealed`], [`open_sealed`] and
//! [`verify_sealed`] join the two.
//!
//! **What it is not.** It does not know what a backup is: which objects there are and what they are called is decided
//! above. It keeps no catalogue, and it deletes nothing on its own.
//!
//! ```text
//!   reader ─▶ chunks ─▶ zstd ─▶ AES-256-GCM ─▶ sealed bytes ─▶ Storage ─▶ memory │ directory │ s3, gs, az │ http
//!                                    ▲
//!              public key ─▶ X-Wing ─┘ one key for each object; the private key finds it again
//! ```
//!
//! Read first: [`seal::Sealer`], [`seal::Opener`], [`storage::Storage`].
//!
//! *Invariant:* what comes out of a sealed object is what went in, in order, from its beginning; anything else is an
//! error. Whoever reads to the end knows that nothing is missing.
//!
//! *Invariant:* memory is bounded by constants of [`limits`] on both sides, whatever an object says about itself.
//!
//! *Invariant:* an object is there as a whole under its name, or it is not there.

pub mod limits;
pub mod seal;
mod sealed;
pub mod storage;

pub use sealed::{Error, Verified, open_sealed, store_sealed, verify_sealed};
