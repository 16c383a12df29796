//! TLS and Unix sockets.

use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use crate::rig::{Client, Rig, bulk, ok, pong};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use server::net::{NetConfig, NetError, TcpEndpoint, TlsFiles, UnixEndpoint};

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
            require_client_cert,
        }
    }

    fn client_config(&self, with_cert: bool) -> Arc<ClientConfig> {
        let path = |name: &str| self.dir.path().join(name);
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(path("ca.pem")).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
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
