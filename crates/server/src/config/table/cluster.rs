//! Replication and cluster. Both are still to come: what would promise a copy of the data is refused, the rest is
//! kept for the file's sake.

use super::super::directive::{Directive, Kind, Origin};
use super::super::number::{MAX_I32, MAX_I64};
use super::{BYTES_U64, COUNT, LONG_COUNT, NO_CLUSTER, NO_REPLICATION, PORT, TEXT, byte_range, range};
use Kind::{Bool, Choice};

const NOT_A_REPLICA: &str = "this server follows no other: remove the line and import the data, see docs/import.md";
const NO_QUORUM: &str = "there are no replicas yet, so every write would be refused: leave it at 0";
const NO_CLUSTER_MODE: &str = "Redis Cluster is not spoken: start the server without it, and see docs/clustering.md";

pub(super) static REPLICATION: &[Directive] = &[
    Directive::new("replicaof", Kind::Words { max: 2, too_many: NOT_A_REPLICA }, "\"\"", "The server to follow.")
        .alias(&["slaveof"])
        .at_start()
        .refused(&["", "no one"], NOT_A_REPLICA),
    Directive::new("masterauth", TEXT, "\"\"", "Password at the server that is followed.")
        .alias(&["primaryauth"])
        .secret()
        .inert(NO_REPLICATION),
    Directive::new("masteruser", TEXT, "\"\"", "User at the server that is followed.")
        .alias(&["primaryuser"])
        .inert(NO_REPLICATION),
    Directive::new("min-replicas-to-write", COUNT, "0", "Replicas without which writes are refused.")
        .alias(&["min-slaves-to-write"])
        .refused(&["0"], NO_QUORUM),
    Directive::new("min-replicas-max-lag", COUNT, "10", "Seconds of lag at which a replica does not count.")
        .alias(&["min-slaves-max-lag"])
        .inert(NO_REPLICATION),
    Directive::new("replica-serve-stale-data", Bool, "yes", "Answers while the link is down.")
        .alias(&["slave-serve-stale-data"])
        .inert(NO_REPLICATION),
    Directive::new("replica-read-only", Bool, "yes", "Refuses writes on a replica.")
        .alias(&["slave-read-only"])
        .inert(NO_REPLICATION),
    Directive::new("replica-priority", COUNT, "100", "Rank in a failover.")
        .alias(&["slave-priority"])
        .inert(NO_REPLICATION),
    Directive::new("replica-announced", Bool, "yes", "Whether Sentinel tells of it.").inert(NO_REPLICATION),
    Directive::new("replica-announce-ip", TEXT, "\"\"", "Address that is told.")
        .alias(&["slave-announce-ip"])
        .inert(NO_REPLICATION),
    Directive::new("replica-announce-port", PORT, "0", "Port that is told.")
        .alias(&["slave-announce-port"])
        .inert(NO_REPLICATION),
    Directive::new("replica-ignore-maxmemory", Bool, "yes", "Leaves eviction to the master.")
        .alias(&["slave-ignore-maxmemory"])
        .inert(NO_REPLICATION),
    Directive::new("replica-ignore-disk-write-errors", Bool, "no", "Goes on when the log fails.")
        .inert("writes are refused whenever the log cannot be written"),
    Directive::new("replica-lazy-flush", Bool, "no", "Empties itself in the background.")
        .alias(&["slave-lazy-flush"])
        .inert(NO_REPLICATION),
    Directive::new("replica-full-sync-buffer-limit", BYTES_U64, "0", "Buffer during a full synchronisation.")
        .from(Origin::Redis8)
        .inert(NO_REPLICATION),
    Directive::new("repl-ping-replica-period", range(1, MAX_I32), "10", "Seconds between pings.")
        .alias(&["repl-ping-slave-period"])
        .inert(NO_REPLICATION),
    Directive::new("repl-timeout", range(1, MAX_I32), "60", "Seconds until a link is given up.").inert(NO_REPLICATION),
    Directive::new("repl-disable-tcp-nodelay", Bool, "no", "Fewer, larger packets.").inert(NO_REPLICATION),
    Directive::new("repl-backlog-size", byte_range(1, MAX_I64), "1mb", "Bytes kept for replicas that come back.")
        .inert(NO_REPLICATION),
    Directive::new("repl-backlog-ttl", LONG_COUNT, "3600", "Seconds that they are kept.").inert(NO_REPLICATION),
    Directive::new("repl-diskless-sync", Bool, "yes", "Sends snapshots without a file.").inert(NO_REPLICATION),
    Directive::new("repl-diskless-sync-delay", COUNT, "5", "Seconds to wait for more replicas.").inert(NO_REPLICATION),
    Directive::new("repl-diskless-sync-max-replicas", COUNT, "0", "Replicas that end the wait.").inert(NO_REPLICATION),
    Directive::new(
        "repl-diskless-load",
        Choice(&[("disabled", "disabled"), ("on-empty-db", "on-empty-db"), ("swapdb", "swapdb")]),
        "disabled",
        "Loads snapshots without a file.",
    )
    .inert(NO_REPLICATION),
    Directive::new("dual-channel-replication-enabled", Bool, "no", "A second connection for full synchronisation.")
        .from(Origin::Valkey)
        .inert(NO_REPLICATION),
    Directive::new("repl-mptcp", Bool, "no", "Multipath TCP between replicas.")
        .at_start()
        .from(Origin::Valkey)
        .inert(NO_REPLICATION),
    Directive::new(
        "propagation-error-behavior",
        Choice(&[("ignore", "ignore"), ("panic", "panic"), ("panic-on-replicas", "panic-on-replicas")]),
        "ignore",
        "What an error in a replicated command does.",
    )
    .inert("effects are replayed, not commands"),
];

pub(super) static CLUSTER: &[Directive] = &[
    Directive::new("cluster-enabled", Bool, "no", "Runs as a node of a cluster.")
        .at_start()
        .refused(&["no"], NO_CLUSTER_MODE),
    Directive::new("cluster-config-file", TEXT, "nodes.conf", "File of the cluster's state.")
        .at_start()
        .inert(NO_CLUSTER),
    Directive::new("cluster-node-timeout", LONG_COUNT, "15000", "Milliseconds until a node is suspected.")
        .inert(NO_CLUSTER),
    Directive::new(
        "cluster-passphrase-file",
        TEXT,
        "\"\"",
        "File with the passphrase of the cluster, by which its nodes know each other; with it this server is a node of one.",
    )
    .from(Origin::Anabranch)
    .at_start(),
    Directive::new(
        "join",
        Kind::Words { max: 16, too_many: "Too many addresses to join." },
        "\"\"",
        "Nodes of the cluster, `host:port` of their cluster ports, or names with several records. A server that has been in no \
         group and joins nobody founds one.",
    )
    .from(Origin::Anabranch)
    .at_start(),
    Directive::new("region", TEXT, "default", "Where this node is, for people: a short label such as `eu-west`.")
        .from(Origin::Anabranch)
        .at_start(),
    Directive::new(
        "max-clock-skew",
        range(1, MAX_I32),
        "5000",
        "Milliseconds that a node's clock may be ahead of this one's; what it writes further ahead is not applied before its time.",
    )
    .from(Origin::Anabranch)
    .at_start(),
    Directive::new(
        "replica-log-bytes",
        BYTES_U64,
        "4gb",
        "Bytes of log that are kept for nodes that are away, at most. One that lacks more needs a copy of the whole state.",
    )
    .from(Origin::Anabranch)
    .at_start(),
    Directive::new("cluster-port", PORT, "0", "Port that other nodes connect to; 0: `port` and 10,000.").at_start(),
    Directive::new("cluster-replica-validity-factor", COUNT, "10", "How old a replica may be for a failover.")
        .alias(&["cluster-slave-validity-factor"])
        .inert(NO_CLUSTER),
    Directive::new("cluster-replica-no-failover", Bool, "no", "Never takes over.")
        .alias(&["cluster-slave-no-failover"])
        .inert(NO_CLUSTER),
    Directive::new("cluster-migration-barrier", COUNT, "1", "Replicas that stay with their master.").inert(NO_CLUSTER),
    Directive::new("cluster-allow-replica-migration", Bool, "yes", "Replicas may change their master.")
        .inert(NO_CLUSTER),
    Directive::new("cluster-require-full-coverage", Bool, "yes", "Stops when slots are missing.").inert(NO_CLUSTER),
    Directive::new("cluster-allow-reads-when-down", Bool, "no", "Reads while the cluster is down.").inert(NO_CLUSTER),
    Directive::new("cluster-allow-pubsubshard-when-down", Bool, "yes", "Shard channels while it is down.")
        .inert(NO_CLUSTER),
    Directive::new("cluster-link-sendbuf-limit", BYTES_U64, "0", "Bytes queued for a node.").inert(NO_CLUSTER),
    Directive::new("cluster-announce-ip", TEXT, "\"\"", "Address at which others can dial this node, if not where they see it.")
        .restart(),
    Directive::new("cluster-announce-hostname", Kind::Text(hostname), "\"\"", "Host name that is told.")
        .inert(NO_CLUSTER),
    Directive::new("cluster-announce-human-nodename", TEXT, "\"\"", "Name of the node in logs.")
        .from(Origin::Redis8)
        .inert(NO_CLUSTER),
    Directive::new("cluster-announce-port", PORT, "0", "Port that is told.").inert(NO_CLUSTER),
    Directive::new("cluster-announce-tls-port", PORT, "0", "TLS port that is told.").inert(NO_CLUSTER),
    Directive::new("cluster-announce-bus-port", PORT, "0", "Cluster port at which they can, if not the one listened on.")
        .restart(),
    Directive::new("cluster-announce-client-ipv4", TEXT, "\"\"", "Address that is told to IPv4 clients.")
        .from(Origin::Valkey)
        .inert(NO_CLUSTER),
    Directive::new("cluster-announce-client-ipv6", TEXT, "\"\"", "Address that is told to IPv6 clients.")
        .from(Origin::Valkey)
        .inert(NO_CLUSTER),
    Directive::new(
        "cluster-preferred-endpoint-type",
        Choice(&[("ip", "ip"), ("hostname", "hostname"), ("unknown-endpoint", "unknown-endpoint")]),
        "ip",
        "What nodes are called in CLUSTER SLOTS.",
    )
    .inert(NO_CLUSTER),
    Directive::new("cluster-slot-stats-enabled", Bool, "no", "Statistics for each slot.")
        .from(Origin::Redis8)
        .inert(NO_CLUSTER),
    Directive::new("cluster-compatibility-sample-ratio", range(0, 100), "0", "Percentage of commands checked.")
        .from(Origin::Redis8)
        .inert(NO_CLUSTER),
    Directive::new("cluster-manual-failover-timeout", range(1, MAX_I32), "5000", "Milliseconds of a manual failover.")
        .from(Origin::Valkey)
        .inert(NO_CLUSTER),
    Directive::new("cluster-blacklist-ttl", COUNT, "60", "Seconds that a forgotten node stays away.")
        .from(Origin::Valkey)
        .inert(NO_CLUSTER),
    Directive::new("cluster-databases", range(1, MAX_I32), "1", "Databases in cluster mode.")
        .at_start()
        .from(Origin::Valkey)
        .inert(NO_CLUSTER),
    Directive::new("cluster-slot-migration-log-max-len", LONG_COUNT, "1000", "Migrations that are remembered.")
        .from(Origin::Valkey)
        .inert(NO_CLUSTER),
    Directive::new("slot-migration-max-failover-repl-bytes", LAG, "0", "Lag at which a migration pauses writes.")
        .from(Origin::Valkey)
        .inert(NO_CLUSTER),
    Directive::new("cluster-slot-migration-handoff-max-lag-bytes", BYTES_U64, "1mb", "Lag at which writes pause.")
        .from(Origin::Redis8)
        .inert(NO_CLUSTER),
    Directive::new("cluster-slot-migration-write-pause-timeout", LONG_COUNT, "10000", "Milliseconds of that pause.")
        .from(Origin::Redis8)
        .inert(NO_CLUSTER),
];

const LAG: Kind = Kind::Number(super::Number::bytes(-1, MAX_I64));

fn hostname(text: &[u8]) -> Result<(), &'static str> {
    if text.len() >= 256 {
        return Err("Hostnames must be less than 256 characters");
    }
    if text.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.')) {
        Ok(())
    } else {
        Err("Hostnames may only contain alphanumeric characters, hyphens or dots")
    }
}
