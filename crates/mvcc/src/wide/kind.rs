//! What the first bytes of a row's key say about it.

/// The first byte of a meta row's key.
pub(crate) const META: u8 = 0x10;
/// The first byte of an element row's key.
pub(crate) const ELEMENT: u8 = 0x20;
/// Bytes of an incarnation in a key.
pub(crate) const INCARNATION_BYTES: usize = 8;

/// What a row of a collection is. The numbers are part of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// A change of the collection's length that is not folded into its meta row yet.
    LengthDelta = 0x01,
    /// A block of a string.
    StringBlock = 0x03,
    /// A field of a hash.
    HashField = 0x10,
    /// How many fields of a hash have a deadline.
    HashDeadlines = 0x12,
    /// A member of a set.
    SetMember = 0x20,
    /// A member of a sorted set, with its score.
    ZsetMember = 0x30,
    /// A score of a sorted set, with its member: the order.
    ZsetScore = 0x31,
    /// Counts of stretches of a sorted set, in the order of scores.
    ZsetFences = 0x32,
    /// An item of a list.
    ListItem = 0x40,
    /// The claim of a pop on an item of a list.
    ListClaim = 0x41,
    /// Counts of stretches of a list.
    ListFences = 0x42,
    /// An entry of a stream.
    StreamEntry = 0x50,
}

impl Kind {
    /// All kinds, by their number.
    pub const ALL: [Self; 12] = [
        Self::LengthDelta,
        Self::StringBlock,
        Self::HashField,
        Self::HashDeadlines,
        Self::SetMember,
        Self::ZsetMember,
        Self::ZsetScore,
        Self::ZsetFences,
        Self::ListItem,
        Self::ListClaim,
        Self::ListFences,
        Self::StreamEntry,
    ];

    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|&kind| kind as u8 == byte)
    }

    pub(crate) fn index(self) -> usize {
        Self::ALL.iter().position(|&kind| kind == self).expect("ALL holds every kind")
    }

    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::LengthDelta => "length-delta",
            Self::StringBlock => "string-block",
            Self::HashField => "hash-field",
            Self::HashDeadlines => "hash-deadlines",
            Self::SetMember => "set-member",
            Self::ZsetMember => "zset-member",
            Self::ZsetScore => "zset-score",
            Self::ZsetFences => "zset-fences",
            Self::ListItem => "list-item",
            Self::ListClaim => "list-claim",
            Self::ListFences => "list-fences",
            Self::StreamEntry => "stream-entry",
        }
    }
}

/// Which table of rows a key belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    /// What a user key is.
    Meta,
    /// A part of a collection.
    Element(Kind),
}

/// Reads the tags of a key and nothing else.
pub fn tag(key: &[u8]) -> Option<Tag> {
    match *key.first()? {
        META => Some(Tag::Meta),
        ELEMENT => Kind::from_byte(*key.get(1 + INCARNATION_BYTES)?).map(Tag::Element),
        _ => None,
    }
}
