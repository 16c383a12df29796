//! The stream to each peer, and answers to what peers fetch. Everything comes from the log; no batch is kept for a peer.

use effect::Origin;

use crate::entry::Entry;
use crate::frame::{Frame, Nack, Why};
use crate::io::{Found, LinkId, Output, Purpose};
use crate::link::Link;
use crate::replica::Replica;
use std::sync::Arc;

impl Replica {
    /// An own batch is in the log. Peers that have all before it get it straight away.
    pub(crate) fn wrote(&mut self, entry: Entry) {
        assert_eq!(entry.first.origin, self.me, "own batches have the own origin");
        assert_eq!(entry.first.seq, self.applied.get(self.me) + 1, "own batches come without a gap");
        self.note_applied(&entry);
        self.promised = self.promised.max(entry.last_hlc());
        let members = &self.epoch;
        for (id, link) in &mut self.links {
            let is_caught_up = link.cursor == entry.first.seq && link.reading.is_none() && link.credit > 0;
            if is_caught_up && link.node().is_some_and(|node| members.has(node)) {
                sent(link, &entry);
                self.out.push(Output::Send(*id, Frame::Batches(vec![entry.clone()])));
            }
        }
        let all: Vec<LinkId> = self.links.keys().copied().collect();
        all.into_iter().for_each(|id| self.pump(id));
    }

    /// What a batch changes in the books, whoever wrote it.
    pub(crate) fn note_applied(&mut self, entry: &Entry) {
        self.applied.add(entry.last());
        self.heads.insert(entry.first.origin, entry.last_hlc());
        if !entry.grown.is_empty() {
            Arc::make_mut(self.contexts.entry(entry.first.origin).or_default()).join(&entry.grown);
        }
    }

    /// Asks the log for what the peer lacks and has room for.
    pub(crate) fn pump(&mut self, id: LinkId) {
        let last = self.applied.get(self.me);
        let Some(link) = self.links.get_mut(&id) else { return };
        let is_member = link.peer.is_some_and(|peer| peer.incarnation() > 0 && self.epoch.has(peer.node()));
        if !is_member || link.reading.is_some() || link.credit <= 0 || link.cursor > last || self.me.incarnation() == 0
        {
            return;
        }
        link.reading = Some(link.cursor);
        let max_bytes = self.config.frame_bytes.min(link.credit.unsigned_abs());
        let (from, purpose) = (link.cursor, Purpose::Stream);
        self.out.push(Output::Read { link: id, purpose, origin: self.me, from, to: last, max_bytes });
    }

    pub(crate) fn read(&mut self, id: LinkId, purpose: Purpose, origin: Origin, from: u64, found: Found) {
        let Some(link) = self.links.get_mut(&id) else { return };
        match purpose {
            Purpose::Stream if link.reading != Some(from) => return,
            Purpose::Stream => link.reading = None,
            Purpose::Fetch if link.serving != Some(origin) => return,
            Purpose::Fetch => {
                link.serving = None;
                link.asked.remove(&origin);
            }
        }
        match (found, purpose) {
            (Found::Gone(first), _) => self.send(id, Frame::Gone(origin, first)),
            (Found::Batches(entries), Purpose::Fetch) => self.send(id, Frame::Fetched(origin, entries)),
            (Found::Batches(entries), Purpose::Stream) => {
                // The peer may have asked to go back meanwhile.
                if link.cursor == from && !entries.is_empty() {
                    entries.iter().for_each(|entry| sent(link, entry));
                    self.send(id, Frame::Batches(entries));
                }
                self.pump(id);
            }
        }
        self.serve(id);
    }

    pub(crate) fn credited(&mut self, id: LinkId, bytes: u64) {
        let Some(link) = self.links.get_mut(&id) else { return };
        link.credit = link.credit.saturating_add(i64::try_from(bytes).unwrap_or(i64::MAX));
        self.pump(id);
    }

    /// A peer fetches. It gets only what is durable here, so that nobody holds of an ended life what a crash can take from its source.
    pub(crate) fn asked(&mut self, id: LinkId, origin: Origin, from: u64, to: u64) {
        if from == 0 {
            return self.close(id, "effects are counted from 1");
        }
        let to = to.min(self.durable.get(origin));
        let Some(link) = self.links.get_mut(&id) else { return };
        if from > to {
            return self.send(id, Frame::Fetched(origin, Vec::new()));
        }
        link.asked.insert(origin, (from, to));
        self.serve(id);
    }

    fn serve(&mut self, id: LinkId) {
        let Some(link) = self.links.get_mut(&id).filter(|link| link.serving.is_none()) else { return };
        let Some((origin, (from, to))) = link.asked.first_key_value().map(|(o, range)| (*o, *range)) else { return };
        link.serving = Some(origin);
        let (purpose, max_bytes) = (Purpose::Fetch, self.config.fetch_bytes);
        self.out.push(Output::Read { link: id, purpose, origin, from, to, max_bytes });
    }

    /// A peer does not apply what it was sent. If something before it is missing, the stream goes back.
    pub(crate) fn nacked(&mut self, id: LinkId, peer: Origin, nack: Nack) {
        let Some(link) = self.links.get_mut(&id) else { return };
        if nack.why == Why::Gap && nack.origin == self.me && nack.have < link.cursor {
            link.cursor = nack.have + 1;
            self.pump(id);
        }
        self.out.push(Output::Nacked(peer.node(), nack));
    }
}

fn sent(link: &mut Link, entry: &Entry) {
    link.cursor = entry.last().seq + 1;
    link.credit = link.credit.saturating_sub(i64::try_from(entry.size()).unwrap_or(i64::MAX));
}
