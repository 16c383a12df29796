//! One command's effects, or one EXEC's, or one script's: logged, shipped and applied together or not at all.
//!
//! ```text
//! batch := version u8 ‖ flags u8 ‖ group u32 LE ‖ origin u64 LE ‖ first_seq u64 LE ‖ hlc u64 LE
//!          ‖ [context] ‖ [trace 24 bytes] ‖ count varint ‖ effect*
//! flags  : bit 0 context follows, bit 1 trace context follows
//! context := count varint ‖ (origin u64 LE ‖ seq varint)*     what the origin had applied before this batch
//! ```
//! Effect `i` of a batch has the dot `(origin, first_seq + i)` and the timestamp `hlc + i`.

use crate::codec::{self, DotShape};
use crate::hlc::Hlc;
use crate::id::{Dot, GroupId, Origin};
use crate::items::Seq;
use crate::op::Effect;
use crate::trace::TraceContext;
use crate::wire::{Reader, WireError, varint_len, write_varint};

/// The version that this code writes.
pub const BATCH_VERSION: u8 = 1;
/// Bytes before the count of a batch without context and trace.
const HEADER_BYTES: usize = 30;
/// Room before the effects of a batch under construction, for what a log or a wire puts there: a header, a trace and three varints.
const FRONT_BYTES: usize = 88;
const FLAGS_AT: usize = 1;
const GROUP_AT: usize = 2;
const ORIGIN_AT: usize = 6;
const SEQ_AT: usize = 14;
const HLC_AT: usize = 22;
pub(crate) const HAS_CONTEXT: u8 = 1;
pub(crate) const HAS_TRACE: u8 = 2;

/// A batch under construction. It is reused from command to command.
///
/// Its effects are complete bytes as soon as they are pushed; sequence number and timestamp are filled in by
/// [`BatchBuf::stamp`], in the sequencer's critical section.
#[derive(Debug)]
pub struct BatchBuf {
    header: [u8; HEADER_BYTES],
    /// The room in front, then the effects.
    bytes: Vec<u8>,
    count: u64,
    home: u64,
    trace: Option<TraceContext>,
}

/// The length of a batch's effects at some moment: a point to go back to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchMark {
    bytes: usize,
    count: u64,
}

impl BatchMark {
    /// The beginning of every batch.
    pub const START: Self = Self { bytes: 0, count: 0 };
}

impl BatchBuf {
    pub(crate) const SOURCE_BYTES: usize = SEQ_AT - GROUP_AT;

    /// An empty batch of `origin` in `group`.
    pub fn new(group: GroupId, origin: Origin) -> Self {
        let mut header = [0; HEADER_BYTES];
        header[0] = BATCH_VERSION;
        header[GROUP_AT..ORIGIN_AT].copy_from_slice(&group.0.to_le_bytes());
        header[ORIGIN_AT..SEQ_AT].copy_from_slice(&origin.0.to_le_bytes());
        Self { header, bytes: vec![0; FRONT_BYTES], count: 0, home: origin.0, trace: None }
    }

    /// The origin whose batch this is.
    pub fn origin(&self) -> Origin {
        Origin(self.home)
    }

    /// The trace that the batch belongs to, until it is cleared.
    pub fn set_trace(&mut self, trace: Option<TraceContext>) {
        self.trace = trace;
    }

    /// The trace that it belongs to.
    pub fn trace(&self) -> Option<TraceContext> {
        self.trace
    }

    /// Adds an effect.
    #[inline]
    pub fn push(&mut self, effect: &Effect<'_>) {
        codec::encode(effect, self.home, &mut self.bytes);
        self.count += 1;
    }

    /// How many effects.
    pub fn len(&self) -> u64 {
        self.count
    }

    /// Whether nothing was pushed.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The encoded size in bytes.
    pub fn size(&self) -> usize {
        HEADER_BYTES + 10 + self.trace.map_or(0, |trace| trace.len()) + self.effects().len()
    }

    /// Where the batch ends now.
    pub fn mark(&self) -> BatchMark {
        BatchMark { bytes: self.effects().len(), count: self.count }
    }

    /// Drops what was pushed since `mark`.
    pub fn rewind(&mut self, mark: BatchMark) {
        self.bytes.truncate(FRONT_BYTES + mark.bytes);
        self.count = mark.count;
    }

    /// Empties the batch; memory beyond what ordinary commands need is given back.
    #[inline]
    pub fn clear(&mut self) {
        if self.bytes.capacity() > KEEP_BYTES {
            self.bytes = Vec::with_capacity(KEEP_BYTES);
            self.bytes.resize(FRONT_BYTES, 0);
        }
        self.rewind(BatchMark::START);
        self.trace = None;
    }

    /// Whether one of the effects may keep a deadline: of a single one it is known without reading it.
    #[inline]
    pub fn may_keep_deadlines(&self) -> bool {
        self.count != 1 || says_keep(self.effects())
    }

    /// Hands the effects since `mark`, which must come from this batch, on to `visit`.
    #[inline(always)]
    pub fn each_since(&self, mark: BatchMark, mut visit: impl FnMut(&Effect<'_>)) {
        let mut reader = Reader::new(&self.effects()[mark.bytes..]);
        for left in (0..self.count - mark.count).rev() {
            if left == 0 {
                reader = reader.at_own_end();
            }
            visit(&codec::decode(self.home, &mut reader).expect("the batch encoded its own effects"));
        }
    }

    /// Hands the effects before `mark` on to `visit`.
    pub fn each_before(&self, mark: BatchMark, mut visit: impl FnMut(&Effect<'_>)) {
        let mut reader = Reader::new(&self.effects()[..mark.bytes]);
        for left in (0..mark.count).rev() {
            if left == 0 {
                reader = reader.at_own_end();
            }
            visit(&codec::decode(self.home, &mut reader).expect("the batch encoded its own effects"));
        }
    }

    /// Fills in what the sequencer gave.
    #[inline]
    pub fn stamp(&mut self, first_seq: u64, hlc: Hlc) {
        self.header[SEQ_AT..HLC_AT].copy_from_slice(&first_seq.to_le_bytes());
        self.header[HLC_AT..HEADER_BYTES].copy_from_slice(&hlc.0.to_le_bytes());
    }

    #[inline]
    fn effects(&self) -> &[u8] {
        &self.bytes[FRONT_BYTES..]
    }

    /// Puts the number of effects in front of them.
    #[inline]
    pub(crate) fn with_count(&mut self) -> Front<'_> {
        let mut front = Front { bytes: &mut self.bytes, at: FRONT_BYTES };
        front.put(self.count);
        front
    }

    /// Puts header and number of effects in front of them: the whole batch.
    #[inline]
    pub(crate) fn with_header(&mut self) -> Front<'_> {
        let (mut header, trace) = (self.header, self.trace);
        let mut front = self.with_count();
        if let Some(trace) = trace {
            header[FLAGS_AT] |= HAS_TRACE;
            front.put_bytes(&trace);
        }
        front.put_bytes(&header);
        front
    }

    /// Group and origin.
    #[inline]
    pub(crate) fn source(&self) -> [u8; Self::SOURCE_BYTES] {
        self.header[GROUP_AT..SEQ_AT].try_into().expect("they stand one behind the other")
    }

    /// The encoded batch.
    pub fn encoded(&mut self) -> &[u8] {
        self.with_header().into_bytes()
    }
}

/// Bytes that grow towards their front, so that a length can be put before what it counts and all is written in one piece.
pub(crate) struct Front<'a> {
    bytes: &'a mut [u8],
    at: usize,
}

impl<'a> Front<'a> {
    /// How many bytes there are up to now.
    #[inline]
    pub fn len(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// Puts a varint before them.
    #[inline]
    pub fn put(&mut self, value: u64) {
        self.at -= varint_len(value);
        write_varint(&mut self.bytes[self.at..], value);
    }

    /// Puts bytes before them.
    #[inline]
    pub fn put_bytes(&mut self, bytes: &[u8]) {
        let end = self.at;
        self.at -= bytes.len();
        self.bytes[self.at..end].copy_from_slice(bytes);
    }

    /// All of them.
    #[inline]
    pub fn into_bytes(self) -> &'a [u8] {
        &self.bytes[self.at..]
    }
}

/// What an empty batch buffer keeps of its memory.
const KEEP_BYTES: usize = 64 << 10;

/// A batch as it stands in the log or on the wire.
#[derive(Debug, Clone)]
pub struct Batch<'a> {
    /// The group that orders it.
    pub group: GroupId,
    /// The identity of its first effect.
    pub first: Dot,
    /// The timestamp of its first effect.
    pub hlc: Hlc,
    /// What the origin had applied, where the batch says so.
    pub context: Option<Seq<'a, DotShape>>,
    /// The trace that the batch belongs to.
    pub trace: Option<TraceContext>,
    count: u64,
    effects: Reader<'a>,
}

impl<'a> Batch<'a> {
    /// Reads a batch. Its effects are checked as they are iterated.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, WireError> {
        let mut from = Reader::new(bytes);
        if from.u8()? != BATCH_VERSION {
            return Err(WireError::Invalid { what: "batch version", at: 0 });
        }
        let flags = from.u8()?;
        if flags & !(HAS_CONTEXT | HAS_TRACE) != 0 {
            return Err(WireError::Invalid { what: "batch flags", at: 1 });
        }
        let group = from.take(4)?.try_into().expect("take returned four bytes");
        let (origin, seq, hlc) = (Origin(from.u64()?), from.u64()?, Hlc(from.u64()?));
        let context = if flags & HAS_CONTEXT != 0 { Some(Seq::decode(DotShape, &mut from)?) } else { None };
        let trace = match flags & HAS_TRACE {
            0 => None,
            _ => Some(from.take(24)?.try_into().expect("take returned 24 bytes")),
        };
        let group = GroupId(u32::from_le_bytes(group));
        let count = read_count(&mut from, seq)?;
        Ok(Self { group, first: Dot { origin, seq }, hlc, context, trace, count, effects: from })
    }

    /// Reads count and effects of a batch that takes the rest of its identity from the one `before` it.
    pub(crate) fn follower(before: &Self, seq: u64, hlc: Hlc, bytes: &'a [u8]) -> Result<Self, WireError> {
        let mut from = Reader::new(bytes);
        let count = read_count(&mut from, seq)?;
        let first = Dot { origin: before.first.origin, seq };
        Ok(Self { group: before.group, first, hlc, context: None, trace: None, count, effects: from })
    }

    /// How many effects it says it has.
    pub fn len(&self) -> u64 {
        self.count
    }

    /// Whether it has no effect.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The effects as they are encoded.
    #[inline]
    pub(crate) fn encoded_effects(&self) -> &'a [u8] {
        self.effects.clone().rest()
    }

    /// The effects in order.
    pub fn effects(&self) -> Effects<'a> {
        Effects { home: self.first.origin.0, left: self.count, reader: self.effects.clone() }
    }
}

fn read_count(from: &mut Reader<'_>, seq: u64) -> Result<u64, WireError> {
    let count = from.varint()?;
    if count > from.remaining() as u64 || seq.checked_add(count).is_none() {
        return Err(WireError::Invalid { what: "number of effects", at: from.offset() });
    }
    Ok(count)
}

/// Iterates over the effects of a batch, checking each.
#[derive(Debug, Clone)]
pub struct Effects<'a> {
    home: u64,
    left: u64,
    reader: Reader<'a>,
}

impl<'a> Effects<'a> {
    /// Bytes of the batch that have not been read: the next effect begins so far before the batch's end.
    #[inline]
    pub fn remaining(&self) -> usize {
        self.reader.remaining()
    }

    /// The bytes that have not been read, for whoever will read the effect that they begin with with [`Effects::first`].
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        self.reader.clone().rest()
    }

    /// The effect that `bytes` begin with, which stood in a batch of `origin`: for whoever has noted where.
    #[inline]
    pub fn first(origin: Origin, bytes: &'a [u8]) -> Result<Effect<'a>, WireError> {
        codec::decode(origin.0, &mut Reader::new(bytes))
    }
}

impl<'a> Iterator for Effects<'a> {
    type Item = Result<Effect<'a>, WireError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return match self.reader.remaining() {
                0 => None,
                _ => {
                    let at = self.reader.offset();
                    self.reader.rest();
                    Some(Err(WireError::Invalid { what: "bytes behind the last effect", at }))
                }
            };
        }
        let effect = codec::decode(self.home, &mut self.reader);
        self.left = if effect.is_ok() { self.left - 1 } else { 0 };
        if effect.is_err() {
            self.reader.rest();
        }
        Some(effect)
    }
}

/// Whether the effect that these bytes begin with says that a deadline is kept, fresh or not.
#[inline]
fn says_keep(effect: &[u8]) -> bool {
    effect.get(1).is_some_and(|flags| flags & codec::DEADLINE == codec::KEEP)
}
