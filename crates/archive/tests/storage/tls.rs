//! TLS: only servers that somebody vouches for.

use std::sync::Arc;

use archive::storage::{Error, HttpOptions, Storage};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::server::{Reply, Server, Stream};
use crate::service::NoTime;
use crate::suite::name;

/// A server with a certificate of its own for `localhost`, and the certificate in PEM.
fn server() -> (Server, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    let server = Server::start_with(
        Arc::new(move |tcp| {
            let session = ServerConnection::new(Arc::clone(&config)).ok()?;
            Some(Box::new(StreamOwned::new(session, tcp)) as Box<dyn Stream>)
        }),
        |_| Reply::new(200, "through TLS"),
    );
    (server, made.cert.pem())
}

#[test]
fn a_server_is_trusted_if_its_authority_is() {
    let (server, pem) = server();
    let open = |host: &str, roots: Vec<Vec<u8>>| {
        let mut options = HttpOptions::new(format!("https://{host}:{}/", server.address.port()));
        options.roots_pem = roots;
        archive::storage::Http::with_pace(options, Arc::new(NoTime::default()))
    };
    let root = || vec![pem.clone().into_bytes()];
    let storage = open("localhost", root()).unwrap();
    assert_eq!(storage.get_bytes(&name("a"), 99).unwrap(), b"through TLS");
    // Nobody vouches for it; and the name is another.
    for (host, roots) in [("localhost", vec![]), ("127.0.0.1", root())] {
        let error = open(host, roots).unwrap().get(&name("a"), 0).unwrap_err();
        assert!(matches!(&error, Error::Unavailable { why, .. } if why.contains("certificate")), "{error}");
    }
}
