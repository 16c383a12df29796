//! Giving back the disk space of values that nobody refers to any more.
//!
//! Nobody counts references. A file names the rows that its values were written for, so a look at it finds what of it is still
//! referred to, at the price of a look-up for each of its values. A clean looks at some files in any case, and goes on for as long as
//! it finds much that is dead: so it costs little where little dies, and all space comes back at once where all is dead.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::file::{HEAD_BYTES, ValueFile};
use super::{FileMap, Reference};
use crate::error::{Error, Result};
use crate::layout;
use crate::limits::{CLEAN_LOOKS, PACE_ROWS, SMALL_FILE_SHARE, SMALL_FILES};
use crate::lsm::LsmStore;
use crate::lsm::ingest::Files;
use crate::lsm::seal::Sealing;
use crate::lsm::view::{Found, View};
use crate::pace::Pace;
use crate::timestamp::Timestamp;

/// What a clean has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cleaning {
    /// Files that were looked at.
    pub looked: usize,
    /// Files that are not in force any more.
    pub removed: usize,
    /// Bytes of values that were moved to other files.
    pub moved: u64,
}

/// A row that refers to a file which is to go.
struct Live {
    row_key: Vec<u8>,
    reference: Reference,
}

impl LsmStore {
    /// Looks for values that nobody refers to, and removes files that hold little else. Half of a file may stay dead, and what
    /// has died since it was last looked at. `go_on` is asked between two files. Readers go on meanwhile; it waits for a run under way.
    ///
    /// A file that cannot be read stays as it is, and is the error once the others have been cleaned.
    pub fn clean_values(&self, go_on: &mut dyn FnMut() -> bool) -> Result<Cleaning> {
        let files = self.shared.read().values.clone();
        let (mut done, mut victims, mut failed) = (Cleaning::default(), Vec::new(), None);
        let mut looks = CLEAN_LOOKS;
        for file in files.around(self.clean_from.load(Ordering::Relaxed)) {
            if looks == 0 || !go_on() {
                break;
            }
            (looks, done.looked) = (looks - 1, done.looked + 1);
            self.clean_from.store(file.id + 1, Ordering::Relaxed);
            let live = match self.live_bytes(file) {
                Ok(live) => live,
                Err(error) => {
                    failed = failed.or(Some(error));
                    continue;
                }
            };
            file.set_stale(file.bytes - live);
            if 4 * live <= 3 * file.bytes {
                looks += 2;
            }
            if 2 * live <= file.bytes {
                victims.push(Arc::clone(file));
            }
        }
        victims.extend(self.small(&files, &victims));
        while !victims.is_empty() && go_on() {
            match self.move_values(&mut victims, false) {
                Ok((removed, moved)) => (done.removed, done.moved) = (done.removed + removed, done.moved + moved),
                Err(error) => {
                    failed = failed.or(Some(error));
                    victims.pop();
                }
            }
        }
        failed.map_or(Ok(done), Err)
    }

    /// Moves all values, each sealed anew: for a store that has drawn another data key.
    pub(in crate::lsm) fn reseal_values(&self) -> Result<()> {
        let mut files: Vec<_> = self.shared.read().values.iter().cloned().collect();
        while !files.is_empty() {
            self.move_values(&mut files, true)?;
        }
        Ok(())
    }

    /// Bytes of a file that rows refer to. It never becomes more.
    fn live_bytes(&self, file: &ValueFile) -> Result<u64> {
        let view = View::now(self);
        let (mut live, mut seen, mut pace) = (0, 0u32, Pace::begin(&self.options.others));
        file.walk(|row_key, reference| {
            seen = seen.wrapping_add(1);
            if seen.is_multiple_of(PACE_ROWS) {
                pace.step();
            }
            if refers(&view, row_key, &reference)?.is_some() {
                live += (HEAD_BYTES + row_key.len()) as u64 + u64::from(reference.len);
            }
            Ok(())
        })?;
        Ok(live)
    }

    /// Takes files out of force, from the end of `victims`, as many as one run may move values of. In one step the values that are
    /// referred to come into force in other files, and these go. Answers how many files it were and the bytes that were moved.
    fn move_values(&self, victims: &mut Vec<Arc<ValueFile>>, reseals: bool) -> Result<(usize, u64)> {
        let _writer = self.writer.lock();
        // What took the place of these values must not be lost once they are gone.
        self.persist()?;
        let view = View::now(self);
        let (mut live, mut gone, mut bytes) = (Vec::new(), Vec::new(), 0);
        while let Some(file) = victims.last()
            && bytes < self.options.value_file_bytes
        {
            file.walk(|row_key, reference| {
                if refers(&view, row_key, &reference)?.is_some() {
                    bytes += u64::from(reference.len);
                    live.push(Live { row_key: row_key.to_vec(), reference });
                }
                Ok(())
            })?;
            gone.extend(victims.pop());
        }
        live.sort_unstable_by(|one, other| one.row_key.cmp(&other.row_key));
        gone.sort_unstable_by_key(|file| file.id);
        let mut files = Files::begin(self)?;
        files.state(&self.stamp(Timestamp(self.last_commit.load(Ordering::Acquire)), None))?;
        let mut sealing = if reseals { Sealing::of(&self.seal) } else { None };
        let mut pace = Pace::begin(&self.options.others);
        for Live { row_key, reference } in live {
            pace.step();
            let Some(found) = refers(&view, &row_key, &reference)? else { continue };
            match &mut sealing {
                None => files.put_apart(&row_key, found.head(), &[&view.values().read(&reference)?])?,
                Some(sealing) => {
                    let value = found.value(&[&row_key], &view)?;
                    let (head, sealed) = sealing.parts(&row_key, &found.header, &[&value], true)?;
                    files.put_apart(&row_key, head, &[sealed])?;
                }
            }
        }
        files.finish_without(&gone)?;
        let mut shared = self.shared.write();
        shared.values = Arc::new(shared.values.without(&gone));
        gone.iter().for_each(|file| file.give_up());
        Ok((gone.len(), bytes))
    }

    /// Small files, of which each run leaves one, if they are enough to be joined.
    fn small(&self, files: &FileMap, chosen: &[Arc<ValueFile>]) -> Vec<Arc<ValueFile>> {
        let is_small = |file: &&Arc<ValueFile>| file.bytes < self.options.value_file_bytes / SMALL_FILE_SHARE;
        let is_chosen = |file: &Arc<ValueFile>| chosen.iter().any(|one| one.id == file.id);
        let small: Vec<_> = files.iter().filter(is_small).filter(|file| !is_chosen(file)).cloned().collect();
        if small.len() >= SMALL_FILES { small } else { Vec::new() }
    }
}

/// The row of this key, if it refers to this place.
fn refers(view: &View<'_>, row_key: &[u8], reference: &Reference) -> Result<Option<Found>> {
    let Some((&layout::CURRENT, key)) = row_key.split_first() else {
        return Err(Error::corrupt("a file of values", "it names a row that is none of a current version"));
    };
    let Some(found) = view.current(key)? else { return Ok(None) };
    let is_it = found.reference()?.as_ref() == Some(reference);
    Ok(is_it.then_some(found))
}
