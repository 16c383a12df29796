//! What an effect takes, and what it gives.

use crate::items::{Fields, Item, ItemValue, Items, Runs, Values};
use crate::op::{Deadline, Kind, Merge, Op, Side};
use crate::pos::ListPos;
use crate::reduce::deadlines::{Moment, Statement};
use crate::reduce::edit::{Content, Edit, ScoreDelta};
use crate::reduce::element::Element;
use crate::reduce::event::Event;
use crate::reduce::reduced::{Name, Reduced};
use crate::reduce::tag::Tag;
use crate::value::{Folded, Part};

/// What became of an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// It was carried out.
    Done,
    /// It was seen before, and is not carried out again.
    Duplicate,
    /// It is not about one key (SWAPDB, definitions), or says what is to be done with two (RENAME, which a group of several replicas
    /// writes as a removal and a whole value): nothing happened.
    Beyond,
}

impl Reduced {
    /// Takes an effect in. Whatever its writer had seen must have been applied before; duplicates do no harm.
    pub fn apply(&mut self, event: &Event<'_>) -> Applied {
        if self.seen.has(event.dot) {
            return Applied::Duplicate;
        }
        debug_assert!(self.seen.covers(event.context), "{:?} has observed what was not applied", event.dot);
        debug_assert!(
            self.folded.iter().all(|dot| event.reach(dot.origin) >= dot.seq),
            "{:?} was not awaited",
            event.dot
        );
        self.seen.add(event.dot);
        self.carry_out(event)
    }

    /// The same for whoever sees to it that each comes once, and after what its writer had seen.
    pub(super) fn carry_out(&mut self, event: &Event<'_>) -> Applied {
        if event.effect.fresh {
            self.take(event, false);
        }
        match &event.effect.op {
            Op::Set { value, deadline } => self.set(event, value, *deadline),
            Op::AddInt(delta) => self.edit(event, Edit::AddInt(*delta)),
            Op::AddDecimal(delta) => self.edit(event, Edit::AddDecimal((*delta).into())),
            Op::MaxBytes(bytes) => self.edit(event, Edit::MaxBytes((*bytes).into())),
            Op::Patch(patch) => self.edit(event, Edit::of_patch(patch)),
            Op::Put { kind, merge, deadline, items } => self.put(event, *kind, (*merge, *deadline), items),
            Op::Drop { kind, ids } => ids.iter().for_each(|id| self.drop_element(event, *kind, id)),
            Op::FieldDeadlines(fields) => self.field_deadlines(event, fields),
            Op::Push { side, first, values } => self.push(event, *side, first, values),
            Op::Insert { pos, value } => self.insert(event, [(pos.clone(), *value)]),
            Op::SetAt { pos, value } => self.set_at(event, pos, value),
            Op::Cut(runs) => self.cut(event, runs),
            Op::Replace { value, deadline } => self.replace(event, value, *deadline),
            Op::Snapshot { value, deadline, .. } => {
                self.replace(event, value, deadline.map_or(Deadline::Clear, Deadline::At));
            }
            Op::Expire(deadline) => {
                self.whole.deadlines.take(event);
                self.state(event, Moment::of(*deadline), None);
            }
            Op::Remove | Op::FlushDb | Op::FlushAll => self.take(event, false),
            Op::Noop | Op::Bind(_) | Op::Verdict { .. } | Op::Serialize(_) | Op::Again(_) => {}
            Op::Rename { .. } | Op::SwapDb(_) | Op::Define(_) | Op::Undefine | Op::Moved(_) | Op::GroupDefine(_) => {
                return Applied::Beyond;
            }
        }
        Applied::Done
    }

    /// Takes all that the event has observed.
    fn take(&mut self, event: &Event<'_>, keep_deadlines: bool) {
        self.whole.take(event, keep_deadlines);
        self.list.take(event);
        self.hash.take(event);
        self.set.take(event);
        self.zset.take(event);
    }

    /// A write of `kind` takes what is earlier and of another type. Whether it stands itself: no write of another type is later.
    fn begin(&mut self, event: &Event<'_>, kind: Kind) -> bool {
        let latest = &mut self.kinds[index(kind)];
        *latest = (*latest).max(Some(event.tag()));
        self.take_bases(kind);
        self.take_types(kind, event.tag());
        self.whole.deadlines.take_types(kind, event);
        self.stands(event, kind)
    }

    /// Whether no write of another type is later.
    fn stands(&self, event: &Event<'_>, kind: Kind) -> bool {
        let tag = Some(event.tag());
        self.kinds.iter().enumerate().all(|(at, latest)| at == index(kind) || *latest < tag)
    }

    /// Takes what is of another type than `kind` and earlier than a write of it; of what is not folded.
    fn take_types(&mut self, kind: Kind, tag: Tag) {
        if kind != Kind::String {
            self.whole.register.take_before(tag);
        }
        if kind != Kind::List {
            self.list.take_before(tag);
        }
        if kind != Kind::Hash {
            self.hash.take_before(tag);
        }
        if kind != Kind::Set {
            self.set.take_before(tag);
        }
        if kind != Kind::ZSet {
            self.zset.take_before(tag);
        }
    }

    /// Takes what is void beside the latest writes of each type: what two states did not know of each other.
    pub(super) fn take_void(&mut self) {
        for kind in [Kind::String, Kind::List, Kind::Hash, Kind::Set, Kind::ZSet] {
            if let Some(tag) = self.kinds[index(kind)] {
                self.take_types(kind, tag);
            }
        }
    }

    /// Takes what of the bases is of another type than `kind`: whoever writes has observed them.
    fn take_bases(&mut self, kind: Kind) {
        if kind != Kind::String {
            self.whole.register.base = None;
            self.whole.deadlines.base_value = None;
        }
        if kind != Kind::List {
            self.list.take_bases();
        }
        if kind != Kind::Hash {
            self.hash.take_bases();
        }
        if kind != Kind::Set {
            self.set.take_bases();
        }
        if kind != Kind::ZSet {
            self.zset.take_bases();
        }
    }

    fn state(&mut self, event: &Event<'_>, moment: Moment, of: Option<Kind>) {
        self.whole.deadlines.own.give_one(event.tag(), Statement { moment, of });
    }

    /// What a whole value says of the key's deadline.
    fn state_whole(&mut self, event: &Event<'_>, deadline: Deadline, kind: Kind) {
        match deadline {
            Deadline::At(ms) => self.state(event, Moment::At(ms), Some(kind)),
            Deadline::Keep if !event.effect.fresh => {}
            Deadline::Clear | Deadline::Keep => self.state(event, Moment::Never, Some(kind)),
        }
    }

    /// What a write that is no whole value says of it: where it found no key, never.
    fn state_fresh(&mut self, event: &Event<'_>) {
        if event.effect.fresh {
            self.state(event, Moment::Never, None);
        }
    }

    fn set(&mut self, event: &Event<'_>, value: &[u8], deadline: Deadline) {
        self.take(event, deadline == Deadline::Keep && !event.effect.fresh);
        if self.begin(event, Kind::String) {
            self.whole.register.values.give_one(event.tag(), value.to_vec());
            self.state_whole(event, deadline, Kind::String);
        }
    }

    fn edit(&mut self, event: &Event<'_>, edit: Edit) {
        self.state_fresh(event);
        if self.begin(event, Kind::String) {
            self.whole.register.edits.give(event.tag(), edit);
        }
    }

    fn put(&mut self, event: &Event<'_>, kind: Kind, how: (Merge, Deadline), items: &Items<'_>) {
        self.state_fresh(event);
        let stands = !items.is_empty() && self.begin(event, kind);
        for item in items.iter() {
            match kind {
                Kind::Hash => self.put_field(event, how, &item, stands),
                Kind::Set => self.put_member(event, item.id, stands),
                Kind::ZSet => self.put_score(event, &item, stands),
                Kind::String | Kind::List => {}
            }
        }
    }

    fn put_field(&mut self, event: &Event<'_>, how: (Merge, Deadline), item: &Item<'_>, stands: bool) {
        let (merge, deadline) = how;
        let edit = match (merge, item.value) {
            (Merge::MaxInt, ItemValue::Int(n)) => Edit::MaxInt(n),
            (_, ItemValue::Int(n)) => Edit::AddInt(n),
            (_, ItemValue::Decimal(text)) => Edit::AddDecimal(text.into()),
            (Merge::MaxBytes, ItemValue::Bytes(bytes)) => Edit::MaxBytes(bytes.into()),
            (Merge::FirstWriter, ItemValue::Bytes(bytes)) => Edit::First(bytes.into()),
            (_, ItemValue::Bytes(value)) => return self.write_field(event, item.id, value, deadline, stands),
            (_, ItemValue::Member | ItemValue::Score(_) | ItemValue::ScoreDelta { .. }) => return,
        };
        if stands {
            self.hash.at(item.id.into()).register.edits.give(event.tag(), edit);
        }
    }

    fn write_field(&mut self, event: &Event<'_>, id: &[u8], value: &[u8], deadline: Deadline, stands: bool) {
        let keep = deadline == Deadline::Keep;
        self.hash.with(id, |field| field.take(event, keep));
        if !stands {
            return;
        }
        let field = self.hash.at(id.into());
        field.register.values.give_one(event.tag(), value.to_vec());
        if !keep {
            let moment = Moment::of(deadline.after(None));
            field.deadlines.own.give_one(event.tag(), Statement { moment, of: Some(Kind::Hash) });
        }
    }

    fn put_member(&mut self, event: &Event<'_>, id: &[u8], stands: bool) {
        self.set.with(id, |member| member.take(event, false));
        if stands {
            self.set.at(id.into()).register.values.give_one(event.tag(), ());
        }
    }

    fn put_score(&mut self, event: &Event<'_>, item: &Item<'_>, stands: bool) {
        match item.value {
            ItemValue::ScoreDelta { from, to } if stands => {
                self.zset.at(item.id.into()).register.edits.give(event.tag(), ScoreDelta { from, to });
            }
            ItemValue::Score(score) => {
                self.zset.with(item.id, |member| member.take(event, false));
                if stands {
                    self.zset.at(item.id.into()).register.values.give_one(event.tag(), score);
                }
            }
            _ => {}
        }
    }

    fn drop_element(&mut self, event: &Event<'_>, kind: Kind, id: &[u8]) {
        match kind {
            Kind::Hash => self.hash.with(id, |field| field.take(event, false)),
            Kind::Set => self.set.with(id, |member| member.take(event, false)),
            Kind::ZSet => self.zset.with(id, |member| member.take(event, false)),
            Kind::String | Kind::List => {}
        }
    }

    fn field_deadlines(&mut self, event: &Event<'_>, fields: &Fields<'_>) {
        let stands = self.stands(event, Kind::Hash);
        for (id, deadline) in fields.iter() {
            self.hash.with(id, |field| field.deadlines.take(event));
            if stands {
                let statement = Statement { moment: Moment::of(deadline), of: None };
                self.hash.at(Name::from(id)).deadlines.own.give_one(event.tag(), statement);
            }
        }
    }

    fn push(&mut self, event: &Event<'_>, side: Side, first: &ListPos, values: &Values<'_>) {
        let way = if side == Side::Head { -1 } else { 1 };
        self.insert(event, values.iter().enumerate().map(|(i, value)| (first.step(way * i as i64), value)));
    }

    fn insert<'v>(&mut self, event: &Event<'_>, elements: impl IntoIterator<Item = (ListPos, &'v [u8])>) {
        self.state_fresh(event);
        let mut elements = elements.into_iter().peekable();
        if elements.peek().is_some() && self.begin(event, Kind::List) {
            for (pos, value) in elements {
                self.list.at(pos).register.values.give_one(event.tag(), value.to_vec());
            }
        }
    }

    fn set_at(&mut self, event: &Event<'_>, pos: &ListPos, value: &[u8]) {
        if !self.stands(event, Kind::List) {
            return;
        }
        self.list.with(pos, |Element { register, .. }| {
            register.edits.take(event);
            let observed =
                register.values.iter().map(|(tag, _)| tag.dot).filter(|dot| dot.seq <= event.reach(dot.origin));
            let base = register.base.is_some().then_some(None);
            let on: Vec<_> = base.into_iter().chain(observed.map(Some)).collect();
            if !on.is_empty() {
                register.edits.give_one(event.tag(), Content { value: value.into(), on });
            }
        });
    }

    fn cut(&mut self, event: &Event<'_>, runs: &Runs<'_>) {
        for (first, len) in runs.iter() {
            let here: Vec<ListPos> = self.positions(&first, len).cloned().collect();
            here.iter().for_each(|pos| self.list.with(pos, |element| element.take(event, false)));
        }
    }

    /// The positions of a run at which there are parts.
    pub(super) fn positions(&self, first: &ListPos, len: u64) -> impl Iterator<Item = &ListPos> {
        let last = first.step(len.saturating_sub(1) as i64);
        let is_run = len > 0 && *first <= last;
        let path = first.path.clone();
        let range = is_run.then(|| self.list.0.range(first.clone()..=last));
        range.into_iter().flatten().map(|(pos, _)| pos).filter(move |pos| pos.path == path)
    }

    fn replace(&mut self, event: &Event<'_>, value: &Folded<'_>, deadline: Deadline) {
        self.take(event, deadline == Deadline::Keep && !event.effect.fresh);
        let mut is_empty = true;
        value.for_each(|_| is_empty = false);
        if is_empty || !self.begin(event, value.kind()) {
            return;
        }
        self.state_whole(event, deadline, value.kind());
        let tag = event.tag();
        value.for_each(|part| match part {
            Part::String(bytes) => self.whole.register.values.give_one(tag, bytes.to_vec()),
            Part::Field { field, value, deadline } => {
                let field = self.hash.at(field.into());
                field.register.values.give_one(tag, value.to_vec());
                field.deadlines.own.give_one(tag, Statement { moment: Moment::of(deadline), of: Some(Kind::Hash) });
            }
            Part::Member(member) => self.set.at(member.into()).register.values.give_one(tag, ()),
            Part::Scored(member, score) => self.zset.at(member.into()).register.values.give_one(tag, score),
            Part::Element(pos, value) => self.list.at(pos).register.values.give_one(tag, value.to_vec()),
        });
    }
}

fn index(kind: Kind) -> usize {
    kind as usize - 1
}
