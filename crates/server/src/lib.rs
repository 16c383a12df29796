//! Listeners, sessions, pub/sub, configuration and the I/O loop.

pub mod net;
