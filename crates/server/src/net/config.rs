//! What a server is started with.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::settings::Settings;

/// Everything the I/O loop needs to start.
#[derive(Debug, Clone)]
pub struct NetConfig {
    /// `io-threads`: how many threads serve clients.
    pub io_threads: usize,
    /// Where to listen.
    pub tcp: Vec<TcpEndpoint>,
    /// A Unix socket to listen on.
    pub unix: Option<UnixEndpoint>,
    /// For endpoints with `tls` set.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// `tcp-backlog`.
    pub backlog: i32,
    /// How often [`super::App::tick`] is called.
    pub tick: Duration,
    /// What may change later.
    pub settings: Settings,
}

impl Default for NetConfig {
    fn default() -> Self {
        Self {
            io_threads: 1,
            tcp: Vec::new(),
            unix: None,
            tls: None,
            backlog: 511,
            tick: Duration::from_millis(100),
            settings: Settings::default(),
        }
    }
}

/// An address and port to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpEndpoint {
    /// Where.
    pub addr: SocketAddr,
    /// Whether clients speak TLS there.
    pub tls: bool,
    /// An address that this machine does not have is no error (`bind -::1`).
    pub optional: bool,
}

impl TcpEndpoint {
    /// A required plain endpoint.
    pub fn plain(addr: SocketAddr) -> Self {
        Self { addr, tls: false, optional: false }
    }
}

/// A Unix socket to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnixEndpoint {
    /// `unixsocket`. A socket file that nobody listens on is replaced.
    pub path: PathBuf,
    /// `unixsocketperm`.
    pub mode: Option<u32>,
}

/// What TLS is configured from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// `tls-cert-file`: the certificate chain in PEM.
    pub cert: PathBuf,
    /// `tls-key-file`: the private key in PEM.
    pub key: PathBuf,
    /// `tls-ca-cert-file`: who signs clients' certificates.
    pub client_ca: Option<PathBuf>,
    /// `tls-ca-cert-dir`: a directory of such files.
    pub client_ca_dir: Option<PathBuf>,
    /// `tls-auth-clients yes`: a client must have a certificate. Without it, with one of those two, it may have one.
    pub require_client_cert: bool,
    /// `tls-protocols`: TLS 1.2 is offered.
    pub v1_2: bool,
    /// `tls-protocols`: TLS 1.3 is offered.
    pub v1_3: bool,
    /// `tls-session-caching`: sessions can be resumed.
    pub sessions: Option<SessionCache>,
}

/// How many TLS sessions can be resumed, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionCache {
    /// `tls-session-cache-size`: the newest so many, at least one.
    pub count: usize,
    /// `tls-session-cache-timeout`: counted from the handshake.
    pub lifetime: Duration,
}

/// Why a server could not start.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// An address could not be listened on.
    #[error("cannot listen on {endpoint}: {error}; is another server running there?")]
    Listen {
        /// The address or path.
        endpoint: String,
        /// What the system said.
        error: std::io::Error,
    },
    /// The system refused a resource.
    #[error("cannot set up an I/O thread: {0}")]
    Io(#[from] std::io::Error),
    /// A TLS endpoint without TLS files.
    #[error("a TLS port needs tls-cert-file and tls-key-file")]
    TlsNotConfigured,
    /// A TLS file is missing or malformed.
    #[error("cannot use TLS file {}: {reason}", path.display())]
    TlsFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The TLS files do not fit together.
    #[error("TLS cannot be configured: {0}")]
    Tls(String),
    /// Too many threads, or none.
    #[error("io-threads must be from 1 to {max}, not {asked}")]
    Threads {
        /// What was asked for.
        asked: usize,
        /// The most that can be had.
        max: usize,
    },
    /// Nowhere to listen.
    #[error("no address to listen on: none of the optional ones exists, and no other was given")]
    NoEndpoint,
}
