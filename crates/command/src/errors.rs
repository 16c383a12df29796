//! The texts of errors: Redis' to the letter, and ours. All of them are made here.

use engine::Stop;

/// A key holds another type.
pub const WRONG_TYPE: &str = "WRONGTYPE Operation against a key holding the wrong kind of value";
/// A value is no integer.
pub const NOT_AN_INTEGER: Stop = Stop::error("ERR value is not an integer or out of range");
/// A value is no float.
pub const NOT_A_FLOAT: Stop = Stop::error("ERR value is not a valid float");
/// A score is no float.
pub const MIN_OR_MAX_NOT_A_FLOAT: Stop = Stop::error("ERR min or max is not a float");
/// An option is unknown or stands in the wrong place.
pub const SYNTAX: Stop = Stop::error(SYNTAX_TEXT);
/// The text of [`SYNTAX`].
pub const SYNTAX_TEXT: &str = "ERR syntax error";
/// There is no such key.
pub const NO_SUCH_KEY: Stop = Stop::error("ERR no such key");
/// An index lies outside of the list.
pub const INDEX_OUT_OF_RANGE: Stop = Stop::error("ERR index out of range");
/// A count is no number, or negative.
pub const NOT_POSITIVE: Stop = Stop::error("ERR value is out of range, must be positive");
/// A count or rank is the one integer whose negative is none.
pub const NOT_NEGATABLE: Stop =
    Stop::error("ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807");
/// LMPOP and its kin: the count of keys is no number, or not positive.
pub const NUMKEYS_NOT_POSITIVE: Stop = Stop::error("ERR numkeys should be greater than 0");
/// LMPOP and its kin: COUNT is no number, or not positive.
pub const COUNT_NOT_POSITIVE: Stop = Stop::error("ERR count should be greater than 0");
/// LPOS: RANK 0.
pub const RANK_ZERO: Stop = Stop::error(
    "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start \
     from the end of the list",
);
/// LPOS: COUNT is no number, or negative.
pub const COUNT_NEGATIVE: Stop = Stop::error("ERR COUNT can't be negative");
/// LPOS: MAXLEN is no number, or negative.
pub const MAXLEN_NEGATIVE: Stop = Stop::error("ERR MAXLEN can't be negative");
/// The result of an addition does not fit.
pub const OVERFLOW: Stop = Stop::error("ERR increment or decrement would overflow");
/// The sum is no number.
pub const NAN_OR_INFINITY: Stop = Stop::error("ERR increment would produce NaN or Infinity");
/// A string would grow beyond `proto-max-bulk-len`.
pub const STRING_TOO_LONG: Stop = Stop::error("ERR string exceeds maximum allowed size (proto-max-bulk-len)");
/// An offset into a string is negative.
pub const OFFSET_OUT_OF_RANGE: Stop = Stop::error("ERR offset is out of range");
/// The negative of a decrement does not fit.
pub const DECREMENT_OVERFLOW: Stop = Stop::error("ERR decrement would overflow");
/// MSETEX: the count of pairs is no number from 1 to 2^31 - 1.
pub const INVALID_NUMKEYS: Stop = Stop::error("ERR invalid numkeys value");
/// MSETEX: fewer pairs than announced.
pub const WRONG_NUMBER_OF_PAIRS: Stop = Stop::error("ERR wrong number of key-value pairs");
/// IFDEQ, IFDNE: no digest.
pub const NOT_A_DIGEST: Stop = Stop::error("ERR must be exactly 16 hexadecimal characters");
/// DELEX with a condition on another type.
pub const CONDITION_NEEDS_STRING: Stop = Stop::error("ERR Key should be of string type if conditions are specified");
/// DELEX with an unknown condition.
pub const INVALID_CONDITION: Stop = Stop::error("ERR Invalid condition. Use IFEQ, IFNE, IFDEQ, or IFDNE");
/// INCREX: ENX alone.
pub const ENX_NEEDS_EXPIRY: Stop = Stop::error("ERR ENX flag requires an expiration");
/// INCREX: the increment is no integer.
pub const INCREMENT_NOT_AN_INTEGER: Stop = Stop::error("ERR Increment is not an integer or out of range");
/// INCREX: the increment is no float.
pub const INCREMENT_NOT_A_FLOAT: Stop = Stop::error("ERR Increment is not a valid float");
/// INCREX: a bound is no integer.
pub const LBOUND_NOT_AN_INTEGER: Stop = Stop::error("ERR LBOUND is not an integer or out of range");
/// INCREX: a bound is no integer.
pub const UBOUND_NOT_AN_INTEGER: Stop = Stop::error("ERR UBOUND is not an integer or out of range");
/// INCREX: a bound is no float.
pub const LBOUND_NOT_A_FLOAT: Stop = Stop::error("ERR LBOUND is not a valid float");
/// INCREX: a bound is no float.
pub const UBOUND_NOT_A_FLOAT: Stop = Stop::error("ERR UBOUND is not a valid float");
/// INCREX: no value lies between the bounds.
pub const BOUNDS_CROSSED: Stop = Stop::error("ERR LBOUND can't be greater than UBOUND");
/// INCREX: what was added to reach a bound does not fit.
pub const APPLIED_OVERFLOW: Stop = Stop::error("ERR applied increment would overflow");
/// INCREX: what was added to reach a bound is infinite.
pub const APPLIED_INFINITE: Stop = Stop::error("ERR applied increment would be Infinity");
/// INCREX: the increment is infinite.
pub const INCREMENT_INFINITE: Stop = Stop::error("ERR BYFLOAT increment cannot be Infinity");
/// INCREX: the value is infinite.
pub const VALUE_INFINITE: Stop = Stop::error("ERR value cannot be Infinity");
/// LCS of another type.
pub const LCS_NEEDS_STRINGS: Stop = Stop::error("ERR The specified keys must contain string values");
/// LCS: options that exclude each other.
pub const LCS_LEN_AND_IDX: Stop = Stop::error("ERR If you want both the length and indexes, please just use IDX.");
/// LCS: its table would be too large.
pub const LCS_TOO_LARGE: Stop =
    Stop::error("ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len");
/// A bit's offset is no number, negative, or beyond the longest string.
pub const BIT_OFFSET: Stop = Stop::error("ERR bit offset is not an integer or out of range");
/// A bit's value is neither 0 nor 1 (SETBIT).
pub const BIT_VALUE: Stop = Stop::error("ERR bit is not an integer or out of range");
/// A bit's value is neither 0 nor 1 (BITPOS).
pub const BIT_ARGUMENT: Stop = Stop::error("ERR The bit argument must be 1 or 0.");
/// BITOP NOT of several keys.
pub const BITOP_NOT_ONE: Stop = Stop::error("ERR BITOP NOT must be called with a single source key.");
/// BITFIELD: an unknown type.
pub const BITFIELD_TYPE: Stop =
    Stop::error("ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.");
/// BITFIELD: an unknown way to overflow.
pub const BITFIELD_OVERFLOW: Stop = Stop::error("ERR Invalid OVERFLOW type specified");
/// BITFIELD_RO: a write.
pub const BITFIELD_READ_ONLY: Stop = Stop::error("ERR BITFIELD_RO only supports the GET subcommand");
/// ZADD: conditions that exclude each other.
pub const XX_WITH_NX: Stop = Stop::error("ERR XX and NX options at the same time are not compatible");
/// ZADD: conditions that exclude each other.
pub const GT_LT_NX: Stop = Stop::error("ERR GT, LT, and/or NX options at the same time are not compatible");
/// ZADD INCR with several members.
pub const INCR_ONE_PAIR: Stop = Stop::error("ERR INCR option supports a single increment-element pair");
/// An increment of one infinity by the other.
pub const SCORE_NOT_A_NUMBER: Stop = Stop::error("ERR resulting score is not a number (NaN)");
/// An end of a range of members is neither `-`, `+`, `[member` nor `(member`.
pub const NOT_A_LEX_RANGE: Stop = Stop::error("ERR min or max not valid string range item");
/// ZRANGE: LIMIT with ranks.
pub const LIMIT_NEEDS_BYSCORE_OR_BYLEX: Stop =
    Stop::error("ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX");
/// ZRANGE: WITHSCORES with BYLEX.
pub const WITHSCORES_WITH_BYLEX: Stop =
    Stop::error("ERR syntax error, WITHSCORES not supported in combination with BYLEX");
/// ZUNION and its kin: a weight is no float.
pub const WEIGHT_NOT_A_FLOAT: Stop = Stop::error("ERR weight value is not a float");
/// NOVALUES outside of HSCAN.
pub const NOVALUES_NEEDS_HSCAN: Stop = Stop::error("ERR NOVALUES option can only be used in HSCAN");
/// A cursor is no number.
pub const INVALID_CURSOR: Stop = Stop::error("ERR invalid cursor");
/// A timeout is no number.
pub const TIMEOUT_NOT_A_FLOAT: Stop = Stop::error("ERR timeout is not a float or out of range");
/// A timeout is too large.
pub const TIMEOUT_OUT_OF_RANGE: Stop = Stop::error("ERR timeout is out of range");
/// A timeout is negative.
pub const TIMEOUT_NEGATIVE: Stop = Stop::error("ERR timeout is negative");
/// A database number is out of range.
pub const DB_OUT_OF_RANGE: Stop = Stop::error("ERR DB index is out of range");
/// A database number does not fit 32 bits.
pub const OUT_OF_INT: Stop = Stop::error("ERR value is out of range, value must between -2147483648 and 2147483647");
/// SWAPDB: the first database is no number.
pub const INVALID_FIRST_DB: Stop = Stop::error("ERR invalid first DB index");
/// SWAPDB: the second database is no number.
pub const INVALID_SECOND_DB: Stop = Stop::error("ERR invalid second DB index");
/// Source and destination are the same.
pub const SAME_OBJECT: Stop = Stop::error("ERR source and destination objects are the same");

/// EXPIRE: conditions that exclude each other.
pub const NX_WITH_OTHERS: Stop = Stop::error("ERR NX and XX, GT or LT options at the same time are not compatible");
/// EXPIRE: conditions that exclude each other.
pub const GT_WITH_LT: Stop = Stop::error("ERR GT and LT options at the same time are not compatible");
/// SORT: an element or what BY finds for it is no number.
pub const SCORES_NOT_FLOATS: Stop = Stop::error("ERR One or more scores can't be converted into double");
/// OBJECT FREQ: access times are kept, not frequencies.
pub const NO_FREQUENCY: Stop = Stop::error(
    "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching \
     between policies at runtime LRU and LFU data will take some time to adjust.",
);
/// OBJECT IDLETIME: access frequencies are kept, not times.
pub const NO_IDLE_TIME: Stop = Stop::error(
    "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching between policies \
     at runtime LRU and LFU data will take some time to adjust.",
);
/// RESTORE: the key exists.
pub const BUSY_KEY: Stop = Stop::error("BUSYKEY Target key name already exists.");
/// RESTORE: the payload is cut, changed or too new.
pub const DUMP_CHECKSUM: Stop = Stop::error("ERR DUMP payload version or checksum are wrong");
/// RESTORE: the payload is whole and no value.
pub const BAD_DUMP: Stop = Stop::error("ERR Bad data format");
/// RESTORE: the time to live is negative.
pub const INVALID_TTL: Stop = Stop::error("ERR Invalid TTL value, must be >= 0");
/// RESTORE: the idle time is negative.
pub const INVALID_IDLETIME: Stop = Stop::error("ERR Invalid IDLETIME value, must be >= 0");
/// RESTORE: the frequency does not fit a byte.
pub const INVALID_FREQ: Stop = Stop::error("ERR Invalid FREQ value, must be >= 0 and <= 255");

/// EXPIRE: there is no such condition.
pub fn unsupported_option(option: &[u8]) -> Stop {
    format!("ERR Unsupported option {}", String::from_utf8_lossy(option)).into()
}

/// The number of arguments is wrong; `name` is in lower case, a subcommand's with its container's before it and `|`.
pub fn wrong_arity(name: &str) -> String {
    format!("ERR wrong number of arguments for '{name}' command")
}

/// ZUNION and its kin: no input is named.
pub fn needs_one_key(name: &str) -> Stop {
    format!("ERR at least 1 input key is needed for '{name}' command").into()
}

/// An expiry time is out of range.
pub fn invalid_expire(name: &str) -> Stop {
    format!("ERR invalid expire time in '{name}' command").into()
}

/// BITOP DIFF and its kin with one source.
pub fn bitop_needs_two(operation: &str) -> Stop {
    format!("ERR BITOP {operation} must be called with at least two source keys.").into()
}

/// There is no such command. The name and the first arguments are shown, cut.
pub fn unknown_command(args: &resp::Args<'_>) -> Vec<u8> {
    const SHOWN: usize = 128;
    let cut = |bytes: &[u8], max: usize| bytes[..bytes.len().min(max)].to_vec();
    let mut text = b"ERR unknown command '".to_vec();
    text.extend(cut(args.get(0).unwrap_or_default(), SHOWN));
    text.extend(b"', with args beginning with: ");
    let mut shown = Vec::new();
    for arg in args.iter().skip(1) {
        if shown.len() >= SHOWN {
            break;
        }
        shown.push(b'\'');
        shown.extend(cut(arg, SHOWN.saturating_sub(shown.len())));
        shown.extend(b"' ");
    }
    text.extend(shown);
    text
}

/// There is no such subcommand.
pub fn unknown_subcommand(container: &str, given: &[u8]) -> Vec<u8> {
    let mut text = b"ERR unknown subcommand '".to_vec();
    text.extend(&given[..given.len().min(128)]);
    text.extend(format!("'. Try {} HELP.", container.to_ascii_uppercase()).bytes());
    text
}

/// A session command was handed to the executor of data commands.
pub(crate) const NOT_DATA: Stop = Stop::error("ERR this command cannot be run here");

/// A session command said nothing where a transaction needs its reply.
pub const NOT_IN_TRANSACTION: &str = "ERR this command cannot be run inside a transaction";

/// A count is out of range.
pub const OUT_OF_RANGE: Stop = Stop::error("ERR value is out of range");
/// More keys are announced than given.
pub const NUMKEYS_TOO_LARGE: Stop = Stop::error("ERR Number of keys can't be greater than number of args");
/// A limit is negative.
pub const LIMIT_NEGATIVE: Stop = Stop::error("ERR LIMIT can't be negative");

/// A field's value is no integer.
pub const HASH_NOT_AN_INTEGER: Stop = Stop::error("ERR hash value is not an integer");
/// A field's value is no float.
pub const HASH_NOT_A_FLOAT: Stop = Stop::error("ERR hash value is not a float");
/// An increment is no number.
pub const VALUE_NAN_OR_INFINITY: Stop = Stop::error("ERR value is NaN or Infinity");
/// FIELDS is missing.
pub const FIELDS_MISSING: Stop = Stop::error("ERR Mandatory argument FIELDS is missing or not at the right position");
/// The fields are not as many as announced.
pub const FIELDS_MISMATCH: Stop = Stop::error("ERR The `numfields` parameter must match the number of arguments");
/// The number of fields is not positive (HEXPIRE and its kin).
pub const NUMFIELDS_NOT_POSITIVE: Stop = Stop::error("ERR Parameter `numFields` should be greater than 0");
/// The number of fields is not positive (HTTL, HPERSIST, HGETDEL).
pub const FIELDS_NOT_POSITIVE: Stop = Stop::error("ERR Number of fields must be a positive integer");
/// The number of fields is not positive (HGETEX, HSETEX).
pub const FIELDS_COUNT: Stop = Stop::error("ERR invalid number of fields");
/// An expiry time is negative.
pub const EXPIRE_NEGATIVE: Stop = Stop::error("ERR invalid expire time, must be >= 0");
/// Two conditions that exclude each other.
pub const ONE_OF_FXX_FNX: Stop = Stop::error("ERR Only one of FXX or FNX arguments can be specified");
