//! Exclusive transactions (EXEC after WATCH) of a causal group: which of them commit.
//!
//! **What it is.** A transaction's *bind* names its keys and what its writer had observed. Two binds *compete* iff one writes a
//! key that the other reads or writes and neither has observed the other. At most one of competitors commits, on every
//! replica, for all of its keys. **What it is not.** It runs no command, and does not know what a key holds.
//!
//! ```text
//!   EXEC ─▶ Leaders: here, or at the keys' leader
//!             │ here
//!             ▼                  safe                                     unsafe
//!   bind ─▶ originator ─────▶ voters: accept at ballot 0? ─┐        HorizonSet: wait for competitors
//!             ▲  one round trip to the quorum ◀────────────┤                │ group by group
//!             │                                            ▼                ▼
//!             └── verdict ◀── recovery: promise, choose, accept        fork choice; undone if a better one comes
//! ```
//!
//! Read first: [`Binds`], [`Bind`], then `choice.rs` and `acceptor.rs`.
//!
//! # Safe binds: one consensus each, that knows of the others
//!
//! Each bind is decided, commit or abort, by single-decree Paxos (Lamport, "Paxos Made Simple") among the voters of its epoch. What
//! is added is that a voter's promise and vote for one bind count for its competitors as well.
//!
//! *Ballot 0* is the originator's: the bind's arrival asks a voter to accept commit. The voter does unless it has promised a higher
//! ballot, or knows a competitor that was begun on it, that it accepted to commit or that is committed, or holds a plain write
//! concurrent with the bind. The originator's own vote is the last one: it casts it, durably, when [`Voters::fast`] others and
//! itself make the quorum, and never once it has promised a higher ballot, nor if it had accepted a competitor before it heard of its
//! own bind. So only the originator can commit at ballot 0.
//!
//! *Higher ballots* are anybody's. A voter that promises ballot `h` for bind `b` takes part in no lower ballot of `b` **or of any
//! competitor of `b`**, whether it knows that one yet or not; it reports what it has accepted for `b` and for each competitor. With
//! the promises of a majority `Q` the proposer chooses, by the first of these that applies:
//!
//! 1. a competitor is committed: abort.
//! 2. the highest value accepted for `b`, above ballot 0, is abort: abort. A competitor was accepted to commit at a higher ballot than
//!    `b`: abort. Else, if `b` was accepted to commit above ballot 0: commit.
//! 3. `b` may have been committed at ballot 0, because its originator is not in `Q`, and those in `Q` that accepted it and those
//!    not in `Q`, less originators of competitors, suffice: commit.
//! 4. a voter holds a plain write concurrent with `b`, or a competitor may have been committed at ballot 0, or one contends that
//!    fork choice prefers: abort.
//! 5. commit.
//!
//! A voter that accepts commit for `b` at `h` accepts, in the same step, abort at `h` for each competitor that it had accepted to
//! commit. So at no ballot does it accept commit while it holds a competitor as accepted to commit; a committed one makes it refuse.
//!
//! **Lemma.** If commit at `h > 0` was proposed for `b`, no competitor `c` has been or will be committed at a ballot below `h`. After
//! its promise nobody in `Q` accepts `c` below `h`, so `c` needs votes that `Q` had given before and has reported. Majorities
//! intersect: had `c` been chosen at a ballot `j` in `1..h`, somebody in `Q` would have reported commit at `j` or something above it. An
//! abort above `j` contradicts Paxos for `c`. If the proposer went by rule 3 or 5 there is no commit of `c` above ballot 0 in the
//! reports. If it went by rule 2 with commit at `i`, then `j < i`, and the lemma holds for `i` by induction. As to ballot
//! 0: if `c`'s originator is in `Q`, it has given that ballot up. If not, rule 5 applies only if the votes cannot suffice. Under rule
//! 3 they cannot suffice either: of `Q` nobody has accepted both at ballot 0, and of the `n - |Q|` others neither originator
//! has accepted the other's bind there, which it refuses for ever. So both together have at most
//! `|Q| + 2 (n - |Q| - 1) ≤ n + f - 2` possible votes, where `f` is the largest minority; twice the quorum is more.
//!
//! **Agreement** for one bind is that of Paxos: rules 2 and 3 keep a value that may have been chosen below. Rule 1, the second half of
//! rule 2, and an abort that a voter accepts in passing, keep it because of the lemma and of exclusion: commit was not and
//! will not be chosen below.
//!
//! **Exclusion.** Let `b` be committed at `h` and its competitor `c` at `j ≤ h`. Not `j < h` with `h > 0`, by the lemma. A ballot above 0
//! belongs to one bind. And if both are 0, a voter in both quorums accepted both, which ballot 0 forbids.
//!
//! **Progress.** A majority that answers ends a bind: the highest ballot goes through, because its promises keep lower ones of
//! all competitors out, and accepting it displaces them. Proposers that overtake each other back off, each for another while.
//! Without a majority of the epoch's voters there is no verdict, however long some of them are silent.
//!
//! **One round trip** needs [`Voters::fast`] voters: the majority for up to six, and for eight. With just a majority of seven, two
//! originators down and no other word, nobody could tell which of two competitors has been committed; so seven need five,
//! and if only four answer the originator goes on to ballot 1.
//!
//! A client that was told REGIONPARTITIONED has a bind that consensus will decide when it can, either way.
//!
//! Binds of two epochs may have quorums without a common voter, after two changes. So a node begins binds in an epoch only once it has met all
//! of its members ([`crate::Replica::has_met_all`]): its context then has whatever a member has of what was begun before, and one does not
//! compete with what one has observed. A bind that no member has will never reach one. (A voter takes neither of two such for displaced by the
//! other, all the same.)
//!
//! **A voter that has lost its disk** says so (`memory.rs`), of every bind that it may have voted on: all but those whose writer had observed
//! its new life. As for the competitors of those: before it wrote anything in its new life it had all that any member had, so what it may have
//! voted for is in the context of what had observed it, and does not compete. Such a voter counts as silent, as far as its past is asked for. If the
//! others are no majority, all voters that are still members are needed, for promises and for votes. A lost promise to a proposer that
//! remembers does no harm then: that proposer had promised as much itself, before anybody, and refuses. Whatever quorum had accepted before has somebody in
//! the majority that did not forget, who reports it. What more than that forgot is ended as well, and nobody can say whether it was so before.
//!
//! *Invariant:* [`Output::Persist`] is durable before what follows it leaves; then a crash forgets nothing that was said.
//!
//! *Invariant:* a bind's effect leaves its node only when it is durable there, and is in the context of every later bind of that node.
//!
//! *Invariant:* no node takes part in ballots of a bind before that bind's effect is durable there. So what was committed is on the disks of a
//! majority, and a bind that was lost with its originator's disk is known to nobody.
//!
//! *Invariant:* what is committed in a safe keyspace is never undone, and what has lost was never visible.
//!
//! *Invariant:* memory holds binds that are undecided, not stable, or compete with one that is; nothing else.

mod acceptor;
mod ballot;
mod choice;
mod error;
mod forks;
mod horizon;
mod leaders;
pub mod limits;
mod machine;
mod memory;
mod message;
mod proposer;
mod queries;
mod safety;
mod settling;
mod table;
mod transaction;
mod wire;

pub use ballot::{Ballot, NodeId, Voters};
pub use error::{TxnError, Why};
pub use forks::horizon_ms;
pub use horizon::HorizonSet;
pub use leaders::{Leaders, Route, choose_leader};
pub use machine::{Binds, Timing};
pub use message::{Exec, Input, Logged, Message, Output, Peers, Record, Refusal, Report, Rival, Vote, Watch};
pub use safety::{KeyRangeRule, Safety, SafetyRules};
pub use transaction::{Bind, Key, KeyUse, Rank};
pub use wire::Sent;
