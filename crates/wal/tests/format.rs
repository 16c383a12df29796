//! The bytes on disk do not change: a golden file, made by an independent program from the drawing in `format`.

mod common;

use common::{Entry, append, open, read_all, small};
use wal::disk::Disk;
use wal::format::Header;
use wal::testing::MemDisk;
use wal::{Position, Preallocate};

const NAME: &str = "00000000000000000000.wal";

fn golden() -> Vec<u8> {
    let text = include_str!("golden/v1.hex");
    let digits: Vec<u8> = text.lines().flat_map(|line| line.split('#').next().unwrap_or("").bytes()).collect();
    let digits: Vec<u8> = digits.into_iter().filter(u8::is_ascii_hexdigit).collect();
    let nibble = |digit: u8| (digit as char).to_digit(16).expect("a hexadecimal digit") as u8;
    digits.chunks(2).map(|pair| nibble(pair[0]) << 4 | nibble(pair[1])).collect()
}

fn expected() -> Vec<Entry> {
    vec![
        Entry { end: Position(14), kind: 0x01, payload: b"hello".to_vec() },
        Entry { end: Position(23), kind: 0x6f, payload: Vec::new() },
        Entry { end: Position(23 + 9 + 300), kind: 0x02, payload: (0..300u32).map(|i| i as u8).collect() },
    ]
}

#[test]
fn the_golden_file_is_read() {
    let disk = MemDisk::new(1);
    let golden = golden();
    disk.create(NAME).unwrap().write_at(0, &golden).unwrap();
    let (log, recovery) = open(&disk, &small(4096)).unwrap();
    assert_eq!(recovery.records, 3);
    assert_eq!(read_all(&log), expected());
    let header = Header::decode(&golden).unwrap();
    assert_eq!((header.base, header.created_unix_ms), (Position::START, 1_700_000_000_000));
}

#[test]
fn the_golden_file_is_written() {
    let disk = MemDisk::new(1);
    let (log, _) = open(&disk, &wal::Options { preallocate: Preallocate::No, ..small(4096) }).unwrap();
    for entry in expected() {
        assert_eq!(append(&log, entry.kind, &entry.payload).unwrap(), entry.end);
    }
    log.close().unwrap();
    assert_eq!(disk.content(NAME).unwrap(), golden());
}
