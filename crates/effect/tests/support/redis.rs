//! Commands, decided on what is seen: which effects a node writes. What Redis refuses or leaves as it is writes none.

use effect::{Deadline, Kind, ListPos, Merge, Side};

use crate::support::view::{Held, View};
use crate::support::{Act, Bytes, Value, Whole};

/// Who decides, and what is seen.
pub struct Site<'a> {
    /// Whose the list positions are that are opened.
    pub me: u64,
    /// Unix ms.
    pub now: i64,
    /// The key, with what has expired left out.
    pub view: Option<&'a View>,
    /// A deadline of the key (of a field) is hidden behind a value that won.
    pub hides: &'a dyn Fn(Option<&[u8]>) -> bool,
    /// Something was said of the deadline of a field that is not there.
    pub lone: &'a dyn Fn(&[u8]) -> bool,
}

type Written = Vec<(bool, Act)>;

fn bytes(text: &str) -> Bytes {
    match text.strip_prefix("\\x") {
        Some(hex) => vec![u8::from_str_radix(hex, 16).expect("a hexadecimal byte")],
        None => text.as_bytes().to_vec(),
    }
}

fn int(text: &str) -> i64 {
    text.parse().expect("an integer")
}

fn float(text: &[u8]) -> Option<f64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn integer(text: &[u8]) -> Option<i64> {
    effect::numeric::parse_int(text)
}

/// What INCRBYFLOAT writes: the exact difference of the text that it leaves to the text that it saw.
fn difference(old: Option<&Bytes>, delta: &str) -> Option<Bytes> {
    let before = old.map_or(Some(0.0), |old| float(old))?;
    let left = before + float(delta.as_bytes())?;
    let exact = |text: &[u8]| effect::numeric::parse_decimal(text).unwrap_or_default();
    let difference = exact(left.to_string().as_bytes()) - exact(old.map_or(b"0", |old| old));
    left.is_finite().then(|| difference.to_plain_string().into_bytes())
}

/// What stands in for a HyperLogLog: a register for each element of one letter.
pub fn sketch(elements: &[&str]) -> Bytes {
    let mut registers = vec![0; 26];
    elements.iter().for_each(|element| registers[usize::from(element.as_bytes()[0] - b'a')] = element.as_bytes()[0]);
    registers
}

impl Site<'_> {
    fn after(&self, seconds: &str) -> i64 {
        self.now + int(seconds) * 1000
    }

    fn string(&self) -> Option<Option<&Bytes>> {
        match self.view.map(|view| &view.value) {
            None => Some(None),
            Some(Held::String(bytes)) => Some(Some(bytes)),
            Some(_) => None,
        }
    }

    /// A whole value that keeps the deadline: stated anew if there is another that must not come to count.
    fn keeping(&self, act: Act) -> Written {
        let stated = (self.hides)(None).then(|| self.view.map(|view| (false, Act::Expire(view.deadline)))).flatten();
        [(self.view.is_none(), act)].into_iter().chain(stated).collect()
    }

    /// What `command` writes to the key.
    pub fn decide(&self, command: &[&str]) -> Written {
        let fresh = self.view.is_none();
        match *command {
            ["NOOP"] => vec![(false, Act::Noop)],
            ["FLUSHDB"] => vec![(false, Act::FlushDb)],
            ["FLUSHALL"] => vec![(false, Act::FlushAll)],
            ["DEL"] if !fresh => vec![(false, Act::Remove)],
            ["EXPIRE", seconds] if !fresh => vec![(false, Act::Expire(Some(self.after(seconds))))],
            ["PERSIST"] if self.view.is_some_and(|view| view.deadline.is_some()) => vec![(false, Act::Expire(None))],
            ["SET", value] => vec![(fresh, Act::Set(bytes(value), Deadline::Clear))],
            ["SET", value, "EX", s] => vec![(fresh, Act::Set(bytes(value), Deadline::At(self.after(s))))],
            ["SET", value, "KEEPTTL"] => self.keeping(Act::Set(bytes(value), Deadline::Keep)),
            ["RESTORE", s, ref rest @ ..] => {
                let members = rest.iter().map(|member| bytes(member)).collect();
                vec![(fresh, Act::Replace(Whole::Set(members), Deadline::At(self.after(s))))]
            }
            ["RESTOREHASH", ref rest @ ..] => {
                let fields = rest.chunks(2).map(|pair| (bytes(pair[0]), bytes(pair[1]), None)).collect();
                vec![(fresh, Act::Replace(Whole::Hash(fields), Deadline::Clear))]
            }
            ["RESTORESTRING", value] => self.keeping(Act::Replace(Whole::String(bytes(value)), Deadline::Keep)),
            [name, ref rest @ ..] => {
                let written = self.string_command(name, rest).or_else(|| self.hash_command(name, rest));
                let written = written.or_else(|| self.list_command(name, rest));
                written.or_else(|| self.set_command(name, rest)).unwrap_or_default()
            }
            [] => Vec::new(),
        }
    }

    fn string_command(&self, name: &str, args: &[&str]) -> Option<Written> {
        let known = ["INCR", "INCRBY", "INCRBYFLOAT", "APPEND", "SETRANGE", "SETBIT", "SETBITS", "PFADD"];
        if !known.contains(&name) {
            return None;
        }
        let Some(old) = self.string() else { return Some(Vec::new()) };
        let act = match (name, args) {
            ("INCR", []) => self.string_command("INCRBY", &["1"])?.pop().map(|(_, act)| act),
            ("INCRBY", [delta]) => {
                let delta = int(delta);
                let before = old.map_or(Some(0), |old| integer(old));
                before.and_then(|before| before.checked_add(delta)).map(|_| Act::AddInt(delta))
            }
            ("INCRBYFLOAT", [delta]) => difference(old, delta).map(Act::AddDecimal),
            ("APPEND", [more]) if old.is_none() => Some(Act::Set(bytes(more), Deadline::Clear)),
            ("APPEND", [more]) => Some(Act::Append(bytes(more))),
            ("SETRANGE", [offset, with]) => Some(Act::Write(int(offset) as u64, bytes(with))),
            ("SETBIT", [offset, bit]) => Some(Act::Bits(int(offset) as u64, 1, int(bit) as u64)),
            ("SETBITS", [offset, width, value]) => {
                Some(Act::Bits(int(offset) as u64, int(width) as u8, int(value) as u64))
            }
            ("PFADD", [element]) => Some(Act::MaxBytes(sketch(&[element]))),
            _ => None,
        };
        Some(act.into_iter().map(|act| (old.is_none(), act)).collect())
    }

    fn hash_command(&self, name: &str, args: &[&str]) -> Option<Written> {
        let fresh = self.view.is_none();
        let none = Default::default();
        let fields = match self.view.map(|view| &view.value) {
            None => &none,
            Some(Held::Hash(fields)) => fields,
            Some(_) => return name.starts_with('H').then(Vec::new),
        };
        let put = |merge, deadline, items| Act::Put(Kind::Hash, merge, deadline, items);
        let is_hidden = |field: &str| self.view.is_some_and(|view| view.hidden.contains(field.as_bytes()));
        let mut acts = Vec::new();
        match (name, args) {
            ("HSET", pairs) => {
                let items = pairs.chunks(2).map(|pair| (bytes(pair[0]), Value::Bytes(bytes(pair[1])))).collect();
                acts.push((fresh, put(Merge::LastWriter, Deadline::Clear, items)));
            }
            ("HSETEX", [field, value, how]) => {
                if is_hidden(field) && *how == "KEEPTTL" {
                    acts.push((false, Act::Drop(Kind::Hash, vec![bytes(field)])));
                }
                let deadline = if *how == "KEEPTTL" { Deadline::Keep } else { Deadline::At(self.after(how)) };
                let item = (bytes(field), Value::Bytes(bytes(value)));
                acts.push((fresh, put(Merge::LastWriter, deadline, vec![item])));
                let restates = (self.hides)(Some(field.as_bytes())) || (self.lone)(field.as_bytes());
                if *how == "KEEPTTL" && !fresh && !is_hidden(field) && restates {
                    let kept = fields.get(field.as_bytes()).and_then(|(_, deadline)| *deadline);
                    acts.push((false, Act::FieldDeadlines(vec![(bytes(field), kept)])));
                }
            }
            ("HINCRBY" | "HINCRBYFLOAT", [field, delta]) => {
                let old = fields.get(field.as_bytes()).map(|(value, _)| value);
                let (merge, value) = match name {
                    "HINCRBY" => {
                        let sum = old.map_or(Some(0), |old| integer(old)).and_then(|old| old.checked_add(int(delta)));
                        (Merge::AddInt, sum.map(|_| Value::Int(int(delta))))
                    }
                    _ => (Merge::AddFloat, difference(old, delta).map(Value::Decimal)),
                };
                let Some(value) = value else { return Some(acts) };
                if is_hidden(field) {
                    acts.push((false, Act::Drop(Kind::Hash, vec![bytes(field)])));
                }
                acts.push((fresh, put(merge, Deadline::Keep, vec![(bytes(field), value)])));
                if !fresh && (self.lone)(field.as_bytes()) {
                    acts.push((false, Act::FieldDeadlines(vec![(bytes(field), None)])));
                }
            }
            ("HDEL", [field]) if fields.contains_key(field.as_bytes()) => {
                acts.push((false, Act::Drop(Kind::Hash, vec![bytes(field)])));
            }
            ("HEXPIRE", [seconds, field]) if fields.contains_key(field.as_bytes()) => {
                acts.push((false, Act::FieldDeadlines(vec![(bytes(field), Some(self.after(seconds)))])));
            }
            ("HPERSIST", [field]) if fields.get(field.as_bytes()).is_some_and(|field| field.1.is_some()) => {
                acts.push((false, Act::FieldDeadlines(vec![(bytes(field), None)])));
            }
            ("HDEL" | "HEXPIRE" | "HPERSIST", _) => {}
            _ => return None,
        }
        Some(acts)
    }

    fn list_command(&self, name: &str, args: &[&str]) -> Option<Written> {
        if !["RPUSH", "LPUSH", "LPOP", "RPOP", "LSET", "LREM", "LINSERT", "LTRIM"].contains(&name) {
            return None;
        }
        let none = Vec::new();
        let elements = match self.view.map(|view| &view.value) {
            None => &none,
            Some(Held::List(elements)) => elements,
            Some(_) => return Some(none.into_iter().map(|_: (ListPos, Bytes)| (false, Act::Noop)).collect()),
        };
        let (first, last) = (elements.first().map(|(pos, _)| pos), elements.last().map(|(pos, _)| pos));
        let cut =
            |positions: &[(ListPos, Bytes)]| Act::Cut(positions.iter().map(|(pos, _)| (pos.clone(), 1)).collect());
        let find = |wanted: &str| elements.iter().position(|(_, value)| value == wanted.as_bytes());
        let values = || args.iter().map(|value| bytes(value)).collect();
        let act = match (name, args) {
            ("RPUSH", _) => Some(Act::Push(Side::Tail, ListPos::after_tail(last, self.me), values())),
            ("LPUSH", _) => Some(Act::Push(Side::Head, ListPos::before_head(first, self.me), values())),
            ("LPOP", []) if first.is_some() => Some(cut(&elements[..1])),
            ("RPOP", []) if first.is_some() => Some(cut(&elements[elements.len() - 1..])),
            ("LTRIM", [count]) if int(count) < elements.len() as i64 => Some(cut(&elements[int(count) as usize..])),
            ("LSET", [index, value]) => {
                elements.get(int(index) as usize).map(|(pos, _)| Act::SetAt(pos.clone(), bytes(value)))
            }
            ("LREM", [_, value]) => find(value).map(|at| cut(&elements[at..=at])),
            ("LINSERT", [side, pivot, value]) => find(pivot).map(|at| {
                let at = if *side == "AFTER" { at + 1 } else { at };
                let pos = match at.checked_sub(1).map(|left| &elements[left].0) {
                    None => ListPos::before_head(first, self.me),
                    Some(left) => ListPos::between(left, elements.get(at).map(|(pos, _)| pos), self.me),
                };
                Act::Insert(pos, bytes(value))
            }),
            _ => None,
        };
        Some(act.into_iter().map(|act| (self.view.is_none(), act)).collect())
    }

    fn set_command(&self, name: &str, args: &[&str]) -> Option<Written> {
        let fresh = self.view.is_none();
        let (no_members, no_scores) = (Default::default(), Default::default());
        let (members, scores) = match self.view.map(|view| &view.value) {
            None => (&no_members, &no_scores),
            Some(Held::Set(members)) if name.starts_with('S') => (members, &no_scores),
            Some(Held::ZSet(scores)) if name.starts_with('Z') => (&no_members, scores),
            Some(_) => return Some(Vec::new()),
        };
        let act = match (name, args) {
            ("SADD", _) => {
                let new = args.iter().filter(|member| !members.contains(member.as_bytes()));
                let items: Vec<_> = new.map(|member| (bytes(member), Value::Member)).collect();
                (!items.is_empty()).then_some(Act::Put(Kind::Set, Merge::LastWriter, Deadline::Clear, items))
            }
            // One that writes what is there again.
            ("SADD!", [member]) => {
                let items = vec![(bytes(member), Value::Member)];
                Some(Act::Put(Kind::Set, Merge::LastWriter, Deadline::Clear, items))
            }
            ("SREM" | "SPOP", [member]) if members.contains(member.as_bytes()) => {
                Some(Act::Drop(Kind::Set, vec![bytes(member)]))
            }
            ("ZADD", [score, member]) => {
                let score = float(score.as_bytes()).expect("a score");
                let items = vec![(bytes(member), Value::Score(score.to_bits()))];
                Some(Act::Put(Kind::ZSet, Merge::LastWriter, Deadline::Keep, items))
            }
            ("ZINCRBY", [delta, member]) => {
                let from = scores.get(member.as_bytes()).copied().unwrap_or(0.0);
                let to = from + float(delta.as_bytes()).expect("a score");
                let items = vec![(bytes(member), Value::ScoreDelta(from.to_bits(), to.to_bits()))];
                (!to.is_nan()).then_some(Act::Put(Kind::ZSet, Merge::AddFloat, Deadline::Keep, items))
            }
            ("ZREM", [member]) if scores.contains_key(member.as_bytes()) => {
                Some(Act::Drop(Kind::ZSet, vec![bytes(member)]))
            }
            _ => None,
        };
        Some(act.into_iter().map(|act| (fresh, act)).collect())
    }
}
