//! The cluster: its nodes and connections, the events that are to come, and the driver that does what replicas ask for.

use std::collections::BTreeMap;

use causal::bind::Message;
use causal::{Config, Entry, Epoch, Frame, Input, LinkId, Output, Purpose, Record};
use effect::{Dot, Origin, Vector};

use crate::checks::Checks;
use crate::disk::Disk;
use crate::fault::Fault;
use crate::net::{Item, Net};
use crate::node::Node;
use crate::plan::Plan;
use crate::rng::Rng;
use crate::transactions;

/// Something that will happen. Events of a node name the start that they belong to.
#[derive(Debug)]
pub enum Event {
    /// The next thing arrives on a connection.
    Arrive(u64, usize),
    /// A node's clock ticks.
    Tick(u64, u32),
    /// A client writes at a node.
    Write(u64, u32),
    /// An fsync ends that began when the log was so long.
    Synced(u64, u32, usize),
    /// A read of the log ends.
    Read(u64, u32, LinkId, Purpose, Origin, (u64, u64, u64)),
    /// Missing connections are opened.
    Dial,
    /// Something bad happens.
    Trouble,
    /// A node starts.
    Start(u64),
    /// A way is free again.
    Heal(u64, u64),
    /// A client begins an exclusive transaction at a node.
    Begin(u64, u32),
    /// A message between voters arrives.
    Message(u64, u64, Box<Message>),
}

/// All of it.
pub struct Cluster {
    /// What is simulated.
    pub plan: Plan,
    /// The only source of chance.
    pub rng: Rng,
    /// True time, ms.
    pub now_ms: i64,
    /// By id.
    pub nodes: BTreeMap<u64, Node>,
    /// The network.
    pub net: Net,
    /// What must hold.
    pub checks: Checks,
    /// When members were last proposed again.
    pub(crate) insisted_ms: i64,
    /// Whether bad things still happen.
    pub is_bad: bool,
    /// By time, and then in the order in which they were planned.
    events: BTreeMap<(i64, u64), Event>,
    count: u64,
    pub(crate) largest: u64,
}

/// When it begins.
const START_MS: i64 = 1_000_000;

impl Cluster {
    /// A cluster whose nodes are about to start.
    pub fn new(plan: Plan) -> Self {
        let mut rng = Rng::new(plan.seed);
        let epoch = Epoch::new(1, 1..=plan.nodes);
        let mut nodes = BTreeMap::new();
        for id in 1..=plan.nodes {
            let mut disk = Disk::new(id, epoch.clone());
            disk.origin = Origin::new(id, 0);
            let skew = rng.between(0, 2 * plan.skew_ms) as i64 - plan.skew_ms as i64;
            let slow = if rng.one_in(6) { rng.between(20, 400) as i64 } else { 0 };
            nodes.insert(id, Node::new(id, disk, skew, slow, plan.ahead_ms as i64));
        }
        let (events, checks) = (BTreeMap::new(), Checks::default());
        let (now_ms, net, count, largest, insisted_ms) = (START_MS, Net::default(), 0, 0, 0);
        let mut cluster =
            Self { plan, rng, now_ms, nodes, net, checks, insisted_ms, is_bad: true, events, count, largest };
        (1..=cluster.plan.nodes).for_each(|id| cluster.after(0, Event::Start(id)));
        cluster.after(1, Event::Dial);
        cluster.after(300, Event::Trouble);
        cluster
    }

    /// Plans an event.
    pub fn after(&mut self, ms: i64, event: Event) {
        self.count += 1;
        self.events.insert((self.now_ms + ms, self.count), event);
    }

    /// Lets the next event happen.
    pub fn turn(&mut self) {
        let Some(((at, _), event)) = self.events.pop_first() else { return };
        self.now_ms = self.now_ms.max(at);
        if let Some(until) = self.asleep(&event) {
            return self.after(until - self.now_ms, event);
        }
        self.happen(event);
    }

    /// Until when the node sleeps that the event is for.
    fn asleep(&self, event: &Event) -> Option<i64> {
        let id = match event {
            Event::Tick(id, _) | Event::Write(id, _) | Event::Synced(id, ..) | Event::Read(id, ..) => *id,
            Event::Begin(id, _) | Event::Message(_, id, _) => *id,
            Event::Arrive(conn, way) => self.net.end(*conn, *way)?.0,
            _ => return None,
        };
        self.nodes.get(&id).map(|n| n.paused_until).filter(|until| *until > self.now_ms)
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrive(conn, way) => self.arrive(conn, way),
            Event::Tick(id, boot) => self.tick(id, boot),
            Event::Write(id, boot) => self.write(id, boot),
            Event::Synced(id, boot, len) => self.synced(id, boot, len),
            Event::Read(id, boot, link, purpose, origin, (from, to, max)) if self.runs(id, boot) => {
                let Some(node) = self.nodes.get(&id) else { return };
                let found = node.disk.read(origin, from, to, max);
                self.feed(id, Input::Read { link, purpose, origin, from, found });
            }
            Event::Read(..) => {}
            Event::Dial => self.dial(),
            Event::Trouble => self.trouble(),
            Event::Start(id) => self.start(id),
            Event::Heal(a, b) => drop(self.net.blocked.remove(&(a, b))),
            Event::Begin(id, boot) => self.begin(id, boot),
            Event::Message(from, to, message) => self.message(from, to, *message),
        }
    }

    /// Whether that start of the node is the one that runs.
    pub fn runs(&self, id: u64, boot: u32) -> bool {
        self.nodes.get(&id).is_some_and(|n| n.boot == boot && n.life.is_some())
    }

    /// Tells a replica something and does what it answers.
    pub fn feed(&mut self, id: u64, input: Input) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        let (now_ms, largest) = (self.now_ms + node.skew_ms, self.largest + 600);
        let Some(life) = &mut node.life else { return };
        let (boot, outputs) = (node.boot, life.replica.step(now_ms, input));
        life.replica.validate(largest);
        for output in outputs {
            if !self.runs(id, boot) {
                break;
            }
            self.carry_out(id, output);
        }
    }

    fn carry_out(&mut self, id: u64, output: Output) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        let boot = node.boot;
        match output {
            Output::Send(link, frame) => self.send(id, link, frame),
            Output::Close(link, _) => self.put(link.0, id, Item::Close),
            Output::Apply(entry, context) => self.apply(id, &entry, &context),
            Output::Read { link, purpose, origin, from, to, max_bytes } => {
                let ms = self.rng.below(4) as i64;
                self.after(ms, Event::Read(id, boot, link, purpose, origin, (from, to, max_bytes)));
            }
            Output::Observe(hlc) => {
                if let Some(life) = &mut node.life {
                    life.clock.observe(hlc);
                }
            }
            Output::Cut(cut) => self.cut(id, cut),
            Output::Persist(Record::Vote(vote)) => node.disk.vote = vote,
            Output::Persist(Record::Life(origin)) => node.disk.origin = origin,
            Output::Persist(Record::Epoch(epoch)) => {
                // One that is outside notes that it is no member.
                if epoch.number > 0 {
                    self.checks.decided(&epoch);
                }
                node.disk.vote = causal::Vote::default();
                node.disk.epoch = epoch;
            }
            Output::Writable(origin) if node.disk.restored => {
                self.tell_forgot(id, origin);
                self.nodes
                    .values_mut()
                    .filter(|n| n.id == id && n.boot == boot)
                    .for_each(|n| n.disk.restored = n.life.is_none());
            }
            Output::Writable(_) => {}
            Output::Superseded => self.checks.fail("no origin is taken twice", format!("node {id}")),
            Output::Farewell(undelivered) => {
                let lost = node.disk.lost_binds(&undelivered);
                let moved = node.disk.give_up(&undelivered);
                if self.plan.fault == Some(Fault::LosesUndelivered) {
                    node.disk.again.pop();
                }
                (node.life, node.is_back) = (None, true);
                node.shown.clear();
                node.previewed.clear();
                self.checks.outcomes.lost(id);
                self.checks.moved(&[moved, lost].concat());
                self.excuse_without(id);
                self.after(50, Event::Start(id));
            }
            Output::Dropped | Output::Nacked(..) | Output::NeedsSnapshot(_) => {}
        }
    }

    fn apply(&mut self, id: u64, entry: &Entry, context: &Vector) {
        let twice = self.plan.fault == Some(Fault::AppliesTwice) && self.rng.one_in(20);
        let skips = self.plan.fault == Some(Fault::SkipsState) && self.rng.one_in(20);
        if self.plan.fault == Some(Fault::LosesBatch) && self.rng.one_in(20) {
            return;
        }
        let Some(node) = self.nodes.get_mut(&id) else { return };
        let Some(life) = &mut node.life else { return };
        for _ in 0..=usize::from(twice) {
            self.checks.applied(id, &mut life.seen, entry);
            if !skips {
                life.state.apply(entry, context);
            }
            node.disk.append(entry.clone());
        }
        self.took_in(id, entry);
        self.begin_sync(id);
    }

    fn cut(&mut self, id: u64, mut cut: causal::Cut) {
        match self.plan.fault {
            Some(Fault::CutGoesBack) if self.rng.one_in(5) => {
                cut.hlc = cut.hlc.map(|hlc| effect::Hlc(hlc.0 - (3_000 << 16)))
            }
            Some(Fault::CutNamesMore) => {
                let more: Vec<Dot> = cut.vector.iter().map(|dot| Dot { seq: dot.seq + 1, ..dot }).collect();
                more.into_iter().for_each(|dot| cut.vector.add(dot));
            }
            _ => {}
        }
        let Some(life) = self.nodes.get_mut(&id).and_then(|n| n.life.take()) else { return };
        let mut life = life;
        if let Some(hlc) = cut.hlc {
            life.state.fold(hlc);
        }
        let stable = cut.vector.clone();
        let disks: Vec<(u64, &Disk)> = self.nodes.values().map(|n| (n.id, &n.disk)).collect();
        let members = life.replica.epoch().clone();
        self.checks.cut(id, &mut life.seen, &cut, &members, &disks);
        if let Some(node) = self.nodes.get_mut(&id) {
            life.stable = Some(stable);
            node.life = Some(life);
        }
        self.tell_stable(id);
    }

    fn tick(&mut self, id: u64, boot: u32) {
        if !self.runs(id, boot) {
            return;
        }
        let now_ms = self.now_ms;
        let Some(node) = self.nodes.get_mut(&id) else { return };
        let mut promised = node.promise(now_ms + node.skew_ms);
        if self.plan.fault == Some(Fault::BreaksPromise) {
            promised = promised.plus(500 << 16);
        }
        if self.plan.fault == Some(Fault::ForgetsVotes) && self.rng.one_in(4) {
            self.forget_votes(id);
        }
        self.feed(id, Input::Tick { promised });
        self.tell_members(id);
        self.step(id, causal::bind::Input::Tick);
        let ms = self.rng.between(20, 60) as i64;
        self.after(ms, Event::Tick(id, boot));
    }

    fn send(&mut self, id: u64, link: LinkId, mut frame: Frame) {
        match (self.plan.fault, &mut frame) {
            (Some(Fault::ForgetsContext), Frame::Batches(entries)) => {
                entries.iter_mut().for_each(|entry| entry.grown = Vector::new());
            }
            (Some(Fault::ChangesClock), Frame::Batches(entries)) if self.rng.one_in(10) => {
                entries.iter_mut().for_each(|entry| entry.hlc = entry.hlc.plus(1));
            }
            (Some(Fault::GivesTooMuchRoom), Frame::Hello(hello)) => hello.window = 1 << 30,
            _ => {}
        }
        let mut bytes = Vec::with_capacity(300);
        frame.encode(&mut bytes);
        if self.plan.fault == Some(Fault::CutsFrames) && self.rng.one_in(50) {
            bytes.pop();
        }
        self.put(link.0, id, Item::Frame(bytes));
    }

    /// Puts something on its way from a node.
    pub fn put(&mut self, conn: u64, from: u64, item: Item) {
        let slow: i64 = self.nodes.get(&from).map_or(0, |n| n.slow_ms);
        let ms = self.rng.between(0, self.plan.latency_ms) as i64 + slow;
        let planned = self.net.put(conn, from, item, self.now_ms + ms);
        if let Some((way, at)) = planned {
            self.after(at - self.now_ms, Event::Arrive(conn, way));
        }
    }

    fn arrive(&mut self, conn: u64, way: usize) {
        if self.net.is_blocked(conn, way) {
            return self.after(50, Event::Arrive(conn, way));
        }
        let Some((id, boot)) = self.net.end(conn, way) else { return };
        let Some(item) = self.net.take(conn, way) else { return };
        if !self.runs(id, boot) {
            // Nobody is there to hear of its end.
            if matches!(item, Item::Close) {
                self.net.remove(conn);
            }
            return;
        }
        let link = LinkId(conn);
        match item {
            Item::Open => self.feed(id, Input::Connected(link)),
            Item::Close => {
                self.feed(id, Input::Closed(link));
                self.net.remove(conn);
            }
            Item::Frame(bytes) => match Frame::decode(&bytes) {
                Ok(frame) => self.feed(id, Input::Received(link, frame)),
                Err(error) => self.checks.fail("frames are read as they were written", error.to_string()),
            },
        }
    }

    /// Opens the connections that are missing, where nothing is in the way.
    fn dial(&mut self) {
        self.after(if self.is_bad { 150 } else { 100 }, Event::Dial);
        let up: Vec<(u64, u32)> = self.nodes.values().filter(|n| n.life.is_some()).map(|n| (n.id, n.boot)).collect();
        for (at, a) in up.iter().enumerate() {
            for b in &up[at + 1..] {
                let is_free = !self.net.blocked.contains(&(a.0, b.0)) && !self.net.blocked.contains(&(b.0, a.0));
                if is_free && !self.net.joins(*a, *b) && (!self.is_bad || self.rng.percent(80)) {
                    let conn = self.net.open(*a, *b);
                    self.put(conn, a.0, Item::Open);
                    self.put(conn, b.0, Item::Open);
                }
            }
        }
    }

    /// A node starts on its disk. Unless it was stopped in good order it takes a new origin first.
    pub fn start(&mut self, id: u64) {
        let config = Config {
            window_bytes: self.plan.window_bytes,
            // Those that come back fetch everything.
            fetch_bytes: self.plan.window_bytes.max(if self.plan.elections || self.plan.restores {
                4_000
            } else {
                500
            }),
            frame_bytes: self.plan.window_bytes.min(1_000),
            ..Config::default()
        };
        let (fault, now_ms) = (self.plan.fault, self.now_ms);
        let keeps = fault == Some(Fault::KeepsOrigin);
        let Some(node) = self.nodes.get_mut(&id).filter(|n| n.life.is_none()) else { return };
        let incarnation = node.disk.origin.incarnation();
        if !node.disk.restored && (!keeps || incarnation == 0) {
            node.disk.origin = Origin::new(id, incarnation + 1);
        }
        let mut replica_config = config;
        if self.plan.fault == Some(Fault::GivesTooMuchRoom) {
            replica_config.max_clock_skew_ms = -1_000;
        }
        let replica = node.disk.open(replica_config);
        let binds = transactions::open(id, now_ms, &node.disk);
        node.start(replica, binds, fault);
        let (boot, is_restored) = (node.boot, node.disk.restored);
        if is_restored {
            self.tell_forgot(id, Origin::new(id, u16::MAX));
        }
        self.tell_members(id);
        self.look(id);
        self.after(1, Event::Tick(id, boot));
        self.after(5, Event::Write(id, boot));
        self.after(7, Event::Begin(id, boot));
    }
}
