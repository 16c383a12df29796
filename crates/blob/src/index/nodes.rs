//! The items of one shard: 32-byte nodes in chunks, linked into queues.

use crate::format::record::padded;
use crate::hash::KeyHash;
use crate::limits::RECORD_ALIGN;

/// "No node" in a link.
pub const NONE: u32 = (1 << 22) - 1;
const LINK: u32 = NONE;
const CHUNK: usize = 32;

const FREQ_SHIFT: u32 = 22;
const FREQ: u32 = 0b11 << FREQ_SHIFT;
const MAIN: u32 = 1 << 24;
const EVICTED: u32 = 1 << 25;
const CORRUPT: u32 = 1 << 26;
const LINKED: u32 = 1 << 27;

/// Where a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Loc {
    /// Segment id.
    pub segment: u32,
    /// Offset in units of 8 bytes.
    pub offset8: u32,
    /// Bytes of the record without padding.
    pub len: u32,
}

impl Loc {
    /// From an offset in bytes, a multiple of 8.
    pub fn new(segment: u32, offset: u64, len: u32) -> Self {
        debug_assert!(offset.is_multiple_of(RECORD_ALIGN));
        let offset8 = u32::try_from(offset / RECORD_ALIGN).expect("a segment has at most 4 GiB");
        Self { segment, offset8, len }
    }

    /// Offset in bytes.
    pub fn offset(&self) -> u64 {
        u64::from(self.offset8) * RECORD_ALIGN
    }

    /// Bytes it takes in the segment.
    pub fn padded_len(&self) -> u64 {
        padded(u64::from(self.len))
    }
}

/// What an item is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It can be read.
    Live,
    /// Given up or expired; its record is still on disk.
    Evicted,
    /// Its record is damaged.
    Corrupt,
}

/// One item. `next` carries the flags in its upper bits.
#[derive(Clone, Copy, Default)]
struct Node {
    hash: [u32; 3],
    segment: u32,
    offset8: u32,
    len: u32,
    prev: u32,
    next: u32,
}

const _: () = assert!(size_of::<Node>() == 32);

/// The nodes of one shard.
#[derive(Default)]
pub struct Nodes {
    #[expect(clippy::vec_box, reason = "a chunk stays where it is when another is added: growth copies no nodes")]
    chunks: Vec<Box<[Node; CHUNK]>>,
    used: u32,
    free: Option<u32>,
}

impl Nodes {
    /// RAM of one chunk.
    pub const CHUNK_BYTES: u64 = (CHUNK * size_of::<Node>() + size_of::<usize>() * 2) as u64;

    fn at(&self, id: u32) -> &Node {
        &self.chunks[id as usize / CHUNK][id as usize % CHUNK]
    }

    fn at_mut(&mut self, id: u32) -> &mut Node {
        &mut self.chunks[id as usize / CHUNK][id as usize % CHUNK]
    }

    /// Whether `insert` needs a chunk more.
    pub fn is_full(&self) -> bool {
        self.free.is_none() && self.used as usize == self.chunks.len() * CHUNK
    }

    /// Adds a chunk.
    pub fn add_chunk(&mut self) {
        self.chunks.push(Box::new([Node::default(); CHUNK]));
    }

    /// Adds an item that is in no queue.
    pub fn insert(&mut self, hash: KeyHash, loc: Loc) -> u32 {
        let id = match self.free {
            Some(id) => {
                self.free = Some(self.at(id).next & LINK).filter(|&next| next != NONE);
                id
            }
            None => {
                self.used += 1;
                self.used - 1
            }
        };
        *self.at_mut(id) = Node { hash: stored(hash), prev: NONE, next: NONE, ..Node::default() };
        self.set_loc(id, loc);
        id
    }

    /// Frees an item that is in no queue.
    pub fn release(&mut self, id: u32) {
        debug_assert!(!self.is_linked(id), "a released node is still queued");
        let next = self.free.unwrap_or(NONE);
        *self.at_mut(id) = Node { next, ..Node::default() };
        self.free = Some(id);
    }

    /// Whether the item has this hash (104 bits of it with the shard's 8).
    pub fn has_hash(&self, id: u32, hash: KeyHash) -> bool {
        self.at(id).hash == stored(hash)
    }

    /// The bits of the hash that are kept.
    pub fn hash(&self, id: u32) -> [u32; 3] {
        self.at(id).hash
    }

    /// Where its record is.
    pub fn loc(&self, id: u32) -> Loc {
        let node = self.at(id);
        Loc { segment: node.segment, offset8: node.offset8, len: node.len }
    }

    /// Sets where its record is.
    pub fn set_loc(&mut self, id: u32, loc: Loc) {
        let node = self.at_mut(id);
        (node.segment, node.offset8, node.len) = (loc.segment, loc.offset8, loc.len);
    }

    /// What it is good for.
    pub fn state(&self, id: u32) -> State {
        match self.at(id).next {
            flags if flags & EVICTED != 0 => State::Evicted,
            flags if flags & CORRUPT != 0 => State::Corrupt,
            _ => State::Live,
        }
    }

    /// Sets what it is good for.
    pub fn set_state(&mut self, id: u32, state: State) {
        let node = self.at_mut(id);
        node.next &= !(EVICTED | CORRUPT);
        match state {
            State::Live => {}
            State::Evicted => node.next |= EVICTED,
            State::Corrupt => node.next |= CORRUPT,
        }
    }

    /// How often it was read lately, 0 to 3.
    pub fn freq(&self, id: u32) -> u32 {
        (self.at(id).next & FREQ) >> FREQ_SHIFT
    }

    /// Sets it.
    pub fn set_freq(&mut self, id: u32, freq: u32) {
        let node = self.at_mut(id);
        node.next = node.next & !FREQ | freq.min(3) << FREQ_SHIFT;
    }

    /// Whether it is in the second of a policy's two queues.
    pub fn in_main(&self, id: u32) -> bool {
        self.at(id).next & MAIN != 0
    }

    /// Sets it.
    pub fn set_in_main(&mut self, id: u32, main: bool) {
        let node = self.at_mut(id);
        node.next = if main { node.next | MAIN } else { node.next & !MAIN };
    }

    /// Whether it is in a queue.
    pub fn is_linked(&self, id: u32) -> bool {
        self.at(id).next & LINKED != 0
    }

    fn set_linked(&mut self, id: u32, linked: bool) {
        let node = self.at_mut(id);
        node.next = if linked { node.next | LINKED } else { node.next & !LINKED };
    }

    fn next(&self, id: u32) -> u32 {
        self.at(id).next & LINK
    }

    fn set_next(&mut self, id: u32, next: u32) {
        let node = self.at_mut(id);
        node.next = node.next & !LINK | next;
    }

    fn set_prev(&mut self, id: u32, prev: u32) {
        self.at_mut(id).prev = prev;
    }
}

fn stored(hash: KeyHash) -> [u32; 3] {
    #[expect(clippy::cast_possible_truncation, reason = "the parts of the hash that are kept")]
    [hash.hi as u32, (hash.lo >> 32) as u32, hash.lo as u32]
}

/// A queue through the nodes: `newest` was pushed last.
#[derive(Clone, Copy, Debug)]
pub struct Queue {
    newest: u32,
    oldest: u32,
}

impl Default for Queue {
    fn default() -> Self {
        Self { newest: NONE, oldest: NONE }
    }
}

impl Queue {
    /// The item pushed longest ago.
    pub fn oldest(&self) -> Option<u32> {
        Some(self.oldest).filter(|&id| id != NONE)
    }

    /// The item pushed next after this one.
    pub fn newer(&self, nodes: &Nodes, id: u32) -> Option<u32> {
        Some(nodes.at(id).prev).filter(|&id| id != NONE)
    }

    /// Adds an item as the newest.
    pub fn push(&mut self, nodes: &mut Nodes, id: u32) {
        debug_assert!(!nodes.is_linked(id), "a node is in one queue at most");
        nodes.set_linked(id, true);
        nodes.set_prev(id, NONE);
        nodes.set_next(id, self.newest);
        if self.newest == NONE {
            self.oldest = id;
        } else {
            nodes.set_prev(self.newest, id);
        }
        self.newest = id;
    }

    /// Takes an item out.
    pub fn unlink(&mut self, nodes: &mut Nodes, id: u32) {
        debug_assert!(nodes.is_linked(id), "only queued nodes are taken out");
        let (prev, next) = (nodes.at(id).prev, nodes.next(id));
        if prev == NONE {
            self.newest = next;
        } else {
            nodes.set_next(prev, next);
        }
        if next == NONE {
            self.oldest = prev;
        } else {
            nodes.set_prev(next, prev);
        }
        nodes.set_linked(id, false);
    }
}
