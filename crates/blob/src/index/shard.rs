//! One shard of the index: table, nodes, eviction queue, and the RAM they hold.

use super::NoRoom;
use super::nodes::{Loc, Nodes, State};
use super::policy::{Policy, PolicyKind};
use super::table::Table;
use crate::budget::{Budget, Permit};
use crate::hash::KeyHash;
use crate::limits::SHARD_ITEMS;
use crate::sync::Arc;

/// An item that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    /// Where its record is.
    pub loc: Loc,
    /// Whether it can be read.
    pub state: State,
    /// Whether the policy knows of no access before this one.
    pub first: bool,
}

/// What was there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replaced {
    /// Where it was.
    pub loc: Loc,
    /// What it was.
    pub state: State,
}

/// A shard.
pub struct Shard {
    table: Table,
    nodes: Nodes,
    policy: Option<Box<dyn Policy>>,
    ram: Arc<Budget>,
    /// What all shards together may take of it.
    room: Arc<Budget>,
    held: Option<Permit>,
    held_room: Option<Permit>,
}

impl Shard {
    pub fn new(policy: Option<PolicyKind>, ram: &Arc<Budget>, room: &Arc<Budget>) -> Result<Self, NoRoom> {
        let held = match policy.map_or(0, PolicyKind::ram_bytes) {
            0 => None,
            bytes => Some(ram.try_take(bytes).ok_or(NoRoom)?),
        };
        let policy = policy.map(PolicyKind::build);
        Ok(Self {
            table: Table::default(),
            nodes: Nodes::default(),
            policy,
            ram: Arc::clone(ram),
            room: Arc::clone(room),
            held,
            held_room: None,
        })
    }

    fn policy(&mut self) -> Option<(&mut dyn Policy, &mut Nodes)> {
        Some((self.policy.as_mut()?.as_mut(), &mut self.nodes))
    }

    pub fn get(&mut self, hash: KeyHash) -> Option<Hit> {
        let id = self.table.find(hash, &self.nodes)?;
        let state = self.nodes.state(id);
        if state == State::Evicted {
            return None;
        }
        let mut first = false;
        if let Some((policy, nodes)) = self.policy() {
            first = nodes.freq(id) == 0;
            policy.touched(nodes, id);
        }
        Some(Hit { loc: self.nodes.loc(id), state, first })
    }

    pub fn peek(&self, hash: KeyHash) -> Option<(Loc, State)> {
        let id = self.table.find(hash, &self.nodes)?;
        Some((self.nodes.loc(id), self.nodes.state(id)))
    }

    pub fn prepare(&mut self, hash: KeyHash) -> Result<(), NoRoom> {
        if self.table.find(hash, &self.nodes).is_some() {
            return Ok(());
        }
        if self.table.len() + 1 >= SHARD_ITEMS {
            return Err(NoRoom);
        }
        if self.nodes.is_full() {
            self.take(Nodes::CHUNK_BYTES)?;
            self.nodes.add_chunk();
        }
        if let Some(slots) = self.table.wanted() {
            self.resize(slots)?;
        }
        Ok(())
    }

    pub fn reserve(&mut self, items: usize) -> Result<(), NoRoom> {
        if items >= SHARD_ITEMS {
            return Err(NoRoom);
        }
        // Chunks of nodes are added one by one at no cost: made now, some would stay empty.
        let slots = Table::slots_for(items);
        if slots > self.table.slots() { self.resize(slots) } else { Ok(()) }
    }

    fn resize(&mut self, slots: usize) -> Result<(), NoRoom> {
        // Old and new table exist together for a moment; both are paid for.
        self.take(slots as u64 * 4)?;
        let old = self.table.slots() as u64 * 4;
        self.table.resize(slots, &self.nodes);
        for held in [&mut self.held, &mut self.held_room].into_iter().flatten() {
            held.shrink_to(held.bytes() - old);
        }
        Ok(())
    }

    fn take(&mut self, bytes: u64) -> Result<(), NoRoom> {
        take_into(&mut self.held_room, &self.room, bytes)?;
        let taken = take_into(&mut self.held, &self.ram, bytes);
        if taken.is_err()
            && let Some(held) = &mut self.held_room
        {
            held.shrink_to(held.bytes() - bytes);
        }
        taken
    }

    pub fn put(&mut self, hash: KeyHash, loc: Loc) -> Option<Replaced> {
        let Some(id) = self.table.find(hash, &self.nodes) else {
            let id = self.nodes.insert(hash, loc);
            self.table.insert(hash, id);
            if let Some((policy, nodes)) = self.policy() {
                policy.inserted(nodes, id);
            }
            return None;
        };
        let replaced = Replaced { loc: self.nodes.loc(id), state: self.nodes.state(id) };
        if replaced.state != State::Evicted
            && let Some((policy, nodes)) = self.policy()
        {
            policy.resized(nodes, id, i64::from(loc.len) - i64::from(replaced.loc.len));
        }
        self.nodes.set_loc(id, loc);
        self.nodes.set_state(id, State::Live);
        if let Some((policy, nodes)) = self.policy() {
            match replaced.state {
                State::Evicted => policy.inserted(nodes, id),
                State::Live | State::Corrupt => policy.touched(nodes, id),
            }
        }
        Some(replaced)
    }

    pub fn remove(&mut self, hash: KeyHash, only_at: Option<Loc>) -> Option<Replaced> {
        let id = self.table.find(hash, &self.nodes)?;
        let removed = Replaced { loc: self.nodes.loc(id), state: self.nodes.state(id) };
        if only_at.is_some_and(|loc| loc != removed.loc) {
            return None;
        }
        if removed.state != State::Evicted {
            self.leave_queue(id);
        }
        self.table.remove(hash, &self.nodes);
        self.nodes.release(id);
        Some(removed)
    }

    fn leave_queue(&mut self, id: u32) {
        if let Some((policy, nodes)) = self.policy() {
            policy.removed(nodes, id);
        }
    }

    pub fn relocate(&mut self, hash: KeyHash, from: Loc, to: Loc) -> bool {
        let Some(id) = self.table.find(hash, &self.nodes) else { return false };
        let still = self.nodes.loc(id) == from && self.nodes.state(id) != State::Evicted;
        if still {
            self.nodes.set_loc(id, to);
        }
        still
    }

    pub fn evict_at(&mut self, hash: KeyHash, loc: Loc) -> bool {
        let Some(id) = self.table.find(hash, &self.nodes) else { return false };
        let still = self.nodes.loc(id) == loc && self.nodes.state(id) != State::Evicted;
        if still {
            self.leave_queue(id);
            self.nodes.set_state(id, State::Evicted);
        }
        still
    }

    pub fn spare(&mut self, hash: KeyHash, loc: Loc) -> bool {
        let Some(id) = self.table.find(hash, &self.nodes) else { return false };
        let here = self.nodes.loc(id) == loc && self.nodes.state(id) == State::Live;
        let spared = here && self.nodes.freq(id) > 0;
        if spared && let Some((policy, nodes)) = self.policy() {
            policy.removed(nodes, id);
            policy.inserted(nodes, id);
        }
        spared
    }

    pub fn mark_corrupt(&mut self, hash: KeyHash, loc: Loc) -> bool {
        let Some(id) = self.table.find(hash, &self.nodes) else { return false };
        let still = self.nodes.loc(id) == loc && self.nodes.state(id) == State::Live;
        if still {
            self.nodes.set_state(id, State::Corrupt);
        }
        still
    }

    pub fn evict_one(&mut self) -> Option<Loc> {
        let (policy, nodes) = self.policy()?;
        let id = policy.take_victim(nodes)?;
        self.nodes.set_state(id, State::Evicted);
        Some(self.nodes.loc(id))
    }

    pub fn ram_bytes(&self) -> u64 {
        self.held.as_ref().map_or(0, Permit::bytes)
    }

    pub fn live(&self) -> usize {
        self.table.ids().filter(|&id| self.nodes.state(id) != State::Evicted).count()
    }

    pub fn for_each(&self, f: &mut impl FnMut(Loc, State)) {
        for id in self.table.ids() {
            f(self.nodes.loc(id), self.nodes.state(id));
        }
    }

    /// Live items and their bytes; an error if a queue and the table disagree.
    pub fn validate(&self) -> Result<(u64, u64), String> {
        let (mut items, mut bytes) = (0, 0);
        for id in self.table.ids() {
            let live = self.nodes.state(id) != State::Evicted;
            if self.policy.is_some() && live != self.nodes.is_linked(id) {
                return Err(format!("node {id} is live: {live}, queued: {}", !live));
            }
            if live {
                items += 1;
                bytes += self.nodes.loc(id).padded_len();
            }
        }
        Ok((items, bytes))
    }
}

fn take_into(held: &mut Option<Permit>, budget: &Arc<Budget>, bytes: u64) -> Result<(), NoRoom> {
    match held {
        Some(held) => held.try_grow(bytes).then_some(()).ok_or(NoRoom),
        None => {
            *held = Some(budget.try_take(bytes).ok_or(NoRoom)?);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    #[derive(Clone, Debug)]
    enum Op {
        Put(u8, u32),
        Remove(u8),
        Evict(u8),
        EvictOne,
        Get(u8),
    }

    fn ops() -> impl Strategy<Value = Vec<Op>> {
        let op = prop_oneof![
            4 => (any::<u8>(), 1u32..1000).prop_map(|(k, len)| Op::Put(k, len)),
            2 => any::<u8>().prop_map(Op::Remove),
            1 => any::<u8>().prop_map(Op::Evict),
            1 => Just(Op::EvictOne),
            3 => any::<u8>().prop_map(Op::Get),
        ];
        prop::collection::vec(op, 0..800)
    }

    fn hash(key: u8) -> KeyHash {
        // Few places, so that probe sequences overlap and wrap around the end of the table.
        KeyHash { hi: u64::from(u32::MAX - u32::from(key % 5)), lo: u64::from(key) }
    }

    proptest! {
        #[test]
        fn a_shard_is_a_map_that_remembers_what_was_evicted(
            ops in ops(),
            policy in prop_oneof![Just(PolicyKind::Fifo), Just(PolicyKind::Clock), Just(PolicyKind::Sieve), Just(PolicyKind::S3Fifo)],
        ) {
            let mut shard = Shard::new(Some(policy), &Budget::new(1 << 20), &Budget::new(1 << 20)).unwrap();
            let mut model: HashMap<u8, (Loc, State)> = HashMap::new();
            for (i, op) in ops.into_iter().enumerate() {
                match op {
                    Op::Put(key, len) => {
                        let loc = Loc::new(1, i as u64 * 8, len);
                        shard.prepare(hash(key)).unwrap();
                        let replaced = shard.put(hash(key), loc).map(|r| (r.loc, r.state));
                        prop_assert_eq!(replaced, model.insert(key, (loc, State::Live)));
                    }
                    Op::Remove(key) => {
                        let removed = shard.remove(hash(key), None).map(|r| (r.loc, r.state));
                        prop_assert_eq!(removed, model.remove(&key));
                    }
                    Op::Evict(key) => {
                        if let Some((loc, state)) = model.get_mut(&key) {
                            prop_assert_eq!(shard.evict_at(hash(key), *loc), *state == State::Live);
                            *state = State::Evicted;
                        }
                    }
                    Op::EvictOne => {
                        let live = model.values().any(|(_, state)| *state == State::Live);
                        let victim = (0..5).find_map(|_| shard.evict_one());
                        prop_assert_eq!(victim.is_some(), live);
                        if let Some(victim) = victim {
                            let entry = model.values_mut().find(|(loc, _)| *loc == victim).unwrap();
                            prop_assert_eq!(entry.1, State::Live);
                            entry.1 = State::Evicted;
                        }
                    }
                    Op::Get(key) => {
                        let expected = model.get(&key).copied();
                        prop_assert_eq!(shard.peek(hash(key)), expected);
                        prop_assert_eq!(shard.get(hash(key)).map(|hit| (hit.loc, hit.state)), expected.filter(|(_, s)| *s == State::Live));
                    }
                }
                shard.validate().unwrap();
            }
        }
    }

    #[test]
    fn an_item_costs_at_most_40_bytes() {
        let ram = Budget::new(1 << 30);
        let mut shard = Shard::new(Some(PolicyKind::Sieve), &ram, &Budget::new(u64::MAX)).unwrap();
        let mut worst = 0.0_f64;
        for i in 0..60_000_u64 {
            let hash = KeyHash { hi: i.wrapping_mul(0x9E37_79B9_7F4A_7C15), lo: i };
            shard.prepare(hash).unwrap();
            shard.put(hash, Loc::new(1, i * 8, 9));
            if i > 4_000 {
                worst = worst.max(ram.used() as f64 / (i + 1) as f64);
            }
        }
        assert!(worst <= 40.0, "{worst:.2} bytes an item");
        assert!(worst > 32.0, "the budget does not see all of it: {worst:.2}");
    }

    #[test]
    fn growth_stops_at_the_budget() {
        let ram = Budget::new(20_000);
        let mut shard = Shard::new(None, &ram, &Budget::new(u64::MAX)).unwrap();
        let mut put = 0;
        while shard.prepare(KeyHash { hi: put, lo: put }).is_ok() {
            shard.put(KeyHash { hi: put, lo: put }, Loc::new(1, 0, 1));
            put += 1;
            assert!(ram.used() <= 20_000);
        }
        assert!(put > 300, "{put}");
        assert!((0..put).all(|i| shard.peek(KeyHash { hi: i, lo: i }).is_some()));
    }
}
