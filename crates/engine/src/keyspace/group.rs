//! The keyspaces of a group: defined on any of its nodes, known to all of them.
//!
//! ```text
//!   KEYSPACE SET ─▶ effect `GroupDefine` ─▶ log ─▶ the table here ─▶ what transactions that begin from now on go by
//!                                            └───▶ log and table of every other node, and of who joins or comes back
//! ```
//! They are no keys: nothing that is done to keys or databases touches them. What concurrent definitions make of each other is known to
//! [`effect::GroupKeyspaces`] (`docs/decisions/0028-definitions-are-effects.md`).
//!
//! *Invariant:* whoever asks sees all keyspaces as they are before an effect or behind it.
//! *Invariant:* the table is what the log up to here says, for whoever holds all shards: one of them is locked from before a definition
//! is logged until it is in the table.
//! *Invariant:* what was answered is durable.

use std::sync::Arc;

use effect::codec::DotShape;
use effect::items::BytesShape;
use effect::{
    BatchBuf, DEFAULT_KEYSPACE, Dot, Effect, GroupDefinition, GroupKeyspace, GroupKeyspaces, KeyspaceId, Op, Seq,
    SeqBuf,
};
use parking_lot::RwLock;
use wal::Position;

use super::KeyspaceError;
use super::admin::{check_name, check_patterns};
use crate::context::Context;
use crate::engine::{Engine, Shared};
use crate::limits::KEYSPACES_MAX;
use crate::suffix::Written;

/// What is said of a keyspace of a group; what is left out stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupKeyspaceChange {
    /// Glob patterns of its keys.
    pub patterns: Option<Vec<Vec<u8>>>,
    /// Whether both sides of a partition go on with transactions on its keys.
    pub is_unsafe: Option<bool>,
}

/// See the module.
pub(crate) struct GroupTable(RwLock<(GroupKeyspaces, Arc<[GroupKeyspace]>)>);

impl Default for GroupTable {
    fn default() -> Self {
        let none = GroupKeyspaces::default();
        let shown = none.shown().into();
        Self(RwLock::new((none, shown)))
    }
}

impl GroupTable {
    /// Applies an effect that is logged.
    pub(crate) fn take(&self, effect: &Effect<'_>, written: &Written<'_>) {
        let mut table = self.0.write();
        table.0.apply(effect, written.dot, written.hlc);
        table.1 = table.0.shown().into();
    }

    /// What a checkpoint had.
    pub(crate) fn restore(&self, keyspaces: GroupKeyspaces) {
        let shown = keyspaces.shown().into();
        *self.0.write() = (keyspaces, shown);
    }

    /// What a checkpoint must have.
    pub(crate) fn save(&self) -> GroupKeyspaces {
        self.0.read().0.clone()
    }

    pub(crate) fn see<R>(&self, look: impl FnOnce(&GroupKeyspaces) -> R) -> R {
        look(&self.0.read().0)
    }
}

/// Hands on the effect that puts this in the place of all that is known of the name.
pub(crate) fn with_definition<R>(
    known: &GroupKeyspaces,
    name: &[u8],
    definition: Option<GroupDefinition<'_>>,
    see: impl FnOnce(&Effect<'_>) -> R,
) -> R {
    let mut deps = SeqBuf::new(DotShape);
    known.tips(name).for_each(|dot| deps.push(dot));
    let (keyspace, op) = (KeyspaceId::DEFAULT, Op::GroupDefine(definition));
    see(&Effect { keyspace, db: 0, key: name, fresh: false, deps: deps.seq(), op })
}

impl GroupKeyspaceChange {
    /// What the keyspace is then.
    fn apply(&self, before: Option<&GroupKeyspace>, name: &str) -> Result<GroupKeyspace, KeyspaceError> {
        check_name(name)?;
        let patterns = self.patterns.clone().or_else(|| before.map(|before| before.patterns.clone()));
        let patterns = patterns.ok_or(KeyspaceError::Missing("MATCH"))?;
        let is_unsafe = self.is_unsafe.or_else(|| before.map(|before| before.is_unsafe));
        let is_unsafe = is_unsafe.ok_or(KeyspaceError::Missing("SAFETY"))?;
        match name {
            DEFAULT_KEYSPACE if self.patterns.is_some() => return Err(KeyspaceError::GroupDefault),
            DEFAULT_KEYSPACE => {}
            _ => check_patterns(&patterns)?,
        }
        Ok(GroupKeyspace { name: name.into(), patterns, is_unsafe })
    }
}

impl Engine {
    /// The keyspaces of the group, in the order in which they are asked for a key; the last is `default`. It is another one after each change.
    pub fn group_keyspaces(&self) -> Arc<[GroupKeyspace]> {
        Arc::clone(&self.shared.keyspaces.group.0.read().1)
    }

    /// Defines a keyspace of the group, or changes one. Returns when that is durable here, with where it stands in the log.
    pub fn define_group_keyspace(&self, name: &str, change: &GroupKeyspaceChange) -> Result<Position, KeyspaceError> {
        let shared = &*self.shared;
        let _admin = shared.keyspaces.admin.lock();
        let all = self.group_keyspaces();
        let before = all.iter().find(|keyspace| keyspace.name == name);
        let GroupKeyspace { patterns, is_unsafe, .. } = change.apply(before, name)?;
        if before.is_none() && all.len() > KEYSPACES_MAX {
            return Err(KeyspaceError::TooMany);
        }
        let mut seq = SeqBuf::new(BytesShape);
        patterns.iter().for_each(|pattern| seq.push(pattern));
        self.log_group_definition(name, Some((is_unsafe, seq.seq())))
    }

    /// Ends a keyspace of the group; as [`Engine::define_group_keyspace`].
    pub fn delete_group_keyspace(&self, name: &str) -> Result<Position, KeyspaceError> {
        if name == DEFAULT_KEYSPACE {
            return Err(KeyspaceError::GroupDefault);
        }
        let _admin = self.shared.keyspaces.admin.lock();
        if self.group_keyspaces().iter().all(|keyspace| keyspace.name != name) {
            return Err(KeyspaceError::Unknown);
        }
        self.log_group_definition(name, None)
    }

    fn log_group_definition(
        &self,
        name: &str,
        definition: Option<(bool, Seq<'_, BytesShape>)>,
    ) -> Result<Position, KeyspaceError> {
        let (shared, name) = (&*self.shared, name.as_bytes());
        let shard = &shared.shards[usize::from(shared.place_of(name).shard.0)];
        let position = {
            // Nobody else applies a definition of this name, and no checkpoint begins.
            let _guard = shard.lock();
            let mut batch = BatchBuf::new(shared.group, shared.origin());
            let table = &shared.keyspaces.group;
            table.see(|known| {
                let first = known.first(name);
                let definition = definition.map(|(is_unsafe, patterns)| GroupDefinition { is_unsafe, first, patterns });
                with_definition(known, name, definition, |effect| batch.push(effect));
            });
            let logged = Context::log(shared, self.now_ms(), &mut batch)?;
            let written =
                Written { dot: Dot { origin: shared.origin(), seq: logged.seq }, hlc: logged.hlc, context: None };
            batch.each_before(batch.mark(), |effect| table.take(effect, &written));
            logged.position
        };
        shared.log.commit(position)?;
        Ok(position)
    }
}

impl Shared {
    /// The definitions of the group's keyspaces, for a checkpoint; `None`: there are none.
    pub(crate) fn saved_group_keyspaces(&self) -> Option<Vec<u8>> {
        let saved = self.keyspaces.group.save();
        (!saved.is_empty()).then(|| {
            let mut bytes = Vec::new();
            saved.encode(&mut bytes);
            bytes
        })
    }
}
