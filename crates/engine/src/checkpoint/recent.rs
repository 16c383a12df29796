//! What of a replica is recent at the flip, as rows behind the books: none where there are no others and have been none.
//!
//! ```text
//!   31 00000000     →  version u8 ‖ state, as in the log ‖ needed: 0 u8, or 1 u8 ‖ bytes u64 ‖ vector
//!                      ‖ heads: count varint ‖ (origin u64 ‖ hlc u64)*  ‖ unsaid ‖ contexts
//!                      ‖ waymarks: count varint ‖ (position u64 ‖ vector ‖ contexts)* ‖ swaps ‖ exclusives ‖ again vector
//!   31 number BE    →  recent effects on some keys: bytes as `suffix` has them, from number 1 on
//!   contexts, unsaid := count varint ‖ (origin u64 ‖ vector)*              swaps: as `suffix` has them; exclusives: as `exclusive`
//! ```
//! They are written with each checkpoint, all of them. Keys are taken some at a time; the flip takes no longer for them.

use std::collections::HashMap;
use std::ops::ControlFlow;

use effect::wire::{Reader, put_varint};
use effect::{Hlc, Origin, Vector, WireError};
use mvcc::{RunWriter, Span, Timestamp, Version};
use wal::Position;

use super::store::Rows;
use super::writing::Writing;
use crate::engine::Shared;
use crate::error::CheckpointError;
use crate::exclusive::Kept;
use crate::feed::{Waymark, Waymarks};
use crate::limits::{CHECKPOINT_STEP_KEYS, RECENT_ROW_BYTES, SHARDS};
use crate::replica::{Heads, State};
use crate::shard::ShardId;
use crate::suffix::{self, Swaps};

/// The first byte of these rows' keys.
const RECENT: u8 = 0x31;

const VERSION: u8 = 3;

/// The same without what was written again.
const VERSION_BEFORE: u8 = 2;

/// The same without exclusive transactions.
const VERSION_WITHOUT: u8 = 1;

/// The first of the rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Recent {
    pub(crate) state: State,
    /// What every other replica has, and how many bytes of log may be kept for that.
    pub(crate) needed: Option<(Vector, u64)>,
    pub(crate) heads: Heads,
    pub(crate) waymarks: Waymarks,
    pub(crate) swaps: Swaps,
    pub(crate) exclusives: Kept,
    /// How far what the group never got of a life was written again.
    pub(crate) again: Vector,
}

fn name(number: u32) -> [u8; 5] {
    let [a, b, c, d] = number.to_be_bytes();
    [RECENT, a, b, c, d]
}

/// Writes them, in place of those of the checkpoint before; how many there are.
pub(super) fn write(
    writing: &mut Writing<'_>,
    recent: Option<&Recent>,
    run: &mut RunWriter<'_>,
) -> Result<u32, CheckpointError> {
    let (rows, mut count) = (writing.rows, 0);
    if let Some(recent) = recent {
        put(rows, run, &mut count, &recent.encode())?;
        let mut bytes = Vec::new();
        for shard in 0..SHARDS {
            take_shard(writing, ShardId(shard as u8), &mut bytes, run, &mut count)?;
        }
        if !bytes.is_empty() {
            put(rows, run, &mut count, &bytes)?;
        }
    }
    for number in count..writing.shared.checkpoints.recent_rows() {
        run.remove(&name(number)).map_err(|error| rows.failed(error))?;
    }
    Ok(count)
}

fn put(rows: &Rows, run: &mut RunWriter<'_>, count: &mut u32, bytes: &[u8]) -> Result<(), CheckpointError> {
    run.put(&name(*count), None, &[bytes]).map_err(|error| rows.failed(error))?;
    *count += 1;
    Ok(())
}

fn take_shard(
    writing: &mut Writing<'_>,
    shard: ShardId,
    bytes: &mut Vec<u8>,
    run: &mut RunWriter<'_>,
    count: &mut u32,
) -> Result<(), CheckpointError> {
    let rows = writing.rows;
    let mut put_if_due = |bytes: &mut Vec<u8>, run: &mut RunWriter<'_>| match bytes.len() >= RECENT_ROW_BYTES {
        true => put(rows, run, count, &std::mem::take(bytes)),
        false => Ok(()),
    };
    let names = writing.lock(shard).suffix.frozen();
    for some in names.chunks(CHECKPOINT_STEP_KEYS) {
        let mut guard = writing.lock(shard);
        some.iter().for_each(|name| guard.suffix.take_frozen(*name, bytes));
        drop(guard);
        put_if_due(bytes, run)?;
        writing.pause()?;
    }
    let left = writing.lock(shard).suffix.thaw();
    bytes.extend_from_slice(&left);
    put_if_due(bytes, run)
}

/// Hands the rows to `visit`, if there are any: what the first says, then recent effects; how many.
fn each(rows: &Rows, mut visit: impl FnMut(u32, &[u8]) -> Result<(), WireError>) -> mvcc::Result<Result<u32, String>> {
    let mut count = 0;
    let span = Span::new(&[RECENT], &[RECENT + 1]);
    let flow = rows.store.for_each(span, Timestamp::LATEST, |key, Version { value, .. }| {
        if key != name(count) {
            return ControlFlow::Break(format!("a row of recent effects is missing: {count}"));
        }
        match visit(count, &value) {
            Ok(()) => count += 1,
            Err(error) => return ControlFlow::Break(format!("the row {count} of recent effects: {error}")),
        }
        ControlFlow::Continue(())
    })?;
    Ok(match flow {
        ControlFlow::Break(reason) => Err(reason),
        ControlFlow::Continue(()) => Ok(count),
    })
}

/// Brings back what the rows have.
pub(super) fn load(shared: &Shared, rows: &Rows) -> mvcc::Result<Result<Option<Recent>, String>> {
    let mut first = None;
    let loaded = each(rows, |number, bytes| match number {
        0 => Recent::decode(bytes).map(|recent| first = Some(recent)),
        _ => suffix::restore(shared, bytes),
    })?;
    let opened = loaded.and_then(|count| match suffix::open_all(shared) {
        Ok(()) => Ok(count),
        Err(error) => Err(format!("keys with recent effects: {error}")),
    });
    Ok(opened.map(|count| {
        shared.checkpoints.note_recent_rows(count);
        first
    }))
}

/// Whether they can all be read.
pub(crate) fn verify(rows: &Rows) -> mvcc::Result<Result<(), String>> {
    let read = each(rows, |number, bytes| match number {
        0 => Recent::decode(bytes).map(drop),
        _ => suffix::verify(bytes),
    })?;
    Ok(read.map(drop))
}

/// The keys that the rows have recent effects of. For tests.
#[cfg(test)]
pub(crate) fn keys(rows: &Rows) -> std::collections::BTreeSet<Vec<u8>> {
    let mut keys = std::collections::BTreeSet::new();
    let add = |number: u32, bytes: &[u8]| {
        if number > 0 {
            keys.append(&mut suffix::split(bytes));
        }
        Ok(())
    };
    each(rows, add).expect("rows can be read").expect("they are whole");
    keys
}

impl Recent {
    /// What is so now; every shard is locked.
    pub(super) fn now(shared: &Shared, heads: Heads, waymarks: Waymarks) -> Self {
        let (state, swaps) = (shared.state(), shared.swaps.lock().clone());
        let (exclusives, again) = (Kept::default(), shared.replication.again.done());
        Self { state, needed: shared.kept.peers(), heads, waymarks, swaps, exclusives, again }
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.extend_from_slice(&self.state.encode());
        out.push(u8::from(self.needed.is_some()));
        if let Some((vector, bytes)) = &self.needed {
            out.extend_from_slice(&bytes.to_le_bytes());
            vector.encode(&mut out);
        }
        let mut heads: Vec<_> = self.heads.last.iter().collect();
        heads.sort_unstable();
        put_varint(&mut out, heads.len() as u64);
        for (origin, hlc) in heads {
            out.extend_from_slice(&origin.0.to_le_bytes());
            out.extend_from_slice(&hlc.0.to_le_bytes());
        }
        put_contexts(&mut out, &self.heads.unsaid);
        put_contexts(&mut out, self.waymarks.contexts());
        put_varint(&mut out, self.waymarks.iter().len() as u64);
        for Waymark { position, vector, contexts } in self.waymarks.iter() {
            out.extend_from_slice(&position.get().to_le_bytes());
            vector.encode(&mut out);
            put_contexts(&mut out, contexts);
        }
        self.swaps.encode(&mut out);
        self.exclusives.encode(&mut out);
        self.again.encode(&mut out);
        out
    }

    fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let mut from = Reader::new(bytes);
        let version = from.u8()?;
        if ![VERSION, VERSION_BEFORE, VERSION_WITHOUT].contains(&version) {
            return Err(WireError::Invalid { what: "version of recent effects", at: 0 });
        }
        let state = State::read(&mut from)?;
        let needed = match from.u8()? {
            0 => None,
            _ => {
                let bytes = from.u64()?;
                Some((Vector::decode(&mut from)?, bytes))
            }
        };
        let mut last = HashMap::new();
        for _ in 0..from.varint()? {
            last.insert(Origin(from.u64()?), Hlc(from.u64()?));
        }
        let heads = Heads { last, unsaid: contexts(&mut from)? };
        let said = contexts(&mut from)?;
        let mut marks = Vec::new();
        for _ in 0..from.varint()? {
            let (position, vector) = (Position(from.u64()?), Vector::decode(&mut from)?);
            marks.push(Waymark { position, vector, contexts: contexts(&mut from)? });
        }
        let swaps = Swaps::decode(&mut from)?;
        let exclusives = if version >= VERSION_BEFORE { Kept::decode(&mut from)? } else { Kept::default() };
        let again = if version == VERSION { Vector::decode(&mut from)? } else { Vector::default() };
        match from.remaining() {
            0 => Ok(Self { state, needed, heads, waymarks: Waymarks::of(marks, said), swaps, exclusives, again }),
            _ => Err(WireError::Invalid { what: "bytes behind recent effects", at: from.offset() }),
        }
    }
}

fn put_contexts(out: &mut Vec<u8>, contexts: &HashMap<Origin, Vector>) {
    let mut all: Vec<_> = contexts.iter().collect();
    all.sort_unstable_by_key(|(origin, _)| **origin);
    put_varint(out, all.len() as u64);
    for (origin, context) in all {
        out.extend_from_slice(&origin.0.to_le_bytes());
        context.encode(out);
    }
}

fn contexts(from: &mut Reader<'_>) -> Result<HashMap<Origin, Vector>, WireError> {
    let mut contexts = HashMap::new();
    for _ in 0..from.varint()? {
        let origin = Origin(from.u64()?);
        contexts.insert(origin, Vector::decode(from)?);
    }
    Ok(contexts)
}

#[cfg(test)]
mod tests {
    use effect::Dot;

    use super::*;
    use crate::replica::Stable;

    fn vector(origin: u64, seq: u64) -> Vector {
        Vector::from_iter([Dot { origin: Origin(origin), seq }])
    }

    #[test]
    fn the_first_row_is_these_bytes() {
        let state = State { on: true, stable: Stable { vector: vector(1, 2), hlc: Some(Hlc(3)) } };
        let heads =
            Heads { last: HashMap::from([(Origin(4), Hlc(5))]), unsaid: HashMap::from([(Origin(6), vector(7, 8))]) };
        let contexts = HashMap::from([(Origin(9), vector(10, 11))]);
        let mark = Waymark { position: Position(12), vector: vector(13, 14), contexts: HashMap::new() };
        let waymarks = Waymarks::of(vec![mark], contexts);
        let recent = Recent {
            state,
            needed: Some((vector(15, 16), 17)),
            heads,
            waymarks,
            swaps: Swaps::default(),
            exclusives: Kept::default(),
            again: vector(18, 19),
        };
        let bytes = recent.encode();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let u64 = |n: u8| format!("{n:02x}00000000000000");
        let vector = |origin: u8, seq: u8| format!("01{}{seq:02x}", u64(origin));
        let expected = [
            "03".into(),
            format!("03{}{}", u64(3), vector(1, 2)),
            format!("01{}{}", u64(17), vector(15, 16)),
            format!("01{}{}", u64(4), u64(5)),
            format!("01{}{}", u64(6), vector(7, 8)),
            format!("01{}{}", u64(9), vector(10, 11)),
            format!("01{}{}00", u64(12), vector(13, 14)),
            "00".into(),
            "0000".into(),
            vector(18, 19),
        ];
        assert_eq!(hex, expected.concat());
        assert_eq!(Recent::decode(&bytes), Ok(recent));
        assert!((0..bytes.len()).all(|len| Recent::decode(&bytes[..len]).is_err()), "a cut row is refused");
        let again = Vector::new();
        let older = Recent { again, ..Recent::decode(&bytes).unwrap() };
        for (version, lacks) in [(VERSION_BEFORE, 10), (VERSION_WITHOUT, 12)] {
            let without = [&[version], &bytes[1..bytes.len() - lacks]].concat();
            assert_eq!(Recent::decode(&without).as_ref(), Ok(&older), "rows of before have none");
        }
    }
}
