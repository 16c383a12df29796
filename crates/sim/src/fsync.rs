//! What becomes durable, and who is told.

use causal::Input;
use effect::Vector;

use crate::cluster::{Cluster, Event};
use crate::fault::Fault;

impl Cluster {
    /// Starts an fsync unless one is under way.
    pub(crate) fn begin_sync(&mut self, id: u64) {
        let ms = self.rng.between(0, self.plan.sync_ms) as i64;
        let Some(node) = self.nodes.get_mut(&id) else { return };
        let (boot, len, slow_ms) = (node.boot, node.disk.log.len(), node.slow_ms);
        let Some(life) = node.life.as_mut().filter(|life| !life.is_syncing) else { return };
        life.is_syncing = true;
        self.after(ms + slow_ms / 4, Event::Synced(id, boot, len));
    }

    pub(crate) fn synced(&mut self, id: u64, boot: u32, len: usize) {
        if !self.runs(id, boot) {
            return;
        }
        let fault = self.plan.fault;
        let Some(node) = self.nodes.get_mut(&id) else { return };
        let before = node.disk.synced.min(len);
        let mut vector = Vector::new();
        if fault == Some(Fault::LyingDisk) {
            node.disk.log[before..len].iter().for_each(|e| vector.add(e.last()));
        } else {
            node.disk.sync(len);
            vector.clone_from(&node.disk.durable);
        }
        if fault == Some(Fault::StatesTooMuch) {
            vector.clone_from(&node.disk.has);
        }
        let Some(life) = &mut node.life else { return };
        life.is_syncing = false;
        let me = life.replica.origin();
        for entry in node.disk.log[before..len].iter().filter(|e| e.first.origin == me) {
            self.checks.acknowledged(entry);
        }
        let is_behind = node.disk.log.len() > len;
        // Before the replica hears of it: what is called stable is known to all, and must not be news.
        self.tell_durable(id);
        self.feed(id, Input::Synced(vector));
        if is_behind {
            self.begin_sync(id);
        }
    }

    /// Tells a node that its log has been fsynced, as far as it is.
    pub(crate) fn synced_now(&mut self, id: u64) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        let Some(me) = node.life.as_ref().map(|life| life.replica.origin()) else { return };
        let durable = node.disk.durable.clone();
        for entry in node.disk.log[..node.disk.synced].iter().rev().take_while(|e| e.first.origin == me) {
            self.checks.acknowledged(entry);
        }
        self.tell_durable(id);
        self.feed(id, Input::Synced(durable));
    }
}
