//! Every limit of this crate, with its unit and its reason.

/// Seals under one data key: a counter is four bytes of what is sealed. A million rows a second use that up in 71 minutes;
/// then the next data key is drawn.
pub(crate) const SEALS_PER_KEY: u64 = 1 << 32;

/// Bytes sealed under one data key. After 2^42 blocks an attacker's advantage in telling AES from chance is 2^-45.
pub(crate) const BYTES_PER_KEY: u64 = 1 << 46;

/// Data keys in a registry. Each start that seals something draws one; sealing everything anew lets the old ones be
/// forgotten. All of the registry, 68 bytes a key, is written when one is added.
pub const MAX_DATA_KEYS: usize = 1 << 16;

/// Data keys that a full registry still takes when somebody asks for one, which is how it gets emptier: data are sealed anew
/// with a new key, and the old ones forgotten.
pub(crate) const RESERVED_DATA_KEYS: usize = 64;

/// Largest file or variable with master keys, in bytes: some hundred of them.
pub(crate) const MAX_KEYRING_BYTES: usize = 64 << 10;

/// Largest registry, in bytes.
pub(crate) const MAX_REGISTRY_BYTES: usize = 64 + (MAX_DATA_KEYS + RESERVED_DATA_KEYS) * 68;
