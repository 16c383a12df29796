//! One connection: a socket, TLS on it, and frames in that. It never blocks and decides nothing about peers.
//!
//! ```text
//! socket ─▶ TLS ─▶ decoder ─▶ Received            urgent ─┐ between two frames
//!                                                 outbox ─┴▶ TLS ─▶ socket
//! ```
//! *Invariant:* at most [`WRITE_BYTES`] are encrypted beyond what the socket takes, and nothing is read beyond a turn.

use std::io::{self, BufRead, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use mio::net::TcpStream;
use rustls::Connection as Session;

use crate::credentials::{Credentials, why};
use crate::error::Why;
use crate::event::Peer;
use crate::frame::{self, Decoder, FrameError, Kind};
use crate::hello::Hello;
use crate::limits::{CONTROL_BYTES, TURN_BYTES, WRITE_BYTES};
use crate::metrics::Counters;
use crate::node::NodeId;
use crate::outbox::Outbox;

/// How far a connection has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Phase {
    /// TCP, then TLS.
    Shaking,
    /// TLS says who it is; our greeting is sent.
    Greeting(NodeId),
    /// Greeted: the peer, which has the lower id, decides whether it is the one.
    Waiting(Hello),
    /// It carries data.
    Up(NodeId),
    /// We said goodbye and wait for the peer to close.
    Ending,
}

/// What others see of a connection that is up.
#[derive(Debug)]
pub(crate) struct Link {
    pub peer: Peer,
    pub life: u64,
    pub outbox: Outbox,
    pub counters: Arc<Counters>,
}

/// A frame that has come.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Received {
    Hello(Hello),
    Welcome,
    Data(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Bye(u8),
}

/// How a turn of reading ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// The socket is empty.
    Done,
    /// There may be more.
    More,
}

/// A connection.
pub(crate) struct Conn {
    pub socket: TcpStream,
    pub addr: SocketAddr,
    pub dialed: bool,
    /// None until the first byte of one that was accepted: whoever sends nothing costs a socket only.
    pub session: Option<Session>,
    pub phase: Phase,
    pub link: Option<Arc<Link>>,
    pub born: Instant,
    /// When the last byte came.
    pub heard: Instant,
    pub pinged: Instant,
    /// When it is given up unless a byte comes; a doubt that somebody had.
    pub doubted: Option<Instant>,
    /// It is not read, because what came before was not taken yet.
    pub paused: bool,
    /// The socket takes no more until it says that it is writable.
    pub blocked: bool,
    decoder: Decoder,
    urgent: Vec<u8>,
    /// Taken from the outbox; written up to `at`, and a frame ends at `boundary`.
    current: Vec<u8>,
    at: usize,
    boundary: usize,
    bytes_in: u64,
    bytes_out: u64,
}

impl Conn {
    pub(crate) fn new(
        socket: TcpStream,
        addr: SocketAddr,
        session: Option<Session>,
        limit: usize,
        now: Instant,
    ) -> Self {
        Self {
            socket,
            addr,
            dialed: session.is_some(),
            session,
            phase: Phase::Shaking,
            link: None,
            born: now,
            heard: now,
            pinged: now,
            doubted: None,
            paused: false,
            blocked: false,
            decoder: Decoder::new(limit),
            urgent: Vec::new(),
            current: Vec::new(),
            at: 0,
            boundary: 0,
            bytes_in: 0,
            bytes_out: 0,
        }
    }

    /// Reads for a turn and appends what it was to `out`. What came before an error is there as well.
    pub(crate) fn receive(
        &mut self,
        credentials: &Credentials,
        scratch: &mut [u8],
        out: &mut Vec<Received>,
    ) -> Result<Turn, Why> {
        let mut left = TURN_BYTES;
        loop {
            let count = match self.socket.read(scratch) {
                Ok(0) => return Err(Why::Closed),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Turn::Done),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(broken(&error)),
            };
            self.bytes_in += count as u64;
            if self.session.is_none() {
                self.session = Some(credentials.acceptor().map_err(|e| why(&e))?);
            }
            let fed = self.feed(&scratch[..count]);
            let framed = self.frames(out);
            fed?;
            framed?;
            left = left.saturating_sub(count);
            if left == 0 {
                return Ok(Turn::More);
            }
        }
    }

    /// Decrypts bytes of the socket into the decoder.
    fn feed(&mut self, mut bytes: &[u8]) -> Result<(), Why> {
        let session = self.session.as_mut().expect("a session is made before the first read");
        while !bytes.is_empty() {
            // It takes a few KiB at a time, and refuses to hold more than a record.
            if session.read_tls(&mut bytes).map_err(|e| broken(&e))? == 0 {
                return Err(Why::NotTls);
            }
            if let Err(error) = session.process_new_packets() {
                return Err(why(&error));
            }
            loop {
                let mut reader = session.reader();
                match reader.fill_buf() {
                    Ok([]) => return Err(Why::Closed),
                    Ok(plain) => {
                        self.decoder.extend(plain);
                        let count = plain.len();
                        reader.consume(count);
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => return Err(broken(&error)),
                }
            }
        }
        Ok(())
    }

    fn frames(&mut self, out: &mut Vec<Received>) -> Result<(), Why> {
        while let Some((kind, payload)) = self.decoder.next().map_err(|e: FrameError| Why::Protocol(e.to_string()))? {
            out.push(match kind {
                Kind::Hello => Received::Hello(Hello::decode(payload)?),
                Kind::Welcome => Received::Welcome,
                Kind::Data => Received::Data(payload.to_vec()),
                Kind::Ping => Received::Ping(payload.to_vec()),
                Kind::Pong => Received::Pong(payload.to_vec()),
                Kind::Bye => Received::Bye(payload.first().copied().unwrap_or(0)),
            });
        }
        Ok(())
    }

    /// A frame of our own that goes before data that waits.
    pub(crate) fn say(&mut self, kind: Kind, payload: &[u8]) {
        frame::put(&mut self.urgent, kind, payload);
    }

    /// A ping or its answer: not worth the memory if the peer takes nothing anyway.
    pub(crate) fn say_if_heard(&mut self, kind: Kind, payload: &[u8]) {
        if self.urgent.len() < CONTROL_BYTES {
            self.say(kind, payload);
        }
    }

    /// Encrypts and sends what the socket takes. Whether somebody who was refused has room now.
    pub(crate) fn send(&mut self) -> Result<bool, Why> {
        let mut room = false;
        loop {
            if self.blocked || !self.push()? {
                break;
            }
            match self.encrypt().map_err(|e| broken(&e))? {
                Some(more) => room |= more,
                None => break,
            }
        }
        Ok(room)
    }

    /// Sends what is encrypted; whether all of it went out.
    fn push(&mut self) -> Result<bool, Why> {
        let Some(session) = &mut self.session else { return Ok(true) };
        while session.wants_write() {
            match session.write_tls(&mut self.socket) {
                Ok(0) => return Err(Why::Closed),
                Ok(count) => self.bytes_out += count as u64,
                // A socket that is not connected yet says so.
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => {
                    self.blocked = true;
                    return Ok(false);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(broken(&error)),
            }
        }
        Ok(true)
    }

    /// Encrypts the next piece: frames of our own if no frame is cut, else data. `None` if there is nothing.
    fn encrypt(&mut self) -> io::Result<Option<bool>> {
        let Some(session) = &mut self.session else { return Ok(None) };
        if session.is_handshaking() {
            return Ok(None);
        }
        if !self.urgent.is_empty() && self.at == self.boundary {
            session.writer().write_all(&self.urgent)?;
            self.urgent.clear();
            return Ok(Some(false));
        }
        let Some(link) = &self.link else { return Ok(None) };
        if self.at == self.current.len() {
            let frames = link.outbox.take(&mut self.current);
            (self.at, self.boundary) = (0, 0);
            Counters::add(&link.counters.frames_out, frames);
            if self.current.is_empty() {
                return Ok(None);
            }
        }
        let end = piece(&self.current, self.at, &mut self.boundary);
        session.writer().write_all(&self.current[self.at..end])?;
        let room = link.outbox.wrote(end - self.at);
        self.at = end;
        if end == self.current.len() && self.current.capacity() > 4 * WRITE_BYTES {
            (self.current, self.at, self.boundary) = (Vec::new(), 0, 0);
        }
        Ok(Some(room))
    }

    /// Whether all that was given is with the system.
    pub(crate) fn is_flushed(&self) -> bool {
        let waits = self.link.as_ref().is_some_and(|l| l.outbox.waiting() > 0);
        !waits && self.urgent.is_empty() && !self.session.as_ref().is_some_and(|s| s.wants_write())
    }

    /// Tells the peer why this ends, as far as the socket takes it.
    pub(crate) fn part(&mut self) {
        if let Some(session) = &mut self.session {
            session.send_close_notify();
        }
        // The connection ends here; whether the peer hears of it is its own affair.
        let _ = self.push();
    }

    /// Bytes that have come so far and were not counted yet.
    pub(crate) fn heard_bytes(&self) -> u64 {
        self.bytes_in
    }

    /// Adds the bytes of the socket to the figures of its peer.
    pub(crate) fn count(&mut self) {
        if let Some(link) = &self.link {
            link.counters.bytes_in.fetch_add(std::mem::take(&mut self.bytes_in), Ordering::Relaxed);
            link.counters.bytes_out.fetch_add(std::mem::take(&mut self.bytes_out), Ordering::Relaxed);
        }
    }

    /// Who it is with, once it is up.
    pub(crate) fn node(&self) -> Option<NodeId> {
        match self.phase {
            Phase::Up(node) => Some(node),
            _ => None,
        }
    }
}

fn broken(error: &io::Error) -> Why {
    Why::Broken(error.to_string())
}

/// Where the next piece of `bytes`, frames as they are sent, ends behind `at`: behind the last frame that fits, or within one
/// that does not. `boundary` is where the frame ends that is being sent, and moves on.
fn piece(bytes: &[u8], at: usize, boundary: &mut usize) -> usize {
    let most = (at + WRITE_BYTES).min(bytes.len());
    while *boundary < most {
        let next = *boundary + frame::len(&bytes[*boundary..]);
        if next > most && *boundary > at {
            return *boundary;
        }
        *boundary = next;
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_bounded_and_end_with_a_frame_where_they_can() {
        let mut bytes = Vec::new();
        for len in [10, WRITE_BYTES - 40, 100, 3 * WRITE_BYTES, 7, 8] {
            frame::put(&mut bytes, Kind::Data, &vec![1; len]);
        }
        let (mut at, mut boundary, mut ends) = (0, 0, Vec::new());
        while at < bytes.len() {
            let end = piece(&bytes, at, &mut boundary);
            assert!(end > at && end - at <= WRITE_BYTES && boundary >= end);
            (at, _) = (end, ends.push((end, boundary == end)));
        }
        let first = 15 + WRITE_BYTES - 35;
        let large = first + 105;
        let behind = large + 5 + 3 * WRITE_BYTES;
        let within = |n| (large + n * WRITE_BYTES, false);
        assert_eq!(ends, [(first, true), (large, true), within(1), within(2), within(3), (behind + 25, true)]);
    }
}
