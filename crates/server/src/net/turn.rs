//! A client's turn: read what is there, decode it in place, run its commands.
//!
//! *Invariant:* one turn reads a bounded number of bytes and runs a bounded number of commands, so that no client keeps
//! the others waiting.

use std::io::{self, ErrorKind, Read};

use resp::{ArgRanges, Args, Progress, ProtocolError};
use smallvec::SmallVec;

use super::app::{App, Behind, Flow, Now, Turn};
use super::client::{Client, State};
use super::counters::ThreadCounters;
use super::limits::{COMMANDS_PER_TURN, LARGE_READ_BYTES, READ_BYTES, SMALL_INPUT_BYTES, WRITTEN_PER_TURN};
use super::settings::Settings;
use super::timers::Timers;
use super::worker::Worker;

/// Commands that are decoded before the first of them runs, so that what they look at can be fetched meanwhile.
pub(crate) const AHEAD: usize = 16;

/// What [`Run::decode_ahead`] found: complete commands, by their lengths, and what stands behind them.
struct Ahead {
    lens: [usize; AHEAD],
    count: usize,
    then: Then,
}

enum Then {
    /// Perhaps more commands.
    More,
    /// A command that is not all there.
    Partial { consumed: usize, needed: usize },
    /// Nothing that can be read.
    Broken(ProtocolError),
}

/// What running commands needs besides the client and the application.
pub(crate) struct Run<'a> {
    pub args: &'a mut [ArgRanges; AHEAD],
    pub timers: &'a mut Timers,
    pub settings: &'a Settings,
    pub counters: &'a ThreadCounters,
    pub now: Now,
}

impl<A: App> Worker<A> {
    /// Gives a client its turn.
    pub(crate) fn serve(&mut self, slot: u32) {
        let in_line = self.clients.get(slot).is_some_and(|client| std::mem::take(&mut client.queued));
        let Some(client) = self.clients.begin_turn(slot).filter(|_| in_line) else { return };
        let mut run = Run {
            args: &mut self.args,
            timers: &mut self.timers,
            settings: &self.settings,
            counters: &self.shared.threads[usize::from(self.me.0)],
            now: self.now,
        };
        self.gather.served(&mut client.mark);
        if client.backlog && client.wants_turn() {
            run.held_input(&mut self.app, client);
        }
        if !client.backlog && client.wants_turn() {
            run.read(&mut self.app, client, &mut self.scratch);
        }
        if client.hangup && client.is_blocked() {
            client.apply(Flow::CloseNow, self.now, run.timers);
        }
        self.clients.end_turn(slot);
        self.ran = true;
    }
}

impl Run<'_> {
    /// Runs commands that arrived earlier.
    fn held_input<A: App>(&mut self, app: &mut A, client: &mut Client<A::Session>) {
        let mut input = std::mem::take(&mut client.input);
        let used = self.commands(app, client, &input);
        input.drain(..used);
        // The room that a large argument took is not kept for what follows it.
        if input.capacity() > READ_BYTES && input.len() < input.capacity() / 4 {
            input.shrink_to_fit();
        }
        client.input = input;
        if client.input.is_empty() {
            client.keep_input(&[]);
        }
        client.addr.gauge.holds_input(client.input.len());
    }

    fn read<A: App>(&mut self, app: &mut A, client: &mut Client<A::Session>, scratch: &mut [u8]) {
        let held = client.input.len();
        if held > SMALL_INPUT_BYTES {
            return self.read_large(app, client);
        }
        // What is held goes in front of what comes, and all of it is decoded where it is.
        scratch[..held].copy_from_slice(&client.input);
        let outcome = client.transport.read(&mut scratch[held..]);
        let got = *outcome.as_ref().unwrap_or(&0);
        if got > 0 {
            self.note_arrival(client, got, held + got < scratch.len());
            let used = self.commands(app, client, &scratch[..held + got]);
            client.keep_input(&scratch[used..held + got]);
            self.check_input(client);
        }
        self.note_end(client, outcome);
    }

    /// Reads on in the middle of a large argument, straight to where it is kept.
    fn read_large<A: App>(&mut self, app: &mut A, client: &mut Client<A::Session>) {
        let held = client.input.len();
        let want = client.needed.clamp(READ_BYTES, LARGE_READ_BYTES);
        // Memory follows what has arrived, not what was announced: it at most doubles.
        let room = client.needed.max(want).min(held.max(want));
        client.input.reserve_exact(room);
        let outcome = Read::take(&mut client.transport, want as u64).read_to_end(&mut client.input);
        let got = client.input.len() - held;
        if got > 0 {
            self.note_arrival(client, got, false);
            if got >= client.needed {
                self.held_input(app, client);
            } else {
                client.needed -= got;
            }
            self.check_input(client);
        }
        match outcome {
            // It read to the bound; there may be more.
            Ok(count) if count == want => {}
            Ok(_) => self.note_end(client, Ok(0)),
            Err(error) => self.note_end(client, Err(error)),
        }
    }

    /// Runs the commands in `buf`; returns how many bytes are done with.
    fn commands<A: App>(&mut self, app: &mut A, client: &mut Client<A::Session>, buf: &[u8]) -> usize {
        let (mut used, mut count) = (0, 0);
        client.backlog = true;
        while count < COMMANDS_PER_TURN && client.backlog && client.may_run() {
            let ahead = self.decode_ahead(client, &buf[used..]);
            if ahead.count > 1 {
                let mut notes = [None; AHEAD];
                let mut frames: SmallVec<[Args<'_>; AHEAD]> = SmallVec::new();
                let mut at = used;
                for (args, len) in self.args.iter().zip(&ahead.lens[..ahead.count]) {
                    frames.push(args.view(&buf[at..]));
                    at += len;
                }
                app.foresee(&client.session, &frames, &mut notes);
                drop(frames);
                self.args.iter_mut().zip(notes).for_each(|(args, note)| args.set_note(note));
            }
            let mut all_ran = true;
            for (at, (args, len)) in self.args.iter().zip(&ahead.lens[..ahead.count]).enumerate() {
                if !client.may_run() || client.output.of_round() > WRITTEN_PER_TURN {
                    all_ran = false;
                    break;
                }
                let Client { output, addr, settings, session, .. } = client;
                let next = at + 1..ahead.count;
                let behind = Behind::new(&self.args[next.clone()], &ahead.lens[next], &buf[used + len..]);
                let mut turn = Turn { out: &mut output.bytes, now: self.now, addr, settings, behind };
                let flow = app.execute(session, args.view(&buf[used..]), &mut turn);
                used += len;
                count += 1;
                client.apply(flow, self.now, self.timers);
                client.stalled = client.output.waiting() > self.settings.max_unread(client.settings.class);
            }
            if !all_ran || client.output.of_round() > WRITTEN_PER_TURN {
                // What was decoded and not run will be decoded again.
                client.decoder.restart();
                break;
            }
            match ahead.then {
                Then::More => {}
                // Not behind a command that ended, or ends, the client's turn: what follows it may not be looked at.
                Then::Partial { .. } | Then::Broken(_) if !client.may_run() => client.decoder.restart(),
                Then::Partial { consumed, needed } => {
                    used += consumed;
                    client.needed = needed;
                    client.backlog = false;
                }
                Then::Broken(error) => {
                    error.write(&mut client.output.bytes);
                    self.counters.protocol_errors.add(1);
                    client.apply(Flow::Close, self.now, self.timers);
                }
            }
        }
        self.counters.commands.add(count as u64);
        if !client.is_served() {
            // Nothing of what it sent besides will run.
            client.backlog = false;
            used = buf.len();
        }
        client.backlog &= used < buf.len();
        used
    }

    /// Decodes the next few commands.
    fn decode_ahead<S>(&mut self, client: &mut Client<S>, buf: &[u8]) -> Ahead {
        let limits = self.settings.decoder_limits(client.settings.authenticated);
        // The first command of somebody who has not said who he is may change how the rest is read.
        let most = if client.settings.authenticated { AHEAD } else { 1 };
        let mut ahead = Ahead { lens: [0; AHEAD], count: 0, then: Then::More };
        let mut at = 0;
        while ahead.count < most {
            match client.decoder.decode(&buf[at..], &limits, &mut self.args[ahead.count]) {
                Ok(Progress::Command { consumed }) => {
                    ahead.lens[ahead.count] = consumed;
                    ahead.count += 1;
                    at += consumed;
                }
                Ok(Progress::Partial { consumed, needed }) => {
                    ahead.then = Then::Partial { consumed, needed };
                    break;
                }
                Err(error) => {
                    ahead.then = Then::Broken(error);
                    break;
                }
            }
        }
        ahead
    }

    fn note_arrival<S>(&mut self, client: &mut Client<S>, got: usize, short: bool) {
        self.counters.reads.add(1);
        self.counters.input_bytes.add(got as u64);
        client.last_active = self.now.mono;
        client.addr.gauge.active_at(self.now.unix_ms);
        if short && !client.hangup && client.transport.short_read_is_all() {
            client.readable = false;
        }
    }

    /// Looks at how a read ended.
    fn note_end<S>(&mut self, client: &mut Client<S>, outcome: io::Result<usize>) {
        match outcome {
            // A client that went away while it was blocked has given up.
            Ok(0) if client.is_blocked() => client.apply(Flow::CloseNow, self.now, self.timers),
            // Commands that wait run first; the end is found again behind them.
            Ok(0) if client.backlog || client.state == State::Parked => {}
            Ok(0) => {
                client.readable = false;
                // Replies to what came before the end still go out.
                client.apply(Flow::Close, self.now, self.timers);
            }
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => client.readable = false,
            Err(error) => {
                if error.kind() == ErrorKind::InvalidData {
                    self.counters.tls_failures.add(1);
                }
                tracing::debug!(client = client.addr.id.0, %error, "a connection broke");
                client.apply(Flow::CloseNow, self.now, self.timers);
            }
        }
    }

    fn check_input<S>(&mut self, client: &mut Client<S>) {
        client.addr.gauge.holds_input(client.input.len());
        if client.input.len() > self.settings.max_query_buffer {
            tracing::warn!(client = client.addr.id.0, bytes = client.input.len(), "closed: client-query-buffer-limit");
            self.counters.query_buffer_closes.add(1);
            client.apply(Flow::CloseNow, self.now, self.timers);
        }
    }
}
