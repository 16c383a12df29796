//! A transaction that is committed after others have written its keys without having seen it: it comes before them.
//!
//! ```text
//!   base ─ what the transaction had observed ─ the transaction   ·   what it had not observed, in the order of arrival
//!   └───────────────── becomes the base ─────────────────────┘       └─ is taken in again: it counts as having observed the base
//! ```
//! *Invariant:* the state is the same whether an effect came before the verdict or after it.

use crate::codec::Left;
use crate::op::Effect;
use crate::reduce::event::Event;
use crate::reduce::parts::Parts;
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
        for event in later {
            let effect = self.come_behind(event, left);
            self.carry_out(&Event { effect: &effect, ..*event });
            each(effect);
        }
    }

    /// Prepares the key for an effect whose writer had not seen the transaction committed that left it so, and answers how it is to be taken
    /// in. Where it found no key, it found what was there without the transaction, and takes nothing of what is there now; unless something is
    /// left of what it had observed besides: that has expired, and the key is gone. If it is of another type, the deadline goes too.
    pub fn come_behind<'e>(&mut self, event: &Event<'e>, left: Option<Left>) -> Effect<'e> {
        let Some(Left { kind, deadline }) = left else { return event.effect.clone() };
        if event.effect.op.kind().is_some_and(|other| other != kind) {
            (self.whole.deadlines.base, self.whole.deadlines.base_value) = (None, None);
        }
        let is_alive = deadline.is_none_or(|ms| event.hlc.ms() < ms);
        let fresh = event.effect.fresh && (!is_alive || self.has_observed_parts(event));
        Effect { fresh, ..event.effect.clone() }
    }

    fn has_observed_parts(&self, event: &Event<'_>) -> bool {
        let mut observed = event.context.clone();
        observed.add(crate::id::Dot { seq: event.dot.seq - 1, ..event.dot });
        fn any<T>(parts: &Parts<T>, observed: &Vector) -> bool {
            parts.any_in(observed)
        }
        macro_rules! in_element {
            ($element:expr) => {
                any(&$element.register.values, &observed)
                    || any(&$element.register.edits, &observed)
                    || any(&$element.deadlines.own, &observed)
            };
        }
        in_element!(self.whole)
            || self.list.0.values().any(|element| in_element!(element))
            || self.hash.0.values().any(|element| in_element!(element))
            || self.set.0.values().any(|element| in_element!(element))
            || self.zset.0.values().any(|element| in_element!(element))
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
