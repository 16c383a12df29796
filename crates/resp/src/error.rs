//! What can be wrong with bytes from a peer.

/// A client broke the protocol. The connection cannot be understood any further: write the error, then close.
///
/// The texts are those of Redis 7.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// The line after `*` is no length, or the length is out of range.
    #[error("Protocol error: invalid multibulk length")]
    InvalidMultibulkLength,
    /// The line after `$` is no length, or the length is out of range.
    #[error("Protocol error: invalid bulk length")]
    InvalidBulkLength,
    /// A bulk string was due.
    #[error("Protocol error: expected '$', got '{}'", printable(*.0))]
    ExpectedBulk(u8),
    /// An inline command does not end within the limit.
    #[error("Protocol error: too big inline request")]
    InlineTooLong,
    /// The line after `*` does not end within the limit.
    #[error("Protocol error: too big mbulk count string")]
    MultibulkLineTooLong,
    /// The line after `$` does not end within the limit.
    #[error("Protocol error: too big bulk count string")]
    BulkLineTooLong,
    /// A quote of an inline command is never closed, or is closed in the middle of a word.
    #[error("Protocol error: unbalanced quotes in request")]
    UnbalancedQuotes,
    /// Too many arguments from a client that has yet to authenticate.
    #[error("Protocol error: unauthenticated multibulk length")]
    UnauthenticatedMultibulkLength,
    /// Too long an argument from a client that has yet to authenticate.
    #[error("Protocol error: unauthenticated bulk length")]
    UnauthenticatedBulkLength,
}

impl ProtocolError {
    /// Appends the error reply, byte for byte what Redis sends.
    pub fn write(&self, out: &mut Vec<u8>) {
        if let Self::ExpectedBulk(byte) = *self {
            // The offending byte goes out raw, as it came in, unless it would end the line.
            out.extend_from_slice(b"-ERR Protocol error: expected '$', got '");
            out.push(if byte == b'\r' || byte == b'\n' { b' ' } else { byte });
            out.extend_from_slice(b"'\r\n");
        } else {
            out.extend_from_slice(b"-ERR ");
            out.extend_from_slice(self.to_string().as_bytes());
            out.extend_from_slice(b"\r\n");
        }
    }
}

fn printable(byte: u8) -> String {
    byte.escape_ascii().to_string()
}

/// A server's reply cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// No type begins with this byte.
    #[error("a reply cannot begin with byte 0x{0:02x}")]
    UnknownType(u8),
    /// The line is not what its type asks for.
    #[error("malformed line after '{kind}': {line:?}", kind = char::from(*.kind))]
    BadLine {
        /// The type byte.
        kind: u8,
        /// What followed it, at most 64 bytes.
        line: String,
    },
    /// A string does not end in CR LF.
    #[error("a string of {0} bytes is not followed by CR LF")]
    MissingTerminator(usize),
    /// A line or a string is longer than any that is accepted.
    #[error("a reply of {0} bytes is longer than is accepted")]
    TooLong(u64),
    /// Aggregates are nested too deeply.
    #[error("replies are nested more than {0} levels deep")]
    TooDeep(usize),
}
