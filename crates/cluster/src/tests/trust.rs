//! Who is believed: passphrases, certificates and their time, names.

use std::sync::Arc;

use super::raw::{Raw, credentials, hello};
use super::{Hand, Node, config, id, pair, passphrases, until};
use crate::frame::Kind;
use crate::{Event, Why};

#[test]
fn another_passphrase_is_told_on_both_sides() {
    let mut a = Node::start(config(1));
    let mut other = config(2);
    other.passphrases = passphrases(&[2]);
    other.join = vec![a.address()];
    let mut b = Node::start(other);
    assert_eq!(b.refused(|_| true), Why::Passphrase);
    assert_eq!(a.refused(|_| true), Why::Passphrase);
    assert!(Why::Passphrase.to_string().contains("--cluster-passphrase-file"));
    assert!(a.mesh.peers().is_empty() && a.mesh.metrics().refused > 0);
}

#[test]
fn a_passphrase_is_changed_without_a_stop_of_all() {
    // Node by node: old; old trusted beside new; new signs; new alone. Neighbours in time know each other.
    let stages: [&[u8]; 4] = [&[1], &[1, 2], &[2, 1], &[2]];
    for (n, stage) in stages.iter().enumerate() {
        let mut a = config(1);
        a.passphrases = passphrases(stage);
        let mut a = Node::start(a);
        for (m, with) in stages.iter().enumerate() {
            let mut b = config(2);
            (b.passphrases, b.join) = (passphrases(with), vec![a.address()]);
            let mut b = Node::start(b);
            if n.abs_diff(m) <= 1 {
                b.up(1);
                a.up(2);
            } else if n.abs_diff(m) == 3 {
                assert_eq!(b.refused(|_| true), Why::Passphrase);
            }
        }
    }
}

#[test]
fn a_certificate_that_is_not_valid_at_the_time_is_told_on_both_sides() {
    for days in [8, 2] {
        let (now, later) = (Hand::at(20_000), Hand::at(20_000 + days));
        let (mut first, mut second) = (config(1), config(2));
        // Eight days later the certificate of now has ended; two days before, one of later has not begun.
        (first.clock, second.clock) = if days == 8 { (now, later) } else { (later, now) };
        let mut a = Node::start(first);
        second.join = vec![a.address()];
        let mut b = Node::start(second);
        assert_eq!((b.refused(|_| true), a.refused(|_| true)), (Why::Clock, Why::Clock));
    }
    // A day is no matter.
    let (mut first, mut second) = (config(1), config(2));
    (first.clock, second.clock) = (Hand::at(20_001), Hand::at(20_000));
    let a = Node::start(first);
    second.join = vec![a.address()];
    Node::start(second).up(1);
}

#[test]
fn certificates_are_made_anew_while_the_process_runs() {
    let clock = Hand::at(20_000);
    let shared = Arc::clone(&clock);
    let (mut a, b) = pair(|config| config.clock = Arc::clone(&shared) as _);
    let end = a.mesh.metrics().certificate_ends;
    assert_eq!(end, 20_007 * 86_400);
    clock.pass(8);
    // Who was connected stays; and who comes finds certificates of today, and is shown one.
    let mut late = config(3);
    late.clock = clock;
    late.join = vec![a.address()];
    let mut c = Node::start(late);
    c.up(1);
    a.up(3);
    until("the figures have it", || a.mesh.metrics().certificate_ends == 20_015 * 86_400);
    a.mesh.send(b.id, b"as ever").unwrap();
    // It dials with a new one as well.
    let d = Node::start(config_at(4, &c));
    a.mesh.add_peer(&d.address()).unwrap();
    a.up(4);
}

fn config_at(node: u64, _: &Node) -> crate::Config {
    let mut config = config(node);
    config.clock = Hand::at(20_008);
    config
}

#[test]
fn a_peer_that_calls_itself_another_is_refused() {
    let mut a = Node::start(config(1));
    let mut raw = Raw::dial(&a.address(), credentials(7).dialer().unwrap());
    raw.say(Kind::Hello, &hello(8));
    let impostor = Why::Impostor { claimed: id(8), certified: id(7) };
    assert_eq!(a.refused(|_| true), impostor);
    let heard: Vec<_> = std::iter::from_fn(|| raw.hear().ok()).collect();
    assert_eq!(heard.last().unwrap(), &(Kind::Bye, vec![7]));
    assert!(a.mesh.peers().is_empty());
}

#[test]
fn a_copied_data_directory_is_noticed() {
    let mut a = Node::start(config(1));
    let mut copy = config(1);
    copy.join = vec![a.address()];
    let mut b = Node::start(copy);
    assert_eq!(a.refused(|_| true), Why::Twin(id(1)));
    assert_eq!(b.refused(|_| true), Why::Twin(id(1)));
}

#[test]
fn whoever_speaks_another_protocol_or_version_is_refused() {
    let mut a = Node::start(config(1));
    let mut newer = hello(5);
    newer[0] = 2;
    let mut raw = Raw::dial(&a.address(), credentials(5).dialer().unwrap());
    raw.say(Kind::Hello, &newer);
    assert_eq!(a.refused(|_| true), Why::Version(2));
    // Data before a greeting.
    let mut raw = Raw::dial(&a.address(), credentials(5).dialer().unwrap());
    raw.say(Kind::Data, b"early");
    assert!(matches!(a.refused(|_| true), Why::Protocol(_)));
    // No word of the protocol in the handshake, and then no certificate.
    for (protocol, known) in [(false, true), (true, false)] {
        let mut raw = Raw::dial(&a.address(), super::raw::stranger(5, protocol, known));
        raw.say(Kind::Hello, &hello(5));
        assert!(matches!(a.refused(|_| true), Why::NotANode(_)), "{protocol} {known}");
    }
    assert!(!a.told.iter().any(|event| matches!(event, Event::PeerUp(_))));
}
