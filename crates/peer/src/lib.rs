//! A real redis-server beside the tests that compare with it. Only tests depend on this crate, and it starts the server and
//! no more: what is said to it, and how replies are compared, is each test's own.
//!
//! ```text
//!   Redis::start(Listen, flags) ─▶ redis-server in a temporary directory ─▶ socket() or addr()
//!        └─ None where none is installed: the test is skipped, or fails if skipping is forbidden (skip)
//! ```

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

/// Ends the server with the thread that started it (util-linux): a test that is killed must not leave its server behind.
const SETPRIV: &str = "/usr/bin/setpriv";

/// Name of the unix socket in the server's directory.
const SOCKET: &str = "redis.sock";

/// Ports that are tried: between finding a free one and its use somebody else may take it.
const PORTS: u32 = 50;

/// Where a server listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listen {
    /// On a unix socket only.
    Unix,
    /// On a unix socket and on a free port of the loopback interface.
    Tcp,
}

/// A redis-server in a directory of its own; it is killed, and the directory removed, when this is dropped.
#[derive(Debug)]
pub struct Redis {
    child: Child,
    addr: Option<SocketAddr>,
    dir: tempfile::TempDir,
    /// Kept open, so that the server's log lines have somewhere to go.
    _log: BufReader<ChildStdout>,
}

impl Redis {
    /// Starts one with these flags and waits until it is ready. `None`, with a word on why, where none is installed.
    ///
    /// # Panics
    /// If it is installed and does not start, and where skipping is forbidden: see [`skip`].
    #[must_use]
    pub fn start(listen: Listen, flags: &[&str]) -> Option<Self> {
        for _ in 0..PORTS {
            let addr = (listen == Listen::Tcp).then(free_port);
            let dir = tempfile::tempdir().expect("a temporary directory can be made");
            let mut child = match spawn(dir.path(), addr, flags) {
                Ok(child) => child,
                Err(error) => {
                    skip(&format!("redis-server does not start: {error}"));
                    return None;
                }
            };
            let mut log = BufReader::new(child.stdout.take().expect("it was piped"));
            let said = until_ready(&mut log);
            if said.is_ready {
                return Some(Self { child, addr, dir, _log: log });
            }
            child.wait().expect("a child can be waited for");
            assert!(addr.is_some() && said.log.contains("in use"), "redis-server ended: {}", said.log);
        }
        panic!("no port was free for redis-server")
    }

    /// The unix socket that it listens on.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.dir.path().join(SOCKET)
    }

    /// The address that it listens on.
    ///
    /// # Panics
    /// If it was not started with [`Listen::Tcp`].
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr.expect("it listens on a port")
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // One that has ended by itself needs no killing; its test noticed at the next reply.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Says that a test is skipped, and why.
///
/// # Panics
/// Where `FORBID_SKIPS` is set: there everything that a test needs is installed beforehand, and a skip would hide that it is not.
pub fn skip(why: &str) {
    assert!(std::env::var_os("FORBID_SKIPS").is_none(), "{why}");
    eprintln!("SKIPPED: {why}");
}

fn free_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("the loopback interface has free ports");
    listener.local_addr().expect("a bound socket has an address")
}

fn spawn(dir: &Path, addr: Option<SocketAddr>, flags: &[&str]) -> std::io::Result<Child> {
    // setpriv itself always starts, so it cannot say whether there is a server.
    Command::new("redis-server").arg("--version").stdout(Stdio::null()).status()?;
    let mut command = if Path::new(SETPRIV).exists() {
        let mut command = Command::new(SETPRIV);
        command.args(["--pdeathsig", "KILL", "redis-server"]);
        command
    } else {
        Command::new("redis-server")
    };
    let port = addr.map_or(0, |addr| addr.port()).to_string();
    if addr.is_some() {
        command.args(["--bind", "127.0.0.1"]);
    }
    // Whoever compares defaults wants the others as they are.
    command
        .args(["--port", &port, "--unixsocket", SOCKET, "--daemonize", "no"])
        .args(flags)
        .current_dir(dir)
        .stdout(Stdio::piped())
        .spawn()
}

/// What a server said while it started.
struct Said {
    log: String,
    is_ready: bool,
}

/// Reads the log until the server says that it is ready, or ends.
fn until_ready(log: &mut impl BufRead) -> Said {
    let mut said = Said { log: String::new(), is_ready: false };
    loop {
        let from = said.log.len();
        let read = log.read_line(&mut said.log).expect("its log can be read");
        said.is_ready = said.log[from..].contains("eady to accept connections");
        if said.is_ready || read == 0 {
            return said;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::os::unix::net::UnixStream;

    use super::*;

    fn ping(mut stream: impl Read + Write) {
        stream.write_all(b"PING\r\n").unwrap();
        let mut reply = [0; 7];
        stream.read_exact(&mut reply).unwrap();
        assert_eq!(&reply, b"+PONG\r\n");
    }

    #[test]
    fn it_serves_where_it_says_and_ends_with_its_value() {
        let Some(redis) = Redis::start(Listen::Tcp, &["--maxclients", "50"]) else { return };
        ping(TcpStream::connect(redis.addr()).unwrap());
        ping(UnixStream::connect(redis.socket()).unwrap());
        let (addr, socket) = (redis.addr(), redis.socket());
        drop(redis);
        assert!(TcpStream::connect(addr).is_err());
        assert!(!socket.exists());
    }

    #[test]
    fn flags_that_it_refuses_are_no_reason_to_skip() {
        let Some(_installed) = Redis::start(Listen::Unix, &[]) else { return };
        let started = std::panic::catch_unwind(|| Redis::start(Listen::Unix, &["--no-such-directive", "1"]));
        assert!(started.is_err());
    }

    #[test]
    fn a_server_is_ready_only_when_it_says_so() {
        let said = until_ready(&mut &b"starting\nReady to accept connections\nmore\n"[..]);
        assert!(said.is_ready && !said.log.contains("more"));
        let said = until_ready(&mut &b"starting\nAddress already in use\n"[..]);
        assert!(!said.is_ready && said.log.contains("in use"));
    }
}
