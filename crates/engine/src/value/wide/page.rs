//! `Page`: the rows of one block of elements, with what else belongs between them, brought into order and handed over.

use super::row::{RowKey, WideRow};

/// How much one step hands over at most. A block of elements in which there is nothing counts as one row.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Rows.
    pub rows: usize,
    /// Bytes of rows, about. One row may have more.
    pub bytes: usize,
}

impl Budget {
    pub(in crate::value) fn is_spent(&self) -> bool {
        self.rows == 0 || self.bytes == 0
    }

    /// Takes off what one row is, or one look at a block.
    pub(in crate::value) fn spend(&mut self, bytes: usize) {
        self.rows = self.rows.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

/// Who takes the rows.
pub type RowSink<'s> = dyn FnMut(WideRow<'_>) + 's;

/// Rows of one kind.
pub(in crate::value) struct Page<'a>(Vec<WideRow<'a>>);

impl<'a> Page<'a> {
    pub(in crate::value) fn new() -> Self {
        Self(Vec::new())
    }

    pub(in crate::value) fn add(&mut self, row: WideRow<'a>) {
        self.0.push(row);
    }

    /// Hands the rows over in order, as far as the budget goes, and answers the first that is left. A row that is put and
    /// is also to be removed is put: its name went and came again.
    pub(in crate::value) fn hand_over(mut self, budget: &mut Budget, sink: &mut RowSink<'_>) -> Option<RowKey<'a>> {
        if self.0.is_empty() {
            budget.spend(0);
            return None;
        }
        let is_removal = |row: &WideRow<'_>| matches!(row, WideRow::Remove(_));
        self.0.sort_by(|one, other| one.key().order(other.key()).then(is_removal(one).cmp(&is_removal(other))));
        self.0.dedup_by(|row, before| row.key().order(before.key()).is_eq());
        for row in self.0 {
            if budget.is_spent() {
                let (WideRow::Put(key, _) | WideRow::Remove(key)) = row;
                return Some(key);
            }
            budget.spend(row.bytes());
            sink(row);
        }
        None
    }
}
