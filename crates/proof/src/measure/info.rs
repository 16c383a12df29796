//! What a server says about itself, and its checkpoints as they are asked for: BGREWRITEAOF, BGSAVE.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::conn::Conn;

/// A checkpoint that takes longer is given up.
const PATIENCE: Duration = Duration::from_secs(900);

/// How often it is asked whether one goes on.
const LOOK: Duration = Duration::from_millis(10);

/// A number of INFO.
pub fn number(conn: &mut Conn, section: &str, name: &str) -> Result<Option<f64>> {
    let info = conn.call(&["INFO", section])?.text();
    let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    Ok(value.and_then(|value| value.trim().parse().ok()))
}

/// How many keys there are.
pub fn dbsize(conn: &mut Conn) -> Result<u64> {
    let reply = conn.call(&["DBSIZE"])?;
    reply.int().and_then(|n| n.try_into().ok()).with_context(|| format!("DBSIZE was answered {reply}"))
}

/// Waits until nothing is written in the background: no checkpoint, no rewrite, no snapshot.
pub fn settle(conn: &mut Conn) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let info = conn.call(&["INFO", "persistence"])?.text();
        let is_busy = |name: &str| info.lines().any(|line| line.trim() == format!("{name}:1"));
        if !["aof_rewrite_in_progress", "aof_rewrite_scheduled", "rdb_bgsave_in_progress"].into_iter().any(is_busy) {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "it is still written in the background after {PATIENCE:?}");
        std::thread::sleep(LOOK);
    }
}

/// Waits until a section has this line; answers the section as it is then.
pub fn until(conn: &mut Conn, section: &str, line: &str) -> Result<String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let info = conn.call(&["INFO", section])?.text();
        if info.lines().any(|other| other.trim() == line) {
            return Ok(info);
        }
        ensure!(Instant::now() < deadline, "INFO {section} does not have {line} after {PATIENCE:?}");
        std::thread::sleep(LOOK);
    }
}

/// Asks for a checkpoint, waits for its end and answers how long that was. It must have succeeded.
pub fn checkpoint(conn: &mut Conn, command: &str) -> Result<Duration> {
    settle(conn)?;
    let began = Instant::now();
    let reply = conn.call(&[command])?;
    if reply.is_error() {
        bail!("{command} was answered {reply}");
    }
    settle(conn)?;
    let took = began.elapsed();
    let status = if command == "BGSAVE" { "rdb_last_bgsave_status" } else { "aof_last_bgrewrite_status" };
    let info = conn.call(&["INFO", "persistence"])?.text();
    ensure!(info.lines().any(|line| line.trim() == format!("{status}:ok")), "{command} failed:\n{info}");
    Ok(took)
}
