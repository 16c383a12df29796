//! A real redis-server beside ours, for tests that ask both.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::harness::Client;

/// A running redis-server; it ends with this value.
pub struct Oracle {
    pub addr: SocketAddr,
    child: Child,
    _dir: tempfile::TempDir,
    /// Kept open, so that the server's log lines have somewhere to go.
    _log: BufReader<ChildStdout>,
}

impl Oracle {
    /// Starts one with these flags and waits until it is ready. `None`, with a word on why, if there is none installed;
    /// where skipping is forbidden that is a failure.
    pub fn start(flags: &[&str]) -> Option<Self> {
        for _ in 0..50 {
            let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let addr = free.local_addr().unwrap();
            drop(free);
            let dir = tempfile::tempdir().unwrap();
            let port = addr.port().to_string();
            let spawned = Command::new("redis-server")
                .args(["--bind", "127.0.0.1", "--port", &port, "--save", "", "--daemonize", "no"])
                .args(flags)
                .current_dir(dir.path())
                .stdout(Stdio::piped())
                .spawn();
            let mut child = match spawned {
                Ok(child) => child,
                Err(error) => {
                    assert!(std::env::var_os("FORBID_SKIPS").is_none(), "redis-server does not start: {error}");
                    eprintln!("SKIPPED: redis-server does not start: {error}");
                    return None;
                }
            };
            let mut log = BufReader::new(child.stdout.take().unwrap());
            let mut line = String::new();
            while !line.contains("eady to accept connections") {
                line.clear();
                if log.read_line(&mut line).unwrap() == 0 {
                    break;
                }
            }
            if !line.is_empty() {
                return Some(Self { addr, child, _dir: dir, _log: log });
            }
            // Somebody else took the port meanwhile.
            child.wait().unwrap();
        }
        panic!("no port was free for redis-server");
    }

    pub fn client(&self) -> Client {
        Client::new(self.addr)
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        // One that has ended already needs no killing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
