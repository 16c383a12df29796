//! Events on their way to whoever takes them: bounded in bytes for each peer, and in number for the rest.
//!
//! ```text
//! driver ─deliver─▶ queue ─recv─▶ owner
//!    ◀──── a peer has room again ────┘
//! ```
//! *Invariant:* what of one peer waits here is at most its bound, one turn of reading and one frame; what a peer sends beyond
//! it waits in its own memory.

use std::collections::{HashMap, HashSet, VecDeque};
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::event::Event;
use crate::limits::{EVENT_COST, NOTICES};
use crate::node::NodeId;

/// Where events are taken from. Whoever takes none stops its peers, and harms nobody else.
pub struct Inbox(pub(crate) Arc<Shared>);

/// Both ends of it.
pub(crate) struct Shared {
    state: Mutex<State>,
    ready: Condvar,
    /// What of one peer may wait, in bytes.
    bound: usize,
    wake: Box<dyn Fn() + Send + Sync>,
    /// A nudge has not been taken note of.
    nudged: AtomicBool,
    /// The same, of one that ends a rest.
    urged: AtomicBool,
}

#[derive(Default)]
struct State {
    events: VecDeque<Event>,
    /// Bytes that wait, by peer.
    held: HashMap<NodeId, usize>,
    /// Peers that are not read until they have room.
    paused: HashSet<NodeId>,
    /// Those that have room again.
    resumed: Vec<NodeId>,
    /// Events that are no frames.
    notices: usize,
    rtt: HashSet<NodeId>,
    /// Whoever takes events lets them gather: they wake nobody.
    rests: bool,
    closed: bool,
}

impl Shared {
    /// An inbox; `wake` is called when a paused peer has room again.
    pub(crate) fn new(bound: usize, wake: Box<dyn Fn() + Send + Sync>) -> Self {
        let (nudged, urged) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { state: Mutex::default(), ready: Condvar::new(), bound, wake, nudged, urged }
    }

    /// Takes frames of a peer, in order; false if nothing more of it should be read until [`Self::resumed`] names it.
    pub(crate) fn deliver(&self, node: NodeId, frames: &mut Vec<Vec<u8>>) -> bool {
        let mut state = self.state.lock();
        if frames.is_empty() {
            return !state.paused.contains(&node);
        }
        let cost: usize = frames.iter().map(|f| f.len() + EVENT_COST).sum();
        state.events.extend(frames.drain(..).map(|f| Event::Frame(node, f)));
        let held = state.held.entry(node).or_default();
        *held += cost;
        let room = *held <= self.bound;
        if !room {
            state.paused.insert(node);
        }
        self.announce(state);
        room
    }

    /// Takes an event that must be told.
    pub(crate) fn tell(&self, event: Event) {
        let mut state = self.state.lock();
        state.notices += 1;
        state.events.push_back(event);
        self.announce(state);
    }

    /// Takes an event that may be left out: refusals when many wait, times while an older one waits.
    pub(crate) fn hint(&self, event: Event) {
        let mut state = self.state.lock();
        let wanted = match &event {
            Event::Rtt { node, .. } => state.rtt.insert(*node),
            _ => state.notices < NOTICES,
        };
        if wanted {
            state.notices += 1;
            state.events.push_back(event);
            self.announce(state);
        }
    }

    fn has_come(&self, state: &State) -> bool {
        !state.events.is_empty() || self.nudged.load(Ordering::SeqCst) || self.urged.load(Ordering::SeqCst)
    }

    /// Wakes whoever waits, unless it rests.
    fn announce(&self, state: MutexGuard<'_, State>) {
        let rests = state.rests;
        drop(state);
        if !rests {
            self.ready.notify_one();
        }
    }

    /// Whether so much waits that nothing new should be begun.
    pub(crate) fn is_crowded(&self) -> bool {
        self.state.lock().notices >= NOTICES
    }

    /// Peers that have room again.
    pub(crate) fn resumed(&self) -> Vec<NodeId> {
        mem::take(&mut self.state.lock().resumed)
    }

    /// No event comes any more.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.ready.notify_all();
    }
}

impl State {
    /// Accounts for an event that is taken: what is given back of which peer.
    fn taken(&mut self, event: &Event) -> Option<(NodeId, usize)> {
        if let Event::Frame(node, bytes) = event {
            return Some((*node, bytes.len() + EVENT_COST));
        }
        self.notices -= 1;
        if let Event::Rtt { node, .. } = event {
            self.rtt.remove(node);
        }
        None
    }

    /// Gives back what frames of a peer have cost; whether it has room again.
    fn give_back(&mut self, node: NodeId, cost: usize, bound: usize) -> bool {
        let held = self.held.get_mut(&node).expect("each frame that waits is counted");
        *held -= cost;
        let left = *held;
        if left == 0 {
            self.held.remove(&node);
        }
        let resumes = left <= bound / 2 && self.paused.remove(&node);
        if resumes {
            self.resumed.push(node);
        }
        resumes
    }
}

/// Wakes whoever waits for events, for something else than an event.
#[derive(Clone)]
pub struct Nudge(Arc<Shared>);

impl Nudge {
    /// Ends the wait or the rest that is going on, or the next one. Costs little where one is due already.
    pub fn nudge(&self) {
        if self.0.urged.swap(true, Ordering::SeqCst) {
            return;
        }
        // With the lock, so that it does not come between the look of whoever is about to wait, and the wait.
        drop(self.0.state.lock());
        self.0.ready.notify_one();
    }

    /// The same, but for a rest, which it lets go on.
    pub fn note(&self) {
        if !self.0.nudged.swap(true, Ordering::SeqCst) {
            self.0.announce(self.0.state.lock());
        }
    }
}

impl Inbox {
    /// What ends a [`Self::wait`].
    pub fn nudge(&self) -> Nudge {
        Nudge(Arc::clone(&self.0))
    }

    /// Returns when there is an event, or was a nudge, or at `until`; whether anything came.
    pub fn wait(&self, until: Instant) -> bool {
        let mut state = self.0.state.lock();
        while !state.closed && !self.0.has_come(&state) {
            if self.0.ready.wait_until(&mut state, until).timed_out() {
                break;
            }
        }
        let has_come = self.0.has_come(&state);
        // From here on a nudge is another one.
        self.0.urged.store(false, Ordering::SeqCst);
        self.0.nudged.store(false, Ordering::SeqCst);
        has_come
    }

    /// Lets events gather until then, which wakes one thread once for many of them. Only a [`Nudge::nudge`] ends it before.
    pub fn rest(&self, until: Instant) {
        let mut state = self.0.state.lock();
        state.rests = true;
        while !state.closed && !self.0.urged.load(Ordering::SeqCst) {
            if self.0.ready.wait_until(&mut state, until).timed_out() {
                break;
            }
        }
        state.rests = false;
    }

    /// The next event; waits for one. `None` once the mesh has stopped and all was taken.
    pub fn recv(&self) -> Option<Event> {
        self.take(None)
    }

    /// The next event, if there is one already.
    pub fn try_recv(&self) -> Option<Event> {
        self.recv_timeout(Duration::ZERO)
    }

    /// The next event, if there is one within `patience`.
    pub fn recv_timeout(&self, patience: Duration) -> Option<Event> {
        self.take(Some(Instant::now() + patience))
    }

    /// Takes all events that wait into `out`, with one lock; how many they were.
    pub fn drain(&self, out: &mut Vec<Event>) -> usize {
        let mut state = self.0.state.lock();
        let events = mem::take(&mut state.events);
        // Frames of one peer mostly come together.
        let mut run: Option<(NodeId, usize)> = None;
        let mut resumes = false;
        for event in &events {
            let Some((node, cost)) = state.taken(event) else { continue };
            run = match run {
                Some((same, sum)) if same == node => Some((node, sum + cost)),
                other => {
                    resumes |= other.is_some_and(|(node, cost)| state.give_back(node, cost, self.0.bound));
                    Some((node, cost))
                }
            };
        }
        resumes |= run.is_some_and(|(node, cost)| state.give_back(node, cost, self.0.bound));
        drop(state);
        if resumes {
            (self.0.wake)();
        }
        let count = events.len();
        out.extend(events);
        count
    }

    /// Bytes of `node` that wait to be taken, with what each frame costs beside its own.
    pub fn held(&self, node: NodeId) -> usize {
        self.0.state.lock().held.get(&node).copied().unwrap_or(0)
    }

    fn take(&self, until: Option<Instant>) -> Option<Event> {
        let mut state = self.0.state.lock();
        let event = loop {
            if let Some(event) = state.events.pop_front() {
                break event;
            }
            if state.closed {
                return None;
            }
            let late = match until {
                None => {
                    self.0.ready.wait(&mut state);
                    false
                }
                Some(until) => self.0.ready.wait_until(&mut state, until).timed_out(),
            };
            if late && state.events.is_empty() {
                return None;
            }
        };
        let resumes = state.taken(&event).is_some_and(|(node, cost)| state.give_back(node, cost, self.0.bound));
        drop(state);
        if resumes {
            (self.0.wake)();
        }
        Some(event)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::error::Why;

    fn inbox(bound: usize) -> (Inbox, Arc<AtomicUsize>) {
        let woken = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&woken);
        let wake = Box::new(move || {
            count.fetch_add(1, Ordering::Relaxed);
        });
        (Inbox(Arc::new(Shared::new(bound, wake))), woken)
    }

    fn node(id: u64) -> NodeId {
        NodeId::new(id).unwrap()
    }

    #[test]
    fn a_peer_beyond_its_bound_is_paused_alone_and_resumes_at_half() {
        let (inbox, woken) = inbox(10 * (EVENT_COST + 4));
        let frames = |n: usize| vec![vec![0; 4]; n];
        assert!(inbox.0.deliver(node(1), &mut frames(10)));
        assert!(!inbox.0.deliver(node(1), &mut frames(1)));
        assert!(inbox.0.deliver(node(2), &mut frames(10)));
        for taken in 0..6 {
            assert_eq!((inbox.0.resumed(), woken.load(Ordering::Relaxed)), (vec![], 0), "{taken}");
            inbox.recv().unwrap();
        }
        assert_eq!((inbox.0.resumed(), woken.load(Ordering::Relaxed)), (vec![node(1)], 1));
        assert!(inbox.0.deliver(node(1), &mut Vec::new()));
        inbox.drain(&mut Vec::new());
        assert_eq!((inbox.held(node(1)), inbox.held(node(2)), inbox.try_recv()), (0, 0, None));
    }

    #[test]
    fn what_comes_during_a_rest_waits_for_its_end_and_a_nudge_does_not() {
        let (inbox, _) = inbox(1000);
        let (far, past) = (Instant::now() + Duration::from_secs(600), Instant::now());
        let nudge = inbox.nudge();
        std::thread::scope(|scope| {
            let resting = scope.spawn(|| inbox.rest(far));
            while !inbox.0.state.lock().rests {
                std::thread::yield_now();
            }
            inbox.0.deliver(node(1), &mut vec![vec![1]]);
            nudge.note();
            assert!(!resting.is_finished());
            nudge.nudge();
        });
        assert!(inbox.wait(far));
        inbox.drain(&mut Vec::new());
        assert!(!inbox.wait(past), "all of it has been seen");
        // Before a rest as well as in it.
        nudge.nudge();
        inbox.rest(far);
        assert!(inbox.wait(far));
        nudge.note();
        inbox.rest(past);
        assert!(inbox.wait(far));
    }

    #[test]
    fn what_may_be_left_out_is_bounded() {
        let (inbox, _) = inbox(10);
        let addr = "127.0.0.1:1".parse().unwrap();
        let refused = || Event::Refused { addr, why: Why::NotTls };
        (0..NOTICES + 5).for_each(|_| inbox.0.hint(refused()));
        assert!(inbox.0.is_crowded());
        for micros in [1, 2] {
            inbox.0.hint(Event::Rtt { node: node(1), micros });
        }
        inbox.0.tell(Event::Room(node(1)));
        let mut all = Vec::new();
        assert_eq!(inbox.drain(&mut all), NOTICES + 2);
        assert_eq!(all[NOTICES..], [Event::Rtt { node: node(1), micros: 1 }, Event::Room(node(1))]);
        inbox.0.hint(Event::Rtt { node: node(1), micros: 3 });
        inbox.0.close();
        assert_eq!((inbox.recv(), inbox.recv()), (Some(Event::Rtt { node: node(1), micros: 3 }), None));
    }
}
