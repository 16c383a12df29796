//! A connection's bytes: TCP or Unix socket, plain or TLS, never blocking.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};
use rustix::net::{RecvFlags, SendFlags};
use rustls::ServerConnection;

use super::limits::TLS_WRITE_BYTES;

/// A connected socket.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Tcp(stream) => stream,
            Self::Unix(stream) => stream,
        }
    }

    /// Who is at the other end, for people.
    fn peer(&self) -> String {
        match self {
            Self::Tcp(stream) => stream.peer_addr().map_or_else(|error| error.to_string(), |addr| addr.to_string()),
            Self::Unix(_) => "a Unix socket".into(),
        }
    }
}

impl AsFd for Socket {
    #[inline]
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}

// Straight system calls: the C library's are cancellation points, which costs each of them two atomic operations in a
// process with threads (measured: 3 % of a request).
impl Read for Socket {
    #[inline]
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let (got, _) = rustix::net::recv(self, buf, RecvFlags::empty())?;
        Ok(got)
    }
}

impl Write for Socket {
    #[inline]
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        Ok(rustix::net::send(self, buf, SendFlags::NOSIGNAL)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A socket, with or without TLS on it.
#[derive(Debug)]
pub(crate) enum Transport {
    Plain(Socket),
    Tls(Box<Tls>),
}

/// A TLS session over a socket.
#[derive(Debug)]
pub(crate) struct Tls {
    session: ServerConnection,
    socket: Socket,
}

impl Transport {
    pub fn new(socket: Socket, tls: Option<Arc<rustls::ServerConfig>>) -> io::Result<Self> {
        let Some(config) = tls else { return Ok(Self::Plain(socket)) };
        let mut session = ServerConnection::new(config).map_err(io::Error::other)?;
        // How much plaintext it holds is bounded by how much it is given.
        session.set_buffer_limit(None);
        Ok(Self::Tls(Box::new(Tls { session, socket })))
    }

    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        self.source().register(registry, token, Interest::READABLE)
    }

    /// Asks to be told when it can be written to, or no longer.
    pub fn watch_writable(&mut self, registry: &Registry, token: Token, on: bool) -> io::Result<()> {
        let interest = if on { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
        self.source().reregister(registry, token, interest)
    }

    fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Plain(socket) => socket.source(),
            Self::Tls(tls) => tls.socket.source(),
        }
    }

    pub fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    pub fn is_handshaking(&self) -> bool {
        matches!(self, Self::Tls(tls) if tls.session.is_handshaking())
    }

    /// Whether there is something to send that the caller did not write: handshakes, alerts.
    pub fn wants_write(&self) -> bool {
        matches!(self, Self::Tls(tls) if tls.session.wants_write())
    }

    /// Whether a read that fills less than the buffer has taken all there is.
    pub fn short_read_is_all(&self) -> bool {
        matches!(self, Self::Plain(_))
    }

    /// Sends bytes; returns how many of `bytes` are taken care of. `WouldBlock` means: none, and the socket is full.
    #[inline]
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => retry(|| socket.write(bytes)),
            Self::Tls(tls) => tls.send(bytes),
        }
    }

    /// Says goodbye: no more bytes will come.
    pub fn say_goodbye(&mut self) {
        if let Self::Tls(tls) = self {
            tls.session.send_close_notify();
            // The connection ends here; whether the peer hears of it is its own affair.
            let _ = tls.push();
        }
    }
}

impl Read for Transport {
    /// Takes bytes; 0 at the end of the stream.
    #[inline]
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => retry(|| socket.read(buf)),
            Self::Tls(tls) => tls.receive(buf),
        }
    }
}

impl Tls {
    fn receive(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.session.reader().read(buf) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // The peer went away without a close_notify. Commands are framed, so nothing can be cut short unnoticed.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(0),
                outcome => return outcome,
            }
            let (session, socket) = (&mut self.session, &mut self.socket);
            retry(|| session.read_tls(socket))?;
            let handshaking = session.is_handshaking();
            if let Err(error) = session.process_new_packets() {
                if handshaking {
                    tracing::debug!(peer = socket.peer(), %error, "a TLS handshake was rejected");
                }
                // The alert that tells the peer why.
                let _ = self.push();
                return Err(io::Error::new(ErrorKind::InvalidData, error));
            }
        }
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.push()? {
            return Err(ErrorKind::WouldBlock.into());
        }
        let piece = &bytes[..bytes.len().min(TLS_WRITE_BYTES)];
        let taken = self.session.writer().write(piece)?;
        self.push()?;
        Ok(taken)
    }

    /// Sends what is encrypted; returns whether all of it went out.
    fn push(&mut self) -> io::Result<bool> {
        while self.session.wants_write() {
            let (session, socket) = (&mut self.session, &mut self.socket);
            match retry(|| session.write_tls(socket)) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

#[inline]
fn retry(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}
