//! Writes what Redis and Valkey of all versions write, for tests: by itself, from what is known of the format, and sharing
//! nothing with what reads it but the numbers.

mod file;
mod model;

use crate::kinds;

pub use file::File;
pub use model::{Model, compressed};

/// An element.
#[derive(Clone, Copy)]
pub enum Blob<'a> {
    /// Bytes.
    Text(&'a [u8]),
    /// An integer.
    Int(i64),
}

/// A length of a payload.
pub fn len(len: u64) -> Vec<u8> {
    match len {
        0..64 => vec![len as u8],
        64..16384 => (len as u16 | 0x4000).to_be_bytes().to_vec(),
        _ => [&[0x81][..], &len.to_be_bytes()].concat(),
    }
}

/// A string of a payload.
pub fn string(bytes: &[u8]) -> Vec<u8> {
    [len(bytes.len() as u64), bytes.to_vec()].concat()
}

/// A listpack.
pub fn listpack(elements: &[Blob<'_>]) -> Vec<u8> {
    let mut body = Vec::new();
    for element in elements {
        let entry = match *element {
            Blob::Text(text) if text.len() < 64 => [&[0x80 | text.len() as u8], text].concat(),
            Blob::Text(text) if text.len() < 4096 => {
                [&[0xe0 | (text.len() >> 8) as u8, text.len() as u8], text].concat()
            }
            Blob::Text(text) => [&[0xf0][..], &(text.len() as u32).to_le_bytes(), text].concat(),
            Blob::Int(n @ 0..128) => vec![n as u8],
            Blob::Int(n @ -4096..4096) => vec![0xc0 | (n >> 8 & 0x1f) as u8, n as u8],
            Blob::Int(n @ -32768..32768) => [&[0xf1][..], &(n as i16).to_le_bytes()].concat(),
            Blob::Int(n @ -8_388_608..8_388_608) => [&[0xf2][..], &(n as i32).to_le_bytes()[..3]].concat(),
            Blob::Int(n) => match i32::try_from(n) {
                Ok(n) => [&[0xf3][..], &n.to_le_bytes()].concat(),
                Err(_) => [&[0xf4][..], &n.to_le_bytes()].concat(),
            },
        };
        let size = entry.len();
        body.extend(entry);
        // The length again, seven bits a byte, read from the end.
        match size {
            0..128 => body.push(size as u8),
            128..16383 => body.extend([(size >> 7) as u8, size as u8 & 127 | 128]),
            _ => body.extend([(size >> 14) as u8, (size >> 7) as u8 & 127 | 128, size as u8 & 127 | 128]),
        }
    }
    let total = (6 + body.len() + 1) as u32;
    [&total.to_le_bytes()[..], &(elements.len() as u16).to_le_bytes(), &body, &[0xff]].concat()
}

/// A ziplist.
pub fn ziplist(elements: &[Blob<'_>]) -> Vec<u8> {
    let mut body = Vec::new();
    let (mut last, mut previous) = (0, 0usize);
    for element in elements {
        last = body.len();
        if previous < 254 {
            body.push(previous as u8);
        } else {
            body.push(254);
            body.extend((previous as u32).to_le_bytes());
        }
        match *element {
            Blob::Text(text) if text.len() < 64 => body.extend([&[text.len() as u8], text].concat()),
            Blob::Text(text) if text.len() < 16384 => {
                body.extend([&[0x40 | (text.len() >> 8) as u8, text.len() as u8], text].concat());
            }
            Blob::Text(text) => body.extend([&[0x80][..], &(text.len() as u32).to_be_bytes(), text].concat()),
            Blob::Int(n @ 0..=12) => body.push(0xf1 + n as u8),
            Blob::Int(n @ -128..128) => body.extend([0xfe, n as u8]),
            Blob::Int(n @ -32768..32768) => body.extend([&[0xc0][..], &(n as i16).to_le_bytes()].concat()),
            Blob::Int(n @ -8_388_608..8_388_608) => body.extend([&[0xf0][..], &(n as i32).to_le_bytes()[..3]].concat()),
            Blob::Int(n) => match i32::try_from(n) {
                Ok(n) => body.extend([&[0xd0][..], &n.to_le_bytes()].concat()),
                Err(_) => body.extend([&[0xe0][..], &n.to_le_bytes()].concat()),
            },
        }
        previous = body.len() - last;
    }
    let (total, tail) = ((10 + body.len() + 1) as u32, (10 + last) as u32);
    [&total.to_le_bytes()[..], &tail.to_le_bytes(), &(elements.len() as u16).to_le_bytes(), &body, &[0xff]].concat()
}

/// Types with bodies that Redis up to 7.0 reads and mostly no longer writes.
pub fn old() -> Vec<(u8, Vec<u8>)> {
    let long = vec![b'l'; 300];
    let longer = vec![b'L'; 17_000];
    let ints = [0, 12, 13, 127, -1, -128, 128, -4096, 4095, 4096, 32767, -32769, 1 << 20, -1 << 30, 1 << 40, i64::MIN];
    let mut mixed: Vec<Blob<'_>> = ints.iter().map(|n| Blob::Int(*n)).collect();
    mixed.extend([Blob::Text(b""), Blob::Text(b"text"), Blob::Text(&long), Blob::Text(&longer), Blob::Text(b"end")]);
    let mut pairs = mixed.clone();
    pairs.push(Blob::Int(5));
    let scores =
        [Blob::Text(b"a"), Blob::Int(-7), Blob::Text(b"b"), Blob::Text(b"1.5"), Blob::Text(b"c"), Blob::Text(b"inf")];
    let zset = |score: &[u8]| [len(1), string(b"m"), score.to_vec()].concat();
    let zipmap = [&[2, 1, b'a', 2, 1][..], b"xy", &[0], &[1, b'b', 254, 44, 1, 0, 0, 0], &long, &[0xff]].concat();
    vec![
        (kinds::LIST, [len(2), string(b"b"), string(b"a")].concat()),
        (kinds::SET, [len(2), string(b"b"), vec![0xc1, 0x39, 0x30]].concat()),
        (kinds::HASH, [len(1), string(b"f"), vec![0xc0, 0xff]].concat()),
        (kinds::ZSET, zset(&[4, b'-', b'1', b'.', b'5'])),
        (kinds::ZSET, zset(&[254])),
        (kinds::ZSET, zset(&[255])),
        (kinds::ZSET_2, zset(&2.5f64.to_le_bytes())),
        (kinds::LIST_ZIPLIST, string(&ziplist(&mixed))),
        (kinds::LIST_QUICKLIST, [len(2), string(&ziplist(&mixed)), string(&ziplist(&scores))].concat()),
        (kinds::LIST_QUICKLIST_2, [len(2), len(1), string(b"plain"), len(2), string(&listpack(&mixed))].concat()),
        (kinds::SET_INTSET, string(&[2, 0, 0, 0, 2, 0, 0, 0, 0xff, 0xff, 1, 0])),
        (kinds::SET_INTSET, string(&[4, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0])),
        (kinds::SET_INTSET, string(&[8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0])),
        (kinds::HASH_ZIPMAP, string(&zipmap)),
        (kinds::HASH_ZIPLIST, string(&ziplist(&pairs))),
        (kinds::HASH_LISTPACK, string(&listpack(&pairs))),
        (kinds::ZSET_ZIPLIST, string(&ziplist(&scores))),
        (kinds::ZSET_LISTPACK, string(&listpack(&scores))),
    ]
}

/// An integer of 32 bits as a string of a payload.
pub fn integer(n: i32) -> Vec<u8> {
    match (i8::try_from(n), i16::try_from(n)) {
        (Ok(n), _) => vec![0xc0, n as u8],
        (_, Ok(n)) => [&[0xc1][..], &n.to_le_bytes()].concat(),
        _ => [&[0xc2][..], &n.to_le_bytes()].concat(),
    }
}
