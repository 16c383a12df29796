//! The end of a round, and what is due by time alone: writing replies, closing, idle and slow clients.

use std::io::{ErrorKind, Read};
use std::sync::atomic::Ordering::Relaxed;

use mio::Token;

use super::app::{App, Flow};
use super::client::{Client, State};
use super::limits::{HANDSHAKE, LINGER, TICKS_PER_SWEEP};
use super::output::OutputClass;
use super::worker::Worker;

/// What is left after writing to a client.
enum Sent {
    All,
    /// The socket takes no more for now.
    Full,
    /// The connection is broken.
    Broken,
}

impl<A: App> Worker<A> {
    /// Writes what the round left for its clients, and closes those that are done.
    pub(crate) fn flush_all(&mut self) {
        let mut dirty = std::mem::take(&mut self.clients.dirty);
        for slot in dirty.drain(..) {
            if self.flush(slot) {
                self.disconnect(slot);
            }
        }
        self.clients.dirty = dirty;
    }

    /// Writes what waits for a client. Returns whether the connection is to be closed.
    fn flush(&mut self, slot: u32) -> bool {
        let Some(client) = self.clients.slab.get_mut(slot as usize) else { return false };
        client.dirty = false;
        if client.state == State::Doomed {
            return true;
        }
        let counters = &self.shared.threads[usize::from(self.me.0)];
        let (sent, bytes, writes) = send(client);
        // What is left was released. Sending may have moved it to the front, and whoever marks the client in the next
        // round need not be its turn, which would look.
        client.output.round_start = client.output.bytes.len();
        counters.output_bytes.add(bytes as u64);
        counters.writes.add(writes);
        let waiting = client.output.waiting();
        client.addr.gauge.holds_output(waiting);
        match sent {
            Sent::Broken => return true,
            Sent::All => {
                self.clients.pool.take_back(&mut client.output);
                client.over_soft_since = None;
                if matches!(client.state, State::Closing { .. }) {
                    drain(client, &mut self.scratch);
                    return true;
                }
            }
            Sent::Full => {
                if self.is_too_slow(slot) {
                    return true;
                }
            }
        }
        self.watch(slot, matches!(sent, Sent::Full));
        self.unstall(slot);
        false
    }

    /// Asks the kernel to say when the client reads, or no longer.
    fn watch(&mut self, slot: u32, on: bool) {
        let Some(client) = self.clients.slab.get_mut(slot as usize) else { return };
        if client.watching_writes == on {
            return;
        }
        client.watching_writes = on;
        if let Err(error) = client.transport.watch_writable(self.poll.registry(), Token(slot as usize), on) {
            tracing::warn!(%error, "a socket could not be watched");
            client.apply(Flow::CloseNow, self.now, &mut self.timers);
        }
    }

    /// Lets a client go on that has read enough.
    fn unstall(&mut self, slot: u32) {
        let Some(client) = self.clients.slab.get_mut(slot as usize) else { return };
        if client.stalled && client.output.waiting() <= self.settings.max_unread(client.settings.class) / 2 {
            client.stalled = false;
            if self.serves() {
                self.clients.requeue(slot);
            }
        }
    }

    /// Whether a client's output is over its limits.
    fn is_too_slow(&mut self, slot: u32) -> bool {
        let Some(client) = self.clients.slab.get_mut(slot as usize) else { return false };
        let limit = self.settings.output(client.settings.class);
        let waiting = client.output.waiting();
        if !limit.over_soft(waiting) {
            client.over_soft_since = None;
        }
        let mut over = limit.over_hard(waiting);
        if limit.over_soft(waiting) {
            let since = *client.over_soft_since.get_or_insert(self.now.mono);
            over |= self.now.mono.duration_since(since) >= limit.soft_for;
        }
        if over {
            tracing::warn!(client = client.addr.id.0, bytes = waiting, "closed: client-output-buffer-limit");
            self.counters().output_buffer_closes.add(1);
        }
        over
    }

    /// Looks at a part of the clients, so that all have been looked at once a second or so.
    pub(crate) fn sweep(&mut self) {
        let slots = self.clients.slab.capacity();
        let part = slots / TICKS_PER_SWEEP + 16;
        for _ in 0..part.min(slots) {
            self.swept = if self.swept + 1 < slots { self.swept + 1 } else { 0 };
            if self.is_overdue(self.swept) {
                self.disconnect(self.swept as u32);
            }
        }
    }

    /// Whether a client's time is up.
    fn is_overdue(&mut self, slot: usize) -> bool {
        let Some(client) = self.clients.slab.get_mut(slot) else { return false };
        client.addr.gauge.mail_limit.store(self.settings.mail_limit(client.settings.class), Relaxed);
        if client.decoder.memory() > client.memory() / 2 {
            client.decoder.shrink();
        }
        let now = self.now.mono;
        if matches!(client.state, State::Closing { since } if now.duration_since(since) > LINGER) {
            return true;
        }
        if client.transport.is_handshaking() && now.duration_since(client.since) > HANDSHAKE {
            self.counters().tls_failures.add(1);
            return true;
        }
        let may_idle = client.settings.class != OutputClass::Normal || client.state != State::Running;
        let idle = now.duration_since(client.last_active);
        if !may_idle && self.settings.idle_timeout.is_some_and(|timeout| idle > timeout) {
            self.counters().idle_closes.add(1);
            return true;
        }
        client.output.waiting() > 0 && self.is_too_slow(slot as u32)
    }

    /// Has changed settings reach clients that are connected already.
    pub(crate) fn apply_settings(&mut self) {
        for (_, client) in &mut self.clients.slab {
            client.addr.gauge.mail_limit.store(self.settings.mail_limit(client.settings.class), Relaxed);
        }
    }
}

/// Writes all that the socket takes: what was taken, in how many calls.
fn send<S>(client: &mut Client<S>) -> (Sent, usize, u64) {
    let (mut bytes, mut writes) = (0, 0);
    while client.output.waiting() > 0 || client.transport.wants_write() {
        let asked = client.output.waiting();
        match client.transport.send(client.output.unsent()) {
            Ok(taken) => {
                client.output.advance(taken);
                bytes += taken;
                writes += 1;
                if taken < asked && !client.transport.is_tls() {
                    return (Sent::Full, bytes, writes);
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return (Sent::Full, bytes, writes),
            Err(_) => return (Sent::Broken, bytes, writes),
        }
    }
    (Sent::All, bytes, writes)
}

/// Takes what has arrived from a client that is about to be closed: closing over unread bytes would reset the
/// connection, and the client might never see its last replies.
fn drain<S>(client: &mut Client<S>, scratch: &mut [u8]) {
    for _ in 0..4 {
        match client.transport.read(scratch) {
            Ok(count) if count == scratch.len() => {}
            _ => return,
        }
    }
}
