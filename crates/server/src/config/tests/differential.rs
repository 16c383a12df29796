//! Against a real redis-server: names, defaults, error texts, quoting, globs.

use std::collections::BTreeMap;
use std::path::Path;

use effect::glob;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use super::super::directive::{Change, Effect, Kind, Origin};
use super::super::number::Unit;
use super::super::table::table;
use super::super::words::split_line;
use super::super::{Config, find_directive};
use super::oracle::{Client, Oracle, Reply};

/// Defaults that differ on purpose or because of how the oracle was started.
const OTHER_DEFAULTS: [&str; 4] = ["port", "unixsocket", "dir", "appendonly"];

fn theirs(client: &mut Client) -> BTreeMap<String, Vec<u8>> {
    let flat = client.strings(&[b"CONFIG", b"GET", b"*"]);
    let name = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    flat.chunks(2).map(|pair| (name(&pair[0]), pair[1].clone())).collect()
}

fn ours() -> Config {
    Config::defaults(Path::new("/base"))
}

#[test]
fn every_name_of_redis_is_known_and_no_other_is_said_to_be_one_of_its() {
    let Some(oracle) = Oracle::start() else { return };
    let theirs = theirs(&mut oracle.connect());
    let missing: Vec<&String> = theirs.keys().filter(|name| find_directive(name.as_bytes()).is_none()).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let claimed = table().rows().filter(|r| r.origin == Origin::Redis70 && !r.hidden && r.change != Change::FileOnly);
    let invented: Vec<&str> = claimed.map(|r| r.name).filter(|name| !theirs.contains_key(*name)).collect();
    assert!(invented.is_empty(), "{invented:?}");
}

#[test]
fn defaults_print_as_redis_prints_them() {
    let Some(oracle) = Oracle::start() else { return };
    let config = ours();
    for (name, value) in theirs(&mut oracle.connect()) {
        if !OTHER_DEFAULTS.contains(&name.as_str()) {
            let got = &config.get(&[name.as_bytes()])[0].1;
            assert_eq!(String::from_utf8_lossy(got), String::from_utf8_lossy(&value), "{name}");
        }
    }
}

/// Directives whose change does something to the oracle itself, or that are refused or differ here, by name.
fn left_out(name: &str) -> bool {
    let row = find_directive(name.as_bytes()).expect("the name is known");
    let by_effect = matches!(row.effect, Effect::Refused(..)) || name.starts_with("tls-");
    let by_name = [
        "bind",                       // it would listen elsewhere
        "port",                       // likewise
        "maxclients",                 // bounded by the oracle's file limit
        "maxmemory-clients",          // it would evict the client that asks
        "client-output-buffer-limit", // likewise
        "activedefrag",               // depends on the oracle's allocator
        "oom-score-adj",              // needs the right to
        "oom-score-adj-values",       // likewise
        "appendonly",                 // would start a log
        "dir",                        // protected there, immutable here
        "repl-backlog-size",          // silently bounded there
        "notify-keyspace-events",     // we know two more letters, so the text is another
        "proc-title-template",        // has a template language there
        "maxmemory-policy",           // nothing is evicted here: all but one are refused
    ];
    by_effect || by_name.contains(&name)
}

#[test]
fn values_are_taken_and_refused_as_redis_does() {
    let Some(oracle) = Oracle::start() else { return };
    let mut client = oracle.connect();
    let values = [
        "",
        "abc",
        "-1",
        "0",
        "1",
        "01",
        "YES",
        "no",
        "5%",
        "1kb",
        "2mB",
        "3t",
        " 1",
        "1 ",
        "70000",
        "1.5",
        "always",
        "allkeys-lru",
        "900 1 300 10",
        "900  1",
        "now force",
        "99999999999999999999",
        "9223372036854775807",
        "50 99.95",
    ];
    let mut compared = 0;
    for (name, default) in theirs(&mut client) {
        if left_out(&name) {
            continue;
        }
        let row = find_directive(name.as_bytes()).unwrap();
        let bytes = matches!(row.kind, Kind::Number(n) if n.unit == Unit::Bytes);
        // DIFFERENCE: what overflows is refused.
        for value in values.iter().filter(|v| !(bytes && v.len() == 20)) {
            let config = ours();
            let got = config.set(&[(name.as_bytes(), value.as_bytes())], true);
            let expected = client.call(&[b"CONFIG", b"SET", name.as_bytes(), value.as_bytes()]);
            match got {
                Ok(_) => {
                    assert_eq!(expected, Reply::Simple("OK".into()), "{name} {value:?}");
                    let theirs = client.strings(&[b"CONFIG", b"GET", name.as_bytes()]);
                    let ours = &config.get(&[name.as_bytes()])[0].1;
                    assert_eq!(String::from_utf8_lossy(ours), String::from_utf8_lossy(&theirs[1]), "{name} {value:?}");
                }
                // DIFFERENCE: `nothing` is a level since Redis 7.2.
                Err(error) => {
                    let text = error.to_string().replace(", warning, nothing", ", warning");
                    assert_eq!(Reply::Error(text), expected, "{name} {value:?}");
                }
            }
            compared += 1;
        }
        client.call(&[b"CONFIG", b"SET", name.as_bytes(), &default]);
    }
    assert!(compared > 2_500, "only {compared} were compared");
}

#[test]
fn special_values_are_taken_and_refused_as_redis_does() {
    let Some(oracle) = Oracle::start() else { return };
    let mut client = oracle.connect();
    for (name, value) in [
        ("client-output-buffer-limit", "normal 0 0"),
        ("client-output-buffer-limit", "foo 0 0 0"),
        ("client-output-buffer-limit", "master 0 0 0"),
        ("client-output-buffer-limit", "replica 1mb 1kb +05"),
        ("client-output-buffer-limit", "NORMAL x 1kb 60"),
        ("client-output-buffer-limit", "normal 1 1kb -1"),
        ("client-output-buffer-limit", ""),
        ("maxmemory-clients", "101%"),
        ("maxmemory-clients", "100%"),
        ("maxmemory-clients", "-5"),
        ("maxmemory-clients", "%"),
        ("maxmemory-clients", "0"),
        ("oom-score-adj-values", "1 2"),
        ("oom-score-adj-values", "1 2 x"),
        ("oom-score-adj-values", "1 2 3000"),
        ("oom-score-adj-values", "+1 02 3"),
        ("oom-score-adj", "maybe"),
        ("notify-keyspace-events", "KEA"),
        ("notify-keyspace-events", "mxgEn"),
        ("notify-keyspace-events", "Eg$lshzxetd"),
        ("notify-keyspace-events", "td$"),
        ("shutdown-on-sigint", "save nosave"),
        ("shutdown-on-sigint", "force default SAVE"),
        ("latency-tracking-info-percentiles", "0.5 50.123456789 1e1 100 0"),
        ("latency-tracking-info-percentiles", "inf"),
        ("latency-tracking-info-percentiles", "nan"),
        ("save", "+9 0"),
        ("save", "0 1"),
        ("cluster-announce-hostname", "a b"),
        ("bind", "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17"),
        ("maxclients", "0"),
        ("hz", "-1"),
    ] {
        let config = ours();
        let expected = client.call(&[b"CONFIG", b"SET", name.as_bytes(), value.as_bytes()]);
        let got = config.set(&[(name.as_bytes(), value.as_bytes())], true);
        match got {
            Err(error) => assert_eq!(Reply::Error(error.to_string()), expected, "{name} {value:?}"),
            Ok(_) => {
                assert_eq!(expected, Reply::Simple("OK".into()), "{name} {value:?}");
                // The oracle keeps what earlier rows of this list set, so limits are compared by the class named.
                if value.contains("replica") || name != "client-output-buffer-limit" {
                    let theirs = client.strings(&[b"CONFIG", b"GET", name.as_bytes()]);
                    let ours = &config.get(&[name.as_bytes()])[0].1;
                    assert_eq!(String::from_utf8_lossy(ours), String::from_utf8_lossy(&theirs[1]), "{name} {value:?}");
                }
            }
        }
    }
}

#[test]
fn several_pairs_fail_as_they_do_in_redis() {
    let Some(oracle) = Oracle::start() else { return };
    let mut client = oracle.connect();
    let cases: [&[(&str, &str)]; 11] = [
        &[("timeout", "1"), ("TIMEOUT", "2")],
        &[("timeout", "1"), ("daemonize", "yes")],
        &[("timeout", "1"), ("Foo", "1")],
        &[("foo", "1"), ("daemonize", "yes")],
        &[("Daemonize", "yes"), ("foo", "1")],
        &[("dbfilename", "x"), ("timeout", "x")],
        &[("DBfilename", "x")],
        &[("timeout", "5"), ("maxmemory", "bad")],
        &[("HASH-max-ziplist-entries", "x")],
        &[("hash-max-ziplist-entries", "1"), ("hash-max-listpack-entries", "2")],
        &[("include", "x"), ("rename-command", "a")],
    ];
    for pairs in cases {
        let config = ours();
        let mut args: Vec<&[u8]> = vec![b"CONFIG", b"SET"];
        args.extend(pairs.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]));
        let expected = client.call(&args);
        let pairs: Vec<(&[u8], &[u8])> = pairs.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
        let got = config.set(&pairs, true).map_or_else(|e| Reply::Error(e.to_string()), |_| Reply::Simple("OK".into()));
        assert_eq!(got, expected);
        for name in ["timeout", "maxmemory", "hash-max-listpack-entries"] {
            let theirs = client.strings(&[b"CONFIG", b"GET", name.as_bytes()]);
            assert_eq!(config.get(&[name.as_bytes()])[0].1, theirs[1], "{name} after {pairs:?}");
        }
        client.call(&[b"CONFIG", b"SET", b"hash-max-listpack-entries", b"512"]);
    }
}

#[test]
fn patterns_find_the_same_names() {
    let Some(oracle) = Oracle::start() else { return };
    let mut client = oracle.connect();
    let config = ours();
    let known = theirs(&mut client);
    for pattern in
        ["*max*", "MAX*", "hash-[m-z]*", "?ir", "[^a-s]*", "Timeout", "t\\imeout", "t\\ime*", "key-load-delay", "x"]
    {
        let names = |flat: Vec<Vec<u8>>| -> Vec<Vec<u8>> { flat.chunks(2).map(|pair| pair[0].clone()).collect() };
        let mut theirs = names(client.strings(&[b"CONFIG", b"GET", pattern.as_bytes()]));
        theirs.sort();
        let mut ours: Vec<Vec<u8>> = config.get(&[pattern.as_bytes()]).into_iter().map(|(name, _)| name).collect();
        ours.sort();
        let shared = |name: &Vec<u8>| {
            let name = String::from_utf8_lossy(name).to_ascii_lowercase();
            known.contains_key(&name) || name == "key-load-delay"
        };
        ours.retain(shared);
        assert_eq!(ours, theirs, "{pattern}");
    }
}

#[test]
fn globs_match_the_keys_that_redis_matches() {
    let Some(oracle) = Oracle::start() else { return };
    let mut client = oracle.connect();
    let alphabet = "[abA-\\]\\[^*?\\\\]";
    let mut runner = TestRunner::deterministic();
    let key = proptest::string::string_regex(&format!("{alphabet}{{0,5}}")).unwrap();
    let mut keys: Vec<Vec<u8>> = vec![Vec::new(), b"\xff\x00".to_vec()];
    for _ in 0..400 {
        keys.push(key.new_tree(&mut runner).unwrap().current().into_bytes());
    }
    keys.sort();
    keys.dedup();
    for key in &keys {
        client.call(&[b"SET", key, b""]);
    }
    let pattern = proptest::string::string_regex(&format!("({alphabet}|\\[[ab^\\]-]{{0,4}}\\]?){{0,6}}")).unwrap();
    for _ in 0..4_000 {
        let pattern = pattern.new_tree(&mut runner).unwrap().current().into_bytes();
        let mut theirs = client.strings(&[b"KEYS", &pattern]);
        theirs.sort();
        let ours: Vec<Vec<u8>> = keys.iter().filter(|key| glob::matches(&pattern, key)).cloned().collect();
        assert_eq!(ours, theirs, "{}", String::from_utf8_lossy(&pattern));
    }
}

#[test]
fn lines_split_into_the_arguments_that_redis_splits_them_into() {
    let Some(oracle) = Oracle::start() else { return };
    let mut client = oracle.connect();
    let mut runner = TestRunner::deterministic();
    // An inline command is split by the same rules as a line of redis.conf.
    let line = proptest::string::string_regex("([a \"'\\\\]|\\\\x4[1g]|\\\\n|\t){0,10}").unwrap();
    for _ in 0..3_000 {
        let line = line.new_tree(&mut runner).unwrap().current();
        client.call(&[b"DEL", b"k"]);
        let reply = client.raw(format!("RPUSH k first {line}\r\n").as_bytes());
        let ours = split_line(format!("first {line}").as_bytes());
        match (reply, ours) {
            (Reply::Integer(_), Some(ours)) => {
                assert_eq!(client.strings(&[b"LRANGE", b"k", b"0", b"-1"]), ours, "{line:?}");
            }
            (Reply::Error(error), None) => {
                assert!(error.contains("unbalanced quotes"), "{error}");
                client = oracle.connect();
            }
            (theirs, ours) => panic!("{line:?}: {theirs:?} but {ours:?}"),
        }
    }
}
