//! Mutated bytes into every decoder: the server's own, linked in (nothing else of `proof` touches them), and those of a
//! running server through its socket. A panic, a death or memory without bounds is a finding.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::conn::{Conn, encode};
use crate::rng::Rng;
use crate::server::{Fsync, Program, Server};

mod seeds;

/// Memory that may be used beyond what there was before: inputs are below 64 KiB, so this is already generous.
const MEMORY: u64 = 256 * 1024 * 1024;

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long, for each target.
    pub seconds: u64,
    /// Where the random stream starts.
    pub seed: u64,
    /// Only targets whose name contains this.
    pub only: Option<String>,
}

type Target = fn(&[u8]);

/// Decoders that are linked in.
const LINKED: &[(&str, Target)] = &[("resp", resp::fuzz_decoder), ("effect", effect), ("record", record), ("log", log)];

/// Runs all targets.
pub fn run(sut: &Program, options: &Options) -> Result<bool> {
    let wanted = |name: &str| options.only.as_ref().is_none_or(|only| name.contains(only.as_str()));
    for (name, target) in LINKED.iter().filter(|(name, _)| wanted(name)) {
        linked(name, *target, options)?;
    }
    for (name, round) in [("restore", restore as Round), ("wire", wire)] {
        if wanted(name) {
            over_the_wire(name, round, sut, options)?;
        }
    }
    Ok(true)
}

/// Changes a few bytes, cuts, repeats or joins.
fn mutate(rng: &mut Rng, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = rng.pick(seeds).clone();
    for _ in 0..rng.between(1, 6) {
        if bytes.is_empty() {
            bytes.push(rng.bits() as u8);
        }
        let at = rng.below(bytes.len());
        match rng.below(8) {
            0 => bytes[at] = rng.bits() as u8,
            1 => bytes[at] ^= 1 << rng.below(8),
            2 => bytes[at] = *rng.pick(&[0, 1, 0x7f, 0x80, 0xff, b'\r', b'\n', b'*', b'$', b'-', b'9']),
            3 => bytes.truncate(at),
            4 => bytes.insert(at, rng.bits() as u8),
            5 => {
                let end = (at + rng.between(1, 16)).min(bytes.len());
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            6 => bytes.extend(rng.pick(seeds).iter().copied()),
            _ => {
                let end = (at + 8).min(bytes.len());
                let wide = rng.pick(&[u64::MAX, 0, 1 << 31, 1 << 32, i64::MAX as u64, 1 << 20]).to_le_bytes();
                bytes[at..end].copy_from_slice(&wide[..end - at]);
            }
        }
        bytes.truncate(64 * 1024);
    }
    bytes
}

fn linked(name: &str, target: Target, options: &Options) -> Result<()> {
    let seeds = seeds::of(name)?;
    let mut rng = Rng::new(options.seed);
    let (deadline, mut inputs) = (Instant::now() + Duration::from_secs(options.seconds), 0u64);
    let before = crate::bench::resident(std::process::id())?;
    while Instant::now() < deadline {
        let bytes = mutate(&mut rng, &seeds);
        if std::panic::catch_unwind(|| target(&bytes)).is_err() {
            bail!("fuzz {name}: a panic with these bytes: {}", crate::resp::escape(&bytes));
        }
        inputs += 1;
    }
    let grown = crate::bench::resident(std::process::id())?.saturating_sub(before);
    ensure!(grown < MEMORY, "fuzz {name}: memory grew by {grown} bytes");
    println!("fuzz {name}: {inputs} inputs from {} seeds, no panic, memory grew by {} KiB", seeds.len(), grown / 1024);
    Ok(())
}

/// A batch and all its effects: none of them may ask for more memory or time than its limits say.
fn effect(bytes: &[u8]) {
    if let Ok(batch) = effect::Batch::decode(bytes) {
        effects_of(&batch);
    }
}

/// The same of all the batches of a record.
fn record(bytes: &[u8]) {
    let mut batches = effect::Batches::decode(bytes);
    while let Some(Ok(batch)) = batches.next() {
        assert!(batches.offset() <= bytes.len());
        effects_of(&batch);
    }
}

fn effects_of(batch: &effect::Batch<'_>) {
    use effect::limits::{MAX_RUN, MAX_STRING_BYTES};
    use effect::{Op, Patch};
    for effect in batch.effects().map_while(Result::ok) {
        match effect.op {
            Op::Patch(Patch::Write { offset, bytes }) => {
                assert!(offset.saturating_add(bytes.len() as u64) <= MAX_STRING_BYTES, "write at {offset}");
            }
            Op::Patch(Patch::Bits { offset, .. }) => assert!(offset / 8 < MAX_STRING_BYTES, "bits at {offset}"),
            Op::Cut(runs) => runs.iter().for_each(|(_, len)| assert!(len <= MAX_RUN, "a run of {len}")),
            _ => {}
        }
    }
}

/// A segment in a folder of its own: verified, and opened by nobody.
fn log(bytes: &[u8]) {
    let Ok(dir) = tempfile::tempdir() else { return };
    let name = seeds::SEGMENT;
    if std::fs::write(dir.path().join(name), bytes).is_ok() {
        // Damage is what the report is for; an error is as good.
        let _ = wal::check(dir.path(), wal::Position::START, wal::Position::START);
    }
}

type Round = fn(&Server, &mut Rng, &[Vec<u8>]) -> Result<u64>;

fn over_the_wire(name: &str, round: Round, sut: &Program, options: &Options) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut server = Server::start(sut, dir.path(), Some(Fsync::No))?;
    let seeds = match name {
        "restore" => seeds::dumps(&server)?,
        _ => seeds::frames(),
    };
    let mut rng = Rng::new(options.seed);
    let (deadline, mut inputs) = (Instant::now() + Duration::from_secs(options.seconds), 0u64);
    let before = crate::bench::resident(server.pid())?;
    while Instant::now() < deadline {
        inputs += round(&server, &mut rng, &seeds)
            .with_context(|| format!("fuzz {name}, after {inputs} inputs, seed {}", options.seed))?;
        ensure!(server.is_alive(), "fuzz {name}: the server died; it said:\n{}", server.tail());
    }
    let grown = crate::bench::resident(server.pid())?.saturating_sub(before);
    ensure!(grown < MEMORY, "fuzz {name}: the server's memory grew by {grown} bytes");
    println!(
        "fuzz {name}: {inputs} inputs from {} seeds, the server lives, its memory grew by {} KiB",
        seeds.len(),
        grown / 1024
    );
    Ok(())
}

/// A hundred broken payloads with right checksums; what is accepted is read whole.
fn restore(server: &Server, rng: &mut Rng, seeds: &[Vec<u8>]) -> Result<u64> {
    let mut conn = server.open()?;
    for _ in 0..100 {
        let mut payload = mutate(rng, seeds);
        if !rng.one_in(10) && payload.len() > 8 {
            let at = payload.len() - 8;
            let sum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Redis, &payload[..at]);
            payload[at..].copy_from_slice(&sum.to_le_bytes());
        }
        let words: [&[u8]; 5] = [b"RESTORE", b"k", b"0", &payload, b"REPLACE"];
        if !conn.call(&words)?.is_error() {
            for question in
                [&["OBJECT", "ENCODING", "k"][..], &["DUMP", "k"], &["SORT", "k", "BY", "nosort"], &["HGETALL", "k"]]
            {
                conn.call(question)?;
            }
            conn.call(&["ZRANGE", "k", "0", "-1", "WITHSCORES"])?;
            conn.call(&["DEL", "k"])?;
        }
    }
    Ok(100)
}

/// Broken frames on a connection of their own; another connection must be served afterwards.
fn wire(server: &Server, rng: &mut Rng, seeds: &[Vec<u8>]) -> Result<u64> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port()))?;
    let bytes = mutate(rng, seeds);
    // It may close while we still write.
    let _ = stream.write_all(&bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let mut replies = Vec::new();
    let _ = stream.take(1 << 20).read_to_end(&mut replies);
    Conn::open(server.port())?.call(&["PING"])?;
    Ok(1)
}

/// The frames of a few commands, one after the other.
pub(crate) fn frames_of(commands: &[&[&str]]) -> Vec<u8> {
    let mut out = Vec::new();
    commands.iter().for_each(|c| encode(c, &mut out));
    out
}
