//! What can go wrong, and what to do about it.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::limits::{PASSPHRASE_MIN_BYTES, PASSPHRASE_MIN_DISTINCT, PASSPHRASES, REGION_BYTES};
use crate::node::NodeId;

/// Why a mesh, or something for it, could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A passphrase file cannot be read.
    #[error("{path}: the passphrase file cannot be read: {source}")]
    PassphraseFile {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others than the owner may read or write it.
    #[error("{path}: others may read or change the passphrase file (mode {mode:03o}): chmod 600 it")]
    Exposed {
        /// Which.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It is no passphrase, or one that can be guessed.
    #[error(
        "a passphrase has at least {PASSPHRASE_MIN_BYTES} bytes and {PASSPHRASE_MIN_DISTINCT} different ones: `anabranch \
         gen-passphrase` makes one"
    )]
    WeakPassphrase,
    /// None, or too many.
    #[error("{count} passphrases: one signs, and one more may be trusted while it is changed ({PASSPHRASES} at most)")]
    Passphrases {
        /// How many there were.
        count: usize,
    },
    /// A label that is none.
    #[error("'{label}' is no region: 1 to {REGION_BYTES} letters, digits, '-', '_' or '.', first a letter or digit")]
    Region {
        /// Its beginning.
        label: String,
    },
    /// An address to dial or to announce that is none.
    #[error("'{address}' is no address: host:port, with brackets around an IPv6 address")]
    Address {
        /// What was given.
        address: String,
    },
    /// A number that cannot work.
    #[error("{0}")]
    Config(&'static str),
    /// Too many addresses to dial.
    #[error("more addresses to join than {0}")]
    Targets(usize),
    /// The port of the cluster cannot be listened on.
    #[error("the cluster cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// A key or certificate could not be made.
    #[error("keys of the cluster: {0}")]
    Keys(String),
    /// The system did not give what is needed.
    #[error("the cluster could not start: {0}")]
    System(#[from] io::Error),
}

/// Why a frame was not taken for sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// As much waits for this peer as may. [`crate::Event::Room`] follows when there is room again.
    #[error("as much waits for this peer as may")]
    Full,
    /// There is no connection with it.
    #[error("there is no connection with this node")]
    Down,
    /// It is larger than a frame may be: it must be sent in pieces.
    #[error("the frame is larger than a frame may be")]
    TooLarge,
}

/// Why a connection ended, or was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// The peer said that it leaves.
    #[error("the peer stopped")]
    Left,
    /// The connection was closed.
    #[error("the peer closed the connection")]
    Closed,
    /// The connection failed.
    #[error("the connection failed: {0}")]
    Broken(String),
    /// Nothing was heard for too long.
    #[error("nothing was heard of the peer for too long")]
    Silent,
    /// It was not up in time.
    #[error("the handshake took too long")]
    Late,
    /// Another connection with the same node took its place, or tries to and nothing was heard on this one.
    #[error("a newer connection with this node takes its place")]
    Replaced,
    /// There is a connection with this node.
    #[error("there is a connection with this node already")]
    Duplicate,
    /// We talked to ourselves.
    #[error("this address is our own")]
    Myself,
    /// This mesh stops.
    #[error("this node stops")]
    Stopped,
    /// One side has too many connections or events.
    #[error("the peer takes no connection at the moment")]
    Busy,
    /// The other has another passphrase.
    #[error("the passphrases differ: give every node of the cluster the same --cluster-passphrase-file")]
    Passphrase,
    /// A certificate is not valid at this time.
    #[error("a certificate is not valid at this time: compare the clocks of both nodes")]
    Clock,
    /// It does not speak TLS.
    #[error("what came is no TLS: is this the cluster port of a node?")]
    NotTls,
    /// It is no node: no certificate, or another protocol.
    #[error("it is no node of a cluster: {0}")]
    NotANode(String),
    /// Another version of the protocol.
    #[error("the peer speaks version {0} of the protocol: run the same release on both nodes")]
    Version(u8),
    /// It says that it is a node that its certificate does not name.
    #[error("it calls itself {claimed}, and its certificate says {certified}")]
    Impostor {
        /// What it said.
        claimed: NodeId,
        /// What was signed.
        certified: NodeId,
    },
    /// Whoever uses the connection wants another one.
    #[error("this node wants another connection: {0}")]
    Given(&'static str),
    /// Another process has our id.
    #[error(
        "another process has the id {0} of this node: was a data directory copied? Every node needs one of its own"
    )]
    Twin(NodeId),
    /// What came is no frame.
    #[error("what came is no frame: {0}")]
    Protocol(String),
}

impl Why {
    /// Whether somebody must do something about it: it will not pass.
    pub fn needs_help(&self) -> bool {
        use Why::{Clock, Impostor, NotANode, NotTls, Passphrase, Protocol, Twin, Version};
        matches!(self, Passphrase | Clock | NotTls | NotANode(_) | Version(_) | Impostor { .. } | Twin(_) | Protocol(_))
    }
}
