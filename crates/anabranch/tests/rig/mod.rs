//! A server process, and a client that asks it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long anything may take before a test fails.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Ends its process, however the test ends.
pub struct Running(Child);

impl Running {
    /// Ends it with SIGKILL; one that has ended already needs none.
    pub fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Starts a server on a free port.
pub fn start(dir: &Path, args: &[&str]) -> (Running, u16) {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let mut command = Command::new(env!("CARGO_BIN_EXE_anabranch"));
    command.args(["serve", "--bind", "127.0.0.1", "--port", &port.to_string(), "--dir"]).arg(dir);
    command.args(["--io-threads", "2", "--appendfsync", "no"]).args(args);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).env_remove("NOTIFY_SOCKET");
    let running = Running(command.spawn().unwrap());
    let end = Instant::now() + PATIENCE;
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < end, "the server does not listen");
        std::thread::yield_now();
    }
    (running, port)
}

/// A connection.
pub struct Client(BufReader<TcpStream>);

impl Client {
    /// Connects.
    pub fn new(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(BufReader::new(stream))
    }

    /// Sends a command and reads its reply; `None` once the connection is broken.
    pub fn ask(&mut self, words: &[&[u8]]) -> Option<Vec<u8>> {
        let mut frame = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            frame.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            frame.extend_from_slice(word);
            frame.extend_from_slice(b"\r\n");
        }
        self.0.get_mut().write_all(&frame).ok()?;
        self.reply()
    }

    /// Reads a reply: a line, a bulk, or the elements of an array, each with a space behind it.
    pub fn reply(&mut self) -> Option<Vec<u8>> {
        let mut line = Vec::new();
        self.0.read_until(b'\n', &mut line).ok().filter(|_| line.ends_with(b"\r\n"))?;
        line.truncate(line.len() - 2);
        let number = |digits: &[u8]| std::str::from_utf8(digits).unwrap().parse::<i64>().unwrap();
        if let Some(count) = line.strip_prefix(b"*") {
            let mut all = Vec::new();
            for _ in 0..number(count) {
                all.extend(self.reply()?);
                all.push(b' ');
            }
            return Some(all);
        }
        let Some(len) = line.strip_prefix(b"$") else { return Some(line) };
        let Ok(len) = usize::try_from(number(len)) else { return Some(b"nil".to_vec()) };
        let mut bulk = vec![0; len + 2];
        self.0.read_exact(&mut bulk).ok()?;
        bulk.truncate(len);
        Some(bulk)
    }

    /// The same for a command of plain words, on a connection that holds.
    pub fn say(&mut self, line: &str) -> Vec<u8> {
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        self.ask(&words).unwrap_or_else(|| panic!("no reply to {line}"))
    }
}

/// A figure of a keyspace; `None` once the connection is broken.
pub fn figure(connection: &mut Client, keyspace: &str, name: &str) -> Option<u64> {
    let info = String::from_utf8(connection.ask(&[b"INFO", b"keyspaces"])?).unwrap();
    let line = info.lines().find_map(|line| line.strip_prefix(&format!("keyspace_{keyspace}:")));
    let line = line.unwrap_or_else(|| panic!("no {keyspace} in {info}"));
    let field = line.split(',').find_map(|field| field.strip_prefix(&format!("{name}=")));
    Some(field.unwrap_or_else(|| panic!("no {name} in {line}")).parse().unwrap())
}
