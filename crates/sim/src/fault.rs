//! Bugs that are put in on purpose, outside of the replica: each must be caught by the check that it is meant for.

/// A planted bug. A run with one must fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Batches lose on their way what they had observed.
    ForgetsContext,
    /// The disk says it has synced what it has not.
    LyingDisk,
    /// A start after a crash goes on as the origin that it was.
    KeepsOrigin,
    /// A batch that is applied is logged and applied again.
    AppliesTwice,
    /// A batch on its way gets another timestamp.
    ChangesClock,
    /// A clock ignores what it has promised.
    BreaksPromise,
    /// A node tells its peers of room that it does not have, and takes whatever comes.
    GivesTooMuchRoom,
    /// A node says it has fsynced what it has only applied, and its log loses that.
    StatesTooMuch,
    /// A node loses batches between its log and its state.
    SkipsState,
    /// An older disk is started as if it were the last one.
    HidesRestore,
    /// A voter forgets its promises when it crashes.
    ForgetsVotes,
}

impl Fault {
    /// All of them.
    pub const ALL: [Fault; 11] = [
        Fault::ForgetsContext,
        Fault::LyingDisk,
        Fault::KeepsOrigin,
        Fault::AppliesTwice,
        Fault::ChangesClock,
        Fault::BreaksPromise,
        Fault::GivesTooMuchRoom,
        Fault::StatesTooMuch,
        Fault::SkipsState,
        Fault::HidesRestore,
        Fault::ForgetsVotes,
    ];
}
