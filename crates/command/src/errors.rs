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
/// The result of an addition does not fit.
pub const OVERFLOW: Stop = Stop::error("ERR increment or decrement would overflow");
/// The sum is no number.
pub const NAN_OR_INFINITY: Stop = Stop::error("ERR increment would produce NaN or Infinity");
/// A string would grow beyond `proto-max-bulk-len`.
pub const STRING_TOO_LONG: Stop = Stop::error("ERR string exceeds maximum allowed size (proto-max-bulk-len)");
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
/// ZINTERCARD: the limit is no number, or negative.
pub const LIMIT_NEGATIVE: Stop = Stop::error("ERR LIMIT can't be negative");
/// ZRANDMEMBER: more is asked for than a reply may hold.
pub const COUNT_OUT_OF_RANGE: Stop = Stop::error("ERR value is out of range");
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
/// Source and destination are the same.
pub const SAME_OBJECT: Stop = Stop::error("ERR source and destination objects are the same");

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
