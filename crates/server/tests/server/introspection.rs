//! INFO and COMMAND.

use resp::Value;

use crate::harness::{TestServer, bulk, simple, until};

#[test]
fn info_has_what_exporters_read_with_true_values() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &["--maxmemory", "1gb", "--appendfsync", "always"]);
    let mut a = server.client();
    a.ok("SET k v");
    a.ok("SET l v EX 100");
    a.call("GET k");
    a.call("GET nosuch");
    a.error("NOSUCH");
    a.error("GET");
    let info = a.info("everything");
    let read = [
        "redis_version",
        "run_id",
        "tcp_port",
        "uptime_in_seconds",
        "process_id",
        "connected_clients",
        "blocked_clients",
        "maxclients",
        "used_memory",
        "used_memory_human",
        "used_memory_rss",
        "used_memory_peak",
        "maxmemory",
        "maxmemory_policy",
        "mem_fragmentation_ratio",
        "mem_allocator",
        "loading",
        "rdb_last_save_time",
        "rdb_changes_since_last_save",
        "rdb_last_bgsave_status",
        "aof_enabled",
        "aof_last_write_status",
        "aof_current_size",
        "total_connections_received",
        "total_commands_processed",
        "instantaneous_ops_per_sec",
        "rejected_connections",
        "keyspace_hits",
        "keyspace_misses",
        "expired_keys",
        "evicted_keys",
        "total_net_input_bytes",
        "total_net_output_bytes",
        "latest_fork_usec",
        "sync_full",
        "role",
        "connected_slaves",
        "master_replid",
        "master_repl_offset",
        "used_cpu_sys",
        "used_cpu_user",
        "cluster_enabled",
        "slowlog_length",
        "db0",
        "cmdstat_get",
        "errorstat_ERR",
        "latency_percentiles_usec_get",
    ];
    for name in read {
        assert!(info.contains_key(name), "{name} is missing");
    }
    let is = |name: &str, value: &str| assert_eq!(info[name], value, "{name}");
    is("server_name", "anabranch");
    is("connected_clients", "1");
    is("maxmemory", "1073741824");
    is("keyspace_hits", "1");
    is("keyspace_misses", "1");
    is("role", "master");
    is("errorstat_ERR", "count=2");
    is("total_error_replies", "2");
    is("total_connections_received", "1");
    assert!(info["cmdstat_get"].starts_with("calls=2,usec=") && info["cmdstat_set"].ends_with("failed_calls=0"));
    assert!(info["db0"].starts_with("keys=2,expires=1,avg_ttl="), "{}", info["db0"]);
    let ttl: i64 = info["db0"].split(['=', ',']).nth(5).unwrap().parse().unwrap();
    assert!((1..=100_000).contains(&ttl));
    let number = |name: &str| info[name].parse::<u64>().unwrap();
    assert!(number("log_fsyncs") >= 2 && number("log_records") == 2 && number("rdb_changes_since_last_save") == 2);
    assert_eq!(number("log_durable_position"), number("log_end_position"));
    assert!(number("used_memory_rss") > 1 << 20 && number("total_net_input_bytes") > 50);
    a.ok("SAVE");
    assert_eq!(a.info("persistence")["rdb_changes_since_last_save"], "0");
    a.ok("CONFIG RESETSTAT");
    let info = a.info("all");
    assert_eq!((info["keyspace_hits"].as_str(), info["total_error_replies"].as_str()), ("0", "0"));
    assert!(!info.contains_key("cmdstat_set") && !info.contains_key("errorstat_ERR"));
}

#[test]
fn sections_are_chosen_by_name_and_number() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &[]);
    let mut a = server.client3();
    let Value::Verbatim { format, text } = a.call("INFO SERVER cpu") else { panic!("not verbatim") };
    assert_eq!(&format, b"txt");
    let text = String::from_utf8(text).unwrap();
    assert!(text.starts_with("# Server\r\nredis_version:8") && text.contains("\r\n\r\n# CPU\r\n"));
    assert!(!text.contains("# Memory"));
    assert_eq!(a.text("INFO nonsense"), "");
    let default = a.text("INFO");
    assert!(default.contains("# Keyspace\r\n") && !default.contains("# Commandstats"));
}

#[test]
fn keys_of_each_database_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &[]);
    let mut a = server.client();
    for i in 0..100 {
        a.ok(&format!("SET a{i} v"));
    }
    a.ok("SELECT 7");
    a.ok("SET b v PX 1");
    a.ok("SET c v EX 1000");
    until("b is reclaimed", || a.info("keyspace")["db7"].starts_with("keys=1,expires=1,"));
    assert!(a.info("keyspace")["db0"].starts_with("keys=100,expires=0,avg_ttl=0"));
    assert_eq!(a.int("DEL c"), 1);
    assert!(!a.info("keyspace").contains_key("db7"));
    a.ok("SET d v EX 1000");
    let Value::Array(stats) = a.call("MEMORY STATS") else { panic!("no array") };
    let field = |name: &str| stats.iter().position(|field| *field == bulk(name)).map(|at| stats[at + 1].clone());
    assert_eq!(field("keys.count"), Some(Value::Int(101)));
    let table = |db: &str| {
        let Value::Array(fields) = field(db)? else { panic!("no array") };
        let names = fields.iter().step_by(2).map(|name| String::from_utf8(name.as_bytes().unwrap().to_vec()).unwrap());
        Some(names.zip(fields.iter().skip(1).step_by(2).map(|value| value.as_int().unwrap())).collect::<Vec<_>>())
    };
    let names = ["overhead.hashtable.main", "overhead.hashtable.expires", "overhead.hashtable.slot-to-keys"];
    for (db, keys, deadlines) in [("db.0", 100, 0), ("db.7", 1, 1)] {
        let found = table(db).unwrap();
        assert_eq!(found.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), names);
        assert!(found[0].1 >= keys * 24 && (found[1].1 > 0) == (deadlines > 0), "{found:?}");
    }
    assert_eq!(table("db.1"), None);
}

#[test]
fn commands_are_described_as_redis_describes_them() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &[]);
    let mut a = server.client();
    let count = a.int("COMMAND COUNT");
    assert!(matches!(a.call("COMMAND"), Value::Array(all) if all.len() as i64 == count));
    assert!(matches!(a.call("COMMAND INFO"), Value::Array(all) if all.len() as i64 == count));
    let Value::Array(found) = a.call("COMMAND INFO get nosuch client|list MSET") else { panic!("no array") };
    let get = found[0].as_slice().unwrap();
    assert_eq!(get.len(), 10);
    assert_eq!(get[..2], [bulk("get"), Value::Int(2)]);
    assert_eq!(get[2], Value::Array(vec![simple("readonly"), simple("fast")]));
    assert_eq!(get[3..6], [Value::Int(1), Value::Int(1), Value::Int(1)]);
    assert_eq!(get[6], Value::Array(vec![simple("@read"), simple("@string"), simple("@fast")]));
    let spec = get[8].as_slice().unwrap()[0].as_slice().unwrap();
    assert_eq!(spec[..2], [bulk("flags"), Value::Array(vec![simple("RO"), simple("access")])]);
    let begin = [bulk("type"), bulk("index"), bulk("spec"), Value::Array(vec![bulk("index"), Value::Int(1)])];
    assert_eq!(spec[2..4], [bulk("begin_search"), Value::Array(begin.to_vec())]);
    assert_eq!(found[1], Value::Null);
    assert_eq!(found[2].as_slice().unwrap()[0], bulk("client|list"));
    assert_eq!(found[3].as_slice().unwrap()[3..6], [Value::Int(1), Value::Int(-1), Value::Int(2)]);
    let Value::Array(client) = a.call("COMMAND INFO client") else { panic!("no array") };
    assert!(client[0].as_slice().unwrap()[9].as_slice().unwrap().len() > 10);
}

#[test]
fn commands_are_listed_and_documented() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &[]);
    let mut a = server.client3();
    let Value::Array(names) = a.call("COMMAND LIST FILTERBY PATTERN *SETEX") else { panic!("no array") };
    assert!(names.contains(&bulk("psetex")) && names.iter().all(|name| name.as_bytes().unwrap().ends_with(b"setex")));
    let Value::Array(names) = a.call("COMMAND LIST FILTERBY ACLCAT pubsub") else { panic!("no array") };
    assert!(names.contains(&bulk("publish")) && !names.contains(&bulk("get")));
    assert_eq!(a.call("COMMAND LIST FILTERBY MODULE search"), Value::Array(Vec::new()));
    assert_eq!(a.error("COMMAND LIST FILTERBY COLOUR red"), "ERR syntax error");
    let Value::Map(docs) = a.call("COMMAND DOCS get nosuch client|kill") else { panic!("no map") };
    assert_eq!(docs.len(), 2);
    assert_eq!(docs[1].0, bulk("client|kill"));
    let Value::Map(fields) = &docs[0].1 else { panic!("no map") };
    assert!(fields.iter().any(|(name, value)| *name == bulk("group") && *value == bulk("string")));
    assert!(matches!(a.call("COMMAND DOCS"), Value::Map(all) if all.len() > 50));
}

/// Arguments as COMMAND DOCS describes them, in a line: `name:type`, then its other fields, then its parts in brackets.
fn described(arguments: &Value) -> String {
    let Value::Array(arguments) = arguments else { panic!("no array") };
    let one = |argument: &Value| {
        let Value::Map(fields) = argument else { panic!("no map") };
        let field = |name: &str| fields.iter().find(|(key, _)| *key == bulk(name)).map(|(_, value)| value);
        let text = |name: &str| String::from_utf8_lossy(field(name).unwrap().as_bytes().unwrap()).into_owned();
        let mut line = format!("{}:{}", text("name"), text("type"));
        line += &field("token").map(|_| format!(" {}", text("token"))).unwrap_or_default();
        if let Some(Value::Int(number)) = field("key_spec_index") {
            line += &format!(" #{number}");
        }
        if let Some(Value::Set(flags)) = field("flags") {
            flags.iter().for_each(|flag| line += &format!(" {}", String::from_utf8_lossy(flag.as_bytes().unwrap())));
        }
        line + &field("arguments").map(|parts| format!(" ({})", described(parts))).unwrap_or_default()
    };
    arguments.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[test]
fn arguments_of_commands_are_described_as_redis_does() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &[]);
    let mut a = server.client3();
    // But for the names of groups, and of words that stand for themselves, as redis-server 7.0 describes them.
    for (name, expected) in [
        ("get", "key:key #0"),
        ("rename", "key:key #0, newkey:key #1"),
        (
            "lcs",
            "key1:key #0, key2:key #0, len:pure-token LEN optional, idx:pure-token IDX optional, \
         min-match-len:integer MINMATCHLEN optional, withmatchlen:pure-token WITHMATCHLEN optional",
        ),
        (
            "sort",
            "key:key #0, pattern:pattern BY optional, \
         offset_count:block LIMIT optional (offset:integer, count:integer), \
         pattern:pattern GET optional multiple multiple_token, \
         asc_desc:oneof optional (asc:pure-token ASC, desc:pure-token DESC), alpha:pure-token ALPHA optional, \
         destination:key STORE #2 optional",
        ),
        ("zdiffstore", "destination:key #0, numkeys:integer, key:key #1 multiple"),
        ("mset", "key_value:block multiple (key:key #0, value:string)"),
    ] {
        let Value::Map(docs) = a.call(&format!("COMMAND DOCS {name}")) else { panic!("no map") };
        let Value::Map(fields) = &docs[0].1 else { panic!("no map") };
        let (_, arguments) = fields.iter().find(|(field, _)| *field == bulk("arguments")).unwrap();
        assert_eq!(described(arguments), expected, "{name}");
    }
}

#[test]
fn keys_of_a_whole_command_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &[]);
    let mut a = server.client();
    assert_eq!(a.call("COMMAND GETKEYS MSET a 1 b 2"), Value::Array(vec![bulk("a"), bulk("b")]));
    let flags = Value::Array(vec![simple("RO"), simple("access")]);
    let key = Value::Array(vec![bulk("k"), flags]);
    assert_eq!(a.call("COMMAND GETKEYSANDFLAGS GET k"), Value::Array(vec![key]));
    assert_eq!(a.error("COMMAND GETKEYS NOSUCH k"), "ERR Invalid command specified");
    assert_eq!(a.error("COMMAND GETKEYS PING"), "ERR The command has no key arguments");
    assert_eq!(a.error("COMMAND GETKEYS GET"), "ERR Invalid number of arguments specified for command");
    for container in ["CLIENT", "CONFIG", "COMMAND", "SLOWLOG", "LATENCY", "MEMORY", "PUBSUB"] {
        assert!(matches!(a.call(&format!("{container} HELP")), Value::Array(lines) if lines.len() > 3), "{container}");
        assert!(a.error(&format!("{container} NOSUCH")).starts_with("ERR unknown subcommand 'NOSUCH'"), "{container}");
    }
}
