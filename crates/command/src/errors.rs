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
/// Source and destination are the same.
pub const SAME_OBJECT: Stop = Stop::error("ERR source and destination objects are the same");

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
