//! `anabranch gen-passphrase`: what it prints is a passphrase of a cluster.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

fn anabranch(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_anabranch")).args(args).output().unwrap()
}

#[test]
fn it_prints_a_new_passphrase_that_is_taken_from_a_file() {
    let made = [anabranch(&["gen-passphrase"]), anabranch(&["gen-passphrase"])];
    assert_ne!(made[0].stdout, made[1].stdout);
    let dir = tempfile::tempdir().unwrap();
    for output in made {
        assert!(output.status.success() && output.stderr.is_empty());
        let text = String::from_utf8(output.stdout).unwrap();
        let line = text.strip_suffix('\n').unwrap();
        assert_eq!(line.len(), 43);
        assert!(line.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'), "{line}");
        // As `umask 077; anabranch gen-passphrase > file` does it.
        let path = dir.path().join("passphrase");
        fs::write(&path, &text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        cluster::Passphrases::load(&[path]).unwrap();
    }
}

#[test]
fn it_takes_no_words() {
    let output = anabranch(&["gen-passphrase", "file"]);
    assert!(!output.status.success() && output.stdout.is_empty());
    assert!(String::from_utf8(output.stderr).unwrap().contains("anabranch gen-passphrase\n"));
}
