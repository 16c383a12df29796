//! Writes lengths and strings, for whoever makes payloads.

/// Appends a length in 6, 14, 32 or 64 bits.
pub fn put_len(out: &mut Vec<u8>, len: usize) {
    match len {
        0..0x40 => out.push(len as u8),
        0x40..0x4000 => out.extend_from_slice(&(len as u16 | 0x4000).to_be_bytes()),
        _ => match u32::try_from(len) {
            Ok(len) => {
                out.push(0x80);
                out.extend_from_slice(&len.to_be_bytes());
            }
            Err(_) => {
                out.push(0x81);
                out.extend_from_slice(&(len as u64).to_be_bytes());
            }
        },
    }
}

/// Appends a string: an integer of up to 32 bits in its short form, else the bytes.
pub fn put_string(out: &mut Vec<u8>, bytes: &[u8]) {
    const INTEGER_MAX: usize = "-2147483648".len();
    let short = if bytes.len() <= INTEGER_MAX { resp::parse_i64(bytes) } else { None };
    if let Some(n) = short.and_then(|n| i8::try_from(n).ok()) {
        out.extend_from_slice(&[0xc0, n as u8]);
    } else if let Some(n) = short.and_then(|n| i16::try_from(n).ok()) {
        out.push(0xc1);
        out.extend_from_slice(&n.to_le_bytes());
    } else if let Some(n) = short.and_then(|n| i32::try_from(n).ok()) {
        out.push(0xc2);
        out.extend_from_slice(&n.to_le_bytes());
    } else {
        put_len(out, bytes.len());
        out.extend_from_slice(bytes);
    }
}
