//! DUMP's payloads: values as they are here, written in Redis' form, and back. The form itself is crate `rdb`'s.
//!
//! Written are the plain encodings, which every Redis since 5 reads; read is whatever `rdb` knows.

mod write;

pub(crate) use write::dump;

use rdb::{Refused, Value};

/// The version that DUMP states, unless the value needs a newer one: Redis 7.0 and everything after it reads it.
pub(crate) const VERSION: u16 = 10;
/// The version of values that need a newer one: Redis 7.4 and 8.
pub(crate) const VERSION_NEW: u16 = 12;
/// Bytes that one payload may unfold to, each element's bookkeeping included: what one batch can carry.
pub(crate) const VALUE_BYTES_MAX: usize = engine::limits::BATCH_BYTES_MAX;

/// The value in a payload with its footer.
pub(crate) fn restore(payload: &[u8]) -> Result<Value, Refused> {
    rdb::payload(payload, VALUE_BYTES_MAX)
}

/// Reads arbitrary bytes as RESTORE would, as they are and as if their checksum were right: the target of a fuzzer.
/// What is read must fold into a value.
pub fn fuzz_restore(data: &[u8]) {
    let bound = data.len().saturating_mul(256).min(VALUE_BYTES_MAX);
    let unsigned = |dialect| rdb::body(data, dialect, bound).ok();
    let read = [restore(data).ok(), unsigned(rdb::Dialect::Redis), unsigned(rdb::Dialect::Valkey)];
    for value in read.into_iter().flatten() {
        let mut folded = Vec::new();
        if value.fold(effect::Origin::new(1, 1), &effect::ListPos::new(0, 1, 0), 0, &mut folded) {
            let read = engine::unfold(effect::Origin::new(1, 1).0, &folded);
            assert_eq!(read.kind(), value.kind(), "a value folds to its own kind");
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
