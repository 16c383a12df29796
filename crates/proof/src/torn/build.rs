//! A crash state as files: the bytes that each file would have, and a directory that holds them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::rng::Rng;

use super::fate::{Choice, Fate};
use super::history::{Change, Inode, Node, ROOT};
use super::moment::Moment;

/// Makes the state in the directory `to`, which is empty.
pub fn build(moment: &Moment<'_>, choice: &Choice, to: &Path) -> Result<()> {
    let mut folders = BTreeMap::from([(ROOT, to.to_owned())]);
    let mut rest: Vec<_> = moment.names_with(&choice.names).into_iter().collect();
    // A directory can only be made in one that is there, and what is in none is not to be found.
    while !rest.is_empty() {
        let before = rest.len();
        let mut later = Vec::new();
        for ((dir, name), inode) in rest {
            match folders.get(&dir) {
                None => later.push(((dir, name), inode)),
                Some(folder) => {
                    let path: PathBuf = folder.join(name);
                    if moment.history.nodes[inode] == Node::Directory {
                        std::fs::create_dir(&path)?;
                        folders.insert(inode, path);
                    } else {
                        write(&path, &bytes(moment, inode, choice.files.get(&inode).copied()))?;
                    }
                }
            }
        }
        if later.len() == before {
            break;
        }
        rest = later;
    }
    Ok(())
}

/// Writes a file; zeros at its end are not written but left out.
fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let mut file = File::create(path)?;
    file.write_all(&bytes[..used])?;
    Ok(file.set_len(bytes.len() as u64)?)
}

/// The bytes of a file after the crash.
pub fn bytes(moment: &Moment<'_>, file: Inode, fate: Option<Fate>) -> Vec<u8> {
    let none = Vec::new();
    let pending = moment.files.get(&file).unwrap_or(&none);
    let mut image = Image::new(match &moment.history.nodes[file] {
        Node::File(bytes) => bytes.clone(),
        Node::Directory => Vec::new(),
    });
    for (i, event) in moment.history.events.iter().enumerate() {
        if event.begin <= moment.at && event.change.file() == Some(file) && pending.binary_search(&i).is_err() {
            image.change(&event.change, true, |_| true, usize::MAX);
        }
    }
    for (turn, i) in pending.iter().enumerate() {
        let change = &moment.history.events[*i].change;
        match fate.unwrap_or(Fate::Kept) {
            Fate::Kept => image.change(change, true, |_| true, usize::MAX),
            Fate::Dropped => {}
            Fate::Prefix { whole, .. } if turn < whole => image.change(change, true, |_| true, usize::MAX),
            Fate::Prefix { whole, sector, seed } if turn == whole => {
                image.change(change, seed & 1 == 0, |at| dice(seed, at) & 1 == 0, sector);
            }
            Fate::Prefix { .. } => {}
            Fate::Sectors { sector, seed, kept, sizes } => {
                let as_of = |at| version(dice(seed, at), kept, pending.len());
                image.change(change, turn < sizes, |at| turn < as_of(at), sector);
            }
        }
    }
    image.finish()
}

/// A number that depends on the sector and on nothing that went before.
fn dice(seed: u64, sector: usize) -> u64 {
    Rng::new(seed ^ (sector as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)).bits()
}

/// How many of the pending changes a sector has seen.
fn version(dice: u64, kept: u8, pending: usize) -> usize {
    if dice % 100 < u64::from(kept) { pending } else { (dice >> 32) as usize % (pending + 1) }
}

/// A file on its way: its bytes, some of which may lie beyond its end.
struct Image {
    bytes: Vec<u8>,
    len: usize,
}

impl Image {
    fn new(bytes: Vec<u8>) -> Image {
        Image { len: bytes.len(), bytes }
    }

    /// Makes a change: what it does to the size if `sizes`, and of its bytes the sectors that `keeps` names.
    fn change(&mut self, change: &Change, sizes: bool, keeps: impl Fn(usize) -> bool, sector: usize) {
        match change {
            Change::Write { offset, bytes, .. } => {
                let end = offset + bytes.len();
                if self.bytes.len() < end {
                    self.bytes.resize(end, 0);
                }
                let mut at = *offset;
                while at < end {
                    let index = at / sector;
                    let stop = index.saturating_add(1).saturating_mul(sector).min(end);
                    if keeps(index) {
                        self.bytes[at..stop].copy_from_slice(&bytes[at - offset..stop - offset]);
                    }
                    at = stop;
                }
                if sizes {
                    self.len = self.len.max(end);
                }
            }
            Change::Size { len, .. } if sizes => {
                self.bytes.truncate(*len);
                self.len = *len;
            }
            Change::Reserve { len, .. } if sizes => self.len = self.len.max(*len),
            _ => {}
        }
    }

    fn finish(mut self) -> Vec<u8> {
        self.bytes.resize(self.len, 0);
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::super::history::{Edit, Event, History, Names};
    use super::super::moment::Order;
    use super::*;

    /// A file of one durable sector, then one that was written over in two steps and made longer.
    fn history() -> History {
        let write = |at, offset, byte| Event {
            begin: at,
            end: at,
            change: Change::Write { file: 1, offset, bytes: vec![byte; 512] },
        };
        let name = Edit { dir: ROOT, name: "a".into(), was: None, becomes: Some(1) };
        let events = vec![
            Event { begin: 0, end: 0, change: Change::Names(vec![name]) },
            write(1, 0, 1),
            Event { begin: 2, end: 3, change: Change::Sync(1) },
            write(4, 0, 2),
            write(5, 512, 3),
            write(6, 0, 4),
        ];
        History { nodes: vec![Node::Directory, Node::File(Vec::new())], names: Names::new(), events }
    }

    fn after(fate: Fate) -> Vec<u8> {
        let history = history();
        bytes(&Moment::of(&history, 6, Order::Ordered), 1, Some(fate))
    }

    #[test]
    fn what_was_synced_stays_and_the_rest_is_there_or_not() {
        assert_eq!(after(Fate::Dropped), vec![1; 512]);
        assert_eq!(after(Fate::Kept), [vec![4; 512], vec![3; 512]].concat());
        let two = Fate::Prefix { whole: 1, sector: 512, seed: 0 };
        assert_eq!(after(two)[..512], vec![2; 512]);
    }

    #[test]
    fn a_sector_is_as_it_was_at_one_moment_and_never_a_mixture() {
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..200 {
            let bytes = after(Fate::Sectors { sector: 512, seed, kept: 10, sizes: 3 });
            assert_eq!(bytes.len(), 1024);
            assert!(bytes.chunks(512).all(|sector| sector.iter().all(|byte| *byte == sector[0])));
            seen.insert((bytes[0], bytes[512]));
        }
        // A synced sector is never lost; the new one is there or zeros.
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [(1, 0), (1, 3), (2, 0), (2, 3), (4, 0), (4, 3)]);
    }

    #[test]
    fn bytes_beyond_the_size_that_survived_are_gone() {
        let bytes = after(Fate::Sectors { sector: 512, seed: 1, kept: 100, sizes: 1 });
        assert_eq!(bytes, vec![4; 512]);
    }

    #[test]
    fn a_state_is_made_of_the_names_that_survived() {
        let dir = tempfile::tempdir().unwrap();
        let history = history();
        let moment = Moment::of(&history, 6, Order::Ordered);
        let mut choice = Choice::random(&moment, super::super::fate::Kind::Least, Order::Ordered, &mut Rng::new(1));
        build(&moment, &choice, dir.path()).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        choice.names.insert(0);
        build(&moment, &choice, dir.path()).unwrap();
        assert_eq!(std::fs::read(dir.path().join("a")).unwrap(), vec![1; 512]);
    }
}
