//! Bugs that are put in on purpose, outside of the replica: each must be caught by the check that it is meant for.

/// A planted bug. A run with one must fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Batches lose on their way what they had observed.
    ForgetsContext,
    /// The disk says it has synced what it has not.
    LyingDisk,
    /// Clients are told before the fsync.
    AcknowledgesEarly,
    /// A start after a crash goes on as the origin that it was.
    KeepsOrigin,
    /// An older disk is started as if it were the last one.
    HidesRestore,
    /// A batch that is applied is logged and applied again.
    AppliesTwice,
    /// A batch that is to be applied is not, and goes missing.
    LosesBatch,
    /// A batch is logged, and the state does not see it.
    SkipsState,
    /// A batch on its way gets another timestamp.
    ChangesClock,
    /// A clock promises what it will not keep.
    BreaksPromise,
    /// A node says it has fsynced what it has only applied.
    StatesTooMuch,
    /// Nodes say they have room that they do not have, and apply nothing for a second.
    GivesTooMuchRoom,
    /// The end of a frame is cut off.
    CutsFrames,
    /// The cut jumps back now and then.
    CutGoesBack,
    /// The cut names effects beyond its timestamp.
    CutNamesMore,
    /// Voters say yes to every transaction at its first ballot.
    VotesForAll,
    /// A verdict is logged as its opposite.
    TurnsVerdicts,
    /// Verdicts are not logged.
    SwallowsVerdicts,
    /// Clients are told that their transactions are committed before that is so.
    TellsEarly,
    /// Nodes forget their votes now and then.
    ForgetsVotes,
    /// A node votes with an older disk as if it had been its last one.
    HidesForgetting,
    /// A start does not read all verdicts back.
    ForgetsVerdicts,
    /// A transaction takes effect on the first key that it writes.
    ShowsHalf,
    /// What was undone is not reported now and then.
    LosesReports,
    /// That an unsafe transaction was shown is not persisted.
    ForgetsShown,
    /// A transaction takes effect over plain writes that it has not seen.
    CommitsOver,
    /// Of what nobody got of a node that was given up not all is kept aside.
    LosesUndelivered,
    /// What nobody got is written again, and not noted to be.
    WritesAgainTwice,
    /// Whoever defines a keyspace says nothing of what it has seen of it.
    DefinesBlindly,
}

impl Fault {
    /// All of them, with the check that each is meant for; none: several see it, each in its way.
    pub const ALL: [(Fault, &'static str); 29] = [
        (Fault::ForgetsContext, "causal order"),
        (Fault::LyingDisk, "stable is what all have fsynced"),
        (Fault::AcknowledgesEarly, "nothing acknowledged is lost"),
        (Fault::KeepsOrigin, "dots are used once"),
        (Fault::HidesRestore, ""),
        (Fault::AppliesTwice, "no batch is applied twice"),
        (Fault::LosesBatch, "no gap"),
        (Fault::SkipsState, "equal sets make equal states"),
        (Fault::ChangesClock, "what is applied was written"),
        (Fault::BreaksPromise, "nothing arrives below the cut"),
        (Fault::StatesTooMuch, "stable is what all have fsynced"),
        (Fault::GivesTooMuchRoom, "everything arrives and becomes stable"),
        (Fault::CutsFrames, "frames are read as they were written"),
        (Fault::CutGoesBack, "the cut never goes back"),
        (Fault::CutNamesMore, "the cut's vector is below its timestamp"),
        (Fault::VotesForAll, "at most one of competitors is committed"),
        (Fault::TurnsVerdicts, "a transaction has one verdict"),
        (Fault::SwallowsVerdicts, "every transaction gets a verdict"),
        (Fault::TellsEarly, "what a client is told is so"),
        (Fault::ForgetsVotes, "a transaction has one verdict"),
        (Fault::HidesForgetting, "at most one of competitors is committed"),
        (Fault::ForgetsVerdicts, "what was seen is not undone"),
        (Fault::ShowsHalf, "a transaction is seen whole or not at all"),
        (Fault::LosesReports, "what is undone is reported, and nothing else"),
        (Fault::ForgetsShown, "what is undone is reported, and nothing else"),
        (Fault::CommitsOver, "a transaction comes before plain writes that it has not seen"),
        (Fault::LosesUndelivered, "nothing acknowledged is lost"),
        (Fault::WritesAgainTwice, "what nobody got is written again once"),
        (Fault::DefinesBlindly, "keyspaces are what was said of them"),
    ];
}
