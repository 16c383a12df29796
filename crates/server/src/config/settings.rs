//! The settings as the rest of the server reads them: plain fields, one immutable snapshot.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use super::load::Values;
use super::special::{EventMask, OutputLimits};
use super::table::table;
use super::value::Value;

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindAddress {
    /// Host or address; `*` and `::*` stand for all addresses of IPv4 and IPv6.
    pub host: String,
    /// Whether the server starts without it if this machine does not have it.
    pub optional: bool,
}

/// Who may use something dangerous.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// Nobody.
    No,
    /// Everybody.
    Yes,
    /// Clients of this machine.
    Local,
}

impl Allowed {
    /// Whether a client may, given whether it is of this machine.
    #[must_use]
    pub fn permits(self, local: bool) -> bool {
        self == Self::Yes || (self == Self::Local && local)
    }
}

/// Whether TLS clients show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCertificates {
    /// They are not asked.
    No,
    /// They must.
    Required,
    /// They may; one that is shown is checked.
    Optional,
}

/// When the log is forced to disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fsync {
    /// Before each reply leaves.
    Always,
    /// Once a second.
    EverySecond,
    /// When the system likes.
    No,
}

/// What gives way when `maxmemory` is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants are Redis' words and explained in its manual")]
pub enum Eviction {
    VolatileLru,
    VolatileLfu,
    VolatileRandom,
    VolatileTtl,
    AllkeysLru,
    AllkeysLfu,
    AllkeysRandom,
    NoEviction,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants are Redis' words and order themselves")]
pub enum LogLevel {
    Debug,
    Verbose,
    Notice,
    Warning,
    Nothing,
}

/// Who started the server and wants to hear when it is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Supervisor {
    /// Nobody.
    None,
    /// Upstart: the process stops itself once.
    Upstart,
    /// systemd: a message to its socket.
    Systemd,
    /// Whichever the environment names.
    Auto,
}

impl Supervisor {
    /// Who is meant by `auto`: whoever left word in the environment.
    #[must_use]
    pub fn resolved(self) -> Self {
        match self {
            Self::Auto if std::env::var_os("NOTIFY_SOCKET").is_some() => Self::Systemd,
            Self::Auto if std::env::var_os("UPSTART_JOB").is_some() => Self::Upstart,
            Self::Auto => Self::None,
            named => named,
        }
    }
}

/// Addresses and ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// 0: none.
    pub port: u16,
    /// Empty: none.
    pub bind: Vec<BindAddress>,
    /// A unix socket.
    pub unixsocket: Option<PathBuf>,
    /// Its mode; 0 leaves it to the umask.
    pub unixsocketperm: u32,
    /// The kernel's queue.
    pub tcp_backlog: i32,
    /// 0: no probes.
    pub tcp_keepalive_s: u32,
    /// 0: clients may be idle for ever.
    pub timeout_s: u32,
    /// Without a password, only clients of this machine.
    pub protected_mode: bool,
    /// How long a busy thread lets requests gather at most.
    pub coalesce_us: u32,
}

/// The cluster that this server is a node of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// None: it is a node of none.
    pub passphrase_file: Option<PathBuf>,
    /// Other nodes, `host:port`.
    pub join: Vec<String>,
    /// Where it is.
    pub region: String,
    /// How far ahead another clock may be.
    pub max_clock_skew_ms: i64,
    /// Bytes of log that are kept for others, at most.
    pub kept_log_bytes: u64,
    /// 0: that of clients and 10,000.
    pub port: u16,
    /// Where others can dial it.
    pub announce_host: Option<String>,
    /// 0: the one listened on.
    pub announce_port: u16,
}

/// TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// 0: none.
    pub port: u16,
    /// Certificate chain, PEM.
    pub cert_file: Option<PathBuf>,
    /// Private key, PEM.
    pub key_file: Option<PathBuf>,
    /// Authorities of clients' certificates, PEM.
    pub ca_cert_file: Option<PathBuf>,
    /// Directory of such files.
    pub ca_cert_dir: Option<PathBuf>,
    /// Whether clients show certificates.
    pub auth_clients: ClientCertificates,
    /// TLS 1.2 is offered.
    pub v1_2: bool,
    /// TLS 1.3 is offered.
    pub v1_3: bool,
    /// Sessions can be resumed.
    pub session_caching: bool,
    /// How many are kept.
    pub session_cache_size: usize,
    /// For how long, in seconds.
    pub session_cache_timeout_s: u32,
}

/// What clients may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clients {
    /// Connections.
    pub max: u32,
    /// Longest argument.
    pub proto_max_bulk_len: usize,
    /// Longest unfinished command.
    pub query_buffer_limit: usize,
    /// Replies not read.
    pub output_limits: OutputLimits,
}

/// Passwords and what is forbidden.
#[derive(Clone, PartialEq, Eq)]
pub struct Security {
    /// The password.
    pub requirepass: Option<Vec<u8>>,
    /// Commands with another name: the old one in lower case, and the new one, empty if the command is taken away.
    pub renamed_commands: Vec<(Vec<u8>, Vec<u8>)>,
    /// DEBUG.
    pub debug_command: Allowed,
    /// BACKUP.
    pub backup_command: Allowed,
    /// CONFIG SET of protected directives.
    pub protected_configs: Allowed,
}

/// The process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Runs in the background.
    pub daemonize: bool,
    /// File of the process id.
    pub pidfile: Option<PathBuf>,
    /// Who waits for readiness.
    pub supervised: Supervisor,
    /// How much is logged.
    pub loglevel: LogLevel,
    /// Where; `None`: standard output.
    pub logfile: Option<PathBuf>,
    /// Threads.
    pub io_threads: usize,
    /// Threads that read what commands miss; 0: the I/O threads do.
    pub rest_read_threads: usize,
    /// For SELECT.
    pub databases: u32,
}

/// The log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Persistence {
    /// Data directory, absolute.
    pub dir: PathBuf,
    /// File with the master keys of encryption at rest.
    pub encryption_key_file: Option<PathBuf>,
    /// When replies may leave.
    pub appendfsync: Fsync,
    /// Largest batch.
    pub max_batch_bytes: u64,
    /// Size of a full segment.
    pub segment_bytes: u64,
    /// Bytes of log after which a checkpoint is taken; `None`: never by itself.
    pub checkpoint_log_bytes: Option<u64>,
    /// Bytes of log that are kept for the next backup.
    pub backup_log_bytes: u64,
    /// Where the log goes as it is written.
    pub archive: Archive,
    /// Bytes from which on values stand apart from their rows.
    pub large_value_bytes: u64,
}

/// The archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archive {
    /// Where it is; empty: there is none.
    pub url: String,
    /// File with the public key that it is sealed for.
    pub recipient: Option<PathBuf>,
    /// Seconds that something written waits, about.
    pub interval_s: u64,
    /// Bytes of log that wait for it.
    pub log_bytes: u64,
    /// Seconds after which what is superfluous goes; 0: never.
    pub keep_s: u64,
    /// Bytes that are read for it in a second, at most; 0: no bound.
    pub rate: u64,
}

impl Archive {
    /// Bytes of log that wait; none if there is no archive.
    #[must_use]
    pub fn kept_log_bytes(&self) -> u64 {
        if self.url.is_empty() { 0 } else { self.log_bytes }
    }
}

/// Compact forms of collections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are the directives of the same names")]
pub struct Compact {
    pub hash_max_entries: u64,
    pub hash_max_value: u64,
    pub list_max_size: i32,
    pub set_max_intset_entries: u64,
    pub set_max_entries: u64,
    pub set_max_value: u64,
    pub zset_max_entries: u64,
    pub zset_max_value: u64,
}

/// Slow log, latency, notifications.
#[derive(Clone, Debug, PartialEq)]
pub struct Observability {
    /// `None`: no slow log.
    pub slowlog_slower_than_us: Option<u64>,
    /// Entries.
    pub slowlog_max_len: u64,
    /// 0: off.
    pub latency_threshold_ms: u64,
    /// Histograms for each command.
    pub latency_tracking: bool,
    /// What INFO prints of them.
    pub latency_percentiles: Vec<f64>,
    /// Keyspace notifications.
    pub events: EventMask,
}

/// Everything that has an effect.
#[derive(Clone, PartialEq)]
#[expect(missing_docs, reason = "each field is documented at its type")]
pub struct Settings {
    pub network: Network,
    pub cluster: Cluster,
    pub tls: Tls,
    pub clients: Clients,
    pub security: Security,
    pub process: Process,
    /// 0: no bound.
    pub maxmemory: u64,
    pub maxmemory_policy: Eviction,
    pub persistence: Persistence,
    pub compact: Compact,
    pub observability: Observability,
}

impl Settings {
    pub(super) fn from_values(values: &Values) -> Self {
        let view = View(values);
        Self {
            network: view.network(),
            cluster: view.cluster(),
            tls: view.tls(),
            clients: view.clients(),
            security: view.security(),
            process: view.process(),
            maxmemory: view.number("maxmemory"),
            maxmemory_policy: view.eviction(),
            persistence: view.persistence(),
            compact: view.compact(),
            observability: view.observability(),
        }
    }
}

/// Reads values by name and by the type that the table gives them.
struct View<'a>(&'a Values);

impl View<'_> {
    fn value(&self, name: &str) -> &Value {
        &self.0[table().find(name.as_bytes()).expect("settings name rows of the table")]
    }

    fn number<T: TryFrom<i128>>(&self, name: &str) -> T {
        let Value::Number(number) = self.value(name) else { unreachable!("{name} is a number") };
        T::try_from(*number).ok().expect("the table bounds it by the type of the field")
    }

    fn flag(&self, name: &str) -> bool {
        *self.value(name) == Value::Bool(true)
    }

    fn word(&self, name: &str) -> &'static str {
        let Value::Choice(word) = self.value(name) else { unreachable!("{name} is a choice") };
        word
    }

    fn text(&self, name: &str) -> Option<Vec<u8>> {
        let Value::Text(text) = self.value(name) else { unreachable!("{name} is a text") };
        (!text.is_empty()).then(|| text.clone())
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        self.text(name).map(|text| PathBuf::from(OsString::from_vec(text)))
    }

    fn allowed(&self, name: &str) -> Allowed {
        match self.word(name) {
            "yes" => Allowed::Yes,
            "local" => Allowed::Local,
            _ => Allowed::No,
        }
    }

    fn words(&self, name: &str) -> &[Vec<u8>] {
        let Value::Words(words) = self.value(name) else { unreachable!("{name} is a list") };
        words
    }

    fn network(&self) -> Network {
        let address = |word: &Vec<u8>| {
            let word = String::from_utf8_lossy(word);
            let (optional, host) = word.strip_prefix('-').map_or((false, &*word), |host| (true, host));
            BindAddress { host: host.to_owned(), optional }
        };
        Network {
            port: self.number("port"),
            bind: self.words("bind").iter().map(address).collect(),
            unixsocket: self.path("unixsocket"),
            unixsocketperm: self.number("unixsocketperm"),
            tcp_backlog: self.number("tcp-backlog"),
            tcp_keepalive_s: self.number("tcp-keepalive"),
            timeout_s: self.number("timeout"),
            protected_mode: self.flag("protected-mode"),
            coalesce_us: self.number("io-coalesce-usecs"),
        }
    }

    fn cluster(&self) -> Cluster {
        let string = |name: &str| self.text(name).map(|text| String::from_utf8_lossy(&text).into_owned());
        Cluster {
            passphrase_file: self.path("cluster-passphrase-file"),
            join: self
                .words("join")
                .iter()
                .filter(|name| !name.is_empty())
                .map(|name| String::from_utf8_lossy(name).into_owned())
                .collect(),
            region: string("region").unwrap_or_default(),
            max_clock_skew_ms: self.number("max-clock-skew"),
            kept_log_bytes: self.number("replica-log-bytes"),
            port: self.number("cluster-port"),
            announce_host: string("cluster-announce-ip"),
            announce_port: self.number("cluster-announce-bus-port"),
        }
    }

    fn tls(&self) -> Tls {
        let protocols = self.text("tls-protocols").map(|p| String::from_utf8_lossy(&p).to_ascii_lowercase());
        // Nothing said means both.
        let said = protocols.as_deref().unwrap_or_default().split_whitespace().collect::<Vec<_>>();
        let offers = |version: &str| said.is_empty() || said.contains(&version);
        Tls {
            port: self.number("tls-port"),
            cert_file: self.path("tls-cert-file"),
            key_file: self.path("tls-key-file"),
            ca_cert_file: self.path("tls-ca-cert-file"),
            ca_cert_dir: self.path("tls-ca-cert-dir"),
            auth_clients: match self.word("tls-auth-clients") {
                "no" => ClientCertificates::No,
                "optional" => ClientCertificates::Optional,
                _ => ClientCertificates::Required,
            },
            v1_2: offers("tlsv1.2"),
            v1_3: offers("tlsv1.3"),
            session_caching: self.flag("tls-session-caching"),
            session_cache_size: self.number("tls-session-cache-size"),
            session_cache_timeout_s: self.number("tls-session-cache-timeout"),
        }
    }

    fn clients(&self) -> Clients {
        let Value::OutputLimits(output_limits) = self.value("client-output-buffer-limit") else {
            unreachable!("client-output-buffer-limit holds limits")
        };
        Clients {
            max: self.number("maxclients"),
            proto_max_bulk_len: self.number("proto-max-bulk-len"),
            query_buffer_limit: self.number("client-query-buffer-limit"),
            output_limits: *output_limits,
        }
    }

    fn security(&self) -> Security {
        let Value::Renames(renamed) = self.value("rename-command") else { unreachable!("rename-command holds pairs") };
        Security {
            requirepass: self.text("requirepass"),
            renamed_commands: renamed.clone(),
            debug_command: self.allowed("enable-debug-command"),
            backup_command: self.allowed("enable-backup-command"),
            protected_configs: self.allowed("enable-protected-configs"),
        }
    }

    fn process(&self) -> Process {
        Process {
            daemonize: self.flag("daemonize"),
            pidfile: self.path("pidfile"),
            supervised: match self.word("supervised") {
                "upstart" => Supervisor::Upstart,
                "systemd" => Supervisor::Systemd,
                "auto" => Supervisor::Auto,
                _ => Supervisor::None,
            },
            loglevel: match self.word("loglevel") {
                "debug" => LogLevel::Debug,
                "verbose" => LogLevel::Verbose,
                "warning" => LogLevel::Warning,
                "nothing" => LogLevel::Nothing,
                _ => LogLevel::Notice,
            },
            logfile: self.path("logfile"),
            io_threads: self.number("io-threads"),
            rest_read_threads: self.number("rest-read-threads"),
            databases: self.number("databases"),
        }
    }

    fn eviction(&self) -> Eviction {
        match self.word("maxmemory-policy") {
            "volatile-lru" => Eviction::VolatileLru,
            "volatile-lfu" => Eviction::VolatileLfu,
            "volatile-random" => Eviction::VolatileRandom,
            "volatile-ttl" => Eviction::VolatileTtl,
            "allkeys-lru" => Eviction::AllkeysLru,
            "allkeys-lfu" => Eviction::AllkeysLfu,
            "allkeys-random" => Eviction::AllkeysRandom,
            _ => Eviction::NoEviction,
        }
    }

    fn persistence(&self) -> Persistence {
        Persistence {
            dir: self.path("dir").unwrap_or_default(),
            encryption_key_file: self.path("encryption-key-file"),
            appendfsync: match self.word("appendfsync") {
                "always" => Fsync::Always,
                "no" => Fsync::No,
                _ => Fsync::EverySecond,
            },
            max_batch_bytes: self.number("max-batch-bytes"),
            segment_bytes: self.number("log-segment-bytes"),
            checkpoint_log_bytes: self.checkpoint_log_bytes(),
            backup_log_bytes: self.number("backup-log-size"),
            archive: Archive {
                url: self.text("archive").map_or(String::new(), |url| String::from_utf8_lossy(&url).into_owned()),
                recipient: self.path("archive-recipient"),
                interval_s: self.number("archive-interval"),
                log_bytes: self.number("archive-log-bytes"),
                keep_s: self.number("archive-keep"),
                rate: self.number("archive-rate"),
            },
            large_value_bytes: self.number("large-value-size"),
        }
    }

    /// Redis' directive says whether the log is cut by itself.
    fn checkpoint_log_bytes(&self) -> Option<u64> {
        let percentage: u32 = self.number("auto-aof-rewrite-percentage");
        (percentage > 0).then(|| self.number("checkpoint-log-size"))
    }

    fn compact(&self) -> Compact {
        Compact {
            hash_max_entries: self.number("hash-max-listpack-entries"),
            hash_max_value: self.number("hash-max-listpack-value"),
            list_max_size: self.number("list-max-listpack-size"),
            set_max_intset_entries: self.number("set-max-intset-entries"),
            set_max_entries: self.number("set-max-listpack-entries"),
            set_max_value: self.number("set-max-listpack-value"),
            zset_max_entries: self.number("zset-max-listpack-entries"),
            zset_max_value: self.number("zset-max-listpack-value"),
        }
    }

    fn observability(&self) -> Observability {
        let Value::Percentiles(percentiles) = self.value("latency-tracking-info-percentiles") else {
            unreachable!("latency-tracking-info-percentiles holds percentiles")
        };
        let Value::Events(events) = self.value("notify-keyspace-events") else {
            unreachable!("notify-keyspace-events holds classes")
        };
        let slower_than: i64 = self.number("slowlog-log-slower-than");
        Observability {
            slowlog_slower_than_us: u64::try_from(slower_than).ok(),
            slowlog_max_len: self.number("slowlog-max-len"),
            latency_threshold_ms: self.number("latency-monitor-threshold"),
            latency_tracking: self.flag("latency-tracking"),
            latency_percentiles: percentiles.clone(),
            events: *events,
        }
    }
}
