//! The settings of a plain HTTP service.

use std::fmt;
use std::time::Duration;

use zeroize::Zeroizing;

use super::Retry;

/// A secret that goes into a header. It is never shown.
#[derive(Clone)]
pub struct AccessKey(Zeroizing<String>);

impl AccessKey {
    /// From text, without the blanks and line ends around it that a file may have.
    #[must_use]
    pub fn new(key: &str) -> Self {
        Self(Zeroizing::new(key.trim().to_owned()))
    }

    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessKey(not shown)")
    }
}

/// Whether and how a service lists what it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listing {
    /// It does not.
    None,
    /// `GET` of a folder's path with a slash at its end gives a JSON array of objects with `ObjectName`, `Length` and
    /// `IsDirectory`, as the storage of bunny.net does.
    JsonFolders,
}

/// The settings of a plain HTTP service.
#[derive(Clone, Debug)]
pub struct HttpOptions {
    /// Where objects are put, deleted and listed: a URL, to whose path the names are appended.
    pub upload: String,
    /// Where objects are read, if not there as well.
    pub read: Option<String>,
    /// The secret, if the service wants one.
    pub key: Option<AccessKey>,
    /// The header that it stands in.
    pub key_header: String,
    /// Whether the key is sent for reading too, where that is another server. By default it is not: such a server is
    /// public.
    pub key_for_reading: bool,
    /// Whether uploads carry their SHA-256, in capital hexadecimal digits, in a header `Checksum`, for the service to
    /// compare.
    pub checksum: bool,
    /// Whether the service knows `If-None-Match: *` for `PUT`. One that ignores it would replace objects that must not
    /// be.
    pub conditional_put: bool,
    /// Whether and how it lists.
    pub listing: Listing,
    /// How often what fails is repeated, and after how long.
    pub retry: Retry,
    /// How long a connection may take to be made.
    pub connect_timeout: Duration,
    /// How long nothing may happen: until an answer begins, or between two pieces of it.
    pub idle_timeout: Duration,
    /// Bytes a second that an upload must reach on the whole: it may take its length divided by this, and the idle
    /// timeout.
    pub least_rate: u64,
    /// Certificates in PEM of authorities that are trusted beside the system's.
    pub roots_pem: Vec<Vec<u8>>,
}

impl HttpOptions {
    /// A service at `upload`, with defaults for all else: the key's header is `AccessKey`, no listing, no conditional
    /// put.
    #[must_use]
    pub fn new(upload: impl Into<String>) -> Self {
        Self {
            upload: upload.into(),
            read: None,
            key: None,
            key_header: "AccessKey".to_owned(),
            key_for_reading: false,
            checksum: true,
            conditional_put: false,
            listing: Listing::None,
            retry: Retry::default(),
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(30),
            least_rate: 64 << 10,
            roots_pem: Vec::new(),
        }
    }
}
