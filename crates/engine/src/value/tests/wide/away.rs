//! Elements of the value that leave memory and come from the store.

use super::bench::{Bench, len_of, name};
use super::model::{Key, Said, read};
use crate::value::entry::Value;
use crate::value::{AtRestValue, Away, Edge, Entry, Kind, ListRef, Part, ScoreBound, Want, ZSetRef};
use effect::ListPos;
use std::fmt::Debug;
use std::ops::Range;

impl Bench {
    /// Brings in what a change of these elements needs.
    pub(super) fn need(&mut self, ns: Range<u16>, places: &[ListPos]) {
        if self.entry.kind() != Kind::List {
            return self.bring(&Part::Named(ns.map(|n| name(n).into()).collect()));
        }
        for pos in places {
            if let Some(ranks) = gaps_at(&self.entry, pos) {
                self.bring(&Part::Ranks(ranks));
            }
        }
    }

    /// Brings a part in from the store.
    pub(super) fn bring(&mut self, part: &Part) {
        loop {
            let wants = self.entry.wants(part, self.limits.seed, 16);
            if wants.is_empty() {
                return;
            }
            for want in wants {
                let is_wanted = |key: &Key| match (&want, key) {
                    (Want::Row(hash, name), Key::Hashed(other, of)) => hash == other && **name == of[..],
                    (Want::Hashes(from, _), Key::Hashed(hash, _)) => from <= hash,
                    (Want::Between(Edge::Scored(order, from), Edge::Scored(upto, to)), Key::Scored(score, member)) => {
                        let order_of = crate::value::wide::score_order(score.0);
                        (*order, &from[..]) <= (order_of, &member[..]) && (order_of, &member[..]) <= (*upto, &to[..])
                    }
                    (Want::Between(Edge::Placed(from), Edge::Placed(to)), Key::Placed(pos)) => from <= pos && pos <= to,
                    _ => false,
                };
                let most = if let Want::Hashes(_, count) = &want { *count } else { usize::MAX };
                let rows: Vec<_> = self.store.iter().filter(|(key, _)| is_wanted(key)).take(most).collect();
                for (key, said) in rows {
                    let (key, content) = read(key, said);
                    self.entry.arrive(&key, content).expect("what is away has rows");
                }
                match want {
                    Want::Row(_, name) => self.entry.note_vacant(&name, true),
                    Want::Between(first, last) => assert!(self.entry.is_filled(&first, &last), "{first:?} {last:?}"),
                    Want::Hashes(..) if *part != Part::Whole => return,
                    Want::Hashes(..) => assert!(!self.entry.is_partly_away()),
                }
            }
            if matches!(part, Part::Named(_)) {
                assert!(self.entry.wants(part, self.limits.seed, 16).is_empty(), "what was looked for is known");
            }
        }
    }

    /// What is read by rank is what is read where all is; but if rows must be read for it first, it is said to be away.
    fn is_same<T: PartialEq + Debug>(&self, ranks: &Range<usize>, [here, warm]: [Result<T, Away>; 2]) {
        let wants = self.entry.wants(&Part::Ranks(ranks.clone()), self.limits.seed, usize::MAX);
        assert_eq!(here, if wants.is_empty() { warm } else { Err(Away(ranks.clone())) });
    }

    fn are_ranks_right(&self, ranks: Range<usize>) {
        let at = ranks.start;
        if let (Some(here), Some(warm)) = (self.entry.list(), self.warm.list()) {
            self.is_same(&(at..at + 1), [here, warm].map(|list| list.get(at)));
            self.is_same(&(at..at + 1), [here, warm].map(|list| list.position_of(at)));
            let values = |list: ListRef<'_>| list.range(ranks.clone()).map(|all| all.map(<[u8]>::to_vec).collect());
            self.is_same::<Vec<_>>(&ranks, [here, warm].map(values));
            let positions = |list: ListRef<'_>| list.positions(ranks.clone()).map(Iterator::collect);
            self.is_same::<Vec<_>>(&ranks, [here, warm].map(positions));
            self.is_same(&ranks, [here, warm].map(|list| list.runs(ranks.clone())));
        }
        if let (Some(here), Some(warm)) = (self.entry.zset(), self.warm.zset()) {
            self.is_same(&(at..at + 1), [here.by_rank(at), warm.by_rank(at)]);
            let members = |zset: ZSetRef<'_>| {
                let both = zset.range(ranks.clone()).and_then(|all| Ok((all, zset.range(ranks.clone())?)));
                let named = |(member, score): (&[u8], f64)| (member.to_vec(), score);
                both.map(|(all, other)| (all.map(named).collect(), other.rev().map(named).collect()))
            };
            self.is_same::<(Vec<_>, Vec<_>)>(&ranks, [here, warm].map(members));
        }
    }

    /// What is in memory shows the same as where all is, by rank and by name; what is not is said to be missing.
    pub(super) fn are_reads_right(&self) {
        let len = crate::shard::weight(&self.warm);
        for at in (0..len).step_by(1 + len / 40) {
            // Few neighbours, and so many that all of a gap may lie between them.
            [1, 3, 40].into_iter().for_each(|most| self.are_ranks_right(at..(at + most).min(len)));
            if let (Some(here), Some(warm)) = (self.entry.zset(), self.warm.zset()) {
                let (member, score) = warm.by_rank(at).unwrap().expect("a rank below the length");
                if here.score(member).is_some() && here.lacks_beside(member).is_none() {
                    assert_eq!(here.rank(member), Some(at));
                }
                let bounds = (ScoreBound::Exclusive(score), ScoreBound::Inclusive(score + 3.0));
                if here.lacks_scores(bounds.0, bounds.1).is_none() {
                    assert_eq!(here.score_range(bounds.0, bounds.1), warm.score_range(bounds.0, bounds.1));
                }
            }
        }
        for n in 0..60 {
            let id = name(n);
            if let (Some(here), Some(warm)) = (self.entry.hash(), self.warm.hash())
                && !here.lacks(&id)
            {
                assert_eq!(here.get(&id), warm.get(&id));
            }
            if let (Some(here), Some(warm)) = (self.entry.set(), self.warm.set())
                && !here.lacks(&id)
            {
                assert_eq!(here.contains(&id), warm.contains(&id));
            }
            if let (Some(here), Some(warm)) = (self.entry.zset(), self.warm.zset())
                && !here.lacks(&id)
            {
                assert_eq!(here.score(&id).map(f64::to_bits), warm.score(&id).map(f64::to_bits));
                if here.lacks_beside(&id).is_none() {
                    assert_eq!(here.rank(&id), warm.rank(&id), "the rank of {n}");
                }
            }
        }
    }

    pub(super) fn shed(&mut self) {
        let ends = |entry: &Entry| entry.list().map(|list| (list.first(), list.last()));
        loop {
            let before = ends(&self.entry);
            let shed = self.entry.shed(&self.partly);
            assert!(shed.elements == 0 || !self.entry.is_frozen());
            assert_eq!(ends(&self.entry), before, "the ends of a list, where most work is, stay");
            let Some(Want::Between(first, last)) = shed.fill else { return };
            // As whoever sheds does: it is read, and gone on with.
            let rows = self.store.clone();
            for (key, said) in &rows {
                let is_between = match (&first, &last, key) {
                    (Edge::Scored(order, from), Edge::Scored(upto, to), Key::Scored(score, member)) => {
                        let order_of = crate::value::wide::score_order(score.0);
                        (*order, &from[..]) <= (order_of, &member[..]) && (order_of, &member[..]) <= (*upto, &to[..])
                    }
                    _ => false,
                };
                if is_between {
                    let (key, content) = read(key, said);
                    self.entry.arrive(&key, content).expect("what is away has rows");
                }
            }
            assert!(self.entry.is_filled(&first, &last));
        }
    }

    /// Goes on with a value whose elements are at rest, if it may be.
    pub(super) fn rest(&mut self) {
        self.write_all();
        let Some(incarnation) = self.incarnation else { return };
        let bytes = |said: &Said| if let Said::Bytes(bytes) = said { bytes.clone() } else { Vec::new() };
        let fences: Vec<Vec<u8>> = self.fences.values().map(bytes).collect();
        let (kind, len) = (self.entry.kind(), len_of(&self.store));
        let of = AtRestValue { kind, incarnation, len, fences: &fences };
        let made =
            Entry::away_all(self.warm.key(), None, &of, self.limits.seed, &self.partly).expect("fences are right");
        let Some(made) = made else { return };
        assert_eq!(made.away(), len);
        self.entry = made;
        let ends: Vec<Want> = self.entry.wants_first();
        if !ends.is_empty() {
            [0..1, len - 1..len].into_iter().for_each(|ranks| self.bring(&Part::Ranks(ranks)));
        }
        // What was taken back would need other elements.
        self.undo.clear();
    }

    /// Whether the fences are those of the rows.
    pub(super) fn are_fences_right(&self) {
        let len = len_of(&self.store);
        let kind = self.entry.kind();
        if len < crate::value::away::PARTLY_LEAST || matches!(kind, Kind::String | Kind::Set) {
            return assert!(self.fences.is_empty(), "a value with {len} elements has fences");
        }
        let bytes = |said: &Said| if let Said::Bytes(bytes) = said { bytes.clone() } else { Vec::new() };
        let rows: Vec<Vec<u8>> = self.fences.values().map(bytes).collect();
        assert!(self.fences.keys().zip(0..).all(|(key, n)| *key == Key::Fences(n)), "a row of fences is missing");
        let of = AtRestValue { kind, incarnation: 1, len, fences: &rows };
        let made = Entry::away_all(b"key", None, &of, self.limits.seed, &self.partly).expect("fences are right");
        if kind == Kind::Hash {
            // Fields that are away have no deadline: such a hash comes as a whole.
            let has_deadlines = self.store.values().any(|said| matches!(said, Said::Field(_, Some(_))));
            return assert_eq!((rows.len(), made.is_none()), (1, has_deadlines));
        }
        let made = made.unwrap_or_else(|| panic!("the fences of {len} elements count others"));
        // Each holds as many rows as it says: what was wanted has come, and nothing else was left.
        let mut other = Self::new(kind, 0);
        (other.entry, other.store) = (made, self.store.clone());
        other.bring(&Part::Whole);
        assert!(!other.entry.is_partly_away());
        other.entry.validate();
    }
}

/// The gap in which a position lies, as ranks.
fn gaps_at(entry: &Entry, pos: &ListPos) -> Option<Range<usize>> {
    let Entry::Big(_, big) = entry else { return None };
    if let Value::List(list) = &big.value { list.gaps_between(pos, pos) } else { None }
}
