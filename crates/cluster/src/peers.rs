//! Who is a peer: greetings, one connection for each pair of nodes, and how connections end.
//!
//! ```text
//!    lower id                                   higher id
//!       │ ◀──────── Hello ──────── Hello ─────────▶ │      as soon as TLS is up, whoever dialed
//!       │ ───────── Welcome ──────────────────────▶ │      this connection is the one; both are up
//!       │ ───────── Bye: duplicate ───────────────▶ │      there is one already
//! ```
//! The lower id alone decides, so both sides never choose differently. When it has one already and is greeted by the same
//! life of the same node, the other side may know better (it may have lost the old one): the old one is doubted, and ends
//! unless a byte comes in half of the usual time; the peer dials again meanwhile.
//!
//! Two processes with one id would take each other's place forever. So the one that was there first is refused when it comes
//! back: each start of a node has a random number, its life.
//!
//! *Invariant:* at most one connection with a node is up, and `PeerUp` and `PeerDown` of a node alternate.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use crate::conn::{Conn, Link, Phase, Received};
use crate::credentials::peer_of;
use crate::driver::Driver;
use crate::error::Why;
use crate::event::{Event, Peer};
use crate::frame::Kind;
use crate::hello::Hello;
use crate::limits::FIGURES;
use crate::metrics::Counters;
use crate::node::NodeId;
use crate::outbox::Outbox;

/// The processes that were a node.
pub(crate) struct Lives {
    current: u64,
    /// The one before.
    retired: Option<u64>,
}

impl Driver {
    /// Does what a turn of reading has brought. What came before an error counts.
    pub(crate) fn act(&mut self, key: usize, received: Vec<Received>, now: Instant) -> Result<(), Why> {
        self.greet(key)?;
        let mut frames = Vec::new();
        let mut result = Ok(());
        for item in received {
            result = self.step(key, item, now, &mut frames);
            if result.is_err() {
                break;
            }
        }
        if let Some(conn) = self.conns.get_mut(key)
            && let (Some(link), Some(node)) = (&conn.link, conn.node())
        {
            Counters::add(&link.counters.frames_in, frames.len() as u64);
            conn.paused = !self.inbox.deliver(node, &mut frames);
        }
        result
    }

    /// Once TLS is up: who is it?
    fn greet(&mut self, key: usize) -> Result<(), Why> {
        let Some(conn) = self.conns.get_mut(key) else { return Ok(()) };
        let Some(session) = conn.session.as_ref().filter(|s| conn.phase == Phase::Shaking && !s.is_handshaking())
        else {
            return Ok(());
        };
        conn.phase = Phase::Greeting(peer_of(session)?);
        conn.say(Kind::Hello, &self.own.encode());
        Ok(())
    }

    fn step(&mut self, key: usize, item: Received, now: Instant, frames: &mut Vec<Vec<u8>>) -> Result<(), Why> {
        let token = self.micros(now);
        let Some(conn) = self.conns.get_mut(key) else { return Ok(()) };
        match (&conn.phase, item) {
            (Phase::Ending, _) => {}
            (Phase::Greeting(node), Received::Hello(hello)) => {
                let node = *node;
                return self.greeted(key, node, hello, now);
            }
            (Phase::Waiting(hello), Received::Welcome) => {
                let hello = hello.clone();
                self.bring_up(key, hello, now);
            }
            (Phase::Up(_), Received::Data(bytes)) => frames.push(bytes),
            (Phase::Up(_), Received::Ping(bytes)) => conn.say_if_heard(Kind::Pong, &bytes),
            (Phase::Up(node), Received::Pong(bytes)) => {
                let sent = bytes.try_into().map(u64::from_le_bytes).ok().filter(|sent| *sent <= token);
                let sent = sent.ok_or_else(|| Why::Protocol("an answer to no ping".into()))?;
                let micros = u32::try_from(token - sent).unwrap_or(u32::MAX);
                if let Some(link) = &conn.link {
                    link.counters.rtt_micros.store(micros, Ordering::Relaxed);
                }
                self.inbox.hint(Event::Rtt { node: *node, micros });
            }
            (_, Received::Bye(code)) => return Err(why_of(code, self.config.node)),
            _ => return Err(Why::Protocol("a frame out of turn".into())),
        }
        Ok(())
    }

    /// A peer has said who it is; its certificate says it as well.
    fn greeted(&mut self, key: usize, certified: NodeId, hello: Hello, now: Instant) -> Result<(), Why> {
        let own = self.config.node;
        if hello.node != certified {
            return Err(Why::Impostor { claimed: hello.node, certified });
        }
        if hello.node == own {
            return Err(if hello.life == self.own.life { Why::Myself } else { Why::Twin(own) });
        }
        if self.lives.get(&hello.node).is_some_and(|lives| lives.retired == Some(hello.life)) {
            return Err(Why::Twin(hello.node));
        }
        if self.inbox.is_crowded() {
            return Err(Why::Busy);
        }
        if own > hello.node {
            self.conns[key].phase = Phase::Waiting(hello);
            return Ok(());
        }
        let patience = self.config.ping_every * self.config.dead_after.div_ceil(2);
        let token = self.micros(now).to_le_bytes();
        if let Some(other) = self.up.get(&hello.node).map(|other| &mut self.conns[*other])
            && other.link.as_ref().is_some_and(|link| link.life == hello.life)
        {
            other.doubted = other.doubted.or(Some(now + patience));
            other.pinged = now;
            other.say_if_heard(Kind::Ping, &token);
            return Err(Why::Duplicate);
        }
        self.conns[key].say(Kind::Welcome, &[]);
        self.bring_up(key, hello, now);
        Ok(())
    }

    fn bring_up(&mut self, key: usize, hello: Hello, now: Instant) {
        if let Some(other) = self.up.get(&hello.node).copied() {
            self.close(other, Why::Replaced, now);
        }
        let node = hello.node;
        self.note_life(node, hello.life);
        let token = self.micros(now).to_le_bytes();
        let conn = &mut self.conns[key];
        let peer = Peer {
            node,
            addr: conn.addr,
            announced: announced(&hello, conn.addr),
            region: hello.region,
            dialed: conn.dialed,
        };
        let counters = self.shared.counters(node);
        Counters::add(&counters.connections, 1);
        let outbox = Outbox::new(self.config.outbox_bytes);
        let link = Arc::new(Link { peer: peer.clone(), life: hello.life, outbox, counters });
        (conn.phase, conn.link) = (Phase::Up(node), Some(Arc::clone(&link)));
        conn.say(Kind::Ping, &token);
        conn.pinged = now;
        if conn.dialed {
            self.routes.reached(conn.addr, node, now);
        }
        self.strangers.retain(|k| *k != key);
        self.up.insert(node, key);
        tracing::info!("node {node} at {} ({}) is connected", peer.addr, peer.region);
        // Before the event: whoever is told may send at once.
        self.shared.links.write().insert(node, link);
        self.inbox.tell(Event::PeerUp(peer));
    }

    /// A process that another one has followed does not come back.
    fn note_life(&mut self, node: NodeId, life: u64) {
        if self.lives.len() >= FIGURES {
            self.lives.retain(|node, _| self.up.contains_key(node));
        }
        let lives = self.lives.entry(node).or_insert(Lives { current: life, retired: None });
        if lives.current != life {
            *lives = Lives { current: life, retired: Some(lives.current) };
        }
    }

    /// Ends a connection, and tells whom it concerns.
    pub(crate) fn close(&mut self, key: usize, why: Why, now: Instant) {
        if !self.conns.contains(key) {
            return;
        }
        let mut conn = self.forget(key);
        if let Some(code) = code_of(&why) {
            // As far as the socket takes it; what was given before goes first, as it may be what the peer needs to do better.
            let _ = conn.send();
            conn.say(Kind::Bye, &[code]);
            let _ = conn.send();
        }
        conn.part();
        conn.count();
        let known = match &conn.phase {
            Phase::Greeting(node) => Some(*node),
            Phase::Waiting(hello) => Some(hello.node),
            _ => None,
        };
        match (&conn.phase, &why) {
            (Phase::Up(node), _) => self.down(*node, &conn, why, now),
            (Phase::Ending, _) | (_, Why::Stopped) => {}
            (_, Why::Duplicate) if known.is_some() => {
                if let Some(node) = known.filter(|_| conn.dialed) {
                    self.routes.reached(conn.addr, node, now);
                }
            }
            (_, Why::Myself) => self.routes.is_own(conn.addr, now),
            _ => self.refused(conn.addr, conn.dialed, why, now),
        }
    }

    fn down(&mut self, node: NodeId, conn: &Conn, why: Why, now: Instant) {
        self.up.remove(&node);
        self.shared.links.write().remove(&node);
        if let Some(link) = &conn.link {
            link.outbox.close();
        }
        self.routes.lost(node, now);
        tracing::info!("node {node} at {} is disconnected: {why}", conn.addr);
        self.inbox.tell(Event::PeerDown { node, why });
    }

    /// A connection did not come to be.
    pub(crate) fn refused(&mut self, addr: SocketAddr, dialed: bool, why: Why, now: Instant) {
        self.shared.refused.fetch_add(1, Ordering::Relaxed);
        let new = dialed && self.routes.failed(addr, why.to_string(), now);
        if new {
            tracing::warn!("no connection with the node at {addr}: {why}");
        } else if !dialed && why.needs_help() {
            self.complain(now, &format!("a connection from {addr} was refused: {why}"));
        }
        self.inbox.hint(Event::Refused { addr, why });
    }

    /// Says goodbye on a connection whose frames are sent, and waits for the peer to close it.
    pub(crate) fn part(&mut self, key: usize) {
        let conn = &mut self.conns[key];
        let Some(node) = conn.node() else { return };
        conn.say(Kind::Bye, &[1]);
        let sent = conn.send();
        conn.part();
        conn.count();
        (conn.phase, conn.paused) = (Phase::Ending, false);
        let addr = conn.addr;
        if let Some(link) = conn.link.take() {
            link.outbox.close();
        }
        tracing::debug!("goodbye to node {node} at {addr}: {sent:?}");
        self.up.remove(&node);
        self.shared.links.write().remove(&node);
        self.inbox.tell(Event::PeerDown { node, why: Why::Stopped });
    }
}

/// Where a peer can be dialed.
fn announced(hello: &Hello, seen: SocketAddr) -> Option<String> {
    let port = Some(hello.port).filter(|port| *port != 0)?;
    Some(match hello.host.as_str() {
        "" => SocketAddr::new(seen.ip(), port).to_string(),
        host if host.contains(':') => format!("[{host}]:{port}"),
        host => format!("{host}:{port}"),
    })
}

/// What the peer is told. The numbers are never used again.
fn code_of(why: &Why) -> Option<u8> {
    match why {
        Why::Stopped => Some(1),
        Why::Duplicate => Some(2),
        Why::Myself => Some(3),
        Why::Busy => Some(4),
        Why::Replaced => Some(5),
        Why::Twin(_) => Some(6),
        Why::Impostor { .. } => Some(7),
        Why::Protocol(_) => Some(8),
        Why::Given(_) => Some(9),
        _ => None,
    }
}

fn why_of(code: u8, own: NodeId) -> Why {
    match code {
        1 => Why::Left,
        2 => Why::Duplicate,
        3 => Why::Myself,
        4 => Why::Busy,
        5 => Why::Replaced,
        6 => Why::Twin(own),
        7 => Why::Protocol("the peer says that this node is not who it says".into()),
        8 => Why::Protocol("the peer did not understand".into()),
        9 => Why::Closed,
        code => Why::Protocol(format!("the peer refused, reason {code}")),
    }
}
