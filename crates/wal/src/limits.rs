//! Every limit of this crate, with its unit and its reason.

use std::time::Duration;

use crate::format::{FRAME_HEADER_BYTES, HEADER_BYTES};

/// Largest payload of one record in bytes: what a reader may have to hold in memory at once.
pub const MAX_PAYLOAD_BYTES: usize = 1 << 30;

/// Smallest size of a segment in bytes; below this, headers and directory syncs would dominate.
pub const MIN_SEGMENT_BYTES: u64 = 256;

/// The background thread writes the buffer out at least this often while records arrive.
pub(crate) const FLUSH_INTERVAL: Duration = Duration::from_millis(100);

/// The buffer size in bytes at which the background thread is woken early: one write of this size is cheap per byte.
pub(crate) const FLUSH_BYTES: usize = 1 << 20;

/// Largest payload in bytes of a record that grows by what is appended after it: enough to share one frame's bytes and
/// checksum among many, little enough that completing it (a checksum, under the append lock) takes a microsecond.
pub(crate) const JOINED_BYTES: usize = 16 << 10;

/// How often `EverySec` syncs: with the flush interval, a crash of the machine takes back about a second.
pub(crate) const SYNC_INTERVAL: Duration = Duration::from_millis(900);

/// How long the log must be quiet before a mark of its own says how far it is durable. Until then damage to what was
/// written last cannot be told from a write that a crash cut short.
pub(crate) const IDLE_BEFORE_MARK: Duration = Duration::from_millis(200);

/// Bytes written and not yet synced after which the background thread syncs, whatever the policy: sealing a segment
/// syncs all of it, and must not find so much that the next one fills meanwhile.
pub(crate) const SYNC_BYTES: u64 = 8 << 20;

/// Bytes a reader asks the disk for at a time: large enough for sequential speed, small enough to keep many readers.
pub(crate) const READ_BYTES: usize = 256 << 10;

/// A buffer that one huge record has blown up beyond this many times its limit is given back to the allocator.
pub(crate) const KEEP_BUFFER_FACTOR: usize = 2;

const _: () = assert!(MAX_PAYLOAD_BYTES < u32::MAX as usize, "a frame's length is a u32");
const _: () = assert!(MIN_SEGMENT_BYTES as usize > HEADER_BYTES + FRAME_HEADER_BYTES, "a segment must hold something");
