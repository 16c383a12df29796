//! The arguments of a command: ranges into a buffer, the borrowed view that commands read, and an owned copy.

use crate::limits::MAX_OFFSET;

/// One argument, as offsets into the buffer that holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    start: u32,
    len: u32,
}

impl Span {
    /// The caller has checked that both fit: the decoder refuses frames beyond [`MAX_OFFSET`].
    pub(crate) fn new(start: usize, len: usize) -> Self {
        debug_assert!(start <= MAX_OFFSET && len <= MAX_OFFSET);
        Self { start: start as u32, len: len as u32 }
    }

    /// The same bytes after `dropped` bytes went from the front of the buffer.
    pub(crate) fn rebase(&mut self, dropped: usize) {
        self.start -= dropped as u32;
    }

    fn of(self, buf: &[u8]) -> &[u8] {
        let start = self.start as usize;
        &buf[start..start + self.len as usize]
    }
}

/// Where the arguments of the command just decoded are. One is enough for a thread: it is scratch space, and it keeps
/// its memory from command to command.
#[derive(Debug, Default, Clone)]
pub struct ArgRanges {
    pub(crate) spans: Vec<Span>,
    /// Unquoted words of an inline command; `spans` point here when `inline` is set.
    pub(crate) text: Vec<u8>,
    pub(crate) inline: bool,
    note: Note,
}

/// What somebody who looked at a command before it ran has found out about its first argument, to save whoever runs it
/// the work. Opaque here; it goes with the ranges.
pub type Note = Option<u128>;

impl ArgRanges {
    /// An empty set of ranges, without memory of its own.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many arguments there are.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there are no arguments.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The arguments themselves. `buf` is the slice that was handed to the decode call that filled these ranges.
    #[inline]
    pub fn view<'a>(&'a self, buf: &'a [u8]) -> Args<'a> {
        Args { buf: if self.inline { &self.text } else { buf }, spans: &self.spans, note: self.note }
    }

    /// Forgets all arguments and keeps the memory.
    #[inline]
    pub fn clear(&mut self) {
        self.spans.clear();
        self.inline = false;
        self.note = None;
    }

    /// Attaches a note to the command.
    pub fn set_note(&mut self, note: Note) {
        self.note = note;
    }

    /// Gives memory back that an unusually large command left behind.
    pub fn shrink(&mut self, max_args: usize, max_text: usize) {
        self.clear();
        self.text.clear();
        self.spans.shrink_to(max_args);
        self.text.shrink_to(max_text);
    }
}

/// A command and its arguments, borrowed: a buffer and the ranges in it. Cheap to copy.
#[derive(Clone, Copy, Default)]
pub struct Args<'a> {
    buf: &'a [u8],
    spans: &'a [Span],
    note: Note,
}

impl<'a> Args<'a> {
    /// How many arguments there are, the command's name included.
    #[inline]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// What was noted about argument 1.
    pub fn note(&self) -> Note {
        self.note
    }

    /// Whether there is not even a name.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Argument `index`; the name is argument 0.
    #[inline]
    pub fn get(&self, index: usize) -> Option<&'a [u8]> {
        self.spans.get(index).map(|span| span.of(self.buf))
    }

    /// The arguments from `first` on; empty if there are not that many.
    pub fn tail(&self, first: usize) -> Args<'a> {
        Args { buf: self.buf, spans: self.spans.get(first..).unwrap_or_default(), note: None }
    }

    /// The arguments `first..first + count`, or `None` if there are not that many.
    pub fn part(&self, first: usize, count: usize) -> Option<Args<'a>> {
        let end = first.checked_add(count)?;
        Some(Args { buf: self.buf, spans: self.spans.get(first..end)?, note: None })
    }

    /// All arguments in order.
    #[inline]
    pub fn iter(&self) -> ArgsIter<'a> {
        ArgsIter { buf: self.buf, spans: self.spans.iter() }
    }

    /// Sum of the arguments' lengths, in bytes.
    pub fn total_len(&self) -> usize {
        self.spans.iter().map(|span| span.len as usize).sum()
    }

    /// A copy that outlives the query buffer.
    pub fn to_owned_args(&self) -> OwnedArgs {
        let mut owned = OwnedArgs::with_capacity(self.len(), self.total_len());
        for arg in self.iter() {
            owned.push(arg);
        }
        owned
    }
}

impl std::ops::Index<usize> for Args<'_> {
    type Output = [u8];

    /// Panics if there are not that many arguments; the command's arity has been checked before.
    #[inline]
    fn index(&self, index: usize) -> &[u8] {
        self.spans[index].of(self.buf)
    }
}

impl<'a> IntoIterator for Args<'a> {
    type Item = &'a [u8];
    type IntoIter = ArgsIter<'a>;

    fn into_iter(self) -> ArgsIter<'a> {
        self.iter()
    }
}

impl<'a> IntoIterator for &Args<'a> {
    type Item = &'a [u8];
    type IntoIter = ArgsIter<'a>;

    fn into_iter(self) -> ArgsIter<'a> {
        self.iter()
    }
}

impl std::fmt::Debug for Args<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter().map(|arg| arg.escape_ascii().to_string())).finish()
    }
}

/// The arguments of a command in order.
#[derive(Clone)]
pub struct ArgsIter<'a> {
    buf: &'a [u8],
    spans: std::slice::Iter<'a, Span>,
}

impl<'a> Iterator for ArgsIter<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        self.spans.next().map(|span| span.of(self.buf))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.spans.size_hint()
    }
}

impl ExactSizeIterator for ArgsIter<'_> {}

impl DoubleEndedIterator for ArgsIter<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.spans.next_back().map(|span| span.of(self.buf))
    }
}

/// A command that outlives its query buffer: queued by MULTI, blocked, or made by the server itself. One buffer, one
/// table of ranges.
#[derive(Default, Clone, PartialEq, Eq)]
pub struct OwnedArgs {
    buf: Vec<u8>,
    spans: Vec<Span>,
}

impl OwnedArgs {
    /// No arguments.
    pub fn new() -> Self {
        Self::default()
    }

    /// No arguments, room for `args` of them with `bytes` bytes in all.
    pub fn with_capacity(args: usize, bytes: usize) -> Self {
        Self { buf: Vec::with_capacity(bytes), spans: Vec::with_capacity(args) }
    }

    /// Appends an argument. Panics if the arguments together pass 4 GiB, which no decoded command reaches.
    pub fn push(&mut self, arg: &[u8]) {
        let start = self.buf.len();
        assert!(start + arg.len() <= MAX_OFFSET, "the arguments of one command are below 4 GiB");
        self.buf.extend_from_slice(arg);
        self.spans.push(Span::new(start, arg.len()));
    }

    /// Forgets all arguments and keeps the memory.
    pub fn clear(&mut self) {
        self.buf.clear();
        self.spans.clear();
    }

    /// The view that commands read.
    #[inline]
    pub fn as_args(&self) -> Args<'_> {
        Args { buf: &self.buf, spans: &self.spans, note: None }
    }

    /// Memory held, in bytes.
    pub fn memory(&self) -> usize {
        self.buf.capacity() + self.spans.capacity() * size_of::<Span>()
    }

    pub(crate) fn from_parts(buf: Vec<u8>, spans: Vec<Span>) -> Self {
        Self { buf, spans }
    }
}

impl<A: AsRef<[u8]>> FromIterator<A> for OwnedArgs {
    fn from_iter<I: IntoIterator<Item = A>>(args: I) -> Self {
        let mut owned = Self::new();
        for arg in args {
            owned.push(arg.as_ref());
        }
        owned
    }
}

impl std::fmt::Debug for OwnedArgs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.as_args().fmt(f)
    }
}
