//! The declarations of the family.

use super::{add, combine, pop, random, range, read, remove, scan};
use crate::cx::Cx;
use crate::spec::{Flags, Group, Keys, Outcome, Run, Spec};

const READ: Flags = Flags::READONLY;
const FAST_READ: Flags = Flags::READONLY.and(Flags::FAST);
const WRITE: Flags = Flags::WRITE;
const FAST_WRITE: Flags = Flags::WRITE.and(Flags::FAST);
const GROW: Flags = Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST);
const STORE: Flags = Flags::WRITE.and(Flags::DENYOOM);
const MANY: Flags = Flags::READONLY.and(Flags::MOVABLE_KEYS);
const MANY_WRITE: Flags = Flags::WRITE.and(Flags::MOVABLE_KEYS);
const MANY_STORE: Flags = Flags::WRITE.and(Flags::DENYOOM).and(Flags::MOVABLE_KEYS);
const WAIT: Flags = Flags::WRITE.and(Flags::BLOCKING).and(Flags::MOVABLE_KEYS);
const WAIT_FAST: Flags = Flags::WRITE.and(Flags::NOSCRIPT).and(Flags::BLOCKING).and(Flags::FAST);

const RANGE: &str = "O(log(N)+M) with N being the number of members and M of those in the range";
const CUT: &str = "O(M*log(N)) with N being the number of members and M of those removed";
const POP: &str = "O(K+M*log(N)) with K being the number of keys, N of members and M of those popped";
const UNION: &str = "O(N)+O(M*log(M)) with N being the sizes of all inputs and M of the result";
const INTERSECTION: &str = "O(N*K)+O(M*log(M)) with N being the size of the smallest input, K the number of inputs and M the size of the result";
const DIFFERENCE: &str =
    "O(N*K)+O(M*log(M)) with N being the size of the first input, K the number of inputs and M the size of the result";

/// A declaration; its syntax and summary come behind.
const fn spec(name: &'static str, arity: i16, flags: Flags, keys: Keys, run: fn(&mut Cx<'_, '_>) -> Outcome) -> Spec {
    let (since, complexity, summary, syntax) = ("", "", "", "");
    Spec { name, arity, flags, keys, group: Group::SortedSet, since, complexity, summary, syntax, run: Run::Data(run) }
}

/// The declarations of this family.
pub const SPECS: &[Spec] = &[
    Spec {
        since: "1.2.0",
        complexity: "O(log(N)) for each member, with N being the number of members",
        summary: "Adds members with their scores, or gives members other scores; with options only under a \
            condition, or as an increment.",
        syntax: "key [NX | XX] [GT | LT] [CH] [INCR] score member [score member ...]",
        ..spec("zadd", -4, GROW, Keys::ONE, add::zadd)
    },
    Spec {
        since: "1.2.0",
        complexity: "O(log(N)) with N being the number of members",
        summary: "Adds to the score of a member, from 0 if it is not there.",
        syntax: "key increment member",
        ..spec("zincrby", 4, GROW, Keys::ONE, add::zincrby)
    },
    Spec {
        since: "1.2.0",
        complexity: "O(M*log(N)) with N being the number of members and M of those to remove",
        summary: "Removes members.",
        syntax: "key member [member ...]",
        ..spec("zrem", -3, FAST_WRITE, Keys::ONE, remove::zrem)
    },
    Spec {
        since: "1.2.0",
        complexity: "O(1)",
        summary: "Returns the number of members.",
        syntax: "key",
        ..spec("zcard", 2, FAST_READ, Keys::ONE, read::zcard)
    },
    Spec {
        since: "2.0.0",
        complexity: "O(log(N)) with N being the number of members",
        summary: "Counts the members whose score lies in a range.",
        syntax: "key min max",
        ..spec("zcount", 4, FAST_READ, Keys::ONE, read::zcount)
    },
    Spec {
        since: "2.8.9",
        complexity: "O(log(N)) with N being the number of members",
        summary: "Counts the members of a range of members, where all scores are equal.",
        syntax: "key min max",
        ..spec("zlexcount", 4, FAST_READ, Keys::ONE, read::zlexcount)
    },
    Spec {
        since: "1.2.0",
        complexity: "O(1)",
        summary: "Returns the score of a member.",
        syntax: "key member",
        ..spec("zscore", 3, FAST_READ, Keys::ONE, read::zscore)
    },
    Spec {
        since: "6.2.0",
        complexity: "O(N) with N being the number of members asked for",
        summary: "Returns the scores of members.",
        syntax: "key member [member ...]",
        ..spec("zmscore", -3, FAST_READ, Keys::ONE, read::zmscore)
    },
    Spec {
        since: "2.0.0",
        complexity: "O(log(N)) with N being the number of members",
        summary: "Returns the rank of a member from the least score on, and with it its score if asked for.",
        syntax: "key member [WITHSCORE]",
        ..spec("zrank", -3, FAST_READ, Keys::ONE, read::zrank)
    },
    Spec {
        since: "2.0.0",
        complexity: "O(log(N)) with N being the number of members",
        summary: "Returns the rank of a member from the greatest score on, and with it its score if asked for.",
        syntax: "key member [WITHSCORE]",
        ..spec("zrevrank", -3, FAST_READ, Keys::ONE, read::zrevrank)
    },
    Spec {
        since: "1.2.0",
        complexity: RANGE,
        summary: "Returns a range of members by rank, score or member, in either order.",
        syntax: "key start stop [BYSCORE | BYLEX] [REV] [LIMIT offset count] [WITHSCORES]",
        ..spec("zrange", -4, READ, Keys::ONE, range::zrange)
    },
    Spec {
        since: "1.2.0",
        complexity: RANGE,
        summary: "Returns a range of members by rank, counted from the greatest score.",
        syntax: "key start stop [WITHSCORES]",
        ..spec("zrevrange", -4, READ, Keys::ONE, range::zrevrange)
    },
    Spec {
        since: "1.0.5",
        complexity: RANGE,
        summary: "Returns the members whose score lies in a range.",
        syntax: "key min max [WITHSCORES] [LIMIT offset count]",
        ..spec("zrangebyscore", -4, READ, Keys::ONE, range::zrangebyscore)
    },
    Spec {
        since: "2.2.0",
        complexity: RANGE,
        summary: "Returns the members whose score lies in a range, the greatest first.",
        syntax: "key max min [WITHSCORES] [LIMIT offset count]",
        ..spec("zrevrangebyscore", -4, READ, Keys::ONE, range::zrevrangebyscore)
    },
    Spec {
        since: "2.8.9",
        complexity: RANGE,
        summary: "Returns a range of members, where all scores are equal.",
        syntax: "key min max [LIMIT offset count]",
        ..spec("zrangebylex", -4, READ, Keys::ONE, range::zrangebylex)
    },
    Spec {
        since: "2.8.9",
        complexity: RANGE,
        summary: "Returns a range of members, where all scores are equal, the greatest first.",
        syntax: "key max min [LIMIT offset count]",
        ..spec("zrevrangebylex", -4, READ, Keys::ONE, range::zrevrangebylex)
    },
    Spec {
        since: "6.2.0",
        complexity: RANGE,
        summary: "Stores a range of members at another key.",
        syntax: "dst src min max [BYSCORE | BYLEX] [REV] [LIMIT offset count]",
        ..spec("zrangestore", -5, STORE, Keys::TWO, range::zrangestore)
    },
    Spec {
        since: "2.0.0",
        complexity: CUT,
        summary: "Removes the members of a range of ranks.",
        syntax: "key start stop",
        ..spec("zremrangebyrank", 4, WRITE, Keys::ONE, remove::zremrangebyrank)
    },
    Spec {
        since: "1.2.0",
        complexity: CUT,
        summary: "Removes the members whose score lies in a range.",
        syntax: "key min max",
        ..spec("zremrangebyscore", 4, WRITE, Keys::ONE, remove::zremrangebyscore)
    },
    Spec {
        since: "2.8.9",
        complexity: CUT,
        summary: "Removes a range of members, where all scores are equal.",
        syntax: "key min max",
        ..spec("zremrangebylex", 4, WRITE, Keys::ONE, remove::zremrangebylex)
    },
    Spec {
        since: "5.0.0",
        complexity: CUT,
        summary: "Removes the members of the least scores and returns them.",
        syntax: "key [count]",
        ..spec("zpopmin", -2, FAST_WRITE, Keys::ONE, pop::zpopmin)
    },
    Spec {
        since: "5.0.0",
        complexity: CUT,
        summary: "Removes the members of the greatest scores and returns them.",
        syntax: "key [count]",
        ..spec("zpopmax", -2, FAST_WRITE, Keys::ONE, pop::zpopmax)
    },
    Spec {
        since: "5.0.0",
        complexity: "O(log(N)) with N being the number of members",
        summary: "Removes the member of the least score of the first key that has one and returns it; waits for one \
            if none has.",
        syntax: "key [key ...] timeout",
        ..spec("bzpopmin", -3, WAIT_FAST, Keys::Range { first: 1, last: -2, step: 1 }, pop::bzpopmin)
    },
    Spec {
        since: "5.0.0",
        complexity: "O(log(N)) with N being the number of members",
        summary: "Removes the member of the greatest score of the first key that has one and returns it; waits for \
            one if none has.",
        syntax: "key [key ...] timeout",
        ..spec("bzpopmax", -3, WAIT_FAST, Keys::Range { first: 1, last: -2, step: 1 }, pop::bzpopmax)
    },
    Spec {
        since: "7.0.0",
        complexity: POP,
        summary: "Removes members from an end of the first key that has some and returns them.",
        syntax: "numkeys key [key ...] <MIN | MAX> [COUNT count]",
        ..spec("zmpop", -4, MANY_WRITE, Keys::Counted { at: 1, dest: 0 }, pop::zmpop)
    },
    Spec {
        since: "7.0.0",
        complexity: POP,
        summary: "Removes members from an end of the first key that has some and returns them; waits for some if \
            none has.",
        syntax: "timeout numkeys key [key ...] <MIN | MAX> [COUNT count]",
        ..spec("bzmpop", -5, WAIT, Keys::Counted { at: 2, dest: 0 }, pop::bzmpop)
    },
    Spec {
        since: "6.2.0",
        complexity: UNION,
        summary: "Returns the members of any of several sorted sets and sets.",
        syntax: "numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM | MIN | MAX | COUNT>] \
            [WITHSCORES]",
        ..spec("zunion", -3, MANY, Keys::Counted { at: 1, dest: 0 }, combine::zunion)
    },
    Spec {
        since: "6.2.0",
        complexity: INTERSECTION,
        summary: "Returns the members that all of several sorted sets and sets have.",
        syntax: "numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM | MIN | MAX | COUNT>] \
            [WITHSCORES]",
        ..spec("zinter", -3, MANY, Keys::Counted { at: 1, dest: 0 }, combine::zinter)
    },
    Spec {
        since: "6.2.0",
        complexity: DIFFERENCE,
        summary: "Returns the members of the first of several sorted sets and sets that no other has.",
        syntax: "numkeys key [key ...] [WITHSCORES]",
        ..spec("zdiff", -3, MANY, Keys::Counted { at: 1, dest: 0 }, combine::zdiff)
    },
    Spec {
        since: "2.0.0",
        complexity: UNION,
        summary: "Stores the members of any of several sorted sets and sets.",
        syntax: "destination numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM | MIN | MAX | \
            COUNT>]",
        ..spec("zunionstore", -4, MANY_STORE, Keys::Counted { at: 2, dest: 1 }, combine::zunionstore)
    },
    Spec {
        since: "2.0.0",
        complexity: INTERSECTION,
        summary: "Stores the members that all of several sorted sets and sets have.",
        syntax: "destination numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM | MIN | MAX | \
            COUNT>]",
        ..spec("zinterstore", -4, MANY_STORE, Keys::Counted { at: 2, dest: 1 }, combine::zinterstore)
    },
    Spec {
        since: "6.2.0",
        complexity: DIFFERENCE,
        summary: "Stores the members of the first of several sorted sets and sets that no other has.",
        syntax: "destination numkeys key [key ...]",
        ..spec("zdiffstore", -4, MANY_STORE, Keys::Counted { at: 2, dest: 1 }, combine::zdiffstore)
    },
    Spec {
        since: "7.0.0",
        complexity: "O(N*K) with N being the size of the smallest input and K the number of inputs",
        summary: "Counts the members that all of several sorted sets and sets have, up to a limit.",
        syntax: "numkeys key [key ...] [LIMIT limit]",
        ..spec("zintercard", -3, MANY, Keys::Counted { at: 1, dest: 0 }, combine::zintercard)
    },
    Spec {
        since: "6.2.0",
        complexity: "O(M*log(N)) with N being the number of members and M of those returned; O(N) where M is a \
            large part of N",
        summary: "Returns members chosen at random.",
        syntax: "key [count [WITHSCORES]]",
        ..spec("zrandmember", -2, READ, Keys::ONE, random::zrandmember)
    },
    Spec {
        since: "2.8.0",
        complexity: "O(1) for every call, O(N) for a whole iteration where N is the number of members",
        summary: "Returns some members and the cursor with which the next call goes on.",
        syntax: "key cursor [MATCH pattern] [COUNT count] [NOSCORES]",
        ..spec("zscan", -3, READ, Keys::ONE, scan::zscan)
    },
];
