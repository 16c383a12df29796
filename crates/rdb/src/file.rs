//! A whole file: its head, then records up to the end mark, then a checksum of all before it.
//!
//! ```text
//!   REDIS0011 │ aux… │ functions… │ SELECTDB n │ RESIZEDB k e │ [EXPIRE t] [IDLE s│FREQ f] type key value │ … │ END │ CRC-64
//! ```

use std::io::Read;

use effect::Kind;

use crate::error::Error;
use crate::input::{Input, Stream};
use crate::kinds::{self, Dialect};
use crate::object::{Nowhere, Sink, kind_of};
use crate::skip::{Foreign, foreign, module_name};
use crate::source::Source;
use crate::template::Templates;

/// What comes next in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// What the writer says of itself; the value is in [`Dump::aux`].
    Aux(Vec<u8>),
    /// The following keys are of this database.
    Database(u64),
    /// So many keys follow in this database, by the writer's account.
    Expect(u64),
    /// A key, which [`Dump::key`] names. Its value is read with [`Dump::value`], or left.
    Key {
        /// Its type.
        kind: Kind,
        /// When it expires, in unix ms; that may have passed.
        deadline: Option<i64>,
    },
    /// Something that has no place here. If it belongs to a key, [`Dump::key`] names it; else that is empty.
    Foreign(Foreign, Option<String>),
    /// The end; nothing follows.
    End(Checksum),
}

/// Whether the bytes of a file are what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksum {
    /// The checksum is right.
    Right,
    /// The writer had checksums turned off.
    Off,
    /// The version is from before there were any.
    None,
}

/// A file that is being read.
///
/// *Invariant:* whatever the file says is checked against the bytes that are there. Nothing panics on it, and it takes
/// no more memory than its largest string, once as it stands and once unfolded.
#[derive(Debug)]
pub struct Dump<R> {
    source: Source<Stream<R>>,
    version: u16,
    dialect: Dialect,
    key: Vec<u8>,
    aux: Vec<u8>,
    templates: Templates,
    /// The number of the value that stands next.
    pending: Option<u8>,
    /// Of the key that comes next, if it is known already.
    deadline: Option<i64>,
    is_over: bool,
}

impl<R: Read> Dump<R> {
    /// Reads the head of a file.
    pub fn open(from: R) -> Result<Self, Error> {
        let mut source = Source::new(Stream::new(from));
        let (dialect, version) = head(&mut source.input)?;
        let templates = Templates::default();
        let (key, aux) = (Vec::new(), Vec::new());
        Ok(Self { source, version, dialect, key, aux, templates, pending: None, deadline: None, is_over: false })
    }

    /// The version of the format.
    pub fn version(&self) -> u16 {
        self.version
    }

    /// Whose version that is.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// How many bytes have been read.
    pub fn offset(&self) -> u64 {
        self.source.input.offset()
    }

    /// The key of the last record.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// The value of the last [`Record::Aux`].
    pub fn aux(&self) -> &[u8] {
        &self.aux
    }

    /// Reads the value of the key that was read last into `sink`.
    pub fn value(&mut self, sink: &mut dyn Sink) -> Result<(), Error> {
        match self.pending.take() {
            None => Ok(()),
            Some(kinds::HASH_TEMPLATE) => self.templates.read_hash(&mut self.source, sink),
            Some(kinds::HASH_TEMPLATE_LISTPACK) => self.templates.read_packed(&mut self.source, sink),
            Some(number) => self.source.object(number, self.dialect, sink),
        }
    }

    /// The next record. A value that was not read is passed over, and checked all the same. Behind the end it is the end again.
    pub fn next_record(&mut self) -> Result<Record, Error> {
        self.value(&mut Nowhere)?;
        self.key.clear();
        if self.is_over {
            return Ok(Record::End(Checksum::None));
        }
        let mut deadline = self.deadline.take();
        loop {
            let start = self.offset();
            match self.source.input.byte()? {
                kinds::OP_EXPIRE_MS => deadline = Some(i64::from_le_bytes(self.source.input.array()?)),
                kinds::OP_EXPIRE_S => {
                    deadline = Some(i64::from(i32::from_le_bytes(self.source.input.array()?)) * 1000);
                }
                kinds::OP_IDLE => self.source.skip_counts(1)?,
                kinds::OP_FREQ => self.source.input.skip(1)?,
                kinds::OP_SLOT_INFO => self.source.skip_counts(3)?,
                kinds::OP_HASH_TEMPLATE if self.dialect == Dialect::Redis => self.templates.read(&mut self.source)?,
                kinds::OP_KEY_META if self.dialect == Dialect::Valkey => {
                    self.source.skip_string()?;
                    for _ in 0..self.source.count()? {
                        self.source.skip_counts(2)?;
                    }
                }
                kinds::OP_KEY_META => return self.key_meta(deadline),
                number @ kinds::OP_SLOT_INFO..=kinds::OP_END => return self.opcode(number, start),
                number => return self.entry(number, deadline, start),
            }
        }
    }

    /// What modules note of the key that follows. Its deadline has come already, and is kept for it.
    fn key_meta(&mut self, deadline: Option<i64>) -> Result<Record, Error> {
        const CLASS: u64 = 4;
        for _ in 0..self.source.count()? {
            self.source.input.skip(CLASS)?;
            self.source.skip_module_parts()?;
        }
        self.deadline = deadline;
        Ok(Record::Foreign(Foreign::KeyMeta, None))
    }

    /// A record that is no key.
    fn opcode(&mut self, number: u8, start: u64) -> Result<Record, Error> {
        let source = &mut self.source;
        Ok(match number {
            kinds::OP_AUX => {
                source.hold()?;
                self.aux.clear();
                let name = source.held.clone();
                self.aux.extend_from_slice(source.string()?);
                Record::Aux(name)
            }
            kinds::OP_SELECT_DB => Record::Database(source.count()?),
            kinds::OP_RESIZE_DB => {
                let keys = source.count()?;
                source.skip_counts(1)?;
                Record::Expect(keys)
            }
            kinds::OP_FUNCTION_2 => {
                source.skip_string()?;
                Record::Foreign(Foreign::Function, None)
            }
            kinds::OP_MODULE_AUX => {
                let id = source.count()?;
                source.skip_counts(2)?;
                source.skip_module_parts()?;
                Record::Foreign(Foreign::ModuleAux, Some(module_name(id)))
            }
            kinds::OP_END => Record::End(self.end()?),
            kinds::OP_FUNCTION_EARLY => {
                let what = "a library of functions of a candidate of Redis 7.0";
                return Err(Error::Unknown { offset: start, what, number });
            }
            _ => return Err(Error::Unknown { offset: start, what: "a record of a kind that is not known", number }),
        })
    }

    fn entry(&mut self, number: u8, deadline: Option<i64>, start: u64) -> Result<Record, Error> {
        let kind = kind_of(number, self.dialect);
        let foreign = foreign(number, self.dialect);
        if kind.is_none() && foreign.is_none() {
            let what = match number {
                kinds::MODULE_EARLY => "a module's value as candidates of Redis 4.0 wrote it",
                _ => "a value of a type that is not known",
            };
            return Err(Error::Unknown { offset: start, what, number });
        }
        self.key.extend_from_slice(self.source.string()?);
        if let Some(kind) = kind {
            self.pending = Some(number);
            return Ok(Record::Key { kind, deadline });
        }
        let name = self.source.skip_foreign(number)?;
        Ok(Record::Foreign(foreign.expect("it is one or the other"), name))
    }

    /// Compares the checksum behind the end mark.
    fn end(&mut self) -> Result<Checksum, Error> {
        let input = &mut self.source.input;
        let checksum = if self.version < 5 {
            Checksum::None
        } else {
            let (offset, computed) = (input.offset(), input.checksum());
            match u64::from_le_bytes(input.array()?) {
                0 => Checksum::Off,
                stated if stated == computed => Checksum::Right,
                stated => return Err(Error::Checksum { offset, stated, computed }),
            }
        };
        if !input.is_at_end()? {
            let what = "more follows behind the end: is it an append-only file that begins with a snapshot?";
            return Err(Error::Damaged { offset: input.offset(), what });
        }
        self.is_over = true;
        Ok(checksum)
    }
}

/// The first bytes: a name, and a version in digits.
fn head<R: Read>(input: &mut Stream<R>) -> Result<(Dialect, u16), Error> {
    const LEN: usize = 9;
    if input.is_at_end()? {
        return Err(Error::NotRdb { what: "it is empty" });
    }
    let head: [u8; LEN] = match input.array() {
        Err(Error::Cut { .. }) => return Err(Error::NotRdb { what: "it has fewer bytes than the head of one" }),
        head => head?,
    };
    let (dialect, digits) = match &head {
        [b'R', b'E', b'D', b'I', b'S', digits @ ..] => (Dialect::Redis, &digits[..]),
        [b'V', b'A', b'L', b'K', b'E', b'Y', digits @ ..] => (Dialect::Valkey, &digits[..]),
        [0x1f, 0x8b, ..] => return Err(Error::NotRdb { what: "it is compressed with gzip; unpack it first" }),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            return Err(Error::NotRdb { what: "it is compressed with zstd; unpack it first" });
        }
        [b'*', ..] => return Err(Error::NotRdb { what: "it looks like an append-only file" }),
        _ => return Err(Error::NotRdb { what: "it does not begin with REDIS or VALKEY" }),
    };
    let version = str::from_utf8(digits).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
    let version = version.and_then(|text| text.parse::<u16>().ok());
    let version = version.ok_or(Error::NotRdb { what: "its version is no number" })?;
    let of = if dialect == Dialect::Redis { "Redis" } else { "Valkey" };
    match Dialect::of_version(version) {
        Some(known) if known == dialect && version > 0 => Ok((dialect, version)),
        _ => Err(Error::Version { of, version }),
    }
}
