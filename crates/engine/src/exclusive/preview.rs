//! Unsafe transactions that are seen here before the group has decided: shown, and undone if they lose. `suffix::preview` says how keys
//! are kept meanwhile.
//!
//! What is shown is not in the log: whoever decided on it, in its own journal, says so again after a start.
//!
//! Once much is shown, what is begun is safe: it waits for its verdict, and is not shown before. So nothing is answered before it is seen.
//!
//! *Invariant:* what has come since is read from the log only for those that are carried out on a copy, and in one pass for all of them: one
//! that had observed all that is shown on its keys, and one that commits before them, has nobody else's read.
//!
//! *Invariant:* a transaction is seen with all of its keys or with none, whoever looks.

use std::collections::HashMap;
use std::sync::Arc;

use effect::Dot;

use super::verdict::{effects_of, tell};
use super::{Later, Pending, VerdictError, lock_names, names_of};
use crate::engine::{Engine, Shared};
use crate::guards::Guards;
use crate::shard::DbKey;
use crate::state::State;
use crate::suffix::{self, Act};

impl Engine {
    /// Shows an unsafe transaction that is not decided: from now on readers here see it, and what is written here is written on it. Answers
    /// the keys that clients wait for. Nothing happens if it is shown already, is decided, or is not known.
    pub fn show(&self, bind: Dot) -> Result<Vec<DbKey>, VerdictError> {
        let shared = &*self.shared;
        let Some(pending) = open(shared, bind).filter(|pending| pending.shown.is_none()) else { return Ok(Vec::new()) };
        let names = names_of(shared, bind);
        let mut state = State::new(shared, lock_names(shared, &names), None, self.now_ms(), 0);
        for (db, key) in &names {
            let place = shared.place_of(key);
            if let Some(guard) = state.guards.get_mut(place.shard) {
                shared.fetch_whole_locked(guard, *db, place, key)?;
            }
        }
        let anew = suffix::anew_with(&state.guards, shared, (bind, &pending.context), &names);
        let pendings = others(shared, &state.guards, &anew);
        let own = [pending];
        let (act, acts) = {
            let lifted = suffix::lift(&mut state.guards, shared, &names);
            let found = acts(shared, &mut state.guards, &own).and_then(|own| {
                let others = acts(shared, &mut state.guards, &pendings)?;
                Ok((own, others))
            });
            suffix::exchange(&mut state.guards, shared, lifted.iter());
            found?
        };
        let Some(act) = act.first() else { return Ok(Vec::new()) };
        let position = shared.log.end();
        let ready =
            tell(&mut state, &act.effects, position, |state| suffix::show(&mut state.guards, shared, act, &acts));
        shared.exclusives.show(bind, true);
        Ok(ready)
    }

    /// Takes an unsafe transaction, which has lost, out of what readers here see; also one that is not shown: it will not be. Answers as
    /// [`Engine::show`] does.
    pub fn undo(&self, bind: Dot) -> Result<Vec<DbKey>, VerdictError> {
        let shared = &*self.shared;
        let Some(pending) = open(shared, bind) else { return Ok(Vec::new()) };
        let names = names_of(shared, bind);
        let mut state = State::new(shared, lock_names(shared, &names), None, self.now_ms(), 0);
        let effects = if pending.shown == Some(true) { effects_of(&pending) } else { Vec::new() };
        let position = shared.log.end();
        let mut undone = Ok(());
        let ready = tell(&mut state, &effects, position, |state| undone = end(state, (bind, false), &names));
        undone?;
        shared.exclusives.show(bind, false);
        Ok(ready)
    }
}

impl Engine {
    /// What is kept for transactions that are seen here and not decided, in bytes, beside what readers see.
    pub fn shown_bytes(&self) -> usize {
        self.shared.exclusives.shown_bytes()
    }

    /// The keys that a transaction writes, by logical database, as long as it is remembered.
    pub fn written_by(&self, bind: Dot) -> Vec<DbKey> {
        let names = names_of(&self.shared, bind);
        names.into_iter().map(|(db, key)| (self.shared.logical(db), key)).collect()
    }
}

/// The transaction, if it can be shown.
fn open(shared: &Shared, bind: Dot) -> Option<Arc<Pending>> {
    shared.exclusives.find(bind).filter(|pending| pending.is_unsafe && pending.outcome.is_none())
}

/// Decides on a transaction, whose keys are locked: `rule` sees them as they are without what is shown.
pub(crate) fn ruled<'s, T, E>(
    state: &mut State<'s>,
    outcome: (Dot, bool),
    names: &[DbKey],
    rule: impl FnOnce(&mut State<'s>) -> Result<T, E>,
) -> Result<T, E> {
    let shared = state.shared;
    suffix::exchange(&mut state.guards, shared, names.iter());
    let ruled = rule(state);
    match shared.exclusives.find(outcome.0).is_some_and(|pending| pending.outcome.is_some()) {
        false => suffix::exchange(&mut state.guards, shared, names.iter()),
        true => {
            if let Err(error) = end(state, outcome, names) {
                tracing::error!(%error, "transactions that were shown are not seen until they are decided");
            }
        }
    }
    ruled
}

/// The transactions that are shown on some of these keys.
fn others(shared: &Shared, guards: &Guards<'_>, names: &[DbKey]) -> Vec<Arc<Pending>> {
    let shown = suffix::shown_on(guards, shared, names.iter());
    shown.into_iter().filter_map(|bind| shared.exclusives.find(bind)).collect()
}

/// What they do, with what has come of those of their keys that are locked and was not observed by them: these are as they are without what
/// is shown.
fn acts<'p>(
    shared: &Shared,
    guards: &mut Guards<'_>,
    pendings: &'p [Arc<Pending>],
) -> Result<Vec<Act<'p>>, VerdictError> {
    let mut is_followed = |pending: &&'p Pending| {
        pending.written.iter().any(|(name, _)| suffix::has_unobserved(guards, shared, name, &pending.context))
    };
    let followed: Vec<&Pending> = pendings.iter().map(|pending| &**pending).filter(&mut is_followed).collect();
    let laters = Later::read_all(shared, &followed, None)?;
    let mut laters: HashMap<Dot, Later> = followed.iter().map(|pending| pending.first).zip(laters).collect();
    let act = |pending: &'p Arc<Pending>| {
        let Pending { first, context, written, .. } = &**pending;
        let later = laters.remove(first).unwrap_or_default();
        Act { bind: *first, context, written, effects: effects_of(pending), later }
    };
    Ok(pendings.iter().map(act).collect())
}

/// A transaction is decided, or is undone. Others that are shown on its keys and cannot be shown again are not seen any more.
fn end(state: &mut State<'_>, outcome: (Dot, bool), names: &[DbKey]) -> Result<(), VerdictError> {
    let (shared, guards) = (state.shared, &mut state.guards);
    let mut pendings = others(shared, guards, &suffix::anew_without(guards, shared, outcome, names));
    pendings.retain(|pending| pending.first != outcome.0);
    let lifted = suffix::lift(guards, shared, names);
    let acts = acts(shared, guards, &pendings);
    suffix::exchange(guards, shared, lifted.iter());
    match acts {
        Ok(acts) => {
            suffix::end(guards, shared, outcome, names, &acts);
            Ok(())
        }
        Err(error) => {
            suffix::end(guards, shared, outcome, names, &[]);
            Err(error)
        }
    }
}
