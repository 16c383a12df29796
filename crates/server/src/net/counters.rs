//! Numbers that other threads read: of each thread, and of each client.
//!
//! *Invariant:* each counter has one writer, so an addition is a load and a store, without a locked instruction.
//! [`ClientGauge::mail`] is the exception.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};

/// A counter with a single writer.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    #[inline]
    pub fn add(&self, count: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(count), Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// What one I/O thread has done.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct ThreadCounters {
    pub rounds: Counter,
    pub commands: Counter,
    pub input_bytes: Counter,
    pub output_bytes: Counter,
    pub reads: Counter,
    pub writes: Counter,
    pub accepted: Counter,
    pub rejected: Counter,
    pub protocol_errors: Counter,
    pub query_buffer_closes: Counter,
    pub output_buffer_closes: Counter,
    pub idle_closes: Counter,
    pub tls_failures: Counter,
    pub messages: Counter,
    /// Clients now; written by the accepting thread as well.
    pub clients: AtomicUsize,
    /// Blocked clients now.
    pub blocked: AtomicUsize,
}

/// What all I/O threads have done since the start, and hold now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Rounds of all threads.
    pub rounds: u64,
    /// Commands handed to the application.
    pub commands: u64,
    /// Bytes read from sockets (before TLS is taken off, after it otherwise: plaintext).
    pub input_bytes: u64,
    /// Plaintext bytes written to sockets.
    pub output_bytes: u64,
    /// Read calls that brought bytes.
    pub reads: u64,
    /// Write calls that took bytes.
    pub writes: u64,
    /// Connections accepted.
    pub accepted: u64,
    /// Connections refused because of `maxclients`.
    pub rejected: u64,
    /// Connections closed because of what they sent.
    pub protocol_errors: u64,
    /// Connections closed because of `client-query-buffer-limit`.
    pub query_buffer_closes: u64,
    /// Connections closed because of `client-output-buffer-limit`.
    pub output_buffer_closes: u64,
    /// Connections closed because of `timeout`.
    pub idle_closes: u64,
    /// Connections closed because TLS failed.
    pub tls_failures: u64,
    /// Messages delivered.
    pub messages: u64,
    /// Clients connected now.
    pub clients: usize,
    /// Clients blocked now.
    pub blocked: usize,
}

impl Totals {
    pub(crate) fn of<'a>(threads: impl Iterator<Item = &'a ThreadCounters>) -> Self {
        let mut sum = Self::default();
        for thread in threads {
            sum.rounds += thread.rounds.get();
            sum.commands += thread.commands.get();
            sum.input_bytes += thread.input_bytes.get();
            sum.output_bytes += thread.output_bytes.get();
            sum.reads += thread.reads.get();
            sum.writes += thread.writes.get();
            sum.accepted += thread.accepted.get();
            sum.rejected += thread.rejected.get();
            sum.protocol_errors += thread.protocol_errors.get();
            sum.query_buffer_closes += thread.query_buffer_closes.get();
            sum.output_buffer_closes += thread.output_buffer_closes.get();
            sum.idle_closes += thread.idle_closes.get();
            sum.tls_failures += thread.tls_failures.get();
            sum.messages += thread.messages.get();
            sum.clients += thread.clients.load(Relaxed);
            sum.blocked += thread.blocked.load(Relaxed);
        }
        sum
    }
}

/// What other threads may know of a client, for `CLIENT LIST` and for senders of mail.
#[derive(Debug, Default)]
pub struct ClientGauge {
    /// Bytes of mail under way.
    pub(crate) mail: AtomicUsize,
    /// Bytes of mail that may be under way.
    pub(crate) mail_limit: AtomicUsize,
    /// Mail was refused; the client is being closed.
    pub(crate) overflowed: AtomicBool,
    pub(crate) closed: AtomicBool,
    pub(crate) input: AtomicUsize,
    pub(crate) output: AtomicUsize,
    pub(crate) last_active_ms: AtomicU64,
}

impl ClientGauge {
    #[inline]
    pub(crate) fn active_at(&self, unix_ms: u64) {
        self.last_active_ms.store(unix_ms, Relaxed);
    }

    #[inline]
    pub(crate) fn holds_input(&self, bytes: usize) {
        self.input.store(bytes, Relaxed);
    }

    #[inline]
    pub(crate) fn holds_output(&self, bytes: usize) {
        self.output.store(bytes, Relaxed);
    }

    /// Bytes received that are not understood yet.
    pub fn input_bytes(&self) -> usize {
        self.input.load(Relaxed)
    }

    /// Bytes of replies that wait to be sent.
    pub fn output_bytes(&self) -> usize {
        self.output.load(Relaxed)
    }

    /// Bytes of mail that wait to be delivered.
    pub fn mail_bytes(&self) -> usize {
        self.mail.load(Relaxed)
    }

    /// When it last sent anything, in milliseconds since the Unix epoch.
    pub fn last_active_ms(&self) -> u64 {
        self.last_active_ms.load(Relaxed)
    }

    /// Whether the connection is gone.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Relaxed)
    }
}
