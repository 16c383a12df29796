//! All limits of transactions, with unit and reason.

/// Most voters of an epoch. Ballots name their proposer in so many bits ([`super::Ballot`]); more replicas than this would
/// make each transaction wait for too many.
pub const MAX_VOTERS: usize = 1 << VOTER_BITS;

/// Bits of a ballot that name its proposer.
pub const VOTER_BITS: u32 = 6;

/// Most undecided binds that one node has begun: beyond it `TRYAGAIN`. What a node keeps for binds of others is bounded by
/// this times the members, and by how far stability lags.
pub const MAX_BEGUN: usize = 1 << 14;

/// Most keys of one bind, as in an effect.
pub const MAX_KEYS: usize = effect::limits::MAX_BIND_KEYS;

/// Most doublings of the pause between two recoveries of one bind: 64 times the first.
pub const MAX_DOUBLINGS: u32 = 6;

/// Transactions that abort one after the other on a key until its transactions go through one leader.
pub const DEFAULT_SERIALIZATION_THRESHOLD: u32 = 3;

/// Milliseconds without a transaction after which a leader lets go of a key.
pub const QUIET_RELEASE_MS: u64 = 5_000;

/// Milliseconds that a forwarded EXEC may take until its client is told to try again.
pub const FORWARD_TIMEOUT_MS: u64 = 5_000;

/// Most keys of which aborts are counted; beyond it those that were quiet longest are forgotten.
pub const MAX_COUNTED_KEYS: usize = 1 << 14;

/// Milliseconds that a group of unsafe binds waits at most, however many join it; also the wait where no round trip is known.
pub const HORIZON_HARD_MS: u64 = 500;

/// Most verdicts on unsafe binds that are asked for between two ticks: behind a long partition all become due at once, and each is an effect
/// that is logged and carried out.
pub const VERDICTS_A_TICK: usize = 256;

/// Most patterns of safety rules: each bind's keys are matched against all of them in the worst case.
pub const MAX_RULES: usize = 1 << 12;

/// Most arguments of all commands of a forwarded EXEC: each costs some memory, however short it is.
pub const MAX_ARGUMENTS: usize = 1 << 20;

const _: () = assert!(VOTER_BITS < 16 && MAX_BEGUN >= MAX_VOTERS);
const _: () = assert!(FORWARD_TIMEOUT_MS <= QUIET_RELEASE_MS);
