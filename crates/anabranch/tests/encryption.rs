//! Encryption at rest as an operator sees it: where keys are given, what is refused, what `check` and `import` do.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[allow(dead_code, reason = "what the rig has for caches is not needed here")]
mod rig;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rdb::kinds;
use rdb::testing::{File, string};
use rig::{Client, start};

const VARIABLE: &str = "ANABRANCH_ENCRYPTION_KEYS";
const MARKER: &[u8] = b"what nobody may find on the disk";

/// A line of master keys.
fn line(id: u8) -> String {
    format!("{id} {}\n", format!("{id:02x}").repeat(32))
}

fn key_file(dir: &Path, lines: &str, mode: u32) -> PathBuf {
    let path = dir.join("master-keys");
    fs::write(&path, lines).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path
}

fn anabranch(words: &[&str], keys: Option<&str>) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_anabranch"));
    command.args(words).env_remove(VARIABLE).envs(keys.map(|keys| (VARIABLE, keys)));
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

/// What a server says that does not start.
fn refusal(dir: &Path, words: &[&str], keys: Option<&str>) -> String {
    let serve = ["serve", "--bind", "127.0.0.1", "--port", "0", "--dir", dir.to_str().unwrap()];
    let (status, _, error) = anabranch(&[&serve[..], words].concat(), keys);
    assert_ne!(status, 0);
    error
}

fn is_found(dir: &Path, bytes: &[u8]) -> bool {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).any(|path| match path.is_dir() {
        true => is_found(&path, bytes),
        false => fs::read(&path).unwrap().windows(bytes.len()).any(|window| window == bytes),
    })
}

#[test]
fn a_killed_server_with_a_key_file_leaves_what_only_its_keys_open() {
    let dir = tempfile::tempdir().unwrap();
    let (data, new) = (dir.path().join("data"), dir.path().join("new"));
    let keys = key_file(dir.path(), &line(1), 0o600);
    let (data_name, file, new_name) = (data.to_str().unwrap(), keys.to_str().unwrap(), new.to_str().unwrap());
    let log = dir.path().join("lines");
    let flags = ["--appendfsync", "always", "--encryption-key-file", file, "--logfile", log.to_str().unwrap()];
    let (mut running, port) = start(&data, &flags);
    let mut client = Client::new(port);
    assert_eq!(client.ask(&[b"SET", b"k", MARKER]).unwrap(), b"+OK");
    assert_eq!(client.say("KEYSPACE SET pages MATCH page:* MODE cache MAXMEMORY 16mb MAXDISK 64mb"), b"+OK");
    drop(client);
    running.kill();
    let said = fs::read_to_string(&log).unwrap();
    assert!(said.contains("WARN") && said.contains("the disk tier of keyspace pages is in clear"), "{said}");
    assert!(!is_found(&data, MARKER));

    let error = refusal(&data, &[], None);
    assert!(error.contains("the data is encrypted") && error.contains(VARIABLE), "{error}");
    assert!(refusal(&data, &[], Some(&line(2))).contains("master key 1, which was not given"));
    assert!(
        refusal(&data, &[], Some("")).contains("there is no master key"),
        "an empty secret is no wish for clear text"
    );
    assert!(refusal(&data, &["--encryption-key-file", file], Some(&line(1))).contains("both set"));
    fs::set_permissions(&keys, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(refusal(&data, &["--encryption-key-file", file], None).contains("mode is 644"));
    fs::set_permissions(&keys, fs::Permissions::from_mode(0o600)).unwrap();

    let (status, said, _) = anabranch(&["check", data_name], None);
    assert_eq!(status, 2, "{said}");
    assert!(said.contains("NOT SEEN: log: only its frames") && said.contains("--encryption-key-file"), "{said}");
    let (status, said, _) = anabranch(&["check", data_name], Some(&line(1)));
    assert_eq!((status, said.ends_with("no fault was found\n")), (0, true), "{said}");
    let words = ["check", data_name, "--encryption-key-file", file, "--salvage", new_name];
    let (status, said, error) = anabranch(&words, None);
    assert!(status == 0 && said.contains("saved: 1 keys"), "{said}{error}");
    assert!(!is_found(&new, MARKER));

    let (_running, port) = start(&new, &["--encryption-key-file", file]);
    assert_eq!(Client::new(port).say("GET k"), MARKER);
}

#[test]
fn an_import_goes_where_keys_are_only_with_them() {
    let dir = tempfile::tempdir().unwrap();
    let (data, dump) = (dir.path().join("data"), dir.path().join("dump.rdb"));
    fs::write(&dump, File::redis(11).select(0).key(kinds::STRING, b"k", &string(MARKER)).end()).unwrap();
    let keys = key_file(dir.path(), &line(1), 0o600);
    let words = ["import", dump.to_str().unwrap(), "--dir", data.to_str().unwrap(), "--replace"];
    let (status, said, error) =
        anabranch(&[&words[..], &["--encryption-key-file", keys.to_str().unwrap()]].concat(), None);
    assert_eq!(status, 0, "{said}{error}");
    assert!(!is_found(&data, MARKER) && data.join("keys").is_dir());
    let (status, _, error) = anabranch(&words, None);
    assert!(status == 1 && error.contains("the data is encrypted"), "{error}");
    assert_eq!(anabranch(&words, Some(&line(1))).0, 0);
}
