//! What goes between two nodes beside the frames of the state machine: one byte says what a frame of the mesh is.

use cluster::{Mesh, NodeId, SendError};
use effect::WireError;
use effect::wire::{Reader, put_bytes, put_varint};

use crate::limits::ADDRESSES;

/// Where frames go out: the mesh, or a test.
pub(crate) trait Wire: Send + Sync {
    /// Takes a frame for a node; it may wait for the next flush.
    fn queue(&self, node: NodeId, frame: &[u8]) -> Result<(), SendError>;
    /// Has sent what was taken.
    fn flush(&self);
    /// Ends the connection with a node. There may be another.
    fn close(&self, node: NodeId, why: &'static str);
    /// A node may be found there.
    fn dial(&self, address: &str);
}

impl Wire for Mesh {
    fn queue(&self, node: NodeId, frame: &[u8]) -> Result<(), SendError> {
        Mesh::queue(self, node, frame)
    }

    fn flush(&self) {
        Mesh::flush(self);
    }

    fn close(&self, node: NodeId, why: &'static str) {
        Mesh::close(self, node, why);
    }

    fn dial(&self, address: &str) {
        if let Err(error) = self.add_peer(address) {
            tracing::warn!("a peer says that there is a node at an address that is none: {error}");
        }
    }
}

/// What a frame of the mesh is. The numbers are never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Channel {
    /// A part of the next frame that is none.
    Piece = 0,
    /// A frame of the state machine.
    Replica = 1,
    /// The sender wants to be a member.
    Join = 2,
    /// Where nodes can be dialed.
    Addresses = 3,
    /// A message that a client has published.
    Published = 4,
    /// About a copy of the state.
    Snapshot = 5,
    /// A client waits until the receiver has fsynced what came before.
    Sync = 6,
    /// About transactions.
    Bind = 7,
}

impl Channel {
    pub(crate) fn of(byte: u8) -> Option<Self> {
        let all = [
            Self::Piece,
            Self::Replica,
            Self::Join,
            Self::Addresses,
            Self::Published,
            Self::Snapshot,
            Self::Sync,
            Self::Bind,
        ];
        all.into_iter().find(|channel| *channel as u8 == byte)
    }
}

/// `n varint ‖ bytes*`
pub(crate) fn encode_addresses(addresses: &[String]) -> Vec<u8> {
    let mut out = vec![Channel::Addresses as u8];
    put_varint(&mut out, addresses.len().min(ADDRESSES) as u64);
    addresses.iter().take(ADDRESSES).for_each(|address| put_bytes(&mut out, address.as_bytes()));
    out
}

/// Reads what [`encode_addresses`] wrote behind its first byte.
pub(crate) fn decode_addresses(bytes: &[u8]) -> Result<Vec<String>, WireError> {
    let mut from = Reader::new(bytes);
    let mut all = Vec::new();
    for _ in 0..from.varint()?.min(ADDRESSES as u64) {
        let at = from.offset();
        let address = std::str::from_utf8(from.bytes()?).map_err(|_| WireError::Invalid { what: "address", at })?;
        all.push(address.to_owned());
    }
    Ok(all)
}

/// `channel bytes ‖ message bytes`
pub(crate) fn encode_published(channel: &[u8], message: &[u8]) -> Vec<u8> {
    let mut out = vec![Channel::Published as u8];
    put_bytes(&mut out, channel);
    put_bytes(&mut out, message);
    out
}

/// Reads what [`encode_published`] wrote behind its first byte.
pub(crate) fn decode_published(bytes: &[u8]) -> Result<(&[u8], &[u8]), WireError> {
    let mut from = Reader::new(bytes);
    Ok((from.bytes()?, from.bytes()?))
}
