//! Every limit of this crate, with its unit and its reason.

use std::time::Duration;

/// Passphrases that a node trusts: the one it signs with, and during a change another.
pub const PASSPHRASES: usize = 2;

/// Shortest passphrase, in bytes. Whoever reaches the port can test guesses at home, as fast as a signature can be checked:
/// only chance protects it. A generated one has 43 bytes for 256 bits.
pub const PASSPHRASE_MIN_BYTES: usize = 32;

/// Largest passphrase file, in bytes.
pub const PASSPHRASE_FILE_BYTES: u64 = 4 << 10;

/// Different bytes that a passphrase has at least, so that 32 times the same letter is none.
pub const PASSPHRASE_MIN_DISTINCT: usize = 10;

/// Longest label of a region, in bytes.
pub const REGION_BYTES: usize = 32;

/// Longest host name, in bytes: that of DNS.
pub const HOST_BYTES: usize = 253;

/// How long a certificate of a node is valid.
pub(crate) const CERTIFICATE_LIFE: Duration = Duration::from_secs(7 * 86_400);

/// How far back it is valid: clocks of two nodes may differ by that much.
pub(crate) const CERTIFICATE_SLACK: Duration = Duration::from_secs(86_400);

/// After how long it is made anew: six days before it ends, so a clock that is wrong by days refuses nobody.
pub(crate) const CERTIFICATE_RENEWAL: Duration = Duration::from_secs(86_400);

const _: () = assert!(CERTIFICATE_RENEWAL.as_secs() * 2 <= CERTIFICATE_LIFE.as_secs());

/// Largest payload of a frame, unless configured, in bytes. Larger things are sent in pieces.
pub const FRAME_BYTES: usize = 16 << 20;

/// Largest payload of a frame of our own (greetings, pings), in bytes.
pub(crate) const CONTROL_BYTES: usize = 1 << 10;

const _: () = assert!(CONTROL_BYTES > HOST_BYTES + REGION_BYTES + 64);

/// Bytes that wait to be sent to a peer, unless configured; then the sender is told `Full`. It bridges 200 ms at 160 MB/s.
pub const OUTBOX_BYTES: usize = 32 << 20;

/// Bytes from a peer that wait for who takes events, unless configured; then nothing more of this peer is read.
pub const INBOX_BYTES: usize = 32 << 20;

/// What a frame in the inbox counts beside its bytes.
pub(crate) const EVENT_COST: usize = 96;

/// Events without bytes that wait in the inbox. Beyond it no peer is let in, and refusals are only counted.
pub(crate) const NOTICES: usize = 1024;

/// Read from one connection before the next has its turn, in bytes.
pub(crate) const TURN_BYTES: usize = 256 << 10;

/// One read of a socket, in bytes.
pub(crate) const READ_BYTES: usize = 64 << 10;

/// What a connection keeps for what has come, in bytes: a stream of many frames that are somewhat larger than a read needs no more, and
/// finds its memory again.
pub(crate) const DECODED_BYTES: usize = 1 << 20;

/// Encrypted at once, in bytes. What is encrypted can no longer be overtaken by a ping.
pub(crate) const WRITE_BYTES: usize = 64 << 10;

/// Connections that were accepted and are not up yet. The oldest goes when there is one more, so that idle ones keep nobody out.
pub(crate) const STRANGERS: usize = 256;

/// Connections accepted before others have their turn.
pub(crate) const ACCEPT_TURN: usize = 64;

/// Names and addresses to dial.
pub(crate) const TARGETS: usize = 1024;

/// Addresses that are taken of one name.
pub(crate) const ADDRESSES: usize = 64;

/// Nodes that figures are kept of, connected or not.
pub(crate) const FIGURES: usize = 4096;

/// How often a name is resolved again at most, while something of it is not connected.
pub(crate) const RESOLVE_SOON: Duration = Duration::from_secs(1);

/// How often a name is resolved again while all of it is connected: it may have got records.
pub(crate) const RESOLVE_LATER: Duration = Duration::from_secs(30);

/// After how long our own address is dialed again: it may be somebody else's by then.
pub(crate) const OWN_ADDRESS: Duration = Duration::from_secs(60);

/// How long a stop waits for what was given to be sent.
pub(crate) const DRAIN: Duration = Duration::from_secs(2);

/// How long no connection is accepted after the system has refused one, as it does without descriptors.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Between two lines in the log about strangers.
pub(crate) const COMPLAIN: Duration = Duration::from_secs(10);
