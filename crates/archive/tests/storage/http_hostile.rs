//! A plain HTTP service that does not behave: what is repeated, how often, after how long, and what never is.

use std::io::Read;
use std::time::Duration;

use archive::limits::{MOST_RESUMES, SPOOL_BYTES};
use archive::storage::{Class, Error, HttpOptions, Retry, Storage};

use crate::server::{End, Reply, Server};
use crate::service::{NoTime, Service, Trouble};
use crate::suite::name;

const RETRY: Retry = Retry { attempts: 4, first: Duration::from_millis(100), most: Duration::from_millis(250) };

fn start() -> (Service, archive::storage::Http, std::sync::Arc<NoTime>) {
    let service = Service::start();
    let mut options = service.options();
    options.retry = RETRY;
    let (storage, pace) = service.client(options);
    (service, storage, pace)
}

fn say(status: u16) -> Trouble {
    Trouble::Say(Reply::new(status, "trouble"))
}

#[test]
fn what_may_pass_is_repeated_with_growing_pauses() {
    let (service, storage, pace) = start();
    for status in [408, 429, 500, 502, 503, 504] {
        service.trouble([say(status), say(status), say(status)]);
        storage.put(&name("a"), b"at last").unwrap();
        assert_eq!(service.methods(), ["PUT"; 4], "{status}");
        let waited: Vec<_> = pace.0.lock().drain(..).map(|d| d.as_millis()).collect();
        assert_eq!(waited, [100, 200, 250], "{status}");
        assert_eq!(service.state.lock().objects["a"], b"at last");
    }
}

#[test]
fn repetition_ends() {
    let (service, storage, _) = start();
    service.state.lock().objects.insert("a".into(), b"x".to_vec());
    let a = name("a");
    let operations: [(&str, &dyn Fn() -> Result<(), Error>); 7] = [
        ("PUT", &|| storage.put(&a, b"x")),
        ("PUT", &|| storage.put_stream(&a, &mut &vec![1; SPOOL_BYTES + 9][..]).map(drop)),
        ("GET", &|| storage.get(&a, 0).map(drop)),
        ("GET", &|| storage.get_range(&a, 0..1).map(drop)),
        ("HEAD", &|| storage.head(&a).map(drop)),
        ("DELETE", &|| storage.delete(&a)),
        ("GET", &|| storage.list("", None, 9).map(drop)),
    ];
    for trouble in [say(500), say(429), Trouble::Say(Reply::new(200, "").end(End::Reset))] {
        for (method, run) in operations {
            service.trouble(vec![trouble.clone(); 9]);
            let error = run().unwrap_err();
            assert!(matches!(error, Error::Unavailable { attempts: 4, .. }), "{method}: {error:?}");
            assert_eq!(error.class(), Class::Transient);
            assert_eq!(service.methods(), [method; 4]);
        }
    }
}

#[test]
fn what_will_not_pass_is_not_repeated() {
    let (service, storage, pace) = start();
    for status in [300, 301, 307, 400, 401, 403, 404, 405, 409, 413, 418, 501] {
        service.trouble([say(status)]);
        let error = storage.put(&name("a"), b"x").unwrap_err();
        assert_eq!(service.methods().len(), 1, "{status}: {error:?}");
        assert_eq!(matches!(error, Error::Denied { .. }), matches!(status, 401 | 403), "{error:?}");
    }
    assert!(pace.0.lock().is_empty());
}

#[test]
fn a_service_that_says_when_is_waited_for_unless_that_is_too_long() {
    let service = Service::start();
    let mut options = service.options();
    options.retry = Retry { attempts: 3, first: Duration::from_millis(100), most: Duration::from_secs(30) };
    let (storage, pace) = service.client(options);
    let say = |after: &str| Trouble::Say(Reply::new(429, "slow down").with("retry-after", after));
    service.trouble([say("7"), say("30")]);
    storage.put(&name("a"), b"x").unwrap();
    let waited: Vec<_> = pace.0.lock().drain(..).map(|d| d.as_millis()).collect();
    // What it asked for and the jitter on top, at most the most.
    assert_eq!(waited, [7100, 30_000]);

    service.trouble([say("31")]);
    let error = storage.put(&name("a"), b"x").unwrap_err();
    assert!(matches!(error, Error::Unavailable { attempts: 1, .. }), "{error:?}");
    assert!(pace.0.lock().is_empty());
    for strange in ["Wed, 21 Oct 2026 07:28:00 GMT", "-5", "99999999999999999999999", "soon"] {
        service.trouble([say(strange)]);
        storage.put(&name("a"), b"x").unwrap();
        assert_eq!(pace.0.lock().drain(..).collect::<Vec<_>>(), [Duration::from_millis(100)], "{strange}");
    }
}

#[test]
fn a_conditional_put_is_repeated_only_if_it_surely_was_not_done() {
    let (service, storage, _) = start();
    // It was done, but the answer says otherwise: a second attempt would take its own object for another's.
    let lost =
        [Trouble::DoAndSay(Reply::new(500, "")), Trouble::DoAndSay(Reply::new(503, "")), Trouble::DoAndEnd(End::Reset)];
    for (n, trouble) in lost.into_iter().enumerate() {
        service.trouble([trouble]);
        let error = storage.put_new(&name(&format!("n{n}")), b"mine").unwrap_err();
        assert!(matches!(error, Error::Unsure { .. }), "{error:?}");
        assert_eq!(service.methods(), ["PUT"]);
    }
    service.trouble([say(429), say(429)]);
    storage.put_new(&name("m"), b"mine").unwrap();
    assert_eq!(service.methods(), ["PUT"; 3]);
    // Never done, and said so.
    service.trouble(vec![say(429); 9]);
    let error = storage.put_new(&name("p"), b"mine").unwrap_err();
    assert!(matches!(error, Error::Unavailable { attempts: 4, .. }), "{error:?}");
    service.trouble([say(409)]);
    assert!(matches!(storage.put_new(&name("o"), b"mine"), Err(Error::AlreadyExists { .. })));
}

#[test]
fn nobody_there_is_said_after_a_few_attempts() {
    let address = Server::start(|_| Reply::new(200, "")).url("/");
    // Nothing listens there any more once the thread has ended; a connection that still is made is closed.
    let mut options = HttpOptions::new(address);
    options.retry = RETRY;
    let pace = std::sync::Arc::new(NoTime::default());
    let storage = archive::storage::Http::with_pace(options, pace.clone()).unwrap();
    let error = storage.head(&name("a")).unwrap_err();
    assert!(matches!(error, Error::Unavailable { attempts: 4, .. }), "{error:?}");
    assert_eq!(pace.0.lock().len(), 3);
}

#[test]
fn a_body_that_breaks_off_goes_on_where_it_broke() {
    let (service, storage, _) = start();
    let content: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
    service.state.lock().objects.insert("a".into(), content.clone());
    service.trouble([
        Trouble::DoAndEnd(End::Cut(300_000)),
        say(503),
        Trouble::DoAndEnd(End::Cut(0)),
        Trouble::DoAndEnd(End::Reset),
        Trouble::DoAndEnd(End::Cut(100_000)),
    ]);
    let came = storage.get(&name("a"), 0).unwrap().into_bytes().unwrap();
    assert!(came == content);
    let state = service.state.lock();
    let ranges: Vec<_> = state.requests.iter().map(|r| r.header("range").unwrap_or("all")).collect();
    assert_eq!(ranges[..2], ["all", "bytes=300000-"]);
    assert_eq!(ranges.last(), Some(&"bytes=400000-"));
}

#[test]
fn a_body_does_not_go_on_with_another_object() {
    let (service, storage, _) = start();
    let read = |replace: &[u8]| {
        let mut state = service.state.lock();
        state.objects.insert("a".into(), vec![1; 100_000]);
        drop(state);
        service.trouble([Trouble::DoAndEnd(End::Cut(50_000))]);
        let mut object = storage.get(&name("a"), 0).unwrap();
        let mut came = vec![0; 50_000];
        object.read_exact(&mut came).unwrap();
        service.state.lock().objects.insert("a".into(), replace.to_vec());
        let error = object.read_to_end(&mut came).unwrap_err();
        assert_eq!(came.len(), 50_000);
        Error::from_io(error)
    };
    // Of the same length and of another.
    assert!(matches!(read(&[2; 100_000]), Error::Changed { .. }));
    assert!(matches!(read(&[1; 100_001]), Error::Changed { .. }));
    assert!(matches!(read(&[1; 10]), Error::BadRange { .. }));
}

#[test]
fn a_body_without_a_strong_tag_is_not_put_together_from_two_answers() {
    let (service, storage, _) = start();
    service.state.lock().weak_tags = true;
    service.state.lock().objects.insert("a".into(), vec![1; 100_000]);
    service.trouble([Trouble::DoAndEnd(End::Cut(50_000))]);
    let error = storage.get(&name("a"), 0).unwrap().into_bytes().unwrap_err();
    assert_eq!(error.class(), Class::Transient, "{error:?}");
    assert_eq!(service.methods(), ["GET"]);
}

#[test]
fn a_body_that_always_breaks_off_ends() {
    let (service, storage, _) = start();
    service.state.lock().objects.insert("a".into(), vec![1; 100_000]);
    service.trouble(vec![Trouble::DoAndEnd(End::Cut(1)); 1000]);
    let error = storage.get(&name("a"), 0).unwrap().into_bytes().unwrap_err();
    assert_eq!(error.class(), Class::Transient, "{error:?}");
    assert_eq!(service.methods().len() as u32, MOST_RESUMES + 1);
}

#[test]
fn short_bodies_of_ranges_and_listings_are_asked_for_again() {
    let (service, storage, _) = start();
    service.state.lock().objects.insert("a".into(), b"0123456789".to_vec());
    service.trouble([Trouble::DoAndEnd(End::Cut(2)), Trouble::DoAndEnd(End::Reset)]);
    assert_eq!(storage.get_range(&name("a"), 2..8).unwrap(), b"234567");
    service.trouble([Trouble::DoAndEnd(End::Cut(20))]);
    assert_eq!(storage.list("", None, 9).unwrap().len(), 1);
}

#[test]
fn silence_ends_by_the_idle_timeout() {
    let service = Service::start();
    let mut options = service.options();
    options.retry = Retry { attempts: 2, ..RETRY };
    options.idle_timeout = Duration::from_millis(150);
    let (storage, _) = service.client(options);
    service.state.lock().objects.insert("a".into(), vec![1; 1000]);
    let silence = || Trouble::Say(Reply::new(200, "").end(End::Silence));
    service.trouble([silence(), silence()]);
    let error = storage.head(&name("a")).unwrap_err();
    assert!(matches!(error, Error::Unavailable { attempts: 2, .. }), "{error:?}");
    service.trouble([silence()]);
    storage.put(&name("b"), b"x").unwrap();
    service.trouble([Trouble::DoAndEnd(End::Hang(10))]);
    assert_eq!(storage.get_range(&name("a"), 0..100).unwrap(), [1; 100]);
    service.trouble([Trouble::DoAndEnd(End::Hang(10)), Trouble::DoAndEnd(End::Hang(10))]);
    assert_eq!(storage.get(&name("a"), 0).unwrap().into_bytes().unwrap(), [1; 1000]);
}

#[test]
fn answers_that_make_no_sense_are_errors() {
    let (service, storage, _) = start();
    service.state.lock().objects.insert("a".into(), b"0123456789".to_vec());
    let part = |range: &str, body: &str| Reply::new(206, body).with("content-range", range);
    let ranges = [
        Reply::new(200, "0123456789"),
        Reply::new(206, "2345"),
        part("bytes 3-6/10", "3456"),
        part("bytes 2-5/10", "234"),
        part("bytes 2-5/3", "2345"),
        part("bytes 2-5/*", "2345"),
        part("nonsense", "2345"),
        Reply::new(204, ""),
        part("bytes 2-5/10", "2345").with("content-encoding", "gzip"),
    ];
    for reply in ranges {
        service.trouble([Trouble::Say(reply.clone())]);
        let error = storage.get_range(&name("a"), 2..6).unwrap_err();
        assert!(matches!(error, Error::Protocol { .. }), "{reply:?}: {error:?}");
    }
    // More than was asked for is not read.
    service.trouble([Trouble::Say(part("bytes 2-9/10", &"2".repeat(100_000)))]);
    assert!(storage.get_range(&name("a"), 2..6).is_err());
    // A body whose end nobody knows.
    service.trouble([Trouble::Say(Reply::new(200, "body").with("content-length", "").end(End::Cut(4)))]);
    assert!(matches!(storage.get(&name("a"), 0), Err(Error::Protocol { .. })));
    for listing in ["", "{}", "[{}]", "[1]", "[", r#"[{"ObjectName":"a","Length":-1,"IsDirectory":false}]"#] {
        service.trouble([Trouble::Say(Reply::new(200, listing))]);
        assert!(matches!(storage.list("", None, 9), Err(Error::Protocol { .. })), "{listing}");
    }
}

#[test]
fn a_listing_does_not_lead_anywhere_else() {
    let (service, storage, _) = start();
    let item = |n: &str, d: bool| format!(r#"{{"ObjectName":"{n}","Length":1,"IsDirectory":{d}}}"#);
    let items = [
        item("..", true),
        item("../x", true),
        item(".tmp", true),
        item("a/b", true),
        item("", true),
        item("ok", false),
    ];
    service.trouble([Trouble::Say(Reply::new(200, format!("[{}]", items.join(","))))]);
    let listed = storage.list("", None, 9).unwrap();
    assert_eq!(listed.iter().map(|e| e.name.as_str()).collect::<Vec<_>>(), ["ok"]);
    assert_eq!(service.methods().len(), 2, "the folder that is called a/b has been looked into, and no other");
    // Folders in folders without end.
    service.trouble(vec![Trouble::Say(Reply::new(200, format!("[{}]", item("d", true)))); 100]);
    assert!(storage.list("", None, 9).unwrap().is_empty());
    assert!(service.methods().len() <= archive::limits::MOST_DEPTH + 1);
}
