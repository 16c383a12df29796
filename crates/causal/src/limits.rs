//! Every limit of this crate, with its unit and its reason.

/// What a peer may send of its own stream before it is told that there is room again, in bytes. So much may have to be held in
/// memory for each peer whose batches wait for what they have observed; it covers 200 ms at 20 MB/s.
pub const WINDOW_BYTES: u64 = 4 << 20;

/// Most bytes that one answer to a fetch has, but for a batch that is larger by itself. One is under way for each origin.
pub const FETCH_BYTES: u64 = 1 << 20;

/// Most bytes of one frame of batches, but for a batch that is larger by itself: others wait behind it.
pub const FRAME_BYTES: u64 = 256 << 10;

/// Most marks that are kept of one origin. With more, every second goes: stability is then noticed in larger steps.
pub const MARKS: usize = 1024;

/// How far ahead of the local clock a batch may be written, in ms, before its stream is held.
pub const MAX_CLOCK_SKEW_MS: i64 = 5_000;

/// How long a replica that has nothing to say stays silent, in ms.
pub const HEARTBEAT_MS: i64 = 500;

/// How long it waits between two statements if it has something to say, in ms: many batches share one.
pub const STATEMENT_MS: i64 = 20;

/// After what silence of a peer its connection is given up, in ms: several heartbeats.
pub const SILENT_MS: i64 = 3_000;

/// How long a hole must be there before it is fetched, in ms, and how long a fetch may take before another peer is asked. What is
/// under way anyway is not asked for; and after a partition many holes are noticed as one.
pub const HOLE_MS: i64 = 300;

/// How long a proposal about the members may take before it is made again with a higher ballot, in ms.
pub const BALLOT_MS: i64 = 1_000;

/// How often that is doubled, attempt for attempt.
pub const BALLOT_DOUBLINGS: u32 = 4;

/// How far above the last life that is known a start on an older disk takes its own. So many starts less one, since the copy was
/// made, may have ended before anybody heard of them.
pub const LIVES_PASSED_OVER: u16 = 16;

/// Most members of a group: each tells each other what it has.
pub const MEMBERS: usize = 64;

const _: () =
    assert!(STATEMENT_MS <= HEARTBEAT_MS && 3 * HEARTBEAT_MS <= SILENT_MS, "a live peer is not taken for dead");
const _: () = assert!(FRAME_BYTES <= WINDOW_BYTES && FRAME_BYTES <= FETCH_BYTES, "a frame fits what it is a part of");
