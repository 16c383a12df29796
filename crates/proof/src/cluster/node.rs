//! The nodes of a cluster: real processes, each with its own directory, that are killed, stopped, paused and started again.

use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::conn::Conn;
use crate::server::{Fsync, Pause, Program, Server};

/// A node that is not ready by then, or no member, is a failure.
const READY: Duration = Duration::from_secs(60);
/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Where a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat {
    /// Where clients reach it.
    pub clients: SocketAddr,
    /// Where it listens for other nodes.
    pub nodes: SocketAddr,
    /// Where others are told to dial it.
    pub announced: SocketAddr,
}

/// How nodes are started.
#[derive(Clone, Debug)]
pub struct Start<'a> {
    /// The program of each, where it is to run.
    pub programs: Vec<Program>,
    /// Where each is.
    pub seats: Vec<Seat>,
    /// Their directories are made below this one.
    pub dir: &'a Path,
    /// When a write is durable.
    pub fsync: Fsync,
    /// Whether they know each other.
    pub joins: bool,
}

/// One of them.
#[derive(Debug)]
pub struct Node {
    program: Program,
    seat: Seat,
    dir: PathBuf,
    fsync: Fsync,
    server: Option<Server>,
}

/// Starts all, and waits until each is a member. The first founds the group, so it joins nobody the first time.
pub fn start_all(start: &Start<'_>) -> Result<Vec<Node>> {
    let count = start.seats.len();
    let passphrase = start.dir.join("passphrase");
    if start.joins {
        write_passphrase(&start.programs[0], &passphrase)?;
    }
    let mut nodes = Vec::new();
    for (index, (program, &seat)) in start.programs.iter().zip(&start.seats).enumerate() {
        let dir = start.dir.join(format!("node{index}"));
        std::fs::create_dir(&dir)?;
        let mut program = program.with(&["--protected-mode", "no"]);
        if start.joins {
            let port = |address: SocketAddr| address.port().to_string();
            program = program.with(&["--cluster-port", &port(seat.nodes), "--region", "eu"]);
            program = program.with(&["--cluster-announce-ip", &seat.announced.ip().to_string()]);
            program = program.with(&["--cluster-announce-bus-port", &port(seat.announced)]);
            program = program.with(&["--cluster-passphrase-file", &passphrase.to_string_lossy()]);
        }
        let others = (0..count).filter(|&other| other != index).map(|other| start.seats[other].announced.to_string());
        let joins: Vec<String> = std::iter::once("--join".to_owned()).chain(others).collect();
        let joins: Vec<&str> = joins.iter().map(String::as_str).collect();
        let later = if start.joins { program.with(&joins) } else { program.clone() };
        let first = if index == 0 { program } else { later.clone() };
        let mut node = Node { program: first, seat, dir, fsync: start.fsync, server: None };
        node.start()?;
        node.wait()?;
        node.program = later;
        nodes.push(node);
    }
    if start.joins {
        nodes.iter().try_for_each(|node| node.wait_for_members(count))?;
    }
    Ok(nodes)
}

fn write_passphrase(sut: &Program, path: &Path) -> Result<()> {
    let output = sut.tool(&["gen-passphrase"]).output().context("make a passphrase")?;
    ensure!(output.status.success(), "{} makes no passphrase", sut.display());
    let mut file = std::fs::File::options().create_new(true).write(true).mode(0o600).open(path)?;
    Ok(file.write_all(&output.stdout)?)
}

impl Node {
    /// Starts it, if it does not run.
    pub fn start(&mut self) -> Result<()> {
        if self.server.is_none() {
            self.server = Some(Server::launch_at(&self.program, self.seat.clients, &self.dir, Some(self.fsync))?);
        }
        Ok(())
    }

    /// Waits until it answers.
    pub fn wait(&mut self) -> Result<()> {
        self.running()?.wait_ready(READY).with_context(|| format!("the node at {}", self.seat.clients))
    }

    /// kill -9.
    pub fn kill(&mut self) -> Result<()> {
        self.server.take().map_or(Ok(()), Server::kill)
    }

    /// SIGTERM.
    pub fn stop(&mut self) -> Result<()> {
        self.server.take().map_or(Ok(()), Server::stop)
    }

    /// Lets it stand still, or go on.
    pub fn pause(&mut self, pause: Pause) -> Result<()> {
        self.server.as_ref().map_or(Ok(()), |server| server.pause(pause))
    }

    /// Waits until it is a member of a group of so many.
    fn wait_for_members(&self, count: usize) -> Result<()> {
        let mut conn = self.open()?;
        let began = Instant::now();
        loop {
            let info = conn.call(&["INFO", "replication"])?.text();
            let field =
                |name: &str| info.lines().find_map(|line| line.trim_end().strip_prefix(name)).unwrap_or_default();
            let members = field("group_members:").split(',').filter(|member| !member.is_empty()).count();
            if field("group_role:") == "member" && members == count {
                return Ok(());
            }
            ensure!(
                began.elapsed() < READY,
                "the node at {} is no member of all after {READY:?}:\n{info}",
                self.seat.clients
            );
            std::thread::sleep(LOOK);
        }
    }

    /// A connection of our own.
    pub fn open(&self) -> Result<Conn> {
        Conn::connect(self.seat.clients)
    }

    /// Its directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its process, which must be there.
    pub fn running(&mut self) -> Result<&mut Server> {
        self.server.as_mut().with_context(|| format!("the node at {} does not run", self.seat.clients))
    }

    /// An error if its process has ended by itself.
    pub fn look(&mut self) -> Result<()> {
        if let Some(server) = &mut self.server {
            ensure!(server.is_alive(), "the node at {} has died; it said:\n{}", self.seat.clients, server.tail());
        }
        Ok(())
    }
}
