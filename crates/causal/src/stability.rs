//! Statements, and what follows from them: the cut.
//!
//! An effect with a timestamp `t` is stable if every member has said that it has fsynced it, and the receiver has all that this member wrote
//! before it said so, and the same holds for every effect with a timestamp up to `t`.

use effect::{Hlc, Origin, Vector};

use crate::frame::Frame;
use crate::io::{LinkId, Output};
use crate::limits;
use crate::replica::Replica;
use crate::statement::Statement;

/// What a member has said.
#[derive(Debug)]
pub(crate) struct View {
    /// In which of its lives.
    pub life: Origin,
    /// The last statement that counts.
    pub said: Option<Statement>,
    /// The first of those that do not count yet, because something that was written before has not been applied; it stays however many
    /// follow it.
    next: Option<Statement>,
    /// The last one.
    latest: Option<Statement>,
}

impl View {
    fn of(life: Origin) -> Self {
        Self { life, said: None, next: None, latest: None }
    }

    /// Makes the statement that waits count, if all that was written before it has been applied.
    fn settle(&mut self, applied: u64) -> bool {
        let before = self.said.is_some();
        while let Some(ready) = self.next.take_if(|next| next.seq <= applied) {
            self.said = Some(ready);
            self.next = self.latest.take();
            if self.next.is_none() {
                return true;
            }
        }
        self.said.is_some() != before
    }
}

impl Replica {
    pub(crate) fn stated(&mut self, id: LinkId, peer: Origin, statement: Statement) {
        let now_ms = self.now_ms;
        let node = peer.node();
        let Some(link) = self.links.get_mut(&id) else { return };
        link.echo = Some((statement.sent_ms, now_ms));
        if let Some((sent, ago)) = statement.echo {
            link.rtt_ms = Some((now_ms - sent - ago).max(0));
        }
        // What is held by those that do not belong to the group is not fetched.
        if peer.incarnation() > 0 && self.epoch.has(node) {
            link.has.clone_from(&statement.durable);
        }
        if statement.epoch < self.epoch.number {
            let decided = Frame::Decided(self.epoch.clone());
            self.send(id, decided);
        }
        if !self.epoch.has(node) || peer.incarnation() == 0 {
            return;
        }
        self.observe(statement.hlc);
        self.farewell(node, &statement);
        for (other, life) in statement.lives.iter().filter(|(_, life)| *life < u16::MAX) {
            self.learn(Origin::new(*other, *life));
        }
        self.counted_on(peer, &statement);
        let view = self.views.entry(node).or_insert_with(|| View::of(peer));
        if view.life != peer {
            *view = View::of(peer);
        }
        *(if view.next.is_none() { &mut view.next } else { &mut view.latest }) = Some(statement);
        self.settle(node);
        self.advance();
    }

    /// Lets statements of the node count that waited for its effects.
    pub(crate) fn settle(&mut self, node: u64) {
        let Some(view) = self.views.get_mut(&node) else { return };
        let life = view.life;
        view.settle(self.applied.get(life));
        if let Some(said) = &view.said {
            self.marks.entry(life).or_default().note(said.seq, said.hlc);
        }
    }

    /// A clock that is too far ahead is not followed: what it wrote waits until it is no longer so.
    pub(crate) fn observe(&mut self, hlc: Hlc) {
        if hlc.ms() <= self.now_ms.saturating_add(self.config.max_clock_skew_ms) {
            self.out.push(Output::Observe(hlc));
        }
    }

    pub(crate) fn note_own_mark(&mut self) {
        if self.me.incarnation() > 0 {
            let seq = self.applied.get(self.me);
            self.marks.entry(self.me).or_default().note(seq, self.promised);
        }
    }

    fn own_statement(&self) -> Statement {
        Statement {
            seq: self.applied.get(self.me),
            hlc: self.promised,
            durable: self.durable.clone(),
            lives: self.sealed_lives(),
            epoch: self.stated_epoch(),
            sent_ms: self.now_ms,
            echo: None,
        }
    }

    /// Tells all peers what has changed, and at times that nothing has.
    pub(crate) fn state_all(&mut self) {
        if self.me.incarnation() == 0 {
            return;
        }
        let mut statement = self.own_statement();
        let due: Vec<LinkId> =
            self.links.iter().filter(|(_, link)| self.is_due(link.said_ms)).map(|(id, _)| *id).collect();
        for id in due {
            let Some(link) = self.links.get_mut(&id).filter(|link| link.peer.is_some()) else { continue };
            link.said_ms = Some(self.now_ms);
            statement.echo = link.echo.map(|(sent, at)| (sent, self.now_ms - at));
            self.out.push(Output::Send(id, Frame::Statement(statement.clone())));
        }
    }

    fn is_due(&self, said_ms: Option<i64>) -> bool {
        let Some(said) = said_ms else { return true };
        let ago = self.now_ms - said;
        // What is not stable yet is what somebody waits for.
        let is_busy = self.cut.vector != self.applied;
        ago >= if is_busy { limits::STATEMENT_MS } else { limits::HEARTBEAT_MS }
    }

    /// Moves the cut as far as it goes.
    pub(crate) fn advance(&mut self) {
        let Some((stable, hlc)) = self.reach() else { return };
        if self.cut.hlc.is_some_and(|before| before >= hlc) {
            return;
        }
        self.cut.hlc = Some(hlc);
        for (origin, marks) in &mut self.marks {
            let seq = marks.pass(hlc);
            self.cut.vector.add(effect::Dot { origin: *origin, seq });
        }
        for dot in self.applied.iter().filter(|dot| stable.has(*dot)) {
            if self.heads.get(&dot.origin).is_some_and(|last| *last <= hlc) {
                self.cut.vector.add(dot);
            }
        }
        let past = &self.cut.vector;
        self.contexts.retain(|_, context| !past.covers(context));
        self.marks.retain(|origin, marks| {
            !marks.is_empty() || self.views.values().any(|v| v.life == *origin) || *origin == self.me
        });
        self.out.push(Output::Cut(self.cut.clone()));
    }

    /// What every member has, and the highest timestamp of which everything is in that. None as long as somebody has not spoken.
    fn reach(&self) -> Option<(Vector, Hlc)> {
        if !self.epoch.has(self.me.node()) || self.me.incarnation() == 0 {
            return None;
        }
        let own = self.own_statement();
        let mut said = vec![(self.me, &own)];
        for node in self.epoch.members.iter().filter(|node| **node != self.me.node()) {
            let view = self.views.get(node)?;
            said.push((view.life, view.said.as_ref()?));
        }
        let mut stable = own.durable.clone();
        said.iter().for_each(|(_, statement)| stable = stable.meet(&statement.durable));
        let mut all = self.applied.clone();
        said.iter().for_each(|(_, statement)| all.join(&statement.durable));
        // Everybody is in this epoch, and has done with the earlier lives of everybody: nothing of those is on its way.
        let settled = said.iter().all(|(_, statement)| {
            statement.epoch == self.epoch.number
                && said.iter().all(|(life, _)| statement.life(life.node()) >= life.incarnation())
        });
        if !settled {
            return None;
        }
        let mut hlc = Hlc(u64::MAX);
        for (life, _) in &said {
            hlc = hlc.min(self.marks.get(life)?.bound(stable.get(*life)));
        }
        // Of a past life somebody has more than another. That may be concurrent with whatever was written since: until all have it,
        // the cut stands.
        let mut past = all.iter().filter(|dot| said.iter().all(|(life, _)| *life != dot.origin));
        if past.any(|dot| stable.get(dot.origin) != dot.seq) {
            return None;
        }
        Some((stable, hlc))
    }
}
