//! What a mesh is started with.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::backoff::Backoff;
use crate::clock::{Clock, SystemClock};
use crate::error::Error;
use crate::limits::{FRAME_BYTES, HOST_BYTES, INBOX_BYTES, OUTBOX_BYTES};
use crate::node::{NodeId, Region};
use crate::passphrase::Passphrases;
use crate::resolve::{Resolve, SystemResolver};

/// The port of the cluster is that of clients and this, as in Redis.
pub const PORT_OFFSET: u16 = 10_000;

/// The port of the cluster beside that of clients, if there is one.
pub fn default_port(clients: u16) -> Option<u16> {
    clients.checked_add(PORT_OFFSET).filter(|_| clients != 0)
}

/// Everything that a mesh is told. [`Config::new`] has defaults for all but who it is and whom it trusts.
#[derive(Clone)]
pub struct Config {
    /// Who this is.
    pub node: NodeId,
    /// Who has one of these is of the cluster.
    pub passphrases: Passphrases,
    /// Where to listen; nowhere, and it only dials. Port 0 is any free one.
    pub listen: Vec<SocketAddr>,
    /// Where others can dial this node, if not where they see it.
    pub announce_host: Option<String>,
    /// The port for it, if not that of the first address listened on.
    pub announce_port: Option<u16>,
    /// `host:port` of other nodes, or names with several records; this node may be among them.
    pub join: Vec<String>,
    /// Where this node says that it is.
    pub region: Region,
    /// For the jitter of waits: another one for each node.
    pub seed: u64,
    /// How often a peer is pinged.
    pub ping_every: Duration,
    /// After how many such times without a byte a connection is given up.
    pub dead_after: u32,
    /// How long a connection has until it is up.
    pub handshake: Duration,
    /// Waits between attempts to connect.
    pub backoff: Backoff,
    /// Largest payload of a frame, in bytes; the same on all nodes.
    pub frame_bytes: usize,
    /// What may wait to be sent to one peer, in bytes.
    pub outbox_bytes: usize,
    /// What of one peer may wait to be taken, in bytes.
    pub inbox_bytes: usize,
    /// What certificates are judged by.
    pub clock: Arc<dyn Clock>,
    /// Names to addresses.
    pub resolver: Arc<dyn Resolve>,
}

impl Config {
    /// A mesh of `node` that listens nowhere and joins nobody, until that is changed.
    pub fn new(node: NodeId, passphrases: Passphrases) -> Self {
        Self {
            node,
            passphrases,
            listen: Vec::new(),
            announce_host: None,
            announce_port: None,
            join: Vec::new(),
            region: Region::default(),
            seed: node.get(),
            ping_every: Duration::from_secs(1),
            dead_after: 3,
            handshake: Duration::from_secs(5),
            backoff: Backoff::default(),
            frame_bytes: FRAME_BYTES,
            outbox_bytes: OUTBOX_BYTES,
            inbox_bytes: INBOX_BYTES,
            clock: Arc::new(SystemClock),
            resolver: Arc::new(SystemResolver),
        }
    }

    pub(crate) fn validate(&self) -> Result<(), Error> {
        if self.ping_every.is_zero() || self.dead_after == 0 || self.handshake.is_zero() {
            return Err(Error::Config("times of a mesh cannot be zero"));
        }
        if self.backoff.first.is_zero() || self.backoff.most < self.backoff.first {
            return Err(Error::Config("waits between attempts must ascend from more than zero"));
        }
        if self.frame_bytes == 0 || self.frame_bytes > (1 << 30) || self.outbox_bytes == 0 || self.inbox_bytes == 0 {
            return Err(Error::Config("a frame has 1 byte to 1 GiB, and what may wait is more than nothing"));
        }
        let host = self.announce_host.as_deref().unwrap_or_default();
        if host.len() > HOST_BYTES || host.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(Error::Address { address: host.chars().take(HOST_BYTES).collect() });
        }
        self.join.iter().try_for_each(|name| is_address(name))
    }
}

/// Whether `name` is a `host:port`.
pub(crate) fn is_address(name: &str) -> Result<(), Error> {
    let bad = || Error::Address { address: name.chars().take(HOST_BYTES).collect() };
    let (host, port) = name.rsplit_once(':').ok_or_else(bad)?;
    let port_fits = port.parse::<u16>().is_ok_and(|p| p != 0);
    let plain = !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || c.is_control() || c == ':');
    let fits = host.len() <= HOST_BYTES && (plain || name.parse::<SocketAddr>().is_ok());
    if port_fits && fits { Ok(()) } else { Err(bad()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_host_and_a_port() {
        assert!(["db:7000", "10.0.0.1:1", "[::1]:16379"].iter().all(|a| is_address(a).is_ok()));
        let bad = ["", "db", "db:", ":7000", "db:0", "db:70000", "::1:7000", "[::1]", "d b:1", "[x]:"];
        assert!(bad.iter().all(|a| is_address(a).is_err()));
    }

    #[test]
    fn the_port_of_the_cluster_is_ten_thousand_above() {
        assert_eq!([default_port(6379), default_port(0), default_port(60_000)], [Some(16379), None, None]);
    }
}
