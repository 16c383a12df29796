//! A server that is measured: how it is started, and where clients reach it.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use crate::conn::Conn;
use crate::proxy::{self, Bug};
use crate::server::{Fsync, Program, Server};

/// A server with much data may take so long to start.
pub const START_PATIENCE: Duration = Duration::from_secs(600);

/// A program, perhaps with a bug planted between it and its clients.
#[derive(Clone, Debug)]
pub struct Subject {
    pub(super) program: Program,
    bug: Option<Bug>,
}

impl Subject {
    /// An honest one.
    pub fn new(program: Program) -> Subject {
        Subject { program, bug: None }
    }

    /// The same with a bug on the wire, which a measurement must notice.
    pub fn lying(&self, bug: Bug) -> Subject {
        Subject { bug: Some(bug), ..self.clone() }
    }

    /// Whether it is a Redis.
    pub fn is_redis(&self) -> bool {
        self.program.is_redis()
    }

    /// With a bound on memory, unless it is a Redis, which could not hold more.
    pub fn bounded(&self, maxmemory: Option<u64>) -> Subject {
        match maxmemory {
            Some(bytes) if !self.is_redis() => {
                Subject { program: self.program.with(&["--maxmemory", &bytes.to_string()]), ..self.clone() }
            }
            _ => self.clone(),
        }
    }

    /// Starts it under `everysec` with its data in `dir`, and waits until it is ready.
    pub fn start(&self, dir: &Path) -> Result<Running> {
        let mut running = self.launch(dir)?;
        running.server.wait_ready(START_PATIENCE)?;
        Ok(running)
    }

    /// Starts it and does not wait.
    pub fn launch(&self, dir: &Path) -> Result<Running> {
        let server = Server::launch(&self.program, dir, Some(Fsync::Everysec))?;
        let port = match self.bug {
            Some(bug) => proxy::start(server.port(), bug)?,
            None => server.port(),
        };
        Ok(Running { server, port })
    }
}

/// A running one.
#[derive(Debug)]
pub struct Running {
    pub(super) server: Server,
    /// Where clients connect.
    pub(super) port: u16,
}

impl Running {
    pub(super) fn open(&self) -> Result<Conn> {
        Conn::open(self.port)
    }
}
