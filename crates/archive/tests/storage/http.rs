//! A plain HTTP service: the suite, and what is sent.

use std::sync::Arc;

use archive::limits::SPOOL_BYTES;
use archive::storage::{AccessKey, Error, Http, HttpOptions, Listing, Storage};

use crate::server::{Reply, Server};
use crate::service::{KEY, Service};
use crate::suite::{self, name};

#[test]
fn a_service_keeps_the_contract() {
    let service = Service::start();
    let (storage, pace) = service.client(service.options());
    suite::all(&storage, SPOOL_BYTES);
    let storage: Arc<dyn Storage> = Arc::new(storage);
    suite::whole_or_not_at_all(&storage, 60);
    assert!(pace.0.lock().is_empty(), "something was repeated");
}

#[test]
fn a_service_that_can_less_keeps_the_rest_of_it() {
    let service = Service::start();
    let mut options = service.options();
    options.listing = Listing::None;
    options.conditional_put = false;
    suite::all(&service.client(options).0, SPOOL_BYTES);
}

#[test]
fn uploads_say_their_length_their_checksum_and_the_key() {
    let service = Service::start();
    let (storage, _) = service.client(service.options());
    let content = vec![3; SPOOL_BYTES + 1];
    storage.put(&name("a/b"), b"x").unwrap();
    storage.put_stream(&name("a/b"), &mut &content[..]).unwrap();
    let state = service.state.lock();
    let [small, large] = &state.requests[..] else { panic!("{:?}", state.requests.len()) };
    assert_eq!((small.method.as_str(), small.path.as_str()), ("PUT", "/zone/a/b"));
    assert_eq!(small.header("content-length"), Some("1"));
    assert_eq!(large.header("content-length"), Some((SPOOL_BYTES + 1).to_string().as_str()));
    assert_eq!(small.header("accesskey"), Some(KEY));
    let sum = "2D711642B726B04401627CA9FBAC32F5C8530FB1903CC4DB02258717921A4881";
    assert_eq!(small.header("checksum"), Some(sum), "SHA-256 of an x");
}

#[test]
fn the_key_goes_to_its_own_server_only() {
    let service = Service::start();
    service.state.lock().objects.insert("a".into(), b"kept".to_vec());
    let seen = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let edge = Server::start(move |request| {
        log.lock().push(request.header("accesskey").map(str::to_owned));
        crate::service::read(b"from the edge", request.header("range"), false)
    });
    for (send, want) in [(false, None), (true, Some(KEY.to_owned()))] {
        let mut options = service.options();
        options.read = Some(edge.url("/"));
        options.key_for_reading = send;
        let (storage, _) = service.client(options);
        let storage: &dyn Storage = &storage;
        assert_eq!(storage.get_bytes(&name("a"), 100).unwrap(), b"from the edge");
        assert_eq!(storage.head(&name("a")).unwrap().size, 13);
        assert_eq!(storage.get_range(&name("a"), 5..8).unwrap(), b"the");
        storage.put(&name("b"), b"").unwrap();
        assert_eq!(std::mem::take(&mut *seen.lock()), vec![want; 3]);
    }
}

#[test]
fn redirections_are_not_followed() {
    let target = Server::start(|_| panic!("the key must not come here"));
    let to = target.url("/zone/a");
    let server = Server::start(move |_| Reply::new(307, "").with("location", &to));
    let mut options = HttpOptions::new(server.url("/zone"));
    options.key = Some(AccessKey::new(KEY));
    let storage = Http::new(options).unwrap();
    assert!(matches!(storage.get(&name("a"), 0), Err(Error::Protocol { .. })));
    assert!(matches!(storage.put(&name("a"), b"x"), Err(Error::Protocol { .. })));
}

#[test]
fn the_key_is_never_shown() {
    let service = Service::start();
    let options = service.options();
    assert!(!format!("{options:?}").contains(KEY));
    assert!(!format!("{:?}", service.client(options).0).contains(KEY));
}

#[test]
fn another_key_is_denied_and_not_tried_again() {
    let service = Service::start();
    let mut options = service.options();
    options.key = Some(AccessKey::new("another"));
    let (storage, pace) = service.client(options);
    assert!(matches!(storage.put(&name("a"), b"x"), Err(Error::Denied { .. })));
    assert!(matches!(storage.head(&name("a")), Err(Error::Denied { .. })));
    assert!(pace.0.lock().is_empty());
}

#[test]
fn settings_that_make_no_client_are_refused() {
    let refused = |change: &dyn Fn(&mut HttpOptions)| {
        let mut options = HttpOptions::new("http://127.0.0.1:9/zone");
        change(&mut options);
        matches!(Http::new(options), Err(Error::Settings(_)))
    };
    assert!(!refused(&|_| ()));
    assert!(refused(&|o| o.upload = "127.0.0.1/zone".into()));
    assert!(refused(&|o| o.read = Some("ftp://127.0.0.1/".into())));
    assert!(refused(&|o| o.key = Some(AccessKey::new("two\nlines"))));
    assert!(refused(&|o| {
        o.key = Some(AccessKey::new("k"));
        o.key_header = "no header".into();
    }));
}
