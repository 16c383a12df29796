//! What the driver of a replica asks of an engine beside its log: the clock that the group shares, and whether this node may write.

use effect::{Dot, Hlc, Origin};
use wal::Position;

use crate::engine::Engine;
use crate::error::Refusal;

impl Engine {
    /// The origin under which this node writes.
    pub fn origin(&self) -> Origin {
        self.shared.origin()
    }

    /// Lets this node write, or not.
    pub fn set_open(&self, open: bool) {
        self.shared.log.lock().state().is_open = open;
    }

    /// From now on the node writes as `origin`, of which nothing is in the log; the node may not be open.
    pub fn take_origin(&self, origin: Origin) -> std::io::Result<()> {
        debug_assert!(!self.shared.log.lock().state().is_open, "the origin of a node that writes is changed");
        self.shared.take_origin(origin)
    }

    /// What this node writes from now on is above `seen`.
    pub fn observe(&self, seen: Hlc) -> Result<(), Refusal> {
        self.shared.replication.see(seen);
        loop {
            let mut log = self.shared.log.lock();
            let clock = &mut log.state().clock;
            if clock.last() >= seen {
                return Ok(());
            }
            if clock.ceiling() >= seen {
                clock.observe(seen);
                return Ok(());
            }
            drop(log);
            self.shared.raise_ceiling(seen)?;
        }
    }

    /// A timestamp of now, and where the log ends: whatever this node writes behind that has a higher one.
    pub fn promise(&self) -> (Position, Hlc) {
        let now = Hlc::at_ms(self.now_ms());
        let mut log = self.shared.log.lock();
        let position = log.end();
        let clock = &mut log.state().clock;
        clock.observe(now.min(clock.ceiling()));
        (position, clock.last())
    }

    /// This node's last effect; number 0 if it has written none.
    pub fn last_dot(&self) -> Dot {
        let mut log = self.shared.log.lock();
        Dot { origin: self.shared.origin(), seq: log.state().next_seq - 1 }
    }
}
