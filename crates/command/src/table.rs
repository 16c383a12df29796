//! All commands, found by name.

use std::collections::HashMap;
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
    crate::bitmap::SPECS,
    crate::hash::SPECS,
    crate::list::SPECS,
    crate::set::SPECS,
    crate::zset::SPECS,
    crate::session::SPECS,
];

/// Longest name of a command in bytes; longer ones are unknown without looking.
const NAME_MAX: usize = 32;

/// Every declaration, by name.
static TABLE: LazyLock<Table> = LazyLock::new(Table::new);

/// The number of a command or subcommand: dense, from 0, the same for the life of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommandId(u16);

impl CommandId {
    /// As an index.
    #[inline]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// All commands, in the order of the docs.
pub fn all() -> impl Iterator<Item = &'static Spec> {
    FAMILIES.iter().copied().flatten()
}

/// How many commands and subcommands there are.
pub fn count() -> usize {
    TABLE.rows.len()
}

/// The command with this name, in any case.
#[inline]
pub fn find(name: &[u8]) -> Option<&'static Spec> {
    find_with_id(name).map(|(spec, _)| spec)
}

/// The command with this name, in any case, and its number.
#[inline]
pub fn find_with_id(name: &[u8]) -> Option<(&'static Spec, CommandId)> {
    let mut lower = [0u8; NAME_MAX];
    let lower = lower.get_mut(..name.len())?;
    for (to, from) in lower.iter_mut().zip(name) {
        *to = from.to_ascii_lowercase();
    }
    TABLE.find(lower)
}

/// The subcommand of `container` with this name, in any case.
pub fn find_sub(container: &'static Spec, name: &[u8]) -> Option<&'static Spec> {
    container.subcommands().iter().find(|sub| name.eq_ignore_ascii_case(sub.name.as_bytes()))
}

/// The subcommand that `args` mean, or the text of the error. A container alone is itself, where its arity allows it.
pub fn resolve_sub(container: &'static Spec, args: &resp::Args<'_>) -> Result<(&'static Spec, CommandId), Vec<u8>> {
    let Some(name) = args.get(1) else {
        return Ok((container, id_of(container)));
    };
    match find_sub(container, name) {
        Some(sub) => Ok((sub, id_of(sub))),
        None => Err(crate::errors::unknown_subcommand(container.name, name)),
    }
}

/// The number of a declaration of this table.
pub fn id_of(spec: &'static Spec) -> CommandId {
    *TABLE.ids.get(&std::ptr::from_ref(spec).addr()).expect("every declaration is in the table")
}

/// The full name of a command: `get`, `client|list`.
pub fn full_name(id: CommandId) -> String {
    TABLE.rows[id.index()].1.clone()
}

/// The declaration with this number.
pub fn spec(id: CommandId) -> &'static Spec {
    TABLE.rows[id.index()].0
}

/// The numbers of all commands and subcommands.
pub fn ids() -> impl Iterator<Item = CommandId> {
    (0..count()).map(|id| CommandId(id as u16))
}

/// The number of the command with this full name.
pub fn find_full(name: &str) -> Option<CommandId> {
    ids().find(|id| TABLE.rows[id.index()].1 == name)
}

/// Rows by number, numbers by address, and open addressing over a cheap hash of the name: a look-up touches one or two
/// slots.
struct Table {
    rows: Vec<(&'static Spec, String)>,
    ids: HashMap<usize, CommandId>,
    slots: Vec<Option<(&'static Spec, CommandId)>>,
}

impl Table {
    fn new() -> Self {
        let specs: Vec<_> = all().collect();
        let slots = vec![None; (specs.len() * 4).next_power_of_two()];
        let mut table = Self { rows: Vec::new(), ids: HashMap::new(), slots };
        for spec in specs {
            let id = table.add(spec, spec.name.to_owned());
            for sub in spec.subcommands() {
                table.add(sub, format!("{}|{}", spec.name, sub.name));
            }
            let mut at = Self::hash(spec.name.as_bytes()) & (table.slots.len() - 1);
            while table.slots[at].is_some() {
                at = (at + 1) & (table.slots.len() - 1);
            }
            table.slots[at] = Some((spec, id));
        }
        table
    }

    fn add(&mut self, spec: &'static Spec, name: String) -> CommandId {
        let id = CommandId(self.rows.len() as u16);
        self.ids.insert(std::ptr::from_ref(spec).addr(), id);
        self.rows.push((spec, name));
        id
    }

    #[inline]
    fn hash(name: &[u8]) -> usize {
        // FNV-1a.
        name.iter().fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3)) as usize
    }

    #[inline]
    fn find(&self, name: &[u8]) -> Option<(&'static Spec, CommandId)> {
        let mut at = Self::hash(name) & (self.slots.len() - 1);
        while let Some(found) = self.slots[at] {
            if found.0.name.as_bytes() == name {
                return Some(found);
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
