//! Sorted sets: members ordered by (score, bytes).
//!
//! ```text
//!   add      ZADD ZINCRBY                       conditions, increments
//!   read     ZSCORE ZRANK ZCOUNT …              one number
//!   range    ZRANGE and its older forms         ranks, streamed into the reply
//!   remove   ZREM ZREMRANGEBY…                  by member or by range
//!   pop      ZPOPMIN ZMPOP BZPOPMIN …           from either end, possibly waiting
//!   combine  ZUNION ZINTER ZDIFF …              several inputs (source), answered or stored
//!   random   ZRANDMEMBER        scan  ZSCAN
//! ```
//!
//! Every range is one of ranks ([`window`] turns scores and members into ranks), found in O(log n).
//!
//! *Invariant:* nothing here copies a sorted set to read from it; only what several inputs are combined into is built.

mod add;
mod bound;
mod combine;
mod pop;
mod random;
mod range;
mod read;
mod remove;
mod scan;
mod seen;
mod source;
mod specs;
mod store;
#[cfg(test)]
mod tests;
mod window;

use resp::Reply;

pub use specs::SPECS;

/// Writes members in order; with their scores in turn in RESP2, and as pairs in RESP3.
fn reply_members<'s>(reply: &mut Reply<'_>, members: impl ExactSizeIterator<Item = (&'s [u8], f64)>, scores: bool) {
    let pairs = scores && reply.is_resp3();
    let per_member = if scores && !pairs { 2 } else { 1 };
    reply.array(members.len() * per_member);
    for (member, score) in members {
        if pairs {
            reply.array(2);
        }
        reply.bulk(member);
        if scores {
            reply.double(score);
        }
    }
}

/// The score as it is kept.
///
/// DIFFERENCE: Redis forgets the sign of zero in small sorted sets and keeps it in large ones; here it is never kept.
fn unsigned_zero(score: f64) -> f64 {
    score + 0.0
}
