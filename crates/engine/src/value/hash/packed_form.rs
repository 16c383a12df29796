//! Hashes in the packed form: `[least deadline i64]? ‖ count u16 ‖ fields`, a field being `varint ‖ field ‖ varint ‖
//! value ‖ [deadline i64]?`. The optional parts are there when the entry's flag says that any field has a deadline.

use super::{FieldRef, NEVER};
use crate::value::packed::{self, FORM_A};
use std::ops::Range;

/// The payload of a hash without fields.
pub(in crate::value) const EMPTY: &[u8] = &[0, 0];
/// Flag: fields have deadlines.
const DEADLINES: u8 = FORM_A;

/// The fields of a packed hash.
#[derive(Clone, Copy)]
pub struct PackedHash<'a> {
    payload: &'a [u8],
    deadlines: bool,
}

impl<'a> PackedHash<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { payload: packed::payload(bytes), deadlines: packed::form(bytes) & DEADLINES != 0 }
    }

    fn count_at(self) -> usize {
        if self.deadlines { 8 } else { 0 }
    }

    pub(super) fn len(self) -> usize {
        packed::count(self.payload, self.count_at())
    }

    pub(super) fn min_deadline(self) -> Option<i64> {
        self.deadlines.then(|| i64::from_le_bytes(packed::word(self.payload, 0))).filter(|at| *at != NEVER)
    }

    /// The fields with the place of each in the payload.
    fn places(self) -> impl Iterator<Item = (Range<usize>, FieldRef<'a>)> {
        let mut at = self.count_at() + 2;
        std::iter::from_fn(move || {
            if at == self.payload.len() {
                return None;
            }
            let start = at;
            let field = packed::string(self.payload, &mut at);
            let value = packed::string(self.payload, &mut at);
            let mut deadline = None;
            if self.deadlines {
                deadline = Some(i64::from_le_bytes(packed::word(self.payload, at))).filter(|at| *at != NEVER);
                at += 8;
            }
            Some((start..at, FieldRef { field, value, deadline }))
        })
    }

    pub(super) fn iter(self) -> impl Iterator<Item = FieldRef<'a>> {
        self.places().map(|(_, field)| field)
    }
}

/// Stores a field and returns whether it is new.
pub(super) fn insert(bytes: &mut Box<[u8]>, field: &[u8], value: &[u8], deadline: Option<i64>) -> bool {
    let at = packed::payload_at(bytes);
    let hash = PackedHash::new(bytes);
    if deadline.is_some() && !hash.deadlines {
        add_deadlines(bytes);
        return insert(bytes, field, value, deadline);
    }
    let (stamps, count_at, len) = (hash.deadlines, at + hash.count_at(), hash.len());
    let old = hash.places().find(|(_, other)| other.field == field);
    let before = old.as_ref().and_then(|(_, old)| old.deadline);
    let found = old.map(|(place, old)| (at + place.start..at + place.end, old.value.len()));
    let stamp = deadline.unwrap_or(NEVER).to_le_bytes();
    let stamp: &[u8] = if stamps { &stamp } else { &[] };
    match &found {
        Some((place, length)) if *length == value.len() => {
            let start = place.end - stamp.len() - length;
            bytes[start..start + length].copy_from_slice(value);
            bytes[start + length..place.end].copy_from_slice(stamp);
        }
        _ => {
            let place = found.as_ref().map_or(bytes.len()..bytes.len(), |(place, _)| place.clone());
            let (name, size) = (packed::length(field.len()), packed::length(value.len()));
            packed::splice(bytes, place, &[name.bytes(), field, size.bytes(), value, stamp]);
        }
    }
    if found.is_none() {
        bytes[count_at..count_at + 2].copy_from_slice(&((len + 1) as u16).to_le_bytes());
    }
    if stamps && before != deadline {
        refresh_min(bytes);
    }
    found.is_none()
}

/// Removes a field and returns whether it was there.
pub(super) fn remove(bytes: &mut Box<[u8]>, field: &[u8]) -> bool {
    let at = packed::payload_at(bytes);
    let hash = PackedHash::new(bytes);
    let (stamps, count_at, len) = (hash.deadlines, at + hash.count_at(), hash.len());
    let Some((place, _)) = hash.places().find(|(_, other)| other.field == field) else { return false };
    packed::splice(bytes, at + place.start..at + place.end, &[]);
    bytes[count_at..count_at + 2].copy_from_slice(&((len - 1) as u16).to_le_bytes());
    if stamps {
        refresh_min(bytes);
    }
    true
}

/// Gives every field of a packed hash a place for a deadline.
fn add_deadlines(bytes: &mut Box<[u8]>) {
    let hash = PackedHash::new(bytes);
    let mut payload = NEVER.to_le_bytes().to_vec();
    payload.extend_from_slice(&hash.payload[..2]);
    for (place, _) in hash.places() {
        payload.extend_from_slice(&hash.payload[place]);
        payload.extend_from_slice(&NEVER.to_le_bytes());
    }
    let (at, end) = (packed::payload_at(bytes), bytes.len());
    packed::splice(bytes, at..end, &[&payload]);
    packed::set_form(bytes, DEADLINES);
}

fn refresh_min(bytes: &mut [u8]) {
    let at = packed::payload_at(bytes);
    let least = PackedHash::new(bytes).iter().filter_map(|field| field.deadline).min().unwrap_or(NEVER);
    bytes[at..at + 8].copy_from_slice(&least.to_le_bytes());
}
