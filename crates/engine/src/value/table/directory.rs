//! The way from a hash to its segment: a radix tree whose nodes are extendible-hashing directories.
//!
//! With evenly spread hashes there is one node, the root, and a lookup is one array access. Where hashes share long
//! prefixes (one hash tag for a million keys) a node that would double without filling itself hangs a child below
//! one of its slots instead, so that the directory stays proportional to the number of segments for any input.

/// A directory slot: a segment's number, or a node's number with this bit set.
const CHILD: u32 = 1 << 31;
/// Up to this many bits a node grows without looking at how well it is filled.
const FREE_BITS: u8 = 6;
/// A node doubles only up to this many slots per segment, and halves above twice as many.
const SLOTS_PER_SEGMENT: usize = 8;
/// Bound of one node's directory, 2^18 slots of four bytes: doubling it copies a megabyte, and never takes long. Beyond,
/// at some four million items, each slot gets a node of its own.
const MAX_BITS: u8 = 18;

/// Distinguishes hashes by their bits `[base, base + bits)`, counted from the top.
struct Node {
    slots: Vec<u32>,
    /// Distinct segments and children that the slots name.
    refs: u32,
    base: u8,
    bits: u8,
}

impl Node {
    #[inline]
    fn slot_of(&self, hash: u64) -> usize {
        (((hash << self.base) >> 1) >> (63 - self.bits)) as usize
    }

    /// The slots that a range of `depth` leading bits takes.
    fn span(&self, prefix: u64, depth: u8) -> std::ops::Range<usize> {
        let start = self.slot_of(prefix);
        start..start + (1 << (self.base + self.bits - depth))
    }

    fn may_double(&self) -> bool {
        self.bits < FREE_BITS
            || (self.bits < MAX_BITS && self.slots.len() * 2 <= SLOTS_PER_SEGMENT * self.refs as usize)
    }

    fn double(&mut self) {
        let mut slots = Vec::with_capacity(self.slots.len() * 2);
        for slot in &self.slots {
            slots.extend([*slot, *slot]);
        }
        self.slots = slots;
        self.bits += 1;
    }
}

/// Maps every hash to the number of exactly one segment.
pub(super) struct Directory {
    nodes: Vec<Node>,
    free: Vec<u32>,
}

impl Directory {
    /// All of the hash space belongs to segment 0.
    pub(super) fn new() -> Self {
        Self { nodes: vec![Node { slots: vec![0], refs: 1, base: 0, bits: 0 }], free: Vec::new() }
    }

    /// How many bits tell so many evenly spread segments apart, as far as one node goes.
    pub(super) fn even_bits(segments: u64) -> u8 {
        (segments.max(1).ilog2() as u8).min(MAX_BITS)
    }

    /// Divides the hash space evenly among `2^bits` segments, by number.
    pub(super) fn even(bits: u8) -> Self {
        let slots: Vec<u32> = (0..1 << bits).collect();
        Self { nodes: vec![Node { refs: slots.len() as u32, slots, base: 0, bits }], free: Vec::new() }
    }

    /// The segment that the hash belongs to.
    #[inline]
    pub(super) fn find(&self, hash: u64) -> usize {
        let mut node = &self.nodes[0];
        loop {
            let slot = node.slots[node.slot_of(hash)];
            if slot & CHILD == 0 {
                return slot as usize;
            }
            node = &self.nodes[(slot & !CHILD) as usize];
        }
    }

    /// The numbers of the nodes on the way to the hash's segment, the root first.
    fn path(&self, hash: u64) -> Vec<usize> {
        let mut path = vec![0];
        let mut at = 0;
        loop {
            let node = &self.nodes[at];
            let slot = node.slots[node.slot_of(hash)];
            if slot & CHILD == 0 {
                return path;
            }
            at = (slot & !CHILD) as usize;
            path.push(at);
        }
    }

    fn holder(&self, hash: u64) -> usize {
        *self.path(hash).last().expect("a path starts with the root")
    }

    /// Records that the segment of `prefix`, now `depth` bits deep, gave its upper half to segment `upper`.
    pub(super) fn split(&mut self, prefix: u64, depth: u8, upper: usize) {
        let mut at = self.holder(prefix);
        let node = &self.nodes[at];
        if node.base + node.bits < depth {
            if node.may_double() {
                self.nodes[at].double();
            } else {
                let slot = node.slot_of(prefix);
                let segment = node.slots[slot];
                let child = self.add(Node { slots: vec![segment, segment], refs: 1, base: depth - 1, bits: 1 });
                self.nodes[at].slots[slot] = CHILD | child;
                at = child as usize;
            }
        }
        let upper_prefix = prefix | 1 << (64 - depth);
        let node = &mut self.nodes[at];
        let span = node.span(upper_prefix, depth);
        node.slots[span].fill(upper as u32);
        node.refs += 1;
    }

    /// The segment next to the one of `prefix` at `depth` if they could become one as far as the directory goes: its
    /// depth is for the caller to check. `None` where the neighbour is divided further by a node of its own.
    pub(super) fn neighbour(&self, prefix: u64, depth: u8) -> Option<usize> {
        if depth == 0 {
            return None;
        }
        let node = &self.nodes[self.holder(prefix)];
        if node.base >= depth {
            return None;
        }
        let slot = node.slots[node.slot_of(prefix ^ 1 << (64 - depth))];
        (slot & CHILD == 0).then_some(slot as usize)
    }

    /// Records that segment `lower` now covers `depth` bits from `prefix`, its upper neighbour's range with it.
    pub(super) fn merge(&mut self, prefix: u64, depth: u8, lower: usize) {
        let mut path = self.path(prefix);
        let mut at = path.pop().expect("a path starts with the root");
        let node = &mut self.nodes[at];
        let span = node.span(prefix, depth);
        node.slots[span].fill(lower as u32);
        node.refs -= 1;
        if node.refs > 1 {
            return self.shrink(at);
        }
        node.slots = vec![lower as u32];
        node.bits = 0;
        // A node with nothing to tell apart goes, and its parent names the segment.
        if let Some(parent) = path.pop() {
            self.nodes[at].slots = Vec::new();
            self.free.push(at as u32);
            at = parent;
            let node = &mut self.nodes[at];
            let span = node.span(prefix, depth);
            node.slots[span].fill(lower as u32);
        }
    }

    /// The segment of this range is now called `to`.
    pub(super) fn rename(&mut self, prefix: u64, depth: u8, to: usize) {
        let at = self.holder(prefix);
        let node = &mut self.nodes[at];
        let span = node.span(prefix, depth);
        node.slots[span].fill(to as u32);
    }

    /// Halves a node that deletions left far too wide; pairs that differ move into small nodes of their own.
    fn shrink(&mut self, at: usize) {
        while self.nodes[at].bits > FREE_BITS
            && self.nodes[at].slots.len() > 2 * SLOTS_PER_SEGMENT * self.nodes[at].refs as usize
        {
            let node = &mut self.nodes[at];
            let wide = std::mem::take(&mut node.slots);
            node.bits -= 1;
            let base = node.base + node.bits;
            let mut slots = Vec::with_capacity(wide.len() / 2);
            for pair in wide.as_chunks::<2>().0 {
                if pair[0] == pair[1] {
                    slots.push(pair[0]);
                } else {
                    let child = self.add(Node { slots: pair.to_vec(), refs: 2, base, bits: 1 });
                    self.nodes[at].refs -= 1;
                    slots.push(CHILD | child);
                }
            }
            self.nodes[at].slots = slots;
        }
    }

    fn add(&mut self, node: Node) -> u32 {
        if let Some(at) = self.free.pop() {
            self.nodes[at as usize] = node;
            return at;
        }
        self.nodes.push(node);
        (self.nodes.len() - 1) as u32
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.nodes.capacity() * size_of::<Node>()
            + self.free.capacity() * 4
            + self.nodes.iter().map(|node| node.slots.capacity() * 4).sum::<usize>()
    }

    /// Asserts that the slots name the segments `0..ranges.len()`, each with its `(prefix, depth)`, exactly once.
    pub(super) fn validate(&self, ranges: &[(u64, u8)]) {
        let mut seen = vec![false; ranges.len()];
        let mut reached = 0;
        let mut todo = vec![(0_usize, 0_u64)];
        while let Some((at, prefix)) = todo.pop() {
            reached += 1;
            let node = &self.nodes[at];
            assert_eq!(node.slots.len(), 1 << node.bits);
            let mut refs = 0;
            let mut slot = 0;
            while slot < node.slots.len() {
                refs += 1;
                let here = if node.bits == 0 { prefix } else { prefix | (slot as u64) << (64 - node.base - node.bits) };
                let name = node.slots[slot];
                let depth = if name & CHILD == 0 {
                    let (start, depth) = ranges[name as usize];
                    assert_eq!(start, here, "a segment begins elsewhere than its first slot");
                    assert!(!seen[name as usize], "a segment is named from two places");
                    seen[name as usize] = true;
                    depth
                } else {
                    let child = (name & !CHILD) as usize;
                    todo.push((child, here));
                    self.nodes[child].base
                };
                let span = node.span(here, depth);
                assert_eq!(span.start, slot);
                assert!(node.slots[span.clone()].iter().all(|other| *other == name), "a range has a foreign slot");
                slot = span.end;
            }
            assert_eq!(refs, node.refs, "the count of a node's distinct slots is wrong");
        }
        assert!(seen.into_iter().all(|named| named), "a segment cannot be found");
        assert_eq!(reached + self.free.len(), self.nodes.len(), "a node is lost");
    }
}
