//! What the handle of a mesh and its thread both see.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use mio::Waker;
use parking_lot::{Mutex, RwLock};

use crate::conn::Link;
use crate::limits::FIGURES;
use crate::metrics::{Counters, Metrics};
use crate::node::NodeId;
use crate::resolve::Answer;

/// What the thread is told.
#[derive(Debug)]
pub(crate) enum Command {
    Dial(String),
    Close(NodeId, &'static str),
    Resolved(Answer),
    Stop,
}

/// Both sides of it.
#[derive(Debug)]
pub(crate) struct Shared {
    waker: Waker,
    woken: AtomicBool,
    commands: Mutex<Vec<Command>>,
    /// Connections that are up.
    pub links: RwLock<HashMap<NodeId, Arc<Link>>>,
    figures: Mutex<BTreeMap<NodeId, Arc<Counters>>>,
    pub certificate_ends: AtomicU64,
    pub refused: AtomicU64,
}

impl Shared {
    pub(crate) fn new(waker: Waker) -> Self {
        Self {
            waker,
            woken: AtomicBool::new(false),
            commands: Mutex::default(),
            links: RwLock::default(),
            figures: Mutex::default(),
            certificate_ends: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// Has the thread look at everything, once however often it is asked before it does.
    pub(crate) fn wake(&self) {
        if !self.woken.swap(true, Ordering::SeqCst)
            && let Err(error) = self.waker.wake()
        {
            // An eventfd does not fail while the process has it.
            tracing::error!(%error, "the cluster's thread could not be woken");
        }
    }

    /// From here on a wake is another one. What was done before it is seen by whoever looks after this.
    pub(crate) fn awake(&self) {
        self.woken.store(false, Ordering::SeqCst);
    }

    pub(crate) fn command(&self, command: Command) {
        self.commands.lock().push(command);
        self.wake();
    }

    pub(crate) fn commands(&self) -> Vec<Command> {
        std::mem::take(&mut *self.commands.lock())
    }

    /// The figures of a node. When too many have been seen, those of nodes that are gone make room.
    pub(crate) fn counters(&self, node: NodeId) -> Arc<Counters> {
        let mut figures = self.figures.lock();
        if figures.len() >= FIGURES && !figures.contains_key(&node) {
            figures.retain(|_, counters| Arc::strong_count(counters) > 1);
        }
        Arc::clone(figures.entry(node).or_default())
    }

    pub(crate) fn metrics(&self) -> Metrics {
        let links = self.links.read();
        let connected = |node| links.get(node).map(|link| (link.peer.clone(), link.outbox.waiting()));
        let figures = self.figures.lock();
        Metrics {
            certificate_ends: self.certificate_ends.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            peers: figures.iter().map(|(node, counters)| counters.metrics(*node, connected(node))).collect(),
        }
    }
}
