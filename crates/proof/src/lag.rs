//! A proxy that is far away: bytes take their time in each direction, and it can be cut like a network.
//!
//! ```text
//! client ─▶ read, note when it is due ─▶ queue ─▶ wait until then, and while it is cut ─▶ write ─▶ server
//! ```
//! A cut loses nothing that TCP would not bring later: what was on its way waits and goes on when it is healed, as with a
//! network that drops packets and is back before connections are given up. `reset` ends connections instead.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

/// One read, in bytes.
const CHUNK: usize = 64 << 10;
/// Reads that are on their way in one direction of a connection: 64 MiB, or 200 ms of 320 MB/s.
const ON_THE_WAY: usize = 1024;

/// The proxy. It ends, and all its connections, when it is dropped.
pub struct Lag {
    port: u16,
    state: Arc<State>,
}

struct State {
    upstream: SocketAddr,
    /// One way, in microseconds.
    delay_us: AtomicU64,
    /// Bytes that were read and not written yet.
    held: AtomicU64,
    /// Bytes that were written.
    carried: AtomicU64,
    cut: Mutex<bool>,
    healed: Condvar,
    ends: AtomicBool,
    sockets: Mutex<Vec<TcpStream>>,
}

/// Bytes and when they arrive.
struct Piece {
    due: Instant,
    bytes: Vec<u8>,
}

impl Lag {
    /// Listens on a port of its own and forwards every connection to `upstream`, `one_way` later in each direction.
    pub fn start(upstream: SocketAddr, one_way: Duration) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let state = Arc::new(State {
            upstream,
            delay_us: AtomicU64::new(0),
            held: AtomicU64::new(0),
            carried: AtomicU64::new(0),
            cut: Mutex::new(false),
            healed: Condvar::new(),
            ends: AtomicBool::new(false),
            sockets: Mutex::default(),
        });
        let lag = Self { port, state: Arc::clone(&state) };
        lag.set_delay(one_way);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if state.ends.load(Ordering::SeqCst) {
                    break;
                }
                // Whoever cannot be reached is not there for the client either.
                let _ = state.connect(client);
            }
        });
        Ok(lag)
    }

    /// Where it listens, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Another delay, for what is read from now on.
    pub fn set_delay(&self, one_way: Duration) {
        self.state.delay_us.store(u64::try_from(one_way.as_micros()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }

    /// Nothing arrives any more, in either direction, until it is healed.
    pub fn cut(&self) {
        *lock(&self.state.cut) = true;
    }

    /// What was held goes on.
    pub fn heal(&self) {
        *lock(&self.state.cut) = false;
        self.state.healed.notify_all();
    }

    /// Bytes that are on their way, in both directions of all connections.
    pub fn held(&self) -> u64 {
        self.state.held.load(Ordering::SeqCst)
    }

    /// Bytes that have arrived, in both directions of all connections there were.
    pub fn carried(&self) -> u64 {
        self.state.carried.load(Ordering::SeqCst)
    }

    /// Ends all connections; what was on its way is lost. New ones can be made.
    pub fn reset(&self) {
        for socket in lock(&self.state.sockets).drain(..) {
            // One that has ended already needs no end.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Lag {
    fn drop(&mut self) {
        self.state.ends.store(true, Ordering::SeqCst);
        self.heal();
        self.reset();
        // Wakes the thread that accepts; if it cannot, that thread ends with the process.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

impl State {
    fn connect(self: &Arc<Self>, client: TcpStream) -> std::io::Result<()> {
        let server = TcpStream::connect(self.upstream)?;
        for socket in [&client, &server] {
            socket.set_nodelay(true)?;
        }
        lock(&self.sockets).extend([client.try_clone()?, server.try_clone()?]);
        self.carry(client.try_clone()?, server.try_clone()?);
        self.carry(server, client);
        Ok(())
    }

    /// Starts the two threads of one direction.
    fn carry(self: &Arc<Self>, from: TcpStream, to: TcpStream) {
        let (pieces, arriving) = sync_channel(ON_THE_WAY);
        let (reads, writes) = (Arc::clone(self), Arc::clone(self));
        thread::spawn(move || reads.read(from, &pieces));
        thread::spawn(move || writes.write(to, &arriving));
    }

    fn read(&self, mut from: TcpStream, pieces: &SyncSender<Piece>) {
        let mut chunk = vec![0; CHUNK];
        loop {
            let count = from.read(&mut chunk).unwrap_or(0);
            self.held.fetch_add(count as u64, Ordering::SeqCst);
            let due = Instant::now() + Duration::from_micros(self.delay_us.load(Ordering::SeqCst));
            // An end arrives as late as bytes do.
            let gone = pieces.send(Piece { due, bytes: chunk[..count].to_vec() }).is_err();
            if gone || count == 0 {
                return;
            }
        }
    }

    fn write(&self, mut to: TcpStream, arriving: &Receiver<Piece>) {
        for piece in arriving {
            thread::sleep(piece.due.saturating_duration_since(Instant::now()));
            let mut cut = lock(&self.cut);
            while *cut {
                cut = self.healed.wait(cut).unwrap_or_else(PoisonError::into_inner);
            }
            drop(cut);
            let wrote = to.write_all(&piece.bytes);
            self.carried.fetch_add(piece.bytes.len() as u64, Ordering::SeqCst);
            self.held.fetch_sub(piece.bytes.len() as u64, Ordering::SeqCst);
            if piece.bytes.is_empty() || wrote.is_err() {
                break;
            }
        }
        // The other side may have closed it.
        let _ = to.shutdown(Shutdown::Write);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that sends back what it gets, and a client of it through the proxy.
    fn echo(one_way: Duration) -> (Lag, TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for mut client in listener.incoming().flatten() {
                let mut back = client.try_clone().unwrap();
                thread::spawn(move || std::io::copy(&mut client, &mut back));
            }
        });
        let lag = Lag::start(address, one_way).unwrap();
        let client = connect(&lag);
        (lag, client)
    }

    fn connect(lag: &Lag) -> TcpStream {
        let client = TcpStream::connect((Ipv4Addr::LOCALHOST, lag.port())).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        client
    }

    fn say(client: &mut TcpStream, bytes: &[u8]) -> Vec<u8> {
        client.write_all(bytes).unwrap();
        let mut back = vec![0; bytes.len()];
        client.read_exact(&mut back).unwrap();
        back
    }

    #[test]
    fn nothing_is_back_before_both_ways_have_passed() {
        let one_way = Duration::from_millis(20);
        let (lag, mut client) = echo(one_way);
        for _ in 0..3 {
            let sent = Instant::now();
            assert_eq!(say(&mut client, b"hello"), b"hello");
            assert!(sent.elapsed() >= 2 * one_way);
        }
        // Later bytes do not wait for earlier ones to be back.
        let large = vec![7; 300_000];
        assert_eq!(say(&mut client, &large), large);
        lag.set_delay(Duration::ZERO);
        assert_eq!(say(&mut client, b"fast"), b"fast");
        while lag.held() > 0 {
            thread::yield_now();
        }
        assert_eq!(lag.carried(), 2 * (3 * 5 + 300_000 + 4));
    }

    #[test]
    fn a_cut_holds_what_is_sent_and_a_healed_one_brings_it() {
        let (lag, mut client) = echo(Duration::ZERO);
        assert_eq!(say(&mut client, b"before"), b"before");
        while lag.held() > 0 {
            thread::yield_now();
        }
        lag.cut();
        client.write_all(b"during").unwrap();
        while lag.held() < 6 {
            thread::yield_now();
        }
        client.set_nonblocking(true).unwrap();
        assert_eq!(client.read(&mut [0; 9]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
        assert_eq!(lag.held(), 6);
        client.set_nonblocking(false).unwrap();
        lag.heal();
        let mut back = [0; 6];
        client.read_exact(&mut back).unwrap();
        assert_eq!(&back, b"during");
    }

    #[test]
    fn a_reset_ends_connections_and_others_can_be_made() {
        let (lag, mut client) = echo(Duration::ZERO);
        assert_eq!(say(&mut client, b"before"), b"before");
        lag.reset();
        assert_eq!(client.read(&mut [0; 9]).unwrap_or(0), 0);
        assert_eq!(say(&mut connect(&lag), b"after"), b"after");
    }
}
