//! A server on a free port of the loopback interface, and clients that speak RESP to it.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;

use resp::Value;
use server::config::{Config, Invocation, Request, parse_args};
use server::node::Node;
use server::serve;

pub use crate::rig::bulk;
use crate::rig::{self, PATIENCE};

/// A server that runs until it is dropped or stopped.
pub struct TestServer {
    pub addr: SocketAddr,
    pub node: Option<Arc<Node>>,
    stop: Box<dyn Fn()>,
    thread: Option<JoinHandle<()>>,
}

impl TestServer {
    /// A server with its data in `dir`, with these flags besides those that a test needs.
    pub fn start(dir: &Path, flags: &[&str]) -> Self {
        Self::with_file(dir, None, flags)
    }

    /// Why a server does not start.
    pub fn refusal(dir: &Path, flags: &[&str]) -> String {
        let mut words = ["--port", "0", "--dir"].map(str::to_owned).to_vec();
        words.push(dir.display().to_string());
        words.extend(flags.iter().map(|word| (*word).to_owned()));
        serve::start(Config::load(&invocation(words)).unwrap()).err().expect("it is refused").to_string()
    }

    /// Starts one with a configuration file.
    pub fn with_file(dir: &Path, file: Option<&Path>, flags: &[&str]) -> Self {
        // Port 0 means no port: take one that is free now. Another test may be faster, hence the attempts.
        for _ in 0..50 {
            let port = free_port().to_string();
            let mut words: Vec<String> = file.iter().map(|file| file.display().to_string()).collect();
            words.extend(["--bind", "127.0.0.1", "--port", &port, "--dir"].map(str::to_owned));
            words.push(dir.display().to_string());
            words.extend(flags.iter().map(|word| (*word).to_owned()));
            match serve::start(Config::load(&invocation(words)).unwrap()) {
                Ok(running) => return Self::of(running),
                Err(error) => assert!(error.to_string().contains("in use"), "{error}"),
            }
        }
        panic!("no port was free");
    }

    fn of(running: serve::Running) -> Self {
        let (addr, stop) = (running.addresses()[0], Box::new(running.stopper()));
        let node = Some(Arc::clone(&running.node));
        let thread = std::thread::spawn(move || {
            running.wait();
            running.stop().unwrap();
        });
        Self { addr, node, stop, thread: Some(thread) }
    }

    pub fn node(&self) -> &Arc<Node> {
        self.node.as_ref().unwrap()
    }

    pub fn client(&self) -> Client {
        Client::new(self.addr)
    }

    pub fn client3(&self) -> Client {
        let mut client = self.client();
        assert!(matches!(client.call("HELLO 3"), Value::Map(_)));
        client
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.node.take();
        (self.stop)();
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join)
            && !std::thread::panicking()
        {
            panic!("the server did not stop well");
        }
    }
}

/// A port that is free now.
pub fn free_port() -> u16 {
    static LAST: AtomicU32 = AtomicU32::new(0);
    // Below those that the system gives to connections, of which one could have it before it is used.
    const FIRST: u32 = 11_000;
    const MANY: u32 = 20_000;
    loop {
        let offset = std::process::id().wrapping_mul(61).wrapping_add(LAST.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(FIRST + offset % MANY).unwrap();
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

fn invocation(words: Vec<String>) -> Invocation {
    match parse_args(words.into_iter().map(Into::into)) {
        Request::Serve(invocation) => invocation,
        Request::Help | Request::Version => panic!("flags that serve nothing"),
    }
}

/// A connection.
pub struct Client {
    pub wire: rig::Client<TcpStream>,
}

impl Client {
    pub fn new(addr: SocketAddr) -> Self {
        let socket = TcpStream::connect(addr).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_nodelay(true).unwrap();
        Self { wire: rig::Client::new(socket) }
    }

    /// Sends words without waiting for a reply.
    pub fn send(&mut self, words: &[&[u8]]) {
        self.wire.send(words);
    }

    /// Sends a line whose words are separated by blanks.
    pub fn post(&mut self, line: &str) {
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        self.send(&words);
    }

    /// The next reply; `None` at the end of the connection.
    pub fn next(&mut self) -> Option<Value> {
        self.wire.try_reply()
    }

    pub fn reply(&mut self) -> Value {
        self.next().expect("the server closed the connection")
    }

    /// Sends a line and waits for the reply.
    pub fn call(&mut self, line: &str) -> Value {
        self.post(line);
        self.reply()
    }

    /// The reply as text.
    pub fn text(&mut self, line: &str) -> String {
        let value = self.call(line);
        let bytes = value.as_bytes().unwrap_or_else(|| panic!("{line}: {value:?}"));
        String::from_utf8_lossy(bytes).into_owned()
    }

    /// The reply, which is an error.
    pub fn error(&mut self, line: &str) -> String {
        match self.call(line) {
            Value::Error(text) => String::from_utf8_lossy(&text).into_owned(),
            other => panic!("{line}: {other:?} is no error"),
        }
    }

    pub fn int(&mut self, line: &str) -> i64 {
        let value = self.call(line);
        value.as_int().unwrap_or_else(|| panic!("{line}: {value:?}"))
    }

    pub fn ok(&mut self, line: &str) {
        assert_eq!(self.call(line), simple("OK"), "{line}");
    }

    /// INFO's fields; checks that every line is a heading, a field or empty.
    pub fn info(&mut self, sections: &str) -> HashMap<String, String> {
        let text = self.text(format!("INFO {sections}").trim_end());
        let mut fields = HashMap::new();
        for line in text.split("\r\n").filter(|line| !line.is_empty() && !line.starts_with("# ")) {
            let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("not a field: {line}"));
            let before = fields.insert(name.to_owned(), value.to_owned());
            assert_eq!(before, None, "{name} stands twice");
        }
        fields
    }

    /// The id of the connection.
    pub fn id(&mut self) -> i64 {
        self.int("CLIENT ID")
    }

    /// Waits until the server has closed the connection; what still arrives is dropped.
    pub fn wait_closed(&mut self) {
        while self.next().is_some() {}
    }
}

/// Asks until the condition holds.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "in vain: {what}");
        // Whoever asks without a pause keeps threads of low priority from what is waited for.
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

pub fn simple(text: &str) -> Value {
    Value::Simple(text.as_bytes().to_vec())
}
