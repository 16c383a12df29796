//! Whom to dial, and when: names, their addresses, and how the last attempt at each ended. It dials nothing and reads no clock.
//!
//! ```text
//! join, add_peer ─▶ name ─resolve─▶ addresses ─dial─▶ failed: again after a wait, twice as long each time
//!                    ▲                              ├▶ a node: again when its connection has ended
//!                    └── again, when one of them ───┴▶ ourselves: again after a minute
//! ```
//! *Invariant:* an address is dialed once at a time, and not while there is a connection with the node that was found there.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::backoff::{Backoff, Jitter};
use crate::config::is_address;
use crate::error::Error;
use crate::limits::{OWN_ADDRESS, RESOLVE_LATER, RESOLVE_SOON, TARGETS};
use crate::node::NodeId;

/// All of it.
#[derive(Debug)]
pub(crate) struct Routes {
    names: BTreeMap<String, Name>,
    routes: BTreeMap<SocketAddr, Route>,
    backoff: Backoff,
    jitter: Jitter,
}

/// Something to resolve.
#[derive(Debug)]
struct Name {
    addrs: Vec<SocketAddr>,
    /// When it is resolved next; `None` while it is, and for what is an address itself.
    at: Option<Instant>,
    asked: Instant,
    failures: u32,
}

/// An address.
#[derive(Debug)]
struct Route {
    /// When it is dialed next; `None` while it is.
    at: Option<Instant>,
    failures: u32,
    /// Who was found there last, and since when.
    node: Option<(NodeId, Instant)>,
    /// What was said about it last.
    complaint: Option<String>,
}

impl Routes {
    pub(crate) fn new(backoff: Backoff, seed: u64) -> Self {
        Self { names: BTreeMap::new(), routes: BTreeMap::new(), backoff, jitter: Jitter::new(seed) }
    }

    /// Adds a `host:port`. One that is there already is tried at once.
    pub(crate) fn add(&mut self, name: &str, now: Instant) -> Result<(), Error> {
        is_address(name)?;
        if let Some(known) = self.names.get(name) {
            for addr in &known.addrs {
                if let Some(route) = self.routes.get_mut(addr) {
                    route.at = route.at.map(|at| at.min(now));
                }
            }
            return Ok(());
        }
        if self.names.len() >= TARGETS {
            return Err(Error::Targets(TARGETS));
        }
        let literal = name.parse::<SocketAddr>().ok();
        let at = literal.is_none().then_some(now);
        let addrs: Vec<_> = literal.into_iter().collect();
        addrs.iter().for_each(|addr| self.route(*addr, now));
        self.names.insert(name.to_owned(), Name { addrs, at, asked: now, failures: 0 });
        Ok(())
    }

    fn route(&mut self, addr: SocketAddr, now: Instant) {
        let new = || Route { at: Some(now), failures: 0, node: None, complaint: None };
        self.routes.entry(addr).or_insert_with(new);
    }

    /// Names to resolve now; each must be followed by [`Self::resolved`].
    pub(crate) fn due_names(&mut self, now: Instant) -> Vec<String> {
        let due = self.names.iter_mut().filter(|(_, name)| name.at.is_some_and(|at| at <= now));
        due.map(|(text, name)| {
            (name.at, name.asked) = (None, now);
            text.clone()
        })
        .collect()
    }

    /// What a name was resolved to; `None` if it was not, and then what was known of it still holds.
    /// False if this is the first failure in a row.
    pub(crate) fn resolved(&mut self, text: &str, found: Option<Vec<SocketAddr>>, now: Instant) -> bool {
        let Some(name) = self.names.get_mut(text) else { return true };
        let Some(found) = found.filter(|found| !found.is_empty()) else {
            name.failures += 1;
            name.at = Some(now + self.backoff.wait(name.failures, &mut self.jitter));
            return name.failures > 1;
        };
        (name.failures, name.at) = (0, Some(now + RESOLVE_LATER));
        name.addrs.clone_from(&found);
        found.into_iter().for_each(|addr| self.route(addr, now));
        // What no name has any more is forgotten, unless an attempt is under way.
        let named = |addr: &SocketAddr| self.names.values().any(|n| n.addrs.contains(addr));
        let gone: Vec<_> = self.routes.iter().filter(|(a, r)| r.at.is_some() && !named(a)).map(|(a, _)| *a).collect();
        gone.iter().for_each(|addr| drop(self.routes.remove(addr)));
        true
    }

    /// Addresses to dial now; each must be followed by one of the three below.
    pub(crate) fn due_routes(&mut self, now: Instant, is_up: impl Fn(NodeId) -> bool) -> Vec<SocketAddr> {
        let due = self.routes.iter_mut().filter(|(_, route)| route.is_due(now, &is_up));
        due.map(|(addr, route)| {
            route.at = None;
            *addr
        })
        .collect()
    }

    /// It did not come to be. Whether this is the first time that it ends in that way.
    pub(crate) fn failed(&mut self, addr: SocketAddr, why: String, now: Instant) -> bool {
        let Some(route) = self.routes.get_mut(&addr) else { return false };
        route.failures += 1;
        route.node = None;
        route.at = Some(now + self.backoff.wait(route.failures, &mut self.jitter));
        let new = route.complaint.as_deref() != Some(&why);
        route.complaint = Some(why);
        self.resolve_soon(addr, now);
        new
    }

    /// There is a node, and a connection with it: this or another.
    pub(crate) fn reached(&mut self, addr: SocketAddr, node: NodeId, now: Instant) {
        if let Some(route) = self.routes.get_mut(&addr) {
            (route.at, route.node, route.complaint) = (Some(now), Some((node, now)), None);
        }
    }

    /// It is an address of this node.
    pub(crate) fn is_own(&mut self, addr: SocketAddr, now: Instant) {
        if let Some(route) = self.routes.get_mut(&addr) {
            (route.at, route.node) = (Some(now + OWN_ADDRESS), None);
        }
    }

    /// The connection with a node has ended: its addresses are tried again after a wait, short if it had lasted.
    pub(crate) fn lost(&mut self, node: NodeId, now: Instant) {
        let mut lost = Vec::new();
        for (addr, route) in &mut self.routes {
            let Some((_, since)) = route.node.filter(|(n, _)| *n == node) else { continue };
            let lasted = now.saturating_duration_since(since) >= self.backoff.most;
            route.failures = if lasted { 1 } else { route.failures + 1 };
            route.at = route.at.map(|_| now + self.backoff.wait(route.failures, &mut self.jitter));
            lost.push(*addr);
        }
        lost.into_iter().for_each(|addr| self.resolve_soon(addr, now));
    }

    /// Has the names of an address resolved again: it may not be theirs any more.
    fn resolve_soon(&mut self, addr: SocketAddr, now: Instant) {
        for name in self.names.values_mut().filter(|n| n.addrs.contains(&addr)) {
            let soon = now.max(name.asked + RESOLVE_SOON);
            name.at = name.at.map(|at| at.min(soon));
        }
    }

    /// How long until there is something to do.
    pub(crate) fn wait(&self, now: Instant, is_up: impl Fn(NodeId) -> bool) -> Option<Duration> {
        let names = self.names.values().filter_map(|n| n.at);
        let routes = self.routes.values().filter(|r| !r.rests(&is_up)).filter_map(|r| r.at);
        names.chain(routes).min().map(|at| at.saturating_duration_since(now))
    }
}

impl Route {
    fn rests(&self, is_up: impl Fn(NodeId) -> bool) -> bool {
        self.node.is_some_and(|(node, _)| is_up(node))
    }

    fn is_due(&self, now: Instant, is_up: impl Fn(NodeId) -> bool) -> bool {
        self.at.is_some_and(|at| at <= now) && !self.rests(is_up)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOBODY: fn(NodeId) -> bool = |_| false;
    const ALL: fn(NodeId) -> bool = |_| true;

    fn addr(n: u8) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, n], 7000))
    }

    fn node() -> NodeId {
        NodeId::new(5).unwrap()
    }

    fn routes() -> (Routes, Instant) {
        (Routes::new(Backoff::default(), 1), Instant::now())
    }

    #[test]
    fn every_record_of_a_name_is_dialed_and_one_that_is_gone_is_not() {
        let (mut routes, now) = routes();
        routes.add("db:7000", now).unwrap();
        assert_eq!((routes.due_routes(now, NOBODY), routes.due_names(now)), (vec![], vec!["db:7000".to_owned()]));
        assert!(routes.due_names(now).is_empty());
        routes.resolved("db:7000", Some(vec![addr(1), addr(2)]), now);
        assert_eq!(routes.due_routes(now, NOBODY), [addr(1), addr(2)]);
        assert!(routes.due_routes(now, NOBODY).is_empty());
        routes.reached(addr(1), node(), now);
        assert!(routes.failed(addr(2), "refused".into(), now));
        // A failure has the name resolved again, but not more than once a second.
        assert!(routes.due_names(now + RESOLVE_SOON / 2).is_empty());
        let later = now + RESOLVE_SOON;
        assert_eq!(routes.due_names(later).len(), 1);
        routes.resolved("db:7000", Some(vec![addr(1), addr(3)]), later);
        assert_eq!(routes.due_routes(later, ALL), [addr(3)]);
        // A resolver that fails takes nothing away, and is asked again.
        assert_eq!(routes.due_names(later + RESOLVE_LATER).len(), 1);
        assert!(!routes.resolved("db:7000", None, later + RESOLVE_LATER));
        assert_eq!(routes.due_routes(later + RESOLVE_LATER, NOBODY), [addr(1)]);
        assert_eq!(routes.due_names(later + RESOLVE_LATER + Backoff::default().first).len(), 1);
    }

    #[test]
    fn an_address_rests_while_its_node_is_up_and_is_dialed_again_when_it_was_lost() {
        let (mut routes, now) = routes();
        routes.add("127.0.0.1:7000", now).unwrap();
        assert_eq!(routes.due_routes(now, NOBODY), [addr(1)]);
        routes.reached(addr(1), node(), now);
        assert_eq!((routes.due_routes(now, ALL), routes.wait(now, ALL)), (vec![], None));
        let end = now + Duration::from_secs(60);
        routes.lost(node(), end);
        let wait = routes.wait(end, NOBODY).unwrap();
        assert!(!wait.is_zero() && wait <= Backoff::default().first);
        assert_eq!((routes.due_routes(end, NOBODY), routes.due_routes(end + wait, NOBODY)), (vec![], vec![addr(1)]));
    }

    #[test]
    fn failures_wait_longer_and_are_told_once() {
        let (mut routes, mut now) = routes();
        routes.add("127.0.0.1:7000", now).unwrap();
        let mut told = Vec::new();
        for n in 1..12 {
            assert_eq!(routes.due_routes(now, NOBODY), [addr(1)]);
            told.push(routes.failed(addr(1), if n < 6 { "refused" } else { "strange" }.into(), now));
            let wait = routes.wait(now, NOBODY).unwrap();
            assert!(wait >= Duration::from_millis(50 << (n - 1).min(6)), "{n}: {wait:?}");
            now += wait;
        }
        assert_eq!(told.iter().filter(|t| **t).count(), 2);
        // Asked for again, it is dialed at once.
        routes.failed(addr(1), "strange".into(), now);
        routes.add("127.0.0.1:7000", now).unwrap();
        assert_eq!(routes.due_routes(now, NOBODY), [addr(1)]);
    }

    #[test]
    fn our_own_address_is_left_alone_for_a_minute() {
        let (mut routes, now) = routes();
        routes.add("127.0.0.1:7000", now).unwrap();
        routes.due_routes(now, NOBODY);
        routes.is_own(addr(1), now);
        assert_eq!(routes.wait(now, NOBODY), Some(OWN_ADDRESS));
    }

    #[test]
    fn what_is_no_address_and_what_is_too_much_is_refused() {
        let (mut routes, now) = routes();
        assert!(matches!(routes.add("db", now), Err(Error::Address { .. })));
        (0..TARGETS).for_each(|n| routes.add(&format!("db{n}:1"), now).unwrap());
        assert!(matches!(routes.add("one-more:1", now), Err(Error::Targets(TARGETS))));
    }
}
