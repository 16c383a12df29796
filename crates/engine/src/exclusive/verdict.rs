//! A verdict: logged by whoever has found it, and carried out where it is logged.

use std::sync::Arc;

use effect::codec::DotShape;
use effect::{Batch, BatchBuf, Dot, Effect, Hlc, KeyspaceId, Op, Seq};
use thiserror::Error;
use wal::Position;

use super::{Later, Pending, lock_names, prepare, preview};
use crate::apply::apply;
use crate::context::{Committed, Context};
use crate::echo::Echo;
use crate::engine::{Engine, Shared};
use crate::error::{OpenError, Refusal};
use crate::feed::FeedError;
use crate::guards::Guards;
use crate::residency::ReadError;
use crate::shard::DbKey;
use crate::state::State;
use crate::suffix;

/// Why a verdict was not logged.
#[derive(Debug, Error)]
pub enum VerdictError {
    /// The log does not take it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// What came of the keys meanwhile cannot be read back.
    #[error("what a transaction had not observed could not be read: {0}")]
    Later(#[from] FeedError),
    /// What it changes is at rest, and cannot be read.
    #[error("what a transaction changes could not be read: {0}")]
    Rest(String),
}

impl From<ReadError> for VerdictError {
    fn from(error: ReadError) -> Self {
        Self::Rest(error.to_string())
    }
}

/// A verdict that was logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// The transaction.
    pub bind: Dot,
    /// How it ended.
    pub committed: bool,
    /// The ballot at which that was found.
    pub ballot: u64,
    /// The effect that says so.
    pub dot: Dot,
}

/// A transaction about to be decided, with all that is needed for it: carrying it out cannot fail.
pub(crate) struct Ruling {
    pending: Arc<Pending>,
    committed: bool,
    later: Later,
}

impl Ruling {
    /// Of a transaction whose keys are locked; none if it is decided already, or not known.
    pub(crate) fn new(
        shared: &Shared,
        guards: &mut Guards<'_>,
        bind: Dot,
        committed: bool,
    ) -> Result<Option<Self>, VerdictError> {
        let Some(pending) = shared.exclusives.find(bind).filter(|pending| pending.outcome.is_none()) else {
            return Ok(None);
        };
        let mut later = Later::default();
        if committed {
            prepare(shared, guards, effects_of(&pending).iter().map(|(_, _, effect)| effect))?;
            let context = &pending.context;
            if pending.written.iter().any(|(name, _)| suffix::has_unobserved(guards, shared, name, context)) {
                later = Later::read(shared, &pending, None)?;
                let of_key = |(name, _): &(DbKey, _)| {
                    let later = later.of_key(name, context);
                    prepare(shared, guards, later.iter().map(|(_, _, _, effect)| effect))
                };
                pending.written.iter().try_for_each(of_key)?;
            }
        }
        Ok(Some(Self { pending, committed, later }))
    }

    /// Makes it visible, or drops it. Whoever watches its keys, waits for them, or wants events is told; the verdict is at `position`.
    pub(crate) fn carry_out(&self, state: &mut State<'_>, position: Position, ready: &mut Vec<DbKey>) {
        // What was shown has been told of.
        let is_news = self.committed && self.pending.shown.is_none();
        let effects = if is_news { effects_of(&self.pending) } else { Vec::new() };
        let told = tell(state, &effects, position, |state| self.carry_out_silently(state.shared, &mut state.guards));
        ready.extend(told);
    }

    /// The same where nobody listens: at a start.
    pub(crate) fn carry_out_silently(&self, shared: &Shared, guards: &mut Guards<'_>) {
        if self.committed {
            suffix::commit(guards, shared, &self.pending, &effects_of(&self.pending), &self.later);
        }
    }
}

/// Makes effects visible by `carry_out`, tells whoever watches their keys or wants events, and answers the keys that clients wait for.
pub(super) fn tell(
    state: &mut State<'_>,
    effects: &[(Dot, Hlc, Effect<'_>)],
    position: Position,
    carry_out: impl FnOnce(&mut State<'_>),
) -> Vec<DbKey> {
    let (shared, mut ready) = (state.shared, Vec::new());
    let effects: Vec<_> = effects.iter().map(|(_, _, effect)| effect).collect();
    let is_first = |n: usize| effects[..n].iter().all(|one| (one.db, one.key) != (effects[n].db, effects[n].key));
    let begin = |state: &State<'_>, n: usize| Echo::begin(shared, &state.guards, effects[n], state.now_ms());
    let before: Vec<_> = (0..effects.len()).map(|n| is_first(n).then(|| begin(state, n))).collect();
    carry_out(state);
    for (n, echo) in before.into_iter().enumerate() {
        // What comes later on the key found it as it is.
        echo.unwrap_or_else(|| begin(state, n)).into_iter().for_each(|echo| echo.tell(shared, &state.guards, position));
    }
    if shared.has_listeners() {
        effects.iter().for_each(|effect| state.tell_listeners(effect, |db| shared.logical(db), &mut ready));
    }
    ready
}

/// A verdict that is read back at a start; `dot` is the effect with it, where there are other replicas.
pub(crate) fn at_start(shared: &Shared, decided: &Decided, is_group: bool) -> Result<(), OpenError> {
    let Decided { bind, committed, .. } = *decided;
    let mut guards = lock_names(shared, &names_of(shared, bind));
    let unreadable =
        |error: VerdictError| OpenError::Damaged { path: shared.dir.join("log"), reason: error.to_string() };
    if let Some(ruling) = Ruling::new(shared, &mut guards, bind, committed).map_err(unreadable)? {
        match is_group {
            true => ruling.carry_out_silently(shared, &mut guards),
            false if committed => {
                effects_of(&ruling.pending).iter().for_each(|(_, _, effect)| apply(&mut guards, shared, effect, None));
            }
            false => {}
        }
    }
    shared.exclusives.decided(decided);
    Ok(())
}

/// What a transaction does, behind its bind.
pub(super) fn effects_of(pending: &Pending) -> Vec<(Dot, Hlc, Effect<'_>)> {
    let batch = Batch::decode(&pending.batch).expect("it was read when it was logged");
    let effects = (0..).zip(batch.effects().flatten()).skip(1);
    effects.map(|(n, effect)| (Dot { seq: batch.first.seq + n, ..batch.first }, batch.hlc.plus(n), effect)).collect()
}

/// The keys that a verdict makes visible.
pub(crate) fn names_of(shared: &Shared, bind: Dot) -> Vec<DbKey> {
    let pending = shared.exclusives.find(bind);
    pending.map_or_else(Vec::new, |pending| pending.written.iter().map(|(name, _)| name.clone()).collect())
}

impl Engine {
    /// Logs the verdict on a transaction as an effect of this node, and carries it out. `None` if it has been logged here already, by
    /// whomever: several verdicts agree. One that has failed and is shown is undone first, as [`Engine::undo`] does it.
    pub fn emit_verdict(
        &self,
        bind: Dot,
        committed: bool,
        ballot: u64,
    ) -> Result<Option<(Decided, Committed)>, VerdictError> {
        let shared = &*self.shared;
        let is_undone = !committed && shared.exclusives.is_shown(bind);
        let undone = if is_undone { self.undo(bind)? } else { Vec::new() };
        let names = names_of(shared, bind);
        let mut state = State::new(shared, lock_names(shared, &names), None, self.now_ms(), 0);
        let rule = |state: &mut State<'_>| self.emit_ruled(state, (bind, committed, ballot));
        let mut ruled = preview::ruled(&mut state, (bind, committed), &names, rule)?;
        if let Some((_, logged)) = &mut ruled {
            logged.ready.extend(undone);
        }
        Ok(ruled)
    }

    /// The same, of a transaction whose keys are locked and as they are without what is shown.
    fn emit_ruled(
        &self,
        state: &mut State<'_>,
        (bind, committed, ballot): (Dot, bool, u64),
    ) -> Result<Option<(Decided, Committed)>, VerdictError> {
        let shared = state.shared;
        let Some(ruling) = Ruling::new(shared, &mut state.guards, bind, committed)? else { return Ok(None) };
        let mut batch = BatchBuf::new(shared.group, shared.origin());
        let op = Op::Verdict { bind, committed, ballot };
        let deps = Seq::empty(DotShape);
        batch.push(&Effect { keyspace: KeyspaceId::DEFAULT, db: 0, key: b"", fresh: false, deps, op });
        let logged = Context::log(shared, state.now_ms, &mut batch)?;
        let dot = Dot { origin: shared.origin(), seq: logged.seq };
        let mut ready = Vec::new();
        ruling.carry_out(state, logged.position, &mut ready);
        let decided = Decided { bind, committed, ballot, dot };
        shared.exclusives.decided(&decided);
        state.set_applied(logged.position);
        Ok(Some((decided, Committed { position: logged.position, ready, after: None })))
    }

    /// Whether there is any that not everybody has seen the verdict on.
    #[inline]
    pub fn has_exclusives(&self) -> bool {
        self.shared.exclusives.is_any()
    }

    /// The transactions whose verdict has not come, or not to everybody: what their desk must know of after a start. Each is its
    /// batch, which begins with the bind, and its first verdict here.
    pub fn transactions(&self) -> Vec<(Arc<[u8]>, Option<Decided>)> {
        let decided = |pending: &Pending| {
            let ((committed, ballot), dot) = (pending.outcome?, *pending.verdicts.first()?);
            Some(Decided { bind: pending.first, committed, ballot, dot })
        };
        self.shared.exclusives.all().iter().map(|pending| (Arc::clone(&pending.batch), decided(pending))).collect()
    }

    /// How many of them are undecided.
    pub fn undecided_count(&self) -> usize {
        self.shared.exclusives.open().0
    }

    /// Whether one is undecided and not shown: somebody waits for it.
    pub fn has_unseen(&self) -> bool {
        self.shared.exclusives.open().1 > 0
    }

    /// Whether an unsafe one writes the key, and one is undecided and not shown here: other nodes may show it already.
    pub fn may_be_shown_elsewhere(&self, name: &DbKey) -> bool {
        let exclusives = &self.shared.exclusives;
        exclusives.is_unsure(name.0, &name.1) && exclusives.clashes(true, std::iter::once((name, false)))
    }

    /// Those of them that are undecided, by their binds.
    pub fn undecided(&self) -> Vec<Dot> {
        self.shared.exclusives.undecided().iter().map(|pending| pending.first).collect()
    }
}
