//! What EXEC needs of whoever keeps the session.

use engine::{Context, Stop};
use resp::{Args, Reply};

use super::Exclusive;
use crate::spec::Spec;

/// A command of a transaction.
pub struct Queued<'a> {
    /// The declaration.
    pub spec: &'static Spec,
    /// Name and arguments.
    pub args: Args<'a>,
}

/// What a transaction asks of whoever keeps the session.
///
/// Each time it is tried it says [`Host::begin`], and then of each of its commands, in their order, [`Host::ran`] if it is a
/// data command, else [`Host::select`]. What was told of a try that came to nothing counts no more with the next `begin`.
pub trait Host {
    /// The transaction begins, or begins anew.
    fn begin(&mut self) {}
    /// A data command has run, with this reply.
    fn ran(&mut self, _reply: &[u8]) {}
    /// The database that a SELECT of the transaction goes to; its reply is written by `session`, as everybody's.
    fn select(&mut self, command: &Queued<'_>) -> Option<u8>;
    /// Runs a session command of a transaction and writes its reply: once, after the transaction's writes are
    /// in the log and its shards are free, so that it may lock what it likes.
    fn session(&mut self, command: &Queued<'_>, reply: &mut Reply<'_>);
    /// Shows each key that is watched: nobody is to change one between the question whether one has changed, and the log.
    fn each_watched(&self, see: &mut dyn FnMut(&[u8]));
    /// Asked when all shards of the transaction are locked, and those of what is watched: whether that is as it was.
    fn unchanged(&mut self, context: &mut Context<'_>) -> Result<bool, Stop>;
    /// Who decides on the transaction, if this node alone does not.
    fn exclusive(&mut self) -> Option<Exclusive> {
        None
    }
}
