//! Lists: pushes and pops at the ends, access by index and by value, moves between lists, and the forms that wait.
//!
//! An element is its position, which never changes (law 7 of the merge rules): what removes or replaces an element
//! names its position, not its index. [`end`] says which positions a push takes, [`cut`] names those that go.
//!
//! *Invariant:* no command here reads more of a list than the elements it answers with or compares.

mod by_index;
mod by_value;
mod cut;
mod end;
mod moves;
mod pop;
mod push;
mod specs;
#[cfg(test)]
mod tests;

pub use specs::SPECS;

use engine::{ListView, State, Stop};

use crate::cx::Cx;

/// The list at `key` as a command that may wait sees it: for a client that waits already, a key of another type is
/// as good as none. It was no list when the client began to wait, and what comes after it can still be served.
fn available<'s>(state: &'s State<'_>, key: &'s [u8], waiting: bool) -> Result<Option<ListView<'s>>, Stop> {
    match state.list(key) {
        Err(Stop::WrongType) if waiting => Ok(None),
        found => found,
    }
}

/// Answers null where waiting is not allowed, else waits; what is given up ends in a null array either way.
/// Redis tells the two apart for the commands that move an element.
fn block_or_null(cx: &mut Cx<'_, '_>, timeout_ms: i64) -> crate::spec::Outcome {
    if !cx.may_block {
        cx.reply.null();
        return Ok(());
    }
    cx.block(timeout_ms, crate::cx::Empty::Array)
}
