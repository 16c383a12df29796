//! What others have and this replica lacks, and does not get from its writer: it is fetched from whoever has it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use effect::{Dot, Origin};

use crate::entry::Entry;
use crate::frame::Frame;
use crate::io::{LinkId, Output};
use crate::limits;
use crate::receive::Verdict;
use crate::replica::Replica;

/// What is being fetched.
#[derive(Debug, Default)]
pub(crate) struct Holes {
    /// Since when something of an origin is missing.
    since: BTreeMap<Origin, i64>,
    /// From whom it was asked for, and when.
    under_way: BTreeMap<Origin, (LinkId, i64)>,
    /// What came and waits for what it rests on.
    waiting: BTreeMap<Origin, (LinkId, VecDeque<Entry>)>,
    /// Whose logs have nothing of it any more.
    gone: BTreeMap<Origin, BTreeSet<LinkId>>,
}

impl Holes {
    pub fn forget_link(&mut self, id: LinkId) {
        self.under_way.retain(|_, (link, _)| *link != id);
        self.waiting.retain(|_, (link, _)| *link != id);
        self.gone.retain(|_, links| {
            links.remove(&id);
            !links.is_empty()
        });
    }

    pub fn held_bytes(&self) -> u64 {
        self.waiting.values().flat_map(|(_, entries)| entries).map(Entry::size).sum()
    }

    pub fn validate(&self, most: u64) {
        for (origin, (_, entries)) in &self.waiting {
            assert!(!entries.is_empty(), "nothing waits");
            assert!(!self.under_way.contains_key(origin), "fetched again while it waits");
            let bytes: u64 = entries.iter().map(Entry::size).sum();
            assert!(bytes <= most, "{bytes} bytes wait of one origin");
        }
    }
}

impl Replica {
    /// Compares what peers say they have with what is here. What has been missing for a while is fetched; later, if its writer is here itself.
    pub(crate) fn look_for_holes(&mut self) {
        // Nobody counts what those have that are no members: they must not have anything that the group could come to lack.
        if !self.epoch.has(self.me.node()) {
            return;
        }
        let mut missing: BTreeSet<Origin> = BTreeSet::new();
        for dot in self.links.values().flat_map(|link| link.has.iter()) {
            if dot.origin != self.me && !self.applied.has(dot) {
                missing.insert(dot.origin);
            }
        }
        self.holes.since.retain(|origin, _| missing.contains(origin));
        let streams: BTreeSet<Origin> = self.links.values().filter_map(|link| link.peer).collect();
        for origin in missing {
            let since = *self.holes.since.entry(origin).or_insert(self.now_ms);
            let patience = if streams.contains(&origin) { 4 * limits::HOLE_MS } else { limits::HOLE_MS };
            if self.now_ms - since >= patience {
                self.fetch(origin);
            }
        }
    }

    /// Whether a connected peer is known to have what is not here.
    pub fn has_holes(&self) -> bool {
        let lacks = |dot: Dot| dot.origin != self.me && !self.applied.has(dot);
        self.links.values().flat_map(|link| link.has.iter()).any(lacks)
    }

    /// Asks the nearest of those that have it. One answer at a time, and none while the last one waits.
    fn fetch(&mut self, origin: Origin) {
        let asked_lately = |(_, at): &(LinkId, i64)| self.now_ms - at < 4 * limits::HOLE_MS;
        if self.holes.waiting.contains_key(&origin) || self.holes.under_way.get(&origin).is_some_and(asked_lately) {
            return;
        }
        let have = self.applied.get(origin);
        let last_asked = self.holes.under_way.get(&origin).map(|(id, _)| *id);
        let mut have_it: Vec<_> = self.links.iter().filter(|(_, link)| link.has.get(origin) > have).collect();
        let is_gone = |id: &LinkId| self.holes.gone.get(&origin).is_some_and(|links| links.contains(id));
        if !have_it.is_empty() && have_it.iter().all(|(id, _)| is_gone(id)) {
            return self.out.push(Output::NeedsSnapshot(origin));
        }
        have_it.retain(|(id, _)| !is_gone(id));
        // Somebody who did not answer is asked last.
        let nearest = have_it
            .into_iter()
            .min_by_key(|(id, link)| (Some(**id) == last_asked, link.rtt_ms.unwrap_or(i64::MAX), **id));
        let Some((id, to)) = nearest.map(|(id, link)| (*id, link.has.get(origin))) else { return };
        self.holes.under_way.insert(origin, (id, self.now_ms));
        self.send(id, Frame::Fetch { origin, from: have + 1, to });
    }

    pub(crate) fn fetched(&mut self, id: LinkId, origin: Origin, entries: Vec<Entry>) {
        if self.holes.under_way.get(&origin).is_none_or(|(link, _)| *link != id) {
            return;
        }
        self.holes.under_way.remove(&origin);
        // However much comes: nobody gets more held than was asked for.
        let mut room = self.config.fetch_bytes;
        let fits = |entry: &Entry| {
            let had_room = room > 0;
            room = room.saturating_sub(entry.size());
            had_room
        };
        let entries: VecDeque<Entry> = entries.into_iter().take_while(fits).collect();
        if entries.is_empty() {
            return;
        }
        self.holes.waiting.insert(origin, (id, entries));
        self.deliver();
        // There may be more where it came from.
        let is_missing = self.links.get(&id).is_some_and(|link| link.has.get(origin) > self.applied.get(origin));
        if is_missing {
            self.fetch(origin);
        }
    }

    /// Whether anything could be applied.
    pub(crate) fn deliver_fetched(&mut self) -> bool {
        let mut is_further = false;
        let origins: Vec<Origin> = self.holes.waiting.keys().copied().collect();
        for origin in origins {
            while let Some(head) = self.holes.waiting.get(&origin).and_then(|(_, entries)| entries.front()) {
                let verdict = self.judge(head);
                if let Verdict::Not(crate::frame::Why::Gap) = verdict {
                    self.holes.waiting.remove(&origin);
                    break;
                }
                if let Verdict::Not(_) = verdict {
                    break;
                }
                let Some((_, entries)) = self.holes.waiting.get_mut(&origin) else { break };
                let entry = entries.pop_front();
                if entries.is_empty() {
                    self.holes.waiting.remove(&origin);
                }
                if let (Verdict::Apply, Some(entry)) = (verdict, entry) {
                    self.apply(entry);
                    is_further = true;
                }
            }
        }
        is_further
    }

    /// A peer's log has nothing of an origin any more below `first`. Others are asked.
    pub(crate) fn gone(&mut self, id: LinkId, origin: Origin, first: u64) {
        self.holes.under_way.remove(&origin);
        if first > self.applied.get(origin) + 1 {
            self.holes.gone.entry(origin).or_default().insert(id);
        }
    }
}
