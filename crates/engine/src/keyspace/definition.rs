//! What a keyspace is, and which keys are its own.

use effect::items::BytesShape;
use effect::wire::{Reader, put_bytes, put_varint};
use effect::{KeyspaceId, Mode, SeqBuf, WireError, glob};

/// A keyspace as it was defined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// Its number, which is never used again.
    pub id: KeyspaceId,
    /// Its name.
    pub name: String,
    /// How its keys are kept.
    pub mode: Mode,
    /// Glob patterns of its keys.
    pub patterns: Vec<Vec<u8>>,
    /// The bound on RAM in bytes.
    pub ram_bytes: u64,
    /// The bound on disk in bytes; 0: it has no disk tier.
    pub disk_bytes: u64,
    /// Whether the disk tier syncs, so that it is warm also after a power cut.
    pub fsync: bool,
    /// It matches nothing any more and goes once its keys have moved.
    pub leaving: bool,
    /// When it was last changed, counted in changes of definitions.
    pub epoch: u64,
}

impl Definition {
    /// Whether the key is its own, if no keyspace before it has it.
    pub fn matches(&self, key: &[u8]) -> bool {
        !self.leaving && self.patterns.iter().any(|pattern| glob::matches(pattern, key))
    }

    /// Shows this as the effect's operation.
    pub(crate) fn with_op<R>(&self, see: impl FnOnce(effect::Op<'_>) -> R) -> R {
        let mut patterns = SeqBuf::new(BytesShape);
        self.patterns.iter().for_each(|pattern| patterns.push(pattern));
        see(effect::Op::Define(effect::Definition {
            mode: self.mode,
            fsync: self.fsync,
            leaving: self.leaving,
            epoch: self.epoch,
            ram_bytes: self.ram_bytes,
            disk_bytes: self.disk_bytes,
            patterns: patterns.seq(),
        }))
    }

    /// What an effect defines.
    pub(crate) fn of(id: KeyspaceId, name: &[u8], op: &effect::Definition<'_>) -> Self {
        Self {
            id,
            name: String::from_utf8_lossy(name).into_owned(),
            mode: op.mode,
            patterns: op.patterns.iter().map(<[u8]>::to_vec).collect(),
            ram_bytes: op.ram_bytes,
            disk_bytes: op.disk_bytes,
            fsync: op.fsync,
            leaving: op.leaving,
            epoch: op.epoch,
        }
    }
}

/// All definitions, as a checkpoint holds them.
///
/// ```text
/// definitions := version u8 ‖ next id varint ‖ epoch varint ‖ moved varint ‖ count varint ‖ definition*
/// definition  := id varint ‖ name ‖ mode u8 ‖ flags u8 ‖ epoch varint ‖ ram varint ‖ disk varint
///                ‖ count varint ‖ pattern* ‖ count varint ‖ (db u8 ‖ generation varint)*
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Saved {
    pub(crate) next_id: u16,
    pub(crate) epoch: u64,
    /// Every key is where the definitions up to this epoch put it.
    pub(crate) moved: u64,
    /// In the order in which they are asked, each with the generations of its databases that are not 0.
    pub(crate) list: Vec<(Definition, Vec<(u8, u32)>)>,
}

const VERSION: u8 = 1;
const FSYNC: u8 = 1;
const LEAVING: u8 = 2;

impl Saved {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        put_varint(out, u64::from(self.next_id));
        put_varint(out, self.epoch);
        put_varint(out, self.moved);
        put_varint(out, self.list.len() as u64);
        for (definition, generations) in &self.list {
            put_varint(out, u64::from(definition.id.0));
            put_bytes(out, definition.name.as_bytes());
            out.push(definition.mode as u8);
            out.push(if definition.fsync { FSYNC } else { 0 } | if definition.leaving { LEAVING } else { 0 });
            put_varint(out, definition.epoch);
            put_varint(out, definition.ram_bytes);
            put_varint(out, definition.disk_bytes);
            put_varint(out, definition.patterns.len() as u64);
            definition.patterns.iter().for_each(|pattern| put_bytes(out, pattern));
            put_varint(out, generations.len() as u64);
            for (db, generation) in generations {
                out.push(*db);
                put_varint(out, u64::from(*generation));
            }
        }
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let mut from = Reader::new(bytes);
        if from.u8()? != VERSION {
            return Err(WireError::Invalid { what: "version of definitions", at: 0 });
        }
        let (next_id, epoch, moved) = (small(&mut from)?, from.varint()?, from.varint()?);
        let mut list = Vec::new();
        for _ in 0..from.varint()? {
            list.push(decode_one(&mut from)?);
        }
        Ok(Self { next_id, epoch, moved, list })
    }
}

fn small<T: TryFrom<u64>>(from: &mut Reader<'_>) -> Result<T, WireError> {
    let at = from.offset();
    T::try_from(from.varint()?).map_err(|_| WireError::Invalid { what: "number in definitions", at })
}

fn decode_one(from: &mut Reader<'_>) -> Result<(Definition, Vec<(u8, u32)>), WireError> {
    let id = KeyspaceId(small(from)?);
    let name = String::from_utf8_lossy(from.bytes()?).into_owned();
    let at = from.offset();
    let mode = Mode::from_u8(from.u8()?).ok_or(WireError::Invalid { what: "mode of a keyspace", at })?;
    let flags = from.u8()?;
    let (epoch, ram_bytes, disk_bytes) = (from.varint()?, from.varint()?, from.varint()?);
    let mut patterns = Vec::new();
    for _ in 0..from.varint()? {
        patterns.push(from.bytes()?.to_vec());
    }
    let mut generations = Vec::new();
    for _ in 0..from.varint()? {
        generations.push((from.u8()?, small(from)?));
    }
    let (fsync, leaving) = (flags & FSYNC != 0, flags & LEAVING != 0);
    Ok((Definition { id, name, mode, patterns, ram_bytes, disk_bytes, fsync, leaving, epoch }, generations))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(id: u16, name: &str, patterns: &[&str]) -> Definition {
        let patterns = patterns.iter().map(|p| p.as_bytes().to_vec()).collect();
        let (name, id) = (name.to_owned(), KeyspaceId(id));
        let (ram_bytes, disk_bytes, fsync, leaving) = (1 << 20, 1 << 33, true, false);
        Definition { id, name, mode: Mode::Cache, patterns, ram_bytes, disk_bytes, fsync, leaving, epoch: 300 }
    }

    /// The bytes of a checkpoint's row, which must not change.
    #[test]
    fn saved_definitions_are_these_bytes() {
        let gone = Definition { leaving: true, fsync: false, ..definition(2, "s", &[]) };
        let list = vec![(definition(1, "pages", &["page:*"]), vec![(0, 1), (9, 200)]), (gone, Vec::new())];
        let saved = Saved { next_id: 3, epoch: 300, moved: 299, list };
        let mut bytes = Vec::new();
        saved.encode(&mut bytes);
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let first = "01057061676573\
                     0101ac02808040808080802001\
                     06706167653a2a02000109c801";
        let second = "0201730102ac0280804080808080200000";
        assert_eq!(hex, format!("0103ac02ab0202{first}{second}"));
        assert_eq!(Saved::decode(&bytes), Ok(saved));
        assert!((0..bytes.len()).all(|len| Saved::decode(&bytes[..len]).is_err()), "a cut record is refused");
    }
}
