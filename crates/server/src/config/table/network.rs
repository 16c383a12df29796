//! Addresses, ports, TLS, and what one client may take.

use super::super::directive::{Directive, Kind, Origin};
use super::super::number::{MAX_I64, MAX_U32, Number, Unit};
use super::{COUNT, NO_CLUSTER, NO_REPLICATION, PORT, TEXT, byte_range, range};
use Kind::{Bool, Choice};

const ONLY_SOCKET_OPTION: &str = "marks of sockets are not set";
const RUSTLS_CHOOSES: &str = "rustls offers strong cipher suites only and chooses among them";
const NO_OUTGOING: &str = "the server opens no TLS connections of its own yet";
const BOUNDED_ACCEPT: &str = "every round of the I/O loop accepts a bounded number of connections";

pub(super) static NETWORK: &[Directive] = &[
    Directive::new("port", PORT, "6379", "TCP port for plain connections; 0 opens none.").restart(),
    Directive::new(
        "bind",
        Kind::Words { max: 16, too_many: "Too many bind addresses specified." },
        "* -::*",
        "Addresses to listen on. A `-` before one allows it to be missing on this machine.",
    )
    .restart(),
    Directive::new("unixsocket", TEXT, "\"\"", "Path of a unix socket to listen on; empty for none.").at_start(),
    Directive::new(
        "unixsocketperm",
        Kind::Number(Number { unit: Unit::Octal, min: 0, max: 0o777 }),
        "0",
        "Mode of the unix socket; 0 leaves it to the umask.",
    )
    .at_start(),
    Directive::new("unixsocketgroup", TEXT, "\"\"", "Group of the unix socket.")
        .at_start()
        .from(Origin::Valkey)
        .refused(&[""], "the group of the unix socket cannot be set; give its directory the group instead"),
    Directive::new("tcp-backlog", COUNT, "511", "Length of the kernel's queue of connections not yet accepted.")
        .at_start(),
    Directive::new(
        "tcp-keepalive",
        COUNT,
        "300",
        "Seconds of silence after which the kernel probes a peer; 0 switches probes off.",
    ),
    Directive::new(
        "timeout",
        COUNT,
        "0",
        "Closes a client that said nothing for so many seconds; 0 never. Subscribed and blocked clients stay.",
    ),
    Directive::new("protected-mode", Bool, "yes", "While no password is set, takes clients from this machine only."),
    Directive::new("bind-source-addr", TEXT, "\"\"", "Source address of outgoing connections.").inert(NO_REPLICATION),
    Directive::new("socket-mark-id", range(0, MAX_U32), "0", "Mark of listening sockets.")
        .at_start()
        .inert(ONLY_SOCKET_OPTION),
    Directive::new("max-new-connections-per-cycle", range(1, 1000), "10", "Connections accepted per loop round.")
        .from(Origin::Redis8)
        .inert(BOUNDED_ACCEPT),
    Directive::new("max-new-tls-connections-per-cycle", range(1, 1000), "1", "TLS connections accepted per round.")
        .from(Origin::Redis8)
        .inert(BOUNDED_ACCEPT),
    Directive::new("mptcp", Bool, "no", "Multipath TCP on listening sockets.")
        .at_start()
        .from(Origin::Valkey)
        .inert("listening sockets speak ordinary TCP, which every multipath client falls back to"),
];

pub(super) static TLS: &[Directive] = &[
    Directive::new("tls-port", PORT, "0", "TCP port for TLS connections; 0 opens none.").restart(),
    Directive::new("tls-cert-file", TEXT, "\"\"", "The server's certificate chain, PEM."),
    Directive::new("tls-key-file", TEXT, "\"\"", "The private key of that certificate, PEM, not encrypted."),
    Directive::new("tls-key-file-pass", TEXT, "\"\"", "Passphrase of the private key.")
        .secret()
        .refused(&[""], "encrypted key files are not supported: decrypt the key and protect the file by its mode"),
    Directive::new("tls-ca-cert-file", TEXT, "\"\"", "Certificates that clients' certificates are checked with, PEM."),
    Directive::new("tls-ca-cert-dir", TEXT, "\"\"", "Directory with such certificates, in files of any name."),
    Directive::new(
        "tls-auth-clients",
        Choice(&[("no", "no"), ("yes", "yes"), ("optional", "optional")]),
        "yes",
        "Whether clients must show a certificate.",
    ),
    Directive::new("tls-protocols", Kind::Text(tls_protocols), "\"\"", "`TLSv1.2`, `TLSv1.3` or both; empty: both."),
    Directive::new("tls-session-caching", Bool, "yes", "Whether TLS sessions can be resumed."),
    Directive::new(
        "tls-session-cache-size",
        COUNT,
        "20480",
        "Sessions kept for resumption, two for each handshake of TLS 1.3. With a TLS port, 0 (no bound) is refused.",
    ),
    Directive::new("tls-session-cache-timeout", COUNT, "300", "Seconds that a session can be resumed; 0: not at all."),
    Directive::new("tls-ciphers", TEXT, "\"\"", "Cipher suites of TLS 1.2.").inert(RUSTLS_CHOOSES),
    Directive::new("tls-ciphersuites", TEXT, "\"\"", "Cipher suites of TLS 1.3.").inert(RUSTLS_CHOOSES),
    Directive::new("tls-prefer-server-ciphers", Bool, "no", "Whose order of cipher suites counts.")
        .inert(RUSTLS_CHOOSES),
    Directive::new("tls-dh-params-file", TEXT, "\"\"", "Diffie-Hellman parameters.").inert(RUSTLS_CHOOSES),
    Directive::new("tls-client-cert-file", TEXT, "\"\"", "Certificate for outgoing connections.").inert(NO_OUTGOING),
    Directive::new("tls-client-key-file", TEXT, "\"\"", "Key for outgoing connections.").inert(NO_OUTGOING),
    Directive::new("tls-client-key-file-pass", TEXT, "\"\"", "Passphrase of that key.").secret().inert(NO_OUTGOING),
    Directive::new("tls-replication", Bool, "no", "TLS between replicas.").inert(NO_REPLICATION),
    Directive::new("tls-cluster", Bool, "no", "TLS on the cluster bus.").inert(NO_CLUSTER),
    Directive::new("tls-auth-clients-user", TEXT, "off", "User that a client's certificate logs in.")
        .from(Origin::Redis8)
        .refused(&["off"], "certificates do not log users in yet: use requirepass and AUTH"),
    Directive::new("tls-auto-reload-interval", COUNT, "0", "Seconds between looks for changed certificates.")
        .from(Origin::Valkey)
        .refused(&["0"], "certificates are read again by CONFIG SET tls-cert-file, not on a schedule"),
];

pub(super) static CLIENTS: &[Directive] = &[
    Directive::new("maxclients", range(1, MAX_U32), "10000", "Connections at most; one more is told so and closed."),
    Directive::new(
        "proto-max-bulk-len",
        byte_range(1 << 20, MAX_I64),
        "512mb",
        "The longest single argument a client may send, and the longest string a command may make.",
    ),
    Directive::new(
        "client-query-buffer-limit",
        byte_range(1 << 20, MAX_I64),
        "1gb",
        "Bytes of one unfinished command at most; a client with more is closed.",
    ),
    Directive::new(
        "client-output-buffer-limit",
        Kind::OutputLimits,
        "normal 0 0 0 replica 256mb 64mb 60 pubsub 32mb 8mb 60",
        "Closes a client that does not read its replies: class, hard limit, soft limit, seconds above the soft one.",
    ),
    Directive::new(
        "maxmemory-clients",
        Kind::Number(Number { unit: Unit::BytesOrPercent, min: -100, max: MAX_I64 }),
        "0",
        "Bytes that all clients' buffers may take together.",
    )
    .inert("each client is bounded by its own limits"),
    Directive::new("tracking-table-max-keys", range(0, MAX_I64), "1000000", "Keys that client-side caches may track.")
        .inert("there is no client tracking yet"),
    Directive::new("hide-user-data-from-log", Bool, "no", "Keeps keys and values out of log lines.")
        .from(Origin::Redis8)
        .inert("log lines never hold keys or values"),
];

fn tls_protocols(text: &[u8]) -> Result<(), &'static str> {
    let known =
        |word: &[u8]| word.is_empty() || matches!(word.to_ascii_lowercase().as_slice(), b"tlsv1.2" | b"tlsv1.3");
    if text.split(|b| *b == b' ').all(known) {
        Ok(())
    } else {
        Err("argument must be made of TLSv1.2 and TLSv1.3: older protocols are not offered")
    }
}
