//! Removals: the positions that go, as few runs as possible.

use std::ops::Range;

use effect::items::RunShape;
use effect::{ListPos, Op, SeqBuf};
use engine::{Emitter, ListView, Stop};

/// From so many elements on a list that loses all of them is removed as a key: its memory is freed aside, and no
/// position is named. Below, a cut says the same in about as many bytes.
const WHOLE: usize = 64;

/// Collects the positions of elements that go.
pub(super) struct Cut {
    runs: SeqBuf<RunShape>,
    last: Option<(ListPos, u64)>,
    count: usize,
}

impl Cut {
    /// Nothing yet.
    pub(super) fn new(out: &mut Emitter<'_>) -> Self {
        Self { runs: out.runs(), last: None, count: 0 }
    }

    /// Takes in the position of one more element; positions ascend.
    pub(super) fn add(&mut self, position: ListPos) {
        self.count += 1;
        match &mut self.last {
            Some((first, len)) if first.step(*len as i64) == position => *len += 1,
            last => {
                let before = last.replace((position, 1));
                before.into_iter().for_each(|run| self.runs.push(run));
            }
        }
    }

    /// Takes in the positions of these indexes, which ascend.
    pub(super) fn add_range(&mut self, list: &ListView<'_>, indexes: Range<usize>) -> Result<(), Stop> {
        list.positions(indexes)?.for_each(|position| self.add(position));
        Ok(())
    }

    /// Emits the removal from the list at `key`, which has `len` elements. Nothing if there is none to remove.
    pub(super) fn emit(mut self, out: &mut Emitter<'_>, key: &[u8], len: usize) {
        self.last.take().into_iter().for_each(|run| self.runs.push(run));
        if self.count == len && len >= WHOLE {
            out.remove(key);
        } else if self.count > 0 {
            out.emit(key, false, Op::Cut(self.runs.seq()));
        }
        out.recycle(self.runs);
    }
}

/// Emits the removal of these indexes of the list at `key`.
pub(super) fn range(
    out: &mut Emitter<'_>,
    key: &[u8],
    list: &ListView<'_>,
    len: usize,
    indexes: Range<usize>,
) -> Result<(), Stop> {
    if indexes.len() == 1 {
        return one(out, key, list, indexes.start);
    }
    let mut cut = Cut::new(out);
    if indexes.len() < len || len < WHOLE {
        cut.add_range(list, indexes)?;
    } else {
        cut.count = len;
    }
    cut.emit(out, key, len);
    Ok(())
}

/// The same for one element, without the memory that a walk needs: what most pops do.
fn one(out: &mut Emitter<'_>, key: &[u8], list: &ListView<'_>, index: usize) -> Result<(), Stop> {
    let Some(position) = list.position(index)? else { return Ok(()) };
    let mut runs = out.runs();
    runs.push((position, 1));
    out.emit(key, false, Op::Cut(runs.seq()));
    out.recycle(runs);
    Ok(())
}
