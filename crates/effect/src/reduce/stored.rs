//! The state of a key as bytes: what stands beside a row and goes into snapshots.
//!
//! ```text
//! reduced    := version u8 ‖ rooms u8 ‖ seen ‖ folded ‖ kinds u8 ‖ tag* ‖ element ‖ collection*
//! rooms      : bit 0 list, 1 hash, 2 set, 3 sorted set      kinds: bits 0 to 4, a tag for each
//! tag        := origin u64 LE ‖ seq varint ‖ hlc u64 LE
//! collection := count varint ‖ (name ‖ element)*            name: bytes, or a list position for origin 0
//! element    := flags u8 ‖ what the flags say               bit 0 base, 1 values, 2 edits, 3 deadline of the base,
//!                                                           4 deadline of the base's SET, 5 statements
//! parts      := count varint ‖ (origin u64 LE ‖ count varint ‖ (seq varint ‖ hlc u64 LE ‖ part)*)*
//! ```
//! Parts are written as `code.rs` says. Counts are at least 1, names and origins ascend, and so do numbers with their HLCs.
//!
//! *Invariant:* whatever is accepted would be written again as the same bytes, and holds the invariants of a state. Memory follows the
//! bytes that are there, never a count.

mod code;

use std::collections::{BTreeMap, VecDeque};

use code::Code;

use crate::codec;
use crate::hlc::Hlc;
use crate::id::{Dot, Origin};
use crate::reduce::deadlines::Deadlines;
use crate::reduce::element::{Element, Elements};
use crate::reduce::parts::{Given, Parts, Run};
use crate::reduce::reduced::Reduced;
use crate::reduce::register::Register;
use crate::reduce::tag::Tag;
use crate::vector::Vector;
use crate::wire::{Reader, WireError, put_varint};

/// The version that this code writes.
const VERSION: u8 = 1;

impl Reduced {
    /// Appends the state.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.encode_seen(&self.seen, out);
    }

    /// The same of one that has seen all of `seen`, whatever it says itself.
    pub(super) fn encode_seen(&self, seen: &Vector, out: &mut Vec<u8>) {
        let rooms = [self.list.0.is_empty(), self.hash.0.is_empty(), self.set.0.is_empty(), self.zset.0.is_empty()];
        out.extend_from_slice(&[VERSION, mask(rooms.map(|is_empty| !is_empty))]);
        seen.encode(out);
        self.folded.encode(out);
        out.push(mask(self.kinds.map(|kind| kind.is_some())));
        for tag in self.kinds.iter().flatten() {
            put_tag(out, *tag);
        }
        put_element(out, &self.whole);
        put_elements(out, &self.list);
        put_elements(out, &self.hash);
        put_elements(out, &self.set);
        put_elements(out, &self.zset);
    }

    /// Reads what [`Reduced::encode`] wrote, and nothing else.
    pub fn decode(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let at = from.offset();
        let (version, rooms) = (from.u8()?, from.u8()?);
        if version != VERSION || rooms > 0b1111 {
            return Err(WireError::Invalid { what: "version of a state", at });
        }
        let seen = Vector::decode(from)?;
        let at = from.offset();
        let folded = Vector::decode(from)?;
        if !seen.covers(&folded) {
            return Err(WireError::Invalid { what: "what a state has folded", at });
        }
        let kinds = kinds(from, &seen)?;
        let whole = element(from, &seen)?;
        let room = |bit: u8| rooms & 1 << bit != 0;
        let list = if room(0) { elements(from, &seen)? } else { Elements::default() };
        let hash = if room(1) { elements(from, &seen)? } else { Elements::default() };
        let set = if room(2) { elements(from, &seen)? } else { Elements::default() };
        let zset = if room(3) { elements(from, &seen)? } else { Elements::default() };
        Ok(Self { seen, folded, kinds, whole, list, hash, set, zset })
    }
}

/// Bit `i` for the `i`th.
fn mask<const N: usize>(bits: [bool; N]) -> u8 {
    bits.iter().enumerate().map(|(i, bit)| u8::from(*bit) << i).sum()
}

fn put_tag(out: &mut Vec<u8>, tag: Tag) {
    codec::put_dot(out, tag.dot);
    out.extend_from_slice(&tag.hlc.0.to_le_bytes());
}

fn kinds(from: &mut Reader<'_>, seen: &Vector) -> Result<[Option<Tag>; 5], WireError> {
    let at = from.offset();
    let invalid = WireError::Invalid { what: "latest write of a type", at };
    let present = from.u8()?;
    if present > 0b1_1111 {
        return Err(invalid);
    }
    let mut kinds = [None; 5];
    for (_, kind) in kinds.iter_mut().enumerate().filter(|(i, _)| present & 1 << i != 0) {
        let tag = Tag { dot: codec::dot(from)?, hlc: Hlc(from.u64()?) };
        if tag.dot.seq == 0 || !seen.has(tag.dot) {
            return Err(invalid);
        }
        *kind = Some(tag);
    }
    Ok(kinds)
}

fn put_element<V: Code, E: Code>(out: &mut Vec<u8>, element: &Element<V, E>) {
    let Element { register, deadlines } = element;
    out.push(mask([
        register.base.is_some(),
        !register.values.is_empty(),
        !register.edits.is_empty(),
        deadlines.base.is_some(),
        deadlines.base_value.is_some(),
        !deadlines.own.is_empty(),
    ]));
    register.base.iter().for_each(|base| base.put(out));
    put_parts(out, &register.values);
    put_parts(out, &register.edits);
    deadlines.base.iter().for_each(|base| base.put(out));
    deadlines.base_value.iter().for_each(|base| base.put(out));
    put_parts(out, &deadlines.own);
}

fn element<V: Code, E: Code>(from: &mut Reader<'_>, seen: &Vector) -> Result<Element<V, E>, WireError> {
    let at = from.offset();
    let flags = from.u8()?;
    let has = |bit: u8| flags & 1 << bit != 0;
    if flags >= 1 << 6 || (has(4) && !has(0)) {
        return Err(WireError::Invalid { what: "flags of an element", at });
    }
    let base = if has(0) { Some(V::get(from)?) } else { None };
    let values = if has(1) { parts(from, seen, true)? } else { Parts::default() };
    let edits = if has(2) { parts(from, seen, false)? } else { Parts::default() };
    let register = Register { base, values, edits };
    let base = if has(3) { Some(Code::get(from)?) } else { None };
    let base_value = if has(4) { Some(Code::get(from)?) } else { None };
    let own = if has(5) { parts(from, seen, true)? } else { Parts::default() };
    Ok(Element { register, deadlines: Deadlines { base, base_value, own } })
}

fn put_elements<K: Code, V: Code, E: Code>(out: &mut Vec<u8>, elements: &Elements<K, V, E>) {
    if elements.0.is_empty() {
        return;
    }
    put_varint(out, elements.0.len() as u64);
    for (name, element) in &elements.0 {
        name.put(out);
        put_element(out, element);
    }
}

fn elements<K: Code + Ord, V: Code, E: Code>(
    from: &mut Reader<'_>,
    seen: &Vector,
) -> Result<Elements<K, V, E>, WireError> {
    let mut elements = BTreeMap::new();
    for _ in 0..count(from)? {
        let at = from.offset();
        let name = K::get(from)?;
        let empty_at = from.offset();
        if elements.last_key_value().is_some_and(|(last, _)| *last >= name) {
            return Err(WireError::Invalid { what: "order of elements", at });
        }
        if from.clone().u8()? == 0 {
            return Err(WireError::Invalid { what: "flags of an element", at: empty_at });
        }
        elements.insert(name, element(from, seen)?);
    }
    Ok(Elements(elements))
}

/// At least 1.
fn count(from: &mut Reader<'_>) -> Result<u64, WireError> {
    let at = from.offset();
    match from.varint()? {
        0 => Err(WireError::Invalid { what: "number of parts", at }),
        count => Ok(count),
    }
}

fn put_parts<T: Code>(out: &mut Vec<u8>, parts: &Parts<T>) {
    if parts.is_empty() {
        return;
    }
    put_varint(out, parts.0.len() as u64);
    for Run { origin, parts } in &parts.0 {
        out.extend_from_slice(&origin.0.to_le_bytes());
        put_varint(out, parts.len() as u64);
        for Given { seq, hlc, what } in parts {
            put_varint(out, *seq);
            out.extend_from_slice(&hlc.0.to_le_bytes());
            what.put(out);
        }
    }
}

/// `one`: an effect gives one of them at most.
fn parts<T: Code>(from: &mut Reader<'_>, seen: &Vector, one: bool) -> Result<Parts<T>, WireError> {
    let mut runs: Vec<Run<T>> = Vec::new();
    for _ in 0..count(from)? {
        let at = from.offset();
        let origin = Origin(from.u64()?);
        if runs.last().is_some_and(|last| last.origin >= origin) {
            return Err(WireError::Invalid { what: "order of origins", at });
        }
        let mut parts: VecDeque<Given<T>> = VecDeque::new();
        for _ in 0..count(from)? {
            let at = from.offset();
            let (seq, hlc) = (from.varint()?, Hlc(from.u64()?));
            let follows = parts.back().is_none_or(|last| {
                let is_next = last.seq < seq && last.hlc < hlc;
                is_next || (!one && last.seq == seq && last.hlc == hlc)
            });
            if !follows || seq == 0 || !seen.has(Dot { origin, seq }) {
                return Err(WireError::Invalid { what: "number of a part", at });
            }
            parts.push_back(Given { seq, hlc, what: T::get(from)? });
        }
        runs.push(Run { origin, parts });
    }
    Ok(Parts(runs))
}
