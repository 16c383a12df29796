//! Entries whose type has been checked, as that type.

use crate::value::{Entry, HashMut, Limits, ListMut, SetMut, ZSetMut};

const CHECKED: &str = "the entry's type was checked before";

pub(crate) fn string(entry: &Entry) -> &[u8] {
    entry.bytes().unwrap_or_default()
}

pub(crate) fn hash_mut<'a>(entry: &'a mut Entry, limits: &'a Limits) -> HashMut<'a> {
    entry.hash_mut(limits).expect(CHECKED)
}

pub(crate) fn set_mut<'a>(entry: &'a mut Entry, limits: &'a Limits) -> SetMut<'a> {
    entry.set_mut(limits).expect(CHECKED)
}

pub(crate) fn zset_mut<'a>(entry: &'a mut Entry, limits: &'a Limits) -> ZSetMut<'a> {
    entry.zset_mut(limits).expect(CHECKED)
}

pub(crate) fn list_mut<'a>(entry: &'a mut Entry, limits: &'a Limits) -> ListMut<'a> {
    entry.list_mut(limits).expect(CHECKED)
}
