//! TLS and Unix sockets.

use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use crate::harness::TestServer;
use crate::rig::{Client, Rig, bulk, ok, pong};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, ProtocolVersion, RootCertStore};
use rustls::{StreamOwned, SupportedProtocolVersion};
use server::net::{NetConfig, NetError, SessionCache, TcpEndpoint, TlsFiles, UnixEndpoint};

struct Authority {
    dir: tempfile::TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { dir, issuer }
    }

    /// Writes `NAME.pem` and `NAME.key`.
    fn sign(&self, name: &str) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_string()]).unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(self.dir.path().join(format!("{name}.pem")), cert.pem()).unwrap();
        std::fs::write(self.dir.path().join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }

    fn files(&self, client_ca: bool, require_client_cert: bool) -> TlsFiles {
        let path = |name: &str| self.dir.path().join(name);
        TlsFiles {
            cert: path("server.pem"),
            key: path("server.key"),
            client_ca: client_ca.then(|| path("ca.pem")),
            client_ca_dir: None,
            require_client_cert,
            v1_2: true,
            v1_3: true,
            sessions: Some(SessionCache { count: 100, lifetime: Duration::from_secs(300) }),
        }
    }

    fn client_config(&self, with_cert: bool) -> Arc<ClientConfig> {
        self.client_config_of(with_cert, rustls::ALL_VERSIONS)
    }

    fn client_config_of(&self, with_cert: bool, versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
        let path = |name: &str| self.dir.path().join(name);
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(path("ca.pem")).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        Arc::new(if with_cert {
            let cert = CertificateDer::from_pem_file(path("client.pem")).unwrap();
            let key = PrivateKeyDer::from_pem_file(path("client.key")).unwrap();
            builder.with_client_auth_cert(vec![cert], key).unwrap()
        } else {
            builder.with_no_client_auth()
        })
    }
}

fn tls_rig(files: &TlsFiles) -> Rig {
    let endpoint = TcpEndpoint { addr: ([127, 0, 0, 1], 0).into(), tls: true, optional: false };
    Rig::start(NetConfig { tcp: vec![endpoint], tls: Some(files.load().unwrap()), ..NetConfig::default() })
}

fn tls_client(rig: &Rig, config: Arc<ClientConfig>) -> Client<StreamOwned<ClientConnection, TcpStream>> {
    let session = ClientConnection::new(config, ServerName::try_from("localhost").unwrap()).unwrap();
    Client::new(StreamOwned::new(session, TcpStream::connect(rig.server.local_addrs()[1]).unwrap()))
}

#[test]
fn commands_and_replies_of_any_size_pass_through_tls() {
    let authority = Authority::new();
    authority.sign("server");
    let rig = tls_rig(&authority.files(false, false));
    let mut client = tls_client(&rig, authority.client_config(false));
    assert_eq!(client.say("WHERE"), bulk("tls"));
    for len in [0, 1, 16_384, 70_000, 5_000_000] {
        let value = vec![b'v'; len];
        assert_eq!(client.call(&[b"ECHO", &value]), bulk(&value));
    }
    for _ in 0..1000 {
        client.send(&[b"ECHO", b"pipelined"]);
    }
    (0..1000).for_each(|_| assert_eq!(client.reply(), bulk("pipelined")));
    assert_eq!(client.say("QUIT"), ok());
    assert_eq!(client.try_reply(), None);
    assert_eq!(rig.client().say("WHERE"), bulk("tcp"));
}

#[test]
fn a_client_without_tls_on_a_tls_port_is_closed_and_others_go_on() {
    let authority = Authority::new();
    authority.sign("server");
    let rig = tls_rig(&authority.files(false, false));
    let mut plain = Client::new(TcpStream::connect(rig.server.local_addrs()[1]).unwrap());
    plain.send(&[b"PING"]);
    let mut rest = Vec::new();
    let _ = std::io::Read::read_to_end(&mut plain.stream, &mut rest);
    assert!(!rest.starts_with(b"+PONG"));
    rig.wait_for("the failure is counted", |totals| totals.tls_failures == 1 && totals.clients == 0);
    assert_eq!(tls_client(&rig, authority.client_config(false)).say("PING"), pong());
}

#[test]
fn where_client_certificates_are_required_only_their_owners_are_served() {
    let authority = Authority::new();
    authority.sign("server");
    authority.sign("client");
    let rig = tls_rig(&authority.files(true, true));
    assert_eq!(tls_client(&rig, authority.client_config(true)).say("PING"), pong());
    let mut without = tls_client(&rig, authority.client_config(false));
    let mut command = Vec::new();
    resp::write_command(&mut command, ["PING"]);
    // The refusal may come before or after the command is written.
    let _ = std::io::Write::write_all(&mut without.stream, &command);
    assert_eq!(without.try_reply(), None);
    let rig = tls_rig(&authority.files(true, false));
    assert_eq!(tls_client(&rig, authority.client_config(false)).say("PING"), pong());
}

/// Whether a client is served, and how it was met.
fn meet(rig: &Rig, config: &Arc<ClientConfig>) -> Option<(ProtocolVersion, HandshakeKind)> {
    meet_over(tls_client(rig, Arc::clone(config)))
}

fn meet_over(mut client: Client<StreamOwned<ClientConnection, TcpStream>>) -> Option<(ProtocolVersion, HandshakeKind)> {
    let mut command = Vec::new();
    resp::write_command(&mut command, ["PING"]);
    // A refusal may come before or after the command is written.
    let _ = std::io::Write::write_all(&mut client.stream, &command);
    let reply = client.try_reply()?;
    assert_eq!(reply, pong());
    let session = &client.stream.conn;
    Some((session.protocol_version().unwrap(), session.handshake_kind().unwrap()))
}

#[test]
fn only_the_protocols_that_are_offered_are_spoken() {
    let authority = Authority::new();
    authority.sign("server");
    let (old, new) = (authority.client_config_of(false, &[&TLS12]), authority.client_config_of(false, &[&TLS13]));
    for (v1_2, v1_3) in [(true, true), (true, false), (false, true)] {
        let rig = tls_rig(&TlsFiles { v1_2, v1_3, ..authority.files(false, false) });
        let version = |config| meet(&rig, config).map(|(version, _)| version);
        assert_eq!(version(&old), v1_2.then_some(ProtocolVersion::TLSv1_2));
        assert_eq!(version(&new), v1_3.then_some(ProtocolVersion::TLSv1_3));
    }
    let none = TlsFiles { v1_2: false, v1_3: false, ..authority.files(false, false) };
    assert!(matches!(none.load(), Err(NetError::Tls(reason)) if reason.contains("tls-protocols")));
}

#[test]
fn every_certificate_in_the_directory_is_trusted_whatever_its_file_is_called() {
    let (ours, other) = (Authority::new(), Authority::new());
    ours.sign("server");
    ours.sign("client");
    let trusted = tempfile::tempdir().unwrap();
    let files =
        |dir: &tempfile::TempDir| TlsFiles { client_ca_dir: Some(dir.path().into()), ..ours.files(false, true) };
    let missing = trusted.path().join("absent");
    let files_of_missing = TlsFiles { client_ca_dir: Some(missing.clone()), ..ours.files(false, true) };
    assert!(matches!(files_of_missing.load(), Err(NetError::TlsFile { path, .. }) if path == missing));
    assert!(matches!(files(&trusted).load(), Err(NetError::TlsFile { path, .. }) if path == trusted.path()));

    std::fs::write(trusted.path().join("README"), "who is trusted\n").unwrap();
    std::fs::create_dir(trusted.path().join("old")).unwrap();
    std::fs::write(trusted.path().join("a.pem"), other.issuer.pem()).unwrap();
    let rig = tls_rig(&files(&trusted));
    assert_eq!(meet(&rig, &ours.client_config(true)), None, "this authority is not there");

    std::fs::write(trusted.path().join("second"), ours.issuer.pem()).unwrap();
    let rig = tls_rig(&files(&trusted));
    assert!(meet(&rig, &ours.client_config(true)).is_some());
    assert_eq!(meet(&rig, &ours.client_config(false)), None, "a certificate is asked for");

    let broken = trusted.path().join("broken.crt");
    std::fs::write(&broken, "-----BEGIN CERTIFICATE-----\n%%%\n-----END CERTIFICATE-----\n").unwrap();
    assert!(matches!(files(&trusted).load(), Err(NetError::TlsFile { path, .. }) if path == broken));
}

#[test]
fn sessions_are_resumed_within_their_number_and_time_or_not_at_all() {
    let authority = Authority::new();
    authority.sign("server");
    let cache = |count, seconds| Some(SessionCache { count, lifetime: Duration::from_secs(seconds) });
    for version in [&TLS12, &TLS13] {
        let client = || authority.client_config_of(false, &[version]);
        let kind = |rig: &Rig, config: &Arc<ClientConfig>| meet(rig, config).map(|(_, kind)| kind);
        for (sessions, expected) in [
            (cache(100, 300), HandshakeKind::Resumed),
            (cache(100, 0), HandshakeKind::Full),
            (None, HandshakeKind::Full),
        ] {
            let rig = tls_rig(&TlsFiles { sessions, ..authority.files(false, false) });
            let config = client();
            assert_eq!(kind(&rig, &config), Some(HandshakeKind::Full), "a session begins");
            assert_eq!(kind(&rig, &config), Some(expected), "{sessions:?} {version:?}");
        }
        // Room for the newest two only: what one handshake of TLS 1.3 leaves.
        let rig = tls_rig(&TlsFiles { sessions: cache(2, 300), ..authority.files(false, false) });
        let clients = [client(), client(), client()];
        for config in &clients {
            assert_eq!(kind(&rig, config), Some(HandshakeKind::Full));
        }
        assert_eq!(kind(&rig, &clients[2]), Some(HandshakeKind::Resumed), "{version:?}");
        assert_eq!(kind(&rig, &clients[0]), Some(HandshakeKind::Full), "{version:?}");
    }
    let unbounded = TlsFiles { sessions: cache(0, 300), ..authority.files(false, false) };
    assert!(matches!(unbounded.load(), Err(NetError::Tls(reason)) if reason.contains("tls-session-cache-size")));
}

/// The directives, in a whole server, at its start and while it runs.
#[test]
fn tls_directives_hold_at_the_start_and_for_connections_after_a_change() {
    let authority = Authority::new();
    authority.sign("server");
    authority.sign("client");
    let trusted = tempfile::tempdir().unwrap();
    std::fs::write(trusted.path().join("ca"), authority.issuer.pem()).unwrap();
    let path = |name: &str| authority.dir.path().join(name).display().to_string();
    let (cert, key, trusted) = (path("server.pem"), path("server.key"), trusted.path().display().to_string());
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = free.local_addr().unwrap();
    drop(free);
    let port = addr.port().to_string();
    let dir = tempfile::tempdir().unwrap();
    let flags = ["--tls-port", &port, "--tls-cert-file", &cert, "--tls-key-file", &key];
    let more = ["--tls-ca-cert-dir", &trusted, "--tls-protocols", "TLSv1.2", "--tls-session-caching", "no"];
    let server = TestServer::start(dir.path(), &[&flags[..], &more[..]].concat());
    let mut admin = server.client();
    let meet = |config: &Arc<ClientConfig>| {
        let session = ClientConnection::new(Arc::clone(config), ServerName::try_from("localhost").unwrap()).unwrap();
        meet_over(Client::new(StreamOwned::new(session, TcpStream::connect(addr).unwrap())))
    };
    let (old, new) = (authority.client_config_of(true, &[&TLS12]), authority.client_config_of(true, &[&TLS13]));
    assert_eq!(meet(&old), Some((ProtocolVersion::TLSv1_2, HandshakeKind::Full)));
    assert_eq!(meet(&old), Some((ProtocolVersion::TLSv1_2, HandshakeKind::Full)), "nothing is cached");
    assert_eq!(meet(&new), None, "TLS 1.3 is not offered");
    assert_eq!(meet(&authority.client_config_of(false, &[&TLS12])), None, "a certificate is required");

    admin.ok("CONFIG SET tls-protocols TLSv1.3 tls-session-caching yes");
    assert_eq!(meet(&old), None, "TLS 1.2 is not offered any more");
    assert_eq!(meet(&new), Some((ProtocolVersion::TLSv1_3, HandshakeKind::Full)));
    assert_eq!(meet(&new), Some((ProtocolVersion::TLSv1_3, HandshakeKind::Resumed)));
    admin.ok("CONFIG SET tls-session-cache-timeout 0");
    assert_eq!(meet(&new), Some((ProtocolVersion::TLSv1_3, HandshakeKind::Full)));

    for (change, reason) in [
        ("tls-session-cache-size 0", "without a bound"),
        ("tls-protocols TLSv1.1", "older protocols are not offered"),
        ("tls-ca-cert-dir /nowhere/at/all", "/nowhere/at/all"),
    ] {
        let text = admin.error(&format!("CONFIG SET {change}"));
        assert!(text.contains(reason), "{change}: {text}");
    }
    assert!(meet(&new).is_some(), "what was refused changed nothing");
}

#[test]
fn unusable_tls_files_are_named() {
    let authority = Authority::new();
    authority.sign("server");
    let mut files = authority.files(false, false);
    files.key = authority.dir.path().join("absent.key");
    assert!(matches!(files.load(), Err(NetError::TlsFile { path, .. }) if path.ends_with("absent.key")));
    let files = TlsFiles { cert: authority.dir.path().join("server.key"), ..authority.files(false, false) };
    assert!(matches!(files.load(), Err(NetError::TlsFile { path, .. }) if path.ends_with("server.key")));
    assert!(matches!(authority.files(false, true).load(), Err(NetError::Tls(_))));
}

#[test]
fn a_unix_socket_serves_replaces_a_stale_file_and_goes_with_the_server() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.sock");
    // A file that a killed server left behind.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let config =
        || NetConfig { unix: Some(UnixEndpoint { path: path.clone(), mode: Some(0o700) }), ..NetConfig::default() };
    let rig = Rig::start(config());
    let mut client = Client::new(UnixStream::connect(&path).unwrap());
    assert_eq!(client.say("WHERE"), bulk("unix"));
    let value = vec![b'u'; 3_000_000];
    assert_eq!(client.call(&[b"ECHO", &value]), bulk(&value));
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    // A server that listens is not robbed of its socket.
    let taken = server::net::Server::<crate::rig::Message>::start(config(), |_, control| {
        crate::rig::Kv::new(&Arc::default(), control)
    });
    assert!(matches!(taken, Err(NetError::Listen { .. })));
    assert_eq!(client.say("PING"), pong());
    rig.server.control().stop();
    rig.server.join();
    assert!(!path.exists());
}
