//! What is kept of a state that failed: the directory as it was, what had been promised, and what had happened to the files.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::build::build;
use super::check::{Fault, Look, look_at};
use super::fate::{Choice, Fate};
use super::history::{Change, Event};
use super::life::Life;
use super::moment::{Moment, Order};
use super::promise::{Broken, Promise};

/// Events of files that are told before the crash.
const TOLD: usize = 60;
/// States that are tried to find a smaller one.
const TRIES: usize = 40;

/// Loses less and less, as long as the state still fails; the smallest choice and what was wrong with it.
pub fn minimise(
    life: &Life,
    failed: (Choice, Fault),
    order: Order,
    view: Look<'_>,
    promise: &Promise,
    scratch: &Path,
) -> Result<(Choice, Fault)> {
    let (mut choice, mut fault) = failed;
    let mut tries = 0;
    'smaller: loop {
        let moment = Moment::of(&life.history, choice.at, order);
        for simpler in choice.simpler(&moment, order) {
            tries += 1;
            if tries > TRIES {
                return Ok((choice, fault));
            }
            if let Err(found) = look_at(view, &moment, &simpler, promise, scratch)? {
                (choice, fault) = (simpler, found);
                continue 'smaller;
            }
        }
        return Ok((choice, fault));
    }
}

/// Keeps everything about a failure in a directory that stays, and says which.
pub fn keep(life: &Life, choice: &Choice, order: Order, promise: &Promise, fault: &Fault) -> Result<PathBuf> {
    let dir = tempfile::Builder::new().prefix("proof-torn-").disable_cleanup(true).tempdir()?;
    let path = dir.path().to_owned();
    let moment = Moment::of(&life.history, choice.at, order);
    std::fs::create_dir(path.join("state"))?;
    build(&moment, choice, &path.join("state"))?;
    promise.save(&path.join("promise"))?;
    std::fs::write(path.join("fsync"), life.fsync.word())?;
    for (run, trace) in life.traces.iter().enumerate() {
        std::fs::copy(trace, path.join(format!("trace-{run}")))?;
    }
    std::fs::write(path.join("story"), format!("{}\n\n{}", tell(life, promise, fault), story(&moment, choice)))?;
    Ok(path)
}

/// What is wrong, in words.
pub fn tell(life: &Life, promise: &Promise, fault: &Fault) -> String {
    match fault {
        Fault::Failed(error) => format!("{error:#}"),
        Fault::Broken(Broken::Order { index, kept, due, other }, _) => format!(
            "connection {index} has {kept} of its acts, but {other} has one that was sent when {due} had been answered"
        ),
        Fault::Broken(Broken::Side { index, known }, there) => {
            let (floor, ceiling) = promise.bounds(*index);
            let bounds = format!("{floor} to {ceiling} of its {} acts", life.workers[*index].done.len());
            match known {
                Some(known) => format!("connection {index} has only {known} acts, and must have {bounds}"),
                None => {
                    let (count, differences) = nearest(life, *index, &there[*index], ceiling);
                    format!(
                        "connection {index} has no state that existed ({bounds} were due); after {count} it would be that but for {} keys: {}",
                        differences.len(),
                        differences.iter().take(5).cloned().collect::<Vec<_>>().join("; ")
                    )
                }
            }
        }
    }
}

/// The prefix whose state differs in the fewest keys.
fn nearest(life: &Life, index: usize, there: &super::model::Dbs, ceiling: usize) -> (usize, Vec<String>) {
    let worker = &life.workers[index];
    let mut state = worker.base.clone();
    let mut best = (0, state.differences(there));
    for (i, done) in worker.done.iter().take(ceiling).enumerate() {
        done.act.apply(&mut state, done.db);
        let differences = state.differences(there);
        if differences.len() <= best.1.len() {
            best = (i + 1, differences);
        }
    }
    best
}

/// The file operations before the crash, each with what became of it.
fn story(moment: &Moment<'_>, choice: &Choice) -> String {
    let labels = moment.history.labels();
    let label = |inode: usize| labels.get(&inode).cloned().unwrap_or_else(|| format!("#{inode}"));
    let mut text = format!("crash ({}) at line {} of the trace\n", choice.kind.word(), choice.at + 1);
    let begun: Vec<(usize, &Event)> =
        moment.history.events.iter().enumerate().filter(|(_, event)| event.begin <= moment.at).collect();
    let first = begun.len().saturating_sub(TOLD);
    for (file, fate) in &choice.files {
        let _ = writeln!(text, "what no sync had covered of {}: {fate:?}", label(*file));
    }
    for (i, event) in &begun[first..] {
        let what = match &event.change {
            Change::Write { file, offset, bytes } => {
                format!("write {} at {offset}, {} bytes", label(*file), bytes.len())
            }
            Change::Size { file, len } => format!("size of {}: {len}", label(*file)),
            Change::Reserve { file, len } => format!("room in {}: {len}", label(*file)),
            Change::Sync(inode) => format!("sync {}", label(*inode)),
            Change::Names(edits) => names(edits, &label),
        };
        let fate = match (&event.change, moment.is_pending(*i)) {
            (Change::Sync(_), _) if event.end > moment.at => "had not ended".to_owned(),
            (Change::Sync(_), _) | (_, false) => String::new(),
            (Change::Names(_), true) if choice.names.contains(i) => "not synced, kept".into(),
            (Change::Names(_), true) => "LOST".into(),
            (change, true) => match change.file().and_then(|file| choice.files.get(&file)) {
                None | Some(Fate::Kept) => "not synced, kept".into(),
                Some(Fate::Dropped) => "LOST".into(),
                Some(_) => "not synced, torn or lost".into(),
            },
        };
        let _ = writeln!(text, "  line {:>6}  {what}  {fate}", event.begin + 1);
    }
    text
}

fn names(edits: &[super::history::Edit], label: &impl Fn(usize) -> String) -> String {
    let one = |edit: &super::history::Edit| {
        let place = format!("{}/{}", label(edit.dir), edit.name);
        match (edit.was, edit.becomes) {
            (_, Some(inode)) => format!("{place} is #{inode}"),
            (_, None) => format!("{place} is gone"),
        }
    };
    edits.iter().map(one).collect::<Vec<_>>().join(", ")
}
