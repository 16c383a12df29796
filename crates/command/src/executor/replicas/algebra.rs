//! What the algebra makes of all effects of a group: plain ones in any order, and each committed transaction before what it had not
//! observed.

use std::collections::{BTreeMap, BTreeSet};

use effect::codec::Left;
use effect::reduce::{Event, Reduced};
use effect::{Batches, Dot, Effect, GroupKeyspaces, Hlc, Op, Stamp, Vector};
use engine::Fed;

/// A key, by physical database.
type Name = (u8, Vec<u8>);

/// What the algebra has reduced.
#[derive(Default)]
pub(super) struct All {
    pub(super) keys: BTreeMap<Name, Reduced>,
    pub(super) swaps: Vec<(Stamp, u8, u8)>,
    pub(super) keyspaces: GroupKeyspaces,
}

struct Item<'f> {
    dot: Dot,
    hlc: Hlc,
    context: Vector,
    effect: Effect<'f>,
}

#[derive(Default)]
struct Transaction<'f> {
    context: Vector,
    written: BTreeMap<Name, Option<Left>>,
    effects: Vec<Item<'f>>,
    verdicts: Vec<Dot>,
    committed: bool,
}

impl Item<'_> {
    fn concerns(&self, name: &Name) -> bool {
        match self.effect.op {
            Op::FlushAll => true,
            Op::FlushDb => self.effect.db == name.0,
            _ => self.effect.op.is_of_one_key() && self.effect.db == name.0 && *self.effect.key == *name.1,
        }
    }

    fn take_in(&self, key: &mut Reduced, behind: Option<&(Option<Left>, &Transaction<'_>)>) {
        let event = Event { dot: self.dot, hlc: self.hlc, context: &self.context, effect: &self.effect };
        let unseen = behind.filter(|(_, last)| !last.verdicts.iter().any(|verdict| self.context.has(*verdict)));
        match unseen {
            Some((left, _)) => {
                let effect = key.come_behind(&event, *left);
                key.take_in(&Event { effect: &effect, ..event });
            }
            None => key.take_in(&event),
        }
    }
}

/// Of records in an order that respects causality; transactions without a verdict end as `outcomes` says, or have failed.
pub(super) fn reduce(records: &[&Fed], outcomes: &BTreeMap<Dot, bool>) -> All {
    let (mut plain, mut transactions) = (Vec::new(), BTreeMap::<Dot, Transaction<'_>>::new());
    let mut all = All::default();
    for fed in records {
        for batch in Batches::decode(&fed.record) {
            let (batch, mut bind) = (batch.expect("it was read before"), None);
            for (n, effect) in (0..).zip(batch.effects()) {
                let effect = effect.expect("it was read before");
                let (dot, hlc) = (Dot { seq: batch.first.seq + n, ..batch.first }, batch.hlc.plus(n));
                let mut context = fed.context.clone();
                context.add(Dot { seq: dot.seq - 1, ..dot });
                match &effect.op {
                    Op::Bind(begun) => {
                        let of = transactions.entry(dot).or_default();
                        of.context = begun.context.iter().collect();
                        let written = begun.keys.iter().filter(|key| key.written);
                        of.written = written.map(|key| ((key.db, key.key.to_vec()), key.left)).collect();
                        bind = Some(dot);
                    }
                    Op::Verdict { bind, committed, .. } => {
                        let of = transactions.get_mut(bind).expect("it was begun before");
                        of.verdicts.push(dot);
                        of.committed = *committed;
                    }
                    Op::GroupDefine(_) => all.keyspaces.apply(&effect, dot, hlc),
                    Op::SwapDb(other) => all.swaps.push((Stamp::new(dot, hlc), effect.db, *other)),
                    _ => {
                        let item = Item { dot, hlc, context, effect };
                        match bind.and_then(|bind| transactions.get_mut(&bind)) {
                            Some(of) => of.effects.push(item),
                            None => plain.push(item),
                        }
                    }
                }
            }
        }
    }
    for (dot, of) in transactions.iter_mut().filter(|(_, of)| of.verdicts.is_empty()) {
        of.committed = outcomes.get(dot).copied().unwrap_or(false);
    }
    let effects = transactions.values().flat_map(|of| &of.effects).chain(&plain);
    let one_key = effects.filter(|item| item.effect.op.is_of_one_key());
    let names: BTreeSet<Name> = one_key.map(|item| (item.effect.db, item.effect.key.to_vec())).collect();
    let mut committed: Vec<&Transaction<'_>> = transactions.values().filter(|of| of.committed).collect();
    // Each has observed those before it.
    committed.sort_by_key(|of| of.context.iter().map(|dot| dot.seq).sum::<u64>());
    for name in names {
        let key = reduce_key(&name, &plain, &committed);
        all.keys.insert(name, key);
    }
    all
}

fn reduce_key(name: &Name, plain: &[Item<'_>], committed: &[&Transaction<'_>]) -> Reduced {
    let (mut key, mut behind) = (Reduced::new(), None);
    let mut due: Vec<&Item<'_>> = plain.iter().filter(|item| item.concerns(name)).collect();
    for transaction in committed {
        let Some(left) = transaction.written.get(name) else { continue };
        due.retain(|item| {
            let is_before = transaction.context.has(item.dot);
            if is_before {
                item.take_in(&mut key, behind.as_ref());
            }
            !is_before
        });
        let own = transaction.effects.iter().filter(|item| item.concerns(name));
        let events: Vec<Event<'_>> =
            own.map(|Item { dot, hlc, context, effect }| Event { dot: *dot, hlc: *hlc, context, effect }).collect();
        key.commit(&transaction.context, &events, &[], *left, |_| {});
        behind = Some((*left, *transaction));
    }
    due.iter().for_each(|item| item.take_in(&mut key, behind.as_ref()));
    key
}
