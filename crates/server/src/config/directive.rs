//! What a directive is: its name, its kind of value, its default, when it may change and whether it does anything.

use super::number::Number;

/// Where a directive comes from. Only those of Redis 7.0 are promised to be exactly the oracle's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In the CONFIG GET of Redis 7.0, or in the grammar of its file.
    Redis70,
    /// Came with Redis 7.2 or later.
    Redis8,
    /// Came with Valkey.
    Valkey,
    /// Ours.
    Anabranch,
}

/// When a directive may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// At any time, by CONFIG SET.
    Live,
    /// At any time, if `enable-protected-configs` allows it.
    Protected,
    /// Only by a restart.
    AtStart,
    /// Only by a restart, though Redis can do without: CONFIG SET takes the value there is and refuses any other.
    Restart,
    /// Not a setting: a line of the file (or a flag) that CONFIG GET and CONFIG SET do not know.
    FileOnly,
}

/// What a directive does here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// What it says.
    Real,
    /// Nothing. It is parsed, kept and printed; a value other than the default warns with this reason.
    Inert(&'static str),
    /// Only these values, in the form CONFIG GET prints, are taken. Any other would promise something that is not
    /// so; the text says what to do instead.
    Refused(&'static [&'static str], &'static str),
}

/// The chapters of the table, the help text and the manual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// Addresses, ports, sockets.
    Network,
    /// TLS.
    Tls,
    /// Client limits.
    Clients,
    /// Passwords and what is forbidden.
    Security,
    /// The process: daemon, logs, threads.
    Process,
    /// Memory and eviction.
    Memory,
    /// The data directory and the log.
    Persistence,
    /// When a collection keeps its compact form.
    Structures,
    /// Slow log, latency, notifications.
    Observability,
    /// Replication.
    Replication,
    /// Cluster.
    Cluster,
}

impl Section {
    /// All sections, in the order of the manual.
    pub const ALL: [Section; 11] = [
        Section::Network,
        Section::Tls,
        Section::Clients,
        Section::Security,
        Section::Process,
        Section::Memory,
        Section::Persistence,
        Section::Structures,
        Section::Observability,
        Section::Replication,
        Section::Cluster,
    ];

    /// Its heading.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Section::Network => "Network",
            Section::Tls => "TLS",
            Section::Clients => "Clients",
            Section::Security => "Security",
            Section::Process => "Process and log output",
            Section::Memory => "Memory",
            Section::Persistence => "Persistence",
            Section::Structures => "Data structures",
            Section::Observability => "Observability",
            Section::Replication => "Replication",
            Section::Cluster => "Cluster",
        }
    }
}

/// Says what is wrong with a text, or that nothing is.
pub type Check = fn(&[u8]) -> Result<(), &'static str>;

/// The kind of a directive's value.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// `yes` or `no`.
    Bool,
    /// A number, see [`Number`].
    Number(Number),
    /// One of these words. A pair `(spelling, printed)` lets one spelling print as another.
    Choice(&'static [(&'static str, &'static str)]),
    /// One or more of these words, e.g. what to do on SIGTERM.
    Flags(&'static [&'static str]),
    /// Any text that the check takes.
    Text(Check),
    /// A directory; a relative one is relative to where the process started.
    Directory,
    /// Several words, at most so many.
    Words {
        /// The bound.
        max: usize,
        /// What is said beyond it.
        too_many: &'static str,
    },
    /// Pairs of seconds and changes. Lines of one file add up.
    Save,
    /// Class, hard limit, soft limit, seconds. Classes that are not named keep their limits.
    OutputLimits,
    /// Three numbers for the kernel's OOM killer.
    OomScores,
    /// Classes of keyspace events.
    Events,
    /// Percentiles between 0 and 100.
    Percentiles,
    /// Pairs of words, one pair a line. Lines add up.
    Renames,
}

impl Kind {
    /// Whether its value may be written as several arguments.
    #[must_use]
    pub fn takes_many(self) -> bool {
        matches!(
            self,
            Kind::Flags(_)
                | Kind::Words { .. }
                | Kind::Save
                | Kind::OutputLimits
                | Kind::OomScores
                | Kind::Percentiles
                | Kind::Renames
        )
    }

    /// Whether lines of one source add up, so that there is no single line that holds the value.
    #[must_use]
    pub fn adds_up(self) -> bool {
        matches!(self, Kind::Save | Kind::OutputLimits | Kind::Renames)
    }

    /// How the value is called in the help text and in the manual.
    #[must_use]
    pub fn describe(self) -> String {
        match self {
            Kind::Bool => "yes or no".into(),
            Kind::Number(number) => number.describe(),
            Kind::Choice(words) => words.iter().map(|w| w.0).collect::<Vec<_>>().join(", "),
            Kind::Flags(words) => format!("any of {}", words.join(", ")),
            Kind::Text(_) => "text".into(),
            Kind::Directory => "directory".into(),
            Kind::Words { .. } => "list of words".into(),
            Kind::Save => "pairs of seconds and changes".into(),
            Kind::OutputLimits => "class, hard limit, soft limit, seconds".into(),
            Kind::OomScores => "three numbers from -2000 to 2000".into(),
            Kind::Events => "event classes".into(),
            Kind::Percentiles => "percentiles".into(),
            Kind::Renames => "command and its new name".into(),
        }
    }
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Directive {
    /// Its name, lower case.
    pub name: &'static str,
    /// Other names for the same setting.
    pub aliases: &'static [&'static str],
    /// The kind of its value.
    pub kind: Kind,
    /// Its default, as it would be written in a file.
    pub default: &'static str,
    /// When it may change.
    pub change: Change,
    /// What it does.
    pub effect: Effect,
    /// Where it comes from.
    pub origin: Origin,
    /// Hidden ones show up in CONFIG GET under their full name only.
    pub hidden: bool,
    /// Its value must not be logged.
    pub secret: bool,
    /// One line on what it is.
    pub doc: &'static str,
}

impl Directive {
    /// A live, real directive of Redis 7.0; the methods below change what is different.
    pub(super) const fn new(name: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Self {
        Self {
            name,
            aliases: &[],
            kind,
            default,
            change: Change::Live,
            effect: Effect::Real,
            origin: Origin::Redis70,
            hidden: false,
            secret: false,
            doc,
        }
    }

    pub(super) const fn alias(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    pub(super) const fn at_start(mut self) -> Self {
        self.change = Change::AtStart;
        self
    }

    pub(super) const fn restart(mut self) -> Self {
        self.change = Change::Restart;
        self
    }

    pub(super) const fn protected(mut self) -> Self {
        self.change = Change::Protected;
        self
    }

    pub(super) const fn file_only(mut self) -> Self {
        self.change = Change::FileOnly;
        self
    }

    pub(super) const fn inert(mut self, why: &'static str) -> Self {
        self.effect = Effect::Inert(why);
        self
    }

    pub(super) const fn refused(mut self, allowed: &'static [&'static str], instead: &'static str) -> Self {
        self.effect = Effect::Refused(allowed, instead);
        self
    }

    pub(super) const fn from(mut self, origin: Origin) -> Self {
        self.origin = origin;
        self
    }

    pub(super) const fn hidden(mut self) -> Self {
        self.hidden = true;
        self
    }

    pub(super) const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    /// All its names, its own first.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }
}
