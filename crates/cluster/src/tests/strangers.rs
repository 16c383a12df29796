//! Whoever is not of the cluster: garbage, silence, many of them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::raw::Raw;
use super::{Node, PATIENCE, config, pair, until};
use crate::frame::Kind;
use crate::limits::{NOTICES, STRANGERS};
use crate::{Event, Why};

/// Whether the other end closes, whatever it says before.
fn is_closed(mut socket: &TcpStream) -> bool {
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut sink = [0; 1024];
    loop {
        match socket.read(&mut sink) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

#[test]
fn garbage_is_closed_and_harms_nobody() {
    let (mut a, mut b) = pair(|_| {});
    let mut random: Vec<u8> = (0..100_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    random[0] = 0xff;
    let client_hello_cut = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    let alert = b"\x15\x03\x03\x00\x02\x02\x28";
    for garbage in [b"GET / HTTP/1.1\r\n\r\n".as_slice(), b"*1\r\n$4\r\nPING\r\n", &random, alert] {
        let mut socket = TcpStream::connect(a.address()).unwrap();
        // It may be closed before all of it is there.
        let _ = socket.write_all(garbage);
        assert!(is_closed(&socket));
        a.refused(|why| matches!(why, Why::NotTls | Why::NotANode(_)));
    }
    // One that begins well and ends.
    let mut socket = TcpStream::connect(a.address()).unwrap();
    socket.write_all(client_hello_cut).unwrap();
    socket.shutdown(std::net::Shutdown::Write).unwrap();
    a.refused(|why| *why == Why::Closed);
    a.mesh.send(b.id, b"unharmed").unwrap();
    b.mesh.send(a.id, b"as well").unwrap();
    assert_eq!((b.frame(1), a.frame(2)), (b"unharmed".to_vec(), b"as well".to_vec()));
    assert!(!a.told.iter().any(|e| matches!(e, Event::PeerDown { .. })));
}

#[test]
fn a_server_that_speaks_something_else_is_told_apart() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut a = config(1);
    a.join = vec![listener.local_addr().unwrap().to_string()];
    let mut a = Node::start(a);
    let (mut socket, _) = listener.accept().unwrap();
    socket.write_all(b"-ERR unknown command\r\n").unwrap();
    assert_eq!(a.refused(|_| true), Why::NotTls);
}

#[test]
fn garbage_of_a_peer_ends_its_connection_only() {
    let (mut a, mut b) = pair(|_| {});
    for (garbage, word) in [(&[1, 0, 0, 0, 99, 1][..], "kind 99"), (&[0, 0, 0, 0, Kind::Welcome as u8], "out of turn")]
    {
        let mut raw = Raw::up(&a.address(), 5);
        a.up(5);
        raw.write(garbage);
        assert!(matches!(a.down(5), Why::Protocol(why) if why.contains(word)), "{word}");
    }
    // Answers to pings that were never sent.
    let mut raw = Raw::up(&a.address(), 5);
    raw.say(Kind::Pong, &[0xff; 8]);
    assert!(matches!(a.down(5), Why::Protocol(_)));
    a.mesh.send(b.id, b"unharmed").unwrap();
    assert_eq!(b.frame(1), b"unharmed");
}

#[test]
fn a_thousand_who_say_nothing_keep_nobody_out() {
    let mut a = Node::start(config(1));
    let silent: Vec<_> = (0..1000).map(|_| TcpStream::connect(a.address()).unwrap()).collect();
    let mut b = config(2);
    b.join = vec![a.address()];
    let mut b = Node::start(b);
    b.up(1);
    a.up(2);
    // The oldest had to go: all but so many, and one more for the node.
    let gone = 1000 - STRANGERS + 1;
    assert!(silent[..gone].iter().all(is_closed));
    assert_eq!(a.mesh.metrics().refused, gone as u64);
    silent[gone + 1].set_nonblocking(true).unwrap();
    let still = (&silent[gone + 1]).read(&mut [0]).unwrap_err();
    assert_eq!(still.kind(), std::io::ErrorKind::WouldBlock);
    a.mesh.send(b.id, b"you").unwrap();
    assert_eq!(b.frame(1), b"you");
}

#[test]
fn whoever_does_not_finish_the_handshake_is_late() {
    let mut config = config(1);
    config.handshake = Duration::from_millis(50);
    let mut a = Node::start(config);
    let silent = TcpStream::connect(a.address()).unwrap();
    assert_eq!(a.refused(|_| true), Why::Late);
    assert!(is_closed(&silent));
    // TLS alone is not enough.
    let mut raw = Raw::dial(&a.address(), super::raw::credentials(5).dialer().unwrap());
    raw.write(&[]);
    assert_eq!(raw.hear().unwrap().0, Kind::Hello);
    assert_eq!(a.refused(|_| true), Why::Late);
    assert_eq!(raw.hear(), Err(Why::Closed));
}

#[test]
fn whoever_takes_no_events_lets_nobody_in_until_he_does() {
    let mut a = Node::start(config(1));
    let before = a.mesh.metrics().refused;
    for _ in 0..NOTICES {
        drop(TcpStream::connect(a.address()).unwrap());
    }
    until("all have gone", || a.mesh.metrics().refused - before == NOTICES as u64);
    let mut b = config(2);
    b.join = vec![a.address()];
    let mut b = Node::start(b);
    assert_eq!(b.refused(|_| true), Why::Busy);
    assert!(a.mesh.peers().is_empty());
    a.inbox.drain(&mut a.told);
    b.up(1);
    a.up(2);
}
