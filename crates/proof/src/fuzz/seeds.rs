//! Where the mutations start: well-formed inputs of each kind.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::conn::command;
use crate::server::Server;

/// The name under which a mutated segment is presented: that of a log's first one.
pub const SEGMENT: &str = "00000000000000000000.wal";

/// The seeds of a linked target.
pub fn of(target: &str) -> Result<Vec<Vec<u8>>> {
    match target {
        "resp" => Ok(frames().into_iter().map(|f| [&[7][..], &f].concat()).collect()),
        "effect" => batches(),
        "record" => records(),
        _ => segments(),
    }
}

/// Requests, inline ones among them, and replies.
pub fn frames() -> Vec<Vec<u8>> {
    let long = "x".repeat(3000);
    vec![
        super::frames_of(&[&["PING"], &["SET", "k", "v"], &["GET", "k"]]),
        super::frames_of(&[&["MSET", "a", "1", "b", &long], &["HELLO", "3"], &["HGETALL", "h"]]),
        super::frames_of(&[&["MULTI"], &["INCR", "n"], &["EXEC"], &["LRANGE", "l", "0", "-1"]]),
        b"PING\r\nSET a \"b c\\x00\"\r\nGET 'a'\n".to_vec(),
        b"*2\r\n+OK\r\n%1\r\n,1.5\r\n~1\r\n#t\r\n-ERR x\r\n$-1\r\n*-1\r\n_\r\n".to_vec(),
    ]
}

/// The golden batches: every operation in every form.
fn batches() -> Result<Vec<Vec<u8>>> {
    golden("../effect/tests/golden", |name| name.ends_with(".hex") && name != "record.hex")
}

/// The golden record, and each golden batch alone in a record.
fn records() -> Result<Vec<Vec<u8>>> {
    let mut found = golden("../effect/tests/golden", |name| name == "record.hex")?;
    for batch in batches()? {
        let mut record = Vec::new();
        effect::wire::put_bytes(&mut record, &batch);
        found.push(record);
    }
    Ok(found)
}

/// The golden segments of the log's own tests.
fn segments() -> Result<Vec<Vec<u8>>> {
    golden("../wal/tests/golden", |_| true)
}

/// The bytes of golden files of another crate's tests.
fn golden(folder: &str, wanted: impl Fn(&str) -> bool) -> Result<Vec<Vec<u8>>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&folder).with_context(|| format!("the golden files in {}", folder.display()))? {
        let entry = entry?;
        if wanted(&entry.file_name().to_string_lossy()) {
            found.push(unhex(&std::fs::read_to_string(entry.path())?)?);
        }
    }
    ensure!(!found.is_empty(), "no golden files in {}", folder.display());
    found.sort();
    Ok(found)
}

/// The bytes of a hex file with comments.
fn unhex(text: &str) -> Result<Vec<u8>> {
    let bytes = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    let digits: String = bytes.flat_map(str::chars).filter(|c| !c.is_whitespace()).collect();
    ensure!(digits.len().is_multiple_of(2) && digits.is_ascii(), "an odd number of hex digits");
    (0..digits.len()).step_by(2).map(|i| Ok(u8::from_str_radix(&digits[i..i + 2], 16)?)).collect()
}

/// What the server itself dumps of one key of each type and size.
pub fn dumps(server: &Server) -> Result<Vec<Vec<u8>>> {
    let mut conn = server.open()?;
    for n in [3, 600] {
        let key = |kind: &str| format!("{kind}{n}");
        let many = |start: &[&str], each: &dyn Fn(usize) -> Vec<String>| {
            let mut words = command(start);
            (0..n).for_each(|i| words.extend(each(i).into_iter().map(String::into_bytes)));
            words
        };
        conn.call(&["SET", &key("s"), &"value ".repeat(n)])?;
        conn.call(&["SET", &key("i"), &n.to_string()])?;
        conn.call(&many(&["RPUSH", &key("l")], &|i| vec![format!("element {i}")]))?;
        conn.call(&many(&["SADD", &key("t")], &|i| vec![i.to_string()]))?;
        conn.call(&many(&["SADD", &key("u")], &|i| vec![format!("m{i}")]))?;
        conn.call(&many(&["HSET", &key("h")], &|i| vec![format!("f{i}"), i.to_string()]))?;
        conn.call(&many(&["ZADD", &key("z")], &|i| vec![format!("{i}.5"), format!("m{i}")]))?;
    }
    let keys = conn.call(&["KEYS", "*"])?;
    let mut found = Vec::new();
    for key in keys.items().unwrap_or_default().iter().filter_map(|k| k.bytes()) {
        let dump = conn.call(&[b"DUMP", key])?;
        found.push(dump.bytes().context("DUMP gives a payload")?.to_vec());
    }
    ensure!(found.len() >= 14, "only {} dumps", found.len());
    conn.call(&["FLUSHALL"])?;
    Ok(found)
}
