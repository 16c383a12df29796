//! S3-FIFO (Yang et al., SOSP 2023): a small queue for newcomers, a main queue for what proved itself, and a
//! memory of what was lately turned away.
//!
//! Sizes are in bytes. The small queue holds a tenth. What leaves it unread is remembered by 16 bits of its hash
//! in a ring; what is put again while remembered goes straight to the main queue. The main queue gives every item
//! as many more rounds as it was read, up to three.

use super::Policy;
use crate::index::nodes::{Nodes, Queue};
use std::collections::VecDeque;

/// Share of all bytes that newcomers may take: one in this many.
const SMALL_SHARE: u64 = 10;
/// Most hashes remembered, by shard.
const GHOSTS: usize = 1024;

/// Most RAM of one shard's memory: the ring doubles as it grows.
pub(super) const RAM_BYTES: u64 = (GHOSTS * 2 * 2 + GHOSTS) as u64;

/// The queues and the memory.
#[derive(Default)]
pub struct S3Fifo {
    small: Queue,
    main: Queue,
    small_bytes: u64,
    main_bytes: u64,
    main_items: usize,
    ghosts: VecDeque<u16>,
    /// How often each hash is in `ghosts`, folded to 1024 counters, so that asking need not scan.
    ghost_counts: Vec<u8>,
}

fn fingerprint(nodes: &Nodes, id: u32) -> u16 {
    (nodes.hash(id)[1] >> 16) as u16
}

impl S3Fifo {
    fn is_ghost(&self, print: u16) -> bool {
        self.ghost_counts.get(usize::from(print) % GHOSTS).is_some_and(|&n| n > 0) && self.ghosts.contains(&print)
    }

    fn remember(&mut self, print: u16) {
        if self.ghost_counts.is_empty() {
            self.ghost_counts = vec![0; GHOSTS];
        }
        let slot = usize::from(print) % GHOSTS;
        if self.ghost_counts[slot] == u8::MAX {
            return;
        }
        self.ghost_counts[slot] += 1;
        self.ghosts.push_back(print);
        while self.ghosts.len() > self.main_items.clamp(16, GHOSTS) {
            if let Some(old) = self.ghosts.pop_front() {
                self.ghost_counts[usize::from(old) % GHOSTS] -= 1;
            }
        }
    }

    fn push_main(&mut self, nodes: &mut Nodes, id: u32) {
        nodes.set_in_main(id, true);
        self.main.push(nodes, id);
        self.main_bytes += u64::from(nodes.loc(id).len);
        self.main_items += 1;
    }

    fn unlink(&mut self, nodes: &mut Nodes, id: u32) {
        let bytes = u64::from(nodes.loc(id).len);
        if nodes.in_main(id) {
            self.main.unlink(nodes, id);
            self.main_bytes -= bytes;
            self.main_items -= 1;
        } else {
            self.small.unlink(nodes, id);
            self.small_bytes -= bytes;
        }
    }

    /// Moves on what was read in the small queue; the first that was not is the victim.
    fn victim_of_small(&mut self, nodes: &mut Nodes) -> Option<u32> {
        while let Some(id) = self.small.oldest() {
            self.unlink(nodes, id);
            if nodes.freq(id) == 0 {
                self.remember(fingerprint(nodes, id));
                return Some(id);
            }
            nodes.set_freq(id, 0);
            self.push_main(nodes, id);
        }
        None
    }

    fn victim_of_main(&mut self, nodes: &mut Nodes) -> Option<u32> {
        for _ in 0..self.main_items {
            let id = self.main.oldest()?;
            self.unlink(nodes, id);
            let freq = nodes.freq(id);
            if freq == 0 {
                return Some(id);
            }
            nodes.set_freq(id, freq - 1);
            self.push_main(nodes, id);
        }
        None
    }
}

impl Policy for S3Fifo {
    fn inserted(&mut self, nodes: &mut Nodes, id: u32) {
        nodes.set_freq(id, 0);
        if self.is_ghost(fingerprint(nodes, id)) {
            self.push_main(nodes, id);
        } else {
            nodes.set_in_main(id, false);
            self.small.push(nodes, id);
            self.small_bytes += u64::from(nodes.loc(id).len);
        }
    }

    fn touched(&mut self, nodes: &mut Nodes, id: u32) {
        nodes.set_freq(id, nodes.freq(id) + 1);
    }

    fn resized(&mut self, nodes: &mut Nodes, id: u32, by: i64) {
        let bytes = if nodes.in_main(id) { &mut self.main_bytes } else { &mut self.small_bytes };
        *bytes = bytes.saturating_add_signed(by);
    }

    fn removed(&mut self, nodes: &mut Nodes, id: u32) {
        self.unlink(nodes, id);
    }

    fn take_victim(&mut self, nodes: &mut Nodes) -> Option<u32> {
        let small_is_due = self.small_bytes * SMALL_SHARE > self.small_bytes + self.main_bytes;
        let first = if small_is_due { self.victim_of_small(nodes) } else { self.victim_of_main(nodes) };
        first.or_else(|| self.victim_of_main(nodes)).or_else(|| self.victim_of_small(nodes))
    }
}
