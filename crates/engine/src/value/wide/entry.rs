//! What the owner of an entry does with the image of its value.

use super::blocks::Blocks;
use super::named::{Named, ZSetTrail};
use super::page::{Budget, RowSink};
use super::runs::Placed;
use crate::value::away::{Fencing, ShedFrom};
use crate::value::entry::{Big, Entry, Value};
use crate::value::hash::FieldCell;
use effect::ListPos;

/// The trail of a value of each kind.
pub(super) enum Trails {
    String(Blocks),
    List(Placed),
    Hash(Named<FieldCell>),
    Set(Named<()>),
    ZSet(ZSetTrail),
}

/// An image as it was begun.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// What names the rows.
    pub incarnation: u64,
    /// How many elements it has; bytes, if it is of a string.
    pub len: usize,
    /// The first position and the last one of a list.
    pub ends: Option<(ListPos, ListPos)>,
}

/// What a value that has been written, or is being, knows of its rows.
pub(in crate::value) struct Wide {
    /// What names the rows; `None`: those that there are belong to nobody.
    incarnation: Option<u64>,
    /// Whether all rows of an image have been written.
    written: bool,
    image: Option<Image>,
    trails: Trails,
    /// Rows of fences that there are.
    fences: u32,
    /// The fences of the image.
    fencing: Fencing,
    /// How many fields had a deadline when it began.
    deadlines: usize,
    /// Where the next elements are looked for that may leave memory.
    shed_from: ShedFrom,
}

/// What an image needed no more; it is best dropped without a lock.
pub struct Spent {
    _trails: Option<Trails>,
}

impl Wide {
    pub(in crate::value) fn string(&mut self) -> Option<&mut Blocks> {
        if let Trails::String(blocks) = &mut self.trails { Some(blocks) } else { None }
    }

    pub(in crate::value) fn list(&mut self) -> Option<&mut Placed> {
        if let Trails::List(trail) = &mut self.trails { Some(trail) } else { None }
    }

    pub(in crate::value) fn hash(&mut self) -> Option<&mut Named<FieldCell>> {
        if let Trails::Hash(trail) = &mut self.trails { Some(trail) } else { None }
    }

    pub(in crate::value) fn set(&mut self) -> Option<&mut Named<()>> {
        if let Trails::Set(trail) = &mut self.trails { Some(trail) } else { None }
    }

    pub(in crate::value) fn zset(&mut self) -> Option<&mut ZSetTrail> {
        if let Trails::ZSet(trail) = &mut self.trails { Some(trail) } else { None }
    }

    fn new(value: &Value, incarnation: u64) -> Self {
        let trails = match value {
            Value::String(_) => Trails::String(Blocks::default()),
            Value::List(_) => Trails::List(Placed::default()),
            Value::Hash(_) => Trails::Hash(Named::default()),
            Value::Set(_) => Trails::Set(Named::default()),
            Value::ZSet(_) => Trails::ZSet(ZSetTrail::default()),
        };
        let incarnation = Some(incarnation);
        Self {
            incarnation,
            written: false,
            image: None,
            trails,
            fences: 0,
            fencing: Fencing::default(),
            deadlines: 0,
            shed_from: ShedFrom::Start,
        }
    }

    /// Of a value whose elements all have rows of its incarnation, and of which there are so many rows of fences.
    pub(in crate::value) fn loaded(value: &Value, incarnation: u64, fences: u32) -> Self {
        let mut wide = Self { written: true, fences, ..Self::new(value, incarnation) };
        if let (Trails::String(blocks), Value::String(bytes)) = (&mut wide.trails, value) {
            *blocks = Blocks::at_rest(bytes.len());
        }
        wide
    }

    fn begin(&mut self, value: &Value, incarnation: u64) {
        match (&mut self.trails, value) {
            (Trails::String(blocks), Value::String(bytes)) => blocks.begin(bytes.len()),
            (Trails::List(trail), _) => trail.begin(),
            (Trails::Hash(trail), _) => trail.begin(),
            (Trails::Set(trail), _) => trail.begin(),
            (Trails::ZSet(trail), _) => {
                trail.members.begin();
                trail.scores.begin();
            }
            (Trails::String(_), _) => unreachable!("a value never changes its kind: another one is another entry"),
        }
        let (len, ends) = match value {
            Value::String(bytes) => (bytes.len(), None),
            Value::List(list) => (list.len(), list.ends()),
            Value::Hash(hash) => (hash.len(), None),
            Value::Set(set) => (set.len(), None),
            Value::ZSet(zset) => (zset.len(), None),
        };
        self.image = Some(Image { incarnation, len, ends });
        self.fencing = Fencing::begin(len, self.fences);
        self.deadlines = if let Value::Hash(hash) = value { hash.with_deadline() } else { 0 };
    }

    /// Whether what has not changed is in rows of the value that are in force.
    pub(in crate::value) fn is_at_rest(&self) -> bool {
        self.written && self.image.is_none() && self.incarnation.is_some()
    }

    pub(in crate::value) fn shed_from(&mut self) -> &mut ShedFrom {
        &mut self.shed_from
    }

    fn is_done(&self) -> bool {
        self.has_all_elements() && self.fencing.is_done()
    }

    /// Whether the rows of all elements of the image are handed over.
    fn has_all_elements(&self) -> bool {
        match &self.trails {
            Trails::String(blocks) => blocks.is_done(),
            Trails::List(trail) => trail.next().is_none(),
            Trails::Hash(trail) => trail.next().is_none(),
            Trails::Set(trail) => trail.next().is_none(),
            Trails::ZSet(trail) => trail.members.next().is_none() && trail.scores.next().is_none(),
        }
    }

    /// Hands over the next rows of fences.
    fn next_fences(&mut self, value: &Value, budget: &mut Budget, sink: &mut RowSink<'_>) {
        let fencing = &mut self.fencing;
        match (value, &self.trails) {
            (Value::List(list), Trails::List(trail)) => {
                fencing.next_rows(list, |after, upto| trail.went(after, upto), budget, sink);
            }
            (Value::ZSet(zset), Trails::ZSet(trail)) => {
                fencing.next_rows(zset, |after, upto| trail.scores.went(after, upto), budget, sink);
            }
            (Value::Hash(_), _) => fencing.deadlines(self.deadlines as u64, budget, sink),
            _ => fencing.none(budget, sink),
        }
    }

    fn end(&mut self, written: bool) -> Spent {
        self.image = None;
        self.fences = std::mem::take(&mut self.fencing).rows(written);
        let spent = match &mut self.trails {
            Trails::String(blocks) => Trails::String(blocks.end(written)),
            Trails::List(trail) => Trails::List(trail.end(written)),
            Trails::Hash(trail) => Trails::Hash(trail.end(written)),
            Trails::Set(trail) => Trails::Set(trail.end(written)),
            Trails::ZSet(trail) => {
                Trails::ZSet(ZSetTrail { members: trail.members.end(written), scores: trail.scores.end(written) })
            }
        };
        Spent { _trails: Some(spent) }
    }
}

impl Value {
    /// An image begins, or is written.
    fn next_epoch(&mut self) {
        match self {
            // The marks of a string lie in its trail.
            Self::String(_) => {}
            Self::List(list) => list.next_epoch(),
            Self::Hash(hash) => hash.next_epoch(),
            Self::Set(set) => set.next_epoch(),
            Self::ZSet(zset) => zset.next_epoch(),
        }
    }

    /// The image is given up.
    fn give_up(&mut self) {
        match self {
            Self::String(_) => {}
            Self::List(list) => list.give_up(),
            Self::Hash(hash) => hash.give_up(),
            Self::Set(set) => set.give_up(),
            Self::ZSet(zset) => zset.give_up(),
        }
    }

    /// No element has a row any more.
    fn renew(&mut self) {
        match self {
            Self::String(_) => {}
            Self::List(list) => list.renew(),
            Self::Hash(hash) => hash.renew(),
            Self::Set(set) => set.renew(),
            Self::ZSet(zset) => zset.renew(),
        }
    }
}

impl Entry {
    pub(in crate::value) fn wide(&self) -> Option<&Wide> {
        if let Self::Big(_, big) = self { big.wide.as_deref() } else { None }
    }

    /// What names the rows of the value, if it has any. Whoever lets go of an entry (deletes or replaces it) leaves these rows
    /// to nobody; a rename or a change of any part does not.
    #[inline]
    pub fn incarnation(&self) -> Option<u64> {
        self.wide()?.incarnation
    }

    /// Whether nobody has begun to make rows of the value's elements.
    #[inline]
    pub(crate) fn is_without_rows(&self) -> bool {
        self.wide().is_none()
    }

    /// Leaves the rows of the value to nobody, and answers what names them: its next image has a new name, and is whole. One that
    /// is being written goes on.
    pub(crate) fn disown(&mut self) -> Option<u64> {
        let Self::Big(_, big) = self else { return None };
        big.wide.as_mut()?.incarnation.take()
    }

    /// The same of a value that is small by now, so that its elements need not be remembered.
    pub(crate) fn forget_rows(&mut self) -> Option<u64> {
        debug_assert!(!self.is_partly_away(), "what is away is named by its rows");
        let Self::Big(_, big) = self else { return None };
        let wide = big.wide.take()?;
        debug_assert!(wide.image.is_none(), "a value of which an image is written is not taken again");
        big.value.renew();
        wide.incarnation
    }

    /// The image that is being written.
    pub fn image(&self) -> Option<&Image> {
        self.wide()?.image.as_ref()
    }

    /// Whether an image is being written.
    pub fn is_frozen(&self) -> bool {
        self.image().is_some()
    }

    /// Begins an image: the value at this moment. In constant time, but for strings: by blocks; and, by blocks as well, for a
    /// value whose rows are nobody's. A value without rows takes the incarnation that `new` gives. `None`, and nothing done, for
    /// a value that lies in one allocation, is not here, or is frozen already.
    pub fn freeze(&mut self, new: impl FnOnce() -> u64) -> Option<&Image> {
        let Self::Big(_, big) = self else { return None };
        let Big { value, wide, .. } = &mut **big;
        if wide.as_ref().is_some_and(|wide| wide.image.is_some()) {
            return None;
        }
        if wide.take_if(|wide| wide.incarnation.is_none()).is_some() {
            value.renew();
        }
        let wide = wide.get_or_insert_with(|| Box::new(Wide::new(value, new())));
        let incarnation = wide.incarnation?;
        value.next_epoch();
        wide.begin(value, incarnation);
        wide.image.as_ref()
    }

    /// Hands over the next rows that changed, as they were when the image began, and says whether these were the last. Of
    /// a sorted set come all members by hash, then all by score.
    pub fn next_rows(&mut self, mut budget: Budget, sink: &mut RowSink<'_>) -> bool {
        let Self::Big(_, big) = self else { return true };
        let Big { value, wide: Some(wide), .. } = &mut **big else { return true };
        match (&mut *value, &mut wide.trails) {
            (Value::String(bytes), Trails::String(blocks)) => blocks.next_rows(bytes, &mut budget, sink),
            (Value::List(list), Trails::List(trail)) => list.next_rows(trail, &mut budget, sink),
            (Value::Hash(hash), Trails::Hash(trail)) => hash.next_rows(trail, &mut budget, sink),
            (Value::Set(set), Trails::Set(trail)) => set.next_rows(trail, &mut budget, sink),
            (Value::ZSet(zset), Trails::ZSet(trail)) => zset.next_rows(trail, &mut budget, sink),
            _ => unreachable!("a value never changes its kind: another one is another entry"),
        }
        if wide.has_all_elements() {
            wide.next_fences(value, &mut budget, sink);
        }
        wide.is_done()
    }

    /// All rows of the image are written, durably: its elements are at rest, those that have changed since aside. `None`,
    /// and nothing done, unless there is an image that was handed over whole.
    pub fn thaw(&mut self) -> Option<Spent> {
        let Self::Big(_, big) = self else { return None };
        let Big { value, wide: Some(wide), .. } = &mut **big else { return None };
        if wide.image.is_none() || !wide.is_done() {
            return None;
        }
        value.next_epoch();
        wide.written = true;
        Some(wide.end(true))
    }

    /// The rows of the image are lost: its elements have changed, and belong to the next one. A value of which nothing was
    /// written before has no incarnation then. In time proportional to the value's blocks of elements.
    pub fn cancel(&mut self) -> Option<Spent> {
        let Self::Big(_, big) = self else { return None };
        let Big { value, wide: place, .. } = &mut **big;
        let wide = place.as_mut().filter(|wide| wide.image.is_some())?;
        value.give_up();
        if wide.written || wide.incarnation.is_none() {
            return Some(wide.end(false));
        }
        place.take().map(|wide| Spent { _trails: Some(wide.trails) })
    }
}
