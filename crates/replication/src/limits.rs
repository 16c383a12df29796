//! Every limit of this crate, with its unit and its reason.

use std::time::Duration;

/// How often the state machine hears of time. Statements are at least twice as far apart.
pub const TICK: Duration = Duration::from_millis(10);

/// The same while everything is stable and nobody waits for anything.
pub const QUIET_TICK: Duration = Duration::from_millis(50);

/// How often a node that belongs to no group asks to join.
pub const ASK_AGAIN: Duration = Duration::from_secs(1);

/// How far apart two turns are while something happens all the time, unless a client waits for one: one for many effects, and whoever
/// writes them wakes nobody. A tenth of a tick, and of the nearest ways between data centres about as much.
pub const GATHER: Duration = Duration::from_millis(1);

const _: () = assert!(GATHER.as_nanos() < TICK.as_nanos(), "time is heard of when it is due");

/// Records of the log that are read before events of peers have their turn.
pub const RECORDS_A_TURN: usize = 4096;

/// Largest piece of what is sent in pieces, in bytes: others do not wait long behind it.
pub const PIECE_BYTES: usize = 1 << 20;

/// What waits for a peer beyond what the mesh takes, in bytes: the largest batch there can be, and a window. With more the
/// connection is closed.
pub const OUTGOING_BYTES: usize = 640 << 20;

/// What may come in pieces, in bytes: a sender's [`OUTGOING_BYTES`].
pub const ASSEMBLED_BYTES: usize = OUTGOING_BYTES;

/// Places in the log that are remembered, at most, until they are fsynced. With more, every second goes.
pub const SYNC_MARKS: usize = 128;

/// How long what others wrote may lie in the log before it is fsynced, where no policy asks for it.
pub const SYNC_LATE: Duration = Duration::from_secs(1);

/// Moments at which something was written that are remembered for the lag of peers: ten seconds of ticks, or longer less exactly.
pub const LAG_MARKS: usize = 1024;

/// Addresses of peers that are told in one frame.
pub const ADDRESSES: usize = 256;

/// How long the driver waits before it tries again what could not be carried out.
pub const TRY_AGAIN: Duration = Duration::from_millis(100);

/// A part of a copy of the state, in bytes.
pub const CHUNK_BYTES: usize = 256 << 10;

/// Chunks that are on their way, at most: 4 MiB cover 200 ms at 20 MB/s.
pub const WINDOW_CHUNKS: usize = 16;

/// How long whoever gives a copy waits for somebody who takes nothing: a connection may be down for so long.
pub const TAKER_PATIENCE: Duration = Duration::from_secs(60);

/// How long whoever takes one waits for more of it; a checkpoint may come first.
pub const GIVER_PATIENCE: Duration = Duration::from_secs(60);

/// How long a node with a whole copy takes no writes until others have what the copy lacks: an fsync a second later, and ways there and
/// back. Another copy is asked for [`GIVER_PATIENCE`] after the last one at the earliest.
pub const COPY_PATIENCE: Duration = Duration::from_secs(5);

/// Largest entry of the journal of votes, in bytes: a transaction's keys are bounded by those of a batch, 512 MiB.
pub const JOURNAL_ENTRY_BYTES: usize = 600 << 20;

/// What the journal of votes grows by, beyond what is left of it, before it is written anew, in bytes: seldom, and read in a moment.
pub const JOURNAL_SLACK_BYTES: u64 = 4 << 20;

/// How long a node waits for votes on its own transaction before it asks again: longer than the way around the world and back, and an fsync.
pub const ASK_FOR_VOTES_AGAIN: Duration = Duration::from_millis(500);

/// How long any node waits for the verdict on a transaction before it sees to it itself: its client's node is dead then, or cut off.
pub const RECOVER_AFTER: Duration = Duration::from_millis(800);

/// What each voter waits beyond that than the one before it, so that they do not all begin at once: a round trip and an fsync.
pub const RECOVER_STAGGER: Duration = Duration::from_millis(200);

/// How long a client waits for the verdict on its transaction.
pub const VERDICT_PATIENCE: Duration = Duration::from_secs(5);

/// Those who wait at a leader, or whose transactions run there, at most: as many as there may be clients of a busy node that want the same.
pub const MAX_GUESTS: usize = 1 << 10;

/// How long a transaction waits at the leader of its keys until it may run, or its client for a turn. Then he goes on without.
pub const GUEST_PATIENCE: Duration = Duration::from_secs(2);

/// How long a transaction waits on its own node, at most, for the verdict on another that is in its way: a way around the world and back, and
/// an fsync. Its client would try again at once, in vain.
pub const BUSY_PATIENCE: Duration = Duration::from_millis(500);

/// How long a client may keep a turn, beyond a way there and back between its node and the leader: some ways between it and its node. One who
/// goes away in his turn keeps all others waiting for so long.
pub const TURN_PATIENCE: Duration = Duration::from_millis(200);

/// Clients of one node who share a turn, at most: they pay for the way to the leader and back together, and keep others waiting together.
pub const SHARERS: usize = 8;

/// Keys on which transactions could not begin, until the driver takes note of them, at most: those that are wanted most are among them.
pub const MAX_LOST: usize = 1 << 10;

/// How often the driver looks for mail in a turn: what is answered at once goes on at once.
pub const MAILS_A_TURN: usize = 4;

/// How long a leader's reply waits until all is here that the leader had. Then the client is told to read first.
pub const REPLY_PATIENCE: Duration = Duration::from_secs(5);

const _: () = assert!(GUEST_PATIENCE.as_millis() < causal::bind::limits::FORWARD_TIMEOUT_MS as u128);

/// Batches that the group never got which are written again in one turn, at most. One in tests, so that something can happen in between.
pub const AGAIN_BATCHES: usize = if cfg!(test) { 1 } else { 500 };

/// Reports of what was undone that are kept, and the bytes of their keys, at most: the oldest go first.
pub const UNDONE_REPORTS: usize = 10_000;

/// See [`UNDONE_REPORTS`].
pub const UNDONE_BYTES: usize = 16 << 20;

/// Bytes of keys that one report names; of more it says how many there were.
pub const REPORT_BYTES: usize = 1 << 20;

const _: () = assert!(REPORT_BYTES * 4 < UNDONE_BYTES, "there are several, whatever they are about");
