//! What the family promises, by example.

use crate::harness::{Harness, print};
use crate::rdb::tests::signed;

/// A payload of type `kind`: a count, then the strings.
pub(super) fn strings(kind: u8, count: usize, words: &[&[u8]]) -> Vec<u8> {
    let mut body = vec![kind, count as u8];
    for word in words {
        body.push(word.len() as u8);
        body.extend_from_slice(word);
    }
    signed(&body, 10)
}

/// Makes a string.
pub(super) fn set(h: &mut Harness, key: &str, value: &str) {
    let mut payload = vec![0, value.len() as u8];
    payload.extend_from_slice(value.as_bytes());
    assert_eq!(print(&h.run_bytes(&[b"RESTORE", key.as_bytes(), b"0", &signed(&payload, 10), b"REPLACE"])), "OK");
}

/// Makes a list.
fn list(h: &mut Harness, key: &str, elements: &[&str]) {
    let words: Vec<&[u8]> = elements.iter().map(|e| e.as_bytes()).collect();
    let payload = strings(1, words.len(), &words);
    assert_eq!(print(&h.run_bytes(&[b"RESTORE", key.as_bytes(), b"0", &payload, b"REPLACE"])), "OK");
}

#[test]
fn a_key_named_twice_is_deleted_once() {
    let mut h = Harness::new();
    for n in 0..40 {
        set(&mut h, &format!("k{n}"), "v");
    }
    let twice: Vec<String> = (0..40).chain(0..40).map(|n| format!("k{n}")).collect();
    h.expect(&format!("EXISTS {}", twice.join(" ")), "80");
    h.expect("UNLINK k0 k0 k1", "2");
    h.expect(&format!("DEL {} nosuch", twice.join(" ")), "38");
    h.expect("DBSIZE", "0");
    h.reopen();
}

#[test]
fn a_deadline_moves_with_its_key() {
    let mut h = Harness::new();
    set(&mut h, "a", "1");
    h.expect("PEXPIRE a 5000", "1");
    h.expect("RENAME a b", "OK");
    h.expect("PTTL b", "5000");
    h.expect("COPY b c", "1");
    h.expect("MOVE b 3", "1");
    h.expect("EXISTS b", "0");
    h.db = 3;
    h.expect("PTTL b", "5000");
    h.db = 0;
    h.reopen();
    h.pass(4999);
    h.expect("PTTL c", "1");
    h.pass(1);
    h.expect("PTTL c", "-2");
    h.db = 3;
    h.expect("EXISTS b", "0");
    h.reopen();
}

#[test]
fn rename_replaces_what_has_expired_or_not() {
    let mut h = Harness::new();
    list(&mut h, "l", &["x", "y"]);
    set(&mut h, "b", "1");
    h.expect("RENAMENX l b", "0");
    h.expect("PEXPIRE b 10", "1");
    h.pass(10);
    h.expect("RENAMENX l b", "1");
    h.expect("TYPE b", "list");
    h.expect("TTL b", "-1");
    h.expect("RENAME b b", "OK");
    h.expect("RENAMENX b b", "0");
    h.reopen();
    h.expect("SORT b ALPHA DESC", "[y x]");
}

#[test]
fn a_copied_list_is_its_own() {
    let mut h = Harness::new();
    list(&mut h, "l", &["3", "1", "2"]);
    h.expect("COPY l m", "1");
    h.expect("SORT m STORE l", "3");
    h.expect("SORT m BY nosort", "[3 1 2]");
    h.expect("SORT l BY nosort", "[1 2 3]");
    h.expect("COPY l m", "0");
    h.expect("COPY l m REPLACE", "1");
    h.expect("SORT m BY nosort DESC LIMIT 0 2", "[3 2]");
    h.reopen();
}

#[test]
fn databases_change_places_and_are_flushed() {
    let mut h = Harness::new();
    set(&mut h, "k", "zero");
    h.expect("SWAPDB 0 5", "OK");
    h.expect("EXISTS k", "0");
    set(&mut h, "other", "v");
    h.reopen();
    h.db = 5;
    h.expect("GET k", "zero");
    h.expect("FLUSHDB", "OK");
    h.expect("DBSIZE", "0");
    h.reopen();
    h.db = 0;
    h.expect("DBSIZE", "1");
    h.expect("SWAPDB 5 0", "OK");
    h.expect("FLUSHALL ASYNC", "OK");
    h.db = 5;
    h.expect("DBSIZE", "0");
    h.reopen();
}

#[test]
fn a_whole_scan_returns_every_key() {
    let mut h = Harness::new();
    for n in 0..300 {
        set(&mut h, &format!("k{n}"), "v");
    }
    list(&mut h, "list", &["x"]);
    for options in ["", "COUNT 1", "COUNT 7 MATCH k*", "COUNT 1000 TYPE string", "MATCH list TYPE LIST"] {
        let (mut cursor, mut keys) = ("0".to_owned(), std::collections::BTreeSet::new());
        loop {
            let page = h.run(&format!("SCAN {cursor} {options}"));
            let [next, found] = page.as_slice().expect("an array") else { panic!("{page:?}") };
            keys.extend(found.as_slice().expect("keys").iter().map(print));
            cursor = print(next);
            if cursor == "0" {
                break;
            }
        }
        let expected = match options {
            "" | "COUNT 1" => 301,
            "MATCH list TYPE LIST" => 1,
            _ => 300,
        };
        assert_eq!(keys.len(), expected, "{options}");
    }
}

#[test]
fn cursors_are_read_like_strtoul() {
    let mut h = Harness::new();
    for cursor in ["0", "\"\"", "-1", "+1", "18446744073709551615"] {
        h.expect(&format!("SCAN {cursor}"), "[0 []]");
    }
    for cursor in ["abc", "\" 1\"", "18446744073709551616", "-", "0x1"] {
        h.expect(&format!("SCAN {cursor}"), "-ERR invalid cursor");
    }
}

#[test]
fn idle_time_counts_from_the_last_use() {
    let mut h = Harness::new();
    set(&mut h, "k", "v");
    h.pass(10_000);
    h.expect("OBJECT IDLETIME k", "10");
    h.expect("TYPE k", "string");
    h.expect("TTL k", "-1");
    h.expect("EXISTS k", "1");
    h.expect("OBJECT ENCODING k", "embstr");
    h.expect("OBJECT IDLETIME k", "10");
    h.expect("RENAME k l", "OK");
    h.expect("TOUCH l nosuch l", "2");
    h.expect("OBJECT IDLETIME l", "0");
    h.expect("OBJECT IDLETIME k", "nil");
    let payload = strings(1, 1, &[b"x"]);
    h.run_bytes(&[b"RESTORE", b"old", b"0", &payload, b"IDLETIME", b"1000"]);
    h.expect("OBJECT IDLETIME old", "1000");
    h.expect("SORT old ALPHA", "[x]");
    h.expect("OBJECT IDLETIME old", "0");
    assert!(print(&h.run("OBJECT FREQ old")).starts_with("-ERR An LFU maxmemory policy is not selected"));
    h.expect("OBJECT REFCOUNT old", "1");
}

#[test]
fn memory_usage_grows_with_the_value() {
    let mut h = Harness::new();
    set(&mut h, "k", "v");
    let small = h.run("MEMORY USAGE k").as_int().expect("a size");
    set(&mut h, "k", &"v".repeat(60));
    let large = h.run("MEMORY USAGE k SAMPLES 0").as_int().expect("a size");
    assert!(small > 20 && large >= small + 48, "{small} {large}");
    h.expect("MEMORY USAGE nosuch", "nil");
}

#[test]
fn sort_reaches_keys_of_any_shard() {
    let mut h = Harness::new();
    let names: Vec<String> = (0..60).map(|n| format!("e{n}")).collect();
    list(&mut h, "l", &names.iter().map(String::as_str).collect::<Vec<_>>());
    for (n, name) in names.iter().enumerate() {
        set(&mut h, &format!("w_{name}"), &((n * 37) % 60).to_string());
    }
    h.expect("SORT l BY w_* LIMIT 10 3 GET # GET w_*", "[e10 10 e23 11 e36 12]");
    h.expect("SORT l BY w_* DESC LIMIT 0 1 STORE d", "1");
    h.expect("SORT d ALPHA", "[e47]");
    h.expect("SORT l BY nosuch_* LIMIT 5 2 STORE d", "2");
    h.expect("SORT d ALPHA", "[e13 e14]");
    h.expect("SORT nosuch STORE d", "0");
    h.expect("EXISTS d", "0");
    h.reopen();
}

#[test]
fn the_keys_of_sort_are_found() {
    let spec = crate::table::find(b"sort").expect("declared");
    let args: resp::OwnedArgs =
        ["SORT", "k", "GET", "store", "LIMIT", "0", "1", "STORE", "a", "BY", "x", "STORE", "b"].iter().collect();
    let mut found = Vec::new();
    spec.keys.each(&args.as_args(), |at| found.push(at));
    assert_eq!(found, [1, 12]);
}
