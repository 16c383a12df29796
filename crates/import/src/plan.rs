//! What is to be done with what a file holds.

use std::collections::BTreeMap;

use crate::error::Error;
use crate::limits::DATABASES;

/// What becomes of keys that exist already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Existing {
    /// The import is refused.
    #[default]
    Refuse,
    /// They become what the file says.
    Replace,
    /// They stay as they are.
    Keep,
}

/// How a file is brought in.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// The file's databases that become others; the rest keep their numbers.
    pub databases: BTreeMap<u64, u8>,
    /// What becomes of keys that exist already.
    pub existing: Existing,
    /// Unix ms: what was to expire up to then is left out.
    pub now_ms: i64,
}

/// Where the file's databases go, as they come.
pub(crate) struct Databases<'p> {
    plan: &'p Plan,
    /// By number here: the one in the file.
    taken: BTreeMap<u8, u64>,
}

impl<'p> Databases<'p> {
    pub(crate) fn new(plan: &'p Plan) -> Self {
        Self { plan, taken: BTreeMap::new() }
    }

    /// The database that `number` of the file becomes.
    pub(crate) fn target(&mut self, number: u64) -> Result<u8, Error> {
        let target = match self.plan.databases.get(&number) {
            Some(target) => *target,
            None => u8::try_from(number).ok().filter(|_| number < DATABASES).ok_or(Error::Database(number))?,
        };
        let first = *self.taken.entry(target).or_insert(number);
        if first != number && self.plan.existing == Existing::Refuse {
            return Err(Error::Merged(first, number, target));
        }
        Ok(target)
    }
}
