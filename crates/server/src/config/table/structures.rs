//! Up to which size a collection keeps its compact form.

use super::super::directive::{Directive, Kind, Origin};
use super::{ANY_INT, BYTES, COUNT, LONG_COUNT};
use Kind::Bool;

const STREAMS: &str = "there are no streams yet";

pub(super) static STRUCTURES: &[Directive] = &[
    Directive::new("hash-max-listpack-entries", LONG_COUNT, "512", "Fields of a compact hash.")
        .alias(&["hash-max-ziplist-entries"]),
    Directive::new("hash-max-listpack-value", BYTES, "64", "Longest field or value of a compact hash.")
        .alias(&["hash-max-ziplist-value"]),
    Directive::new(
        "list-max-listpack-size",
        ANY_INT,
        "-2",
        "Elements of a list's block, or its bytes: -1 to -5 are 4 kb to 64 kb.",
    )
    .alias(&["list-max-ziplist-size"]),
    Directive::new("list-compress-depth", COUNT, "0", "Blocks at each end of a list that stay uncompressed.")
        .inert("lists are not compressed"),
    Directive::new("set-max-intset-entries", LONG_COUNT, "512", "Members of a compact set of integers."),
    Directive::new("set-max-listpack-entries", LONG_COUNT, "128", "Members of a compact set.").from(Origin::Redis8),
    Directive::new("set-max-listpack-value", BYTES, "64", "Longest member of a compact set.").from(Origin::Redis8),
    Directive::new("zset-max-listpack-entries", LONG_COUNT, "128", "Members of a compact sorted set.")
        .alias(&["zset-max-ziplist-entries"]),
    Directive::new("zset-max-listpack-value", BYTES, "64", "Longest member of a compact sorted set.")
        .alias(&["zset-max-ziplist-value"]),
    Directive::new("hll-sparse-max-bytes", BYTES, "3000", "Bytes of a sparse HyperLogLog.")
        .inert("there is no HyperLogLog yet"),
    Directive::new("stream-node-max-bytes", BYTES, "4096", "Bytes of a stream's node.").inert(STREAMS),
    Directive::new("stream-node-max-entries", LONG_COUNT, "100", "Entries of a stream's node.").inert(STREAMS),
    Directive::new("stream-idmp-duration", COUNT, "100", "Seconds that a producer's ids are kept.")
        .from(Origin::Redis8)
        .inert(STREAMS),
    Directive::new("stream-idmp-maxsize", COUNT, "100", "Ids kept for each producer.")
        .from(Origin::Redis8)
        .inert(STREAMS),
    Directive::new("vset-force-single-threaded-execution", Bool, "no", "Runs vector commands in one thread.")
        .from(Origin::Redis8)
        .inert("there are no vector sets yet"),
    Directive::new("hash-seed", super::TEXT, "\"\"", "Fixed seed of the hash function.")
        .at_start()
        .from(Origin::Valkey)
        .refused(&[""], "the seed is random, so that nobody can choose keys that collide"),
    Directive::new("list-max-ziplist-entries", super::TEXT, "\"\"", "An old directive.")
        .file_only()
        .inert("Redis itself ignores this one"),
    Directive::new("list-max-ziplist-value", super::TEXT, "\"\"", "An old directive.")
        .file_only()
        .inert("Redis itself ignores this one"),
];
