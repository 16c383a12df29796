//! Frames between nodes that are up: order, sizes, bounds.

use std::time::{Duration, Instant};

use super::raw::Raw;
use super::{Node, PATIENCE, config, id, pair, until};
use crate::frame::Kind;
use crate::limits::{EVENT_COST, READ_BYTES, TURN_BYTES};
use crate::{Event, Region, SendError, Why};

fn numbered(n: u32, len: usize) -> Vec<u8> {
    let mut bytes = n.to_le_bytes().to_vec();
    bytes.resize(len.max(4), n as u8);
    bytes
}

#[test]
fn frames_arrive_in_order_both_ways_whatever_their_size() {
    let (mut a, mut b) = pair(|_| {});
    let sizes = [0usize, 4, 100, 16_384, 65_531, 65_536, 70_000, 3, 200_000, 9];
    for n in 0..2000u32 {
        let frame = numbered(n, sizes[n as usize % sizes.len()]);
        until("there is room", || a.mesh.send(b.id, &frame) != Err(SendError::Full));
        if n % 3 == 0 {
            b.mesh.queue(a.id, &frame).unwrap();
        }
        if n % 50 == 0 {
            b.mesh.flush();
            b.inbox.drain(&mut b.told);
        }
    }
    b.mesh.flush();
    a.mesh.send(b.id, b"").unwrap();
    for n in 0..2000u32 {
        let frame = numbered(n, sizes[n as usize % sizes.len()]);
        assert!(b.frame(1) == frame, "{n}");
        if n % 3 == 0 {
            assert!(a.frame(2) == frame, "{n}");
        }
    }
    assert_eq!(b.frame(1), b"");
    let figures = |node: &Node| node.mesh.metrics().peers[0].clone();
    until("all is counted", || figures(&a).frames_out == 2001 && figures(&b).frames_in == 2001);
    until("bytes agree", || figures(&a).bytes_out == figures(&b).bytes_in);
    assert_eq!((figures(&a).frames_in, figures(&a).reconnects), (667, 0));
}

#[test]
fn a_frame_may_be_as_large_as_configured_and_no_larger() {
    let (mut a, mut b) = pair(|config| config.frame_bytes = 20 << 20);
    let large: Vec<u8> = (0..20u32 << 18).flat_map(u32::to_le_bytes).collect();
    a.mesh.send(b.id, &large).unwrap();
    assert!(b.frame(1) == large);
    assert_eq!(a.mesh.send(b.id, &[&large[..], &[1]].concat()), Err(SendError::TooLarge));
    assert_eq!(a.mesh.send(id(9), b"x"), Err(SendError::Down));
    b.mesh.send(a.id, b"still there").unwrap();
    assert_eq!(a.frame(2), b"still there");
}

#[test]
fn a_peer_that_sends_a_larger_frame_is_cut_off_and_nobody_else() {
    let (mut a, mut b) = pair(|config| config.frame_bytes = 1000);
    let mut raw = Raw::up(&a.address(), 5);
    a.up(5);
    raw.say(Kind::Data, &[1; 1000]);
    assert_eq!(a.frame(5).len(), 1000);
    raw.write(&[0xe9, 3, 0, 0, Kind::Data as u8]);
    assert!(matches!(a.down(5), Why::Protocol(why) if why.contains("1001 bytes")));
    a.mesh.send(b.id, b"unharmed").unwrap();
    assert_eq!(b.frame(1), b"unharmed");
}

#[test]
fn whoever_does_not_take_events_stops_its_peer_and_memory_is_bounded() {
    const BOUND: usize = 300_000;
    // The last read of a turn may go beyond it, and a record may have been begun before.
    const TURN: usize = TURN_BYTES + READ_BYTES + (16 << 10);
    let (mut a, mut b) = pair(|config| (config.inbox_bytes, config.outbox_bytes) = (BOUND, BOUND));
    // B takes nothing: its inbox, the system's buffers and A's outbox fill up.
    let mut sent = 0u32;
    let end = Instant::now() + PATIENCE;
    loop {
        match a.mesh.send(b.id, &numbered(sent, 1000)) {
            Ok(()) => sent += 1,
            Err(error) => {
                assert_eq!(error, SendError::Full);
                if b.inbox.held(a.id) > BOUND {
                    break;
                }
                std::thread::yield_now();
            }
        }
        assert!(a.mesh.metrics().peers[0].waiting <= BOUND);
        assert!(b.inbox.held(a.id) <= BOUND + TURN + TURN / 1000 * EVENT_COST + 2000);
        assert!(sent < 200_000 && Instant::now() < end, "{sent} sent and nothing holds it back");
    }
    // A third is not held up by it.
    let mut third = config(3);
    third.join = vec![a.address(), b.address()];
    let mut third = Node::start(third);
    third.up(1);
    third.up(2);
    third.mesh.send(a.id, b"from the third").unwrap();
    assert_eq!(a.frame(3), b"from the third");
    // Then B takes all of it, in order, and A is told that there is room.
    for n in 0..sent {
        assert!(b.frame(1) == numbered(n, 1000), "{n}");
    }
    a.wait("room", |event| (*event == Event::Room(id(2))).then_some(()));
    a.mesh.send(b.id, b"and on").unwrap();
    assert_eq!(b.frame(1), b"and on");
    assert!(!a.told.iter().chain(&b.told).any(|event| matches!(event, Event::PeerDown { .. })));
}

#[test]
fn three_nodes_are_connected_each_with_each() {
    let mut a = Node::start(config(1));
    let mut with_a = config(2);
    with_a.join = vec![a.address()];
    let mut b = Node::start(with_a);
    let mut with_both = config(3);
    with_both.join = vec![a.address(), b.address()];
    with_both.region = Region::new("eu-west").unwrap();
    let mut c = Node::start(with_both);
    for n in [2, 3] {
        let peer = a.up(n);
        assert_eq!(peer.region.label(), if n == 3 { "eu-west" } else { "default" });
    }
    b.up(1);
    assert_eq!(b.up(3).announced, Some(c.address()));
    for with in [1, 2] {
        c.up(with);
    }
    let mut nodes = [a, b, c];
    for from in &nodes {
        for to in nodes.iter().filter(|to| to.id != from.id) {
            from.mesh.send(to.id, format!("{} to {}", from.id, to.id).as_bytes()).unwrap();
        }
    }
    for to in &mut nodes {
        let own = to.id;
        for from in (1..=3).filter(|n| id(*n) != own) {
            assert_eq!(to.frame(from), format!("{} to {own}", id(from)).as_bytes());
        }
        assert_eq!(to.mesh.peers().len(), 2);
    }
}

#[test]
fn pings_measure_and_silence_ends_a_connection() {
    let mut config = config(1);
    (config.ping_every, config.dead_after) = (Duration::from_millis(30), 4);
    let mut a = Node::start(config);
    let mut raw = Raw::up(&a.address(), 5);
    a.up(5);
    let (kind, token) = raw.hear().unwrap();
    assert_eq!((kind, token.len()), (Kind::Ping, 8));
    raw.say(Kind::Pong, &token);
    a.wait("a time", |event| matches!(event, Event::Rtt { node, .. } if *node == id(5)).then_some(()));
    // It hears the next pings and says nothing.
    assert_eq!(a.down(5), Why::Silent);
    assert_eq!((0..9).find_map(|_| raw.hear().err()), Some(Why::Closed));
}

#[test]
fn a_stop_sends_what_waits_and_says_goodbye() {
    let (a, mut b) = pair(|_| {});
    // More than sockets hold.
    (0..1000u32).for_each(|n| a.mesh.queue(b.id, &numbered(n, 12_000)).unwrap());
    a.mesh.stop();
    assert!((0..1000u32).all(|n| b.frame(1) == numbered(n, 12_000)));
    assert_eq!(b.down(1), Why::Left);
    assert_eq!(a.inbox.try_recv().map(|e| matches!(e, Event::PeerDown { .. } | Event::Rtt { .. })), Some(true));
    while a.inbox.recv().is_some() {}
}

#[test]
fn what_was_given_before_a_close_arrives_before_it() {
    let (a, mut b) = pair(|_| {});
    (0..3u32).for_each(|n| a.mesh.queue(b.id, &numbered(n, 100)).unwrap());
    a.mesh.close(b.id, "a test");
    assert!((0..3u32).all(|n| b.frame(1) == numbered(n, 100)));
    assert_eq!(b.down(1), Why::Closed);
}

#[test]
fn a_ping_goes_between_frames_and_never_into_one() {
    let mut config = config(1);
    (config.ping_every, config.dead_after) = (Duration::from_millis(1), 60_000);
    let mut a = Node::start(config);
    let mut raw = Raw::up(&a.address(), 5);
    a.up(5);
    let large: Vec<u8> = (0..4u32 << 20).flat_map(u32::to_le_bytes).collect();
    a.mesh.queue(id(5), &large).unwrap();
    a.mesh.send(id(5), b"behind it").unwrap();
    let (mut data, mut pings) = (Vec::new(), 0);
    while data.len() < 2 || pings == 0 {
        match raw.hear().unwrap() {
            (Kind::Data, bytes) => data.push(bytes),
            (kind, token) => {
                assert_eq!((kind, token.len()), (Kind::Ping, 8));
                pings += usize::from(!data.is_empty());
            }
        }
    }
    assert!(data[0] == large && data[1] == b"behind it");
}
