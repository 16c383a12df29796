//! A small HTTP/1.1 server on loopback, which can be as hostile as a test likes.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// A request, with its whole body. Header names are in lower case.
#[derive(Clone, Debug, Default)]
pub struct Request {
    pub method: String,
    /// Without the query.
    pub path: String,
    pub query: String,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// How an answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// As it should.
    Whole,
    /// After so many bytes of the body, the connection is closed.
    Cut(usize),
    /// After so many bytes of the body nothing comes, until the client goes.
    Hang(usize),
    /// The connection is reset instead of an answer.
    Reset,
    /// Nothing comes instead of an answer, until the client goes.
    Silence,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub end: End,
}

impl Reply {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into(), end: End::Whole }
    }

    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    pub fn end(mut self, end: End) -> Self {
        self.end = end;
        self
    }
}

type Handler = dyn Fn(&Request) -> Reply + Send + Sync;
/// What makes a stream of bytes from a connection: TLS, or nothing.
pub type Wrap = dyn Fn(TcpStream) -> Option<Box<dyn Stream>> + Send + Sync;

pub trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// A server that runs until it is dropped.
pub struct Server {
    pub address: SocketAddr,
    stop: Arc<AtomicBool>,
}

impl Server {
    pub fn start(handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_with(Arc::new(|stream| Some(Box::new(stream) as Box<dyn Stream>)), handler)
    }

    pub fn start_with(wrap: Arc<Wrap>, handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, handler): (_, Arc<Handler>) = (Arc::clone(&stop), Arc::new(handler));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stopped.load(Ordering::SeqCst) {
                    break;
                }
                let (handler, wrap) = (Arc::clone(&handler), Arc::clone(&wrap));
                thread::spawn(move || {
                    let raw = stream.try_clone().unwrap();
                    if let Some(stream) = wrap(stream) {
                        serve(stream, &raw, &*handler);
                    }
                });
            }
        });
        Self { address, stop }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the one who accepts.
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(stream: Box<dyn Stream>, raw: &TcpStream, handler: &Handler) {
    let mut stream = BufReader::new(stream);
    while let Some(request) = read(&mut stream) {
        let head = request.method == "HEAD";
        let reply = handler(&request);
        if !answer(&mut stream, raw, &reply, head) {
            return;
        }
    }
}

fn read(stream: &mut BufReader<Box<dyn Stream>>) -> Option<Request> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let mut words = lines.first()?.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let headers = lines[1..].iter().filter_map(|l| l.split_once(':'));
    let headers: BTreeMap<_, _> = headers.map(|(n, v)| (n.to_ascii_lowercase(), v.trim().to_owned())).collect();
    let length: usize = headers.get("content-length").map_or(0, |l| l.parse().unwrap());
    assert!(!headers.contains_key("transfer-encoding"), "uploads say their length");
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some(Request { method, path: path.to_owned(), query: query.to_owned(), headers, body })
}

/// Whether the connection goes on.
fn answer(stream: &mut BufReader<Box<dyn Stream>>, raw: &TcpStream, reply: &Reply, head: bool) -> bool {
    match reply.end {
        End::Reset => {
            socket2::SockRef::from(raw).set_linger(Some(Duration::ZERO)).unwrap();
            return false;
        }
        End::Silence => {
            wait_for_the_end(stream);
            return false;
        }
        _ => {}
    }
    let mut text = format!("HTTP/1.1 {} status\r\n", reply.status);
    if !reply.headers.iter().any(|(n, _)| n == "content-length") && reply.status != 204 {
        text.push_str(&format!("content-length: {}\r\n", reply.body.len()));
    }
    for (name, value) in reply.headers.iter().filter(|(_, v)| !v.is_empty()) {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    let body = if head { &[] } else { &reply.body[..] };
    let sent = match reply.end {
        End::Cut(most) | End::Hang(most) => &body[..most.min(body.len())],
        _ => body,
    };
    let stream_out = stream.get_mut();
    let written = stream_out.write_all(text.as_bytes()).and_then(|()| stream_out.write_all(sent));
    if written.and_then(|()| stream_out.flush()).is_err() {
        return false;
    }
    if let End::Hang(_) = reply.end {
        wait_for_the_end(stream);
    }
    reply.end == End::Whole
}

fn wait_for_the_end(stream: &mut impl Read) {
    while stream.read(&mut [0; 64]).is_ok_and(|n| n > 0) {}
}
