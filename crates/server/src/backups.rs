//! Backups in the background: one at a time, on a thread of its own that lets commands go first.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use archive::seal::PublicKey;
use backup::{Error, Job, Progress, Purpose, Report, Repository, Sizes, Why, open_place, take};
use engine::Engine;
use engine::backup::yield_to_commands;
use parking_lot::Mutex;

/// See the module.
#[derive(Debug, Default)]
pub struct Backups {
    state: Arc<Mutex<State>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct State {
    running: Option<Running>,
    last: Option<Ended>,
}

#[derive(Debug)]
struct Running {
    url: String,
    began: Instant,
    progress: Arc<Progress>,
}

/// How a backup ended.
#[derive(Debug)]
struct Ended {
    url: String,
    at_ms: i64,
    took_ms: u64,
    result: Result<Report, Error>,
}

/// What is to be backed up to where.
pub struct Order {
    /// Where.
    pub url: String,
    /// For whom.
    pub recipient: PublicKey,
    /// With all rows in any case.
    pub full: bool,
}

impl Backups {
    /// Begins one.
    ///
    /// # Errors
    /// The text of the reply, if one is being taken.
    pub fn begin(&self, engine: &Arc<Engine>, order: Order) -> Result<(), String> {
        let mut thread = self.thread.lock();
        let mut state = self.state.lock();
        if state.running.is_some() {
            return Err("ERR a backup is being taken already; BACKUP STATUS shows it, BACKUP CANCEL ends it".into());
        }
        if let Some(ended) = thread.take() {
            // It has said its last word: only its end is waited for.
            drop(state);
            let _ = ended.join();
            state = self.state.lock();
        }
        let progress = Arc::new(Progress::default());
        state.running =
            Some(Running { url: order.url.clone(), began: Instant::now(), progress: Arc::clone(&progress) });
        drop(state);
        let (engine, shared) = (Arc::clone(engine), Arc::clone(&self.state));
        let run = move || {
            yield_to_commands();
            let (began, url) = (Instant::now(), order.url.clone());
            let result = run(&engine, &order, &progress);
            let (at_ms, took_ms) = (engine.now_ms(), began.elapsed().as_millis() as u64);
            // Who waits for the end may close the data directory then: this thread must not hold it any more.
            drop(engine);
            tell(&result, took_ms);
            let mut state = shared.lock();
            state.running = None;
            state.last = Some(Ended { url, at_ms, took_ms, result });
        };
        match std::thread::Builder::new().name("backup".into()).spawn(run) {
            Ok(started) => *thread = Some(started),
            Err(error) => {
                self.state.lock().running = None;
                return Err(format!("ERR the thread that takes backups could not be started: {error}"));
            }
        }
        Ok(())
    }

    /// Asks the one that is being taken to end; whether there is one.
    pub fn cancel(&self) -> bool {
        let state = self.state.lock();
        state.running.iter().for_each(|running| running.progress.cancel());
        state.running.is_some()
    }

    /// Ends the one that is being taken, and waits for that.
    pub fn stop(&self) {
        self.cancel();
        if let Some(thread) = self.thread.lock().take() {
            // A panic of it has been printed; there is nothing left to do about it.
            let _ = thread.join();
        }
    }

    /// What is to be known, as names and values.
    pub fn status(&self) -> Vec<(&'static str, String)> {
        let state = self.state.lock();
        if let Some(Running { url, began, progress }) = &state.running {
            let (done, total) = progress.bytes();
            return vec![
                ("state", "running".into()),
                ("url", without_secrets(url)),
                ("phase", progress.phase().name().into()),
                ("bytes_done", done.to_string()),
                ("bytes_total", total.to_string()),
                ("seconds", began.elapsed().as_secs().to_string()),
            ];
        }
        let Some(Ended { url, at_ms, took_ms, result }) = &state.last else {
            return vec![("state", "none".into())];
        };
        let mut lines = vec![
            ("state", outcome(result).into()),
            ("url", without_secrets(url)),
            ("ended_ms", at_ms.to_string()),
            ("took_ms", took_ms.to_string()),
        ];
        match result {
            Ok(report) => lines.extend([
                ("backup", report.backup.to_string()),
                ("kind", kind(report.why).into()),
                ("why", why(report.why).into()),
                ("until_ms", report.until.ms().to_string()),
                ("plain_bytes", report.plain_bytes.to_string()),
                ("stored_bytes", report.sealed_bytes.to_string()),
            ]),
            Err(error) => lines.push(("error", error.to_string())),
        }
        lines
    }

    /// Hands the figures for INFO to `add`.
    pub fn add_figures(&self, mut add: impl FnMut(&'static str, String)) {
        let state = self.state.lock();
        add("backup_in_progress", u8::from(state.running.is_some()).to_string());
        let last = state.last.as_ref();
        add("backup_last_status", last.map_or("none", |last| outcome(&last.result)).into());
        add("backup_last_end_time", last.map_or(-1, |last| last.at_ms / 1000).to_string());
        let report = last.and_then(|last| last.result.as_ref().ok());
        add("backup_last_until", report.map_or(-1, |report| report.until.ms() / 1000).to_string());
    }
}

fn run(engine: &Engine, order: &Order, progress: &Progress) -> Result<Report, Error> {
    let repository = Repository::open_or_begin(open_place(&order.url)?)?;
    let (recipient, full, sizes) = (&order.recipient, order.full, Sizes::default());
    let purpose = Purpose::Asked;
    take(engine, &Job { repository: &repository, recipient, purpose, full, sizes, beside: None, progress })
}

fn tell(result: &Result<Report, Error>, ms: u64) {
    match result {
        Ok(Report { backup, why: reason, plain_bytes, sealed_bytes, .. }) => {
            tracing::info!(%backup, kind = kind(*reason), why = why(*reason), plain_bytes, sealed_bytes, ms, "a backup was taken");
        }
        Err(Error::Cancelled) => tracing::info!(ms, "a backup was cancelled"),
        Err(error) => tracing::warn!(%error, "no backup could be taken"),
    }
}

fn outcome(result: &Result<Report, Error>) -> &'static str {
    match result {
        Ok(_) => "ok",
        Err(Error::Cancelled) => "cancelled",
        Err(_) => "failed",
    }
}

fn kind(why: Why) -> &'static str {
    match why {
        Why::GoesOn => "increment",
        Why::Whole(_) => "whole",
    }
}

fn why(why: Why) -> &'static str {
    match why {
        Why::GoesOn => "it goes on from the one before it",
        Why::Whole(why) => why.words(),
    }
}

/// A URL without a name and a password before its host, and without what follows a question mark.
fn without_secrets(url: &str) -> String {
    let plain = url.split('?').next().unwrap_or_default();
    match plain.split_once("://") {
        None => plain.to_owned(),
        Some((scheme, rest)) => {
            let (host, path) = rest.split_once('/').map_or((rest, None), |(host, path)| (host, Some(path)));
            let host = host.rsplit('@').next().unwrap_or_default();
            path.map_or(format!("{scheme}://{host}"), |path| format!("{scheme}://{host}/{path}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_a_url_are_not_shown() {
        for (url, shown) in [
            ("/backups", "/backups"),
            ("s3://bucket/a/b", "s3://bucket/a/b"),
            ("https://user:secret@host/p@th?sig=secret", "https://host/p@th"),
            ("https://secret@host", "https://host"),
        ] {
            assert_eq!(without_secrets(url), shown);
        }
    }
}
