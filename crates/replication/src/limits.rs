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
