//! A server that only keeps what it is told.

use std::sync::Arc;

use causal::bind::Exec;
use cluster::NodeId;
use engine::DbKey;
use parking_lot::Mutex;
use wal::Position;

use crate::host::Host;
use crate::undone::Report;

/// What it was told.
#[derive(Default)]
pub(super) struct Ears {
    pub(super) ready: Mutex<Vec<DbKey>>,
    pub(super) published: Mutex<Vec<(Vec<u8>, Vec<u8>)>>,
    pub(super) guests: Mutex<Vec<(u64, Arc<Exec>)>>,
    pub(super) stopped: Mutex<Vec<String>>,
    pub(super) restarts: Mutex<Vec<String>>,
    pub(super) undone: Mutex<Vec<Report>>,
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
    }

    fn restart(&self, why: &str) {
        self.restarts.lock().push(why.into());
    }

    fn stop(&self, why: &str) {
        self.stopped.lock().push(why.into());
    }
}
