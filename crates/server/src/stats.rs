//! Figures: what INFO, SLOWLOG, LATENCY and the metrics show.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use command::table::CommandId;
use parking_lot::Mutex;
use resp::Args;

use crate::node::Node;
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
    slow_us: AtomicI64,
    threads: Mutex<Vec<Arc<CommandStats>>>,
}

impl Default for Stats {
    fn default() -> Self {
        Self {
            over_memory: AtomicBool::new(false),
            blocked: AtomicU64::new(0),
            monitors: AtomicU64::new(0),
            slowlog: Mutex::default(),
            slow_us: AtomicI64::new(10_000),
            threads: Mutex::default(),
        }
    }
}

impl Stats {
    /// The figures of one more thread.
    pub fn add_thread(&self, commands: usize) -> Arc<CommandStats> {
        let stats = Arc::new(CommandStats::new(commands));
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
        }
        totals
    }

    /// Sets everything that counts back to zero.
    pub fn reset(&self) {
        for thread in self.threads.lock().iter() {
            thread.reset();
        }
    }

    /// Commands that took at least so many µs are slow; -1: none is.
    pub fn set_slow_us(&self, us: Option<u64>) {
        let us = us.map_or(-1, |us| i64::try_from(us).unwrap_or(i64::MAX));
        self.slow_us.store(us, Ordering::Relaxed);
    }

    /// From how many µs on a command is slow; `i64::MAX` if none is.
    #[inline]
    pub fn slow_us(&self) -> i64 {
        match self.slow_us.load(Ordering::Relaxed) {
            -1 => i64::MAX,
            us => us,
        }
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
}

#[derive(Default)]
struct Row {
    calls: AtomicU64,
    ns: AtomicU64,
    rejected: AtomicU64,
    failed: AtomicU64,
}

/// The figures of one I/O thread: it alone writes them.
pub struct CommandStats {
    rows: Vec<Row>,
    hits: AtomicU64,
    misses: AtomicU64,
}

/// Adds without a locked instruction: there is one writer.
#[inline]
fn add(to: &AtomicU64, n: u64) {
    to.store(to.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
}

impl CommandStats {
    fn new(commands: usize) -> Self {
        Self { rows: (0..commands).map(|_| Row::default()).collect(), hits: 0.into(), misses: 0.into() }
    }

    fn reset(&self) {
        for row in &self.rows {
            for figure in [&row.calls, &row.ns, &row.rejected, &row.failed] {
                figure.store(0, Ordering::Relaxed);
            }
        }
        self.hits.store(0, Ordering::Relaxed);
        self.misses.store(0, Ordering::Relaxed);
    }

    /// A command ran.
    #[inline]
    pub fn count(&self, id: CommandId, took: Duration, failed: bool) {
        let row = &self.rows[id.index()];
        add(&row.calls, 1);
        add(&row.ns, took.as_nanos() as u64);
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

    /// Replies that were errors.
    pub fn errors(&self) -> u64 {
        let of = |row: &Row| row.failed.load(Ordering::Relaxed) + row.rejected.load(Ordering::Relaxed);
        self.rows.iter().map(of).sum()
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
    /// Adds a command.
    pub fn add(&mut self, node: &Node, session: &Session, args: &Args<'_>, took: Duration, unix_ms: i64) {
        let config = node.config.settings();
        let cut = |arg: &[u8]| match arg.len().checked_sub(SLOW_ARG_BYTES_MAX) {
            None | Some(0) => arg.to_vec(),
            Some(more) => [&arg[..SLOW_ARG_BYTES_MAX], format!("... ({more} more bytes)").as_bytes()].concat(),
        };
        let mut kept: Vec<Vec<u8>> = args.iter().take(SLOW_ARGS_MAX).map(cut).collect();
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
