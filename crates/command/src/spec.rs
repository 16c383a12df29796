//! The declaration of a command: everything that the dispatcher, COMMAND, key extraction, ACL and the docs need.

use engine::Stop;
use resp::Args;

use crate::cx::Cx;

/// How a command ends: its reply is written, or it stopped.
pub type Outcome = Result<(), Stop>;

/// What a command is allowed to do and where. One bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flags(pub u32);

impl Flags {
    /// Changes keys.
    pub const WRITE: Self = Self(1);
    /// Reads keys and changes nothing.
    pub const READONLY: Self = Self(1 << 1);
    /// Refused while memory is over its bound.
    pub const DENYOOM: Self = Self(1 << 2);
    /// Administration.
    pub const ADMIN: Self = Self(1 << 3);
    /// Part of publish/subscribe.
    pub const PUBSUB: Self = Self(1 << 4);
    /// Not allowed in scripts.
    pub const NOSCRIPT: Self = Self(1 << 5);
    /// May wait for data.
    pub const BLOCKING: Self = Self(1 << 6);
    /// O(1) or O(log n).
    pub const FAST: Self = Self(1 << 7);
    /// Needs no authentication.
    pub const NO_AUTH: Self = Self(1 << 8);
    /// Not allowed inside MULTI.
    pub const NO_MULTI: Self = Self(1 << 9);
    /// Keys cannot be found by position alone.
    pub const MOVABLE_KEYS: Self = Self(1 << 10);
    /// Allowed while a client is subscribed in RESP2.
    pub const SUBSCRIBED: Self = Self(1 << 11);
    /// Answered while data is loaded.
    pub const LOADING: Self = Self(1 << 12);
    /// Answered by replicas that have lost their peers.
    pub const STALE: Self = Self(1 << 13);
    /// Not shown in SLOWLOG and MONITOR.
    pub const SKIP_MONITOR: Self = Self(1 << 14);
    /// Dangerous: keeps its category in ACLs.
    pub const DANGEROUS: Self = Self(1 << 15);

    /// No flag.
    pub const NONE: Self = Self(0);

    /// Both.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` are set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The names that COMMAND gives, in its order.
    pub fn names(self) -> Vec<&'static str> {
        const NAMES: [(Flags, &str); 15] = [
            (Flags::WRITE, "write"),
            (Flags::READONLY, "readonly"),
            (Flags::DENYOOM, "denyoom"),
            (Flags::ADMIN, "admin"),
            (Flags::PUBSUB, "pubsub"),
            (Flags::NOSCRIPT, "noscript"),
            (Flags::BLOCKING, "blocking"),
            (Flags::LOADING, "loading"),
            (Flags::STALE, "stale"),
            (Flags::SKIP_MONITOR, "skip_monitor"),
            (Flags::FAST, "fast"),
            (Flags::NO_AUTH, "no_auth"),
            (Flags::NO_MULTI, "no_multi"),
            (Flags::MOVABLE_KEYS, "movablekeys"),
            (Flags::NONE, ""),
        ];
        NAMES.iter().filter(|(flag, _)| flag.0 != 0 && self.has(*flag)).map(|(_, name)| *name).collect()
    }
}

/// Where the keys stand among the arguments.
#[derive(Debug, Clone, Copy)]
pub enum Keys {
    /// There are none.
    None,
    /// All keys of the database, or the database itself: every shard is locked.
    All,
    /// From argument `first` to `last` (negative: from the end), every `step`-th.
    Range {
        /// The first key's argument.
        first: usize,
        /// The last key's argument; -1 is the last argument.
        last: isize,
        /// Arguments from one key to the next.
        step: usize,
    },
    /// Argument `at` says how many keys follow it; `dest` names one more, if it is not 0.
    Counted {
        /// The argument that counts.
        at: usize,
        /// A destination key's argument, or 0.
        dest: usize,
    },
    /// Found by a function, which hands the argument numbers of the keys to its second parameter.
    Found(fn(&Args<'_>, &mut dyn FnMut(usize))),
}

impl Keys {
    /// One key, at argument 1.
    pub const ONE: Self = Self::Range { first: 1, last: 1, step: 1 };
    /// Arguments 1 and 2.
    pub const TWO: Self = Self::Range { first: 1, last: 2, step: 1 };
    /// All arguments.
    pub const REST: Self = Self::Range { first: 1, last: -1, step: 1 };

    /// Whether there is exactly one key, at argument 1.
    #[inline]
    pub fn is_one(&self) -> bool {
        matches!(self, Self::Range { first: 1, last: 1, .. })
    }

    /// Hands the argument number of every key to `found`. Wrong counts yield no keys: the command will refuse them.
    #[inline]
    pub fn each(&self, args: &Args<'_>, mut found: impl FnMut(usize)) {
        match *self {
            Self::None | Self::All => {}
            Self::Range { first, last, step } => {
                let last = if last < 0 { args.len() as isize + last } else { last };
                let mut at = first;
                while (at as isize) <= last && at < args.len() {
                    found(at);
                    at += step;
                }
            }
            Self::Counted { at, dest } => {
                let count = args.get(at).and_then(resp::parse_i64).unwrap_or(0);
                if dest != 0 && dest < args.len() {
                    found(dest);
                }
                let count = usize::try_from(count).unwrap_or(0).min(args.len().saturating_sub(at + 1));
                (at + 1..at + 1 + count).for_each(found);
            }
            Self::Found(find) => find(args, &mut found),
        }
    }
}

/// Who runs a command.
#[derive(Clone, Copy)]
pub enum Run {
    /// A function of keys: it reads, emits and replies.
    Data(fn(&mut Cx<'_, '_>) -> Outcome),
    /// Whoever keeps sessions: it concerns connections, configuration or the server, not keys.
    Session,
    /// One of its subcommands.
    Container(&'static [Spec]),
}

/// The family of a command, as COMMAND DOCS names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// Any key.
    Generic,
    /// Strings.
    String,
    /// Bitmaps, kept in strings.
    Bitmap,
    /// Hashes.
    Hash,
    /// Lists.
    List,
    /// Sets.
    Set,
    /// Sorted sets.
    SortedSet,
    /// MULTI and its kin.
    Transactions,
    /// Publish/subscribe.
    PubSub,
    /// Connections.
    Connection,
    /// The nodes of a group.
    Cluster,
    /// The server.
    Server,
}

impl Group {
    /// The name in COMMAND DOCS.
    pub fn name(self) -> &'static str {
        match self {
            Self::Generic => "generic",
            Self::String => "string",
            Self::Bitmap => "bitmap",
            Self::Hash => "hash",
            Self::List => "list",
            Self::Set => "set",
            Self::SortedSet => "sorted-set",
            Self::Transactions => "transactions",
            Self::PubSub => "pubsub",
            Self::Connection => "connection",
            Self::Cluster => "cluster",
            Self::Server => "server",
        }
    }
}

/// The one declaration of a command.
pub struct Spec {
    /// Its name in lower case; for a subcommand the part behind the container's.
    pub name: &'static str,
    /// Arguments including the name; negative: at least so many. A subcommand counts the container's name too.
    pub arity: i16,
    /// What it may do.
    pub flags: Flags,
    /// Where its keys are.
    pub keys: Keys,
    /// Its family.
    pub group: Group,
    /// The Redis or Valkey version that brought it, or `anabranch`.
    pub since: &'static str,
    /// Cost, as the docs state it.
    pub complexity: &'static str,
    /// One line.
    pub summary: &'static str,
    /// Arguments behind the name, as the docs write them.
    pub syntax: &'static str,
    /// Who runs it.
    pub run: Run,
}

impl Spec {
    /// Whether a command with `len` arguments (its name included) satisfies the arity.
    #[inline]
    pub fn takes(&self, len: usize) -> bool {
        let arity = isize::from(self.arity);
        if arity >= 0 { len as isize == arity } else { len as isize >= -arity }
    }

    /// The subcommands, if it is a container.
    pub fn subcommands(&self) -> &'static [Spec] {
        match self.run {
            Run::Container(subs) => subs,
            Run::Data(_) | Run::Session => &[],
        }
    }

    /// The categories of the ACL, with their `@`.
    pub fn categories(&self) -> Vec<&'static str> {
        let group: &[&str] = match (self.group, self.name) {
            // Of these Redis says more, or something else, than that they belong to their group.
            (Group::Generic, "sort" | "sort_ro") => &["@set", "@sortedset", "@list"],
            (Group::Server, "dbsize" | "swapdb" | "flushdb" | "flushall") => &["@keyspace"],
            (Group::Server | Group::Cluster, _) if !self.flags.has(Flags::ADMIN) => &[],
            (Group::Server | Group::Cluster, _) => &["@admin"],
            (Group::Generic, _) => &["@keyspace"],
            (Group::String, _) => &["@string"],
            (Group::Bitmap, _) => &["@bitmap"],
            (Group::Hash, _) => &["@hash"],
            (Group::List, _) => &["@list"],
            (Group::Set, _) => &["@set"],
            (Group::SortedSet, _) => &["@sortedset"],
            (Group::Transactions, _) => &["@transaction"],
            (Group::PubSub, _) => &["@pubsub"],
            (Group::Connection, _) => &["@connection"],
        };
        let mut names = Vec::new();
        if self.flags.has(Flags::WRITE) {
            names.push("@write");
        }
        if self.flags.has(Flags::READONLY) {
            names.push("@read");
        }
        names.extend(group);
        if self.flags.has(Flags::BLOCKING) {
            names.push("@blocking");
        }
        if self.flags.has(Flags::DANGEROUS) || self.flags.has(Flags::ADMIN) {
            names.push("@dangerous");
        }
        names.push(if self.flags.has(Flags::FAST) { "@fast" } else { "@slow" });
        names
    }
}
