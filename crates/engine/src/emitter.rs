//! What a command changes: effects, collected into one batch.

use effect::items::{BytesShape, FieldShape, ItemShape, RunShape};
use effect::{BatchBuf, BatchMark, Effect, KeyspaceId, Kind, ListPos, Merge, Op, Origin, Seq, SeqBuf};

use crate::context::Recycled;
use crate::engine::Shared;
use crate::keyspace::Aside;
use crate::shard::DbKey;
use crate::stop::{Known, Place};

/// Collects the effects of one command, EXEC or script.
///
/// Nothing that is emitted is visible before it is settled (to the same context) or committed (to all).
pub struct Emitter<'e> {
    shared: &'e Shared,
    db: u8,
    pub(crate) batch: &'e mut BatchBuf,
    known: Option<Known<'e>>,
    exclusive: bool,
    /// Where the key of the batch's first effect stands, if that is known.
    first: Option<Place>,
    /// Up to here the batch has been applied to the state already.
    pub(crate) settled: BatchMark,
    /// Something in the batch is no matter of the log alone: a cache's key, or a whole database while there is a cache.
    pub(crate) cached: bool,
    /// What else concerns caches.
    pub(crate) aside: Option<Box<Aside>>,
    /// Keys that were written without being changed.
    pub(crate) rewritten: Vec<DbKey>,
    memory: &'e mut Vec<Vec<u8>>,
}

impl<'e> Emitter<'e> {
    #[inline]
    pub(crate) fn new(shared: &'e Shared, recycled: &'e mut Recycled, known: Option<Known<'e>>, db: u8) -> Self {
        let Recycled { batch, memory } = recycled;
        let origin = shared.origin();
        let batch = batch.get_or_insert_with(|| BatchBuf::new(shared.group, origin));
        batch.clear();
        if batch.origin() != origin {
            *batch = BatchBuf::new(shared.group, origin);
        }
        let settled = batch.mark();
        Self {
            shared,
            db,
            batch,
            known,
            exclusive: false,
            first: None,
            settled,
            cached: false,
            aside: None,
            rewritten: Vec::new(),
            memory,
        }
    }

    /// The origin under which this node writes.
    pub fn origin(&self) -> Origin {
        self.batch.origin()
    }

    /// From now on what is emitted belongs to an exclusive transaction, which others do not see until it is decided.
    pub fn set_exclusive(&mut self) {
        self.exclusive = true;
    }

    /// The owner of the list positions that are opened. The plain writes of the same node, which do not see what its exclusive transactions
    /// opened until those are decided, must not open the same.
    pub fn list_owner(&self) -> u64 {
        let origin = self.origin().0;
        if self.exclusive { !origin } else { origin }
    }

    /// Where a list begins that is written as a whole.
    pub fn list_start(&self) -> ListPos {
        ListPos::new(0, self.list_owner(), 0)
    }

    /// The logical database that effects go to.
    pub fn db(&self) -> u8 {
        self.db
    }

    /// Sends the following effects to logical database `db`; returns the one before.
    pub fn select(&mut self, db: u8) -> u8 {
        std::mem::replace(&mut self.db, db)
    }

    /// Says that `op` happens to `key`. `fresh`: the command found the key absent or expired.
    #[inline]
    pub fn emit(&mut self, key: &[u8], fresh: bool, op: Op<'_>) {
        if self.batch.is_empty() {
            self.first = self.known.and_then(|known| known.place_of(key));
        }
        if self.shared.keyspaces.is_active() {
            return self.emit_by_name(key, fresh, op);
        }
        let db = self.shared.physical(self.db);
        let deps = Seq::empty(effect::codec::DotShape);
        self.batch.push(&Effect { keyspace: KeyspaceId::DEFAULT, db, key, fresh, deps, op });
    }

    /// The same where there are keyspaces.
    #[cold]
    #[inline(never)]
    fn emit_by_name(&mut self, key: &[u8], fresh: bool, op: Op<'_>) {
        let keyspace = self.keyspace_of(key, &op);
        self.emit_as(keyspace, key, fresh, op);
    }

    /// As [`Emitter::emit`], for a key that is held by a keyspace whatever its name says.
    pub(crate) fn emit_as(&mut self, keyspace: KeyspaceId, key: &[u8], fresh: bool, op: Op<'_>) {
        self.cached |= keyspace != KeyspaceId::DEFAULT;
        let db = self.shared.physical(self.db);
        let deps = Seq::empty(effect::codec::DotShape);
        self.batch.push(&Effect { keyspace, db, key, fresh, deps, op });
    }

    /// Says something about a keyspace as such. Every shard must be locked.
    pub(crate) fn about_space(&mut self, keyspace: KeyspaceId, name: &[u8], op: Op<'_>) {
        self.cached = true;
        let deps = Seq::empty(effect::codec::DotShape);
        self.batch.push(&Effect { keyspace, db: 0, key: name, fresh: false, deps, op });
    }

    fn keyspace_of(&mut self, key: &[u8], op: &Op<'_>) -> KeyspaceId {
        if matches!(op, Op::FlushDb | Op::FlushAll) {
            self.cached = true;
            return KeyspaceId::DEFAULT;
        }
        // A key that moves is held elsewhere up to now: the commit takes note.
        self.cached |= self.shared.keyspaces.is_moving() || self.shared.keyspaces.is_mixed();
        self.shared.keyspaces.id_of_key(key)
    }

    /// What else concerns caches.
    #[cold]
    pub(crate) fn aside(&mut self) -> &mut Aside {
        self.aside.get_or_insert_default()
    }

    /// Adds an effect on a key of a physical database that the batch has written already.
    pub(crate) fn again(&mut self, db: u8, key: &[u8], op: Op<'_>) {
        let deps = Seq::empty(effect::codec::DotShape);
        self.batch.push(&Effect { keyspace: KeyspaceId::DEFAULT, db, key, fresh: false, deps, op });
    }

    /// Goes back to `to`: nothing that was emitted since counts.
    pub(crate) fn rewind(&mut self, to: BatchMark, rewritten: usize) {
        self.batch.rewind(to);
        self.settled = to;
        self.rewritten.truncate(rewritten);
        if let Some(aside) = &mut self.aside {
            let len = self.batch.len();
            aside.moves.retain(|at| *at < len);
        }
    }

    /// Forgets all that was emitted.
    pub(crate) fn forsake(&mut self) {
        self.rewind(BatchMark::START, 0);
    }

    /// Whether there is any keyspace but `default`.
    pub fn has_keyspaces(&self) -> bool {
        self.shared.keyspaces.is_active()
    }

    /// Whether a value may go from one name to another by [`Emitter::rename`]: only where the log holds both, and where nobody
    /// writes to either at the same time. Else it is removed here and written as a whole there.
    pub fn may_rename(&self, from: &[u8], to: &[u8]) -> bool {
        let logged = |key: &[u8]| self.shared.keyspaces.id_of_key(key) == KeyspaceId::DEFAULT;
        !self.shared.replicates() && (!self.shared.keyspaces.is_active() || logged(from) && logged(to))
    }

    /// Says that `key` was written though it is what it was: for those who watch it Redis counts that as a change.
    pub fn rewritten(&mut self, key: &[u8]) {
        if self.shared.notes_rewrites() {
            self.rewritten.push((self.db, key.into()));
        }
    }

    /// Says that the key, which exists, goes.
    pub fn remove(&mut self, key: &[u8]) {
        self.emit(key, false, Op::Remove);
    }

    /// Says that the value at `key`, if [`Emitter::may_rename`] allows it, in the current database moves to `to` in logical database `db`.
    pub fn rename(&mut self, key: &[u8], db: u8, to: &[u8]) {
        let db = self.shared.physical(db);
        self.emit(key, false, Op::Rename { keyspace: KeyspaceId::DEFAULT, db, key: to });
    }

    /// Says that logical databases `a` and `b` change places. Every shard must be locked.
    pub fn swap_dbs(&mut self, a: u8, b: u8) {
        let deps = Seq::empty(effect::codec::DotShape);
        let op = Op::SwapDb(b);
        self.batch.push(&Effect { keyspace: KeyspaceId::DEFAULT, db: a, key: b"", fresh: false, deps, op });
    }

    /// The place of the batch's first effect, if it is known and the effect has not been settled.
    pub(crate) fn place_of_first(&self) -> Option<Place> {
        self.first.filter(|_| self.settled == BatchMark::START)
    }

    /// Whether nothing has been emitted.
    pub fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }

    /// A list of identities (or list values) to build; hand it back to [`Emitter::recycle`].
    #[inline]
    pub fn ids(&mut self) -> SeqBuf<BytesShape> {
        SeqBuf::reuse(BytesShape, self.memory.pop().unwrap_or_default())
    }

    /// Elements with values to build; hand it back to [`Emitter::recycle`].
    pub fn items(&mut self, kind: Kind, merge: Merge) -> SeqBuf<ItemShape> {
        SeqBuf::reuse(ItemShape { kind, merge }, self.memory.pop().unwrap_or_default())
    }

    /// Fields with deadlines to build; hand it back to [`Emitter::recycle`].
    pub fn fields(&mut self) -> SeqBuf<FieldShape> {
        SeqBuf::reuse(FieldShape, self.memory.pop().unwrap_or_default())
    }

    /// Runs of list positions to build; hand it back to [`Emitter::recycle`].
    #[inline]
    pub fn runs(&mut self) -> SeqBuf<RunShape> {
        SeqBuf::reuse(RunShape { home: self.origin().0 }, self.memory.pop().unwrap_or_default())
    }

    /// Takes memory back for the next sequence.
    #[inline]
    pub fn recycle<S: effect::items::Shape>(&mut self, seq: SeqBuf<S>) {
        let memory = seq.into_memory();
        if self.memory.len() < 4 && memory.capacity() <= 16 << 10 {
            self.memory.push(memory);
        }
    }
}
