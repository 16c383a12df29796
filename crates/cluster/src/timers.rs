//! What a mesh does because time has passed: pings, ends of silent and late connections, the end of a stop.

use std::time::{Duration, Instant};

use crate::conn::{Conn, Phase};
use crate::driver::Driver;
use crate::error::Why;
use crate::frame::Kind;
use crate::limits::COMPLAIN;

impl Driver {
    pub(crate) fn timers(&mut self, now: Instant) {
        self.renew();
        if self.accept_at.is_some_and(|at| at <= now) {
            self.accept_at = None;
            (0..self.listeners.len()).for_each(|n| self.accept(n, now));
        }
        let token = self.micros(now).to_le_bytes();
        let mut ends = Vec::new();
        for (key, conn) in &mut self.conns {
            match conn.phase {
                Phase::Up(_) => {
                    if conn.pinged + self.config.ping_every <= now {
                        conn.pinged = now;
                        conn.say_if_heard(Kind::Ping, &token);
                        self.ready.insert(key);
                    }
                    let silent = conn.heard + self.config.ping_every * self.config.dead_after <= now;
                    if !conn.paused && silent {
                        ends.push((key, Why::Silent));
                    } else if !conn.paused && conn.doubted.is_some_and(|at| at <= now) {
                        ends.push((key, Why::Replaced));
                    }
                }
                Phase::Ending => {}
                _ if conn.born + self.config.handshake <= now => ends.push((key, Why::Late)),
                _ => {}
            }
        }
        ends.into_iter().for_each(|(key, why)| self.close(key, why, now));
    }

    /// How long nothing has to be done, unless something happens.
    pub(crate) fn wait(&self, now: Instant) -> Duration {
        if !self.ready.is_empty() {
            return Duration::ZERO;
        }
        let of = |conn: &Conn| match conn.phase {
            Phase::Up(_) => [Some(conn.pinged + self.config.ping_every), conn.doubted.filter(|_| !conn.paused)],
            Phase::Ending => [None, None],
            _ => [Some(conn.born + self.config.handshake), None],
        };
        let conns = self.conns.iter().flat_map(|(_, conn)| of(conn)).flatten();
        let others = [self.accept_at, self.stops_at].into_iter().flatten();
        let first = conns.chain(others).min().map(|at| at.saturating_duration_since(now));
        let dial = self.routes.wait(now, |node| self.up.contains_key(&node));
        let dial = dial.filter(|_| self.stops_at.is_none());
        // Certificates are looked at once a minute at least.
        [first, dial].into_iter().flatten().min().unwrap_or(COMPLAIN).min(COMPLAIN)
    }

    /// Whether a stop is complete: all was sent, or it took too long.
    pub(crate) fn has_stopped(&mut self, now: Instant) -> bool {
        let Some(end) = self.stops_at else { return false };
        let flushed: Vec<_> =
            self.conns.iter().filter(|(_, c)| c.node().is_some() && c.is_flushed()).map(|c| c.0).collect();
        flushed.into_iter().for_each(|key| self.part(key));
        if end <= now {
            let all: Vec<_> = self.conns.iter().map(|(key, _)| key).collect();
            all.into_iter().for_each(|key| self.close(key, Why::Stopped, now));
        }
        self.conns.is_empty()
    }
}
