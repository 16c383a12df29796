//! Statements, and what follows from them: the cut.
//!
//! An effect with a timestamp `t` is stable if every member has said that it has fsynced it, and the receiver has all that this member wrote
//! before it said so, and the same holds for every effect with a timestamp up to `t`.

use effect::{Dot, Hlc, Origin};

use crate::frame::Frame;
use crate::io::{LinkId, Output};
use crate::limits;
use crate::link::Link;
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
        if statement.epoch == self.epoch.number {
            self.council.meet(node, &statement.durable);
        }
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
        let due: Vec<LinkId> =
            self.links.iter().filter(|(_, link)| link.peer.is_some() && self.is_due(link)).map(|(id, _)| *id).collect();
        if due.is_empty() {
            return;
        }
        let mut statement = self.own_statement();
        for id in due {
            let Some(link) = self.links.get_mut(&id) else { continue };
            link.said_ms = Some(self.now_ms);
            link.said.clone_from(&self.durable);
            statement.echo = link.echo.map(|(sent, at)| (sent, self.now_ms - at));
            self.out.push(Output::Send(id, Frame::Statement(statement.clone())));
        }
    }

    fn is_due(&self, link: &Link) -> bool {
        let Some(said) = link.said_ms else { return true };
        let ago = self.now_ms - said;
        // What is not stable yet is what somebody waits for; what is stable here may not be there before it is told.
        let is_busy = self.cut.vector != self.applied || link.said != self.durable;
        ago >= if is_busy { limits::STATEMENT_MS } else { limits::HEARTBEAT_MS }
    }

    /// Moves the cut as far as it goes.
    pub(crate) fn advance(&mut self) {
        let Some((hlc, complete)) = self.reach() else { return };
        self.cut.hlc = Some(hlc);
        for (origin, marks) in &mut self.marks {
            let seq = marks.pass(hlc);
            self.cut.vector.add(Dot { origin: *origin, seq });
        }
        complete.into_iter().for_each(|dot| self.cut.vector.add(dot));
        debug_assert!(self.applied.covers(&self.cut.vector), "something is stable that was not applied");
        let past = &self.cut.vector;
        self.contexts.retain(|_, context| !past.covers(context));
        self.marks.retain(|origin, marks| {
            !marks.is_empty() || self.views.values().any(|v| v.life == *origin) || *origin == self.me
        });
        self.out.push(Output::Cut(self.cut.clone()));
    }

    /// The highest timestamp of which everybody has everything, if it is above the cut; and the last effects of origins of which all there is
    /// lies below it. None as long as somebody has not spoken.
    fn reach(&self) -> Option<(Hlc, Vec<Dot>)> {
        if !self.epoch.has(self.me.node()) || self.me.incarnation() == 0 {
            return None;
        }
        // Most of what is said moves nothing, since somebody else is behind.
        let is_behind = |life: Origin| self.marks.get(&life).is_none_or(|marks| Some(marks.last()) <= self.cut.hlc);
        let mut lives = self.epoch.members.iter().filter_map(|node| self.views.get(node)).map(|view| view.life);
        if is_behind(self.me) || lives.any(is_behind) {
            return None;
        }
        let mut others: Vec<(Origin, &Statement)> = Vec::with_capacity(self.epoch.members.len());
        for node in self.epoch.members.iter().filter(|node| **node != self.me.node()) {
            let view = self.views.get(node)?;
            others.push((view.life, view.said.as_ref()?));
        }
        // Everybody is in this epoch, and has done with the earlier lives of everybody: nothing of those is on its way.
        let is_here = |epoch: u64| epoch == self.epoch.number;
        if !is_here(self.stated_epoch()) || !others.iter().all(|(_, said)| is_here(said.epoch)) {
            return None;
        }
        let lives = || std::iter::once(self.me).chain(others.iter().map(|(life, _)| *life));
        let mut hlc = Hlc(u64::MAX);
        for life in lives() {
            let is_known = |said: &Statement| said.life(life.node()) >= life.incarnation();
            if !self.has_sealed(life) || !others.iter().all(|(_, said)| is_known(said)) {
                return None;
            }
            let all_have = others.iter().map(|(_, said)| said.durable.get(life)).fold(self.durable.get(life), u64::min);
            hlc = hlc.min(self.marks.get(&life)?.bound(all_have));
        }
        if self.cut.hlc.is_some_and(|before| before >= hlc) {
            return None;
        }
        // Of a past life somebody has more than another. That may be concurrent with whatever was written since: until all have it,
        // the cut stands.
        let is_past = |dot: &Dot| lives().all(|life| life != dot.origin);
        let here = || self.applied.iter().filter(is_past);
        let durables = || std::iter::once(&self.durable).chain(others.iter().map(|(_, said)| &said.durable));
        if !durables().all(|durable| durable.iter().filter(is_past).eq(here())) {
            return None;
        }
        let is_below = |dot: &Dot| self.heads.get(&dot.origin).is_some_and(|last| *last <= hlc);
        let is_complete = |dot: &Dot| is_below(dot) && durables().all(|durable| durable.has(*dot));
        Some((hlc, self.applied.since(&self.cut.vector).filter(is_complete).collect()))
    }
}
