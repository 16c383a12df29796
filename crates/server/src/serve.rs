//! From a configuration to a running server, and back to a stopped one.

use std::io::Read;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use engine::{Engine, OpenError, Options, Refusal};
use thiserror::Error;

use crate::archiver::{ArchiveError, Target};
use crate::config::{ClientCertificates, Config, Network, Settings};
use crate::front::Front;
use crate::keys::{KeyringError, keyring};
use crate::member::{self, MemberError, Told};
use crate::memory::Allocator;
use crate::net::{self, NetConfig, NetError, OutputLimit, Server, SessionCache, TcpEndpoint, TlsFiles, UnixEndpoint};
use crate::node::Node;
use crate::settings::{checkpoints_of, fsync_of, limits_of};

/// Why a server did not start, or did not stop well.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The data could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The master keys could not be had.
    #[error(transparent)]
    Keys(#[from] KeyringError),
    /// The sockets could not be opened.
    #[error(transparent)]
    Net(#[from] NetError),
    /// A bind address cannot be used.
    #[error("bind {host}: {reason}")]
    Bind {
        /// The address as configured.
        host: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The server could not become a node of its cluster.
    #[error(transparent)]
    Member(#[from] MemberError),
    /// There is no archive as it was asked for.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// No random numbers could be had.
    #[error("/dev/urandom: {0}")]
    Entropy(std::io::Error),
    /// The last writes could not be made durable.
    #[error("the data could not be closed: {0}")]
    Close(Refusal),
}

/// A server that answers.
pub struct Running {
    /// What its threads share.
    pub node: Arc<Node>,
    server: Server<crate::message::Message>,
    stopped: Receiver<()>,
    stop: SyncSender<()>,
}

/// Opens the data and starts to serve.
pub fn start(config: Config) -> Result<Running, ServeError> {
    start_on(config, None)
}

/// The same in a program that says which allocator it uses, and the bytes that were allocated before any data was loaded.
pub fn start_on(config: Config, allocator: Option<(Arc<dyn Allocator>, u64)>) -> Result<Running, ServeError> {
    let settings = config.settings();
    let options = engine_options(&settings)?;
    let archive = Target::of(&settings)?;
    let has_archive = archive.is_some();
    replication::adopt_snapshot(&settings.persistence.dir).map_err(MemberError::from)?;
    let engine = Arc::new(Engine::open(&settings.persistence.dir, options.clone())?);
    let net = net_config(&settings)?;
    let told = Arc::new(Told::default());
    let member =
        member::start(&settings, endpoints(&settings.network, 1, false)?, &engine, Arc::clone(&told), options)?;
    let (stop, stopped) = sync_channel(1);
    let run_id: String = entropy::<20>()?.iter().map(|b| format!("{b:02x}")).collect();
    let seed = u64::from_le_bytes(entropy()?);
    // The first thread makes the node, from the control that all of them are given.
    let parts = parking_lot::Mutex::new((Some((config, run_id, allocator)), None::<Arc<Node>>));
    let parts = Arc::new(parts);
    let (shared, signal) = (Arc::clone(&parts), stop.clone());
    let server = Server::start(net, move |thread, control| {
        let mut parts = shared.lock();
        if let Some((config, run_id, allocator)) = parts.0.take() {
            let signal = signal.clone();
            // A second request to stop finds the first one waiting.
            let stop = Box::new(move || {
                tracing::info!("SHUTDOWN received: the server stops");
                let _ = signal.try_send(());
            });
            let node = Arc::new(Node::new(Arc::clone(&engine), config, control.clone(), run_id, stop));
            // Before any client can ask for it, or for a change.
            allocator.into_iter().for_each(|(allocator, bytes)| node.set_allocator(allocator, bytes));
            told.set(&node);
            member.clone().into_iter().for_each(|member| node.set_member(member));
            if has_archive {
                node.archiver.expect(&node.config.settings());
            }
            crate::follow::follow_config(&node);
            parts.1 = Some(node);
        }
        let node = parts.1.clone().expect("the first thread made the node");
        Front::new(node, seed ^ u64::from(thread.0).wrapping_mul(0x9E37_79B9_7F4A_7C15))
    })?;
    let node = wait_for_node(&parts);
    if let Some(target) = archive {
        node.archiver.start(&node.engine, target)?;
    }
    Ok(Running { node, server, stopped, stop })
}

/// The node, once the first thread has made it.
fn wait_for_node<T>(parts: &parking_lot::Mutex<(Option<T>, Option<Arc<Node>>)>) -> Arc<Node> {
    loop {
        if let Some(node) = parts.lock().1.clone() {
            return node;
        }
        std::thread::yield_now();
    }
}

impl Running {
    /// The addresses that are listened on.
    pub fn addresses(&self) -> &[SocketAddr] {
        self.server.local_addrs()
    }

    /// Something that asks for a stop, from any thread.
    pub fn stopper(&self) -> impl Fn() + Send + Sync + 'static + use<> {
        let stop = self.stop.clone();
        move || {
            // A request to stop that is already waiting is enough.
            let _ = stop.try_send(());
        }
    }

    /// Whether the server stops to start anew.
    pub fn starts_anew(&self) -> bool {
        self.node.starts_anew()
    }

    /// Serves until somebody asks for a stop.
    pub fn wait(&self) {
        // The sender lives as long as we do: an error cannot come.
        let _ = self.stopped.recv();
    }

    /// Lets replies out, closes connections and makes everything durable.
    pub fn stop(self) -> Result<(), ServeError> {
        self.node.control.stop();
        self.server.join();
        if let Some(member) = self.node.member() {
            member.stop();
        }
        self.node.readers.stop();
        self.node.lobby.stop();
        self.node.backups.stop();
        self.node.archiver.stop();
        self.node.effect_logs.stop();
        let Self { node, .. } = self;
        let engine = Arc::clone(&node.engine);
        drop(node);
        match Arc::try_unwrap(engine) {
            Ok(engine) => {
                if let Err(error) = engine.rest() {
                    tracing::warn!(%error, "no checkpoint could be taken: the next start has more of the log to replay");
                }
                engine.close().map_err(ServeError::Close)
            }
            // Somebody still holds it: what was logged is made durable all the same.
            Err(engine) => engine.log().sync().map(|_| ()).map_err(|e| ServeError::Close(e.into())),
        }
    }
}

fn entropy<const N: usize>() -> Result<[u8; N], ServeError> {
    let mut bytes = [0; N];
    let mut source = std::fs::File::open("/dev/urandom").map_err(ServeError::Entropy)?;
    source.read_exact(&mut bytes).map_err(ServeError::Entropy)?;
    Ok(bytes)
}

fn unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn engine_options(settings: &Settings) -> Result<Options, ServeError> {
    let mut options = Options::new(Arc::new(unix_ms), entropy()?);
    options.log.policy = fsync_of(settings.persistence.appendfsync);
    options.log.segment_bytes = settings.persistence.segment_bytes;
    options.keyring = keyring(settings.persistence.encryption_key_file.as_deref())?;
    options.limits = limits_of(&settings.compact);
    options.checkpoint = checkpoints_of(&settings.persistence);
    options.memory = settings.maxmemory;
    options.backup_log_bytes = settings.persistence.backup_log_bytes;
    options.archive_log_bytes = settings.persistence.archive.kept_log_bytes();
    options.large_value_bytes = usize::try_from(settings.persistence.large_value_bytes).unwrap_or(usize::MAX);
    options.batch_bytes = usize::try_from(settings.persistence.max_batch_bytes).unwrap_or(usize::MAX);
    Ok(options)
}

fn net_config(settings: &Settings) -> Result<NetConfig, ServeError> {
    let network = &settings.network;
    let mut tcp = endpoints(network, network.port, false)?;
    tcp.extend(endpoints(network, settings.tls.port, true)?);
    let unix = network.unixsocket.as_ref().map(|path| UnixEndpoint {
        path: path.clone(),
        mode: (network.unixsocketperm != 0).then_some(network.unixsocketperm),
    });
    let tls = match settings.tls.port {
        0 => None,
        _ => Some(tls_files(settings).load()?),
    };
    let backlog = network.tcp_backlog;
    let io_threads = settings.process.io_threads;
    Ok(NetConfig { io_threads, tcp, unix, tls, backlog, settings: net_settings(settings), ..NetConfig::default() })
}

/// How clients are met on a TLS port.
pub fn tls_files(settings: &Settings) -> TlsFiles {
    let tls = &settings.tls;
    let path = |file: &Option<std::path::PathBuf>| file.clone().unwrap_or_default();
    let looked_at = tls.auth_clients != ClientCertificates::No;
    let lifetime = Duration::from_secs(u64::from(tls.session_cache_timeout_s));
    TlsFiles {
        cert: path(&tls.cert_file),
        key: path(&tls.key_file),
        client_ca: tls.ca_cert_file.clone().filter(|_| looked_at),
        client_ca_dir: tls.ca_cert_dir.clone().filter(|_| looked_at),
        require_client_cert: tls.auth_clients == ClientCertificates::Required,
        v1_2: tls.v1_2,
        v1_3: tls.v1_3,
        sessions: tls.session_caching.then_some(SessionCache { count: tls.session_cache_size, lifetime }),
    }
}

/// What the I/O loop may change while it runs.
pub fn net_settings(settings: &Settings) -> net::Settings {
    let clients = &settings.clients;
    let limit = |limit: &crate::config::OutputLimit| OutputLimit {
        hard: usize::try_from(limit.hard_bytes).unwrap_or(usize::MAX),
        soft: usize::try_from(limit.soft_bytes).unwrap_or(usize::MAX),
        soft_for: Duration::from_secs(limit.soft_seconds),
    };
    let seconds = |s: u32| (s > 0).then(|| Duration::from_secs(u64::from(s)));
    net::Settings {
        max_clients: clients.max as usize,
        max_query_buffer: clients.query_buffer_limit,
        max_bulk_len: u32::try_from(clients.proto_max_bulk_len).unwrap_or(u32::MAX),
        normal_output: limit(&clients.output_limits.normal),
        replica_output: limit(&clients.output_limits.replica),
        pubsub_output: limit(&clients.output_limits.pubsub),
        idle_timeout: seconds(settings.network.timeout_s),
        tcp_keepalive: seconds(settings.network.tcp_keepalive_s),
        coalesce: Duration::from_micros(u64::from(settings.network.coalesce_us)),
        ..net::Settings::default()
    }
}

fn endpoints(network: &Network, port: u16, tls: bool) -> Result<Vec<TcpEndpoint>, ServeError> {
    let mut all = Vec::new();
    if port == 0 {
        return Ok(all);
    }
    for bind in &network.bind {
        let host = match bind.host.as_str() {
            "*" => "0.0.0.0",
            "::*" => "::",
            host => host,
        };
        let addr = match host.parse::<IpAddr>() {
            Ok(ip) => Some(SocketAddr::new(ip, port)),
            Err(_) => (host, port).to_socket_addrs().ok().and_then(|mut found| found.next()),
        };
        match addr {
            Some(addr) => all.push(TcpEndpoint { addr, tls, optional: bind.optional }),
            None if bind.optional => {}
            None => {
                return Err(ServeError::Bind { host: bind.host.clone(), reason: "no such address or name".into() });
            }
        }
    }
    Ok(all)
}
