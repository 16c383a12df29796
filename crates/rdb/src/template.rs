//! Templates of Redis 8.10: the fields that many hashes have in common stand once at the beginning of a file, and each of
//! the hashes has only their number and its values.

use hashbrown::HashMap;

use crate::error::{Corrupt, Error};
use crate::input::Input;
use crate::limits::{TEMPLATE_BYTES_MAX, TEMPLATE_FIELDS_MAX};
use crate::object::{Part, Sink, Text};
use crate::packed::{self, Element};
use crate::source::Source;

/// The templates that a file has had up to here.
#[derive(Debug, Default)]
pub(crate) struct Templates {
    fields: HashMap<u64, Vec<Box<[u8]>>>,
    /// Of all of them.
    count: usize,
    bytes: usize,
}

const UNKNOWN: Corrupt = Corrupt("a hash is made by a template that is not there");
const OTHER_COUNT: Corrupt = Corrupt("a hash has another number of values than its template has fields");

impl Templates {
    /// Reads a template: its number, a count, the fields.
    pub(crate) fn read<I: Input>(&mut self, source: &mut Source<I>) -> Result<(), Error> {
        let id = source.count()?;
        let mut fields = Vec::new();
        for _ in 0..source.count()? {
            let field: Box<[u8]> = source.string()?.into();
            self.count += 1;
            self.bytes += field.len();
            if self.count > TEMPLATE_FIELDS_MAX || self.bytes > TEMPLATE_BYTES_MAX {
                let (what, bytes) = ("the templates of hashes", self.bytes as u64);
                let limit = TEMPLATE_BYTES_MAX as u64;
                return Err(Error::TooLarge { offset: source.start, what, bytes, limit });
            }
            fields.push(field);
        }
        if self.fields.insert(id, fields).is_some() {
            return Err(source.damaged("two templates of hashes have one number"));
        }
        Ok(())
    }

    /// The number of a template, then the values.
    pub(crate) fn read_hash<I: Input>(&self, source: &mut Source<I>, sink: &mut dyn Sink) -> Result<(), Error> {
        let id = source.count()?;
        let fields = self.fields.get(&id).ok_or_else(|| source.damaged(UNKNOWN.0))?;
        for field in fields {
            let value = source.string()?;
            sink.part(Part::Field { field, value, deadline: None })?;
        }
        Ok(())
    }

    /// The same in one listpack.
    pub(crate) fn read_packed<I: Input>(&self, source: &mut Source<I>, sink: &mut dyn Sink) -> Result<(), Error> {
        let start = source.input.offset();
        let mut left: Option<std::slice::Iter<'_, Box<[u8]>>> = None;
        packed::listpack(source.string()?, &mut |element| {
            let Some(fields) = &mut left else {
                let Element::Int(id) = element else { return Err(UNKNOWN.into()) };
                let fields = u64::try_from(id).ok().and_then(|id| self.fields.get(&id)).ok_or(UNKNOWN)?;
                left = Some(fields.iter());
                return Ok(());
            };
            let field = fields.next().ok_or(OTHER_COUNT)?;
            sink.part(Part::Field { field, value: &Text::of(element), deadline: None })
        })
        .and_then(|()| match left.map(|mut fields| fields.next()) {
            Some(None) => Ok(()),
            Some(Some(_)) | None => Err(OTHER_COUNT.into()),
        })
        .map_err(|error| error.within(start))
    }
}
