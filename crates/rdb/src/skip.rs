//! Passes over what is not taken: streams, values of modules, arrays. What they hold is walked, not looked at.

use crate::error::Error;
use crate::input::Input;
use crate::kinds::{self, Dialect};
use crate::source::Source;

/// What a file can hold that has no place here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Foreign {
    /// A stream.
    Stream,
    /// A value of a module's type.
    Module,
    /// What a module keeps beside the keys.
    ModuleAux,
    /// What modules note of a key, which itself is taken.
    KeyMeta,
    /// A library of functions.
    Function,
    /// An array (Redis 8.8).
    Array,
    /// The state of a rate limiter (GCRA).
    RateLimit,
}

impl Foreign {
    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Module => "value of a module",
            Self::ModuleAux => "data of a module beside the keys",
            Self::KeyMeta => "note of a module about a key",
            Self::Function => "library of functions",
            Self::Array => "array",
            Self::RateLimit => "rate limiter",
        }
    }
}

/// What the values with this number are, if they can be passed over.
pub(crate) fn foreign(number: u8, dialect: Dialect) -> Option<Foreign> {
    use kinds::*;
    Some(match (number, dialect) {
        (STREAM | STREAM_2 | STREAM_3, _) | (STREAM_4 | STREAM_5, Dialect::Redis) => Foreign::Stream,
        (MODULE_2, _) => Foreign::Module,
        (ARRAY, Dialect::Redis) => Foreign::Array,
        (GCRA, Dialect::Redis) => Foreign::RateLimit,
        _ => return None,
    })
}

/// The name of a module's type: nine characters of six bits, above ten bits of a version.
pub(crate) fn module_name(id: u64) -> String {
    const CHARACTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let character = |i: u32| CHARACTERS[(id >> (58 - 6 * i) & 63) as usize] as char;
    (0..9).map(character).collect()
}

impl<I: Input> Source<I> {
    /// Passes over a value with this number, which is [`foreign`]; answers the name of its type, if it has one of its own.
    pub(crate) fn skip_foreign(&mut self, number: u8) -> Result<Option<String>, Error> {
        match number {
            kinds::MODULE_2 => {
                let id = self.count()?;
                self.skip_module_parts()?;
                return Ok(Some(module_name(id)));
            }
            kinds::ARRAY => self.skip_array()?,
            kinds::GCRA => self.skip_counts(1)?,
            _ => self.skip_stream(number)?,
        }
        Ok(None)
    }

    /// What a module wrote: each part has a number before it that says its form, up to the one that says the end.
    pub(crate) fn skip_module_parts(&mut self) -> Result<(), Error> {
        loop {
            match self.count()? {
                0 => return Ok(()),
                1 | 2 => self.skip_counts(1)?,
                3 => self.input.skip(4)?,
                4 => self.input.skip(8)?,
                5 => self.skip_string()?,
                _ => return Err(self.damaged("a part of a module's value is of no known form")),
            }
        }
    }

    /// Listpacks with the entries, figures of the stream, its groups, and in newer ones the producers that it knows.
    fn skip_stream(&mut self, number: u8) -> Result<(), Error> {
        for _ in 0..self.count()? {
            self.skip_string()?;
            self.skip_string()?;
        }
        // Length and last id; since 7.0 the first id, the largest deleted one, and how many were ever added.
        self.skip_counts(if number >= kinds::STREAM_2 { 8 } else { 3 })?;
        for _ in 0..self.count()? {
            self.skip_group(number)?;
        }
        if number >= kinds::STREAM_4 {
            self.skip_counts(2)?;
            for _ in 0..self.count()? {
                self.skip_string()?;
                for _ in 0..self.count()? {
                    self.skip_string()?;
                    self.skip_counts(2)?;
                }
            }
            self.skip_counts(2)?;
        }
        Ok(())
    }

    /// A group's name, its place, what it has delivered, and its consumers with what each has.
    fn skip_group(&mut self, number: u8) -> Result<(), Error> {
        const ID: u64 = 16;
        const TIME: u64 = 8;
        self.skip_string()?;
        self.skip_counts(if number >= kinds::STREAM_2 { 3 } else { 2 })?;
        for _ in 0..self.count()? {
            self.input.skip(ID + TIME)?;
            self.skip_counts(1)?;
        }
        for _ in 0..self.count()? {
            self.skip_string()?;
            self.input.skip(if number >= kinds::STREAM_3 { 2 * TIME } else { TIME })?;
            self.skip_ids()?;
        }
        if number >= kinds::STREAM_5 {
            self.skip_ids()?;
        }
        Ok(())
    }

    fn skip_ids(&mut self) -> Result<(), Error> {
        for _ in 0..self.count()? {
            self.input.skip(16)?;
        }
        Ok(())
    }

    /// A count, where the next element goes if that is known, then index, form and value of each.
    fn skip_array(&mut self) -> Result<(), Error> {
        let count = self.count()?;
        match self.count()? {
            0 => {}
            1 => self.skip_counts(1)?,
            _ => return Err(self.damaged("an array begins as none does")),
        }
        for _ in 0..count {
            self.skip_counts(1)?;
            match self.count()? {
                0 | 3 => self.skip_string()?,
                1 | 2 => self.input.skip(8)?,
                _ => return Err(self.damaged("an element of an array is of no known form")),
            }
        }
        Ok(())
    }
}
