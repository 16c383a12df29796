//! Whole meshes on loopback, and strangers that talk to them. Nothing sleeps: each waits for what must happen.

mod joins;
mod raw;
mod strangers;
mod streams;
mod trust;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::{Clock, Config, Event, Inbox, Mesh, NodeId, Passphrase, Passphrases, Peer, Why};

/// How long anything may take before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A passphrase for tests.
pub(crate) fn passphrase(n: u8) -> Passphrase {
    Passphrase::new(format!("a passphrase for tests: 012345678{n}").as_bytes()).unwrap()
}

pub(crate) fn passphrases(all: &[u8]) -> Passphrases {
    Passphrases::new(all.iter().map(|n| passphrase(*n)).collect()).unwrap()
}

pub(crate) fn id(n: u64) -> NodeId {
    NodeId::new(n).unwrap()
}

/// A configuration that listens on a free port and waits briefly between attempts.
pub(crate) fn config(node: u64) -> Config {
    let mut config = Config::new(id(node), passphrases(&[1]));
    config.listen = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
    config.backoff.first = Duration::from_millis(2);
    config.backoff.most = Duration::from_millis(20);
    // Machines of tests are busy: only tests of silence want it noticed soon.
    config.dead_after = 30;
    config.handshake = 10 * PATIENCE;
    config
}

/// A clock that is set by hand.
pub(crate) struct Hand(pub AtomicU64);

impl Hand {
    pub(crate) fn at(days: u64) -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(days * 86_400)))
    }

    pub(crate) fn pass(&self, days: u64) {
        self.0.fetch_add(days * 86_400, Ordering::Relaxed);
    }
}

impl Clock for Hand {
    fn unix_seconds(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A mesh, and what it has told and nobody has asked for yet.
pub(crate) struct Node {
    pub mesh: Mesh,
    pub inbox: Inbox,
    pub told: Vec<Event>,
    pub id: NodeId,
}

impl Node {
    pub(crate) fn start(config: Config) -> Self {
        let id = config.node;
        let (mesh, inbox) = Mesh::start(config).unwrap();
        Self { mesh, inbox, told: Vec::new(), id }
    }

    pub(crate) fn address(&self) -> String {
        self.mesh.addresses()[0].to_string()
    }

    /// The first event, told already or to come, that `wanted` takes. Others stay.
    pub(crate) fn wait<T>(&mut self, what: &str, wanted: impl Fn(&Event) -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        let mut at = 0;
        loop {
            while let Some(event) = self.told.get(at) {
                if let Some(found) = wanted(event) {
                    self.told.remove(at);
                    return found;
                }
                at += 1;
            }
            let Some(event) = self.inbox.recv_timeout(end.saturating_duration_since(Instant::now())) else {
                panic!("in vain: {what}; told was {:?}", self.told);
            };
            self.told.push(event);
        }
    }

    pub(crate) fn up(&mut self, with: u64) -> Peer {
        self.wait(&format!("{with} comes up"), |event| match event {
            Event::PeerUp(peer) if peer.node == id(with) => Some(peer.clone()),
            _ => None,
        })
    }

    pub(crate) fn down(&mut self, with: u64) -> Why {
        self.wait(&format!("{with} goes down"), |event| match event {
            Event::PeerDown { node, why } if *node == id(with) => Some(why.clone()),
            _ => None,
        })
    }

    pub(crate) fn frame(&mut self, from: u64) -> Vec<u8> {
        self.wait(&format!("a frame of {from}"), |event| match event {
            Event::Frame(node, bytes) if *node == id(from) => Some(bytes.clone()),
            _ => None,
        })
    }

    pub(crate) fn refused(&mut self, what: impl Fn(&Why) -> bool) -> Why {
        self.wait("a refusal", |event| match event {
            Event::Refused { why, .. } if what(why) => Some(why.clone()),
            _ => None,
        })
    }
}

/// Waits until something is so.
pub(crate) fn until(what: &str, mut so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !so() {
        assert!(Instant::now() < end, "in vain: {what}");
        std::thread::yield_now();
    }
}

/// Two nodes that are connected: 1 has dialed 2.
pub(crate) fn pair(tweak: impl Fn(&mut Config)) -> (Node, Node) {
    let [mut first, mut second] = [config(1), config(2)];
    tweak(&mut first);
    tweak(&mut second);
    let mut second = Node::start(second);
    first.join = vec![second.address()];
    let mut first = Node::start(first);
    assert!(first.up(2).dialed);
    assert!(!second.up(1).dialed);
    (first, second)
}
