//! What each output of the state machine comes to.

use std::sync::Arc;

use causal::{Entry, Input, Output, Record};
use effect::trace::traceparent;
use effect::{Batches, Dot, Vector};
use engine::Received;

use crate::driver::Driver;
use crate::reads::Wanted;
use crate::transactions::Come;

/// An output that could not be carried out, and why.
type Held = Box<(Output, String)>;

fn held<T>(output: Output, trouble: impl ToString) -> Result<T, Held> {
    Err(Box::new((output, trouble.to_string())))
}

impl Driver {
    /// Carries out one output. What it answers is told at once.
    pub(crate) fn carry_out(&mut self, output: Output) -> Result<Option<Input>, Held> {
        match output {
            Output::Send(link, frame) => {
                let wire = Arc::clone(&self.wire);
                if let Some(node) = self.links.node(link) {
                    self.outgoing.send(&*wire, node, frame, self.frame_bytes);
                }
            }
            Output::Close(link, why) => {
                if let Some(node) = self.links.node(link) {
                    tracing::debug!(%node, why, "replication closes a connection");
                    self.links.close(node);
                    self.outgoing.forget(node);
                    self.wire.close(node, why);
                }
                self.reads.forget(link);
            }
            Output::Apply(entry, context) => {
                if let Err(trouble) = self.apply(&entry, &context) {
                    return held(Output::Apply(entry, context), trouble);
                }
            }
            Output::Read { link, purpose, origin, from, to, max_bytes } => {
                let wanted = Wanted { link, purpose, origin, from, to, max_bytes };
                return match self.reads.read(&self.engine, &wanted, &self.membership.before) {
                    Ok(found) => Ok(Some(Input::Read { link, purpose, origin, from, found })),
                    Err(error) => held(Output::Read { link, purpose, origin, from, to, max_bytes }, error),
                };
            }
            Output::Observe(hlc) => {
                if let Err(error) = self.engine.observe(hlc) {
                    return held(Output::Observe(hlc), error);
                }
            }
            Output::Cut(cut) => self.cut = Some(cut),
            Output::Persist(record) => {
                if let Err(trouble) = self.persist(&record) {
                    return held(Output::Persist(record), trouble);
                }
            }
            Output::Writable(origin) => {
                let was_restored = std::mem::replace(&mut self.membership.restored, false);
                if was_restored {
                    // Before it counts as sound: at another start of a restored node it is told anew.
                    self.remember_votes(origin);
                }
                if let Err(error) = self.membership.save(&self.engine) {
                    self.membership.restored = was_restored;
                    return held(Output::Writable(origin), error);
                }
                debug_assert_eq!(origin, self.engine.origin(), "the engine writes as the replica says");
                tracing::info!(incarnation = origin.incarnation(), "this node takes writes");
                self.is_dropped = false;
                self.engine.set_open(self.whole.is_none());
                if was_restored && self.whole.is_none() {
                    self.show_life();
                }
            }
            Output::Dropped => {
                self.engine.set_open(false);
                self.is_dropped = true;
                tracing::warn!("this node is no member of its group any more: it takes no writes");
            }
            Output::Farewell(undelivered) => self.take_leave(undelivered),
            Output::Superseded => {
                self.engine.set_open(false);
                self.membership.restored = true;
                if let Err(error) = self.membership.save(&self.engine) {
                    return held(Output::Superseded, error);
                }
                self.host.stop(
                    "other nodes have effects of this one that are not in its data directory: it is an older copy. The next start \
                     takes part as a restored node, under an origin of its own",
                );
            }
            Output::Nacked(node, nack) => tracing::debug!(node, ?nack, "a peer does not apply a batch yet"),
            Output::NeedsSnapshot(origin) => {
                if !std::mem::replace(&mut self.needs_snapshot, true) {
                    tracing::error!(
                        node = origin.node(),
                        "effects are missing here that no connected node's log has any more: this node cannot catch up from logs"
                    );
                }
            }
        }
        Ok(None)
    }

    fn apply(&mut self, entry: &Entry, context: &Vector) -> Result<(), String> {
        let (mut ready, mut position, mut undone) = (Vec::new(), None, None);
        loop {
            let (committed, is_last) = match self.engine.receive_record(&entry.bytes, context) {
                Err(error) => return Err(error.to_string()),
                Ok(Received::Known) => break,
                Ok(Received::Part(committed)) => (committed, false),
                Ok(Received::Applied(committed)) => (committed, true),
                Ok(Received::Undecided { begun, conflicts_with_plain }) => {
                    position = Some(begun.position);
                    self.come.push(Come::Bind(begun, conflicts_with_plain));
                    continue;
                }
                Ok(Received::Shown(bind)) => {
                    if undone.replace(bind) == Some(bind) {
                        return Err(format!("the transaction {bind:?} has failed and cannot be undone here"));
                    }
                    self.undo_before_verdict(bind);
                    continue;
                }
                Ok(Received::Decided(decided, committed)) => {
                    self.come.push(Come::Verdict(decided));
                    (committed, false)
                }
                Ok(Received::Serialized(serialized)) => {
                    self.has_logged = true;
                    self.come.push(Come::Leader(serialized));
                    continue;
                }
            };
            debug_assert!(committed.after.is_none(), "caches are not replicated");
            position = Some(committed.position);
            ready.extend(committed.ready);
            if is_last {
                break;
            }
        }
        note_traces(entry);
        self.batches_in += 1;
        self.effects_in += entry.count;
        self.has_logged |= position.is_some();
        if let Some(position) = position.filter(|_| !ready.is_empty()) {
            self.host.ready(ready, position);
        }
        Ok(())
    }

    /// A transaction is shown, and the verdict against it waits: what is undone is reported before.
    fn undo_before_verdict(&mut self, bind: Dot) {
        // What it has lost to may have just come.
        self.tell_of_others();
        let told = self.desk.failed(self.clock_ms(), bind);
        self.check(told);
        self.do_deeds();
    }

    fn persist(&mut self, record: &Record) -> Result<(), String> {
        match record {
            Record::Life(origin) => return self.engine.take_origin(*origin).map_err(|e| e.to_string()),
            Record::Vote(vote) => self.membership.vote = vote.clone(),
            Record::Epoch(epoch) => {
                tracing::info!(epoch = epoch.number, members = epoch.members.len(), "the members of the group");
                self.membership.epoch = epoch.clone();
                self.membership.vote = causal::Vote::default();
            }
        }
        self.membership.save(&self.engine).map_err(|e| e.to_string())
    }
}

/// Tells of the traces that have arrived, where somebody looks: what they began elsewhere has taken effect here.
fn note_traces(entry: &Entry) {
    if !tracing::enabled!(tracing::Level::DEBUG) {
        return;
    }
    let batches = Batches::decode(&entry.bytes).filter_map(Result::ok);
    for (dot, trace) in batches.filter_map(|batch| Some((batch.first, batch.trace?))) {
        tracing::debug!(origin = %dot.origin.0, seq = dot.seq, traceparent = traceparent(&trace), "applied");
    }
}
