//! Which clients are meant: the filters of CLIENT LIST and CLIENT KILL.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use command::{errors, parse};
use resp::Args;

use super::client_line::flags_of;
use crate::client::ClientInfo;
use crate::net::{ClientAddr, ClientId, PeerAddr};

/// A client as others see it.
pub type Known = (ClientAddr, Arc<ClientInfo>);

/// What CLIENT LIST and CLIENT KILL call the kinds of clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientType {
    /// It listens to nothing.
    Normal,
    /// A server that we follow: there is none.
    Master,
    /// A server that follows us: there is none.
    Replica,
    /// It listens to channels or patterns.
    PubSub,
}

impl ClientType {
    fn parse(text: &[u8]) -> Result<Self, Vec<u8>> {
        let known = [
            ("normal", Self::Normal),
            ("master", Self::Master),
            ("replica", Self::Replica),
            ("slave", Self::Replica),
            ("pubsub", Self::PubSub),
        ];
        let found = known.iter().find(|(name, _)| parse::is(text, name)).map(|(_, kind)| *kind);
        found.ok_or_else(|| [b"ERR Unknown client type '", text, b"'"].concat())
    }

    fn of(info: &ClientInfo) -> Self {
        let listens = info.channels.load(Ordering::Relaxed) + info.patterns.load(Ordering::Relaxed) > 0;
        if listens { Self::PubSub } else { Self::Normal }
    }
}

/// One condition.
#[derive(Debug, PartialEq, Eq)]
enum Test {
    Ids(Vec<u64>),
    Type(ClientType),
    User(Vec<u8>),
    Addr(Vec<u8>),
    Laddr(Vec<u8>),
    Ip(Vec<u8>),
    Name(Vec<u8>),
    LibName(Vec<u8>),
    LibVer(Vec<u8>),
    Flags(Vec<u8>),
    Db(i64),
    MaxAge(i64),
    Idle(i64),
}

/// What a filter is given by: the word before its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Id,
    SkipMe,
    Type,
    User,
    Addr,
    Laddr,
    Ip,
    Name,
    LibName,
    LibVer,
    Flags,
    Db,
    MaxAge,
    Idle,
}

impl Field {
    const NAMES: [(&str, Self); 14] = [
        ("id", Self::Id),
        ("skipme", Self::SkipMe),
        ("type", Self::Type),
        ("user", Self::User),
        ("addr", Self::Addr),
        ("laddr", Self::Laddr),
        ("ip", Self::Ip),
        ("name", Self::Name),
        ("lib-name", Self::LibName),
        ("lib-ver", Self::LibVer),
        ("flags", Self::Flags),
        ("db", Self::Db),
        ("maxage", Self::MaxAge),
        ("idle", Self::Idle),
    ];

    /// The field of this name, and whether `not-` turns it round.
    fn named(word: &[u8]) -> Option<(bool, Self)> {
        let (not, name) = match word.split_at_checked(4) {
            Some((head, name)) if head.eq_ignore_ascii_case(b"not-") => (true, name),
            _ => (false, word),
        };
        let found = Self::NAMES.iter().find(|(known, _)| parse::is(name, known))?;
        Some((not, found.1))
    }
}

/// Which command a filter belongs to: they read ID differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// CLIENT LIST: several ids, and one TYPE.
    List,
    /// CLIENT KILL: one id.
    Kill,
}

/// Conditions that all must hold; `true` means that one is turned round.
#[derive(Debug, Default)]
pub struct Filter {
    tests: Vec<(bool, Test)>,
    /// SKIPME, if it was said.
    pub skip_me: Option<bool>,
}

/// Where matching happens: the moment, and how addresses of the unix socket are written.
pub struct Scene<'a> {
    /// Unix ms.
    pub now_ms: i64,
    /// The path of the unix socket.
    pub unix_path: &'a str,
}

impl Filter {
    /// Reads `option value` pairs; ID may take several values.
    pub fn parse(args: Args<'_>, form: Form) -> Result<Self, Vec<u8>> {
        let mut filter = Self::default();
        let mut rest = args;
        while let Some(option) = rest.get(0) {
            let Some(value) = rest.get(1) else { return Err(errors::SYNTAX_TEXT.into()) };
            let (not, field) = Field::named(option).ok_or(errors::SYNTAX_TEXT)?;
            let mut used = 2;
            match field {
                Field::Id if form == Form::Kill => filter.tests.push((not, Test::Ids(vec![id_of(value)?]))),
                Field::Id => {
                    let ids = ids_of(rest.tail(1))?;
                    used = 1 + ids.len();
                    filter.tests.push((not, Test::Ids(ids)));
                }
                Field::Type if form == Form::List && filter.has_type() => return Err(errors::SYNTAX_TEXT.into()),
                Field::SkipMe if !not => {
                    filter.skip_me = Some(match () {
                        () if parse::is(value, "yes") => true,
                        () if parse::is(value, "no") => false,
                        () => return Err(errors::SYNTAX_TEXT.into()),
                    });
                }
                _ => filter.tests.push((not, test(field, value)?)),
            }
            rest = rest.tail(used);
        }
        Ok(filter)
    }

    fn has_type(&self) -> bool {
        self.tests.iter().any(|(_, test)| matches!(test, Test::Type(_)))
    }

    /// The client at this address.
    pub fn address(addr: &[u8]) -> Self {
        Self { tests: vec![(false, Test::Addr(addr.to_vec()))], skip_me: None }
    }

    /// Whether the client is meant; SKIPME is the caller's.
    pub fn matches(&self, (addr, info): &Known, scene: &Scene<'_>) -> bool {
        self.tests.iter().all(|(not, test)| test.holds(addr.id(), info, scene) != *not)
    }
}

/// The id of a client that is to be killed.
fn id_of(text: &[u8]) -> Result<u64, Vec<u8>> {
    let id = resp::parse_i64(text).filter(|id| *id > 0);
    id.map(|id| id as u64).ok_or_else(|| b"ERR client-id should be greater than 0".to_vec())
}

/// The numbers that begin `args`, up to the next option; at least one. No client has 0, which stands for those below.
fn ids_of(args: Args<'_>) -> Result<Vec<u64>, Vec<u8>> {
    let mut ids = Vec::new();
    for text in args.iter() {
        match resp::parse_i64(text) {
            Some(id) => ids.push(u64::try_from(id).unwrap_or(0)),
            None if !ids.is_empty() && Field::named(text).is_some() => break,
            None => return Err(b"ERR Invalid client ID".to_vec()),
        }
    }
    Ok(ids)
}

fn test(field: Field, value: &[u8]) -> Result<Test, Vec<u8>> {
    let number = |what: &str| {
        let positive = resp::parse_i64(value).filter(|n| *n >= 0);
        positive.ok_or_else(|| format!("ERR {what} is not an integer or out of range").into_bytes())
    };
    let owned = || value.to_vec();
    Ok(match field {
        Field::Type => Test::Type(ClientType::parse(value)?),
        Field::User if value != b"default" => return Err([b"ERR No such user '", value, b"'"].concat()),
        Field::User => Test::User(owned()),
        Field::Addr => Test::Addr(owned()),
        Field::Laddr => Test::Laddr(owned()),
        Field::Ip => Test::Ip(owned()),
        Field::Name => Test::Name(owned()),
        Field::LibName => Test::LibName(owned()),
        Field::LibVer => Test::LibVer(owned()),
        Field::Flags => Test::Flags(owned()),
        Field::Db => Test::Db(number("DB")?),
        Field::MaxAge => Test::MaxAge(number("maxage")?),
        Field::Idle => Test::Idle(number("idle")?),
        Field::Id | Field::SkipMe => return Err(errors::SYNTAX_TEXT.into()),
    })
}

impl Test {
    fn holds(&self, id: ClientId, info: &ClientInfo, scene: &Scene<'_>) -> bool {
        match self {
            Self::Ids(ids) => ids.contains(&id.0),
            Self::Type(kind) => ClientType::of(info) == *kind,
            // There is one user.
            Self::User(name) => name == b"default",
            Self::Addr(addr) => info.remote(scene.unix_path).as_bytes() == addr,
            Self::Laddr(addr) => info.local(scene.unix_path).as_bytes() == addr,
            Self::Ip(ip) => match &info.peer.addr {
                PeerAddr::Tcp { remote, .. } => remote.ip().to_canonical().to_string().as_bytes() == ip,
                PeerAddr::Unix => scene.unix_path.as_bytes() == ip,
            },
            Self::Name(name) => info.names.lock().name == *name,
            Self::LibName(name) => info.names.lock().lib_name == *name,
            Self::LibVer(version) => info.names.lock().lib_ver == *version,
            Self::Flags(wanted) => {
                let has = flags_of(info);
                wanted.iter().all(|flag| has.as_bytes().contains(flag))
            }
            Self::Db(db) => i64::from(info.db.load(Ordering::Relaxed)) == *db,
            Self::MaxAge(seconds) => (scene.now_ms - info.since_ms) / 1000 >= *seconds,
            Self::Idle(seconds) => (scene.now_ms - info.active_ms.load(Ordering::Relaxed)) / 1000 >= *seconds,
        }
    }
}
