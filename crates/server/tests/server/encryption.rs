//! A server with a key file: what clients see of it, and what the disk does not.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use resp::Value;

use crate::harness::{TestServer, bulk};

const KEY: &str = "5a5b5c5d5e5f505152535455565758595a5b5c5d5e5f50515253545556575859";

fn key_file(dir: &Path) -> String {
    let path = dir.join("master-keys");
    fs::write(&path, format!("1 {KEY}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path.display().to_string()
}

fn is_found(dir: &Path, bytes: &[u8]) -> bool {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).any(|path| match path.is_dir() {
        true => is_found(&path, bytes),
        false => fs::read(&path).unwrap().windows(bytes.len()).any(|window| window == bytes),
    })
}

/// The text of a reply, or the texts of its elements.
fn text(value: &Value) -> String {
    match value.as_slice() {
        Some(all) => all.iter().map(|one| text(one) + "\n").collect(),
        None => String::from_utf8_lossy(value.as_bytes().unwrap_or_default()).into_owned(),
    }
}

#[test]
fn a_server_with_a_key_file_says_so_and_shows_its_path_and_no_key() {
    let dir = tempfile::tempdir().unwrap();
    let (data, file) = (dir.path().join("data"), key_file(dir.path()));
    let value = "a value that must not be found";
    for start in 0..2 {
        let server = TestServer::start(&data, &["--encryption-key-file", &file]);
        let mut client = server.client();
        if start > 0 {
            assert_eq!(client.call("GET k"), bulk(value.replace(' ', "_")));
        }
        client.call(&format!("SET k {}", value.replace(' ', "_")));
        let info = text(&client.call("INFO persistence"));
        assert!(info.contains("encryption_at_rest:1"), "{info}");
        let shown = text(&client.call("CONFIG GET *"));
        assert!(shown.contains(&file) && !shown.contains(KEY), "{shown}");
        let Value::Error(error) = client.call("CONFIG SET encryption-key-file other") else { panic!("it is taken") };
        assert!(String::from_utf8_lossy(&error).contains("immutable"));
    }
    assert!(!is_found(&data, value.replace(' ', "_").as_bytes()));
}

#[test]
fn a_server_without_keys_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &[]);
    assert!(text(&server.client().call("INFO persistence")).contains("encryption_at_rest:0"));
    assert!(!dir.path().join("keys").exists());
}
