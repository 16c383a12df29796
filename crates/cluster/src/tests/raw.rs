//! A peer without a mesh: it says what it likes.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use rustls::Connection;

use super::{PATIENCE, id, passphrases, until};
use crate::clock::SystemClock;
use crate::credentials::{Credentials, why};
use crate::error::Why;
use crate::frame::{Decoder, Kind, put};
use crate::hello::Hello;
use crate::node::Region;

/// A connection, blocking.
pub(crate) struct Raw {
    pub socket: TcpStream,
    pub session: Connection,
    decoder: Decoder,
}

pub(crate) fn credentials(node: u64) -> Credentials {
    Credentials::new(id(node), &passphrases(&[1]), Arc::new(SystemClock)).unwrap()
}

pub(crate) fn hello(node: u64) -> Vec<u8> {
    Hello { node: id(node), life: 77, port: 0, host: String::new(), region: Region::default() }.encode()
}

impl Raw {
    pub(crate) fn dial(address: &str, session: Connection) -> Self {
        Self::over(TcpStream::connect(address).unwrap(), session)
    }

    pub(crate) fn accept(listener: &TcpListener, credentials: &Credentials) -> Self {
        listener.set_nonblocking(true).unwrap();
        let mut socket = None;
        until("somebody dials", || {
            socket = listener.accept().ok();
            socket.is_some()
        });
        let (socket, _) = socket.unwrap();
        socket.set_nonblocking(false).unwrap();
        Self::over(socket, credentials.acceptor().unwrap())
    }

    fn over(socket: TcpStream, session: Connection) -> Self {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, session, decoder: Decoder::new(64 << 20) }
    }

    /// As `node`, up with the mesh at `address`, whose id is lower.
    pub(crate) fn up(address: &str, node: u64) -> Self {
        let mut raw = Self::dial(address, credentials(node).dialer().unwrap());
        raw.say(Kind::Hello, &hello(node));
        assert_eq!(raw.hear().unwrap().0, Kind::Hello);
        assert_eq!(raw.hear().unwrap().0, Kind::Welcome);
        raw
    }

    pub(crate) fn say(&mut self, kind: Kind, payload: &[u8]) {
        let mut bytes = Vec::new();
        put(&mut bytes, kind, payload);
        self.write(&bytes);
    }

    /// Plain bytes, as they are.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        while self.session.is_handshaking() {
            if self.session.complete_io(&mut self.socket).is_err() {
                return;
            }
        }
        self.session.writer().write_all(bytes).unwrap();
        while self.session.wants_write() {
            // Whoever was refused already does not hear it.
            if self.session.write_tls(&mut self.socket).is_err() {
                return;
            }
        }
    }

    /// The next frame, or why there is none.
    pub(crate) fn hear(&mut self) -> Result<(Kind, Vec<u8>), Why> {
        let mut bytes = [0; 4096];
        loop {
            if let Some((kind, payload)) = self.decoder.next().unwrap() {
                return Ok((kind, payload.to_vec()));
            }
            match self.session.reader().read(&mut bytes) {
                Ok(0) => return Err(Why::Closed),
                Ok(count) => self.decoder.extend(&bytes[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => match self.session.complete_io(&mut self.socket)
                {
                    Ok((0, 0)) => return Err(Why::Closed),
                    Ok(_) => {}
                    Err(error) => {
                        let tls = error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>());
                        return Err(tls.map_or_else(|| Why::Broken(error.to_string()), why));
                    }
                },
                Err(_) => return Err(Why::Closed),
            }
        }
    }
}

/// A client that trusts whom we trust, and perhaps does not name the protocol, or shows no certificate.
pub(crate) fn stranger(node: u64, protocol: bool, known: bool) -> Connection {
    credentials(node).altered(|config| {
        if !protocol {
            config.alpn_protocols.clear();
        }
        if !known {
            config.client_auth_cert_resolver = Arc::new(Nobody);
        }
    })
}

/// Shows no certificate.
#[derive(Debug)]
struct Nobody;

impl rustls::client::ResolvesClientCert for Nobody {
    fn resolve(&self, _: &[&[u8]], _: &[rustls::SignatureScheme]) -> Option<Arc<rustls::sign::CertifiedKey>> {
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}
