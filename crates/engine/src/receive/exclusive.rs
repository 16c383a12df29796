//! Exclusive transactions of other replicas, and their verdicts.

use effect::{Effects, Op, Origin, Stamp, Vector, WireError};

use super::run::Run;
use super::{ReceiveError, Received, log_run};
use crate::context::Committed;
use crate::engine::Shared;
use crate::error::Refusal;
use crate::exclusive::{Begun, Decided, Pending, Ruling, Serialized, bind_of, lock_names, names_of, place, ruled};
use crate::feed::Waymark;
use crate::shard::DbKey;
use crate::state::State;
use crate::suffix;

/// What a run that is alone has to do with exclusive transactions.
pub(super) enum Role {
    /// It is one.
    Bind,
    /// It decides one.
    Verdict(Decided),
    /// It says who leads the transactions of a key.
    Leader(Serialized),
    Plain,
}

impl Role {
    pub(super) fn of(run: &Run<'_>) -> Self {
        let (first, hlc) = (run.first.first, run.first.hlc);
        let Ok(effect) = Effects::first(first.origin, run.first.effects().rest()) else { return Self::Plain };
        match effect.op {
            Op::Bind(bind) if bind.exclusive => Self::Bind,
            Op::Verdict { bind, committed, ballot } => Self::Verdict(Decided { bind, committed, ballot, dot: first }),
            _ => Serialized::of(&effect, Stamp::new(first, hlc)).map_or(Self::Plain, Self::Leader),
        }
    }
}

/// Takes an exclusive transaction: it is logged, and kept until its verdict comes. `None`: it was here already.
pub(super) fn take_bind(shared: &Shared, run: &Run<'_>) -> Result<Option<Received>, ReceiveError> {
    let bind = bind_of(&run.first).ok_or(WireError::Invalid { what: "bind", at: 0 })?;
    let observed: Vector = bind.context.iter().collect();
    let keys = || bind.keys.iter().map(|key| (key.written, (key.db, key.key.into())));
    let names: Vec<DbKey> = keys().map(|(_, name)| name).collect();
    let mut guards = lock_names(shared, &names);
    // What is shown of others is no write.
    suffix::exchange(&mut guards, shared, names.iter());
    let mut unobserved = |name: &DbKey| suffix::has_unobserved(&mut guards, shared, name, &observed);
    let conflicts_with_plain = names.iter().any(&mut unobserved);
    let comes_before = keys().any(|(written, name)| written && unobserved(&name));
    suffix::exchange(&mut guards, shared, names.iter());
    // What it will come before may be in the log already, or may have been.
    let before = comes_before.then(|| mark_before(shared, &observed));
    let from = before.as_ref().and_then(Option::as_ref).map_or_else(|| shared.log.end(), |mark| mark.position);
    let hold = shared.kept.hold(&shared.log, from).map_err(Refusal::from)?;
    let mut here = None;
    let Some(position) = log_run(shared, run, |log| here = Some(place(shared, log)))? else { return Ok(None) };
    let pending = Pending::new(&run.first, &run.first.to_bytes(), before.unwrap_or(here))?;
    let batch = pending.batch.clone();
    shared.exclusives.put(pending, hold, position);
    drop(guards);
    let begun = Begun { bind: run.first.first, hlc: run.first.hlc, position, batch };
    Ok(Some(Received::Undecided { begun, conflicts_with_plain }))
}

/// Takes a verdict, and carries it out, unless it is against what is shown. `None`: it was here already.
pub(super) fn take_verdict(
    shared: &Shared,
    run: &Run<'_>,
    decided: Decided,
    now_ms: i64,
) -> Result<Option<Received>, ReceiveError> {
    if !decided.committed && shared.exclusives.is_shown(decided.bind) {
        return Ok(Some(Received::Shown(decided.bind)));
    }
    let (names, outcome) = (names_of(shared, decided.bind), (decided.bind, decided.committed));
    let mut state = State::new(shared, lock_names(shared, &names), None, now_ms, 0);
    ruled(&mut state, outcome, &names, |state| {
        let ruling = Ruling::new(shared, &mut state.guards, decided.bind, decided.committed)?;
        let Some(position) = log_run(shared, run, |_| ())? else { return Ok(None) };
        let mut ready = Vec::new();
        ruling.iter().for_each(|ruling| ruling.carry_out(state, position, &mut ready));
        shared.exclusives.decided(&decided);
        state.set_applied(position);
        Ok(Some(Received::Decided(decided, Committed { position, ready, after: None })))
    })
}

/// Takes the leader of a key: it is logged, and changes nothing. `None`: it was here already.
pub(super) fn take_leader(
    shared: &Shared,
    run: &Run<'_>,
    serialized: Serialized,
) -> Result<Option<Received>, ReceiveError> {
    Ok(log_run(shared, run, |_| ())?.map(|_| Received::Serialized(serialized)))
}

/// The last note before what is not in `observed`, if the log reaches back so far.
fn mark_before(shared: &Shared, observed: &Vector) -> Option<Waymark> {
    let mut log = shared.log.lock();
    let sequencer = log.state();
    let all: Vec<Origin> = sequencer.vector(shared.origin()).iter().map(|dot| dot.origin).collect();
    sequencer.waymarks.before(observed, all.into_iter()).ok()
}
