//! The binds that a node knows, and who competes with whom.
//!
//! *Invariant:* a bind is in the index under each of its keys as long as it is in the table, and nowhere else.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use effect::{Dot, Origin, Vector};

use crate::bind::ballot::{Ballot, NodeId};
use crate::bind::message::Vote;
use crate::bind::proposer::{Begun, Recovery};
use crate::bind::safety::Safety;
use crate::bind::settling::Settling;
use crate::bind::transaction::{Bind, Key, KeyUse, clash};

/// A bind with all that a node knows of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Held {
    pub(crate) bind: Arc<Bind>,
    /// A plain write that is concurrent with it was there before it.
    pub(crate) plain: bool,
    /// The voter takes part in no lower ballot, of it or of a competitor.
    pub(crate) promised: Ballot,
    /// The last value that the voter accepted.
    pub(crate) accepted: Option<Vote>,
    /// The verdict.
    pub(crate) decided: Option<Vote>,
    /// The effect that carries the verdict.
    pub(crate) verdict: Option<Dot>,
    /// A client waits for it here, or has.
    pub(crate) begun: Option<Begun>,
    /// The ballot at which this node tries to decide it.
    pub(crate) recovery: Option<Recovery>,
    /// Those that have forgotten what they said of it, as this node has.
    pub(crate) forgot: BTreeSet<NodeId>,
    /// How often this node has tried.
    pub(crate) attempts: u32,
    /// When something is to be done about it.
    pub(crate) next_ms: u64,
    /// Unsafe only: a competitor is preferred.
    pub(crate) beaten: Option<Dot>,
    /// Unsafe only: it was shown as committed, or as lost.
    pub(crate) shown: Option<bool>,
    /// Unsafe only: it was shown as committed before it was shown as lost, which is reported.
    pub(crate) undone: bool,
}

impl Held {
    fn new(bind: Arc<Bind>) -> Self {
        Self {
            bind,
            plain: false,
            promised: Ballot::ORIGINATOR,
            accepted: None,
            decided: None,
            verdict: None,
            begun: None,
            recovery: None,
            forgot: BTreeSet::new(),
            attempts: 0,
            next_ms: 0,
            beaten: None,
            shown: None,
            undone: false,
        }
    }

    /// The node that it was begun on.
    pub(crate) fn originator(&self) -> NodeId {
        self.bind.originator()
    }

    /// Its verdict.
    pub(crate) fn committed(&self) -> Option<bool> {
        self.decided.map(|vote| vote.commit)
    }

    /// The voter holds it as accepted, and does not know better.
    pub(crate) fn holds_commit(&self) -> bool {
        self.decided.is_none() && self.accepted.is_some_and(|vote| vote.commit)
    }

    /// Readers may go by it: its verdict is an effect here, or it was shown.
    pub(crate) fn settled(&self) -> bool {
        match self.bind.safety() {
            Safety::Safe => self.verdict.is_some(),
            Safety::Unsafe => self.shown.is_some(),
        }
    }
}

/// All of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Table {
    binds: BTreeMap<Dot, Held>,
    by_key: BTreeMap<Key, BTreeSet<Dot>>,
    /// Those without a verdict, or not shown.
    open: BTreeSet<Dot>,
    /// Unsafe ones without a verdict, shown or not.
    pub(crate) settling: Settling,
    /// Those with a verdict.
    settled: BTreeSet<Dot>,
}

impl Table {
    pub(crate) fn get(&self, dot: Dot) -> Option<&Held> {
        self.binds.get(&dot)
    }

    pub(crate) fn get_mut(&mut self, dot: Dot) -> Option<&mut Held> {
        self.binds.get_mut(&dot)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Held> {
        self.binds.values()
    }

    /// Those that are not decided or shown yet.
    pub(crate) fn open(&self) -> impl Iterator<Item = &Held> {
        self.open.iter().filter_map(|dot| self.binds.get(dot))
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.binds.len()
    }

    /// How many are not decided or shown yet.
    pub(crate) fn open_len(&self) -> usize {
        self.open.len()
    }

    /// Those whose verdict is an effect here.
    pub(crate) fn settled(&self) -> impl Iterator<Item = &Held> {
        self.settled.iter().filter_map(|dot| self.binds.get(dot))
    }

    /// All of this is stable.
    pub(crate) fn note_stable(&mut self, stable: &Vector) {
        self.settling.stable(stable).into_iter().for_each(|dot| self.wake(dot));
    }

    /// Something has changed for a bind, which is unsafe and without a verdict, or is not concerned.
    pub(crate) fn wake(&mut self, dot: Dot) {
        let is_unsettled = |held: &&Held| held.bind.safety() == Safety::Unsafe && held.verdict.is_none();
        if let Some(held) = self.binds.get(&dot).filter(is_unsettled) {
            self.settling.wake(&held.bind);
        }
    }

    /// The verdict on a bind is an effect here.
    pub(crate) fn settle(&mut self, dot: Dot) {
        let Some(held) = self.binds.get(&dot) else { return };
        self.settled.insert(dot);
        self.settling.end(&held.bind, held.next_ms).into_iter().for_each(|behind| self.wake(behind));
    }

    /// A bind is decided or shown.
    pub(crate) fn close(&mut self, dot: Dot) {
        self.open.remove(&dot);
    }

    /// The bind, put there if it is not.
    pub(crate) fn put(&mut self, bind: &Arc<Bind>) -> &mut Held {
        let dot = bind.dot();
        if !self.binds.contains_key(&dot) {
            self.open.insert(dot);
            if bind.safety() == Safety::Unsafe {
                self.settling.begin(dot);
            }
            for used in bind.keys() {
                self.by_key.entry(used.key.clone()).or_default().insert(dot);
            }
        }
        self.binds.entry(dot).or_insert_with(|| Held::new(Arc::clone(bind)))
    }

    /// Forgets a bind.
    pub(crate) fn take(&mut self, dot: Dot) -> Option<Held> {
        self.settle(dot);
        let held = self.binds.remove(&dot)?;
        self.open.remove(&dot);
        self.settled.remove(&dot);
        for used in held.bind.keys() {
            if let Some(dots) = self.by_key.get_mut(&used.key) {
                dots.remove(&dot);
                if dots.is_empty() {
                    self.by_key.remove(&used.key);
                }
            }
        }
        Some(held)
    }

    /// The binds that use one of these keys.
    fn on<'a>(&self, keys: impl IntoIterator<Item = &'a Key>) -> impl Iterator<Item = &Held> {
        let dots: BTreeSet<Dot> = keys.into_iter().filter_map(|key| self.by_key.get(key)).flatten().copied().collect();
        dots.into_iter().filter_map(|dot| self.binds.get(&dot))
    }

    /// The binds that use a key.
    pub(crate) fn of_key(&self, key: &Key) -> impl Iterator<Item = &Held> {
        self.on([key])
    }

    /// The binds that a transaction over these keys would clash with if it had not observed them.
    pub(crate) fn clashing(&self, keys: &[KeyUse]) -> impl Iterator<Item = &Held> {
        self.on(keys.iter().map(|used| &used.key)).filter(|held| clash(held.bind.keys(), keys))
    }

    /// Those that a bind clashes with, but for the later ones of its own origin, from the last to the first.
    pub(crate) fn clashing_before<'t>(&'t self, bind: &'t Bind) -> impl Iterator<Item = &'t Held> {
        let (own, last) = (bind.dot(), Dot { seq: u64::MAX, ..bind.dot() });
        let of_key = move |dots: &'t BTreeSet<Dot>| {
            let others = dots.range((Bound::Excluded(last), Bound::Unbounded)).rev();
            others.chain(dots.range(..own).rev())
        };
        let dots = bind.keys().iter().filter_map(|used| self.by_key.get(&used.key)).flat_map(of_key);
        dots.filter_map(|dot| self.binds.get(dot)).filter(|held| clash(held.bind.keys(), bind.keys()))
    }

    /// The competitors of a bind.
    pub(crate) fn competitors(&self, bind: &Bind) -> impl Iterator<Item = &Held> {
        let dots: BTreeSet<Dot> = bind.keys().iter().flat_map(|used| self.unobserved(&used.key, bind)).collect();
        dots.into_iter().filter_map(|dot| self.binds.get(&dot)).filter(|held| held.bind.competes(bind))
    }

    /// The binds that use a key and that the writer of `bind` had not observed, those of its own origin aside. Those that it had are passed
    /// over, not gone through.
    fn unobserved<'t>(&'t self, key: &Key, bind: &'t Bind) -> impl Iterator<Item = Dot> {
        let dots = self.by_key.get(key);
        let mut from = Some(Dot { origin: Origin(0), seq: 0 });
        std::iter::from_fn(move || {
            loop {
                let dot = *dots?.range(from?..).next()?;
                let known = bind.known(dot.origin);
                if dot.seq > known {
                    from = dot.seq.checked_add(1).map(|seq| Dot { seq, ..dot });
                    return Some(dot);
                }
                from = match known.checked_add(1) {
                    Some(seq) => Some(Dot { seq, ..dot }),
                    None => dot.origin.0.checked_add(1).map(|origin| Dot { origin: Origin(origin), seq: 0 }),
                };
            }
        })
    }

    /// Its competitors that are as safe as it is.
    pub(crate) fn rivals(&self, bind: &Bind) -> impl Iterator<Item = &Held> {
        let safety = bind.safety();
        self.competitors(bind).filter(move |held| held.bind.safety() == safety)
    }

    /// The highest ballot that the voter has promised for a bind or one of its rivals, decided ones included: what came of a
    /// promise may rest on it as long as anybody remembers the bind.
    pub(crate) fn fence(&self, bind: &Bind) -> Ballot {
        let own = self.get(bind.dot()).map(|held| held.promised);
        self.rivals(bind).map(|held| held.promised).chain(own).max().unwrap_or_default()
    }
}
