//! Keys that everybody wants, between drivers: transactions go to one leader and no longer fail because of each other.

mod turns;

use causal::bind::limits::{DEFAULT_SERIALIZATION_THRESHOLD, FORWARD_TIMEOUT_MS, QUIET_RELEASE_MS};
use causal::bind::{Exec, Key, TxnError, Watch, Why};
use effect::{Dot, Vector};
use engine::{ExclusiveError, Since};

use super::*;
use crate::limits::BUSY_PATIENCE;
use crate::serial::{Answer, Ran};
use crate::status::Electorate;
use crate::verdicts::Outcome;

/// What clients were told, in their order.
type Told<T> = Arc<Mutex<Vec<T>>>;

fn name(key: &str) -> DbKey {
    (0, key.as_bytes().into())
}

impl Group {
    /// What a client's EXEC comes to that adds to a key: its bind, or why it was not logged.
    fn add(&self, at: usize, key: &str, watches: &[Watch]) -> Result<Dot, Option<Since>> {
        let Electorate::Voters(voters) = self.nodes[at].status.electorate() else { panic!("they have met") };
        let (engine, mut recycled) = (self.engine(at), Recycled::new());
        let mut context = engine.context(Lock::All, 0, engine.now_ms(), &mut recycled);
        for watch in watches {
            let since = context.since(&(watch.key.db, watch.key.name.as_ref().into()), &watch.seen).unwrap();
            if since != Since::Unchanged {
                return Err(Some(since));
            }
        }
        context.out.set_exclusive();
        context.out.emit(key.as_bytes(), false, Op::AddInt(1));
        match context.commit_exclusive(&[name(key)], &voters, &|key| key.starts_with(b"unsafe")) {
            Ok(begun) => Ok(begun.bind),
            Err(ExclusiveError::Undecided) => Err(None),
            Err(error) => panic!("{error}"),
        }
    }

    /// One that runs where its client is.
    fn add_here(&self, at: usize, key: &str, told: &Told<Outcome>) {
        let told = Arc::clone(told);
        match self.add(at, key, &[]) {
            Ok(bind) => self.nodes[at].verdicts.wait(bind, Box::new(move |outcome| told.lock().push(outcome))),
            Err(_) => told.lock().push(Err(TxnError::Lost)),
        }
    }

    /// One of a client who sends it to the leader, as he has looked at another key just now.
    fn send(&self, at: usize, key: &str, told: &Told<(usize, Answer)>) {
        self.send_as_of(at, key, self.engine(at).vector(), told);
    }

    fn send_as_of(&self, at: usize, key: &str, seen: Vector, told: &Told<(usize, Answer)>) {
        let keys = ["calm", key].map(|key| Key::named(key.as_bytes()));
        let watches = keys.iter().map(|key| Watch { key: key.clone(), seen: seen.clone(), existed: false }).collect();
        let commands = vec![vec![b"INCR".to_vec(), key.as_bytes().to_vec()]];
        let exec = Exec { commands, watches, user: b"default".to_vec(), ..Exec::default() };
        let told = Arc::clone(told);
        let tell = Box::new(move |answer| told.lock().push((at, answer)));
        self.nodes[at].serial.forward(keys.into(), exec, tell);
    }

    /// The threads of clients run what other nodes have sent. It watches only the first of its keys.
    fn run_guests(&self, watched: usize) {
        for at in (0..NODES).filter(|at| self.nodes[*at].life.is_some()) {
            let node = &self.nodes[at];
            for (number, exec) in std::mem::take(&mut *node.ears.guests.lock()) {
                let key = String::from_utf8(exec.commands[0][1].clone()).unwrap();
                match self.add(at, &key, &exec.watches[..watched]) {
                    Ok(bind) => {
                        let serial = Arc::clone(&node.serial);
                        let reply = move |outcome: Outcome| if outcome.is_ok() { "committed" } else { "lost" };
                        let tell = move |outcome| serial.ran(number, Ran::Replied(reply(outcome).into()));
                        node.verdicts.wait(bind, Box::new(tell));
                    }
                    Err(None) => node.serial.ran(number, Ran::Busy),
                    Err(Some(Since::Unknown)) => node.serial.ran(number, Ran::Declined),
                    Err(Some(_)) => node.serial.ran(number, Ran::Replied(b"null".to_vec())),
                }
            }
        }
    }

    /// One of a client who has it wait for others that are in the way.
    fn wait_behind(&self, at: usize, key: &str, told: &Told<(usize, Answer)>) {
        let key = Key::named(key.as_bytes());
        let watches = vec![Watch { key: Key::named(b"calm"), seen: self.engine(at).vector(), existed: false }];
        let commands = vec![vec![b"INCR".to_vec(), key.name.to_vec()]];
        let (exec, told) = (Exec { commands, watches, ..Exec::default() }, Arc::clone(told));
        self.nodes[at].serial.wait(vec![key], exec, Box::new(move |answer| told.lock().push((at, answer))));
    }

    fn rounds_until(&mut self, watched: usize, is_so: impl Fn(&Self) -> bool) {
        for _ in 0..4_000 {
            if is_so(self) {
                return;
            }
            self.run_guests(watched);
            self.round();
        }
        panic!("it does not come about");
    }

    fn leaders(&self) -> Vec<usize> {
        (0..NODES).map(|at| self.nodes[at].status.get().led).collect()
    }

    /// Who leads, as everybody knows by now.
    fn leader(&self, key: &str) -> usize {
        let by = |at: usize| {
            assert!(self.nodes[at].serial.is_led(&name(key)));
            self.nodes[at].life.as_ref().unwrap().0.desk.leader(&Key::named(key.as_bytes())).unwrap()
        };
        let leads = |at: &usize| self.engine(*at).origin().node() == by(0);
        assert!((0..NODES).all(|at| by(at) == by(0)), "all know the same one");
        (0..NODES).find(leads).unwrap()
    }

    /// One where a key is led, and all know it: everybody wants it, until somebody has failed so often in a row.
    fn led(key: &str) -> Self {
        let mut group = Self::ready();
        group.until(|group| group.nodes.iter().all(|n| matches!(n.status.electorate(), Electorate::Voters(_))));
        let told = Told::default();
        for _ in 0..200 {
            (0..NODES).for_each(|at| group.add_here(at, key, &told));
            group.until(|group| (0..NODES).all(|at| group.engine(at).undecided().is_empty()));
            if group.leaders().iter().any(|led| *led > 0) {
                let lost = told.lock().iter().filter(|outcome| outcome.is_err()).count();
                assert!(lost >= DEFAULT_SERIALIZATION_THRESHOLD as usize, "{lost} have failed");
                group.until(|group| group.leaders().iter().all(|led| *led == 1));
                return group;
            }
        }
        panic!("nobody has been made the leader");
    }

    fn number(&self, at: usize, key: &str) -> i64 {
        let (engine, mut recycled) = (self.engine(at), Recycled::new());
        let context = engine.context(Lock::Key(key.as_bytes(), None), 0, engine.now_ms(), &mut recycled);
        let found = context.state.string(key.as_bytes()).unwrap();
        let number = found.map_or(0, |text| String::from_utf8(text.to_vec()).unwrap().parse().unwrap());
        context.abort();
        number
    }
}

fn committed(at: usize) -> (usize, Answer) {
    (at, Answer::Reply(b"committed".to_vec()))
}

#[test]
fn behind_a_leader_transactions_of_all_nodes_on_one_key_are_committed_once_each() {
    let mut group = Group::led("hot");
    let (leader, before, told) = (group.leader("hot"), group.number(0, "hot"), Told::default());
    let others: Vec<usize> = (0..NODES).filter(|at| *at != leader).collect();
    for round in 1..=10 {
        others.iter().for_each(|at| group.send(*at, "hot", &told));
        group.rounds_until(1, |_| told.lock().len() == 2 * round);
        for at in &others {
            let own = told.lock().iter().filter(|answer| **answer == committed(*at)).count();
            assert_eq!(own, round, "none has failed, and each client has its own reply: {:?}", told.lock());
            assert_eq!(group.number(*at, "hot") - before, 2 * round as i64, "who is told sees it");
        }
    }
    assert_eq!(others.iter().map(|at| group.nodes[*at].serial.forwarded()).collect::<Vec<_>>(), [10, 10]);
    group.settle();
    assert_eq!(group.number(leader, "hot") - before, 20, "each was carried out once");
}

#[test]
fn a_watched_key_that_has_changed_makes_it_fail_at_the_leader() {
    let mut group = Group::led("hot");
    group.settle();
    let leader = group.leader("hot");
    let [one, other] = [(leader + 1) % NODES, (leader + 2) % NODES];
    let (told, seen) = (Told::default(), group.engine(one).vector());
    let before = group.number(one, "hot");
    // A transaction has changed it, then a plain write does.
    group.send(other, "hot", &told);
    group.rounds_until(2, |_| told.lock().len() == 1);
    group.send_as_of(one, "hot", seen, &told);
    group.rounds_until(2, |_| told.lock().len() == 2);
    let seen = group.engine(one).vector();
    group.set(leader, "hot", b"50").unwrap();
    group.send_as_of(one, "hot", seen, &told);
    group.rounds_until(2, |_| told.lock().len() == 3);
    let null = (one, Answer::Reply(b"null".to_vec()));
    assert_eq!(*told.lock(), [committed(other), null.clone(), null]);
    group.settle();
    assert_eq!((before < 50, group.number(one, "hot")), (true, 50));
}

#[test]
fn what_may_be_forgotten_at_the_leader_runs_where_its_client_is() {
    let mut group = Group::led("hot");
    let leader = group.leader("hot");
    let one = (leader + 1) % NODES;
    let (told, seen) = (Told::default(), group.engine(one).vector());
    group.set(leader, "hot", b"50").unwrap();
    group.settle();
    group.send_as_of(one, "hot", seen, &told);
    group.rounds_until(2, |_| told.lock().len() == 1);
    assert_eq!(*told.lock(), [(one, Answer::Here)]);
}

#[test]
fn a_leader_waits_until_it_has_what_the_client_had_seen() {
    let mut group = Group::led("hot");
    let leader = group.leader("hot");
    let [one, other] = [(leader + 1) % NODES, (leader + 2) % NODES];
    let (told, mut seen) = (Told::default(), group.engine(one).vector());
    let last = seen.get(group.engine(other).origin());
    seen.add(Dot { origin: group.engine(other).origin(), seq: last + 1 });
    group.send_as_of(one, "hot", seen.clone(), &told);
    (0..50).for_each(|_| group.round());
    assert!(group.nodes[leader].ears.guests.lock().is_empty(), "something is on its way");
    group.set(other, "calm", b"news").unwrap();
    group.until(|group| !group.nodes[leader].ears.guests.lock().is_empty());
    assert!(group.engine(leader).vector().covers(&seen));
    group.rounds_until(2, |_| told.lock().len() == 1);
    assert_eq!(*told.lock(), [committed(one)], "what he had seen is no change");
    seen.add(Dot { origin: group.engine(other).origin(), seq: last + 1_000 });
    group.send_as_of(one, "hot", seen, &told);
    group.until(|_| told.lock().len() == 2);
    assert_eq!(told.lock()[1], (one, Answer::Here), "it never comes");
    assert!(group.nodes[leader].ears.guests.lock().is_empty(), "and nothing was done");
}

#[test]
fn each_client_has_its_own_reply_once_its_node_has_what_the_leader_had() {
    let mut group = Group::led("hot");
    let leader = group.leader("hot");
    let [one, other] = [(leader + 1) % NODES, (leader + 2) % NODES];
    let told: Vec<Told<Answer>> = (0..3).map(|_| Told::default()).collect();
    for (n, told) in told.iter().enumerate() {
        let watches = vec![Watch { key: Key::named(b"calm"), seen: Vector::new(), existed: false }];
        let commands = vec![vec![n.to_string().into_bytes()]];
        let exec = Exec { commands, watches, ..Exec::default() };
        let told = Arc::clone(told);
        let tell = Box::new(move |answer| told.lock().push(answer));
        group.nodes[one].serial.forward(vec![Key::named(b"hot")], exec, tell);
    }
    // The leader has what has not come to the clients' node.
    group.hub.cut(one, &[other]);
    group.set(other, "third", b"v").unwrap();
    let written = group.engine(other).vector();
    group.until(|group| group.engine(leader).vector().covers(&written));
    for _ in 0..3 {
        group.until(|group| !group.nodes[leader].ears.guests.lock().is_empty());
        let guests = std::mem::take(&mut *group.nodes[leader].ears.guests.lock());
        assert_eq!(guests.len(), 1, "one at a time");
        let (number, exec) = &guests[0];
        group.nodes[leader].serial.ran(*number, Ran::Replied(exec.commands[0][0].clone()));
    }
    group.until(|_| told.iter().any(|told| !told.lock().is_empty()));
    assert!(group.engine(one).vector().covers(&written), "what a client is told of, it sees");
    group.until(|_| told.iter().all(|told| !told.lock().is_empty()));
    for (n, told) in told.iter().enumerate() {
        assert_eq!(*told.lock(), [Answer::Reply(n.to_string().into_bytes())]);
    }
    group.settle();
}

#[test]
fn who_sent_it_to_a_leader_that_dies_is_told_that_it_may_have_been_done_and_the_next_runs_here() {
    let mut group = Group::led("hot");
    let leader = group.leader("hot");
    let (one, told, sent) = ((leader + 1) % NODES, Told::default(), group.now());
    group.send(one, "hot", &told);
    group.until(|group| !group.nodes[leader].ears.guests.lock().is_empty());
    group.crash(leader);
    group.until(|_| !told.lock().is_empty());
    assert_eq!(*told.lock(), [(one, Answer::Refused(TxnError::TryAgain(Why::NoReply)))]);
    assert!(group.now() - sent >= Duration::from_millis(FORWARD_TIMEOUT_MS));
    told.lock().clear();
    group.send(one, "hot", &told);
    group.until(|_| !told.lock().is_empty());
    assert_eq!(*told.lock(), [(one, Answer::Here)]);
    group.until(|group| group.nodes[one].status.get().led == 0);
    group.start(leader).unwrap();
    group.settle();
}

#[test]
fn a_quiet_key_is_released_everywhere() {
    let mut group = Group::led("hot");
    let (before, told) = (group.now(), Told::default());
    group.until(|group| group.leaders() == [0; NODES]);
    let quiet = group.now() - before;
    assert!(quiet < Duration::from_millis(2 * QUIET_RELEASE_MS), "it was released, not forgotten: {quiet:?}");
    group.send(1, "hot", &told);
    group.until(|_| !told.lock().is_empty());
    assert_eq!(*told.lock(), [(1, Answer::Here)]);
    group.settle();
}

#[test]
fn a_transaction_that_was_undecided_when_its_key_was_watched_is_a_change() {
    let mut group = Group::led("hot");
    group.settle();
    let leader = group.leader("hot");
    let [one, other] = [(leader + 1) % NODES, (leader + 2) % NODES];
    let bind = group.add(other, "hot", &[]).unwrap();
    group.until(|group| group.engine(one).vector().has(bind));
    let (told, seen, before) = (Told::default(), group.engine(one).vector(), group.number(one, "hot"));
    assert_eq!(group.engine(one).undecided(), [bind], "its effects are in the log, and not to be seen");
    group.send_as_of(one, "hot", seen, &told);
    group.rounds_until(2, |_| told.lock().len() == 1);
    assert_eq!(*told.lock(), [(one, Answer::Reply(b"null".to_vec()))]);
    assert_eq!(group.number(one, "hot"), before + 1, "it was committed");
}

#[test]
fn without_a_leader_it_waits_on_its_own_node_for_those_in_its_way_and_not_for_ever() {
    let mut group = Group::ready();
    group.until(|group| group.nodes.iter().all(|n| matches!(n.status.electorate(), Electorate::Voters(_))));
    let (told, outcomes) = (Told::default(), Told::default());
    group.add_here(0, "hot", &outcomes);
    (0..3).for_each(|_| group.wait_behind(0, "hot", &told));
    group.rounds_until(1, |_| told.lock().len() == 3);
    assert_eq!((*told.lock()).clone(), [committed(0), committed(0), committed(0)], "each behind the one before");
    assert_eq!((group.leaders(), group.number(0, "hot")), ([0; NODES].to_vec(), 4));
    // Nobody decides any more.
    group.hub.cut(0, &[1, 2]);
    group.add_here(0, "hot", &outcomes);
    told.lock().clear();
    group.wait_behind(0, "hot", &told);
    let began = group.now();
    group.rounds_until(1, |_| !told.lock().is_empty());
    assert_eq!((&told.lock()[..], group.now() - began < 2 * BUSY_PATIENCE), (&[(0, Answer::Here)][..], true));
    group.settle();
    assert_eq!(group.number(1, "hot"), 5, "it has not run");
}

#[test]
fn what_waits_for_an_unsafe_one_runs_when_that_is_seen() {
    let mut group = Group::ready();
    group.until(|group| group.nodes.iter().all(|n| matches!(n.status.electorate(), Electorate::Voters(_))));
    let (told, outcomes) = (Told::default(), Told::default());
    group.add_here(0, "unsafe", &outcomes);
    // No verdict comes, as nobody says that he has it.
    group.round();
    group.hub.cut(0, &[1, 2]);
    (0..50).for_each(|_| group.round());
    assert!(outcomes.lock().is_empty(), "it waits for competitors of those that answered");
    group.wait_behind(0, "unsafe", &told);
    group.rounds_until(1, |_| !told.lock().is_empty());
    assert_eq!((&told.lock()[..], group.number(0, "unsafe")), (&[committed(0)][..], 2));
    group.settle();
}

#[test]
fn what_is_larger_than_a_piece_goes_to_the_leader_and_back() {
    let mut group = Group::led("hot");
    let leader = group.leader("hot");
    let (one, told) = ((leader + 1) % NODES, Told::default());
    let large = vec![b'x'; 3 << 19];
    let watches = vec![Watch { key: Key::named(b"calm"), seen: Vector::new(), existed: false }];
    let exec = Exec { commands: vec![vec![large.clone()]], watches, ..Exec::default() };
    let tell = Arc::clone(&told);
    let tell = Box::new(move |answer| tell.lock().push((one, answer)));
    group.nodes[one].serial.forward(vec![Key::named(b"hot")], exec, tell);
    // Frames of the replica come behind the last piece, and are whole.
    group.set(one, "plain", b"v").unwrap();
    group.until(|group| !group.nodes[leader].ears.guests.lock().is_empty());
    let (number, exec) = group.nodes[leader].ears.guests.lock().remove(0);
    assert!(exec.commands == [[large.clone()]], "it is what was sent");
    group.nodes[leader].serial.ran(number, Ran::Replied(large.clone()));
    group.until(|_| !told.lock().is_empty());
    assert!(*told.lock() == [(one, Answer::Reply(large))], "and so is its reply");
    group.settle();
}
