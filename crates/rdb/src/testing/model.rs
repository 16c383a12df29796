//! Values, and all encodings that can hold them.

use std::collections::{BTreeMap, BTreeSet};

use super::{Blob, integer, len, listpack, string, ziplist};
use crate::kinds::{self, Dialect};

/// A value, whatever its encoding.
#[derive(Debug, Clone, PartialEq)]
pub enum Model {
    /// A string.
    String(Vec<u8>),
    /// A list.
    List(Vec<Vec<u8>>),
    /// A set.
    Set(BTreeSet<Vec<u8>>),
    /// A hash, with the deadlines of its fields.
    Hash(BTreeMap<Vec<u8>, (Vec<u8>, Option<i64>)>),
    /// A sorted set.
    ZSet(BTreeMap<Vec<u8>, f64>),
}

/// How an element stands in a packed blob: as an integer, if it is the text of one.
fn packed(bytes: &[u8]) -> Blob<'_> {
    let number = str::from_utf8(bytes).ok().and_then(|text| text.parse::<i64>().ok());
    match number.filter(|n| n.to_string().as_bytes() == bytes) {
        Some(n) => Blob::Int(n),
        None => Blob::Text(bytes),
    }
}

/// A zipmap.
fn zipmap(pairs: &[(&[u8], &[u8])]) -> Vec<u8> {
    let len = |bytes: &[u8]| match bytes.len() {
        len @ 0..254 => vec![len as u8],
        len => [&[254][..], &(len as u32).to_le_bytes()].concat(),
    };
    let mut out = vec![pairs.len().min(254) as u8];
    for (i, (field, value)) in pairs.iter().enumerate() {
        let unused = i % 3;
        out.extend(
            [len(field), field.to_vec(), len(value), vec![unused as u8], value.to_vec(), vec![7; unused]].concat(),
        );
    }
    out.push(0xff);
    out
}

/// An intset of this width in bytes, if the members are integers of it.
fn intset(members: &BTreeSet<Vec<u8>>, width: u32) -> Option<Vec<u8>> {
    let number = |member: &Vec<u8>| match packed(member) {
        Blob::Int(n) if n >> (width * 8 - 1) == n >> 63 => Some(n),
        _ => None,
    };
    let mut numbers = members.iter().map(number).collect::<Option<Vec<i64>>>()?;
    numbers.sort_unstable();
    let mut out = [width.to_le_bytes(), (numbers.len() as u32).to_le_bytes()].concat();
    numbers.iter().for_each(|n| out.extend(&n.to_le_bytes()[..width as usize]));
    Some(out)
}

/// A string in its compressed form: whatever repeats within the last bytes is a copy.
pub fn compressed(bytes: &[u8]) -> Vec<u8> {
    const NEAR: usize = 64;
    let (mut out, mut at, mut literals) = (Vec::new(), 0, Vec::new());
    let close = |literals: &mut Vec<u8>, out: &mut Vec<u8>| {
        literals.chunks(32).for_each(|run| out.extend([&[run.len() as u8 - 1], run].concat()));
        literals.clear();
    };
    while at < bytes.len() {
        let same =
            |back: usize| (0..264.min(bytes.len() - at)).take_while(|i| bytes[at + i] == bytes[at - back + i]).count();
        let best = (1..=NEAR.min(at)).map(|back| (same(back), back)).max_by_key(|(run, back)| (*run, NEAR - back));
        match best.filter(|(run, _)| *run >= 3) {
            Some((run, back)) => {
                close(&mut literals, &mut out);
                match run - 2 {
                    short @ 1..=6 => out.push((short as u8) << 5),
                    long => out.extend([7 << 5, (long - 7) as u8]),
                }
                out.push((back - 1) as u8);
                at += run;
            }
            None => {
                literals.push(bytes[at]);
                at += 1;
            }
        }
    }
    close(&mut literals, &mut out);
    [&[0xc3][..], &len(out.len() as u64), &len(bytes.len() as u64), &out].concat()
}

/// A score as old versions wrote it.
fn text_score(score: f64) -> Vec<u8> {
    match score {
        f64::INFINITY => vec![254],
        f64::NEG_INFINITY => vec![255],
        _ => {
            let text = format!("{score:?}");
            [&[text.len() as u8], text.as_bytes()].concat()
        }
    }
}

/// A score as it stands in a packed blob.
fn packed_score(score: f64) -> String {
    if score == score.trunc() && score.abs() < 1e15 && (score != 0.0 || score.is_sign_positive()) {
        return (score as i64).to_string();
    }
    match score {
        f64::INFINITY => "inf".into(),
        f64::NEG_INFINITY => "-inf".into(),
        _ => format!("{score:?}"),
    }
}

impl Model {
    /// The value in every encoding that can hold it: dialect, number, body.
    pub fn encodings(&self) -> Vec<(Dialect, u8, Vec<u8>)> {
        let bodies = match self {
            Self::String(bytes) => {
                let short = match packed(bytes) {
                    Blob::Int(n) => i32::try_from(n).ok().map(|n| (kinds::STRING, integer(n))),
                    Blob::Text(_) => None,
                };
                let plain = [(kinds::STRING, string(bytes)), (kinds::STRING, compressed(bytes))];
                plain.into_iter().chain(short).collect()
            }
            Self::List(elements) => list_bodies(elements),
            Self::Set(members) => {
                let plain = members.iter().flat_map(|member| string(member)).collect::<Vec<_>>();
                let mut bodies = vec![
                    (kinds::SET, [len(members.len() as u64), plain].concat()),
                    (kinds::SET_LISTPACK, string(&listpack(&members.iter().map(|m| packed(m)).collect::<Vec<_>>()))),
                ];
                let sets = [2, 4, 8].into_iter().filter_map(|width| intset(members, width));
                bodies.extend(sets.map(|set| (kinds::SET_INTSET, string(&set))));
                bodies
            }
            Self::Hash(fields) => return hash_bodies(fields),
            Self::ZSet(members) => zset_bodies(members),
        };
        let both = |(number, body): &(u8, Vec<u8>), dialect| (dialect, *number, body.clone());
        let redis = bodies.iter().map(|b| both(b, Dialect::Redis));
        redis.chain(bodies.iter().map(|b| both(b, Dialect::Valkey))).collect()
    }
}

fn list_bodies(elements: &[Vec<u8>]) -> Vec<(u8, Vec<u8>)> {
    let blobs: Vec<Blob<'_>> = elements.iter().map(|e| packed(e)).collect();
    let nodes = |node: &dyn Fn(&[Blob<'_>]) -> Vec<u8>| {
        let nodes: Vec<Vec<u8>> = blobs.chunks(3).map(node).collect();
        [len(nodes.len() as u64), nodes.concat()].concat()
    };
    let plain = elements.iter().flat_map(|e| string(e)).collect::<Vec<_>>();
    let alone = elements.iter().flat_map(|e| [len(1), string(e)].concat()).collect::<Vec<_>>();
    let count = len(elements.len() as u64);
    vec![
        (kinds::LIST, [count.clone(), plain].concat()),
        (kinds::LIST_ZIPLIST, compressed(&ziplist(&blobs))),
        (kinds::LIST_QUICKLIST, nodes(&|node| string(&ziplist(node)))),
        (kinds::LIST_QUICKLIST_2, nodes(&|node| [len(2), string(&listpack(node))].concat())),
        (kinds::LIST_QUICKLIST_2, [count, alone].concat()),
    ]
}

fn zset_bodies(members: &BTreeMap<Vec<u8>, f64>) -> Vec<(u8, Vec<u8>)> {
    let scores: Vec<String> = members.values().map(|score| packed_score(*score)).collect();
    let blobs: Vec<Blob<'_>> =
        members.keys().zip(&scores).flat_map(|(member, score)| [packed(member), packed(score.as_bytes())]).collect();
    let with = |score: fn(f64) -> Vec<u8>| {
        let members = members.iter().flat_map(|(m, s)| [string(m), score(*s)].concat());
        [len(scores.len() as u64), members.collect()].concat()
    };
    vec![
        (kinds::ZSET, with(text_score)),
        (kinds::ZSET_2, with(|score| score.to_le_bytes().to_vec())),
        (kinds::ZSET_ZIPLIST, string(&ziplist(&blobs))),
        (kinds::ZSET_LISTPACK, compressed(&listpack(&blobs))),
    ]
}

fn hash_bodies(fields: &BTreeMap<Vec<u8>, (Vec<u8>, Option<i64>)>) -> Vec<(Dialect, u8, Vec<u8>)> {
    use Dialect::{Redis, Valkey};
    let count = len(fields.len() as u64);
    let each = |write: &dyn Fn(&[u8], &[u8], Option<i64>) -> Vec<u8>| {
        let fields: Vec<u8> = fields.iter().flat_map(|(f, (v, at))| write(f, v, *at)).collect();
        [count.clone(), fields].concat()
    };
    let first = fields.values().filter_map(|(_, at)| *at).min().unwrap_or(0);
    let stated = first.to_le_bytes().to_vec();
    let triples: Vec<Blob<'_>> =
        fields.iter().flat_map(|(f, (v, at))| [packed(f), packed(v), Blob::Int(at.unwrap_or(0))]).collect();
    let triples = string(&listpack(&triples));
    let mut bodies = vec![
        (
            Redis,
            kinds::HASH_METADATA_EARLY,
            each(&|f, v, at| [len(at.unwrap_or(0) as u64), string(f), string(v)].concat()),
        ),
        (Redis, kinds::HASH_LISTPACK_EX_EARLY, triples.clone()),
        (Redis, kinds::HASH_LISTPACK_EX, [stated.clone(), triples].concat()),
        (
            Valkey,
            kinds::VALKEY_HASH_2,
            each(&|f, v, at| [string(f), string(v), at.unwrap_or(-1).to_le_bytes().to_vec()].concat()),
        ),
    ];
    let behind = each(&|f, v, at| [len(at.map_or(0, |at| (at - first) as u64 + 1)), string(f), string(v)].concat());
    bodies.push((Redis, kinds::HASH_METADATA, [stated, behind].concat()));
    if fields.values().all(|(_, at)| at.is_none()) {
        let pairs: Vec<(&[u8], &[u8])> = fields.iter().map(|(f, (v, _))| (&f[..], &v[..])).collect();
        let blobs: Vec<Blob<'_>> = pairs.iter().flat_map(|(f, v)| [packed(f), packed(v)]).collect();
        for dialect in [Redis, Valkey] {
            bodies.extend([
                (dialect, kinds::HASH, each(&|f, v, _| [string(f), string(v)].concat())),
                (dialect, kinds::HASH_ZIPMAP, string(&zipmap(&pairs))),
                (dialect, kinds::HASH_ZIPLIST, string(&ziplist(&blobs))),
                (dialect, kinds::HASH_LISTPACK, string(&listpack(&blobs))),
            ]);
        }
    }
    bodies
}
