//! A bind as consensus sees it: an exclusive transaction's keys, what it had observed, and who votes on it.

use std::sync::Arc;

use effect::{Dot, Hlc, KeyspaceId, Origin, Stamp, Vector, fork_choice_hash};

use crate::bind::ballot::{NodeId, Voters};
use crate::bind::limits::MAX_KEYS;
use crate::bind::safety::Safety;

/// A key of the database.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Its keyspace.
    pub keyspace: KeyspaceId,
    /// Its physical database.
    pub db: u8,
    /// Its name.
    pub name: Arc<[u8]>,
}

impl Key {
    /// The key with this name in database 0 of the default keyspace.
    pub fn named(name: &[u8]) -> Self {
        Self { keyspace: KeyspaceId::DEFAULT, db: 0, name: name.into() }
    }
}

/// What a transaction did with a key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyUse {
    /// The key.
    pub key: Key,
    /// It read or watched it.
    pub read: bool,
    /// It writes it.
    pub written: bool,
}

impl KeyUse {
    /// A key that is only read.
    pub fn read(key: Key) -> Self {
        Self { key, read: true, written: false }
    }

    /// A key that is only written.
    pub fn written(key: Key) -> Self {
        Self { key, read: false, written: true }
    }
}

/// An exclusive transaction. An EXEC without WATCH is none, and never comes here.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bind {
    dot: Dot,
    fork: [u8; 32],
    voters: Voters,
    keys: Vec<KeyUse>,
    context: Vec<Dot>,
    safety: Safety,
}

impl Bind {
    /// The bind with this dot and stamp, over `keys`, whose writer had observed `context`. `None` if its keys are too many.
    pub fn new(
        (dot, stamp): (Dot, Stamp),
        voters: Voters,
        context: &Vector,
        mut keys: Vec<KeyUse>,
        safety: Safety,
    ) -> Option<Self> {
        keys.sort_unstable();
        keys.dedup_by(|next, kept| {
            let same = next.key == kept.key;
            if same {
                kept.read |= next.read;
                kept.written |= next.written;
            }
            same
        });
        let fork = fork_choice_hash(stamp.origin.node(), stamp.hlc);
        let whole = Self { dot, fork, voters, keys, context: context.iter().collect(), safety };
        (whole.keys.len() <= MAX_KEYS).then_some(whole)
    }

    /// The same from the effect as it is logged and shipped. `None` for one that is not exclusive.
    pub fn of(dot: Dot, hlc: Hlc, bind: &effect::Bind<'_>) -> Option<Self> {
        let key = |key: effect::codec::BindKey<'_>| KeyUse {
            key: Key { keyspace: key.keyspace, db: key.db, name: key.key.into() },
            read: key.read,
            written: key.written,
        };
        let safety = if bind.is_unsafe { Safety::Unsafe } else { Safety::Safe };
        let (voters, context) = (Voters::new(bind.voters.iter())?, bind.context.iter().collect());
        let keys = bind.keys.iter().map(key).collect();
        bind.exclusive.then(|| Self::new((dot, Stamp::new(dot, hlc)), voters, &context, keys, safety))?
    }

    /// The bind with this rank; its keys ascend.
    pub(crate) fn ranked(rank: Rank, voters: Voters, context: &Vector, keys: Vec<KeyUse>, safety: Safety) -> Self {
        let Rank { fork, dot } = rank;
        Self { dot, fork, voters, keys, context: context.iter().collect(), safety }
    }

    /// What its writer had observed.
    pub fn context(&self) -> Vector {
        self.context.iter().copied().collect()
    }

    /// Its identity.
    pub fn dot(&self) -> Dot {
        self.dot
    }

    /// The node that it was begun on.
    pub fn originator(&self) -> NodeId {
        self.dot.origin.node()
    }

    /// Who decides it: the voters of its epoch, for ever.
    pub fn voters(&self) -> &Voters {
        &self.voters
    }

    /// Its keys, each once, ascending.
    pub fn keys(&self) -> &[KeyUse] {
        &self.keys
    }

    /// How safe it is.
    pub fn safety(&self) -> Safety {
        self.safety
    }

    /// What fork choice goes by, lowest first. The dot tells two apart that share a hash.
    pub fn rank(&self) -> Rank {
        Rank { fork: self.fork, dot: self.dot }
    }

    /// Whether its writer had observed that effect.
    pub fn observed(&self, dot: Dot) -> bool {
        (dot.origin == self.dot.origin && dot.seq < self.dot.seq) || self.context_of(dot.origin) >= dot.seq
    }

    /// Up to which effect of an origin no bind can compete with it: what its writer had observed, and all of its own.
    pub(crate) fn known(&self, origin: Origin) -> u64 {
        if origin == self.dot.origin { u64::MAX } else { self.context_of(origin) }
    }

    fn context_of(&self, origin: Origin) -> u64 {
        let found = self.context.binary_search_by_key(&origin, |dot| dot.origin);
        found.map_or(0, |at| self.context[at].seq)
    }

    /// How many effects its writer had observed: more than that of any bind that it had observed.
    pub(crate) fn observed_count(&self) -> u128 {
        self.context.iter().map(|dot| u128::from(dot.seq)).sum()
    }

    /// Whether its writer had observed something of this life of a node, or of a later one, or was it.
    pub fn observed_life(&self, life: Origin) -> bool {
        let is_later = |origin: Origin| origin.node() == life.node() && origin >= life;
        is_later(self.dot.origin) || self.context.iter().any(|dot| is_later(dot.origin))
    }

    /// Whether at most one of both may commit: one writes a key that the other uses, and neither had observed the other.
    pub fn competes(&self, other: &Bind) -> bool {
        self.dot != other.dot
            && !self.observed(other.dot)
            && !other.observed(self.dot)
            && clash(&self.keys, &other.keys)
    }
}

/// Whether one of two transactions writes a key that the other uses. Both lists ascend.
pub fn clash(a: &[KeyUse], b: &[KeyUse]) -> bool {
    let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
    while let (Some(x), Some(y)) = (a.peek(), b.peek()) {
        match x.key.cmp(&y.key) {
            std::cmp::Ordering::Less => drop(a.next()),
            std::cmp::Ordering::Greater => drop(b.next()),
            std::cmp::Ordering::Equal if x.written || y.written => return true,
            std::cmp::Ordering::Equal => drop((a.next(), b.next())),
        }
    }
    false
}

/// The order of fork choice: the lower one is preferred.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rank {
    pub(crate) fork: [u8; 32],
    pub(crate) dot: Dot,
}

impl Rank {
    /// Whose rank it is.
    pub fn dot(&self) -> Dot {
        self.dot
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn dot(node: u64, seq: u64) -> Dot {
        Dot { origin: Origin::new(node, 1), seq }
    }

    /// A bind over keys named like `"a"` (read and written), `"<a"` (read), `">a"` (written).
    pub(crate) fn bind(at: Dot, context: &[Dot], keys: &[&str], safety: Safety) -> Bind {
        let key = |name: &&str| match name.as_bytes() {
            [b'<', rest @ ..] => KeyUse::read(Key::named(rest)),
            [b'>', rest @ ..] => KeyUse::written(Key::named(rest)),
            both => KeyUse { read: true, ..KeyUse::written(Key::named(both)) },
        };
        let voters = Voters::new(1..=3).expect("voters");
        let stamp = Stamp::new(at, Hlc::at_ms(at.seq as i64));
        let context = context.iter().copied().collect();
        Bind::new((at, stamp), voters, &context, keys.iter().map(key).collect(), safety).expect("few keys")
    }

    #[test]
    fn binds_compete_if_one_writes_what_the_other_uses_and_neither_saw_the_other() {
        let of = |at, context: &[Dot], keys: &[&str]| bind(at, context, keys, Safety::Safe);
        let a = of(dot(1, 5), &[], &["<x", ">y"]);
        for (keys, expected) in [
            (&[">x"][..], true),
            (&["<y"], true),
            (&[">y"], true),
            (&["<x"], false),
            (&["<x", "z"], false),
            (&["<a", "<x", "y"], true),
            (&[], false),
        ] {
            let b = of(dot(2, 5), &[], keys);
            assert_eq!((a.competes(&b), b.competes(&a)), (expected, expected), "{keys:?}");
        }
        assert!(!a.competes(&of(dot(2, 5), &[dot(1, 5)], &["x"])), "the other saw it");
        assert!(a.competes(&of(dot(2, 5), &[dot(1, 4)], &["x"])), "the other saw only what was before");
        assert!(!a.competes(&of(dot(1, 6), &[], &["y"])), "an origin has seen all that it wrote");
        assert!(!a.competes(&a));
    }

    #[test]
    fn keys_named_twice_are_one() {
        let b = bind(dot(1, 1), &[], &["<x", ">x", "<x"], Safety::Safe);
        assert_eq!(b.keys(), [KeyUse { read: true, ..KeyUse::written(Key::named(b"x")) }]);
    }

    #[test]
    fn an_effect_that_is_not_exclusive_never_comes_here() {
        use effect::codec::{BindKey, BindKeyShape, DotShape, NodeShape};
        let mut keys = effect::SeqBuf::new(BindKeyShape);
        let (keyspace, db, key) = (KeyspaceId::DEFAULT, 3, &b"k"[..]);
        keys.push(BindKey { written: true, read: false, keyspace, db, key, left: None });
        let mut voters = effect::SeqBuf::new(NodeShape);
        voters.push(1);
        let mut context = effect::SeqBuf::new(DotShape);
        context.push(dot(2, 9));
        let of = |exclusive| {
            let (voters, context) = (voters.seq(), context.seq());
            let effect = effect::Bind { exclusive, is_unsafe: true, voters, context, keys: keys.seq() };
            Bind::of(dot(1, 1), Hlc(7), &effect)
        };
        assert_eq!(of(false), None);
        let bind = of(true).expect("exclusive");
        assert_eq!(bind.keys(), [KeyUse::written(Key { keyspace, db, name: key.into() })]);
        assert_eq!(bind.rank().fork, fork_choice_hash(1, Hlc(7)));
        assert_eq!((bind.safety(), bind.voters()), (Safety::Unsafe, &Voters::new([1]).expect("one")));
        assert!(bind.observed(dot(2, 9)) && !bind.observed(dot(2, 10)));
    }
}
