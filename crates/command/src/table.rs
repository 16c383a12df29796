//! All commands, found by name.

use std::sync::LazyLock;

use crate::spec::Spec;

/// The families, in the order of the docs.
const FAMILIES: &[&[Spec]] = &[
    crate::keys::names::SPECS,
    crate::keys::places::SPECS,
    crate::keys::expire::SPECS,
    crate::keys::whole::SPECS,
    crate::keys::look::SPECS,
    crate::keys::sort::SPECS,
    crate::keys::dump::SPECS,
    crate::string::SPECS,
    crate::session::SPECS,
];

/// Longest name of a command in bytes; longer ones are unknown without looking.
const NAME_MAX: usize = 32;

/// Every declaration, by name.
static BY_NAME: LazyLock<NameTable> = LazyLock::new(|| NameTable::new(all()));

/// All commands, in the order of the docs.
pub fn all() -> impl Iterator<Item = &'static Spec> {
    FAMILIES.iter().copied().flatten()
}

/// The command with this name, in any case.
#[inline]
pub fn find(name: &[u8]) -> Option<&'static Spec> {
    let mut lower = [0u8; NAME_MAX];
    let lower = lower.get_mut(..name.len())?;
    for (to, from) in lower.iter_mut().zip(name) {
        *to = from.to_ascii_lowercase();
    }
    BY_NAME.find(lower)
}

/// The subcommand of `container` with this name, in any case.
pub fn find_sub(container: &'static Spec, name: &[u8]) -> Option<&'static Spec> {
    container.subcommands().iter().find(|sub| name.eq_ignore_ascii_case(sub.name.as_bytes()))
}

/// Open addressing over a cheap hash of the name: a look-up touches one or two slots.
struct NameTable {
    slots: Vec<Option<&'static Spec>>,
}

impl NameTable {
    fn new(specs: impl Iterator<Item = &'static Spec>) -> Self {
        let specs: Vec<_> = specs.collect();
        let mut slots = vec![None; (specs.len() * 4).next_power_of_two()];
        for spec in specs {
            let mut at = Self::hash(spec.name.as_bytes()) & (slots.len() - 1);
            while slots[at].is_some() {
                at = (at + 1) & (slots.len() - 1);
            }
            slots[at] = Some(spec);
        }
        Self { slots }
    }

    #[inline]
    fn hash(name: &[u8]) -> usize {
        // FNV-1a.
        name.iter().fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3)) as usize
    }

    #[inline]
    fn find(&self, name: &[u8]) -> Option<&'static Spec> {
        let mut at = Self::hash(name) & (self.slots.len() - 1);
        while let Some(spec) = self.slots[at] {
            if spec.name.as_bytes() == name {
                return Some(spec);
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_found_once_by_its_name_in_any_case() {
        for spec in all() {
            assert!(spec.name.len() <= NAME_MAX && spec.name.bytes().all(|b| !b.is_ascii_uppercase()), "{}", spec.name);
            let found = find(spec.name.to_ascii_uppercase().as_bytes()).expect("declared");
            assert!(std::ptr::eq(found, spec), "{} is declared twice", spec.name);
            assert!(!spec.summary.is_empty() && !spec.complexity.is_empty() && !spec.since.is_empty(), "{}", spec.name);
        }
        assert!(find(b"nosuchcommand").is_none());
        assert!(find(&[b'a'; 1000]).is_none());
    }
}
