//! The header of a segment file, and file names.

use super::{crc32c, get};

/// Bytes before the first record.
pub const HEADER_BYTES: u64 = 64;
const MAGIC: u64 = u64::from_le_bytes(*b"ANBLOBSG");
const VERSION: u32 = 3;

/// File name of segment `id`.
pub fn file_name(id: u32) -> String {
    format!("{id:010}.seg")
}

/// File name under which the file of segment `id` waits to become another segment's.
pub fn spare_name(id: u32) -> String {
    format!("{id:010}.free")
}

/// Whether it is the name of such a file.
pub fn is_spare_name(name: &str) -> bool {
    name.strip_suffix(".free").is_some_and(is_id)
}

/// The id in a segment's file name; `None` if it is another file.
pub fn parse_file_name(name: &str) -> Option<u32> {
    let digits = name.strip_suffix(".seg")?;
    is_id(digits).then(|| digits.parse().ok()).flatten()
}

fn is_id(digits: &str) -> bool {
    digits.len() == 10 && digits.bytes().all(|b| b.is_ascii_digit())
}

/// Magic, version, segment id, store id, zeros, CRC32C.
pub fn encode(id: u32, store: u64) -> [u8; HEADER_BYTES as usize] {
    let mut out = [0; HEADER_BYTES as usize];
    out[0..8].copy_from_slice(&MAGIC.to_le_bytes());
    out[8..12].copy_from_slice(&VERSION.to_le_bytes());
    out[12..16].copy_from_slice(&id.to_le_bytes());
    out[16..24].copy_from_slice(&store.to_le_bytes());
    let crc = crc32c(&out[..60]);
    out[60..].copy_from_slice(&crc.to_le_bytes());
    out
}

/// Whether `bytes` begin a segment `id` of store `store`.
pub fn is_valid(bytes: &[u8], id: u32, store: u64) -> bool {
    bytes.len() >= HEADER_BYTES as usize
        && get!(u32, bytes, 60) == crc32c(&bytes[..60])
        && bytes[..60] == encode(id, store)[..60]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_headers_read_back() {
        assert_eq!(parse_file_name(&file_name(42)), Some(42));
        for bad in ["42.seg", "0000000042.tmp", "+000000042.seg", "STORE"] {
            assert_eq!(parse_file_name(bad), None);
        }
        assert!(is_spare_name(&spare_name(42)) && parse_file_name(&spare_name(42)).is_none());
        for bad in ["42.free", "0000000042.seg", "+000000042.free", "STORE"] {
            assert!(!is_spare_name(bad));
        }
        let header = encode(42, 9);
        assert!(is_valid(&header, 42, 9));
        assert!(!is_valid(&header, 43, 9) && !is_valid(&header, 42, 8) && !is_valid(&header[..63], 42, 9));
    }
}
