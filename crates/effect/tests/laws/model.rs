//! What Redis does with one key: state and commands, without effects.

use std::collections::{BTreeMap, BTreeSet};

use effect::ListPos;

use crate::support::Bytes;
use crate::support::redis::sketch;
use crate::support::view::{Held, View};

/// One key.
#[derive(Debug, Default)]
pub struct Model {
    key: Option<View>,
}

pub fn number<T: std::str::FromStr>(text: &str) -> T {
    text.parse().ok().expect("a number")
}

fn float(text: &[u8]) -> Option<f64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn int(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    text.parse::<i64>().ok().filter(|n| n.to_string() == text)
}

/// Positions mean nothing here.
fn list(values: Vec<Bytes>) -> Held {
    Held::List(values.into_iter().enumerate().map(|(i, value)| (ListPos::new(0, 0, i as i64), value)).collect())
}

impl Model {
    pub fn view(&self, now: i64) -> Option<View> {
        self.key.clone()?.at(now)
    }

    pub fn run(&mut self, now: i64, command: &str) {
        let words: Vec<&str> = command.split(' ').collect();
        self.key = self.view(now).map(|view| View::new(view.value, view.deadline));
        let after = |seconds: &str| now + number::<i64>(seconds) * 1000;
        let old_deadline = self.key.as_ref().and_then(|key| key.deadline);
        let bytes = |text: &str| text.as_bytes().to_vec();
        let put = |value, deadline| Some(View::new(value, deadline));
        match words[..] {
            ["FLUSHDB"] | ["DEL", _] => self.key = None,
            ["NOOP", _] => {}
            ["EXPIRE", _, s] => self.key.iter_mut().for_each(|key| key.deadline = Some(after(s))),
            ["PERSIST", _] => self.key.iter_mut().for_each(|key| key.deadline = None),
            ["SET", _, value] => self.key = put(Held::String(bytes(value)), None),
            ["SET", _, value, "EX", s] => self.key = put(Held::String(bytes(value)), Some(after(s))),
            ["SET", _, value, "KEEPTTL"] | ["RESTORESTRING", _, value] => {
                self.key = put(Held::String(bytes(value)), old_deadline);
            }
            ["RESTORE", _, s, ref members @ ..] => {
                self.key = put(Held::Set(members.iter().map(|m| bytes(m)).collect()), Some(after(s)));
            }
            ["RESTOREHASH", _, ref fields @ ..] => {
                let fields = fields.chunks(2).map(|pair| (bytes(pair[0]), (bytes(pair[1]), None)));
                self.key = put(Held::Hash(fields.collect()), None);
            }
            [name, _, ref args @ ..] => self.change(name, args, now),
            _ => unreachable!("{command}"),
        }
        self.key = self.key.take().filter(|key| !key.is_empty());
    }

    fn change(&mut self, name: &str, args: &[&str], now: i64) {
        let empty = match name {
            "INCR" | "INCRBY" | "INCRBYFLOAT" | "APPEND" | "SETRANGE" | "SETBIT" | "SETBITS" | "PFADD" => None,
            "RPUSH" | "LPUSH" | "LPOP" | "RPOP" | "LSET" | "LREM" | "LINSERT" | "LTRIM" => Some(list(Vec::new())),
            _ if name.starts_with('H') => Some(Held::Hash(BTreeMap::new())),
            _ if name.starts_with('S') => Some(Held::Set(BTreeSet::new())),
            _ => Some(Held::ZSet(BTreeMap::new())),
        };
        let deadline = self.key.as_ref().and_then(|key| key.deadline);
        let old = self.key.as_ref().map(|key| key.value.clone());
        let new = match (empty, old) {
            (None, old @ (None | Some(Held::String(_)))) => {
                let old = match old {
                    Some(Held::String(old)) => Some(old),
                    _ => None,
                };
                string(name, args, old).map(Held::String)
            }
            (Some(Held::List(_)), old @ (None | Some(Held::List(_)))) => {
                let values = match old {
                    Some(Held::List(elements)) => elements.into_iter().map(|(_, value)| value).collect(),
                    _ => Vec::new(),
                };
                Some(list(change_list(name, args, values)))
            }
            (Some(Held::Hash(none)), old @ (None | Some(Held::Hash(_)))) => {
                let fields = if let Some(Held::Hash(fields)) = old { fields } else { none };
                Some(Held::Hash(change_hash(name, args, fields, now)))
            }
            (Some(Held::Set(none)), old @ (None | Some(Held::Set(_)))) => {
                let mut members = if let Some(Held::Set(members)) = old { members } else { none };
                for member in args.iter().map(|member| member.as_bytes().to_vec()) {
                    let _ = if name.starts_with("SADD") { members.insert(member) } else { members.remove(&member) };
                }
                Some(Held::Set(members))
            }
            (Some(Held::ZSet(none)), old @ (None | Some(Held::ZSet(_)))) => {
                let mut scores = if let Some(Held::ZSet(scores)) = old { scores } else { none };
                match *args {
                    [member] => drop(scores.remove(member.as_bytes())),
                    [score, member] => {
                        let score: f64 = number(score);
                        let old = scores.get(member.as_bytes()).copied().unwrap_or(0.0);
                        let score = if name == "ZADD" { score } else { old + score };
                        scores.insert(member.as_bytes().to_vec(), score);
                    }
                    _ => unreachable!("{name} {args:?}"),
                }
                Some(Held::ZSet(scores))
            }
            (_, old) => old,
        };
        self.key = new.map(|value| View::new(value, deadline));
    }
}

fn string(name: &str, args: &[&str], old: Option<Bytes>) -> Option<Bytes> {
    let mut bytes = old.clone().unwrap_or_default();
    let write = |bytes: &mut Bytes, at: usize, with: &[u8]| {
        bytes.resize(bytes.len().max(at + with.len()), 0);
        bytes[at..at + with.len()].copy_from_slice(with);
    };
    match (name, args) {
        ("INCR", []) => return string("INCRBY", &["1"], old),
        ("INCRBY", [n]) => {
            let old_int = old.as_ref().map_or(Some(0), |old| int(old));
            let sum = old_int.and_then(|before| before.checked_add(number::<i64>(n)));
            return sum.map(|sum| sum.to_string().into_bytes()).or(old);
        }
        ("INCRBYFLOAT", [n]) => {
            let sum = old.as_ref().map_or(Some(0.0), |old| float(old)).map(|before| before + number::<f64>(n));
            return sum.map(|sum| sum.to_string().into_bytes()).or(old);
        }
        ("APPEND", [more]) => bytes.extend(more.as_bytes()),
        ("SETRANGE", [at, with]) => write(&mut bytes, number(at), with.as_bytes()),
        ("SETBIT", [at, bit]) => set_bits(&mut bytes, number(at), 1, number(bit)),
        ("SETBITS", [at, width, value]) => {
            set_bits(&mut bytes, number(at), number(width), number(value));
        }
        ("PFADD", [element]) => {
            let other = sketch(&[element]);
            bytes.resize(bytes.len().max(other.len()), 0);
            bytes.iter_mut().zip(&other).for_each(|(byte, other)| *byte = (*byte).max(*other));
        }
        _ => unreachable!("{name} {args:?}"),
    }
    Some(bytes)
}

fn set_bits(bytes: &mut Bytes, at: usize, width: usize, value: u64) {
    for i in 0..width {
        let at = at + i;
        bytes.resize(bytes.len().max(at / 8 + 1), 0);
        let mask = 0x80 >> (at % 8);
        if value >> (width - 1 - i) & 1 == 1 { bytes[at / 8] |= mask } else { bytes[at / 8] &= !mask }
    }
}

fn change_list(name: &str, args: &[&str], mut values: Vec<Bytes>) -> Vec<Bytes> {
    let find = |values: &[Bytes], wanted: &str| values.iter().position(|value| value == wanted.as_bytes());
    match (name, args) {
        ("RPUSH", more) => values.extend(more.iter().map(|value| value.as_bytes().to_vec())),
        ("LPUSH", more) => more.iter().for_each(|value| values.insert(0, value.as_bytes().to_vec())),
        ("LPOP", []) if !values.is_empty() => drop(values.remove(0)),
        ("RPOP", []) => drop(values.pop()),
        ("LTRIM", [count]) => values.truncate(number(count)),
        ("LSET", [index, value]) => {
            if let Some(old) = values.get_mut(number::<usize>(index)) {
                *old = value.as_bytes().to_vec();
            }
        }
        ("LREM", [_, value]) => drop(find(&values, value).map(|at| values.remove(at))),
        ("LINSERT", [side, pivot, value]) => {
            if let Some(at) = find(&values, pivot) {
                values.insert(at + usize::from(*side == "AFTER"), value.as_bytes().to_vec());
            }
        }
        _ => {}
    }
    values
}

type Fields = BTreeMap<Bytes, (Bytes, Option<i64>)>;

fn change_hash(name: &str, args: &[&str], mut fields: Fields, now: i64) -> Fields {
    let after = |seconds: &str| now + number::<i64>(seconds) * 1000;
    let bytes = |text: &str| text.as_bytes().to_vec();
    match (name, args) {
        ("HSET", pairs) => fields.extend(pairs.chunks(2).map(|pair| (bytes(pair[0]), (bytes(pair[1]), None)))),
        ("HSETEX", [field, value, how]) => {
            let old = fields.get(field.as_bytes()).and_then(|field| field.1);
            let deadline = if *how == "KEEPTTL" { old } else { Some(after(how)) };
            fields.insert(bytes(field), (bytes(value), deadline));
        }
        ("HDEL", [field]) => drop(fields.remove(field.as_bytes())),
        ("HEXPIRE", [s, field]) => fields.get_mut(field.as_bytes()).into_iter().for_each(|f| f.1 = Some(after(s))),
        ("HPERSIST", [field]) => fields.get_mut(field.as_bytes()).into_iter().for_each(|f| f.1 = None),
        ("HINCRBY" | "HINCRBYFLOAT", [field, delta]) => {
            let old = fields.get(field.as_bytes()).cloned();
            let text = old.as_ref().map(|(value, _)| value.clone());
            let command = if name == "HINCRBY" { "INCRBY" } else { "INCRBYFLOAT" };
            if let Some(sum) = string(command, &[delta], text) {
                fields.insert(bytes(field), (sum, old.and_then(|(_, deadline)| deadline)));
            }
        }
        _ => unreachable!("{name} {args:?}"),
    }
    fields
}
