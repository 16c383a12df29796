//! What peers send: it is applied once all that it rests on has been, and waits until then.

use effect::{Dot, Origin, Vector};

use crate::entry::Entry;
use crate::frame::{Frame, Nack, Why};
use crate::io::{LinkId, Output};
use crate::replica::Replica;

/// What is to be done with a batch.
pub(crate) enum Verdict {
    /// All that it rests on is there.
    Apply,
    /// It has been applied already.
    Known,
    /// It must wait, or come again.
    Not(Why),
}

impl Replica {
    /// Batches of a peer's own stream.
    pub(crate) fn batches(&mut self, id: LinkId, peer: Origin, entries: Vec<Entry>) {
        if entries.iter().any(|entry| entry.first.origin != peer) {
            return self.close(id, "a stream of somebody else");
        }
        let is_member = peer.incarnation() > 0 && self.epoch.has(peer.node()) && self.epoch.has(self.me.node());
        let Some(link) = self.links.get_mut(&id).filter(|_| is_member) else { return };
        for entry in entries {
            if link.held_bytes >= self.config.window_bytes {
                return self.close(id, "more than there was room for");
            }
            link.hold(entry);
        }
        self.deliver();
    }

    /// Applies whatever can be applied, in whatever order it becomes so.
    pub(crate) fn deliver(&mut self) {
        loop {
            let held: Vec<LinkId> = self.links.iter().filter(|(_, l)| !l.held.is_empty()).map(|(id, _)| *id).collect();
            let mut is_further = false;
            for id in held {
                is_further |= self.deliver_stream(id);
            }
            is_further |= self.deliver_fetched();
            if !is_further {
                break;
            }
        }
        self.give_credit();
        self.open_gate();
    }

    /// Whether anything could be applied.
    fn deliver_stream(&mut self, id: LinkId) -> bool {
        let mut is_further = false;
        while let Some(head) = self.links.get(&id).and_then(|link| link.held.front()) {
            let (first, verdict) = (head.first, self.judge(head));
            match verdict {
                Verdict::Not(why) => {
                    let is_gap = why == Why::Gap;
                    self.nack(id, first, why);
                    if !is_gap {
                        break;
                    }
                    self.links.get_mut(&id).and_then(|link| link.release());
                }
                Verdict::Known => drop(self.links.get_mut(&id).and_then(|link| link.release())),
                Verdict::Apply => {
                    if let Some(entry) = self.links.get_mut(&id).and_then(|link| link.release()) {
                        self.apply(entry);
                        is_further = true;
                    }
                }
            }
        }
        is_further
    }

    /// *Invariant:* a batch is applied only if all of its origin before it has been, and all that its writer had observed; and it is not
    /// written further in the future than clocks may differ.
    pub(crate) fn judge(&self, entry: &Entry) -> Verdict {
        let have = self.applied.get(entry.first.origin);
        if entry.last().seq <= have || entry.first.origin == self.me {
            return Verdict::Known;
        }
        if entry.first.seq != have + 1 {
            return Verdict::Not(Why::Gap);
        }
        let ahead_ms = entry.last_hlc().ms() - self.now_ms;
        if ahead_ms > self.config.max_clock_skew_ms {
            return Verdict::Not(Why::Clock(ahead_ms));
        }
        if !self.applied.covers(&entry.grown) {
            let missing: Vector = entry.grown.iter().filter(|dot| !self.applied.has(*dot)).collect();
            return Verdict::Not(Why::Context(missing));
        }
        Verdict::Apply
    }

    pub(crate) fn apply(&mut self, entry: Entry) {
        let origin = entry.first.origin;
        self.note_applied(&entry);
        self.out.push(Output::Observe(entry.last_hlc()));
        let context = self.contexts.get(&origin).cloned().unwrap_or_default();
        self.out.push(Output::Apply(entry, context));
        self.settle(origin.node());
    }

    /// Once for each batch that waits; of a gap once until it is filled.
    fn nack(&mut self, id: LinkId, got: Dot, why: Why) {
        let have = self.applied.get(got.origin);
        let about = if why == Why::Gap { Dot { seq: have, ..got } } else { got };
        let Some(link) = self.links.get_mut(&id).filter(|link| link.nacked != Some(about)) else { return };
        link.nacked = Some(about);
        let nack = Nack { origin: got.origin, have, got: got.seq, why };
        self.send(id, Frame::Nack(nack));
    }

    /// Tells peers of room, a quarter of a window at a time.
    fn give_credit(&mut self) {
        let enough = self.config.window_bytes / 4;
        for (id, link) in self.links.iter_mut().filter(|(_, link)| link.consumed > enough) {
            let bytes = std::mem::take(&mut link.consumed);
            self.out.push(Output::Send(*id, Frame::Credit(bytes)));
        }
    }
}
