//! The replica: its state, its one door [`Replica::step`], and what always holds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use effect::{GroupId, Hlc, Origin, Vector};

use crate::council::Council;
use crate::epoch::{Epoch, Vote};
use crate::frame::{Frame, Hello};
use crate::holes::Holes;
use crate::io::{Change, Cut, Input, LinkId, Output};
use crate::limits;
use crate::link::Link;
use crate::lives::{Gate, Life};
use crate::marks::Marks;
use crate::stability::View;

/// What can be set.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// The group that this is about.
    pub group: GroupId,
    /// See [`limits::WINDOW_BYTES`].
    pub window_bytes: u64,
    /// See [`limits::FETCH_BYTES`].
    pub fetch_bytes: u64,
    /// See [`limits::FRAME_BYTES`].
    pub frame_bytes: u64,
    /// See [`limits::MAX_CLOCK_SKEW_MS`].
    pub max_clock_skew_ms: i64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            group: GroupId(0),
            window_bytes: limits::WINDOW_BYTES,
            fetch_bytes: limits::FETCH_BYTES,
            frame_bytes: limits::FRAME_BYTES,
            max_clock_skew_ms: limits::MAX_CLOCK_SKEW_MS,
        }
    }
}

/// How this life of the node came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// All that the node ever said it had fsynced is there, and its clock is above what it promised: it may write at once, under an
    /// origin of its own unless the last stop was clean.
    Sound,
    /// The disk is an older one, a copy, or empty: it may lack what the node said it had. An origin is taken once all members
    /// have told which ones they know; writing begins once all of them count on it.
    Restored,
}

/// What a start finds on its disk.
#[derive(Debug, Clone)]
pub struct Opening {
    /// This node. With [`Start::Restored`] its incarnation is the last one that the disk knows.
    pub origin: Origin,
    /// How it comes to life.
    pub start: Start,
    /// All that the log and the rows have, which is durable.
    pub applied: Vector,
    /// Of each origin the timestamp of its last effect.
    pub heads: BTreeMap<Origin, Hlc>,
    /// Of each origin what it had observed when it wrote that.
    pub contexts: BTreeMap<Origin, Arc<Vector>>,
    /// The cut of the last checkpoint.
    pub cut: Cut,
    /// The epoch.
    pub epoch: Epoch,
    /// The vote on the next one.
    pub vote: Vote,
}

/// What is known of a connected replica.
#[derive(Debug, Clone, Copy)]
pub struct PeerView<'r> {
    /// By which connection.
    pub link: LinkId,
    /// Who it is.
    pub origin: Origin,
    /// What it has fsynced, by its last statement.
    pub has: &'r Vector,
    /// The way there and back, if it was measured.
    pub rtt_ms: Option<i64>,
}

/// What becomes of the effects that a node has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// They are its group's, or it has none.
    Inside,
    /// It belongs to no group that has them, and waits until all members have said which they have.
    Outside,
    /// It has said [`Output::Farewell`]: what it has is to be given up, and it does nothing more.
    Left,
}

impl Standing {
    fn of(is_outside: bool) -> Self {
        if is_outside { Self::Outside } else { Self::Inside }
    }

    /// The group has gone on without it. Whoever has left has.
    pub(crate) fn turn_out(&mut self) {
        if *self == Self::Inside {
            *self = Self::Outside;
        }
    }
}

/// One member of a causal group.
#[derive(Debug)]
pub struct Replica {
    pub(crate) config: Config,
    pub(crate) now_ms: i64,
    pub(crate) out: Vec<Output>,

    /// Incarnation 0: not taken yet.
    pub(crate) me: Origin,
    pub(crate) gate: Gate,
    pub(crate) epoch: Epoch,
    pub(crate) council: Council,
    pub(crate) standing: Standing,
    /// What members have, for an outsider.
    pub(crate) farewells: BTreeMap<u64, Vector>,

    pub(crate) applied: Vector,
    pub(crate) durable: Vector,
    pub(crate) heads: BTreeMap<Origin, Hlc>,
    pub(crate) contexts: BTreeMap<Origin, Arc<Vector>>,

    pub(crate) promised: Hlc,
    pub(crate) views: BTreeMap<u64, View>,
    pub(crate) lives: BTreeMap<u64, Life>,
    pub(crate) marks: BTreeMap<Origin, Marks>,
    pub(crate) cut: Cut,

    pub(crate) links: BTreeMap<LinkId, Link>,
    pub(crate) holes: Holes,
}

impl Replica {
    /// A replica as its disk says. It has no connection.
    pub fn open(config: Config, opening: Opening) -> Self {
        let (me, gate) = match opening.start {
            Start::Sound if opening.epoch.has(opening.origin.node()) => (opening.origin, Gate::Open),
            Start::Sound => (opening.origin, Gate::waiting()),
            Start::Restored => (Origin::new(opening.origin.node(), 0), Gate::opening(opening.origin)),
        };
        let mut replica = Self {
            config,
            now_ms: 0,
            out: Vec::new(),
            me,
            gate,
            council: Council::new(opening.vote, opening.applied.clone()),
            standing: Standing::of(!opening.epoch.has(me.node()) && !opening.applied.is_empty()),
            farewells: BTreeMap::new(),
            durable: opening.applied.clone(),
            applied: opening.applied,
            heads: opening.heads,
            contexts: opening.contexts,
            promised: Hlc(0),
            views: BTreeMap::new(),
            lives: BTreeMap::new(),
            marks: BTreeMap::new(),
            cut: opening.cut,
            links: BTreeMap::new(),
            holes: Holes::default(),
            epoch: opening.epoch,
        };
        replica.know_own_disk();
        replica
    }

    /// Takes in what happened; what must be done, in order.
    pub fn step(&mut self, now_ms: i64, input: Input) -> Vec<Output> {
        self.now_ms = now_ms;
        match input {
            Input::Connected(id) => self.connected(id),
            Input::Closed(id) => self.forget_link(id),
            Input::Received(id, frame) => self.received(id, frame),
            Input::Wrote(entry) => self.wrote(entry),
            Input::Synced(vector) => self.synced(&vector),
            Input::Read { link, purpose, origin, from, found } => self.read(link, purpose, origin, from, found),
            Input::Tick { promised } => self.tick(promised),
            Input::Propose(change) => self.propose(change),
        }
        std::mem::take(&mut self.out)
    }

    fn connected(&mut self, id: LinkId) {
        self.links.insert(id, Link { heard_ms: self.now_ms, ..Link::default() });
        let hello = Hello {
            group: self.config.group,
            origin: self.me,
            epoch: self.epoch.clone(),
            applied: self.applied.clone(),
            lives: self.lives.iter().map(|(node, life)| (*node, life.incarnation)).collect(),
            window: self.config.window_bytes,
            vote: self.council.vote().clone(),
        };
        self.send(id, Frame::Hello(hello));
    }

    fn received(&mut self, id: LinkId, frame: Frame) {
        let now_ms = self.now_ms;
        let Some(link) = self.links.get_mut(&id) else { return };
        link.heard_ms = now_ms;
        let peer = link.peer;
        match (frame, peer) {
            (Frame::Hello(hello), None) => self.hello(id, hello),
            (Frame::Hello(_), Some(_)) => self.close(id, "a second hello"),
            (_, None) => self.close(id, "no hello"),
            (Frame::Decided(epoch), Some(_)) => self.adopt(epoch),
            (Frame::Motion(motion), Some(peer)) => self.motion(id, peer.node(), motion),
            (Frame::Statement(statement), Some(peer)) => self.stated(id, peer, statement),
            (Frame::Batches(entries), Some(peer)) => self.batches(id, peer, entries),
            (Frame::Fetched(origin, entries), Some(_)) => self.fetched(id, origin, entries),
            (Frame::Credit(bytes), Some(_)) => self.credited(id, bytes),
            (Frame::Fetch { origin, from, to }, Some(_)) => self.asked(id, origin, from, to),
            (Frame::Gone(origin, first), Some(_)) => self.gone(id, origin, first),
            (Frame::Nack(nack), Some(peer)) => self.nacked(id, peer, nack),
        }
    }

    fn synced(&mut self, vector: &Vector) {
        self.durable.join(vector);
        debug_assert!(self.applied.covers(&self.durable), "something is durable that was not applied");
        self.seal();
        self.open_gate();
        self.advance();
    }

    fn tick(&mut self, promised: Hlc) {
        self.promised = self.promised.max(promised);
        self.note_own_mark();
        let silent = |link: &Link| self.now_ms - link.heard_ms > limits::SILENT_MS;
        let dead: Vec<LinkId> = self.links.iter().filter(|(_, link)| silent(link)).map(|(id, _)| *id).collect();
        dead.into_iter().for_each(|id| self.close(id, "silent"));
        self.deliver();
        self.advance();
        self.look_for_holes();
        self.council_tick();
        self.state_all();
    }

    pub(crate) fn send(&mut self, id: LinkId, frame: Frame) {
        self.out.push(Output::Send(id, frame));
    }

    pub(crate) fn close(&mut self, id: LinkId, why: &'static str) {
        if self.links.contains_key(&id) {
            self.forget_link(id);
            self.out.push(Output::Close(id, why));
        }
    }

    /// Nothing of a closed connection stays, not even what it brought and what waits: see [`Life`].
    fn forget_link(&mut self, id: LinkId) {
        self.links.remove(&id);
        self.holes.forget_link(id);
    }

    /// The connection to a node.
    pub(crate) fn link_to(&self, node: u64) -> Option<LinkId> {
        self.links.iter().find(|(_, link)| link.node() == Some(node)).map(|(id, _)| *id)
    }

    /// Who this is; incarnation 0 as long as it may not write.
    pub fn origin(&self) -> Origin {
        self.me
    }

    /// What has been handed out to be applied.
    pub fn applied(&self) -> &Vector {
        &self.applied
    }

    /// What is fsynced.
    pub fn durable(&self) -> &Vector {
        &self.durable
    }

    /// How far stability has come.
    pub fn cut(&self) -> &Cut {
        &self.cut
    }

    /// The epoch that it is in.
    pub fn epoch(&self) -> &Epoch {
        &self.epoch
    }

    /// The change of the members that it was asked for and that has not come about.
    pub fn wants(&self) -> Option<Change> {
        self.council.wanted
    }

    /// Whether it may write.
    pub fn may_write(&self) -> bool {
        matches!(self.gate, Gate::Open) && self.epoch.has(self.me.node())
    }

    /// Of each origin what it had observed when it wrote its last effect, as far as that is not stable.
    pub fn contexts(&self) -> &BTreeMap<Origin, Arc<Vector>> {
        &self.contexts
    }

    /// Of each origin the timestamp of its last effect.
    pub fn heads(&self) -> &BTreeMap<Origin, Hlc> {
        &self.heads
    }

    /// Whether it has effects and belongs to no group that has them: it waits for [`Output::Farewell`], and then to be given up.
    pub fn is_outside(&self) -> bool {
        self.standing != Standing::Inside
    }

    /// Connected replicas, as they have described themselves.
    pub fn peers(&self) -> impl Iterator<Item = PeerView<'_>> {
        let known = self.links.iter().filter_map(|(link, state)| Some((*link, state.peer?, state)));
        known.map(|(link, origin, state)| PeerView { link, origin, has: &state.has, rtt_ms: state.rtt_ms })
    }

    /// What every other member has fsynced, if all of them have said so.
    pub fn delivered(&self) -> Option<Vector> {
        let others = self.epoch.members.iter().filter(|node| **node != self.me.node());
        let said = |node: &u64| self.views.get(node)?.said.as_ref().map(|said| &said.durable);
        others.map(said).try_fold(self.applied.clone(), |all, one| Some(all.meet(one?)))
    }

    /// Why it may not write, in words.
    pub fn waits_for(&self) -> String {
        match &self.gate {
            Gate::Open => "nothing".to_owned(),
            Gate::Opening { heard, .. } => {
                format!("members of {:?} but {heard:?} to tell which origins they know", self.epoch)
            }
            Gate::Waiting { counted_by } => {
                let lacks = |has: &Vector| has.iter().filter(|dot| !self.applied.has(*dot)).collect::<Vector>();
                let counted: Vec<_> = counted_by.iter().map(|(node, (_, has))| (node, lacks(has))).collect();
                format!(
                    "members of {:?} to count on it; who does, and what of theirs is missing: {counted:?}",
                    self.epoch
                )
            }
        }
    }

    /// Whether a peer was not told yet of something that has come to disk.
    pub fn has_news(&self) -> bool {
        self.links.values().any(|link| link.peer.is_some() && link.said != self.durable)
    }

    /// Bytes of batches that wait.
    pub fn held_bytes(&self) -> u64 {
        self.links.values().map(|link| link.held_bytes).sum::<u64>() + self.holes.held_bytes()
    }

    /// Checks all that holds between two steps and is not asserted where it changes; `largest` is the size of the largest batch there is.
    pub fn validate(&self, largest: u64) {
        assert!(self.out.is_empty(), "outputs are handed out");
        let mut nodes = BTreeSet::new();
        for link in self.links.values() {
            assert!(link.node().is_none_or(|node| nodes.insert(node)), "two connections to one node");
            assert!(link.held_bytes <= self.config.window_bytes + largest, "held: {} bytes", link.held_bytes);
            assert_eq!(link.held_bytes, link.held.iter().map(|e| e.size()).sum::<u64>());
            assert!(link.cursor <= self.applied.get(self.me) + 1, "the cursor is behind the end");
            assert!(link.asked.len() <= self.applied.len(), "fetches of what is not there");
        }
        self.holes.validate(self.config.fetch_bytes + largest);
        self.marks.values().for_each(Marks::validate);
        let is_opening = matches!(self.gate, Gate::Opening { .. });
        assert!(is_opening == (self.me.incarnation() == 0), "an origin is what is waited for first");
    }
}
