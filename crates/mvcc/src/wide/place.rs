//! Where an item of a list stands.
//!
//! ```text
//!   packed   n sortable u64                                                                          8 bytes
//!   full     epoch sortable u64 ‖ origin u64 ‖ n sortable u64 ‖ (digit sortable u64 ‖ origin u64) …  24 + 16 × steps
//! ```
//!
//! A list that one origin has pushed to has packed places, of its first epoch. When another one joins, its rows are
//! written anew with full places; a list never has both. The lengths tell them apart.

use super::error::WideError;
use super::fields::Fields;
use super::number::{sortable_i64, unsortable_i64};

/// How many steps a path may have: what fits into a row with room to spare.
pub(crate) const MAX_STEPS: usize = 1024;

/// One step of an insertion path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Step {
    /// Orders siblings behind the same item.
    pub digit: i64,
    /// Who inserted.
    pub origin: u64,
}

/// A place in a list, ordered as its items are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The number of an item in a list of one origin.
    Packed(i64),
    /// A place among the runs of several origins.
    Full {
        /// Which round of pushes.
        epoch: i64,
        /// Who pushed the run.
        origin: u64,
        /// Its number in the run.
        n: i64,
        /// How it came between two others; empty for what was pushed.
        path: Vec<Step>,
    },
}

impl Place {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) -> Result<(), WideError> {
        match self {
            Self::Packed(n) => out.extend_from_slice(&sortable_i64(*n).to_be_bytes()),
            Self::Full { epoch, origin, n, path } => {
                if path.len() > MAX_STEPS {
                    return Err(WideError::TooLarge { what: "an insertion path", len: path.len(), limit: MAX_STEPS });
                }
                for field in [sortable_i64(*epoch), *origin, sortable_i64(*n)] {
                    out.extend_from_slice(&field.to_be_bytes());
                }
                for step in path {
                    out.extend_from_slice(&sortable_i64(step.digit).to_be_bytes());
                    out.extend_from_slice(&step.origin.to_be_bytes());
                }
            }
        }
        Ok(())
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, WideError> {
        let mut fields = Fields::new("a place in a list", bytes);
        let first = unsortable_i64(fields.u64()?);
        if fields.is_done() {
            return Ok(Self::Packed(first));
        }
        let (origin, n) = (fields.u64()?, unsortable_i64(fields.u64()?));
        let mut path = Vec::new();
        while !fields.is_done() {
            if path.len() == MAX_STEPS {
                return Err(fields.bad("its path is too long"));
            }
            path.push(Step { digit: unsortable_i64(fields.u64()?), origin: fields.u64()? });
        }
        Ok(Self::Full { epoch: first, origin, n, path })
    }
}
