//! What others may know of a client: CLIENT LIST, CLIENT KILL.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use command::table::{self, CommandId};
use parking_lot::Mutex;

use crate::net::{Peer, PeerAddr};

/// A client as CLIENT LIST shows it. Its own thread writes it, others read it.
pub struct ClientInfo {
    /// Where it comes from.
    pub peer: Peer,
    /// When it connected, unix ms.
    pub since_ms: i64,
    /// When it last sent a command, unix ms.
    pub active_ms: AtomicI64,
    /// Its logical database.
    pub db: AtomicU32,
    /// Its protocol version.
    pub protocol: AtomicU32,
    /// Channels it listens to.
    pub channels: AtomicUsize,
    /// Patterns it listens to.
    pub patterns: AtomicUsize,
    /// Commands queued in its transaction; -1 outside of one.
    pub multi: AtomicI64,
    /// Keys that it watches.
    pub watched: AtomicUsize,
    /// It waits for data.
    pub blocked: AtomicBool,
    /// It sees every command.
    pub monitor: AtomicBool,
    /// CLIENT NO-EVICT.
    pub no_evict: AtomicBool,
    /// CLIENT NO-TOUCH.
    pub no_touch: AtomicBool,
    /// Commands that it has run.
    pub commands: AtomicU64,
    /// The wait that it is in, 0 for none.
    pub ticket: AtomicU64,
    /// The number of the last command, plus one.
    last: AtomicU32,
    /// Name and library.
    pub names: Mutex<Names>,
}

/// What a client says of itself.
#[derive(Default, Clone)]
pub struct Names {
    /// CLIENT SETNAME.
    pub name: Vec<u8>,
    /// CLIENT SETINFO LIB-NAME.
    pub lib_name: Vec<u8>,
    /// CLIENT SETINFO LIB-VER.
    pub lib_ver: Vec<u8>,
}

impl ClientInfo {
    /// A client that has just connected.
    pub fn new(peer: Peer, now_ms: i64) -> Self {
        Self {
            peer,
            since_ms: now_ms,
            active_ms: AtomicI64::new(now_ms),
            db: AtomicU32::new(0),
            protocol: AtomicU32::new(2),
            channels: AtomicUsize::new(0),
            patterns: AtomicUsize::new(0),
            multi: AtomicI64::new(-1),
            watched: AtomicUsize::new(0),
            blocked: AtomicBool::new(false),
            monitor: AtomicBool::new(false),
            no_evict: AtomicBool::new(false),
            no_touch: AtomicBool::new(false),
            commands: AtomicU64::new(0),
            ticket: AtomicU64::new(0),
            last: AtomicU32::new(0),
            names: Mutex::default(),
        }
    }

    /// The client runs a command; its own thread says so.
    #[inline]
    pub fn note_command(&self, id: CommandId) {
        self.last.store(id.index() as u32 + 1, Ordering::Relaxed);
        self.commands.store(self.commands.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    /// The full name of the last command; `NULL` before the first, as Redis prints it.
    pub fn last_command(&self) -> String {
        let last = (self.last.load(Ordering::Relaxed) as usize).checked_sub(1);
        last.and_then(|at| table::ids().nth(at)).map_or_else(|| "NULL".into(), table::full_name)
    }

    /// The client's address as Redis prints it.
    pub fn remote(&self, unix_path: &str) -> String {
        match &self.peer.addr {
            PeerAddr::Tcp { remote, .. } => remote.to_string(),
            PeerAddr::Unix => format!("{unix_path}:0"),
        }
    }

    /// Our address as Redis prints it.
    pub fn local(&self, unix_path: &str) -> String {
        match &self.peer.addr {
            PeerAddr::Tcp { local, .. } => local.to_string(),
            PeerAddr::Unix => format!("{unix_path}:0"),
        }
    }

    /// Whether it comes from this machine.
    pub fn is_local(&self) -> bool {
        match &self.peer.addr {
            PeerAddr::Tcp { remote, .. } => remote.ip().to_canonical().is_loopback(),
            PeerAddr::Unix => true,
        }
    }
}
