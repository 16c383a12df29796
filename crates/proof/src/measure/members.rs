//! Nodes of one group on the loopback interface, with a proxy before each: every connection between two nodes passes one of them, where
//! its bytes take their time and are counted.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::keys;
use super::subject::START_PATIENCE;
use crate::cluster::node::{Node, Start, start_all};
use crate::cluster::space::Space;
use crate::conn::Conn;
use crate::lag::Lag;
use crate::resp::Value;
use crate::server::{Fsync, Program};

/// All of them.
pub struct Members {
    /// The nodes.
    pub nodes: Vec<Node>,
    lags: Vec<Lag>,
}

impl Members {
    /// Starts so many under `everysec`, so far from each other.
    pub fn start(program: &Program, count: usize, one_way: Duration, dir: &Path) -> Result<Members> {
        let space = Space::together(count)?;
        let mut seats: Vec<_> = (0..count).map(|node| space.seat(node)).collect();
        let mut lags = Vec::new();
        for seat in &mut seats {
            let lag = Lag::start(seat.nodes, one_way)?;
            seat.announced = (Ipv4Addr::LOCALHOST, lag.port()).into();
            lags.push(lag);
        }
        let programs = vec![program.clone(); count];
        let nodes = start_all(&Start { programs, seats, dir, fsync: Fsync::Everysec, joins: true })?;
        Ok(Members { nodes, lags })
    }

    /// Bytes that have passed between nodes, in both directions.
    pub fn carried(&self) -> u64 {
        self.lags.iter().map(Lag::carried).sum()
    }

    /// Waits until a node has the key's value of this version; `look` is how often it is asked.
    pub fn wait_for(&self, node: usize, (index, version): (u64, u32), look: Duration) -> Result<()> {
        let (mut conn, began) = (self.nodes[node].open()?, Instant::now());
        while !has(&mut conn, index, version)? {
            ensure!(
                began.elapsed() < START_PATIENCE,
                "node {node} has not heard of key {index} after {START_PATIENCE:?}"
            );
            std::thread::sleep(look);
        }
        Ok(())
    }

    /// An error unless a node has every one of these keys, with its value of this version.
    pub fn check(&self, node: usize, all: std::ops::Range<u64>, step: usize, version: u32) -> Result<()> {
        let mut conn = self.nodes[node].open()?;
        for index in all.step_by(step) {
            let reply = conn.call(&["GET", &keys::key(index)])?;
            let found = keys::version(index, &reply)?;
            ensure!(found == version, "node {node} has version {found} of key {index}, not {version}");
        }
        Ok(())
    }

    /// Stops all.
    pub fn stop(mut self) -> Result<()> {
        self.nodes.iter_mut().try_for_each(Node::stop)
    }
}

fn has(conn: &mut Conn, index: u64, version: u32) -> Result<bool> {
    let reply = conn.call(&["GET", &keys::key(index)])?;
    Ok(reply == Value::Bulk(keys::value(index, version).to_vec()))
}
