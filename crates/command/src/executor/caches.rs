//! What commands have to do where keyspaces are: load what is at rest, bring moving keys to where they belong, keep away what
//! was meant to be deleted.

use engine::{AtRest, Context, Engine, EventClass, Stop};
use smallvec::SmallVec;

use super::{Call, Queued, events};
use crate::spec::Flags;

/// A command with its keys.
pub(super) trait Keyed {
    fn each_key<'a>(&'a self, visit: impl FnMut(&'a [u8]));
}

impl Keyed for Call<'_> {
    fn each_key<'a>(&'a self, mut visit: impl FnMut(&'a [u8])) {
        self.spec.keys.each(&self.args, |at| self.args.get(at).into_iter().for_each(&mut visit));
    }
}

impl Keyed for Queued<'_> {
    fn each_key<'a>(&'a self, mut visit: impl FnMut(&'a [u8])) {
        self.spec.keys.each(&self.args, |at| self.args.get(at).into_iter().for_each(&mut visit));
    }
}

/// Loads values for a command, and has others make room for them once it has ended: not before, or it would not end.
pub(super) struct Loaded<'e> {
    engine: &'e Engine,
    any: bool,
}

impl<'e> Loaded<'e> {
    /// `loaded`: something was, in an earlier run.
    pub(super) fn new(engine: &'e Engine, loaded: bool) -> Self {
        Self { engine, any: loaded && engine.has_keyspaces() }
    }

    /// If a run stopped for something that is at rest: loads it, and with it what else the commands name. Fails with what a
    /// client is to be told.
    #[cold]
    pub(super) fn load<'a, K: Keyed + 'a>(
        &mut self,
        stop: &Stop,
        commands: impl Iterator<Item = &'a K>,
        call: &Call<'_>,
        at_rest: &mut AtRest,
    ) -> Result<(), Stop> {
        let Stop::Miss(miss) = stop else { return Ok(()) };
        self.any |= self.engine.has_keyspaces();
        let mut keys: Vec<&[u8]> = Vec::new();
        commands.for_each(|command| command.each_key(|key| keys.push(key)));
        self.engine.load(miss, (call.db, call.now_ms), keys.into_iter(), at_rest)
    }
}

impl Drop for Loaded<'_> {
    fn drop(&mut self) {
        if self.any {
            make_room(self.engine);
        }
    }
}

#[cold]
#[inline(never)]
fn make_room(engine: &Engine) {
    engine.make_room();
}

/// While keys move between keyspaces: brings those of the command to where they belong before it writes them.
pub(super) fn claim_moving(context: &mut Context<'_>, call: &Call<'_>) -> Result<(), Stop> {
    match context.is_moving() && call.spec.flags.has(Flags::WRITE) {
        true => claim(context, call),
        false => Ok(()),
    }
}

#[cold]
fn claim(context: &mut Context<'_>, call: &Call<'_>) -> Result<(), Stop> {
    let mut keys: SmallVec<[&[u8]; 4]> = SmallVec::new();
    call.each_key(|key| keys.push(key));
    for db in [Some(call.db), events::other_db(call)].into_iter().flatten() {
        keys.iter().try_for_each(|key| context.claim(db, key))?;
    }
    Ok(())
}

/// What a command that writes, or was to write, found absent stays absent: an evicted value must not come back at the next
/// start, if somebody meant to delete it.
pub(super) fn doom_absent(context: &mut Context<'_>, call: &Call<'_>) {
    if context.has_keyspaces() && call.spec.flags.has(Flags::WRITE) {
        doom(context, call);
    }
}

#[cold]
fn doom(context: &mut Context<'_>, call: &Call<'_>) {
    for db in [Some(call.db), events::other_db(call)].into_iter().flatten() {
        call.each_key(|key| context.doom_if_absent(db, key));
    }
}

/// Whether a commit has something to do for a command that was refused: nothing of what it did is left.
#[cold]
pub(super) fn is_noted(context: &mut Context<'_>, call: &Call<'_>) -> bool {
    // Where events are wanted it has been taken back, and what was to stay away is noted.
    if context.has_keyspaces() && context.events_wanted() == EventClass::default() {
        context.forsake();
        doom_absent(context, call);
    }
    context.has_events() || context.has_doomed()
}
