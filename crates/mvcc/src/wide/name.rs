//! Names: user keys, fields and members. They end a row's key, whatever their length.
//!
//! ```text
//!   name                   the row's key ends with                        the row's value begins with
//!   0 to 1,024 bytes       the name                                       nothing
//!   more, up to 512 MiB    its first 1,024 bytes ‖ its SHA-256 (32)       length u32 ‖ the name
//! ```
//!
//! What a row's key ends with is at most 1,024 bytes long or exactly 1,056: so its length says which form it is, no
//! name of one form can look like one of the other, and short names cost no byte for that. Names order by their bytes,
//! but for long ones that share their first 1,024 bytes: those order by their digest, and whoever needs them by their
//! bytes sorts that group.
//!
//! The tree below takes row keys of at most 65,535 bytes, and it keeps one key a block in its index: with much longer
//! ones in rows the index would outgrow what it is the index of.

use aws_lc_rs::digest::{SHA256, SHA256_OUTPUT_LEN, digest};

use super::error::WideError;
use super::fields::Fields;
use crate::limits::MAX_NAME_BYTES;

/// The longest name, in bytes, that stands whole in its row's key.
pub const INLINE_NAME_BYTES: usize = 1024;

/// The most that a name takes of a row's key.
pub(crate) const MAX_FORM_BYTES: usize = INLINE_NAME_BYTES + SHA256_OUTPUT_LEN;

fn is_long(name: &[u8]) -> bool {
    name.len() > INLINE_NAME_BYTES
}

/// Appends what a row's key ends with.
pub(crate) fn encode(name: &[u8], key: &mut Vec<u8>) -> Result<(), WideError> {
    if !is_long(name) {
        key.extend_from_slice(name);
        return Ok(());
    }
    if name.len() > MAX_NAME_BYTES {
        return Err(WideError::TooLarge { what: "a key or member", len: name.len(), limit: MAX_NAME_BYTES });
    }
    key.extend_from_slice(&name[..INLINE_NAME_BYTES]);
    key.extend_from_slice(digest(&SHA256, name).as_ref());
    Ok(())
}

/// Appends what a row's value begins with.
pub(crate) fn encode_head(name: &[u8], value: &mut Vec<u8>) {
    if is_long(name) {
        let len = u32::try_from(name.len()).expect("longer names have no key, and a row is made for its key");
        value.extend_from_slice(&len.to_be_bytes());
        value.extend_from_slice(name);
    }
}

/// The name that a row's key ends with `form` for; takes its part off the front of the row's value.
pub(crate) fn parse<'a>(form: &'a [u8], value: &mut Fields<'a>) -> Result<&'a [u8], WideError> {
    let Some((prefix, expected)) = split(form)? else { return Ok(form) };
    let len = value.u32()? as usize;
    let name = value.bytes(len)?;
    if !is_long(name) || name.len() > MAX_NAME_BYTES || !name.starts_with(prefix) {
        return Err(value.bad("its name is another one than its key says"));
    }
    if digest(&SHA256, name).as_ref() != expected {
        return Err(value.bad("its name has another digest than its key says"));
    }
    Ok(name)
}

/// Prefix and digest, if `form` is that of a long name.
fn split(form: &[u8]) -> Result<Option<(&[u8], &[u8])>, WideError> {
    match form.len() {
        0..=INLINE_NAME_BYTES => Ok(None),
        MAX_FORM_BYTES => Ok(Some(form.split_at(INLINE_NAME_BYTES))),
        _ => Err(WideError::Malformed { what: "a row's key", reason: "a name in it has neither form" }),
    }
}

const _: () = assert!(MAX_NAME_BYTES <= u32::MAX as usize, "the length of a name is a u32");

#[cfg(test)]
mod tests {
    use super::*;

    fn form(name: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let (mut key, mut value) = (Vec::new(), Vec::new());
        encode(name, &mut key).unwrap();
        encode_head(name, &mut value);
        (key, value)
    }

    fn read(key: &[u8], value: &[u8]) -> Result<Vec<u8>, WideError> {
        let mut fields = Fields::new("a row", value);
        let name = parse(key, &mut fields)?.to_vec();
        fields.done()?;
        Ok(name)
    }

    #[test]
    fn the_longest_short_name_and_the_shortest_long_one() {
        let name = vec![7; INLINE_NAME_BYTES + 1];
        let (key, value) = form(&name[1..]);
        assert_eq!((key.len(), value.len()), (INLINE_NAME_BYTES, 0));
        let (key, value) = form(&name);
        assert_eq!((key.len(), value.len()), (MAX_FORM_BYTES, 4 + name.len()));
        assert_eq!(read(&key, &value).unwrap(), name);
    }

    #[test]
    fn a_long_name_is_checked_against_its_key() {
        let name: Vec<u8> = (0..3000u32).map(|n| n as u8).collect();
        let (key, value) = form(&name);
        for at in [0, 3, 4, 1000, 4 + INLINE_NAME_BYTES, value.len() - 1] {
            let mut other = value.clone();
            other[at] ^= 1;
            assert!(read(&key, &other).is_err(), "byte {at}");
        }
        for at in [0, INLINE_NAME_BYTES - 1, INLINE_NAME_BYTES, MAX_FORM_BYTES - 1] {
            let mut other = key.clone();
            other[at] ^= 1;
            assert!(read(&other, &value).is_err(), "byte {at} of the key");
        }
        assert!(read(&key[..MAX_FORM_BYTES - 1], &value).is_err());
        assert!(read(&key, &value[..value.len() - 1]).is_err());
        assert!(read(&key, &[]).is_err());
    }

    /// A short name in the form of a long one would be a second row for it.
    #[test]
    fn a_short_name_has_no_long_form() {
        let name = [1; INLINE_NAME_BYTES];
        let key = [&name[..], digest(&SHA256, &name).as_ref()].concat();
        let value = [&(INLINE_NAME_BYTES as u32).to_be_bytes()[..], &name].concat();
        assert!(read(&key, &value).is_err());
    }
}
