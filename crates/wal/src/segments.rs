//! The segments there are: shared by the writer, which adds, the owner, who removes, and readers.

use std::sync::Arc;

use parking_lot::RwLock;

use crate::disk::DiskFile;
use crate::error::LogError;
use crate::position::Position;

/// The segments of one log.
#[derive(Clone, Debug)]
pub(crate) struct Segments {
    list: Arc<RwLock<List>>,
}

#[derive(Debug)]
struct List {
    /// Their bases, ascending; never empty.
    bases: Vec<Position>,
    /// The file of the last, while it cannot be found by a name of its own.
    unnamed: Option<Arc<dyn DiskFile>>,
}

/// One segment, and the one after it if there is one.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) base: Position,
    /// Where it ends, if there is another behind it.
    pub(crate) end: Option<Position>,
    /// Its file, if it has no name yet.
    pub(crate) unnamed: Option<Arc<dyn DiskFile>>,
}

impl Segments {
    pub(crate) fn new(bases: Vec<Position>) -> Self {
        assert!(!bases.is_empty() && bases.is_sorted(), "an open log has at least one segment");
        Self { list: Arc::new(RwLock::new(List { bases, unnamed: None })) }
    }

    /// Adds a segment that has no name yet.
    pub(crate) fn push_unnamed(&self, base: Position, file: Arc<dyn DiskFile>) {
        let mut list = self.list.write();
        assert!(list.bases.last().is_some_and(|last| *last < base), "segments are added at the end");
        assert!(list.unnamed.is_none(), "a segment is named before there is another");
        list.bases.push(base);
        list.unnamed = Some(file);
    }

    /// The last segment has its name.
    pub(crate) fn name(&self, base: Position) {
        let mut list = self.list.write();
        assert!(list.bases.last() == Some(&base), "only the last segment can be without a name");
        list.unnamed = None;
    }

    pub(crate) fn first(&self) -> Position {
        self.list.read().bases[0]
    }

    pub(crate) fn count(&self) -> usize {
        self.list.read().bases.len()
    }

    /// The segment that holds `position`; between two segments, the later.
    pub(crate) fn find(&self, position: Position) -> Result<Span, LogError> {
        let list = self.list.read();
        let bases = &list.bases;
        match bases.partition_point(|base| *base <= position) {
            0 => Err(LogError::Removed { wanted: position, first: bases[0] }),
            next => {
                let end = bases.get(next).copied();
                let unnamed = if end.is_none() { list.unnamed.clone() } else { None };
                Ok(Span { base: bases[next - 1], end, unnamed })
            }
        }
    }

    /// The lowest segment, if it is sealed and ends at or below `position`. One whose successor has no name is not sealed:
    /// without it nobody would know whose successor that is.
    pub(crate) fn removable(&self, position: Position) -> Option<Position> {
        let list = self.list.read();
        let named = list.bases.len() - usize::from(list.unnamed.is_some());
        list.bases[..named].get(1).filter(|end| **end <= position).map(|_| list.bases[0])
    }

    /// Forgets the lowest segment. Readers must not find it once its file is being deleted.
    pub(crate) fn forget(&self, base: Position) {
        let bases = &mut self.list.write().bases;
        if bases.len() > 1 && bases[0] == base {
            bases.remove(0);
        }
    }
}
