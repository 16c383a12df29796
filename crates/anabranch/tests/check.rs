//! What a start, a stop and `check` say, and what `--salvage` saves.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[allow(dead_code, reason = "what the rig has for caches is not needed here")]
mod rig;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Instant;

use rig::{Client, PATIENCE, start};

fn until(what: &str, mut found: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !found() {
        assert!(Instant::now() < end, "in vain: {what}");
        std::thread::yield_now();
    }
}

fn anabranch(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_anabranch")).args(args).output().unwrap()
}

/// Exit status, standard output and standard error of `check`.
fn check(args: &[&str]) -> (i32, String, String) {
    let output = anabranch(&[&["check"], args].concat());
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

fn set(client: &mut Client, keys: std::ops::Range<u32>) {
    for key in keys {
        assert_eq!(client.say(&format!("SET key{key} {}", "v".repeat(40))), b"+OK");
    }
}

fn shut_down(client: &mut Client, dir: &Path) {
    client.ask(&[b"SHUTDOWN"]);
    let clean = || fs::read_to_string(dir.join("identity")).is_ok_and(|text| text.contains("\nclean "));
    until("the stop is clean", clean);
}

fn segment(dir: &Path) -> PathBuf {
    let found = fs::read_dir(dir.join("log")).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = found.filter(|path| path.extension().is_some_and(|e| e == "wal")).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found.pop().unwrap()
}

#[test]
fn what_was_lost_after_a_clean_stop_is_refused_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().to_str().unwrap();
    let (running, port) = start(dir.path(), &[]);
    let mut client = Client::new(port);
    set(&mut client, 0..30);
    shut_down(&mut client, dir.path());
    drop(running);
    let (status, said, _) = check(&[data]);
    assert_eq!(status, 0, "{said}");
    assert!(said.ends_with("no fault was found\n") && !said.contains('{'), "{said}");
    let segment = segment(dir.path());
    fs::OpenOptions::new().write(true).open(&segment).unwrap().set_len(1000).unwrap();
    let (status, said, _) = check(&[data]);
    assert_eq!(status, 1, "{said}");
    let fault = format!("FAULT: {}, offset ", segment.display());
    assert!(said.contains(&fault) && said.contains("but the log was durable up to position"), "{said}");
    let refused = anabranch(&["serve", "--bind", "127.0.0.1", "--port", &port.to_string(), "--dir", data]);
    let error = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && error.contains(segment.to_str().unwrap()), "{error}");
    assert!(error.contains("at offset") && error.contains("anabranch check"), "{error}");
    fs::remove_file(&segment).unwrap();
    assert_eq!(check(&[data]).0, 1);
    assert!(!anabranch(&["serve", "--bind", "127.0.0.1", "--port", &port.to_string(), "--dir", data]).status.success());
}

#[test]
fn what_comes_before_a_bad_byte_is_saved_with_the_rows_that_it_needs() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let (mut running, port) = start(&data, &["--appendfsync", "always"]);
    let mut client = Client::new(port);
    set(&mut client, 0..20);
    client.say("BGREWRITEAOF");
    until("the checkpoint is taken", || {
        String::from_utf8_lossy(&client.say("INFO persistence")).contains("aof_rewrite_in_progress:0")
    });
    set(&mut client, 20..40);
    let (status, _, error) = check(&[data.to_str().unwrap()]);
    assert_eq!((status, error.contains("in use")), (2, true), "{error}");
    running.kill();
    let segment = segment(&data);
    let mut bytes = fs::read(&segment).unwrap();
    let at = bytes.windows(5).position(|bytes| bytes == b"key30").unwrap();
    bytes[at] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let saved = dir.path().join("saved");
    let (status, said, error) = check(&[data.to_str().unwrap(), "--salvage", saved.to_str().unwrap()]);
    assert_eq!(status, 1, "{said}{error}");
    assert!(said.contains("20 keys") && said.contains("FAULT: ") && said.contains("saved: 30 keys"), "{said}{error}");
    assert_eq!(check(&[saved.to_str().unwrap()]).0, 0);
    let (_running, port) = start(&saved, &[]);
    let mut client = Client::new(port);
    assert_eq!(client.say("DBSIZE"), b":30");
    assert_eq!(client.say("STRLEN key3"), b":40");
    assert_eq!(client.say("STRLEN key29"), b":40");
}

#[test]
fn what_cannot_be_looked_at_has_a_status_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let none = dir.path().join("none");
    for args in [&[][..], &[dir.path().to_str().unwrap()], &[none.to_str().unwrap()], &["a", "--salvaged", "b"]] {
        let (status, said, error) = check(args);
        assert_eq!((status, &*said, error.is_empty()), (2, "", false), "{args:?}");
    }
}

#[test]
fn a_start_and_a_stop_say_what_they_did() {
    let dir = tempfile::tempdir().unwrap();
    let (data, log) = (dir.path().join("data"), dir.path().join("said"));
    let flags = ["--logfile", log.to_str().unwrap(), "--appendfsync", "always"];
    let said = || fs::read_to_string(&log).unwrap_or_default();
    let (mut running, port) = start(&data, &flags);
    set(&mut Client::new(port), 0..20);
    running.kill();
    assert!(said().contains("the data was loaded") && said().contains("keys=0"), "{}", said());
    assert!(!said().contains("incarnation"), "{}", said());
    // What was written last, without its end: no mark behind it says that it was durable.
    let segment = segment(&data);
    let mut bytes = fs::read(&segment).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    bytes.truncate(end);
    bytes.extend([200, 0, 0, 0, 1, 2, 3, 4, 2, 9, 9, 9]);
    fs::write(&segment, bytes).unwrap();
    let (mut running, port) = start(&data, &flags);
    for words in ["half a write", "offset=", "bytes=", "under a new incarnation", "keys=20"] {
        assert!(said().contains(words), "{words}: {}", said());
    }
    assert!(said().contains(segment.to_str().unwrap()), "{}", said());
    shut_down(&mut Client::new(port), &data);
    until("the end is told", || said().contains("the server has stopped"));
    assert!(said().contains("SHUTDOWN received") && said().contains("closed cleanly"), "{}", said());
    running.kill();
    assert!(!said().contains("SIGTERM received"));
    let (running, port) = start(&data, &flags);
    let pid = String::from_utf8(Client::new(port).say("INFO server")).unwrap();
    let pid = pid.lines().find_map(|line| line.strip_prefix("process_id:")).unwrap().to_owned();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    until("the signal is told", || said().contains("SIGTERM received"));
    until("the end is told again", || said().matches("the server has stopped").count() == 2);
    drop(running);
}
