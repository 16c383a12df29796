//! Calls as text, followed.

use super::super::strace::parse;
use super::*;

fn follow_text(text: &str) -> Result<(History, Vec<Sent>)> {
    let hex = |word: &str| word.bytes().map(|byte| format!("\\x{byte:02x}")).collect::<String>();
    let parts = text.split('"').enumerate().map(|(i, part)| if i % 2 == 1 { hex(part) } else { part.to_owned() });
    let text = parts.collect::<Vec<_>>().join("\"");
    let history = History { nodes: vec![Node::Directory], ..History::default() };
    follow(parse(&text, 0)?, history, Path::new("/d"), Path::new("/"))
}

#[test]
fn a_file_may_be_opened_before_it_is_seen_to_be_made() {
    let text = "1 openat(AT_FDCWD, \"/d/a\", O_RDWR|O_CREAT, 0666 <unfinished ...>\n2 openat(AT_FDCWD, \"/d/a\", O_RDWR) = 5\n1 <... openat resumed>) = 4\n2 write(5, \"xy\", 2) = 2\n";
    let (history, _) = follow_text(text).unwrap();
    let write = Change::Write { file: 1, offset: 0, bytes: b"xy".to_vec() };
    assert_eq!(history.events[1].change, write);
    assert!(follow_text("1 openat(AT_FDCWD, \"/d/a\", O_RDWR) = 5\n").is_err());
}

#[test]
fn what_the_model_does_not_know_is_refused() {
    let opened = "1 openat(AT_FDCWD, \"/d/a\", O_RDWR|O_CREAT, 0666) = 4\n";
    for call in [
        "1 mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_SHARED, 4, 0) = 0x7000\n",
        "1 io_uring_setup(8, {flags=0}) = 5\n",
        "1 copy_file_range(9, NULL, 4, NULL, 5, 0) = 5\n",
        "1 fork() = 9\n",
    ] {
        assert!(follow_text(&format!("{opened}{call}")).is_err(), "{call}");
    }
    let private = "1 mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_PRIVATE, 4, 0) = 0x7000\n";
    assert!(follow_text(&format!("{opened}{private}")).is_ok());
}
