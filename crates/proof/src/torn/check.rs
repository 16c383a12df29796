//! A server on a crash state: does it start, has it kept its promise, does it go on?

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use crate::conn::command;
use crate::resp::Value;
use crate::server::{Fsync, Program, Server};

use super::build::build;
use super::fate::Choice;
use super::model::{self, Dbs};
use super::moment::Moment;
use super::promise::{Broken, Promise};

/// The database that the load leaves alone.
const PROBE_DB: &str = "15";
/// A value of several sectors.
const PROBE_BYTES: usize = 10_000;

/// What was wrong with a state.
#[derive(Debug)]
pub enum Fault {
    /// The server refused it, or could not go on.
    Failed(anyhow::Error),
    /// It has other data than it may have: what it has.
    Broken(Broken, Vec<Dbs>),
}

impl From<anyhow::Error> for Fault {
    fn from(error: anyhow::Error) -> Fault {
        Fault::Failed(error)
    }
}

/// What a state was found to be.
#[derive(Debug)]
pub struct Found {
    /// How many acts of each connection are there.
    pub kept: Vec<usize>,
}

/// How a state is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Look<'a> {
    /// The server.
    pub sut: &'a Program,
    /// When it makes writes durable.
    pub fsync: Fsync,
    /// How many connections there were.
    pub sides: usize,
    /// Whether it also takes writes, is stopped and started again.
    pub goes_on: bool,
}

/// Makes a state in `scratch` and looks at it.
pub fn look_at(
    view: Look<'_>,
    moment: &Moment<'_>,
    choice: &Choice,
    promise: &Promise,
    scratch: &Path,
) -> Result<Result<Found, Fault>> {
    loop {
        let dir = tempfile::tempdir_in(scratch)?;
        build(moment, choice, dir.path())?;
        match look(view, dir.path(), promise) {
            // Somebody else took the port between its choice and its use, which says nothing about the state.
            Err(Fault::Failed(error)) if format!("{error:#}").contains("Address already in use") => {}
            seen => return Ok(seen),
        }
    }
}

/// Starts a server on the state in `dir` and looks at all of it.
pub fn look(look: Look<'_>, dir: &Path, promise: &Promise) -> Result<Found, Fault> {
    let server = Server::start(look.sut, dir, Some(look.fsync)).context("it does not start")?;
    let mut conn = server.open()?;
    let there = model::read(&mut conn, look.sides).context("its data cannot be read")?;
    let digests: Vec<u64> = there.iter().map(Dbs::digest).collect();
    let kept = promise.judge(&digests).map_err(|broken| Fault::Broken(broken, there))?;
    if look.goes_on {
        go_on(look, server, dir, &digests).context("after a recovery that was as promised")?;
    } else {
        server.kill()?;
    }
    Ok(Found { kept })
}

/// It takes a write, stops, starts, and has that write and all the rest; then the same after a kill.
fn go_on(look: Look<'_>, server: Server, dir: &Path, digests: &[u64]) -> Result<()> {
    let value = vec![b'x'; PROBE_BYTES];
    write(&server, &[b"SET", b"probe", &value])?;
    server.stop().context("a stop")?;
    let server = Server::start(look.sut, dir, Some(look.fsync)).context("it does not start again")?;
    same(&server, look.sides, digests, &value).context("after a clean stop")?;
    write(&server, &[b"APPEND", b"probe", b"y"])?;
    server.kill()?;
    let server = Server::start(look.sut, dir, Some(look.fsync)).context("it does not start after a kill")?;
    same(&server, look.sides, digests, &[&value[..], b"y"].concat()).context("after a kill")
}

fn write(server: &Server, words: &[&[u8]]) -> Result<()> {
    let replies = server.open()?.pipeline(&[command(&["SELECT", PROBE_DB]), command(words)])?;
    match replies.iter().find(|reply| reply.is_error()) {
        Some(reply) => bail!("a write was answered with {reply}"),
        None => Ok(()),
    }
}

fn same(server: &Server, sides: usize, digests: &[u64], probe: &[u8]) -> Result<()> {
    let mut conn = server.open()?;
    let now: Vec<u64> = model::read(&mut conn, sides)?.iter().map(Dbs::digest).collect();
    ensure!(now == digests, "the data of before is not there again");
    let replies = conn.pipeline(&[command(&["SELECT", PROBE_DB]), command(&["GET", "probe"])])?;
    ensure!(replies[1] == Value::Bulk(probe.to_vec()), "a write that was answered is not there");
    Ok(())
}
