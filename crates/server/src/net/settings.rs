//! Settings that may change while clients are connected. Each thread keeps a copy and looks once per round whether
//! there is a newer one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::limits::MAIL_BYTES;
use super::output::{OutputClass, OutputLimit};

/// Limits of clients, changeable at run time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `maxclients`.
    pub max_clients: usize,
    /// `client-query-buffer-limit`, in bytes.
    pub max_query_buffer: usize,
    /// `proto-max-bulk-len`, in bytes.
    pub max_bulk_len: u32,
    /// `client-output-buffer-limit normal`.
    pub normal_output: OutputLimit,
    /// `client-output-buffer-limit replica`.
    pub replica_output: OutputLimit,
    /// `client-output-buffer-limit pubsub`.
    pub pubsub_output: OutputLimit,
    /// No command of a client runs while more than this many bytes of replies wait for it.
    ///
    /// `DIFFERENCE:` Redis keeps executing and keeps all replies in RAM. A client that sends a pipeline and reads nothing
    /// until all of it is sent works up to this many bytes of replies (and what sockets hold).
    pub max_unread_output: usize,
    /// `timeout`: normal clients that send nothing for so long are closed.
    pub idle_timeout: Option<Duration>,
    /// `io-coalesce-usecs`: how long a busy thread lets requests gather at most.
    pub coalesce: Duration,
    /// `tcp-keepalive`, for connections accepted from now on.
    pub tcp_keepalive: Option<Duration>,
}

const MIB: usize = 1024 * 1024;

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_clients: 10_000,
            max_query_buffer: resp::DEFAULT_MAX_QUERY_BUFFER as usize,
            max_bulk_len: resp::DEFAULT_MAX_BULK_LEN,
            normal_output: OutputLimit::NONE,
            replica_output: OutputLimit { hard: 256 * MIB, soft: 64 * MIB, soft_for: Duration::from_secs(60) },
            pubsub_output: OutputLimit { hard: 32 * MIB, soft: 8 * MIB, soft_for: Duration::from_secs(60) },
            max_unread_output: 64 * MIB,
            idle_timeout: None,
            coalesce: Duration::from_micros(50),
            tcp_keepalive: Some(Duration::from_secs(300)),
        }
    }
}

impl Settings {
    pub(crate) fn output(&self, class: OutputClass) -> &OutputLimit {
        match class {
            OutputClass::Normal => &self.normal_output,
            OutputClass::Replica => &self.replica_output,
            OutputClass::PubSub => &self.pubsub_output,
        }
    }

    /// Bytes of waiting replies above which no command of a client of this class runs.
    #[inline]
    pub(crate) fn max_unread(&self, class: OutputClass) -> usize {
        match self.output(class).hard {
            0 => self.max_unread_output,
            hard => hard.min(self.max_unread_output),
        }
    }

    pub(crate) fn mail_limit(&self, class: OutputClass) -> usize {
        match self.output(class).hard {
            0 => MAIL_BYTES,
            hard => hard,
        }
    }

    pub(crate) fn decoder_limits(&self, authenticated: bool) -> resp::Limits {
        resp::Limits { max_bulk_len: self.max_bulk_len, authenticated, ..resp::Limits::default() }
    }
}

/// The newest settings and their number.
#[derive(Debug)]
pub(crate) struct SharedSettings {
    version: AtomicU64,
    newest: Mutex<Settings>,
}

impl SharedSettings {
    pub fn new(settings: Settings) -> Self {
        Self { version: AtomicU64::new(0), newest: Mutex::new(settings) }
    }

    pub fn change(&self, change: impl FnOnce(&mut Settings)) {
        let mut newest = self.newest.lock();
        change(&mut newest);
        self.version.fetch_add(1, Ordering::Release);
    }

    pub fn get(&self) -> Settings {
        self.newest.lock().clone()
    }

    /// Brings a thread's copy up to date; returns whether it was behind.
    #[inline]
    pub fn refresh(&self, copy: &mut Settings, version: &mut u64) -> bool {
        let newest = self.version.load(Ordering::Acquire);
        if newest == *version {
            return false;
        }
        *version = newest;
        *copy = self.get();
        true
    }
}
