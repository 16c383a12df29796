//! Where an item of a list stands.
//!
//! ```text
//!   packed   n sortable u64                                                                          8 bytes
//!   full     epoch sortable u64 ‖ origin u64 ‖ n sortable u64 ‖ (digit sortable u64 ‖ origin u64) …  24 + 16 × steps
//!   deep     the same with the first 64 steps ‖ SHA-256 of all steps (32)                            1,080
//!            the row's value begins with: steps u32 ‖ (digit sortable u64 ‖ origin u64) …
//! ```
//!
//! Items that are inserted between the last two again and again get ever longer paths. Beyond 64 steps a place is there as its
//! beginning and a digest: those that share the beginning stand in the order of digests, and whoever needs them in order sorts
//! that group.
//!
//! A list that one origin has pushed to has packed places, of its first epoch. When another one joins, its rows are
//! written anew with full places; a list never has both. The lengths tell them apart.

use aws_lc_rs::digest::{SHA256, SHA256_OUTPUT_LEN, digest};

use super::error::WideError;
use super::fields::Fields;
use super::number::{sortable_i64, unsortable_i64};

/// The longest path, in steps, that stands whole in its row's key: about as long as the longest such name.
pub const INLINE_STEPS: usize = 64;

/// How many steps a path may have: more than memory has room for, since whoever inserts that deep inserts at all depths.
const MAX_STEPS: usize = 1 << 20;

const BASE_BYTES: usize = 24;
const STEP_BYTES: usize = 16;

/// The most that a place takes of a row's key.
pub(crate) const MAX_FORM_BYTES: usize = BASE_BYTES + STEP_BYTES * INLINE_STEPS + SHA256_OUTPUT_LEN;

const _: () =
    assert!(MAX_FORM_BYTES > BASE_BYTES + STEP_BYTES * INLINE_STEPS, "the length of a deep place is that of no other");

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

fn encode_steps(steps: &[Step], out: &mut Vec<u8>) {
    for step in steps {
        out.extend_from_slice(&sortable_i64(step.digit).to_be_bytes());
        out.extend_from_slice(&step.origin.to_be_bytes());
    }
}

fn parse_step(fields: &mut Fields<'_>) -> Result<Step, WideError> {
    Ok(Step { digit: unsortable_i64(fields.u64()?), origin: fields.u64()? })
}

impl Place {
    fn deep_path(&self) -> Option<&[Step]> {
        match self {
            Self::Full { path, .. } if path.len() > INLINE_STEPS => Some(path),
            Self::Full { .. } | Self::Packed(_) => None,
        }
    }

    /// Whether only its beginning stands in its row's key.
    pub(crate) fn is_deep(&self) -> bool {
        self.deep_path().is_some()
    }

    /// Appends what a row's key ends with.
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
                encode_steps(&path[..path.len().min(INLINE_STEPS)], out);
                if self.is_deep() {
                    let mut steps = Vec::with_capacity(STEP_BYTES * path.len());
                    encode_steps(path, &mut steps);
                    out.extend_from_slice(digest(&SHA256, &steps).as_ref());
                }
            }
        }
        Ok(())
    }

    /// Appends what a row's value begins with.
    pub(crate) fn encode_head(&self, value: &mut Vec<u8>) {
        if let Some(path) = self.deep_path() {
            value.extend_from_slice(&(path.len() as u32).to_be_bytes());
            encode_steps(path, value);
        }
    }

    /// The place that a row's key ends with `form` for; takes its part off the front of the row's value.
    pub(crate) fn parse(form: &[u8], value: &mut Fields<'_>) -> Result<Self, WideError> {
        let mut fields = Fields::new("a place in a list", form);
        let first = unsortable_i64(fields.u64()?);
        if fields.is_done() {
            return Ok(Self::Packed(first));
        }
        let (origin, n) = (fields.u64()?, unsortable_i64(fields.u64()?));
        let mut path = Vec::new();
        if form.len() == MAX_FORM_BYTES {
            let (beginning, expected) = fields.rest().split_at(STEP_BYTES * INLINE_STEPS);
            let count = value.u32()? as usize;
            if count <= INLINE_STEPS || count > MAX_STEPS {
                return Err(value.bad("its path has another length than its key says"));
            }
            let steps = value.bytes(STEP_BYTES * count)?;
            if !steps.starts_with(beginning) || digest(&SHA256, steps).as_ref() != expected {
                return Err(value.bad("its path is another one than its key says"));
            }
            fields = Fields::new("a path in a list", steps);
        }
        while !fields.is_done() {
            path.push(parse_step(&mut fields)?);
        }
        if form.len() != MAX_FORM_BYTES && path.len() > INLINE_STEPS {
            return Err(fields.bad("its path is too long"));
        }
        Ok(Self::Full { epoch: first, origin, n, path })
    }
}
