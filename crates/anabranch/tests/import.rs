//! `anabranch import` as a process: what a real redis-server saved is what our server then holds; the words of the command
//! line, its report and its exit status.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[allow(dead_code, reason = "what the rig has for caches is not needed here")]
mod rig;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use peer::{Listen, Redis};
use rdb::kinds;
use rdb::testing::{File, string};
use rig::{Client, start};

/// Runs it; answers its status and what it said, and what it said of errors.
fn import(args: &[&str], input: Option<&Path>) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_anabranch"));
    command.arg("import").args(args);
    command.stdin(input.map_or_else(Stdio::null, |path| fs::File::open(path).unwrap().into()));
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// Commands that fill a database with values of every type, small and large.
fn recipes() -> Vec<Vec<String>> {
    let mut recipes: Vec<Vec<String>> = Vec::new();
    let mut add = |words: &str, more: Vec<String>| {
        recipes.push(words.split(' ').map(str::to_owned).chain(more).collect());
    };
    for (i, text) in ["", "1", "-129", "70000", "-9223372036854775808", "007", "plain text"].into_iter().enumerate() {
        add(&format!("SET s:{i}"), vec![text.into()]);
    }
    add("SET s:long", vec!["abc".repeat(30_000)]);
    for count in [1, 30, 600, 40_000] {
        let each = |element: &dyn Fn(i64) -> Vec<String>| (0..count).flat_map(element).collect::<Vec<String>>();
        add(&format!("RPUSH l:{count}"), each(&|i| vec![format!("element {i}")]));
        add(&format!("RPUSH l:n:{count}"), each(&|i| vec![(i * i * i - 500).to_string()]));
        add(&format!("SADD s:i:{count}"), each(&|i| vec![(i * 70_001 - 9).to_string()]));
        add(&format!("SADD s:m:{count}"), each(&|i| vec![format!("m{i}")]));
        add(&format!("HSET h:{count}"), each(&|i| vec![format!("f{i}"), (i * 77).to_string()]));
        add(&format!("ZADD z:{count}"), each(&|i| vec![(i as f64 / 3.0).to_string(), format!("m{i}")]));
        add(&format!("ZADD z:n:{count}"), each(&|i| vec![(i * -7).to_string(), i.to_string()]));
    }
    add("RPUSH l:wide", (0..5).map(|i| "x".repeat(i * 9000)).collect());
    add("ZADD z:ends inf a -inf b -0 c 5e-324", vec!["d".into()]);
    for (key, seconds) in [("s:0", "1000"), ("h:600", "100000"), ("z:n:30", "12345678")] {
        add(&format!("EXPIRE {key} {seconds}"), vec![]);
    }
    recipes
}

fn run(client: &mut Client, words: &[String]) -> Vec<u8> {
    let words: Vec<&[u8]> = words.iter().map(String::as_bytes).collect();
    client.ask(&words).unwrap()
}

/// Everything that a server says of a database: by key its type, when it expires and its elements, in order where there is
/// one.
fn contents(client: &mut Client, db: u8) -> Vec<(String, Vec<u8>, Vec<u8>, Vec<Vec<u8>>)> {
    client.say(&format!("SELECT {db}"));
    let keys = String::from_utf8(client.say("KEYS *")).unwrap();
    let mut contents: Vec<_> = keys
        .split_whitespace()
        .map(|key| {
            let kind = client.say(&format!("TYPE {key}"));
            let ask = match &kind[..] {
                b"+string" => format!("GET {key}"),
                b"+list" => format!("LRANGE {key} 0 -1"),
                b"+set" => format!("SMEMBERS {key}"),
                b"+hash" => format!("HGETALL {key}"),
                b"+zset" => format!("ZRANGE {key} 0 -1 WITHSCORES"),
                other => panic!("{key} is a {}", other.escape_ascii()),
            };
            let all = client.say(&ask);
            let mut elements: Vec<Vec<u8>> = all.split(|b| *b == b' ').map(<[u8]>::to_vec).collect();
            match &kind[..] {
                b"+set" => elements.sort(),
                b"+hash" => {
                    let mut pairs: Vec<Vec<u8>> = elements.chunks(2).map(<[Vec<u8>]>::concat).collect();
                    pairs.sort();
                    elements = pairs;
                }
                // Redis 7.0 writes scores with more digits than it takes to tell them apart.
                b"+zset" => elements.iter_mut().skip(1).step_by(2).for_each(|score| {
                    let number: f64 = std::str::from_utf8(score).unwrap().parse().unwrap();
                    *score = number.to_bits().to_le_bytes().to_vec();
                }),
                _ => {}
            }
            (key.to_owned(), kind, client.say(&format!("PEXPIRETIME {key}")), elements)
        })
        .collect();
    contents.sort();
    contents
}

#[test]
fn what_redis_saved_is_what_the_server_then_holds() {
    let settings: [&[&str]; 3] = [
        &[],
        &["--hash-max-listpack-entries", "0", "--zset-max-listpack-entries", "0", "--set-max-intset-entries", "0"],
        &[
            "--hash-max-listpack-entries",
            "700",
            "--zset-max-listpack-entries",
            "700",
            "--list-max-listpack-size",
            "1",
            "--rdbcompression",
            "no",
            "--rdbchecksum",
            "no",
        ],
    ];
    for flags in settings {
        let dir = tempfile::tempdir().unwrap();
        let saved = dir.path().join("dump.rdb");
        let place = ["--dir", dir.path().to_str().unwrap(), "--save", ""];
        let Some(redis) = Redis::start(Listen::Tcp, &[&place[..], flags].concat()) else { return };
        let mut theirs = Client::new(redis.addr().port());
        for recipe in recipes() {
            let reply = run(&mut theirs, &recipe);
            assert!(!reply.starts_with(b"-"), "{recipe:?}: {}", reply.escape_ascii());
        }
        theirs.say("SELECT 9");
        theirs.say("SET other database");
        assert_eq!(theirs.say("SAVE"), b"+OK");
        let data = dir.path().join("data");
        let (status, said, error) = import(&[saved.to_str().unwrap(), "--dir", data.to_str().unwrap()], None);
        assert_eq!((status, error.as_str()), (0, ""), "{said}");
        assert!(said.contains("RDB version 10, written by Redis 7.0.15"), "{said}");
        let (_server, port) = start(&data, &[]);
        let mut ours = Client::new(port);
        for db in [0, 9] {
            let (ours, theirs) = (contents(&mut ours, db), contents(&mut theirs, db));
            assert_eq!(ours.len(), theirs.len());
            for (ours, theirs) in ours.iter().zip(&theirs) {
                assert!(ours == theirs, "{flags:?}: {} differs", theirs.0);
            }
            assert!(!ours.is_empty());
        }
        // The real thing, though of one version, reads what the other tests write by themselves.
        let kept = fs::read(&saved).unwrap();
        assert!(kept.starts_with(b"REDIS0010"));
    }
}

/// A file of Redis 7.0.15 with a value of each type, a stream and functions; saved once.
const GOLDEN: &[u8] = include_bytes!("golden/redis-7.0.15.rdb");

#[test]
fn the_golden_file_is_imported_and_what_has_no_place_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (file, data) = (dir.path().join("golden.rdb"), dir.path().join("data"));
    fs::write(&file, GOLDEN).unwrap();
    let (status, said, error) = import(&[file.to_str().unwrap(), "--dir", data.to_str().unwrap(), "--db", "3=5"], None);
    assert_eq!((status, error.as_str()), (3, ""), "{said}");
    for line in [
        "8 keys in",
        "  database 0: hash 1, list 1, set 2, string 2, zset 1\n",
        "  database 5: string 1\n",
        "NOT TAKEN: 1 × stream\n",
        "NOT TAKEN: 1 × library of functions\n",
        "its checksum is right",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    let (_server, port) = start(&data, &[]);
    let mut client = Client::new(port);
    assert_eq!(client.say("DBSIZE"), b":7");
    assert_eq!(client.say("GET text"), b"hello");
    assert_eq!(client.say("LRANGE list 0 -1"), b"a b 3 ");
    assert_eq!(client.say("ZRANGE zset 0 -1 WITHSCORES"), b"one 1 two 2.5 ");
    assert_eq!(client.say("HGET hash field"), b"value");
    assert_eq!(client.say("SCARD ints"), b":3");
    assert_eq!(client.say("PEXPIRETIME number"), b":4102444800000");
    client.say("SELECT 5");
    assert_eq!(client.say("GET elsewhere"), b"5");
}

fn small() -> File {
    File::redis(10).key(kinds::STRING, b"key", &string(b"value"))
}

#[test]
fn a_damaged_file_changes_nothing_and_the_place_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (file, data) = (dir.path().join("dump.rdb"), dir.path().join("data"));
    let args = [file.to_str().unwrap(), "--dir", data.to_str().unwrap()];
    let mut bytes = small().key(kinds::LIST, b"broken", &[2, 0]).end();
    fs::write(&file, &bytes).unwrap();
    let (status, said, error) = import(&args, None);
    assert_eq!((status, said.as_str()), (1, ""));
    assert!(error.contains("nothing was changed") && error.contains("key \"broken\" of database 0"), "{error}");
    assert!(!data.exists());
    bytes = small().end();
    bytes[15] ^= 1;
    fs::write(&file, &bytes).unwrap();
    assert!(import(&args, None).2.contains("changed since they were written"));
    fs::write(&file, &small().0).unwrap();
    assert!(import(&args, None).2.contains("it was cut short"));
    assert!(!data.exists());
    // A directory with keys stays as it is.
    fs::write(&file, small().end()).unwrap();
    assert_eq!(import(&args, None).0, 0);
    fs::write(&file, small().key(kinds::STRING, b"new", &string(b"v")).0).unwrap();
    let (status, _, error) = import(&[&args[..], &["--replace"]].concat(), None);
    assert!(status == 1 && error.contains("nothing was changed"), "{error}");
    let (_server, port) = start(&data, &[]);
    assert_eq!(Client::new(port).say("DBSIZE"), b":1");
}

#[test]
fn standard_input_is_imported_as_it_comes() {
    let dir = tempfile::tempdir().unwrap();
    let (file, data) = (dir.path().join("dump.rdb"), dir.path().join("data"));
    let args = ["-", "--dir", data.to_str().unwrap()];
    fs::write(&file, small().end()).unwrap();
    let (status, said, error) = import(&args, Some(&file));
    assert_eq!((status, error.as_str()), (0, ""));
    assert!(said.starts_with("standard input: RDB version 10"), "{said}");
    assert!(import(&args, Some(&file)).2.contains("say --replace or --keep"));
    let (status, said, _) = import(&[&args[..], &["--keep"]].concat(), Some(&file));
    assert!(status == 0 && said.contains("1: keys existed and were kept"), "{said}");
    fs::write(&file, small().key(kinds::STRING, b"new", &string(b"v")).0).unwrap();
    let (status, _, error) = import(&[&args[..], &["--replace"]].concat(), Some(&file));
    assert!(status == 1 && error.contains("no key was written"), "{error}");
    let (_server, port) = start(&data, &[]);
    assert_eq!(Client::new(port).say("DBSIZE"), b":1");
}

#[test]
fn a_directory_in_use_is_left_alone_and_a_dry_run_touches_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (file, data) = (dir.path().join("dump.rdb"), dir.path().join("data"));
    let args = [file.to_str().unwrap(), "--dir", data.to_str().unwrap()];
    fs::write(&file, small().end()).unwrap();
    let (status, said, error) = import(&[&args[..], &["--dry-run"]].concat(), None);
    assert!(status == 0 && error.is_empty() && said.contains("would be imported: 1 keys"), "{said}{error}");
    assert!(!data.exists());
    let (_server, port) = start(&data, &[]);
    let (status, _, error) = import(&args, None);
    assert!(status == 1 && error.contains("in use") && error.contains("stop the server"), "{error}");
    assert_eq!(Client::new(port).say("DBSIZE"), b":0");
}

#[test]
fn words_that_are_not_understood_have_a_status_of_their_own() {
    for args in [&[][..], &["a", "b"], &["a", "--db", "x"], &["a", "--what"]] {
        let (status, said, error) = import(args, None);
        assert_eq!((status, said.as_str()), (2, ""), "{args:?}");
        assert!(error.contains("usage:"), "{error}");
    }
    assert_eq!(import(&["/nonexistent/dump.rdb"], None).0, 1);
}
