//! Work in the background beside which latencies are taken: how it is begun, and from when to when it went on.

use std::fs::read_to_string;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::conn::encode;
use crate::measure::subject::Running;
use crate::measure::{info, keys};
use crate::resp::Value;
use crate::rng::Rng;
use crate::server::Program;

/// What takes longer is given up.
const PATIENCE: Duration = Duration::from_secs(900);

/// How often it is asked whether it goes on.
const LOOK: Duration = Duration::from_millis(2);

/// Bytes of a value that is only there to be deleted.
const GONE_BYTES: usize = 16 << 10;

/// Bytes of such values, at least, and for each key of the load: much more than all rows of that key. A server compacts its rows
/// when half of them and 16 MiB are dead.
const GONE_LEAST: u64 = 32 << 20;
const GONE_PER_KEY: u64 = 400;

/// One kind.
#[derive(Debug)]
pub enum Work {
    /// A checkpoint, or a rewrite of Redis' log.
    Rewrite,
    /// Redis' other kind.
    Snapshot,
    /// A compaction of all rows. There is no command for it: it comes behind a checkpoint when much of what is at rest is dead.
    Compaction,
    /// A whole backup to a directory: where all of them go, and the text of the public key.
    Backup(TempDir, String),
}

impl Work {
    /// All that a server of this program does.
    pub fn all(program: &Program) -> Result<Vec<Work>> {
        if program.is_redis() {
            return Ok(vec![Work::Rewrite, Work::Snapshot]);
        }
        let dir = tempfile::tempdir()?;
        let key = dir.path().join("key");
        let made = program.tool(&["backup-key"]).arg(&key).output().context("run backup-key")?;
        ensure!(made.status.success(), "backup-key: {}", String::from_utf8_lossy(&made.stderr));
        let public = read_to_string(key.with_extension("pub")).context("the public key")?;
        Ok(vec![Work::Rewrite, Work::Compaction, Work::Backup(dir, public.trim().to_owned())])
    }

    pub fn name(&self) -> &'static str {
        match self {
            Work::Rewrite => "BGREWRITEAOF",
            Work::Snapshot => "BGSAVE",
            Work::Compaction => "compaction",
            Work::Backup(..) => "BACKUP TO",
        }
    }

    /// Does what makes it possible, beside a load of so many keys.
    pub fn prepare(&self, running: &Running, keys: u64) -> Result<()> {
        if !matches!(self, Work::Compaction) {
            return Ok(());
        }
        let count = GONE_LEAST.max(keys * GONE_PER_KEY).div_ceil(GONE_BYTES as u64);
        let ok = Value::Simple(b"OK".to_vec());
        let mut value = vec![0; GONE_BYTES];
        let mut rng = Rng::new(keys);
        value.fill_with(|| rng.bits() as u8);
        keys::each(running.port, 0..count, &ok, |index, out| {
            encode(&[&b"SET"[..], gone(index).as_bytes(), &value], out);
        })?;
        info::checkpoint(&mut running.open()?, "BGREWRITEAOF")?;
        keys::each(running.port, 0..count, &Value::Int(1), |index, out| encode(&["DEL", &gone(index)], out))
    }

    /// Has it done; from when to when it went on.
    pub fn carry_out(&self, running: &Running) -> Result<(Instant, Instant)> {
        let mut conn = running.open()?;
        let began = Instant::now();
        match self {
            Work::Rewrite | Work::Snapshot => info::checkpoint(&mut conn, self.name()).map(drop)?,
            Work::Compaction => return compaction(running),
            Work::Backup(dir, recipient) => {
                let url = dir.path().join("backups").to_string_lossy().into_owned();
                let reply = conn.call(&["BACKUP", "TO", &url, "RECIPIENT", recipient, "FULL"])?;
                ensure!(!reply.is_error(), "BACKUP TO was answered {reply}");
                let persistence = info::until(&mut conn, "persistence", "backup_in_progress:0")?;
                ensure!(
                    persistence.lines().any(|line| line.trim() == "backup_last_status:ok"),
                    "the backup failed:\n{persistence}"
                );
            }
        }
        Ok((began, Instant::now()))
    }
}

fn gone(index: u64) -> String {
    format!("gone:{index:012}")
}

/// Asks for a checkpoint and waits for the compaction behind it. The server says in its output that the one has ended and, later,
/// the other.
fn compaction(running: &Running) -> Result<(Instant, Instant)> {
    let says = |what: &str| Ok::<_, anyhow::Error>(running.server.said()?.matches(what).count());
    let (taken, compacted) = (says("a checkpoint was taken")?, says("rows were compacted")?);
    let deadline = Instant::now() + PATIENCE;
    let mut conn = running.open()?;
    let reply = conn.call(&["BGREWRITEAOF"])?;
    ensure!(!reply.is_error(), "BGREWRITEAOF was answered {reply}");
    while says("a checkpoint was taken")? == taken {
        ensure!(Instant::now() < deadline, "no checkpoint was taken in {PATIENCE:?}");
        std::thread::sleep(LOOK);
    }
    let from = Instant::now();
    info::settle(&mut conn)?;
    let to = Instant::now();
    if says("rows were compacted")? == compacted {
        bail!("a checkpoint after which most rows are dead was followed by no compaction");
    }
    Ok((from, to))
}
