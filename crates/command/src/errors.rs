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
pub const SYNTAX: Stop = Stop::error("ERR syntax error");
/// There is no such key.
pub const NO_SUCH_KEY: Stop = Stop::error("ERR no such key");
/// An index lies outside of the list.
pub const INDEX_OUT_OF_RANGE: Stop = Stop::error("ERR index out of range");
/// The result of an addition does not fit.
pub const OVERFLOW: Stop = Stop::error("ERR increment or decrement would overflow");
/// The sum is no number.
pub const NAN_OR_INFINITY: Stop = Stop::error("ERR increment would produce NaN or Infinity");
/// A string would grow beyond `proto-max-bulk-len`.
pub const STRING_TOO_LONG: Stop = Stop::error("ERR string exceeds maximum allowed size (proto-max-bulk-len)");
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

/// An expiry time is out of range.
pub fn invalid_expire(name: &str) -> Stop {
    format!("ERR invalid expire time in '{name}' command").into()
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
