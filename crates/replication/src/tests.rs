//! Groups of three drivers on engines of their own and a wire that is a list of frames: whoever tests says what is connected, and time.

mod archives;
mod copies;
mod ears;
mod exclusive;
mod hub;
mod leaders;
mod previews;
mod returns;
mod room;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use causal::Change;
use cluster::NodeId;
use effect::{Deadline, KeyspaceId, Op};
use engine::{AtRest, DbKey, Digest, Engine, Lock, Options, Recycled, Refusal};
use parking_lot::Mutex;
use wal::Position;

use crate::config::Config;
use crate::driver::Driver;
use crate::error::Error;
use crate::host::Host;
use crate::member::open;
use crate::parts::Parts;
use crate::status::{Board, Role, Status};
use crate::tail::Tail;
use crate::undone::Undone;
use crate::verdicts::Verdicts;
use ears::Ears;
use hub::{Hub, Port};

const START_MS: i64 = 1_700_000_000_000;
const NODES: usize = 3;

struct Node {
    dir: tempfile::TempDir,
    ears: Arc<Ears>,
    port: Arc<Port>,
    status: Arc<Board>,
    verdicts: Arc<Verdicts>,
    serial: Arc<crate::serial::Serial>,
    undone: Option<Arc<Undone>>,
    /// What it is to propose.
    wants: Vec<Change>,
    /// What runs.
    life: Option<(Driver, Arc<Engine>)>,
}

struct Group {
    nodes: Vec<Node>,
    hub: Arc<Hub>,
    clock: Arc<AtomicI64>,
    began: Instant,
    kept_log_bytes: u64,
    /// How often a node began anew with a copy of the state.
    copies: usize,
}

impl Group {
    /// The first founds, the others join.
    fn new() -> Self {
        Self::founded(u64::MAX)
    }

    /// One in which all take writes, and keep so much of the log for others.
    fn keeping(kept_log_bytes: u64) -> Self {
        let mut group = Self::founded(kept_log_bytes);
        group.until(|group| group.nodes.iter().all(|n| n.status.get().role == Role::Member));
        group
    }

    fn founded(kept_log_bytes: u64) -> Self {
        let mut group = Self::unfounded(kept_log_bytes);
        (0..NODES).for_each(|at| group.start(at).unwrap());
        group
    }

    fn unfounded(kept_log_bytes: u64) -> Self {
        let hub = Arc::new(Hub::default());
        let node = |id: usize| Node {
            dir: tempfile::tempdir().unwrap(),
            ears: Arc::default(),
            port: Port::new(&hub, id),
            status: Arc::default(),
            verdicts: Arc::default(),
            serial: Arc::default(),
            undone: None,
            wants: Vec::new(),
            life: None,
        };
        let (nodes, clock) = ((0..NODES).map(node).collect(), Arc::new(AtomicI64::new(START_MS)));
        Self { nodes, hub, clock, began: Instant::now(), kept_log_bytes, copies: 0 }
    }

    fn ready() -> Self {
        Self::keeping(u64::MAX)
    }

    fn options(&self, at: usize) -> Options {
        let (mut entropy, clock) = ([7; 22], Arc::clone(&self.clock));
        entropy[..6].copy_from_slice(&[0, 0, 0, 0, 0, at as u8 + 1]);
        // Clocks differ.
        Options::new(Arc::new(move || clock.load(Ordering::Relaxed) + at as i64 * 900), entropy)
    }

    fn start(&mut self, at: usize) -> Result<(), Error> {
        let options = self.options(at);
        let node = &mut self.nodes[at];
        crate::adopt_snapshot(node.dir.path())?;
        let engine = Arc::new(Engine::open(node.dir.path(), options.clone()).unwrap());
        let config = Config {
            dir: node.dir.path().into(),
            joins: at > 0,
            max_clock_skew_ms: 5_000,
            kept_log_bytes: self.kept_log_bytes,
            options,
        };
        let (membership, replica) = open(&config, &engine)?;
        let desk = crate::transactions::open(&config.dir, &engine)?;
        let undone = node.undone.insert(Arc::new(Undone::open(&config.dir, engine.undone_cipher()?)?));
        engine.set_replicating(true)?;
        node.port.name(NodeId::of(engine.origin()).unwrap());
        let parts = Parts {
            engine: Arc::clone(&engine),
            wire: Arc::clone(&node.port) as Arc<dyn crate::wire::Wire>,
            host: Arc::clone(&node.ears) as Arc<dyn Host>,
            dir: config.dir,
            membership,
            replica,
            desk,
            undone: Arc::clone(undone),
            joins: config.joins,
            frame_bytes: 4_000,
            status: Arc::clone(&node.status),
            acks: Arc::default(),
            verdicts: Arc::clone(&node.verdicts),
            serial: Arc::clone(&node.serial),
            options: config.options,
            kept_log_bytes: self.kept_log_bytes,
        };
        node.life = Some((Driver::new(parts, self.began)?, engine));
        Ok(())
    }

    /// Power fails.
    fn crash(&mut self, at: usize) {
        self.hub.cut(at, &(0..NODES).collect::<Vec<_>>());
        (self.nodes[at].life, self.nodes[at].undone) = (None, None);
    }

    fn now(&self) -> Instant {
        self.began + Duration::from_millis((self.clock.load(Ordering::Relaxed) - START_MS) as u64)
    }

    /// Five milliseconds pass.
    fn round(&mut self) {
        self.clock.fetch_add(5, Ordering::Relaxed);
        let now = self.now();
        let up: Vec<usize> = (0..NODES).filter(|at| self.nodes[*at].life.is_some()).collect();
        self.hub.connect(&up);
        for node in &mut self.nodes {
            let Some((driver, engine)) = &mut node.life else { continue };
            engine.log().sync().unwrap();
            let mut events = node.port.events();
            if driver.turn(&mut events, std::mem::take(&mut node.wants), now).is_err() {
                panic!("not everything can be carried out: {:?}", node.status.get().trouble);
            }
            assert!(events.is_empty(), "all events are taken");
        }
        for at in up {
            if !std::mem::take(&mut *self.nodes[at].ears.restarts.lock()).is_empty() {
                // The process goes on for a moment: what anybody was told now would be lost.
                assert!(matches!(self.set(at, "late", b"x"), Err(Refusal::NotOpen)));
                self.hub.cut(at, &(0..NODES).collect::<Vec<_>>());
                let (driver, engine) = self.nodes[at].life.take().unwrap();
                self.nodes[at].undone = None;
                drop(driver);
                self.copies += 1;
                Arc::into_inner(engine).unwrap().close().unwrap();
                self.start(at).unwrap();
            }
        }
    }

    fn until(&mut self, is_so: impl Fn(&Self) -> bool) {
        for _ in 0..4_000 {
            if is_so(self) {
                return;
            }
            // A copy is made by threads of real time: between two looks they get some, or this clock would run out of patience.
            if self.nodes.iter().any(|node| node.status.get().takes_snapshot) {
                std::thread::sleep(Duration::from_millis(2));
            }
            self.round();
        }
        let say = |vector: &effect::Vector| -> String {
            let one =
                |dot: effect::Dot| format!(" {}-{}:{}", dot.origin.node() >> 40, dot.origin.incarnation(), dot.seq);
            vector.iter().map(one).collect()
        };
        for node in &self.nodes {
            let s = node.status.get();
            let (applied, durable, stable) = (say(&s.applied), say(&s.durable), say(&s.stable));
            println!("copies: needs {} takes {} gives {}", s.needs_snapshot, s.takes_snapshot, s.gives_snapshot);
            println!("{:?} {} applied{applied} durable{durable} stable{stable}", s.role, s.waits_for);
            s.peers.iter().for_each(|peer| println!("    of {}: {}", peer.node, say(&peer.has)));
        }
        panic!("it does not come about");
    }

    /// Nothing of what a node's log has now stays in it. The driver reads it, and has it kept, up to a place where it has been.
    fn cut_log(&mut self, at: usize) {
        let end = self.engine(at).log().end();
        for _ in 0..50 {
            (0..3).for_each(|_| self.round());
            self.engine(at).checkpoint().unwrap();
            if self.engine(at).log().first() >= end {
                return;
            }
        }
        panic!("the log is kept, though nobody needs it");
    }

    fn engine(&self, at: usize) -> &Engine {
        &self.nodes[at].life.as_ref().unwrap().1
    }

    fn set(&self, at: usize, key: &str, value: &[u8]) -> Result<(), Refusal> {
        let (engine, mut recycled) = (self.engine(at), Recycled::new());
        let mut context = engine.context(Lock::Key(key.as_bytes(), None), 0, engine.now_ms(), &mut recycled);
        context.out.emit(key.as_bytes(), false, Op::Set { value, deadline: Deadline::Clear });
        context.commit().map(drop)
    }

    fn digest(&self, at: usize) -> Digest {
        self.engine(at).fill().unwrap();
        let (mut recycled, at_rest) = (Recycled::new(), AtRest::default());
        let mut context = self.engine(at).context(Lock::All, 0, START_MS, &mut recycled);
        context.know(&at_rest);
        let digest = context.state.digest().map_err(|_| "nothing is at rest").unwrap();
        context.abort();
        digest
    }

    /// Everybody has everything, all of it is stable, and shows the same.
    fn settle(&mut self) {
        self.hub.heal();
        self.until(|group| {
            let all: Vec<Status> = group.nodes.iter().map(|node| node.status.get()).collect();
            let vectors: Vec<_> = (0..NODES).map(|at| group.engine(at).vector()).collect();
            vectors.iter().all(|v| *v == vectors[0]) && all.iter().all(|s| s.stable == vectors[0])
        });
        let digests: Vec<Digest> = (0..NODES).map(|at| self.digest(at)).collect();
        assert!(digests.iter().all(|digest| *digest == digests[0]), "{digests:?}");
        for at in 0..NODES {
            assert_eq!(self.engine(at).unstable_keys(), 0, "nothing is kept of what is stable");
        }
    }
}

#[test]
fn what_any_node_writes_all_have_and_it_becomes_stable() {
    let mut group = Group::ready();
    for n in 0..300 {
        group.set(n % 3, &format!("k{}", n % 40), format!("v{n}").as_bytes()).unwrap();
        if n % 7 == 0 {
            group.round();
        }
    }
    group.settle();
    assert_eq!(group.engine(0).key_counts(0).keys, 40);
}

#[test]
fn a_node_takes_no_writes_before_all_count_on_it() {
    let mut group = Group::new();
    group.set(0, "k", b"founder").unwrap();
    assert!(matches!(group.set(1, "k", b"joiner"), Err(Refusal::NotOpen)));
    group.until(|group| group.nodes.iter().all(|n| n.status.get().role == Role::Member));
    group.set(1, "k", b"joiner").unwrap();
    group.settle();
}

#[test]
fn both_sides_of_a_partition_take_writes_and_agree_afterwards() {
    let mut group = Group::ready();
    for round in 0..5 {
        group.hub.cut(round % 3, &[(round + 1) % 3, (round + 2) % 3]);
        for n in 0..60 {
            group.set(n % 3, &format!("k{}", n % 10), format!("{round}:{n}").as_bytes()).unwrap();
            group.round();
        }
        group.hub.heal();
        (0..20).for_each(|_| group.round());
    }
    group.settle();
}

#[test]
fn a_node_that_crashed_comes_back_under_another_life_and_catches_up() {
    let mut group = Group::ready();
    for round in 0..4 {
        let victim = round % 3;
        for n in 0..50 {
            group.set(n % 3, &format!("k{n}"), format!("{round}:{n}").as_bytes()).unwrap();
        }
        (0..round * 2).for_each(|_| group.round());
        let before = group.engine(victim).origin();
        group.crash(victim);
        for n in 0..50 {
            let other = (victim + 1 + n % 2) % 3;
            group.set(other, &format!("k{n}"), format!("{round}+{n}").as_bytes()).unwrap();
            group.round();
        }
        group.start(victim).unwrap();
        assert!(group.engine(victim).origin() > before, "a new life");
        group.settle();
    }
}

#[test]
fn what_one_missed_is_read_from_the_log() {
    let mut group = Group::ready();
    group.crash(2);
    for n in 0..3_000 {
        group.set(n % 2, &format!("k{}", n % 500), &[b'x'; 100]).unwrap();
        if n % 100 == 0 {
            group.round();
        }
    }
    (0..5).for_each(|_| group.round());
    // What the one that is away lacks is kept.
    (0..2).for_each(|at| assert!(group.engine(at).checkpoint().unwrap().position > Position::START));
    group.start(2).unwrap();
    group.settle();
    assert_eq!(group.copies, 0);
}

#[test]
fn fsyncs_are_told_as_far_as_the_log_was_and_no_further() {
    let group = Group::unfounded(0);
    let engine = Engine::open(group.nodes[0].dir.path(), group.options(0)).unwrap();
    engine.log().set_policy(wal::Fsync::No);
    let (mut tail, mut recycled, now) = (Tail::new(&engine).unwrap(), Recycled::new(), group.began);
    let mut set = |key: &str| {
        let mut context = engine.context(Lock::All, 0, START_MS, &mut recycled);
        context.out.emit(key.as_bytes(), false, Op::Set { value: b"v", deadline: Deadline::Clear });
        context.commit().unwrap();
        engine.log().write_out().unwrap();
    };
    let tell = |tail: &mut Tail| {
        while tail.next_own(&engine).unwrap().is_some() {}
        tail.note(now);
    };
    set("a");
    tell(&mut tail);
    let first = engine.vector();
    assert_eq!(tail.synced(engine.log().durable(), now), None, "nothing was fsynced");
    engine.log().sync().unwrap();
    set("b");
    tell(&mut tail);
    assert_eq!(tail.synced(engine.log().durable(), now), Some(first), "the second one was not");
    set("c");
    engine.log().sync().unwrap();
    let untold = engine.vector();
    let told = tail.synced(engine.log().durable(), now).unwrap();
    assert!(told != untold && untold.covers(&told), "the third one was not told");
}
