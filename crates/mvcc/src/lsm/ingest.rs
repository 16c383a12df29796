//! Sorted runs: files of the tree are written directly, without journal and memory, and come into force at once.

use std::sync::atomic::Ordering;

use fjall::Keyspace;

use super::LsmStore;
use crate::error::{Error, Result};
use crate::header::Header;
use crate::input::{self, RunCheck};
use crate::layout::{self, STATE_KEY};
use crate::store::{Applied, Retention, RunRow, Source};
use crate::timestamp::Timestamp;

impl LsmStore {
    /// A run that fails leaves files that no version of the tree names; the next open removes them.
    pub(super) fn ingest_run(
        &self,
        run: &mut dyn Iterator<Item = RunRow>,
        commit: Timestamp,
        source: Source,
    ) -> Result<Applied> {
        let index = input::log_index(source)?;
        let check = RunCheck::new(commit)?;
        let _writer = self.writer.lock();
        if self.retention != Retention::Newest {
            return Err(Error::NotSupported("bringing in a run where superseded versions are kept"));
        }
        if self.check_order(commit, index)? == Applied::Before {
            return Ok(Applied::Before);
        }
        // Rows of the run may be older than a deletion that came before it and must not be hidden by it.
        while !self.shared.read().deletes.is_empty() {
            self.sweep_some(usize::MAX)?;
        }
        let rows = self.shared.read().rows.clone();
        self.write_run(&rows, run, check, self.stamp(commit, index))?;
        self.publish(commit, index);
        Ok(Applied::Now)
    }

    fn write_run(
        &self,
        rows: &Keyspace,
        run: &mut dyn Iterator<Item = RunRow>,
        mut check: RunCheck,
        state: [u8; 16],
    ) -> Result<()> {
        let fail = |error| Error::tree("bringing in a run", error);
        let floor = Timestamp(self.floor.load(Ordering::Acquire));
        let mut ingestion = rows.start_ingestion().map_err(fail)?;
        ingestion.write(STATE_KEY, state).map_err(fail)?;
        for row in run {
            check.row(&row)?;
            let header = match &row.value {
                Some(_) => Header::value(row.commit, row.expire_at),
                None => Header::tombstone(row.commit),
            };
            let key = layout::current(&row.key);
            if header.is_garbage(floor) {
                ingestion.write_tombstone(key).map_err(fail)?;
            } else {
                ingestion.write(key, header.row(row.value.as_deref().unwrap_or_default())).map_err(fail)?;
            }
        }
        ingestion.finish().map_err(fail)
    }
}
