//! The archive as an operator sees it: a server is killed, its directory is lost, and another is made of what the archive has.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[allow(dead_code, reason = "what the rig has for caches is not needed here")]
mod rig;

use std::collections::HashMap;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Instant;

use rig::{Client, PATIENCE, Running, start};

/// A place for all that a test has.
struct Scene {
    dir: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let scene = Self { dir: tempfile::tempdir().unwrap() };
        anabranch(&["backup-key", &scene.path("key")], 0);
        scene
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    fn data(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn start(&self, name: &str, more: &[&str]) -> (Running, Client) {
        let (place, public) = (self.path("place"), self.path("key.pub"));
        let words = ["--enable-debug-command", "local", "--archive", &place, "--archive-recipient", &public];
        let words = [&words[..], &["--archive-interval", "1"], more].concat();
        let (running, port) = start(&self.data(name), &words);
        (running, Client::new(port))
    }

    fn restore(&self, name: &str, more: &[&str], status: i32) -> String {
        let (place, to, key) = (self.path("place"), self.path(name), self.path("key"));
        anabranch(&[&["restore", &place, "--to", &to, "--key", &key], more].concat(), status)
    }
}

/// Ends with this status; answers what it has said, to both.
fn anabranch(words: &[&str], status: i32) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_anabranch"));
    let Output { status: found, stdout, stderr } = command.args(words).output().unwrap();
    let said = String::from_utf8([stdout, stderr].concat()).unwrap();
    assert_eq!(found.code(), Some(status), "{words:?}: {said}");
    said
}

fn info(client: &mut Client, section: &str) -> HashMap<String, String> {
    let text = String::from_utf8(client.say(&format!("INFO {section}"))).unwrap();
    let fields = text.lines().filter_map(|line| line.split_once(':'));
    fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "{what} does not come about");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// Everything that was written is in the archive.
fn archived(client: &mut Client) {
    until("everything is archived", || {
        let info = info(client, "persistence");
        info["archive_status"] == "ok" && info["archive_lag_bytes"] == "0"
    });
}

fn digest(client: &mut Client) -> Vec<u8> {
    client.say("DEBUG DIGEST")
}

#[test]
fn a_server_that_was_killed_and_has_lost_its_directory_is_made_anew_of_the_archive() {
    let scene = Scene::new();
    let (mut running, mut client) = scene.start("data", &[]);
    for n in 0..2000 {
        client.say(&format!("SET key:{n} {n}"));
    }
    client.say("RPUSH list a b c");
    archived(&mut client);
    let first = digest(&mut client);
    // Killed while it archives: the next one goes on where this one ended.
    for n in 0..500 {
        client.say(&format!("SET more:{n} {n}"));
    }
    running.kill();
    let (mut running, mut client) = scene.start("data", &[]);
    assert_eq!(client.say("BGREWRITEAOF").first(), Some(&b'+'), "the log is cut");
    client.say("DEL key:7");
    archived(&mut client);
    let figures = info(&mut client, "persistence");
    assert_eq!((&*figures["archive_enabled"], &*figures["archive_whole_backups"]), ("1", "0"), "{figures:?}");
    assert_eq!((&*figures["archive_holes"], &*figures["archive_errors"]), ("0", "0"));
    let last = digest(&mut client);
    running.kill();
    fs::remove_dir_all(scene.data("data")).unwrap();
    let said = scene.restore("new", &[], 0);
    assert!(said.contains("keys from backup"), "{said}");
    let (running, mut client) = scene.start("new", &[]);
    assert_eq!(digest(&mut client), last);
    assert_ne!(first, last);
    assert_eq!(client.say("EXISTS key:7"), b":0");
    archived(&mut client);
    drop((running, client));
    let several = scene.restore("which", &[], 1);
    assert!(several.contains("backups of several nodes"), "the new one archives as a node of its own: {several}");
    let stray = scene.restore("member", &["--member", "--node", &node(&several, 0)], 1);
    assert!(stray.contains("no member of a group"), "{stray}");
}

#[test]
fn what_a_server_was_writing_when_it_was_killed_is_there_up_to_some_moment_and_nothing_behind_it() {
    let scene = Scene::new();
    let (mut running, mut client) = scene.start("data", &[]);
    (0..500).for_each(|n| drop(client.say(&format!("RPUSH list {n}"))));
    archived(&mut client);
    let mut last = 500;
    // Until the archive has gone on at least once, whatever it is doing then.
    let segments = info(&mut client, "persistence")["archive_segments"].clone();
    until("the archive goes on", || {
        (last..last + 100).for_each(|n| drop(client.say(&format!("RPUSH list {n}"))));
        last += 100;
        info(&mut client, "persistence")["archive_segments"] != segments
    });
    (last..last + 777).for_each(|n| drop(client.say(&format!("RPUSH list {n}"))));
    running.kill();
    fs::remove_dir_all(scene.data("data")).unwrap();
    scene.restore("new", &[], 0);
    let (_running, mut client) = scene.start("new", &[]);
    let len: usize = String::from_utf8(client.say("LLEN list")).unwrap()[1..].parse().unwrap();
    assert!(len > 500 && len <= last + 777, "{len} of {last}");
    let all = String::from_utf8(client.say("LRANGE list 0 -1")).unwrap();
    let expected: Vec<String> = (0..len).map(|n| n.to_string()).collect();
    assert_eq!(all.split_whitespace().collect::<Vec<_>>(), expected);
}

/// One of the nodes in `… of several nodes: a, b; say …`.
fn node(said: &str, n: usize) -> String {
    let list = said.split("several nodes: ").nth(1).unwrap().split(';').next().unwrap();
    list.split(", ").nth(n).unwrap().to_owned()
}

#[test]
fn a_place_that_cannot_be_reached_delays_the_archive_and_nothing_else() {
    let scene = Scene::new();
    fs::write(scene.path("place"), "in the way").unwrap();
    let (running, mut client) = scene.start("data", &[]);
    client.say("SET k v");
    until("it fails", || info(&mut client, "persistence")["archive_errors"] != "0");
    let figures = info(&mut client, "persistence");
    assert_eq!((&*figures["archive_status"], &*figures["archive_segments"]), ("err", "0"));
    assert!(!figures["archive_last_error"].is_empty());
    assert_eq!(client.say("SET k w"), b"+OK");
    fs::remove_file(scene.path("place")).unwrap();
    archived(&mut client);
    assert_eq!(info(&mut client, "persistence")["archive_last_error"], "");
    let now = digest(&mut client);
    drop((running, client));
    scene.restore("new", &[], 0);
    let (_running, mut client) = scene.start("new", &[]);
    assert_eq!(digest(&mut client), now);
}

#[test]
fn what_is_no_archive_is_refused_at_the_start() {
    let scene = Scene::new();
    let refused = |words: &[&str]| {
        let data = scene.path("data");
        anabranch(&[&["serve", "--port", "0", "--dir", &data], words].concat(), 1)
    };
    let public = scene.path("key.pub");
    assert!(refused(&["--archive", "/place"]).contains("archive-recipient"));
    assert!(refused(&["--archive", "place", "--archive-recipient", &public]).contains("absolute path"));
    assert!(refused(&["--archive", "ftp://h/p", "--archive-recipient", &public]).contains("known are paths"));
    let private = refused(&["--archive", "/place", "--archive-recipient", &scene.path("key")]);
    assert!(private.contains("archive-recipient: "), "{private}");
}

fn free_port() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string()
}

#[test]
fn a_member_of_a_group_that_has_lost_its_directory_comes_back_from_the_archive_under_a_new_life() {
    let scene = Scene::new();
    let passphrase = scene.path("passphrase");
    let made = Command::new(env!("CARGO_BIN_EXE_anabranch")).arg("gen-passphrase").output().unwrap().stdout;
    fs::write(&passphrase, made).unwrap();
    fs::set_permissions(Path::new(&passphrase), fs::Permissions::from_mode(0o600)).unwrap();
    let (a, b) = (free_port(), free_port());
    let (at_a, at_b) = (format!("127.0.0.1:{a}"), format!("127.0.0.1:{b}"));
    let of = |port: &str, join: &str| -> Vec<String> {
        let words = ["--cluster-passphrase-file", &passphrase, "--cluster-port", port, "--join", join];
        let words = if join.is_empty() { &words[..4] } else { &words[..] };
        words.iter().map(|word| (*word).to_owned()).collect()
    };
    let start = |name: &str, words: Vec<String>| {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        scene.start(name, &words)
    };
    let member = |client: &mut Client| until("a member", || info(client, "replication")["group_role"] == "member");
    let (running_a, mut client_a) = start("a", of(&a, ""));
    member(&mut client_a);
    let (mut running_b, mut client_b) = start("b", of(&b, &at_a));
    member(&mut client_b);
    for n in 0..300 {
        client_a.say(&format!("SET a:{n} {n}"));
        client_b.say(&format!("RPUSH both {n}"));
        client_b.say(&format!("INCR n:{}", n % 7));
    }
    archived(&mut client_b);
    let before = info(&mut client_b, "replication");
    // What is written behind that is on the other node only, if it has arrived there.
    for n in 0..50 {
        client_b.say(&format!("SET late:{n} {n}"));
    }
    running_b.kill();
    fs::remove_dir_all(scene.data("b")).unwrap();
    for n in 0..100 {
        client_a.say(&format!("RPUSH both meanwhile:{n}"));
    }
    let said = scene.restore("b", &["--member", "--node", &before["group_node"]], 0);
    assert!(said.contains(&format!("takes node {}'s place", before["group_node"])), "{said}");
    let alone = anabranch(&["serve", "--port", "0", "--dir", &scene.path("b")], 1);
    assert!(alone.contains("belongs to a group"), "{alone}");
    let (_running_b, mut client_b) = start("b", of(&b, &at_a));
    member(&mut client_b);
    let now = info(&mut client_b, "replication");
    assert_eq!(now["group_node"], before["group_node"]);
    let life = |info: &HashMap<String, String>| info["group_incarnation"].parse::<u64>().unwrap();
    assert!(life(&now) > life(&before), "{} after {}", now["group_incarnation"], before["group_incarnation"]);
    for n in 0..50 {
        client_b.say(&format!("SET again:{n} {n}"));
        client_a.say(&format!("RPUSH both again:{n}"));
    }
    until("both have the same", || digest(&mut client_a) == digest(&mut client_b));
    assert_eq!(client_a.say("LLEN both"), b":450");
    assert_eq!(client_b.say("GET n:3"), b"43");
    assert_eq!(client_a.say("GET again:49"), b"49");
    drop((running_a, at_b));
}
