//! Keys that everybody wants: who leads their transactions, as an effect, and what a leader asks of the keys that another node's client
//! has watched.
//!
//! *Invariant:* who leads a key changes no value, makes no key exist and wakes nobody; nothing of it is kept.

use effect::codec::DotShape;
use effect::{BatchBuf, Dot, Effect, KeyspaceId, Op, Seq, Stamp, Vector};
use wal::Position;

use crate::context::Context;
use crate::engine::Engine;
use crate::error::Refusal;
use crate::shard::DbKey;
use crate::stop::Stop;
use crate::suffix;

/// Who leads the transactions of a key from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Serialized {
    /// The key, by physical database.
    pub key: DbKey,
    /// The leader, if there is one.
    pub leader: Option<u64>,
    /// When that was written, and by whom.
    pub stamp: Stamp,
}

impl Serialized {
    /// What an effect says of it.
    pub(crate) fn of(effect: &Effect<'_>, stamp: Stamp) -> Option<Self> {
        let Op::Serialize(leader) = effect.op else { return None };
        Some(Self { key: (effect.db, effect.key.into()), leader, stamp })
    }
}

/// What has become of a key since somebody has looked at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// Nothing.
    Unchanged,
    /// Something has come that he had not observed.
    Changed,
    /// Something is stable that he had not observed: whether it was about the key is forgotten.
    Unknown,
}

impl Engine {
    /// Logs who leads the transactions of a key of a physical database, as an effect of this node.
    pub fn emit_serialize(&self, key: DbKey, leader: Option<u64>) -> Result<Serialized, Refusal> {
        let shared = &*self.shared;
        let mut batch = BatchBuf::new(shared.group, shared.origin());
        let (deps, op) = (Seq::empty(DotShape), Op::Serialize(leader));
        batch.push(&Effect { keyspace: KeyspaceId::DEFAULT, db: key.0, key: &key.1, fresh: false, deps, op });
        let logged = Context::log(shared, self.now_ms(), &mut batch)?;
        let dot = Dot { origin: shared.origin(), seq: logged.seq };
        Ok(Serialized { key, leader, stamp: Stamp::new(dot, logged.hlc) })
    }

    /// Logs an effect of this node that changes nothing. Whoever has it has all that is here now.
    pub fn emit_noop(&self) -> Result<Position, Refusal> {
        let shared = &*self.shared;
        let mut batch = BatchBuf::new(shared.group, shared.origin());
        let (deps, op) = (Seq::empty(DotShape), Op::Noop);
        batch.push(&Effect { keyspace: KeyspaceId::DEFAULT, db: 0, key: b"", fresh: false, deps, op });
        Ok(Context::log(shared, self.now_ms(), &mut batch)?.position)
    }

    /// The physical number of a logical database, as it is now.
    pub fn physical_db(&self, db: u8) -> u8 {
        self.shared.physical(db)
    }
}

impl Context<'_> {
    /// What has become of a key of a physical database since a node had observed `seen`, all of which is here. Its shard is locked.
    ///
    /// A transaction changes its keys at its verdict: whoever had observed its effects has seen them only if he had observed one of
    /// its verdicts as well.
    pub fn since(&mut self, name: &DbKey, seen: &Vector) -> Result<Since, Stop> {
        let shared = self.shared;
        self.state.shard(shared.place_of(&name.1).shard)?;
        // Who settles says what is stable before he forgets anything of it: asked last, it tells of all that was forgotten before.
        let is_changed = suffix::has_unobserved(&mut self.state.guards, shared, name, seen)
            || shared.exclusives.has_unseen(name, seen);
        Ok(match is_changed {
            true => Since::Changed,
            false if seen.covers(&shared.replication.stable().vector) => Since::Unchanged,
            false => Since::Unknown,
        })
    }
}
