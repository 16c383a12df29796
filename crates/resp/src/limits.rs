//! Every bound of the protocol, with its unit and reason.

/// Longest bulk string that is accepted by default, in bytes (`proto-max-bulk-len`).
pub const DEFAULT_MAX_BULK_LEN: u32 = 512 * 1024 * 1024;

/// Most arguments of one command. What bounds their memory is the query buffer: each takes six bytes of it at least.
pub const DEFAULT_MAX_ARGS: u32 = i32::MAX as u32;

/// Longest inline command, and longest line that announces a length, in bytes without its line end.
pub const DEFAULT_MAX_LINE_LEN: u32 = 64 * 1024;

/// Most bytes that one client may have waiting to be understood (`client-query-buffer-limit`). Enforced by whoever owns
/// the buffer.
pub const DEFAULT_MAX_QUERY_BUFFER: u32 = 1024 * 1024 * 1024;

/// Most arguments of a command from a client that has yet to authenticate.
pub const UNAUTHENTICATED_MAX_ARGS: u32 = 10;

/// Longest bulk string from a client that has yet to authenticate, in bytes.
pub const UNAUTHENTICATED_MAX_BULK_LEN: u32 = 16 * 1024;

/// Offsets into a query buffer are 32 bits wide; a frame that would reach beyond this offset is refused.
pub const MAX_OFFSET: usize = u32::MAX as usize;

/// Deepest nesting that [`crate::ReplyDecoder`] follows.
pub const MAX_REPLY_DEPTH: usize = 128;

/// Replies are read with this bound on one string, in bytes.
pub(crate) const MAX_REPLY_BULK_LEN: u64 = 4 * 1024 * 1024 * 1024;

/// Elements reserved up front for an aggregate whose length a peer announced.
pub(crate) const MAX_RESERVED_ELEMENTS: usize = 1024;

const _: () = assert!((DEFAULT_MAX_BULK_LEN as usize) < MAX_OFFSET);
const _: () = assert!(DEFAULT_MAX_QUERY_BUFFER > DEFAULT_MAX_BULK_LEN);
const _: () = assert!(UNAUTHENTICATED_MAX_BULK_LEN < DEFAULT_MAX_LINE_LEN);

/// What a [`crate::Decoder`] accepts. Handed in with every call, because a client's rights and the configuration
/// change while it is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest bulk string, in bytes.
    pub max_bulk_len: u32,
    /// Most arguments of one command.
    pub max_args: u32,
    /// Longest line, in bytes.
    pub max_line_len: u32,
    /// Whether the client may send more than it takes to authenticate.
    pub authenticated: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_bulk_len: DEFAULT_MAX_BULK_LEN,
            max_args: DEFAULT_MAX_ARGS,
            max_line_len: DEFAULT_MAX_LINE_LEN,
            authenticated: true,
        }
    }
}

impl Limits {
    /// The default limits of a client that has yet to authenticate.
    pub fn unauthenticated() -> Self {
        Self { authenticated: false, ..Self::default() }
    }
}
