//! Commands that miss what is at rest, or find no room in memory: their clients are parked while a reader brings it in, or until
//! there is room, and then they run again.
//!
//! *Invariant:* nothing of a parked command is left but what [`Parked`] holds: no lock, no reply, no place in a queue.

use command::{Fetch, Missed, Progress};
use engine::{Stop, Ticket};
use resp::Args;

use super::{Front, mute};
use crate::limits::READ_AHEAD_KEY_BYTES;
use crate::net::{Flow, Turn};
use crate::readers::Order;
use crate::session::{Parked, Resumed, Session, refuse};

impl Front {
    /// Who reads what a command of this client misses. One that runs again goes on where it was.
    #[inline]
    pub(super) fn fetch(&self, session: &mut Session) -> Fetch {
        match session.resumed.take() {
            _ if !self.room.node.readers.are_there() => Fetch::Here,
            None => Fetch::Apart(Progress::default()),
            Some(resumed) => Fetch::Apart(resumed.progress),
        }
    }

    /// Has a reader bring in what a command misses, and with it what the commands behind it may need.
    #[cold]
    pub(super) fn park(
        &mut self,
        session: &mut Session,
        args: &Args<'_>,
        mut missed: Box<Missed>,
        turn: &Turn<'_>,
    ) -> Flow {
        // What stands at argument 1 is a key in almost every command; elsewhere there is nothing of that name.
        let keys = turn.behind.iter().filter_map(|args| args.get(1));
        keys.filter(|key| key.len() <= READ_AHEAD_KEY_BYTES).for_each(|key| missed.also(key));
        let ticket = self.room.node.ticket();
        let now_ms = missed.now_ms();
        session.parked = Some(Parked { args: args.to_owned_args(), ticket, now_ms, began: self.began });
        self.room.node.readers.read(Order { missed, addr: turn.addr.clone(), ticket });
        Flow::Park
    }

    /// What a parked command has missed has been read, or could not be.
    #[cold]
    pub(super) fn unpark(
        &mut self,
        session: &mut Session,
        ticket: Ticket,
        (missed, read): (Box<Missed>, Result<(), Stop>),
        turn: &mut Turn<'_>,
    ) -> Flow {
        let Some(parked) = session.parked.take_if(|parked| parked.ticket == ticket) else { return Flow::Continue };
        if let Err(stop) = read {
            let start = turn.out.len();
            let text = match stop {
                Stop::Error(text) => text,
                other => format!("ERR what is at rest could not be read: {other:?}").into(),
            };
            refuse(session, turn, &*text);
            self.room.node.stats.count_error(&turn.out[start + 1..]);
            mute(session, start, turn);
            return Flow::Resume;
        }
        let Parked { args, now_ms, began, .. } = parked;
        session.resumed = Some(Resumed { now_ms, progress: missed.into_progress(), began });
        self.run_again(session, &args.as_args(), turn)
    }

    /// Has a command wait for room in memory.
    #[cold]
    pub(super) fn await_room(&self, session: &mut Session, args: &Args<'_>, turn: &Turn<'_>) -> Flow {
        let (node, began) = (&self.room.node, self.mark.unwrap_or_else(|| self.watch.raw()));
        let (ticket, now_ms) = (node.ticket(), turn.now.unix_ms as i64);
        session.parked = Some(Parked { args: args.to_owned_args(), ticket, now_ms, began });
        node.lobby.enter(node, turn.addr.clone(), ticket);
        Flow::Park
    }

    /// There is room for a command that has waited for it, or it has waited long enough.
    #[cold]
    pub(super) fn leave_lobby(
        &mut self,
        session: &mut Session,
        ticket: Ticket,
        found: bool,
        turn: &mut Turn<'_>,
    ) -> Flow {
        let Some(parked) = session.parked.take_if(|parked| parked.ticket == ticket) else { return Flow::Continue };
        let Parked { args, now_ms, began, .. } = parked;
        // If there is none it runs as one that comes now: nobody waits for the time being, so it is refused.
        session.resumed = found.then(|| Resumed { now_ms, progress: Progress::default(), began });
        self.run_again(session, &args.as_args(), turn)
    }

    fn run_again(&mut self, session: &mut Session, args: &Args<'_>, turn: &mut Turn<'_>) -> Flow {
        let flow = crate::net::App::execute(self, session, *args, turn);
        // Whatever has kept it from running needs nothing of that any more.
        session.resumed = None;
        match flow {
            Flow::Continue => Flow::Resume,
            flow => flow,
        }
    }
}
