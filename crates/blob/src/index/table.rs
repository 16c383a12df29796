//! From hash to node: open addressing with 22 bits of node and 10 bits of tag a slot, at most 7/8 full.
//!
//! Linear probing, and removal by shifting back, so there are no dead slots. It grows by a quarter, not by
//! doubling, which keeps it between 70 % and 87 % full.

use super::nodes::{NONE, Nodes};
use crate::hash::KeyHash;

const EMPTY: u32 = u32::MAX;
const ID: u32 = NONE;

/// The table.
#[derive(Default)]
pub struct Table {
    slots: Box<[u32]>,
    len: usize,
}

#[expect(clippy::cast_possible_truncation, reason = "the parts of the hash that are meant")]
fn place_and_tag(hash: KeyHash) -> (u32, u32) {
    (hash.hi as u32, hash.lo as u32 & !ID)
}

fn kept_place_and_tag(kept: [u32; 3]) -> (u32, u32) {
    (kept[0], kept[2] & !ID)
}

impl Table {
    /// Slots that hold `items` within the load limit.
    pub fn slots_for(items: usize) -> usize {
        (items + items / 7 + 4).max(8)
    }

    /// How many slots it should have next; `None` if one more item fits.
    pub fn wanted(&self) -> Option<usize> {
        let fits = (self.len + 1) * 8 <= self.slots.len() * 7;
        (!fits).then(|| (self.slots.len() + self.slots.len() / 4).max(Self::slots_for(self.len + 1)))
    }

    /// Slots it has.
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    /// Moves to `slots` slots.
    pub fn resize(&mut self, slots: usize, nodes: &Nodes) {
        debug_assert!(slots > self.len);
        let old = std::mem::replace(&mut self.slots, vec![EMPTY; slots].into());
        for slot in old.into_iter().filter(|&slot| slot != EMPTY) {
            let (place, _) = kept_place_and_tag(nodes.hash(slot & ID));
            self.place(place, slot);
        }
    }

    fn home(&self, place: u32) -> usize {
        ((u64::from(place) * self.slots.len() as u64) >> 32) as usize
    }

    fn after(&self, at: usize) -> usize {
        if at + 1 == self.slots.len() { 0 } else { at + 1 }
    }

    fn place(&mut self, place: u32, slot: u32) {
        let mut at = self.home(place);
        while self.slots[at] != EMPTY {
            at = self.after(at);
        }
        self.slots[at] = slot;
    }

    fn position(&self, hash: KeyHash, nodes: &Nodes) -> Option<usize> {
        if self.slots.is_empty() {
            return None;
        }
        let (place, tag) = place_and_tag(hash);
        let mut at = self.home(place);
        loop {
            match self.slots[at] {
                EMPTY => return None,
                slot if slot & !ID == tag && nodes.has_hash(slot & ID, hash) => return Some(at),
                _ => at = self.after(at),
            }
        }
    }

    /// The node with this hash.
    pub fn find(&self, hash: KeyHash, nodes: &Nodes) -> Option<u32> {
        self.position(hash, nodes).map(|at| self.slots[at] & ID)
    }

    /// Adds a node whose hash is not there yet; `wanted` said `None`.
    pub fn insert(&mut self, hash: KeyHash, id: u32) {
        debug_assert!(id < ID && self.len < self.slots.len());
        let (place, tag) = place_and_tag(hash);
        self.place(place, tag | id);
        self.len += 1;
    }

    /// Takes the node with this hash out.
    pub fn remove(&mut self, hash: KeyHash, nodes: &Nodes) -> Option<u32> {
        let mut hole = self.position(hash, nodes)?;
        let id = self.slots[hole] & ID;
        let slots = self.slots.len();
        let mut at = self.after(hole);
        while self.slots[at] != EMPTY {
            let (place, _) = kept_place_and_tag(nodes.hash(self.slots[at] & ID));
            let home = self.home(place);
            // It may move into the hole only if its home is not between the hole and where it is now.
            if (at + slots - home) % slots >= (at + slots - hole) % slots {
                self.slots[hole] = self.slots[at];
                hole = at;
            }
            at = self.after(at);
        }
        self.slots[hole] = EMPTY;
        self.len -= 1;
        Some(id)
    }

    /// Items it has.
    pub fn len(&self) -> usize {
        self.len
    }

    /// All nodes.
    pub fn ids(&self) -> impl Iterator<Item = u32> {
        self.slots.iter().filter(|&&slot| slot != EMPTY).map(|slot| slot & ID)
    }
}
