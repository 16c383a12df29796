//! Looks at elements of values by name, rank and page, as commands do.

use effect::Kind;

use super::*;
use crate::checkpoint::tests::{element, name};
use crate::{ScoreBound, State, Stop};

/// What some elements of all keys are, told apart by `n`.
pub(super) fn peek(bench: &Bench, n: u32) -> Vec<String> {
    let all = [0, 1].into_iter().flat_map(|db| (0..8).map(move |key| (db, name(key))));
    all.map(|(db, key)| {
        bench.look(|state| {
            state.select(db);
            Ok(match state.kind(&key)? {
                None | Some(Kind::String) => String::new(),
                Some(Kind::Hash) => hash(state, &key, n)?,
                Some(Kind::Set) => set(state, &key, n)?,
                Some(Kind::ZSet) => zset(state, &key, n)?,
                Some(Kind::List) => list(state, &key, n)?,
            })
        })
    })
    .collect()
}

fn hash(state: &State<'_>, key: &[u8], n: u32) -> Result<String, Stop> {
    let Some(hash) = state.hash(key)? else { return Ok(String::new()) };
    let names: Vec<Vec<u8>> = (n..n + 3).map(element).collect();
    hash.gather(names.iter().map(|name| &name[..]))?;
    let found: Result<Vec<_>, Stop> = names.iter().map(|name| hash.get(name)).collect();
    let picked = hash.pick(|| u64::from(n).wrapping_mul(0x9E37_79B9_7F4A_7C15))?.expect("it has a field");
    assert_eq!(hash.get(picked.field)?, Some(picked));
    Ok(format!("{:?} {:?}", hash.len()?, found?))
}

fn set(state: &State<'_>, key: &[u8], n: u32) -> Result<String, Stop> {
    let Some(set) = state.set(key)? else { return Ok(String::new()) };
    let found: Result<Vec<_>, Stop> = (n..n + 3).map(|n| set.contains(&element(n))).collect();
    let picked = set.pick(u64::from(n).wrapping_mul(0x9E37_79B9_7F4A_7C15))?.expect("it has a member");
    assert!(set.contains(&picked)?);
    Ok(format!("{:?} {:?}", set.len()?, found?))
}

fn zset(state: &State<'_>, key: &[u8], n: u32) -> Result<String, Stop> {
    let Some(zset) = state.zset(key)? else { return Ok(String::new()) };
    let (at, score) = (n as usize % zset.len()?, f64::from(n % 97));
    let page: Vec<_> = zset.range(at..at + 5)?.map(|(member, score)| (member.to_vec(), score)).collect();
    assert_eq!(zset.rank(&page[0].0)?, Some(at));
    let between = zset.score_ranks(ScoreBound::Exclusive(score), ScoreBound::Inclusive(score + 2.0))?;
    let one = element(n);
    Ok(format!("{:?} {page:?} {between:?} {:?} {:?}", zset.len()?, zset.score(&one)?, zset.rank(&one)?))
}

fn list(state: &State<'_>, key: &[u8], n: u32) -> Result<String, Stop> {
    let Some(list) = state.list(key)? else { return Ok(String::new()) };
    let at = n as usize % list.len()?;
    let page: Vec<_> = list.range(at..at + 5)?.map(<[u8]>::to_vec).collect();
    let ends = (list.first_position()?, list.last_position()?, list.position(at)?);
    Ok(format!("{:?} {page:?} {ends:?} {:?} {:?}", list.len()?, list.runs(at..at + 3)?, list.get(at)?))
}

/// All elements of hashes, sets and sorted sets, page by page.
pub(super) fn pages(bench: &Bench) -> Vec<BTreeSet<(Vec<u8>, Vec<u8>)>> {
    let all = [0, 1].into_iter().flat_map(|db| (0..8).map(move |key| (db, name(key))));
    all.map(|(db, key)| {
        let (mut cursor, mut found) = (Some(0), BTreeSet::new());
        while let Some(from) = cursor {
            let (next, page) = bench.look(|state| {
                state.select(db);
                let mut page = Vec::new();
                let next = match state.kind(&key)? {
                    Some(Kind::Hash) => state.hash(&key)?.map(|hash| {
                        hash.scan(from, 9, |field| page.push((field.field.to_vec(), field.value.to_vec())))
                    }),
                    Some(Kind::Set) => {
                        state.set(&key)?.map(|set| set.scan(from, 9, |member| page.push((member.to_vec(), Vec::new()))))
                    }
                    Some(Kind::ZSet) => state.zset(&key)?.map(|zset| {
                        zset.scan(from, 9, |member, score| page.push((member.to_vec(), score.to_le_bytes().to_vec())))
                    }),
                    _ => None,
                };
                Ok((next.transpose()?.flatten(), page))
            });
            found.extend(page);
            cursor = next;
        }
        found
    })
    .collect()
}
