//! S3, as far as it is needed: the suite through the whole client, and the shape of the requests.
#![cfg(feature = "aws")]

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use archive::limits::UPLOAD_PART_BYTES;
use archive::storage::{Error, OpenOptions, Storage, open};
use parking_lot::Mutex;

use crate::server::{End, Reply, Request, Server};
use crate::service;
use crate::suite::{self, name};

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Vec<u8>>,
    uploads: BTreeMap<String, BTreeMap<u32, Vec<u8>>>,
    begun: u32,
    requests: Vec<Request>,
    /// What is answered instead; with `true` after it was done.
    troubles: VecDeque<(bool, Reply)>,
}

struct S3 {
    server: Server,
    state: Arc<Mutex<State>>,
}

impl S3 {
    fn start() -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let inner = Arc::clone(&state);
        let server = Server::start(move |request| {
            let mut state = inner.lock();
            state.requests.push(request.clone());
            match state.troubles.pop_front() {
                Some((true, reply)) => {
                    serve(&mut state, request);
                    reply
                }
                Some((false, reply)) => reply,
                None => serve(&mut state, request),
            }
        });
        Self { server, state }
    }

    fn open(&self, more: &[(&str, &str)]) -> Box<dyn Storage> {
        let endpoint = self.server.url("");
        let settings = [
            ("aws_endpoint", endpoint.as_str()),
            ("aws_allow_http", "true"),
            ("aws_region", "us-east-1"),
            ("aws_access_key_id", "id"),
            ("aws_secret_access_key", "secret"),
        ];
        let settings = settings.iter().chain(more).map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        open("s3://bucket/some/where", &OpenOptions { settings, ..OpenOptions::default() }).unwrap()
    }

    fn take(&self) -> Vec<Request> {
        std::mem::take(&mut self.state.lock().requests)
    }
}

fn serve(state: &mut State, request: &Request) -> Reply {
    let query: BTreeMap<_, _> = request
        .query
        .split('&')
        .filter(|p| !p.is_empty())
        .map(|p| p.split_once('=').unwrap_or((p, "")))
        .map(|(k, v)| (k.to_owned(), v.replace("%2F", "/").replace("%2B", "+").replace("%3D", "=")))
        .collect();
    let path = request.path.replace("%2B", "+").replace("%3D", "=");
    let key = path.strip_prefix("/bucket").unwrap().trim_start_matches('/').to_owned();
    match (request.method.as_str(), query.get("uploadId")) {
        ("GET", _) if query.contains_key("list-type") => list(state, &query),
        ("POST", None) if query.contains_key("uploads") => {
            state.begun += 1;
            let id = format!("upload{}", state.begun);
            state.uploads.insert(id.clone(), BTreeMap::new());
            xml(format!(
                "<InitiateMultipartUploadResult><Bucket>bucket</Bucket><Key>{key}</Key><UploadId>{id}</UploadId>\
                 </InitiateMultipartUploadResult>"
            ))
        }
        ("PUT", Some(id)) => {
            let number = query["partNumber"].parse().unwrap();
            state.uploads.get_mut(id).unwrap().insert(number, request.body.clone());
            Reply::new(200, "").with("etag", format!("\"part{number}\""))
        }
        ("POST", Some(id)) => {
            let parts = state.uploads.remove(id).unwrap();
            state.objects.insert(key.clone(), parts.into_values().flatten().collect());
            xml(format!(
                "<CompleteMultipartUploadResult><Bucket>bucket</Bucket><Key>{key}</Key><ETag>\"all\"</ETag>\
                 </CompleteMultipartUploadResult>"
            ))
        }
        ("DELETE", Some(id)) => Reply::new(if state.uploads.remove(id).is_some() { 204 } else { 404 }, ""),
        ("PUT", None) => {
            if request.header("if-none-match") == Some("*") && state.objects.contains_key(&key) {
                return Reply::new(412, "<Error><Code>PreconditionFailed</Code></Error>");
            }
            state.objects.insert(key, request.body.clone());
            Reply::new(200, "").with("etag", "\"put\"")
        }
        ("DELETE", None) => {
            state.objects.remove(&key);
            Reply::new(204, "")
        }
        ("GET" | "HEAD", None) => match state.objects.get(&key) {
            None => Reply::new(404, "<Error><Code>NoSuchKey</Code></Error>"),
            Some(bytes) => {
                let reply = service::read(bytes, request.header("range"), false);
                reply.with("last-modified", "Sat, 21 Nov 2026 12:00:00 GMT")
            }
        },
        other => panic!("{other:?} {query:?}"),
    }
}

/// Pages of three, so that there is more than one.
fn list(state: &State, query: &BTreeMap<String, String>) -> Reply {
    let prefix = query.get("prefix").map_or("", String::as_str);
    let after = query.get("continuation-token").or_else(|| query.get("start-after")).map_or("", String::as_str);
    let mut found = state.objects.iter().filter(|(k, _)| k.starts_with(prefix) && k.as_str() > after);
    let page: Vec<_> = found.by_ref().take(3).collect();
    let mut text = format!("<ListBucketResult><Name>bucket</Name><KeyCount>{}</KeyCount>", page.len());
    if found.next().is_some() {
        let last = page[page.len() - 1].0;
        text += &format!("<IsTruncated>true</IsTruncated><NextContinuationToken>{last}</NextContinuationToken>");
    }
    for (key, bytes) in page {
        text += &format!(
            "<Contents><Key>{key}</Key><LastModified>2026-11-21T12:00:00.000Z</LastModified>\
             <ETag>\"e\"</ETag><Size>{}</Size></Contents>",
            bytes.len()
        );
    }
    xml(text + "</ListBucketResult>")
}

fn xml(text: String) -> Reply {
    Reply::new(200, text).with("content-type", "application/xml")
}

#[test]
fn s3_keeps_the_contract() {
    let s3 = S3::start();
    let storage = s3.open(&[]);
    suite::all(&*storage, UPLOAD_PART_BYTES);
    let state = s3.state.lock();
    assert!(state.uploads.is_empty(), "uploads that failed are given up");
    assert!(state.requests.iter().all(|r| r.path.starts_with("/bucket")));
    assert!(state.requests.iter().all(|r| {
        let signature = r.header("authorization").unwrap();
        signature.starts_with("AWS4-HMAC-SHA256 Credential=id/") && signature.contains("/us-east-1/s3/aws4_request")
    }));
}

#[test]
fn requests_have_their_shape() {
    let s3 = S3::start();
    let storage = s3.open(&[]);
    let a = name("a/b=c+d");
    storage.put(&a, b"content").unwrap();
    storage.put_new(&name("new"), b"x").unwrap();
    storage.get_range(&a, 2..5).unwrap();
    storage.list("a/b", None, 9).unwrap();
    storage.delete(&a).unwrap();
    let seen = s3.take();
    let [put, new, range, list, delete] = &seen[..] else { panic!("{}", seen.len()) };
    assert_eq!((put.method.as_str(), put.header("if-none-match")), ("PUT", None));
    assert!(put.path.starts_with("/bucket/some/where/a/b"));
    assert_eq!((new.path.as_str(), new.header("if-none-match")), ("/bucket/some/where/new", Some("*")));
    assert_eq!(range.header("range"), Some("bytes=2-4"));
    assert!(list.query.contains("list-type=2") && list.query.contains("start-after="), "{}", list.query);
    assert_eq!((delete.method.as_str(), delete.body.len()), ("DELETE", 0));
}

#[test]
fn what_may_pass_is_repeated_but_not_a_conditional_put() {
    let s3 = S3::start();
    let storage = s3.open(&[("max_retries", "2")]);
    let trouble = |done: bool| (done, Reply::new(500, "<Error><Code>InternalError</Code></Error>"));
    s3.state.lock().troubles = [trouble(false)].into();
    storage.put(&name("a"), b"at last").unwrap();
    assert_eq!(s3.take().len(), 2);
    // It was done, but its answer says otherwise.
    s3.state.lock().troubles = [trouble(true)].into();
    let error = storage.put_new(&name("b"), b"mine").unwrap_err();
    assert!(matches!(error, Error::Unsure { .. }), "{error:?}");
    assert_eq!(s3.take().len(), 1);
    assert_eq!(storage.get_bytes(&name("b"), 9).unwrap(), b"mine");

    s3.state.lock().troubles = [trouble(false), trouble(false), trouble(false)].into();
    s3.take();
    let error = storage.get(&name("a"), 0).unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    assert_eq!(s3.take().len(), 3);
}

#[test]
fn a_body_that_breaks_off_is_whole_or_an_error() {
    let s3 = S3::start();
    let storage = s3.open(&[("max_retries", "3")]);
    let content = suite::Dice(5).bytes(300_000);
    storage.put(&name("a"), &content).unwrap();
    s3.state.lock().troubles = [(
        false,
        service::read(&content, None, false)
            .end(End::Cut(100_000))
            .with("last-modified", "Sat, 21 Nov 2026 12:00:00 GMT"),
    )]
    .into();
    match storage.get(&name("a"), 0).unwrap().into_bytes() {
        Ok(bytes) => assert!(bytes == content),
        Err(error) => assert!(matches!(error, Error::Unavailable { .. }), "{error:?}"),
    }
}

#[test]
fn keys_that_are_refused_are_said() {
    let s3 = S3::start();
    let storage = s3.open(&[]);
    s3.state.lock().troubles = [(false, Reply::new(403, "<Error><Code>AccessDenied</Code></Error>"))].into();
    assert!(matches!(storage.put(&name("a"), b"x"), Err(Error::Denied { .. })));
}
