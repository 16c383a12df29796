//! Unsafe binds that wait for competitors which may still arrive.
//!
//! *Invariant:* binds that overlap are in one group, and a group becomes visible as a whole.
//!
//! *Invariant:* a group is visible at latest [`HORIZON_HARD_MS`] after its first bind came, however many have joined since.

use std::collections::{BTreeMap, BTreeSet};

use effect::Dot;

use crate::bind::limits::HORIZON_HARD_MS;

/// The binds that are invisible, in groups.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct HorizonSet {
    groups: BTreeMap<u64, Group>,
    group_of: BTreeMap<Dot, u64>,
    next: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Group {
    binds: BTreeSet<Dot>,
    visible_ms: u64,
    hard_ms: u64,
}

impl HorizonSet {
    /// Adds a bind that is to wait `wait_ms` from `now_ms`, to the group of those it overlaps; groups that it connects become one.
    pub fn add(&mut self, bind: Dot, overlapping: impl IntoIterator<Item = Dot>, now_ms: u64, wait_ms: u64) {
        if self.is_invisible(bind) {
            return;
        }
        let ids: BTreeSet<u64> = overlapping.into_iter().filter_map(|dot| self.group_of.get(&dot)).copied().collect();
        let mut whole = Group {
            binds: [bind].into(),
            visible_ms: now_ms.saturating_add(wait_ms),
            hard_ms: now_ms.saturating_add(HORIZON_HARD_MS),
        };
        for group in ids.iter().filter_map(|id| self.groups.remove(id)) {
            whole.binds.extend(group.binds);
            whole.visible_ms = whole.visible_ms.max(group.visible_ms);
            whole.hard_ms = whole.hard_ms.min(group.hard_ms);
        }
        self.next += 1;
        self.group_of.extend(whole.binds.iter().map(|dot| (*dot, self.next)));
        self.groups.insert(self.next, whole);
    }

    /// Whether a bind still waits.
    pub fn is_invisible(&self, bind: Dot) -> bool {
        self.group_of.contains_key(&bind)
    }

    /// Makes the whole group of a bind visible: its members.
    pub fn make_visible(&mut self, bind: Dot) -> BTreeSet<Dot> {
        let group = self.group_of.get(&bind).and_then(|id| self.groups.remove(id));
        let binds = group.map_or_else(BTreeSet::new, |group| group.binds);
        for dot in &binds {
            self.group_of.remove(dot);
        }
        binds
    }

    /// Makes the groups visible whose time has come: their members, group by group.
    pub fn due(&mut self, now_ms: u64) -> Vec<BTreeSet<Dot>> {
        let due = |group: &&Group| group.visible_ms.min(group.hard_ms) <= now_ms;
        let first: Vec<Dot> =
            self.groups.values().filter(due).filter_map(|group| group.binds.first().copied()).collect();
        first.into_iter().map(|dot| self.make_visible(dot)).collect()
    }

    /// Nothing waits any more, and nothing of what waited becomes visible: the node stops.
    pub fn stop_all(&mut self) {
        self.groups.clear();
        self.group_of.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bind::transaction::tests::dot;

    #[test]
    fn a_group_becomes_visible_as_a_whole() {
        let mut set = HorizonSet::default();
        let [a, b, c, d] = [1, 2, 3, 4].map(|node| dot(node, 1));
        set.add(a, [], 0, 100);
        set.add(b, [], 10, 100);
        set.add(d, [], 10, 300);
        set.add(c, [a, b], 50, 100);
        assert!([a, b, c, d].iter().all(|dot| set.is_invisible(*dot)));
        assert_eq!(set.due(149), Vec::<BTreeSet<Dot>>::new(), "the last to join has the others wait");
        assert_eq!(set.due(150), [[a, b, c].into()]);
        assert!(!set.is_invisible(a) && set.is_invisible(d));
        assert_eq!((set.make_visible(a), set.make_visible(d)), ([].into(), [d].into()));
    }

    #[test]
    fn a_stream_of_overlapping_binds_does_not_wait_for_ever() {
        let mut set = HorizonSet::default();
        let mut visible_ms = None;
        for at in 0..100 {
            let now_ms = at * 50;
            if visible_ms.is_none() && !set.due(now_ms).is_empty() {
                visible_ms = Some(now_ms);
            }
            set.add(dot(1, at + 1), (at > 0).then(|| dot(1, at)), now_ms, 100);
        }
        assert_eq!(visible_ms, Some(HORIZON_HARD_MS));
    }

    #[test]
    fn groups_that_are_connected_keep_the_earlier_hard_deadline() {
        let mut set = HorizonSet::default();
        let [a, b, c] = [1, 2, 3].map(|node| dot(node, 1));
        set.add(a, [], 0, 10_000);
        set.add(b, [], 400, 10_000);
        set.add(c, [a, b], 450, 10_000);
        assert!(set.due(HORIZON_HARD_MS - 1).is_empty());
        assert_eq!(set.due(HORIZON_HARD_MS), [[a, b, c].into()]);
    }

    #[test]
    fn a_stop_makes_nothing_visible() {
        let mut set = HorizonSet::default();
        set.add(dot(1, 1), [], 0, 1);
        set.stop_all();
        assert!(set.due(1_000).is_empty() && !set.is_invisible(dot(1, 1)));
    }
}
