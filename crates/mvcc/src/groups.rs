//! Self-delimiting, order-preserving bytes: what a key becomes where something follows it in a row key.
//!
//! ```text
//!   key bytes       1..8, padded with zeros     9..16 …                    last
//!   encoded         [8 bytes][marker]           [8 bytes][marker]    …    [8 bytes][marker < 9]
//!
//!   marker          9: the group is full and another one follows; 0..=8: the last group, with so many bytes of the key
//! ```
//!
//! No encoding is a prefix of another one, and encodings order as keys do: a key that ends inside a group has a smaller
//! marker than one that goes on, and padding is below or equal to whatever goes on there. (The idea is that of the
//! memory-comparable format of MyRocks.)

const GROUP: usize = 8;
const FULL: u8 = 9;

/// Appends the encoding of `key`.
pub(crate) fn encode(key: &[u8], out: &mut Vec<u8>) {
    out.reserve((key.len() / GROUP + 1) * (GROUP + 1));
    let mut rest = key;
    while rest.len() > GROUP {
        let (group, more) = rest.split_at(GROUP);
        out.extend_from_slice(group);
        out.push(FULL);
        rest = more;
    }
    out.extend_from_slice(rest);
    out.resize(out.len() + GROUP - rest.len(), 0);
    out.push(rest.len() as u8);
}

/// The key that `bytes` begins with, and what follows it; `None` if no encoding begins there.
pub(crate) fn decode(bytes: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut key = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    loop {
        let (group, more) = rest.split_at_checked(GROUP)?;
        let (&marker, more) = more.split_first()?;
        rest = more;
        if marker == FULL {
            key.extend_from_slice(group);
            continue;
        }
        let (used, padding) = group.split_at_checked(usize::from(marker))?;
        key.extend_from_slice(used);
        let canonical = padding.iter().all(|&byte| byte == 0) && (marker > 0 || key.is_empty());
        return canonical.then_some((key, rest));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(key: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        encode(key, &mut out);
        out
    }

    fn key() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(prop_oneof![Just(0u8), Just(0xFF), Just(1), Just(8), Just(9), any::<u8>()], 0..28)
    }

    proptest! {
        #[test]
        fn encodings_order_as_keys_do_and_none_begins_another(a in key(), b in key(), tail in key()) {
            let (ea, eb) = (encoded(&a), encoded(&b));
            prop_assert_eq!(ea.cmp(&eb), a.cmp(&b));
            prop_assert!(a == b || !ea.starts_with(&eb));
            let mut joined = ea.clone();
            joined.extend_from_slice(&tail);
            prop_assert_eq!(decode(&joined), Some((a, &tail[..])));
        }

        #[test]
        fn any_bytes_are_decoded_to_what_encodes_to_them_or_refused(bytes in key()) {
            if let Some((key, rest)) = decode(&bytes) {
                let mut again = encoded(&key);
                again.extend_from_slice(rest);
                prop_assert_eq!(again, bytes);
            }
        }
    }

    #[test]
    fn golden() {
        assert_eq!(encoded(b""), [0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(encoded(b"user:1"), *b"user:1\0\0\x06");
        assert_eq!(encoded(b"12345678"), *b"12345678\x08");
        assert_eq!(encoded(b"123456789"), *b"12345678\x099\0\0\0\0\0\0\0\x01");
    }
}
