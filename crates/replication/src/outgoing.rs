//! What waits to be sent: frames in pieces, and what the mesh has no room for at the moment.

use std::collections::{HashMap, VecDeque};

use causal::{Entry, Frame};
use cluster::{NodeId, SendError};

use crate::limits::{OUTGOING_BYTES, PIECE_BYTES};
use crate::wire::{Channel, Wire};

/// See the module.
///
/// *Invariant:* what goes to a node arrives in the order in which it was given here, or the connection is closed.
#[derive(Default)]
pub(crate) struct Outgoing {
    waiting: HashMap<NodeId, Waiting>,
    /// Batches for a node that others may follow in the same frame.
    batches: Option<(NodeId, Vec<Entry>, u64)>,
    /// The mesh was given some since it was last told to send.
    has_queued: bool,
    scratch: Vec<u8>,
}

#[derive(Default)]
struct Waiting {
    frames: VecDeque<Vec<u8>>,
    bytes: usize,
}

impl Outgoing {
    /// Takes a frame of the state machine. Batches for one node that follow each other go as one frame of up to `most` bytes.
    pub(crate) fn send(&mut self, wire: &dyn Wire, node: NodeId, frame: Frame, most: u64) {
        match (frame, &mut self.batches) {
            (Frame::Batches(more), Some((to, entries, bytes))) if *to == node && *bytes < most => {
                *bytes += more.iter().map(Entry::size).sum::<u64>();
                entries.extend(more);
            }
            (Frame::Batches(entries), _) => {
                self.finish(wire);
                let bytes = entries.iter().map(Entry::size).sum();
                self.batches = Some((node, entries, bytes));
            }
            (frame, _) => {
                self.finish(wire);
                self.encode(wire, node, &frame);
            }
        }
    }

    /// Gives the mesh what could be followed by more.
    pub(crate) fn finish(&mut self, wire: &dyn Wire) {
        if let Some((node, entries, _)) = self.batches.take() {
            self.encode(wire, node, &Frame::Batches(entries));
        }
    }

    fn encode(&mut self, wire: &dyn Wire, node: NodeId, frame: &Frame) {
        let mut bytes = std::mem::take(&mut self.scratch);
        bytes.clear();
        bytes.push(Channel::Replica as u8);
        frame.encode(&mut bytes);
        self.push(wire, node, &bytes);
        bytes.shrink_to(2 * PIECE_BYTES);
        self.scratch = bytes;
    }

    /// Takes a frame of the mesh: its channel, and what it says.
    pub(crate) fn push(&mut self, wire: &dyn Wire, node: NodeId, frame: &[u8]) {
        let [channel, rest @ ..] = frame else { return };
        if rest.len() <= PIECE_BYTES {
            return self.push_one(wire, node, frame);
        }
        let mut pieces = rest.chunks(PIECE_BYTES).peekable();
        while let Some(piece) = pieces.next() {
            let channel = if pieces.peek().is_some() { Channel::Piece as u8 } else { *channel };
            let mut bytes = Vec::with_capacity(piece.len() + 1);
            bytes.push(channel);
            bytes.extend_from_slice(piece);
            self.push_one(wire, node, &bytes);
        }
    }

    fn push_one(&mut self, wire: &dyn Wire, node: NodeId, frame: &[u8]) {
        let waits = self.waiting.get(&node).is_some_and(|waiting| !waiting.frames.is_empty());
        let taken = if waits { Err(SendError::Full) } else { wire.queue(node, frame) };
        self.has_queued |= taken.is_ok();
        match taken {
            Ok(()) => {}
            // What was under way is lost with a connection anyway; its end is told.
            Err(SendError::Down) => {}
            Err(SendError::TooLarge) => wire.close(node, "a frame was larger than frames may be"),
            Err(SendError::Full) => {
                let waiting = self.waiting.entry(node).or_default();
                waiting.bytes += frame.len();
                waiting.frames.push_back(frame.to_vec());
                if waiting.bytes > OUTGOING_BYTES {
                    self.waiting.remove(&node);
                    wire.close(node, "too much waits to be sent");
                }
            }
        }
    }

    /// Has sent what the mesh was given.
    pub(crate) fn flush(&mut self, wire: &dyn Wire) {
        if std::mem::take(&mut self.has_queued) {
            wire.flush();
        }
    }

    /// The mesh has room for a node again.
    pub(crate) fn room(&mut self, wire: &dyn Wire, node: NodeId) {
        let Some(waiting) = self.waiting.get_mut(&node) else { return };
        while let Some(frame) = waiting.frames.pop_front() {
            match wire.queue(node, &frame) {
                Ok(()) => {
                    waiting.bytes -= frame.len();
                    self.has_queued = true;
                }
                Err(SendError::Full) => return waiting.frames.push_front(frame),
                Err(SendError::Down | SendError::TooLarge) => break,
            }
        }
        self.waiting.remove(&node);
    }

    /// The connection has ended, and what waits for it is lost.
    pub(crate) fn forget(&mut self, node: NodeId) {
        self.waiting.remove(&node);
        if self.batches.as_ref().is_some_and(|(to, ..)| *to == node) {
            self.batches = None;
        }
    }
}
