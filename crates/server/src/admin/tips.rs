//! The tips of COMMAND: what clients and proxies that spread commands over a cluster's nodes may know of them.

/// Two equal calls on equal data may answer differently.
const VARIES: &str = "nondeterministic_output";
/// The same but for the order.
const ORDER_VARIES: &str = "nondeterministic_output_order";
/// Goes to every node, replicas too.
const ALL_NODES: &str = "request_policy:all_nodes";
/// Goes to one node of each shard.
const ALL_SHARDS: &str = "request_policy:all_shards";
/// May be split by the shards of its keys.
const MULTI_SHARD: &str = "request_policy:multi_shard";
/// The answer is good if all are.
const ALL_SUCCEED: &str = "response_policy:all_succeeded";
/// The answers are added up.
const SUM: &str = "response_policy:agg_sum";
/// The least answer counts.
const LEAST: &str = "response_policy:agg_min";
/// The answers cannot be made one by a rule.
const SPECIAL: &str = "response_policy:special";

/// The tips of the command with this full name.
pub fn tips(full_name: &str) -> &'static [&'static str] {
    match full_name {
        "client|info" | "client|list" | "cluster|info" | "cluster|nodes" | "dump" | "hrandfield" | "hscan"
        | "lastsave" | "object|encoding" | "object|freq" | "object|idletime" | "object|refcount" | "pttl" | "ttl"
        | "spop" | "srandmember" | "sscan" | "time" | "zrandmember" | "zscan" => &[VARIES],
        "command" | "command|docs" | "command|info" | "command|list" | "hgetall" | "hkeys" | "hvals" | "sdiff"
        | "sinter" | "smembers" | "sunion" => &[ORDER_VARIES],
        "keys" => &[ALL_SHARDS, ORDER_VARIES],
        "randomkey" => &[ALL_SHARDS, VARIES],
        "scan" => &[VARIES, "request_policy:special"],
        "mget" => &[MULTI_SHARD],
        "mset" => &[MULTI_SHARD, ALL_SUCCEED],
        "msetnx" => &[MULTI_SHARD, LEAST],
        "del" | "exists" | "touch" | "unlink" => &[MULTI_SHARD, SUM],
        "dbsize" => &[ALL_SHARDS, SUM],
        "flushall" | "flushdb" | "memory|purge" | "ping" => &[ALL_SHARDS, ALL_SUCCEED],
        "wait" => &[ALL_SHARDS, LEAST],
        "info" | "memory|doctor" | "memory|malloc-stats" | "memory|stats" => &[VARIES, ALL_SHARDS, SPECIAL],
        "config|set" | "latency|reset" | "slowlog|reset" => &[ALL_NODES, ALL_SUCCEED],
        "latency|doctor" | "latency|graph" | "latency|histogram" | "latency|history" | "latency|latest" => {
            &[VARIES, ALL_NODES, SPECIAL]
        }
        "slowlog|get" => &[ALL_NODES, VARIES],
        "slowlog|len" => &[ALL_NODES, SUM, VARIES],
        _ => &[],
    }
}
