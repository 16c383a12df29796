//! Every directive, declared once. The file grammar, the flags, CONFIG, the help text, the manual and the settings
//! all derive from these rows.

mod cluster;
mod memory;
mod network;
mod observability;
mod persistence;
mod process;
mod security;
mod structures;

use std::collections::HashMap;
use std::sync::LazyLock;

use super::directive::{Directive, Kind, Section};
use super::number::{MAX_I32, MAX_I64, MAX_U64, Number};

/// The table: rows in the order of the manual, and where each name is.
pub(super) struct Table {
    rows: Vec<(Section, &'static Directive)>,
    by_name: HashMap<&'static str, usize>,
}

static TABLE: LazyLock<Table> = LazyLock::new(Table::build);

/// The table.
pub(super) fn table() -> &'static Table {
    &TABLE
}

impl Table {
    fn build() -> Self {
        let sections: [(Section, &'static [Directive]); 11] = [
            (Section::Network, network::NETWORK),
            (Section::Tls, network::TLS),
            (Section::Clients, network::CLIENTS),
            (Section::Security, security::SECURITY),
            (Section::Process, process::PROCESS),
            (Section::Memory, memory::MEMORY),
            (Section::Persistence, persistence::PERSISTENCE),
            (Section::Structures, structures::STRUCTURES),
            (Section::Observability, observability::OBSERVABILITY),
            (Section::Replication, cluster::REPLICATION),
            (Section::Cluster, cluster::CLUSTER),
        ];
        let rows: Vec<(Section, &Directive)> =
            sections.into_iter().flat_map(|(section, rows)| rows.iter().map(move |row| (section, row))).collect();
        let named = rows.iter().enumerate().flat_map(|(at, (_, row))| row.names().map(move |name| (name, at)));
        let by_name = named.collect();
        Self { rows, by_name }
    }

    /// All rows, in the order of the manual.
    pub(super) fn rows(&self) -> impl Iterator<Item = &'static Directive> + '_ {
        self.rows.iter().map(|(_, row)| *row)
    }

    /// The rows of one section.
    pub(super) fn section(&self, section: Section) -> impl Iterator<Item = &'static Directive> + '_ {
        self.rows.iter().filter(move |(s, _)| *s == section).map(|(_, row)| *row)
    }

    /// How many rows there are.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The row at a place.
    pub(super) fn row(&self, at: usize) -> &'static Directive {
        self.rows[at].1
    }

    /// Every name and alias, and the place of its row.
    pub(super) fn names(&self) -> impl Iterator<Item = (&'static str, usize)> + '_ {
        self.by_name.iter().map(|(name, at)| (*name, *at))
    }

    /// The place of the row with this name or alias, in any case.
    pub(super) fn find(&self, name: &[u8]) -> Option<usize> {
        let name = std::str::from_utf8(name).ok()?.to_ascii_lowercase();
        self.by_name.get(name.as_str()).copied()
    }
}

/// Any text.
fn any(_: &[u8]) -> Result<(), &'static str> {
    Ok(())
}

const TEXT: Kind = Kind::Text(any);
const COUNT: Kind = Kind::Number(Number::plain(0, MAX_I32));
const LONG_COUNT: Kind = Kind::Number(Number::plain(0, MAX_I64));
const ANY_INT: Kind = Kind::Number(Number::plain(i32::MIN as i128, MAX_I32));
const BYTES: Kind = Kind::Number(Number::bytes(0, MAX_I64));
const BYTES_U64: Kind = Kind::Number(Number::bytes(0, MAX_U64));
const PORT: Kind = Kind::Number(Number::plain(0, 65_535));

const fn range(min: i128, max: i128) -> Kind {
    Kind::Number(Number::plain(min, max))
}

const fn byte_range(min: i128, max: i128) -> Kind {
    Kind::Number(Number::bytes(min, max))
}

/// Why directives of parts that are still to come do nothing.
const NO_REPLICATION: &str = "Redis' replication is not spoken: see docs/clustering.md";
const NO_CLUSTER: &str = "Redis Cluster is not spoken: see docs/clustering.md";
const NO_ACL: &str = "there are no access control lists yet";
const ALWAYS_BACKGROUND: &str = "large values are always freed in the background";
const NO_FORK: &str = "the server never forks and writes no RDB snapshots on a schedule: the log keeps every change";
