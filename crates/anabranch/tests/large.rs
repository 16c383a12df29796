//! Large values at rest, in clear and encrypted: they are there after a kill, a start with another bound, in what was saved and restored,
//! and their space comes back.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[allow(dead_code, reason = "what the rig has for caches is not needed here")]
mod rig;

use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Instant;

use rig::{Client, PATIENCE, start};

const KIB: usize = 1 << 10;
const STRINGS: [usize; 6] = [100, 3_993, 4 * KIB, 16 * KIB, 64 * KIB, 300 * KIB];
/// Fields of the hashes, of 8 KiB each: one that is a row, and one whose fields are.
const HASHES: [usize; 2] = [3, 40];
const MARKER: &[u8] = b"what nobody may find on the disk";

/// A value of `len` bytes, other than all the rest.
fn value(name: &str, len: usize) -> Vec<u8> {
    let mut bytes = [MARKER, b" of ", name.as_bytes()].concat();
    bytes.resize(len.max(bytes.len()), b'.');
    bytes
}

fn strings() -> impl Iterator<Item = (String, Vec<u8>)> {
    STRINGS.into_iter().map(|len| (format!("string{len}"), value("a string", len)))
}

fn fields(count: usize) -> impl Iterator<Item = (String, Vec<u8>)> {
    (0..count).map(|n| (format!("field{n}"), value(&n.to_string(), 8 * KIB)))
}

fn write(client: &mut Client) {
    for (key, value) in strings() {
        assert_eq!(client.ask(&[b"SET", key.as_bytes(), &value]).unwrap(), b"+OK");
    }
    for count in HASHES {
        for (field, value) in fields(count) {
            let set = client.ask(&[b"HSET", format!("hash{count}").as_bytes(), field.as_bytes(), &value]).unwrap();
            assert_eq!(set, b":1");
        }
    }
}

fn verify(client: &mut Client, when: &str) {
    for (key, value) in strings() {
        assert!(client.ask(&[b"GET", key.as_bytes()]).unwrap() == value, "{key} {when}");
    }
    for count in HASHES {
        let key = format!("hash{count}");
        assert_eq!(client.say(&format!("HLEN {key}")), format!(":{count}").as_bytes(), "{when}");
        for (field, value) in fields(count) {
            let got = client.ask(&[b"HGET", key.as_bytes(), field.as_bytes()]).unwrap();
            assert!(got == value, "{field} of {key} {when}");
        }
    }
}

fn info(client: &mut Client, name: &str) -> u64 {
    let text = String::from_utf8(client.say("INFO persistence")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name}:")));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
}

/// Takes a checkpoint, and waits for what is tidied up behind it.
fn checkpoint(client: &mut Client) {
    client.say("BGREWRITEAOF");
    let end = Instant::now() + PATIENCE;
    while info(client, "aof_rewrite_in_progress") > 0 {
        assert!(Instant::now() < end, "the checkpoint does not come to an end");
        std::thread::yield_now();
    }
}

fn value_files(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir.join("rows/values")).unwrap().map(|entry| entry.unwrap().path()).collect()
}

fn is_found(dir: &Path, bytes: &[u8]) -> bool {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).any(|path| match path.is_dir() {
        true => is_found(&path, bytes),
        false => fs::read(&path).unwrap().windows(bytes.len()).any(|window| window == bytes),
    })
}

fn anabranch(words: &[&str]) -> (i32, String) {
    let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_anabranch")).args(words).output().unwrap();
    (status.code().unwrap(), format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr)))
}

#[test]
fn large_values_are_kept_checked_saved_and_given_back() {
    for encrypted in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let (data, saved) = (dir.path().join("data"), dir.path().join("saved"));
        let keys = dir.path().join("master-keys");
        fs::write(&keys, format!("1 {}\n", "5a".repeat(32))).unwrap();
        fs::set_permissions(&keys, fs::Permissions::from_mode(0o600)).unwrap();
        let key_file = ["--encryption-key-file", keys.to_str().unwrap()];
        let with = |words: &[&'static str]| -> Vec<String> {
            let keys = key_file.iter().filter(|_| encrypted).map(|word| (*word).to_owned());
            words.iter().map(|word| (*word).to_owned()).chain(keys).collect()
        };
        let run = |dir: &Path, words: &[&'static str]| {
            let words = with(words);
            start(dir, &words.iter().map(String::as_str).collect::<Vec<_>>())
        };

        let (mut running, port) = run(&data, &["--appendfsync", "always"]);
        let mut client = Client::new(port);
        assert_eq!(client.say("CONFIG GET large-value-size"), b"large-value-size 4096 ");
        write(&mut client);
        checkpoint(&mut client);
        let large = info(&mut client, "large_value_bytes");
        let expected = STRINGS[2..].iter().sum::<usize>() + HASHES.iter().sum::<usize>() * 8 * KIB;
        assert!((expected as u64..expected as u64 + 8_000).contains(&large), "{large} of {expected}");
        running.kill();

        // Another bound, and all that has been written stays where it is.
        for bound in ["1gb", "1kb"] {
            let (mut running, port) = run(&data, &["--large-value-size", bound]);
            let mut client = Client::new(port);
            verify(&mut client, bound);
            checkpoint(&mut client);
            assert_eq!(info(&mut client, "large_value_bytes"), large);
            running.kill();
        }
        assert_eq!(is_found(&data, MARKER), !encrypted);

        let (data_name, saved_name) = (data.to_str().unwrap(), saved.to_str().unwrap());
        let look = |words: &[&'static str], names: &[&str]| {
            let words = with(words);
            let all = ["check"].into_iter().chain(names.iter().copied()).chain(words.iter().map(String::as_str));
            anabranch(&all.collect::<Vec<_>>())
        };
        let (status, said) = look(&[], &[data_name]);
        assert_eq!(status, 0, "{said}");
        let (status, said) = look(&[], &[data_name, "--salvage", saved_name]);
        assert_eq!(status, 0, "{said}");
        {
            let (_running, port) = run(&saved, &[]);
            verify(&mut Client::new(port), "as it was saved");
        }

        // A byte of a value, and the file is named.
        let file = value_files(&data).pop().unwrap();
        let byte = fs::read(&file).unwrap()[60 * KIB];
        let damage = |byte: u8| {
            fs::OpenOptions::new().write(true).open(&file).unwrap().write_all_at(&[byte], 60 << 10).unwrap();
        };
        damage(byte ^ 1);
        let (status, said) = look(&[], &[data_name]);
        let name = file.strip_prefix(&data).unwrap().strip_prefix("rows").unwrap().to_str().unwrap();
        assert!(status == 1 && said.contains(name) && said.contains("checksum"), "{said}");
        damage(byte);

        let (_running, port) = run(&data, &[]);
        let mut client = Client::new(port);
        verify(&mut client, "at the end");
        client.say("SWAPDB 0 1");
        client.say("SELECT 1");
        for key in strings().map(|(key, _)| key).chain(HASHES.map(|count| format!("hash{count}"))) {
            assert_eq!(client.say(&format!("DEL {key}")), b":1");
        }
        checkpoint(&mut client);
        assert_eq!((info(&mut client, "large_value_bytes"), value_files(&data).len()), (0, 0));
        // What comes after that is kept like all before it, and is given back as it is emptied.
        write(&mut client);
        checkpoint(&mut client);
        assert_eq!(info(&mut client, "large_value_bytes"), large);
        client.say("FLUSHALL");
        checkpoint(&mut client);
        assert_eq!(value_files(&data).len(), 0);
    }
}
