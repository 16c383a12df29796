//! Listening sockets, and the sockets that come out of them.

use std::io::{self, ErrorKind, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mio::net::{TcpListener, UnixListener};
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, SockRef, Socket as RawSocket, TcpKeepalive, Type};

use super::app::{ClientId, Peer, PeerAddr};
use super::config::{NetConfig, NetError, TcpEndpoint, UnixEndpoint};
use super::transport::Socket;

/// A connection that no thread serves yet.
pub(crate) struct NewSocket {
    pub socket: Socket,
    pub peer: Peer,
    pub id: ClientId,
    pub tls: Option<Arc<rustls::ServerConfig>>,
}

impl NewSocket {
    /// Tells the client why it is turned away, as far as that takes no waiting.
    pub fn reject(mut self, reason: &[u8]) {
        if self.tls.is_none() {
            // It is turned away either way.
            let _ = self.socket.write(reason);
        }
    }

    pub fn keep_alive(&self, after: Option<Duration>) {
        if let (Socket::Tcp(stream), Some(after)) = (&self.socket, after) {
            let probe = (after / 3).max(Duration::from_secs(1));
            let keepalive = TcpKeepalive::new().with_time(after).with_interval(probe).with_retries(3);
            if let Err(error) = SockRef::from(stream).set_tcp_keepalive(&keepalive) {
                tracing::debug!(%error, "tcp-keepalive could not be set");
            }
        }
    }
}

pub(crate) enum Listener {
    Tcp { socket: TcpListener, tls: bool },
    Unix { socket: UnixListener, path: PathBuf },
}

impl Listener {
    /// All listeners of a configuration.
    pub fn open_all(config: &NetConfig) -> Result<Vec<Self>, NetError> {
        let mut listeners = Vec::new();
        for endpoint in &config.tcp {
            if endpoint.tls && config.tls.is_none() {
                return Err(NetError::TlsNotConfigured);
            }
            match open_tcp(endpoint, config.backlog) {
                Ok(socket) => listeners.push(Self::Tcp { socket, tls: endpoint.tls }),
                Err(error) if endpoint.optional && is_absent(&error) => {
                    tracing::info!(addr = %endpoint.addr, "not listening on an optional address that is not there");
                }
                Err(error) => return Err(NetError::Listen { endpoint: endpoint.addr.to_string(), error }),
            }
        }
        if let Some(endpoint) = &config.unix {
            let socket = open_unix(endpoint, config.backlog)
                .map_err(|error| NetError::Listen { endpoint: endpoint.path.display().to_string(), error })?;
            listeners.push(Self::Unix { socket, path: endpoint.path.clone() });
        }
        if listeners.is_empty() { Err(NetError::NoEndpoint) } else { Ok(listeners) }
    }

    pub fn local_addr(&self) -> Option<std::net::SocketAddr> {
        if let Self::Tcp { socket, .. } = self { socket.local_addr().ok() } else { None }
    }

    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match self {
            Self::Tcp { socket, .. } => registry.register(socket, token, Interest::READABLE),
            Self::Unix { socket, .. } => registry.register(socket, token, Interest::READABLE),
        }
    }

    /// Takes one connection; its id and TLS configuration are the caller's.
    pub fn accept(&self) -> io::Result<(Socket, Peer)> {
        match self {
            Self::Tcp { socket, tls } => {
                let (stream, remote) = socket.accept()?;
                stream.set_nodelay(true)?;
                let fd = stream.as_raw_fd();
                let addr = PeerAddr::Tcp { remote, local: stream.local_addr()? };
                Ok((Socket::Tcp(stream), Peer { addr, tls: *tls, fd }))
            }
            Self::Unix { socket, .. } => {
                let (stream, _) = socket.accept()?;
                let fd = stream.as_raw_fd();
                Ok((Socket::Unix(stream), Peer { addr: PeerAddr::Unix, tls: false, fd }))
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Self::Unix { path, .. } = self
            && let Err(error) = std::fs::remove_file(&*path)
        {
            tracing::debug!(%error, path = %path.display(), "the Unix socket could not be removed");
        }
    }
}

fn open_tcp(endpoint: &TcpEndpoint, backlog: i32) -> io::Result<TcpListener> {
    let domain = Domain::for_address(endpoint.addr);
    let socket = RawSocket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if domain == Domain::IPV6 {
        socket.set_only_v6(true)?;
    }
    socket.bind(&endpoint.addr.into())?;
    socket.listen(backlog)?;
    socket.set_nonblocking(true)?;
    Ok(TcpListener::from_std(socket.into()))
}

fn open_unix(endpoint: &UnixEndpoint, backlog: i32) -> io::Result<UnixListener> {
    let path = &endpoint.path;
    if std::fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket()) {
        // A file that a server left behind is in the way; a server that listens is not to be robbed of it.
        match std::os::unix::net::UnixStream::connect(path) {
            Ok(_) => return Err(ErrorKind::AddrInUse.into()),
            Err(_) => std::fs::remove_file(path)?,
        }
    }
    let socket = RawSocket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&socket2::SockAddr::unix(path)?)?;
    if let Some(mode) = endpoint.mode {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    }
    socket.listen(backlog)?;
    socket.set_nonblocking(true)?;
    Ok(UnixListener::from_std(socket.into()))
}

fn is_absent(error: &io::Error) -> bool {
    let no_such_family = Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error());
    error.kind() == ErrorKind::AddrNotAvailable || error.raw_os_error() == no_such_family
}
