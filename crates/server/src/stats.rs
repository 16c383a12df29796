//! Figures: what INFO, SLOWLOG, LATENCY and the metrics show.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use command::table::CommandId;
use parking_lot::Mutex;

use crate::latency::LatencyLog;
use crate::limits::{ERROR_KINDS_MAX, LATENCY_BUCKETS};
use crate::node::Node;
use crate::rates::Rates;
use crate::session::Session;

/// Figures of the node.
pub struct Stats {
    /// Memory is over `maxmemory`: commands that would add to it are refused.
    pub over_memory: AtomicBool,
    /// Clients that wait for data.
    pub blocked: AtomicU64,
    /// Clients that see every command.
    pub monitors: AtomicU64,
    /// The slow log.
    pub slowlog: Mutex<SlowLog>,
    /// Spikes of latency.
    pub latency: Mutex<LatencyLog>,
    /// How much happens per second.
    pub rates: Mutex<Rates>,
    /// The most bytes that were allocated at any look.
    pub peak_memory: AtomicU64,
    /// Bytes that were allocated at the last look.
    pub last_memory: AtomicU64,
    slow_us: AtomicI64,
    spike_us: AtomicI64,
    notable_us: AtomicI64,
    errors: Mutex<BTreeMap<Vec<u8>, u64>>,
    error_replies: AtomicU64,
    threads: Mutex<Vec<Arc<CommandStats>>>,
    tracking: Arc<AtomicBool>,
}

impl Default for Stats {
    fn default() -> Self {
        Self {
            over_memory: AtomicBool::new(false),
            blocked: AtomicU64::new(0),
            monitors: AtomicU64::new(0),
            slowlog: Mutex::default(),
            latency: Mutex::default(),
            rates: Mutex::default(),
            peak_memory: AtomicU64::new(0),
            last_memory: AtomicU64::new(0),
            slow_us: AtomicI64::new(10_000),
            spike_us: AtomicI64::new(i64::MAX),
            notable_us: AtomicI64::new(10_000),
            errors: Mutex::default(),
            error_replies: AtomicU64::new(0),
            threads: Mutex::default(),
            tracking: Arc::new(AtomicBool::new(true)),
        }
    }
}

impl Stats {
    /// The figures of one more thread.
    pub fn add_thread(&self, commands: usize) -> Arc<CommandStats> {
        let stats = Arc::new(CommandStats::new(commands, Arc::clone(&self.tracking)));
        self.threads.lock().push(Arc::clone(&stats));
        stats
    }

    /// The sum of a figure over all threads.
    pub fn sum(&self, figure: impl Fn(&CommandStats) -> u64) -> u64 {
        self.threads.lock().iter().map(|thread| figure(thread)).sum()
    }

    /// A command's figures over all threads.
    pub fn command(&self, id: CommandId) -> CommandTotals {
        let mut totals = CommandTotals::default();
        for thread in self.threads.lock().iter() {
            let row = &thread.rows[id.index()];
            totals.calls += row.calls.load(Ordering::Relaxed);
            totals.ns += row.ns.load(Ordering::Relaxed);
            totals.rejected += row.rejected.load(Ordering::Relaxed);
            totals.failed += row.failed.load(Ordering::Relaxed);
            for (sum, bucket) in totals.buckets.iter_mut().zip(&row.buckets) {
                *sum += u64::from(bucket.load(Ordering::Relaxed));
            }
        }
        totals
    }

    /// Counts a reply that was an error; `reply` begins behind the `-`.
    #[cold]
    pub fn count_error(&self, reply: &[u8]) {
        self.error_replies.fetch_add(1, Ordering::Relaxed);
        let end = reply.iter().position(|b| matches!(b, b' ' | b'\r')).unwrap_or(reply.len());
        let mut errors = self.errors.lock();
        if let Some(count) = errors.get_mut(&reply[..end]) {
            *count += 1;
        } else if errors.len() < ERROR_KINDS_MAX {
            errors.insert(reply[..end].to_vec(), 1);
        }
    }

    /// Replies that were errors, by their first word.
    pub fn errors(&self) -> BTreeMap<Vec<u8>, u64> {
        self.errors.lock().clone()
    }

    /// Replies that were errors.
    pub fn error_replies(&self) -> u64 {
        self.error_replies.load(Ordering::Relaxed)
    }

    /// Sets everything that counts back to zero.
    pub fn reset(&self) {
        self.errors.lock().clear();
        self.error_replies.store(0, Ordering::Relaxed);
        self.peak_memory.store(0, Ordering::Relaxed);
        for thread in self.threads.lock().iter() {
            thread.reset();
        }
    }

    /// Commands that took at least `slow_us` are slow, those that took `spike_ms` are spikes; `None` and 0: none is.
    pub fn set_thresholds(&self, slow_us: Option<u64>, spike_ms: u64) {
        let us = |us: u64| i64::try_from(us).unwrap_or(i64::MAX);
        let slow = slow_us.map_or(i64::MAX, us);
        let spike = if spike_ms == 0 { i64::MAX } else { us(spike_ms.saturating_mul(1000)) };
        self.slow_us.store(slow, Ordering::Relaxed);
        self.spike_us.store(spike, Ordering::Relaxed);
        self.notable_us.store(slow.min(spike), Ordering::Relaxed);
    }

    /// Says whether durations of commands are counted by size.
    pub fn set_tracking(&self, on: bool) {
        self.tracking.store(on, Ordering::Relaxed);
    }

    /// From how many µs on a command is slow; `i64::MAX` if none is.
    pub fn slow_us(&self) -> i64 {
        self.slow_us.load(Ordering::Relaxed)
    }

    /// From how many µs on a command is a spike of latency; `i64::MAX` if none is.
    pub fn spike_us(&self) -> i64 {
        self.spike_us.load(Ordering::Relaxed)
    }

    /// From how many µs on a command is either.
    #[inline]
    pub fn notable_us(&self) -> i64 {
        self.notable_us.load(Ordering::Relaxed)
    }
}

/// A command's figures.
#[derive(Debug, Default, Clone, Copy)]
pub struct CommandTotals {
    /// Times it ran.
    pub calls: u64,
    /// How long it ran in all, ns.
    pub ns: u64,
    /// Times it was refused before it ran.
    pub rejected: u64,
    /// Times it ran and answered with an error.
    pub failed: u64,
    /// How often it took up to 1024 ns, twice that, four times, …; the last bucket holds all that took longer.
    pub buckets: [u64; LATENCY_BUCKETS],
}

impl CommandTotals {
    /// Times it ran while durations were counted by size.
    pub fn tracked(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

#[derive(Default)]
struct Row {
    calls: AtomicU64,
    ns: AtomicU64,
    rejected: AtomicU64,
    failed: AtomicU64,
    buckets: [AtomicU32; LATENCY_BUCKETS],
}

/// The bucket of a duration.
#[inline]
fn bucket(ns: u64) -> usize {
    let above = u64::BITS - (ns.saturating_sub(1) >> 10).leading_zeros();
    (above as usize).min(LATENCY_BUCKETS - 1)
}

/// The figures of one I/O thread: it alone writes them.
pub struct CommandStats {
    rows: Vec<Row>,
    hits: AtomicU64,
    misses: AtomicU64,
    /// `latency-tracking`: durations are counted by size.
    tracking: Arc<AtomicBool>,
}

/// Adds without a locked instruction: there is one writer.
#[inline]
fn add(to: &AtomicU64, n: u64) {
    to.store(to.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
}

impl CommandStats {
    fn new(commands: usize, tracking: Arc<AtomicBool>) -> Self {
        Self { rows: (0..commands).map(|_| Row::default()).collect(), hits: 0.into(), misses: 0.into(), tracking }
    }

    fn reset(&self) {
        for row in &self.rows {
            for figure in [&row.calls, &row.ns, &row.rejected, &row.failed] {
                figure.store(0, Ordering::Relaxed);
            }
            row.buckets.iter().for_each(|bucket| bucket.store(0, Ordering::Relaxed));
        }
        self.hits.store(0, Ordering::Relaxed);
        self.misses.store(0, Ordering::Relaxed);
    }

    /// A command ran.
    #[inline]
    pub fn count(&self, id: CommandId, took: Duration, failed: bool) {
        let row = &self.rows[id.index()];
        add(&row.calls, 1);
        let ns = took.as_nanos() as u64;
        add(&row.ns, ns);
        if self.tracking.load(Ordering::Relaxed) {
            let bucket = &row.buckets[bucket(ns)];
            bucket.store(bucket.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        }
        if failed {
            add(&row.failed, 1);
        }
    }

    /// A command was refused.
    pub fn reject(&self, id: CommandId) {
        add(&self.rows[id.index()].rejected, 1);
    }

    /// Look-ups by read-only commands.
    #[inline]
    pub fn add_lookups(&self, hits: u64, misses: u64) {
        add(&self.hits, hits);
        add(&self.misses, misses);
    }

    /// Commands that ran.
    pub fn calls(&self) -> u64 {
        self.rows.iter().map(|row| row.calls.load(Ordering::Relaxed)).sum()
    }

    /// Look-ups that found a key.
    pub fn hits(&self) -> u64 {
        self.hits.load(Ordering::Relaxed)
    }

    /// Look-ups that found none.
    pub fn misses(&self) -> u64 {
        self.misses.load(Ordering::Relaxed)
    }
}

/// A command that took long.
#[derive(Debug, Clone)]
pub struct SlowEntry {
    /// Counted up over the life of the process.
    pub id: u64,
    /// When it ended, unix seconds.
    pub at_s: i64,
    /// How long it took, µs.
    pub took_us: u64,
    /// Its arguments, cut.
    pub args: Vec<Vec<u8>>,
    /// The client's address.
    pub addr: String,
    /// The client's name.
    pub name: Vec<u8>,
}

/// The slow log: the newest first.
#[derive(Debug, Default)]
pub struct SlowLog {
    /// The entries.
    pub entries: VecDeque<SlowEntry>,
    next_id: u64,
}

/// Arguments of a slow command that are kept.
const SLOW_ARGS_MAX: usize = 32;
/// Bytes of an argument that are kept.
const SLOW_ARG_BYTES_MAX: usize = 128;

impl SlowLog {
    /// Adds a command: its words as others may see them.
    pub fn add(&mut self, node: &Node, session: &Session, args: &[&[u8]], took: Duration, unix_ms: i64) {
        let config = node.config.settings();
        let cut = |arg: &[u8]| match arg.len().checked_sub(SLOW_ARG_BYTES_MAX) {
            None | Some(0) => arg.to_vec(),
            Some(more) => [&arg[..SLOW_ARG_BYTES_MAX], format!("... ({more} more bytes)").as_bytes()].concat(),
        };
        let mut kept: Vec<Vec<u8>> = args.iter().take(SLOW_ARGS_MAX).map(|arg| cut(arg)).collect();
        if args.len() > SLOW_ARGS_MAX {
            let more = args.len() - SLOW_ARGS_MAX + 1;
            kept[SLOW_ARGS_MAX - 1] = format!("... ({more} more arguments)").into_bytes();
        }
        self.entries.push_front(SlowEntry {
            id: self.next_id,
            at_s: unix_ms / 1000,
            took_us: took.as_micros() as u64,
            args: kept,
            addr: session.info.remote(&crate::admin::unix_path(&config)),
            name: session.info.names.lock().name.clone(),
        });
        self.next_id += 1;
        self.entries.truncate(usize::try_from(config.observability.slowlog_max_len).unwrap_or(usize::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_what_is_not_longer_than_its_bound() {
        for ns in [0, 1, 1023, 1024, 1025, 2048, 2049, 1 << 20, (1 << 20) + 1, u64::MAX] {
            let at = bucket(ns);
            assert!(at == LATENCY_BUCKETS - 1 || ns <= 1024 << at, "{ns} is beyond bucket {at}");
            assert!(at == 0 || ns > 1024 << (at - 1), "{ns} belongs before bucket {at}");
        }
    }
}
