//! A real redis-server beside ours, for tests that ask both.

use std::net::SocketAddr;

use peer::{Listen, Redis};

use crate::harness::Client;

/// A running redis-server; it ends with this value.
pub struct Oracle {
    pub addr: SocketAddr,
    _redis: Redis,
}

impl Oracle {
    /// Starts one with these flags. `None` if there is none installed: see [`Redis::start`].
    pub fn start(flags: &[&str]) -> Option<Self> {
        let redis = Redis::start(Listen::Tcp, &[&["--save", ""], flags].concat())?;
        Some(Self { addr: redis.addr(), _redis: redis })
    }

    pub fn client(&self) -> Client {
        Client::new(self.addr)
    }
}
