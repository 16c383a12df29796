//! A transaction that is committed after others have written its keys without having seen it: it comes before them.
//!
//! ```text
//!   base ─ what the transaction had observed ─ the transaction   ·   what it had not observed, in the order of arrival
//!   └───────────────── becomes the base ─────────────────────┘       └─ is taken in again: it counts as having observed the base
//! ```
//! *Invariant:* the state is the same whether an effect came before the verdict or after it.

use crate::codec::Left;
use crate::op::Effect;
use crate::reduce::deadlines::Moment;
use crate::reduce::event::Event;
use crate::reduce::reduced::Reduced;
use crate::vector::Vector;

impl Reduced {
    /// Carries out the effects of a committed transaction whose writer had observed `context`. `later` is all that has come of the
    /// key and is not in there, each after what it had observed; `each` is shown what is carried out, as it is. `left` is the key
    /// that the transaction left, as its writer saw it.
    pub fn commit<'e>(
        &mut self,
        context: &Vector,
        effects: &[Event<'e>],
        later: &[Event<'e>],
        left: Option<Left>,
        mut each: impl FnMut(Effect<'e>),
    ) {
        self.keep_only(context);
        self.fold(context);
        let mut past = context.clone();
        for event in effects {
            self.seen.add(event.dot);
            past.add(event.dot);
            self.carry_out(event);
            each(event.effect.clone());
        }
        self.fold(&past);
        // Of what it had observed, a write that found no key may have taken the deadline.
        self.leave_deadline(left.and_then(|left| left.deadline));
        for event in later {
            let effect = self.come_behind(event, left);
            self.carry_out(&Event { effect: &effect, ..*event });
            each(effect);
        }
    }

    /// Prepares the key for an effect whose writer had not seen the transaction committed that left it so, and answers how it is to be taken
    /// in. Where it found no key, it found what was there without the transaction, and takes nothing of what is there now, unless that has
    /// expired. (A writer that finds a key expired removes it first: such a write takes nothing alive that it does not say.) If it is of
    /// another type, the deadline goes too.
    pub fn come_behind<'e>(&mut self, event: &Event<'e>, left: Option<Left>) -> Effect<'e> {
        let Some(Left { kind, deadline }) = left else { return event.effect.clone() };
        if event.effect.op.kind().is_some_and(|other| other != kind) {
            self.leave_deadline(None);
        }
        let is_alive = deadline.is_none_or(|ms| event.hlc.ms() < ms);
        Effect { fresh: event.effect.fresh && !is_alive, ..event.effect.clone() }
    }

    /// The deadline is as a committed transaction left it, whatever was said before.
    pub fn leave_deadline(&mut self, deadline: Option<i64>) {
        (self.whole.deadlines.base, self.whole.deadlines.base_value) = (deadline.map(Moment::At), None);
    }

    /// Takes away what is neither folded nor in `context`.
    fn keep_only(&mut self, context: &Vector) {
        for kind in &mut self.kinds {
            *kind = kind.filter(|tag| context.has(tag.dot));
        }
        self.whole.keep_only(context);
        self.list.each(|element| element.keep_only(context));
        self.hash.each(|element| element.keep_only(context));
        self.set.each(|element| element.keep_only(context));
        self.zset.each(|element| element.keep_only(context));
    }
}
