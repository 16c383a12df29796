//! What clients write.

use causal::{Entry, Input};
use effect::Dot;

use crate::batch::KEYS;
use crate::cluster::{Cluster, Event};
use crate::definitions::{self, DEFINITION, NAMES};
use crate::fault::Fault;

/// One of so many writes defines a keyspace.
const WRITES_TO_A_DEFINITION: u64 = 8;

impl Cluster {
    /// A client writes at a node; or the node writes again what the group never got.
    pub(crate) fn write(&mut self, id: u64, boot: u32) {
        if !self.runs(id, boot) {
            return;
        }
        let ms = self.rng.between(1, 2 * self.plan.write_ms) as i64;
        self.after(ms, Event::Write(id, boot));
        let (count, key) = (self.rng.between(1, 3) as u64, self.rng.below(usize::from(KEYS)) as u8);
        let mut bytes = vec![key; self.rng.between(1, self.plan.batch_bytes)];
        let bits = self.rng.bits();
        bytes.extend_from_slice(&bits.to_le_bytes());
        let again = self.nodes.get(&id).and_then(|n| n.disk.again.iter().position(|(_, as_dot)| as_dot.is_none()));
        if again.is_none() && !self.is_bad {
            return;
        }
        let now_ms = self.now_ms;
        let Some(node) = self.nodes.get_mut(&id) else { return };
        let Some(life) = &node.life else { return };
        if !life.replica.may_write() {
            return;
        }
        let me = life.replica.origin();
        let Some(hlc) = node.stamp(now_ms + node.skew_ms, count) else { return };
        let Some(grown) = node.grown() else { return };
        let first = Dot { origin: me, seq: node.disk.has.get(me) + 1 };
        let mut old_of_it = None;
        // What is said of a keyspace goes by what is known of it here and now.
        let is_blind = self.plan.fault == Some(Fault::DefinesBlindly);
        let known = node.life.as_ref().filter(|_| !is_blind).map(|life| life.state.keyspaces().clone());
        let known = known.unwrap_or_default();
        if bits.is_multiple_of(WRITES_TO_A_DEFINITION) {
            bytes = definitions::bytes(&known, me, (bits >> 32) as u8 % NAMES.len() as u8, (bits >> 40) as u8 % 3);
        }
        let mut entry = Entry { first, count, hlc, ticks: count - 1, grown, bytes: bytes.into() };
        if let Some((old, as_dot)) = again.and_then(|at| node.disk.again.get_mut(at)) {
            entry.bytes = match old.bytes[..] {
                [DEFINITION, name, what, ..] => definitions::bytes(&known, me, name, what).into(),
                _ => old.bytes.clone(),
            };
            if self.plan.fault != Some(Fault::WritesAgainTwice) {
                *as_dot = Some(entry.last());
            }
            old_of_it = Some(old.clone());
        }
        if let Some(old) = old_of_it {
            self.checks.wrote_again(&old, &entry, &node.disk.has);
        }
        self.log_own(id, &entry);
        if self.plan.fault == Some(Fault::AcknowledgesEarly) {
            self.checks.acknowledged(&entry);
        }
        self.wrote(id, entry);
        self.begin_sync(id);
    }

    /// Appends an own batch to the log.
    pub(crate) fn log_own(&mut self, id: u64, entry: &Entry) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        self.largest = self.largest.max(entry.size());
        let context = node.disk.has.clone();
        node.log_own(entry);
        if let Some(life) = &mut node.life {
            self.checks.wrote(&mut life.seen, entry, context);
        }
    }

    /// Tells the replica of an own batch that the log has.
    pub(crate) fn wrote(&mut self, id: u64, entry: Entry) {
        self.feed(id, Input::Wrote(entry));
    }
}
