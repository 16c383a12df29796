//! Desks of three nodes with journals in memory: frames are lost and come in any order, nodes crash and keep what was synced.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use causal::bind::{Timing, TxnError, Vote};
use effect::codec::{BindKey, BindKeyShape, DotShape, NodeShape};
use effect::{BatchBuf, Bind, Dot, Effect, GroupId, Hlc, KeyspaceId, Op, Origin, Seq, SeqBuf};
use engine::Decided;
use envelope::{Cipher, Keyring};

use super::desk::message_of;
use super::{Deed, Desk, DeskError, Journal, JournalError, JournalFile};

const TIMING: Timing = Timing { resend_ms: 20, recover_ms: 50, stagger_ms: 10, deadline_ms: 100_000 };
const NODES: [u64; 3] = [1, 2, 3];

/// Entries, how many are durable, and whether it takes any.
#[derive(Debug, Default)]
struct Kept {
    entries: Vec<Vec<u8>>,
    synced: usize,
    is_broken: bool,
}

#[derive(Debug, Clone, Default)]
struct Memory(Rc<RefCell<Kept>>);

impl Memory {
    /// What is left of it after a crash.
    fn crash(&self) -> Vec<Vec<u8>> {
        let mut kept = self.0.borrow_mut();
        let synced = kept.synced;
        kept.entries.truncate(synced);
        kept.entries.clone()
    }
}

impl Journal for Memory {
    fn append(&mut self, entry: &[u8]) -> Result<(), JournalError> {
        self.0.borrow_mut().entries.push(entry.to_vec());
        Ok(())
    }
    fn sync(&mut self) -> Result<(), JournalError> {
        let mut kept = self.0.borrow_mut();
        if kept.is_broken {
            return Err(JournalError::Failed);
        }
        kept.synced = kept.entries.len();
        Ok(())
    }
    fn bytes(&self) -> u64 {
        self.0.borrow().entries.iter().map(|entry| entry.len() as u64).sum()
    }
    fn replace(&mut self, entries: &[Vec<u8>]) -> Result<(), JournalError> {
        *self.0.borrow_mut() = Kept { entries: entries.to_vec(), synced: entries.len(), is_broken: false };
        Ok(())
    }
}

/// A batch with a bind over one key, whose writer had seen nothing.
fn batch(node: u64, seq: u64, key: &[u8]) -> Vec<u8> {
    let mut keys = SeqBuf::new(BindKeyShape);
    keys.push(BindKey { written: true, read: true, keyspace: KeyspaceId::DEFAULT, db: 0, key, left: None });
    let mut voters = SeqBuf::new(NodeShape);
    NODES.iter().for_each(|node| voters.push(*node));
    let context = Seq::empty(DotShape);
    let op = Op::Bind(Bind { exclusive: true, is_unsafe: false, voters: voters.seq(), context, keys: keys.seq() });
    let mut batch = BatchBuf::new(GroupId(0), Origin::new(node, 1));
    let deps = Seq::empty(DotShape);
    batch.push(&Effect { keyspace: KeyspaceId::DEFAULT, db: 0, key: b"", fresh: false, deps, op });
    batch.stamp(seq, Hlc(1000 + node));
    batch.encoded().to_vec()
}

fn dot(node: u64, seq: u64) -> Dot {
    Dot { origin: Origin::new(node, 1), seq }
}

#[derive(Debug, Clone)]
enum Come {
    Frame(u64, Vec<u8>),
    Batch(Dot, Vec<u8>),
    Verdict(Decided),
}

struct Node {
    desk: Desk<Memory>,
    journal: Memory,
    /// Its log, which loses nothing.
    binds: BTreeMap<Dot, Vec<u8>>,
    verdicts: BTreeMap<Dot, Decided>,
    next_seq: u64,
}

struct World {
    nodes: BTreeMap<u64, Node>,
    due: Vec<(u64, Come)>,
    answers: BTreeMap<u64, Result<(), TxnError>>,
    now_ms: u64,
    random: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let node = |node: u64| {
            let journal = Memory::default();
            let desk = Desk::open((node, TIMING, 0), journal.clone(), &[], &[]).expect("an empty journal");
            (node, Node { desk, journal, binds: BTreeMap::new(), verdicts: BTreeMap::new(), next_seq: 100 })
        };
        let (due, answers) = (Vec::new(), BTreeMap::new());
        Self { nodes: NODES.map(node).into_iter().collect(), due, answers, now_ms: 0, random: seed }
    }

    fn random(&mut self, below: usize) -> usize {
        self.random = self.random.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
        (self.random >> 33) as usize % below.max(1)
    }

    fn node(&mut self, node: u64) -> &mut Node {
        self.nodes.get_mut(&node).expect("a node")
    }

    fn begin(&mut self, node: u64, key: &[u8]) -> Dot {
        let (bytes, bind, now_ms) = (batch(node, 1, key), dot(node, 1), self.now_ms);
        self.node(node).binds.insert(bind, bytes.clone());
        let others = NODES.into_iter().filter(|other| *other != node);
        self.due.extend(others.map(|other| (other, Come::Batch(bind, bytes.clone()))));
        self.node(node).desk.begun(now_ms, node, &bytes).expect("the journal takes it");
        self.carry_out(node);
        bind
    }

    fn carry_out(&mut self, node: u64) {
        let mut deeds = VecDeque::new();
        while let Some(deed) = {
            deeds.extend(self.node(node).desk.deeds().expect("the journal takes it"));
            deeds.pop_front()
        } {
            match deed {
                Deed::Send(to, bytes) => self.due.push((to, Come::Frame(node, bytes))),
                Deed::Answer(client, answer) => {
                    assert_eq!(self.answers.insert(client, answer), None, "a client is answered once");
                }
                Deed::Verdict(bind, vote) => {
                    let now_ms = self.now_ms;
                    let here = self.node(node);
                    let is_new = !here.verdicts.contains_key(&bind);
                    here.next_seq += 1;
                    let dot = if is_new { dot(node, here.next_seq) } else { bind };
                    let decided = Decided { bind, committed: vote.commit, ballot: vote.ballot.0, dot };
                    here.verdicts.entry(bind).or_insert_with(|| decided.clone());
                    here.desk.decided(now_ms, &decided).expect("the journal takes it");
                    let others = NODES.into_iter().filter(|other| *other != node && is_new);
                    self.due.extend(others.map(|other| (other, Come::Verdict(decided.clone()))));
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// Something comes, some frames do not; time passes.
    fn turn(&mut self, loses: bool) {
        self.now_ms += 3;
        if !self.due.is_empty() {
            let at = self.random(self.due.len());
            let (to, come) = self.due.swap_remove(at);
            let lost = loses && matches!(come, Come::Frame(..)) && self.random(4) == 0;
            if !lost {
                self.come(to, come);
            }
        }
        for node in NODES {
            let now_ms = self.now_ms;
            self.node(node).desk.tick(now_ms).expect("the journal takes it");
            self.carry_out(node);
        }
    }

    fn come(&mut self, to: u64, come: Come) {
        let now_ms = self.now_ms;
        let node = self.node(to);
        let told = match come {
            Come::Frame(from, bytes) => node.desk.heard(now_ms, from, &bytes),
            Come::Batch(bind, bytes) => {
                node.binds.insert(bind, bytes.clone());
                node.desk.arrived(now_ms, &bytes, false)
            }
            Come::Verdict(decided) if node.binds.contains_key(&decided.bind) => {
                let known = node.verdicts.entry(decided.bind).or_insert_with(|| decided.clone());
                assert_eq!(known.committed, decided.committed, "two verdicts on {:?}", decided.bind);
                node.desk.decided(now_ms, &decided)
            }
            // Its bind comes before it.
            late => return self.due.push((to, late)),
        };
        told.expect("the journal takes it");
        self.carry_out(to);
    }

    fn crash(&mut self, node: u64) {
        let now_ms = self.now_ms;
        let here = self.node(node);
        let all = here.binds.iter().map(|(bind, bytes)| (bytes.as_slice().into(), here.verdicts.get(bind).cloned()));
        let all: Vec<_> = all.collect();
        let (entries, journal) = (here.journal.crash(), Memory::default());
        here.desk = Desk::open((node, TIMING, now_ms), journal.clone(), &entries, &all).expect("its own entries");
        here.journal = journal;
        self.carry_out(node);
    }

    fn is_over(&self) -> bool {
        let is_decided = |node: &Node| node.binds.keys().all(|bind| node.verdicts.contains_key(bind));
        self.nodes.values().all(|node| is_decided(node) && node.desk.counts().1 == 0) && self.due.is_empty()
    }

    fn run(&mut self, crashes: bool) {
        for _ in 0..20_000 {
            if self.is_over() {
                return;
            }
            self.turn(crashes);
            if crashes && self.random(40) == 0 {
                let node = NODES[self.random(3)];
                self.crash(node);
            }
        }
        panic!("it does not end");
    }
}

#[test]
fn a_transaction_is_committed_everywhere_and_its_client_is_told() {
    let mut world = World::new(1);
    let bind = world.begin(1, b"k");
    world.run(false);
    assert_eq!(world.answers, BTreeMap::from([(1, Ok(()))]));
    assert!(world.nodes.values().all(|node| node.verdicts[&bind].committed));
}

#[test]
fn of_two_competitors_one_is_committed_whatever_is_lost_and_whoever_crashes() {
    let (mut committed, mut told) = (0, 0);
    for seed in 0..400 {
        let mut world = World::new(seed);
        let binds = [world.begin(1, b"k"), world.begin(2, b"k")];
        world.run(seed % 2 == 1);
        let verdicts = |node: &Node| binds.map(|bind| node.verdicts[&bind].committed);
        let [first, second] = verdicts(&world.nodes[&1]);
        assert!(!(first && second), "seed {seed}: both are committed");
        assert!(world.nodes.values().all(|node| verdicts(node) == [first, second]), "seed {seed}");
        for (client, is_committed) in [(1, first), (2, second)] {
            match world.answers.get(&client) {
                Some(Ok(())) => assert!(is_committed, "seed {seed}: {client} was told what is not so"),
                Some(Err(TxnError::Lost | TxnError::Aborted)) => assert!(!is_committed, "seed {seed}"),
                Some(Err(other)) => panic!("seed {seed}: {other}"),
                None => {}
            }
        }
        committed += usize::from(first) + usize::from(second);
        told += world.answers.len();
    }
    assert!(committed > 100 && told > 500, "{committed} {told}");
}

/// The journal is younger than the log, or the other way round.
#[test]
fn log_and_journal_are_brought_together_at_a_start() {
    let (bytes, bind) = (batch(1, 1, b"k"), dot(1, 1));
    let decided = Decided { bind, committed: true, ballot: 0, dot: dot(2, 9) };
    let open = |entries: &[Vec<u8>], verdict: Option<Decided>| {
        let journal = Memory::default();
        let all = [(bytes.as_slice().into(), verdict)];
        let mut desk = Desk::open((3, TIMING, 0), journal.clone(), entries, &all).expect("they can be read");
        let deeds = desk.deeds().expect("nothing has failed");
        (desk, deeds, journal)
    };
    // The log has the verdict, and the votes are lost.
    let (mut desk, deeds, _) = open(&[], Some(decided.clone()));
    assert_eq!((desk.counts(), deeds), ((1, 0), vec![]));
    let voters = causal::bind::Voters::new(NODES).expect("three are a group");
    let key = causal::bind::Key { keyspace: KeyspaceId::DEFAULT, db: 0, name: b"k"[..].into() };
    let used = [causal::bind::KeyUse { key, read: true, written: true }];
    assert_eq!(desk.may_begin(&used, &voters), Ok(()), "its keys are free");
    desk.tick(1_000_000).expect("the journal takes it");
    assert_eq!(desk.deeds().expect("it is durable"), vec![], "nobody is asked about it");
    // The journal has the verdict, and the log has lost it.
    let (mut desk, _, mut journal) = open(&[], None);
    assert_eq!(desk.counts(), (1, 1));
    assert_eq!(desk.may_begin(&used, &voters), Err(TxnError::Lost));
    desk.decided(0, &decided).expect("the journal takes it");
    journal.sync().expect("it takes it");
    let (desk, deeds, _) = open(&journal.crash(), None);
    let vote = Vote { ballot: causal::bind::Ballot(0), commit: true };
    assert_eq!((desk.counts(), deeds), ((1, 0), vec![Deed::Verdict(bind, vote)]));
    // Neither has it: it is found again.
    let (mut desk, deeds, _) = open(&[], None);
    assert_eq!((desk.counts(), deeds), ((1, 1), vec![]));
    desk.tick(1_000_000).expect("the journal takes it");
    assert!(!desk.deeds().expect("it is durable").is_empty());
}

#[test]
fn nothing_is_said_that_is_not_durable() {
    let mut world = World::new(7);
    let bytes = batch(1, 1, b"k");
    let journal = world.nodes[&2].journal.clone();
    journal.0.borrow_mut().is_broken = true;
    let desk = &mut world.node(2).desk;
    let told = desk.arrived(0, &bytes, false).and_then(|()| desk.deeds());
    assert!(matches!(told, Err(DeskError::Journal(JournalError::Failed))));
    journal.0.borrow_mut().is_broken = false;
    assert!(desk.tick(1).is_err() && desk.arrived(1, &bytes, false).is_err(), "nobody knows what is durable");
    let desk = &mut world.node(3).desk;
    desk.arrived(0, &bytes, false).expect("the journal takes it");
    let deeds = desk.deeds().expect("it is durable");
    let kept = world.nodes[&3].journal.0.borrow();
    assert!(matches!(&deeds[..], [Deed::Send(1, bytes)] if message_of(bytes).is_some()));
    assert_eq!((kept.synced, kept.entries.len()), (2, 2), "the bind and the vote");
}

#[test]
fn what_was_synced_is_read_back_whatever_is_behind_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("votes");
    let (mut journal, entries) = JournalFile::open(dir.path(), None).expect("a new one");
    assert!(entries.is_empty());
    let all: Vec<Vec<u8>> = vec![b"one".to_vec(), Vec::new(), vec![7; 300]];
    all.iter().for_each(|entry| journal.append(entry).expect("it is written"));
    journal.sync().expect("it is synced");
    let bytes = std::fs::read(&path).expect("it is there");
    assert_eq!(journal.bytes(), bytes.len() as u64);
    for end in 0..bytes.len() {
        std::fs::write(&path, &bytes[..end]).expect("it is cut");
        let (mut journal, found) = JournalFile::open(dir.path(), None).expect("it ends early");
        assert_eq!(found, all[..found.len()], "cut at {end}");
        journal.append(b"more").expect("it goes on behind what is whole");
        let (_, again) = JournalFile::open(dir.path(), None).expect("it is whole");
        assert_eq!(again, [&found[..], &[b"more".to_vec()]].concat(), "cut at {end}");
    }
    for at in "anabranch-votes 1\n".len()..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        std::fs::write(&path, &flipped).expect("it is changed");
        let (_, found) = JournalFile::open(dir.path(), None).expect("it ends early");
        assert!(found.len() < all.len() && found == all[..found.len()], "byte {at}");
    }
    std::fs::write(&path, b"something else altogether").expect("it is another");
    assert!(matches!(JournalFile::open(dir.path(), None), Err(JournalError::Foreign { .. })));
}

#[test]
fn a_journal_that_is_written_anew_has_what_is_left() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut journal, _) = JournalFile::open(dir.path(), None).expect("a new one");
    (0..100u8).for_each(|n| journal.append(&[n; 50]).expect("it is written"));
    let before = journal.bytes();
    journal.replace(&[b"left".to_vec()]).expect("it is replaced");
    journal.append(b"more").expect("it goes on");
    assert!(journal.bytes() < before / 10);
    let (_, found) = JournalFile::open(dir.path(), None).expect("it is whole");
    assert_eq!(found, [b"left".to_vec(), b"more".to_vec()]);
}

#[test]
fn what_is_sealed_is_read_with_its_keys_where_it_stood() {
    let (dir, keys) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let keyring = || Keyring::parse(format!("1 {}\n", "07".repeat(32)).as_bytes()).expect("a key");
    let cipher = || Some(Cipher::open(keys.path(), keyring()).expect("a registry"));
    let (mut journal, _) = JournalFile::open(dir.path(), None).expect("a new one");
    journal.append(b"in clear").expect("it is written");
    drop(journal);
    let (mut journal, found) = JournalFile::open(dir.path(), cipher()).expect("what was in clear is read");
    assert_eq!(found, [b"in clear"]);
    journal.replace(&[b"secret".to_vec(), b"hidden".to_vec()]).expect("it is replaced");
    journal.append(b"arcane").expect("it is written");
    drop(journal);
    let path = dir.path().join("votes");
    let bytes = std::fs::read(&path).expect("it is there");
    let has = |word: &[u8]| bytes.windows(word.len()).any(|window| window == word);
    assert!(![&b"secret"[..], b"hidden", b"arcane", b"in clear"].into_iter().any(has));
    assert!(matches!(JournalFile::open(dir.path(), None), Err(JournalError::Sealed { .. })));
    let (journal, found) = JournalFile::open(dir.path(), cipher()).expect("its keys are there");
    assert_eq!(found, [b"secret", b"hidden", b"arcane"]);
    drop(journal);
    // The first two entries, of one length, change places.
    let (head, len) = ("anabranch-votes 1\n".len(), (bytes.len() - "anabranch-votes 1\n".len()) / 3);
    let (first, rest) = bytes[head..].split_at(len);
    let swapped = [&bytes[..head], &rest[..len], first, &rest[len..]].concat();
    std::fs::write(&path, swapped).expect("it is changed");
    assert!(matches!(JournalFile::open(dir.path(), cipher()), Err(JournalError::Sealed { .. })));
}
