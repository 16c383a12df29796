//! A plain HTTP service of objects, as the client expects it, with things that go wrong in between; and time that does
//! not pass.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use archive::storage::{AccessKey, Http, HttpOptions, Listing, Pace};
use parking_lot::Mutex;

use crate::server::{End, Reply, Request, Server};

pub const KEY: &str = "s3cr3t-key";

/// What goes wrong with a request, instead of the service's answer to it.
#[derive(Clone, Debug)]
pub enum Trouble {
    /// This is answered, and nothing done.
    Say(Reply),
    /// It is done, and this answered.
    DoAndSay(Reply),
    /// It is done, and its answer ends like this.
    DoAndEnd(End),
    /// Nothing goes wrong.
    Nothing,
}

#[derive(Default)]
pub struct State {
    pub objects: BTreeMap<String, Vec<u8>>,
    pub requests: Vec<Request>,
    pub troubles: VecDeque<Trouble>,
    /// Whether answers have an `ETag`, and one that is strong.
    pub weak_tags: bool,
}

/// The service, at `/zone`.
pub struct Service {
    pub server: Server,
    pub state: Arc<Mutex<State>>,
}

impl Service {
    pub fn start() -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let inner = Arc::clone(&state);
        let server = Server::start(move |request| handle(&mut inner.lock(), request));
        Self { server, state }
    }

    pub fn options(&self) -> HttpOptions {
        let mut options = HttpOptions::new(self.server.url("/zone/"));
        options.key = Some(AccessKey::new(KEY));
        options.listing = Listing::JsonFolders;
        options.conditional_put = true;
        options.idle_timeout = Duration::from_secs(20);
        options
    }

    /// A client that waits for nothing, and what it would have waited.
    pub fn client(&self, options: HttpOptions) -> (Http, Arc<NoTime>) {
        let pace = Arc::new(NoTime::default());
        (Http::with_pace(options, pace.clone()).unwrap(), pace)
    }

    pub fn trouble(&self, troubles: impl IntoIterator<Item = Trouble>) {
        let mut state = self.state.lock();
        state.requests.clear();
        state.troubles = troubles.into_iter().collect();
    }

    /// The methods of the requests since the last trouble.
    pub fn methods(&self) -> Vec<String> {
        self.state.lock().requests.iter().map(|r| r.method.clone()).collect()
    }
}

/// Draws the whole bound, and notes how long it would have waited.
#[derive(Default)]
pub struct NoTime(pub Mutex<Vec<Duration>>);

impl Pace for NoTime {
    fn jitter(&self, bound: Duration) -> Duration {
        bound
    }

    fn pause(&self, time: Duration) {
        self.0.lock().push(time);
    }
}

fn handle(state: &mut State, request: &Request) -> Reply {
    state.requests.push(request.clone());
    match state.troubles.pop_front().unwrap_or(Trouble::Nothing) {
        Trouble::Say(reply) => reply,
        Trouble::DoAndSay(reply) => {
            serve(state, request);
            reply
        }
        Trouble::DoAndEnd(end) => serve(state, request).end(end),
        Trouble::Nothing => serve(state, request),
    }
}

pub fn serve(state: &mut State, request: &Request) -> Reply {
    if request.header("accesskey") != Some(KEY) {
        return Reply::new(401, "no key");
    }
    let Some(path) = request.path.strip_prefix("/zone/") else { return Reply::new(404, "") };
    if path.is_empty() || path.ends_with('/') {
        return folder(state, path);
    }
    match request.method.as_str() {
        "PUT" => put(state, path, request),
        "DELETE" => Reply::new(if state.objects.remove(path).is_some() { 200 } else { 404 }, "deleted"),
        "GET" | "HEAD" => match state.objects.get(path) {
            Some(bytes) => read(bytes, request.header("range"), state.weak_tags),
            None => Reply::new(404, "none"),
        },
        _ => Reply::new(405, ""),
    }
}

fn put(state: &mut State, path: &str, request: &Request) -> Reply {
    if request.header("if-none-match") == Some("*") && state.objects.contains_key(path) {
        return Reply::new(412, "there is one");
    }
    if let Some(said) = request.header("checksum") {
        let sum = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &request.body);
        let sum: String = sum.as_ref().iter().map(|b| format!("{b:02X}")).collect();
        if sum != said {
            return Reply::new(400, "the checksum is another");
        }
    }
    state.objects.insert(path.to_owned(), request.body.clone());
    Reply::new(201, "created")
}

/// An answer to `GET`, with a range or without.
pub fn read(bytes: &[u8], range: Option<&str>, weak: bool) -> Reply {
    let sum = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    let tag = format!("\"{:02x?}\"", &sum.as_ref()[..8]).replace([',', ' '], "");
    let tag = if weak { format!("W/{tag}") } else { tag };
    let size = bytes.len();
    let Some(range) = range else { return Reply::new(200, bytes).with("etag", tag) };
    let (start, end) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
    let start: usize = start.parse().unwrap();
    let end = end.parse().map_or(size, |e: usize| (e + 1).min(size));
    if start >= size {
        return Reply::new(416, "").with("content-range", format!("bytes */{size}"));
    }
    let said = format!("bytes {start}-{}/{size}", end - 1);
    Reply::new(206, &bytes[start..end]).with("content-range", said).with("etag", tag)
}

/// A listing in the manner of bunny.net, in the wrong order.
fn folder(state: &State, path: &str) -> Reply {
    let mut items = Vec::new();
    let mut folders = BTreeSet::new();
    for (name, bytes) in state.objects.iter().rev() {
        let Some(rest) = name.strip_prefix(path) else { continue };
        match rest.split_once('/') {
            Some((folder, _)) => drop(folders.insert(folder)),
            None => items.push((rest, bytes.len(), false)),
        }
    }
    items.extend(folders.into_iter().map(|f| (f, 0, true)));
    if items.is_empty() {
        return Reply::new(404, "");
    }
    let items: Vec<_> = items
        .iter()
        .map(|(name, size, folder)| {
            format!(r#"{{"Guid":"x","ObjectName":"{name}","Length":{size},"IsDirectory":{folder},"ServerId":7}}"#)
        })
        .collect();
    Reply::new(200, format!("[{}]", items.join(",")))
}
