//! Who finds whom: names, both at once, ourselves, and again after an end.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::raw::{Raw, credentials, hello};
use super::{Node, config, id, pair, until};
use crate::frame::Kind;
use crate::{Event, Resolve, Why};

/// Names that tests change.
#[derive(Default)]
struct Names(Mutex<BTreeMap<String, Vec<SocketAddr>>>);

impl Resolve for Names {
    fn resolve(&self, name: &str) -> io::Result<Vec<SocketAddr>> {
        self.0.lock().get(name).cloned().ok_or_else(|| io::Error::other("no such name"))
    }
}

#[test]
fn every_record_of_a_name_is_joined_but_our_own_and_it_is_asked_again() {
    let names = Arc::new(Names::default());
    let start = |node| {
        let mut config = config(node);
        config.resolver = Arc::clone(&names) as _;
        config.join = vec!["db:7000".to_owned()];
        Node::start(config)
    };
    // Nobody has the name yet: all keep asking. They find each other once it is there.
    let mut nodes = [start(1), start(2), start(3)];
    let all: Vec<_> = nodes.iter().map(|node| node.mesh.addresses()[0]).collect();
    names.0.lock().insert("db:7000".into(), all.clone());
    for node in &mut nodes {
        let own = node.id.get();
        (1..=3).filter(|n| *n != own).for_each(|n| drop(node.up(n)));
    }
    // One moves elsewhere.
    let [mut a, b, mut c] = nodes;
    let Node { mesh, .. } = b;
    mesh.stop();
    let moved = start(2);
    names.0.lock().insert("db:7000".into(), vec![all[0], moved.mesh.addresses()[0], all[2]]);
    for node in [&mut a, &mut c] {
        assert_eq!(node.down(2), Why::Left);
        // A second connection that the old one had begun may be up for a moment: what counts is who stays.
        until("the one that moved is there, and the other still", || {
            let found: Vec<_> = node.mesh.peers().into_iter().map(|peer| peer.announced).collect();
            found.len() == 2 && found.contains(&Some(moved.address()))
        });
        node.inbox.drain(&mut node.told);
        // Talking to oneself is no failure.
        let own = |e: &Event| matches!(e, Event::Refused { why: Why::Myself | Why::Twin(_), .. });
        assert!(!node.told.iter().any(own), "{:?}", node.told);
    }
}

#[test]
fn when_both_dial_at_once_one_connection_remains() {
    for _ in 0..30 {
        let (mut a, mut b) = (Node::start(config(1)), Node::start(config(2)));
        a.mesh.add_peer(&b.address()).unwrap();
        b.mesh.add_peer(&a.address()).unwrap();
        a.up(2);
        b.up(1);
        for n in 0..20u8 {
            a.mesh.send(b.id, &[n]).unwrap();
            b.mesh.send(a.id, &[n]).unwrap();
            assert_eq!((a.frame(2), b.frame(1)), (vec![n], vec![n]));
        }
        // The other one is gone on both sides, and nothing of this was seen.
        for node in [&a, &b] {
            assert_eq!(node.mesh.peers().len(), 1);
            assert!(node.told.iter().all(|e| matches!(e, Event::Rtt { .. })), "{:?}", node.told);
        }
    }
}

#[test]
fn a_node_that_dials_itself_drops_it_quietly() {
    let mut a = Node::start(config(1));
    a.mesh.add_peer(&a.address()).unwrap();
    // Behind it in the same order of things: whoever comes later is up.
    let b = Node::start(config(2));
    a.mesh.add_peer(&b.address()).unwrap();
    a.up(2);
    assert!(a.told.iter().all(|e| matches!(e, Event::Rtt { .. })), "{:?}", a.told);
    assert_eq!(a.mesh.peers().len(), 1);
}

#[test]
fn a_peer_that_was_killed_is_dialed_until_it_is_there_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut a = config(1);
    a.join = vec![address.to_string()];
    let mut a = Node::start(a);
    let keys = credentials(5);
    let mut rounds = Vec::new();
    for round in 0..3 {
        let mut raw = Raw::accept(&listener, &keys);
        raw.say(Kind::Hello, &hello(5));
        a.up(5);
        raw.say(Kind::Data, &[round]);
        rounds.push(a.frame(5));
        // No goodbye.
        drop(raw);
        assert!(matches!(a.down(5), Why::Closed | Why::Broken(_)));
    }
    assert_eq!(rounds, [[0], [1], [2]]);
    assert_eq!(a.mesh.metrics().peers[0].reconnects, 2);
    drop(listener);
    a.refused(|why| matches!(why, Why::Broken(_)));
    // A mesh at the same address.
    let mut b = config(5);
    b.listen = vec![address];
    let _b = Node::start(b);
    assert_eq!(a.up(5).announced, Some(address.to_string()));
}

#[test]
fn a_peer_that_has_started_again_takes_its_own_place_and_the_old_one_does_not_come_back() {
    // The lower id decides: once it is the one that stays, once the one that comes back.
    for (stays, returns) in [(1, 2), (2, 1)] {
        let mut a = Node::start(config(stays));
        let mut other = config(returns);
        other.join = vec![a.address()];
        let mut b = Node::start(other.clone());
        a.up(returns);
        // A second life, while the first is there and dials whenever it is sent away.
        let mut again = Node::start(other);
        again.up(stays);
        assert_eq!(a.down(returns), Why::Replaced);
        a.up(returns);
        b.wait("that it is told why", |event| match event {
            Event::Refused { why, .. } | Event::PeerDown { why, .. } => (*why == Why::Twin(id(returns))).then_some(()),
            _ => None,
        });
        a.mesh.send(again.id, b"welcome back").unwrap();
        assert_eq!(again.frame(stays), b"welcome back");
    }
}

#[test]
fn a_lost_connection_that_one_side_still_believes_in_gives_way() {
    let mut config = config(1);
    (config.ping_every, config.dead_after) = (Duration::from_millis(20), 100);
    let mut a = Node::start(config);
    // It falls silent on the first connection, and dials again in the same life.
    let first = Raw::up(&a.address(), 5);
    a.up(5);
    let mut refused = 0;
    let mut second = loop {
        let mut raw = Raw::dial(&a.address(), credentials(5).dialer().unwrap());
        raw.say(Kind::Hello, &hello(5));
        assert_eq!(raw.hear().unwrap().0, Kind::Hello);
        match raw.hear() {
            Ok((Kind::Welcome, _)) => break raw,
            Ok((Kind::Bye, code)) => assert_eq!(code, [2]),
            other => panic!("{other:?}"),
        }
        refused += 1;
    };
    assert!(refused > 0);
    assert_eq!(a.down(5), Why::Replaced);
    a.up(5);
    second.say(Kind::Data, b"here");
    assert_eq!(a.frame(5), b"here");
    drop(first);
}

#[test]
fn what_is_announced_is_where_others_may_dial() {
    let (a, mut b) = pair(|config| {
        if config.node == id(1) {
            (config.announce_host, config.announce_port) = (Some("db1.example".into()), Some(17_000));
        }
    });
    let peer = b.mesh.peers().remove(0);
    assert_eq!((peer.node, peer.announced.as_deref()), (id(1), Some("db1.example:17000")));
    assert_eq!(a.mesh.peers()[0].announced, Some(b.address()));
    assert!(a.mesh.add_peer("nonsense").is_err());
    until("a time is known", || a.mesh.metrics().peers[0].rtt_micros > 0);
    b.wait("a time", |event| matches!(event, Event::Rtt { .. }).then_some(()));
}
