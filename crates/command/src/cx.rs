//! What a command's function is given: arguments, state, a place for effects and for the reply.

use effect::Deadline;
use engine::{Emitter, State, Stop};
use resp::{Args, Reply};

use crate::errors;
use crate::random::Random;
use crate::spec::Outcome;

/// Settings that commands read.
#[derive(Debug, Clone)]
pub struct Env {
    /// `databases`: logical databases that SELECT may name.
    pub databases: u16,
    /// `proto-max-bulk-len`: the longest string that a command may make, in bytes.
    pub max_string: u64,
    /// Sizes at which small collections become large ones: for OBJECT ENCODING.
    pub limits: engine::Limits,
    /// `maxmemory-policy` keeps access frequencies: OBJECT FREQ answers, OBJECT IDLETIME does not.
    pub lfu: bool,
}

impl Default for Env {
    fn default() -> Self {
        Self { databases: 16, max_string: 512 << 20, limits: engine::Limits::default(), lfu: false }
    }
}

/// One run of a command.
///
/// A run may stop at any access to `state` and be repeated from the beginning; so a command reads first, then emits,
/// and what it has written to `reply` before it stopped is dropped.
pub struct Cx<'c, 'e> {
    /// What it may read.
    pub state: &'c mut State<'e>,
    /// What it changes.
    pub out: &'c mut Emitter<'e>,
    /// The command and its arguments; number 0 is the name.
    pub args: Args<'c>,
    /// Where the reply goes.
    pub reply: Reply<'c>,
    /// Settings.
    pub env: &'c Env,
    /// Random numbers, handed in.
    pub random: &'c mut Random,
    /// Whether the command may wait for data: not within MULTI.
    pub may_block: bool,
    /// The client waits at the command's keys already: this is another try.
    pub waiting: bool,
}

impl<'c> Cx<'c, '_> {
    /// Argument `at`; the arity has been checked, so commands ask only for what is there.
    #[inline]
    pub fn arg(&self, at: usize) -> &'c [u8] {
        self.args.get(at).unwrap_or_default()
    }

    /// How many arguments, the name included.
    #[inline]
    pub fn argc(&self) -> usize {
        self.args.len()
    }

    /// The moment at which the command runs, unix ms.
    #[inline]
    pub fn now_ms(&self) -> i64 {
        self.state.now_ms()
    }

    /// Applies what was emitted so far to this command's own view, so that its later reads see it.
    pub fn settle(&mut self) {
        engine::settle(self.state, self.out);
    }

    /// Sends reads and effects to logical database `db`; returns the one before.
    pub fn select(&mut self, db: u8) -> u8 {
        self.out.select(db);
        self.state.select(db)
    }

    /// Waits for data until `timeout_ms` have passed (0: for ever); where waiting is not allowed, answers at once what
    /// the client would get at the end of its patience.
    pub fn block(&mut self, timeout_ms: i64, empty: Empty) -> Outcome {
        if !self.may_block {
            match empty {
                Empty::Array => self.reply.null_array(),
                Empty::Value => self.reply.null(),
            }
            return Ok(());
        }
        let until_ms = (timeout_ms > 0).then(|| self.now_ms().saturating_add(timeout_ms));
        Err(Stop::Block { until_ms, empty_array: empty == Empty::Array })
    }

    /// Refuses a string that would grow beyond the bound.
    pub fn check_string_len(&self, len: u64) -> Result<(), Stop> {
        if len > self.env.max_string { Err(errors::STRING_TOO_LONG) } else { Ok(()) }
    }

    /// A value's deadline kept as it is, if it has one; for effects that replace a whole string.
    pub fn keep(deadline: Option<i64>) -> Deadline {
        deadline.map_or(Deadline::Clear, Deadline::At)
    }
}

/// What a command answers that finds nothing where it may not wait: inside MULTI. A client that waited in vain gets a null
/// array in any case, as from Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Empty {
    /// A null array (BLPOP, BZPOPMIN, …).
    Array,
    /// A null (BLMOVE, BRPOPLPUSH).
    Value,
}
