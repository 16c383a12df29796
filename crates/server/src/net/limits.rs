//! Every bound of the I/O loop, with its unit and reason.

use std::time::Duration;

/// Bytes that are read from one client in one round: enough to make system calls cheap, little enough to be fair.
pub(crate) const READ_BYTES: usize = 64 * 1024;

/// Bytes that are read in one round from a client in the middle of a large argument.
pub(crate) const LARGE_READ_BYTES: usize = 1024 * 1024;

/// A partial command up to this size, in bytes, is moved to the thread's read buffer and back; a larger one is read
/// in place.
pub(crate) const SMALL_INPUT_BYTES: usize = 4 * 1024;

/// Commands of one client that run in one round before others have their turn.
pub(crate) const COMMANDS_PER_TURN: usize = 1024;

/// Bytes of replies that one client's commands write in one round before others have their turn.
pub(crate) const WRITTEN_PER_TURN: usize = 1024 * 1024;

/// Sockets accepted in one round.
pub(crate) const ACCEPTS_PER_ROUND: usize = 256;

/// Events taken from the kernel in one round.
pub(crate) const EVENTS_PER_ROUND: usize = 1024;

/// Times that mail is taken in one round: mail that a round's own commands sent is handled in it, chains of mail go over
/// to the next.
pub(crate) const MAIL_PASSES: usize = 3;

/// An empty buffer larger than this, in bytes, is given back to the allocator.
pub(crate) const KEPT_BUFFER_BYTES: usize = 64 * 1024;

/// Empty output buffers that a thread keeps for its clients.
pub(crate) const KEPT_BUFFERS: usize = 128;

/// An emptied input buffer up to this size, in bytes, stays with its client.
pub(crate) const KEPT_INPUT_BYTES: usize = 256;

/// Arguments and unquoted text that the thread's scratch space keeps room for.
pub(crate) const KEPT_ARGS: usize = 16 * 1024;

/// Bytes of undelivered mail for a client whose class has no hard limit.
pub(crate) const MAIL_BYTES: usize = 256 * 1024 * 1024;

/// Bytes of undelivered mail for a thread as such.
pub(crate) const THREAD_MAIL_BYTES: usize = 256 * 1024 * 1024;

/// How long a connection that is to be closed may take to read its last replies.
pub(crate) const LINGER: Duration = Duration::from_secs(10);

/// How long a TLS handshake may take.
pub(crate) const HANDSHAKE: Duration = Duration::from_secs(10);

/// How long a shutdown waits for clients to read their last replies.
pub(crate) const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);

/// A full pass over all clients, in ticks: idle ones, slow ones and lingering ones are found within it.
pub(crate) const TICKS_PER_SWEEP: usize = 10;

/// File descriptors kept for other things than clients.
pub(crate) const RESERVED_FDS: u64 = 64;

/// Most I/O threads.
pub(crate) const MAX_IO_THREADS: usize = 256;

/// TLS plaintext handed to the session at a time, in bytes, so that it buffers no more than this.
pub(crate) const TLS_WRITE_BYTES: usize = 64 * 1024;

const _: () = assert!(SMALL_INPUT_BYTES < READ_BYTES && READ_BYTES <= LARGE_READ_BYTES);
