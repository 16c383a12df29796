//! Definitions of the group's keyspaces: batches that say what real ones say, to the code that real nodes have.
//!
//! ```text
//! batch := 0xb2 ‖ name u8 ‖ what u8: 0 ends it, 1 safe, 2 unsafe ‖ a batch as `effect` has it
//! ```

use causal::Entry;
use effect::codec::DotShape;
use effect::items::BytesShape;
use effect::{
    Batch, BatchBuf, DEFAULT_KEYSPACE, Dot, Effect, GroupDefinition, GroupId, GroupKeyspaces, KeyspaceId, Op, Origin,
    SeqBuf,
};

/// The first byte of such a batch.
pub const DEFINITION: u8 = 0xb2;

/// What is defined.
pub const NAMES: [&str; 3] = ["a", "b", DEFAULT_KEYSPACE];

/// The keyspace that a batch is about, and whether it ends it.
pub fn named(bytes: &[u8]) -> (u8, bool) {
    (bytes.get(1).copied().unwrap_or_default(), bytes.get(2) == Some(&0))
}

/// The bytes of what a client says of a keyspace where these are known.
pub fn bytes(known: &GroupKeyspaces, origin: Origin, name: u8, what: u8) -> Vec<u8> {
    let key = NAMES[usize::from(name)].as_bytes();
    let (mut deps, mut patterns) = (SeqBuf::new(DotShape), SeqBuf::new(BytesShape));
    known.tips(key).for_each(|dot| deps.push(dot));
    patterns.push(&[what]);
    let (is_unsafe, first) = (what == 2, known.first(key));
    let definition = (what > 0).then(|| GroupDefinition { is_unsafe, first, patterns: patterns.seq() });
    let (keyspace, op) = (KeyspaceId::DEFAULT, Op::GroupDefine(definition));
    let mut batch = BatchBuf::new(GroupId(0), origin);
    batch.push(&Effect { keyspace, db: 0, key, fresh: false, deps: deps.seq(), op });
    [&[DEFINITION, name, what], batch.encoded()].concat()
}

/// A node applies a batch: as its last effect.
pub fn apply(known: &mut GroupKeyspaces, entry: &Entry) {
    let batch = Batch::decode(&entry.bytes[3..]).expect("a batch as it was written");
    batch.effects().for_each(|effect| known.apply(&effect.expect("an effect"), entry.last(), entry.last_hlc()));
}

/// Which definitions count, by the number that the checks have for their names.
pub fn digest(known: &GroupKeyspaces) -> impl Iterator<Item = (u8, Vec<Dot>)> {
    (DEFINITION..).zip(NAMES).map(|(number, name)| (number, known.tips(name.as_bytes()).collect()))
}
