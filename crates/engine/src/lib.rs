//! Keyspaces, shards, state, contexts, expiry: the room where effects become state.
pub mod value;
pub mod wheel;
