//! The handle of a member: it starts the wire and the thread, and says how things are.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use causal::bind::SafetyRules;
use causal::{Change, Cut, Epoch, Opening, Replica, Start};
use cluster::{Inbox, Mesh, Metrics, NodeId};
use effect::Dot;
use engine::Engine;
use parking_lot::Mutex;

use crate::acks::{AckWait, Acks, Tell};
use crate::config::Config;
use crate::driver::Driver;
use crate::error::Error;
use crate::host::Host;
use crate::limits::{GATHER, TICK};
use crate::membership::Membership;
use crate::parts::Parts;
use crate::safety::SafetyBook;
use crate::serial::Serial;
use crate::status::{Board, Electorate, Role, Status};
use crate::transactions;
use crate::undone::Undone;
use crate::verdicts::{TellOutcome, Verdicts};
use crate::wire::encode_published;

/// This node as a member of a causal group. It stops when it is dropped.
pub struct Member {
    mesh: Arc<Mesh>,
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    status: Arc<Board>,
    acks: Arc<Acks>,
    verdicts: Arc<Verdicts>,
    serial: Arc<Serial>,
    undone: Arc<Undone>,
    safety: SafetyBook,
    changes: Mutex<Vec<Change>>,
    stop: AtomicBool,
    nudge: cluster::Nudge,
}

impl Member {
    /// Opens the replica on what is in the engine, and the wire. Nothing may be written to the engine meanwhile.
    pub fn start(
        config: &Config,
        wire: cluster::Config,
        engine: Arc<Engine>,
        host: Arc<dyn Host>,
    ) -> Result<Self, Error> {
        let (membership, replica) = open(config, &engine)?;
        let desk = transactions::open(&config.dir, &engine)?;
        let undone = Arc::new(Undone::open(&config.dir, engine.undone_cipher()?)?);
        engine.set_replicating(true)?;
        let frame_bytes = causal::limits::FRAME_BYTES;
        let status = Arc::new(Board::default());
        let (acks, verdicts, serial) = <(Arc<Acks>, Arc<Verdicts>, Arc<Serial>)>::default();
        let safety = SafetyBook::new(Arc::clone(&engine));
        let (mesh, inbox) = Mesh::start(wire)?;
        let mesh = Arc::new(mesh);
        let parts = Parts {
            engine: Arc::clone(&engine),
            wire: Arc::clone(&mesh) as Arc<dyn crate::wire::Wire>,
            host,
            dir: config.dir.clone(),
            membership,
            replica,
            desk,
            undone: Arc::clone(&undone),
            joins: config.joins,
            frame_bytes,
            status: Arc::clone(&status),
            acks: Arc::clone(&acks),
            verdicts: Arc::clone(&verdicts),
            serial: Arc::clone(&serial),
            options: config.options.clone(),
            kept_log_bytes: config.kept_log_bytes,
        };
        let driver = Driver::new(parts, Instant::now())?;
        let nudge = inbox.nudge();
        let observer = nudge.clone();
        engine.log().observe(move || observer.note());
        serial.set_nudge(nudge.clone());
        let (changes, stop) = (Mutex::default(), AtomicBool::new(false));
        let shared = Arc::new(Shared { status, acks, verdicts, serial, undone, safety, changes, stop, nudge });
        let seen = Arc::clone(&shared);
        let run = move || run(driver, &inbox, &seen);
        let thread = thread::Builder::new().name("replica".into()).spawn(run).map_err(Error::Thread)?;
        Ok(Self { mesh, shared, thread: Mutex::new(Some(thread)) })
    }

    /// How it is doing.
    pub fn status(&self) -> Status {
        self.shared.status.get()
    }

    /// What it is in its group; cheap enough to be asked at each command.
    #[inline]
    pub fn role(&self) -> Role {
        self.shared.status.role()
    }

    /// Figures of the wire.
    pub fn metrics(&self) -> Metrics {
        self.mesh.metrics()
    }

    /// Where the wire is listened on.
    pub fn addresses(&self) -> &[std::net::SocketAddr] {
        self.mesh.addresses()
    }

    /// Proposes other members. What comes of it is in the status, later.
    pub fn propose(&self, change: Change) {
        self.shared.changes.lock().push(change);
        self.shared.nudge.nudge();
    }

    /// Proposes that the group goes on without a node.
    pub fn forget(&self, node: NodeId) {
        self.propose(Change::Leave(node.get()));
    }

    /// How many other members have this effect of this node for good, and all before it.
    pub fn copies(&self, dot: Dot) -> usize {
        self.shared.acks.copies(dot)
    }

    /// Tells once so many other members have it, which may be at once; peers are asked to sync it as soon as they have it.
    pub fn when_copied(&self, dot: Dot, nodes: usize, tell: Tell) -> AckWait {
        let wait = self.shared.acks.wait(dot, nodes, tell);
        self.shared.nudge.nudge();
        wait
    }

    /// Ends a wait. It may just have been told.
    pub fn stop_waiting(&self, wait: AckWait) {
        self.shared.acks.leave(wait);
    }

    /// Who decides on a transaction that begins now.
    pub fn electorate(&self) -> Electorate {
        self.shared.status.electorate()
    }

    /// Tells how a transaction ends that has just been logged here, which may be at once.
    pub fn when_decided(&self, bind: Dot, tell: TellOutcome) {
        self.shared.verdicts.wait(bind, tell);
    }

    /// What clients of this node may have been told was done, and is so no more.
    pub fn undone(&self) -> &Undone {
        &self.shared.undone
    }

    /// Ends such a wait. It may just have been told.
    pub fn stop_waiting_for(&self, bind: Dot) {
        self.shared.verdicts.leave(bind);
    }

    /// Transactions that another node leads, and those of others that are led here.
    pub fn serial(&self) -> &Arc<Serial> {
        &self.shared.serial
    }

    /// Which keys are safe for transactions that begin now.
    pub fn safety(&self) -> Arc<SafetyRules> {
        self.shared.safety.rules()
    }

    /// A node may be found at `host:port`, that of the cluster.
    pub fn meet(&self, address: &str) -> Result<(), Error> {
        Ok(self.mesh.add_peer(address)?)
    }

    /// Sends a message of a channel to all nodes; those that are not connected do not get it.
    pub fn publish(&self, channel: &[u8], message: &[u8]) {
        let frame = encode_published(channel, message);
        for peer in self.shared.status.peers() {
            // As in Redis, a message that cannot be delivered is lost.
            let _ = self.mesh.send(peer, &frame);
        }
    }

    /// Ends: nothing of other nodes is applied any more, and they are told nothing.
    pub fn stop(&self) {
        self.shared.stop.store(true, Ordering::Release);
        self.shared.nudge.nudge();
        let thread = self.thread.lock().take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the thread of replication has panicked");
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.stop();
    }
}

fn run(mut driver: Driver, inbox: &Inbox, shared: &Shared) {
    let (mut events, mut wait_until) = (Vec::new(), Instant::now());
    while !shared.stop.load(Ordering::Acquire) {
        let has_come = inbox.wait(wait_until);
        let began = Instant::now();
        if events.is_empty() {
            inbox.drain(&mut events);
        }
        let changes = std::mem::take(&mut *shared.changes.lock());
        wait_until = match driver.turn(&mut events, changes, began) {
            Ok(()) => {
                // Somebody waits for each step of a transaction.
                if has_come && driver.transactions_are_quiet() {
                    inbox.rest(driver.next_turn().min(began + GATHER));
                }
                driver.next_turn()
            }
            Err(at) => {
                // Events stay where they are: their senders wait.
                while !shared.stop.load(Ordering::Acquire) && Instant::now() < at {
                    thread::sleep(TICK);
                }
                at
            }
        };
    }
}

/// The replica as the disk says.
pub(crate) fn open(config: &Config, engine: &Engine) -> Result<(Membership, Replica), Error> {
    let engine::Opening { origin, vector, heads, contexts, stable, cut_hlc } = engine.opening()?;
    let node = NodeId::of(origin).ok_or(Error::NoId)?.get();
    let membership = match Membership::load(engine)? {
        Some(membership) => membership,
        None => {
            let effects: u64 = vector.iter().map(|dot| dot.seq).sum();
            if config.joins && effects > 0 {
                return Err(Error::OwnData { effects });
            }
            let epoch = if config.joins { Epoch::default() } else { Epoch::new(1, [node]) };
            let (vote, before) = (causal::Vote::default(), vector.clone());
            let membership = Membership { restored: config.joins, epoch, vote, before };
            membership.save(engine)?;
            membership
        }
    };
    let opening = Opening {
        origin,
        start: if membership.restored { Start::Restored } else { Start::Sound },
        applied: vector,
        heads,
        contexts: contexts.into_iter().map(|(origin, context)| (origin, Arc::new(context))).collect(),
        cut: Cut { hlc: cut_hlc, vector: stable },
        epoch: membership.epoch.clone(),
        vote: membership.vote.clone(),
    };
    let replica_config = causal::Config { max_clock_skew_ms: config.max_clock_skew_ms, ..causal::Config::default() };
    Ok((membership, Replica::open(replica_config, opening)))
}
