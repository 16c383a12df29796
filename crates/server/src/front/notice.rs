//! Who is told of a command once it has run: the slow log, the latency monitor, MONITOR, and the figures of those in EXEC.

use std::time::Duration;

use command::{Flags, Queued, Spec, table};
use resp::Args;

use super::Front;
use crate::admin::{monitor_line, redact, unix_path};
use crate::net::Turn;
use crate::session::Session;
use crate::session::transaction::Figures;

impl Front {
    #[cold]
    pub(super) fn note_time(
        &self,
        session: &Session,
        spec: &'static Spec,
        args: &Args<'_>,
        took: Duration,
        turn: &Turn<'_>,
    ) {
        let stats = &self.room.node.stats;
        let us = took.as_micros() as i64;
        if us >= stats.spike_us() {
            let event = if spec.flags.has(Flags::FAST) { "fast-command" } else { "command" };
            stats.latency.lock().add(event, turn.now.unix_ms as i64 / 1000, us as u64 / 1000);
        }
        if us >= stats.slow_us() && !spec.flags.has(Flags::SKIP_MONITOR) {
            let (words, unix_ms) = (redact::shown(spec, args), turn.now.unix_ms as i64);
            stats.slowlog.lock().add(&self.room.node, session, &words, took, unix_ms);
        }
    }

    /// Does for the commands of a transaction what is done for a command on its own once it has run. There are no figures if
    /// none of them ran.
    pub(super) fn count_queue(&self, session: &Session, queue: &[Queued<'_>], figures: &[Figures], turn: &Turn<'_>) {
        let node = &self.room.node;
        for (Queued { spec, args }, Figures { took, error, db }) in queue.iter().zip(figures) {
            self.stats.count(table::id_of(spec), *took, error.is_some());
            if let Some(error) = error {
                node.stats.count_error(error);
            }
            if took.as_micros() as i64 >= node.stats.notable_us() {
                self.note_time(session, spec, args, *took, turn);
            }
            if node.has_monitors() {
                self.show_monitors(session, *db, spec, args, turn);
            }
        }
    }

    /// Shows a command that has run to those who monitor; `db` is where it left its client.
    #[cold]
    pub(super) fn show_monitors(
        &self,
        session: &Session,
        db: u8,
        spec: &'static Spec,
        args: &Args<'_>,
        turn: &Turn<'_>,
    ) {
        // What is for administrators is not for everybody's eyes; these two only count as theirs in ACLs.
        if spec.flags.has(Flags::ADMIN) && !matches!(spec.name, "lastsave" | "role") {
            return;
        }
        let node = &self.room.node;
        let (words, path) = (redact::shown(spec, args), unix_path(&node.config.settings()));
        node.tell_monitors(&monitor_line(&path, &session.info, db, &words, turn.now.unix_us()));
    }
}
