//! Backups as an operator sees them: a server is backed up while it runs, and another starts on what was restored.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[allow(dead_code, reason = "what the rig has for caches is not needed here")]
mod rig;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use rig::{Client, start};

/// Ends with this status; answers what it has said, to both.
fn anabranch(words: &[&str], status: i32) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_anabranch"));
    let Output { status: found, stdout, stderr } = command.args(words).output().unwrap();
    let said = String::from_utf8([stdout, stderr].concat()).unwrap();
    assert_eq!(found.code(), Some(status), "{words:?}: {said}");
    said
}

fn digest(client: &mut Client) -> Vec<u8> {
    client.say("DEBUG DIGEST")
}

/// The first word of the report: what the backup is called.
fn id(said: &str) -> String {
    said.split(':').next().unwrap().to_owned()
}

fn is_found(dir: &Path, bytes: &[u8]) -> bool {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).any(|path| match path.is_dir() {
        true => is_found(&path, bytes),
        false => fs::read(&path).unwrap().windows(bytes.len()).any(|window| window == bytes),
    })
}

#[test]
fn a_server_is_backed_up_while_it_runs_and_another_starts_on_what_was_restored() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (key, public, place) = (path("key"), path("key.pub"), path("place"));
    anabranch(&["backup-key", &key], 0);
    assert!(anabranch(&["backup-key", &key], 1).contains("never overwritten"));
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    fs::write(path("password"), "secret\n").unwrap();
    let allow = ["--enable-debug-command", "local"];
    let (running, port) = start(Path::new(&path("data")), &[&allow[..], &["--requirepass", "secret"]].concat());
    let mut client = Client::new(port);
    client.say("AUTH secret");
    for n in 0..2000 {
        client.say(&format!("SET key:{n} what-nobody-may-find:{n}"));
    }
    assert_eq!(client.say("KEYSPACE SET pages MATCH page:* MODE cache MAXMEMORY 16mb MAXDISK 64mb"), b"+OK");
    client.say("SET page:1 cached");
    let first_digest = digest(&mut client);
    let server = format!("127.0.0.1:{port}");
    let (password, words) = (path("password"), ["--recipient", &public, "--server", &server]);
    let with_password = ["--password-file", &password];
    let back_up = |more: &[&str]| anabranch(&[&["backup", &place], &words[..], &with_password, more].concat(), 0);
    assert!(anabranch(&[&["backup", &place], &words[..]].concat(), 1).contains("NOAUTH"));
    let first = back_up(&[]);
    assert!(first.contains(": whole (the first"), "{first}");
    client.say("SET key:1 changed");
    client.say("RPUSH list a b c");
    let second_digest = digest(&mut client);
    let second = back_up(&[]);
    assert!(second.contains(": increment ("), "{second}");
    assert!(!is_found(dir.path().join("place").as_path(), b"what-nobody"), "it is sealed");
    let info = String::from_utf8(client.say("INFO persistence")).unwrap();
    assert!(info.contains("backup_last_status:ok") && info.contains("backup_in_progress:0"), "{info}");
    let refused = anabranch(&[&["backup", "http://127.0.0.1:1/x"], &words[..], &with_password].concat(), 1);
    assert!(refused.contains("127.0.0.1"), "{refused}");
    assert!(client.say("BACKUP CANCEL").starts_with(b"-ERR no backup is being taken"));
    assert!(client.say("BACKUP TO place RECIPIENT key").starts_with(b"-ERR give a URL or an absolute path"));
    assert!(client.say("BACKUP TO /place RECIPIENT key").starts_with(b"-ERR RECIPIENT: this is no key"));
    drop((client, running));

    let list = anabranch(&["restore", &place, "--list"], 0);
    assert_eq!(list.lines().count(), 2, "{list}");
    assert!(list.contains(&id(&first)) && list.contains(&format!("goes on, from {}", id(&first))), "{list}");
    let master = path("master");
    fs::write(&master, format!("1 {}\n", "ab".repeat(32))).unwrap();
    fs::set_permissions(&master, fs::Permissions::from_mode(0o600)).unwrap();
    let sealed = ["--encryption-key-file", &master];
    for (name, more, expected) in [
        ("newest", &[][..], &second_digest),
        ("older", &["--backup", &id(&first)][..], &first_digest),
        ("sealed", &sealed[..], &second_digest),
    ] {
        let to = path(name);
        let said = anabranch(&[&["restore", &place, "--to", &to, "--key", &key], more].concat(), 0);
        assert!(said.contains("keys from backup"), "{said}");
        let flags = if name == "sealed" { &sealed[..] } else { &[] };
        assert_eq!(is_found(Path::new(&to), b"what-nobody-may-find:7"), name != "sealed");
        let (running, port) = start(Path::new(&to), &[&allow[..], flags].concat());
        let mut client = Client::new(port);
        assert_eq!(&digest(&mut client), expected, "{name}");
        let spaces = String::from_utf8(client.say("KEYSPACE LIST")).unwrap();
        assert!(spaces.starts_with("pages "), "definitions of caches are in it, {name}: {spaces}");
        assert_eq!(client.say("EXISTS page:1"), b":0", "what they hold is not");
        drop((client, running));
        let again = anabranch(&[&["restore", &place, "--to", &to, "--key", &key], more].concat(), 1);
        assert!(again.contains("is not empty"), "{again}");
    }
    let late = anabranch(&["restore", &place, "--to", &path("late"), "--key", &key, "--at", "9999-01-01T00:00:00Z"], 1);
    assert!(late.contains("no backup has the moment 9999-01-01") && late.contains("one reaches up to"), "{late}");
    let wrong = anabranch(&["restore", &place, "--to", &path("late"), "--key", &public], 1);
    assert!(wrong.contains("opening takes the private key"), "{wrong}");
    assert!(!dir.path().join("late").exists());
    // A directory at rest goes on where the server ended.
    let rest = anabranch(&["backup", &place, "--recipient", &public, "--dir", &path("data")], 0);
    assert!(rest.contains(": increment ("), "{rest}");
    assert!(
        anabranch(&["backup", &place, "--recipient", &public, "--dir", &path("none")], 1).contains("holds no data")
    );
}

#[test]
fn who_may_take_backups_is_said_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let (_running, port) = start(dir.path(), &["--enable-backup-command", "no"]);
    let mut client = Client::new(port);
    assert!(client.say("BACKUP TO /place RECIPIENT key").starts_with(b"-ERR BACKUP command not allowed"));
    assert!(client.say("BACKUP CANCEL").starts_with(b"-ERR BACKUP command not allowed"));
    assert_eq!(client.say("BACKUP STATUS"), b"state none ");
}
