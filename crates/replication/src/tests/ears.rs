//! A server that only keeps what it is told.

use std::sync::Arc;

use causal::bind::Exec;
use cluster::NodeId;
use engine::DbKey;
use parking_lot::Mutex;
use wal::Position;

use crate::host::Host;
use crate::undone::Report;

/// What somebody looks at when a report is made.
pub(super) type Look = Box<dyn Fn() -> Vec<Option<Vec<u8>>> + Send>;

/// What it was told.
#[derive(Default)]
pub(super) struct Ears {
    pub(super) ready: Mutex<Vec<DbKey>>,
    pub(super) published: Mutex<Vec<(Vec<u8>, Vec<u8>)>>,
    pub(super) guests: Mutex<Vec<(u64, Arc<Exec>)>>,
    pub(super) stopped: Mutex<Vec<String>>,
    pub(super) restarts: Mutex<Vec<String>>,
    pub(super) undone: Mutex<Vec<Report>>,
    pub(super) look: Mutex<Option<Look>>,
    /// What it has seen at each report.
    pub(super) seen: Mutex<Vec<Vec<Option<Vec<u8>>>>>,
}

impl Host for Ears {
    fn ready(&self, keys: Vec<DbKey>, _: Position) {
        self.ready.lock().extend(keys);
    }

    fn published(&self, _: NodeId, channel: &[u8], message: &[u8]) {
        self.published.lock().push((channel.into(), message.into()));
    }

    fn guest(&self, number: u64, exec: &Arc<Exec>) -> bool {
        self.guests.lock().push((number, Arc::clone(exec)));
        true
    }

    fn undone(&self, report: &Report) {
        self.undone.lock().push(report.clone());
        let look = self.look.lock();
        self.seen.lock().extend(look.iter().map(|look| look()));
    }

    fn restart(&self, why: &str) {
        self.restarts.lock().push(why.into());
    }

    fn stop(&self, why: &str) {
        self.stopped.lock().push(why.into());
    }
}
