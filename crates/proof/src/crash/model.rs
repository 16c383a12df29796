//! The model of one worker: what its keys hold after each of its operations.

use std::collections::{BTreeMap, VecDeque};

use anyhow::{Result, bail};

use crate::conn::{Command, Conn, command};
use crate::resp::Value;

/// Slots of the plain strings, and fields and members of the collections.
const SLOTS: u64 = 24;
/// The list is kept to so many elements.
const LIST: usize = 60;

/// One operation; `n` is its number, which never repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// INCR of the counter.
    Count,
    /// SET of a slot to the number.
    Set,
    /// RPUSH of the number.
    Push,
    /// LPOP.
    Pop,
    /// MSET of three keys to the number.
    Three,
    /// MULTI: SET, INCR and HSET, EXEC.
    Transaction,
    /// HSET of a field, ZADD of a member with the number as score (two commands, one after the other).
    Field,
    /// ZADD of a member.
    Score,
    /// DEL of a slot.
    Delete,
}

impl Op {
    /// All of them, for choosing.
    pub const ALL: [Op; 9] =
        [Op::Count, Op::Set, Op::Push, Op::Pop, Op::Three, Op::Transaction, Op::Field, Op::Score, Op::Delete];
}

/// An operation that was sent, and when its reply came.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Its number.
    pub n: u64,
    /// What it does.
    pub op: Op,
    /// Whether it was acknowledged.
    pub acked: bool,
}

/// What the keys hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    count: u64,
    slots: BTreeMap<u64, u64>,
    list: VecDeque<u64>,
    three: Option<u64>,
    tx: Option<u64>,
    tx_count: u64,
    fields: BTreeMap<u64, u64>,
    scores: BTreeMap<u64, u64>,
}

impl State {
    /// Does an operation.
    pub fn apply(&mut self, n: u64, op: Op) {
        match op {
            Op::Count => self.count += 1,
            Op::Set => {
                self.slots.insert(n % SLOTS, n);
            }
            Op::Push => {
                self.list.push_back(n);
                while self.list.len() > LIST {
                    self.list.pop_front();
                }
            }
            Op::Pop => {
                self.list.pop_front();
            }
            Op::Three => self.three = Some(n),
            Op::Transaction => {
                self.tx = Some(n);
                self.tx_count += 1;
            }
            Op::Field => {
                self.fields.insert(n % SLOTS, n);
            }
            Op::Score => {
                self.scores.insert(n % SLOTS, n);
            }
            Op::Delete => {
                self.slots.remove(&(n % SLOTS));
            }
        }
    }
}

/// What a restart has kept of a worker's operations.
#[derive(Debug, Default)]
pub struct Settled {
    /// Acknowledged before the kill.
    pub acknowledged: usize,
    /// Not acknowledged, and there.
    pub extra: usize,
}

/// A worker: its name, its state after the last restart, and what it has sent since.
#[derive(Debug)]
pub struct Worker {
    name: String,
    base: State,
    /// Sent since the last restart, in order.
    pub sent: Vec<Sent>,
    /// An error reply, which no operation here deserves.
    pub refused: Option<String>,
    next: u64,
}

impl Worker {
    /// A worker that has done nothing.
    pub fn new(i: usize) -> Worker {
        Worker { name: format!("w{i}"), base: State::default(), sent: Vec::new(), refused: None, next: 1 }
    }

    /// Takes the next number for `op` and gives its commands; how many replies they have is their number.
    pub fn send(&mut self, op: Op) -> Vec<Command> {
        let (n, w) = (self.next, &self.name);
        self.next += 1;
        self.sent.push(Sent { n, op, acked: false });
        let slot = n % SLOTS;
        let one = |text: String| command(&text.split(' ').collect::<Vec<_>>());
        match op {
            Op::Count => vec![one(format!("INCR {w}:count"))],
            Op::Set => vec![one(format!("SET {w}:slot:{slot} {n}"))],
            // One transaction, since the model knows no state in between.
            Op::Push => vec![
                one("MULTI".into()),
                one(format!("RPUSH {w}:list {n}")),
                one(format!("LTRIM {w}:list -{LIST} -1")),
                one("EXEC".into()),
            ],
            Op::Pop => vec![one(format!("LPOP {w}:list"))],
            Op::Three => vec![one(format!("MSET {w}:a {n} {w}:b {n} {w}:c {n}"))],
            Op::Transaction => vec![
                one("MULTI".into()),
                one(format!("SET {w}:tx {n}")),
                one(format!("INCR {w}:txcount")),
                one(format!("HSET {w}:txhash f {n}")),
                one("EXEC".into()),
            ],
            Op::Field => vec![one(format!("HSET {w}:hash f{slot} {n}"))],
            Op::Score => vec![one(format!("ZADD {w}:zset {n} m{slot}"))],
            Op::Delete => vec![one(format!("DEL {w}:slot:{slot}"))],
        }
    }

    /// Reads what the server has, finds the prefix of the sent operations that it is, and goes on from there.
    pub fn settle(&mut self, conn: &mut Conn) -> Result<Settled> {
        if let Some(error) = &self.refused {
            bail!("{}: a write was refused: {error}", self.name);
        }
        let there = self.read(conn)?;
        let acknowledged = self.sent.iter().filter(|s| s.acked).count();
        let least = self.sent.iter().rposition(|s| s.acked).map_or(0, |i| i + 1);
        let mut state = self.base.clone();
        let mut any = None;
        for kept in 0..=self.sent.len() {
            if kept > 0 {
                state.apply(self.sent[kept - 1].n, self.sent[kept - 1].op);
            }
            // The longest one counts: some operations change nothing.
            if state == there {
                any = Some(kept);
            }
        }
        let Some(kept) = any else {
            bail!(
                "{}: what is there is no prefix of the {} operations sent (they end in {state:?}); it is {there:?}",
                self.name,
                self.sent.len()
            );
        };
        if kept < least {
            bail!(
                "{}: only {kept} of its operations survived, {least} had to ({acknowledged} were acknowledged)",
                self.name
            );
        }
        self.sent.clear();
        self.base = there;
        Ok(Settled { acknowledged, extra: kept.saturating_sub(acknowledged) })
    }

    fn read(&self, conn: &mut Conn) -> Result<State> {
        let w = &self.name;
        let mut questions = Vec::new();
        for text in [
            format!("GET {w}:count"),
            format!("LRANGE {w}:list 0 -1"),
            format!("MGET {w}:a {w}:b {w}:c"),
            format!("GET {w}:tx"),
            format!("HGET {w}:txhash f"),
            format!("GET {w}:txcount"),
            format!("HGETALL {w}:hash"),
            format!("ZRANGE {w}:zset 0 -1 WITHSCORES"),
        ] {
            questions.push(command(&text.split(' ').collect::<Vec<_>>()));
        }
        questions.extend((0..SLOTS).map(|s| command(&["GET", &format!("{w}:slot:{s}")])));
        let replies = conn.pipeline(&questions)?;
        let three: Vec<Option<u64>> = replies[2].items().unwrap_or_default().iter().map(number).collect();
        if three.iter().any(|v| *v != three[0]) {
            bail!("{w}: half of a batch: MSET set three keys to one value, they are {three:?}");
        }
        let (tx, hash) = (number(&replies[3]), number(&replies[4]));
        if tx != hash {
            bail!("{w}: half of a batch: a transaction set two keys to one value, they are {tx:?} and {hash:?}");
        }
        Ok(State {
            count: number(&replies[0]).unwrap_or(0),
            list: replies[1].items().unwrap_or_default().iter().filter_map(number).collect(),
            three: three.first().copied().flatten(),
            tx,
            tx_count: number(&replies[5]).unwrap_or(0),
            fields: pairs(&replies[6], 1),
            scores: pairs(&replies[7], 1),
            slots: (0..SLOTS).filter_map(|s| Some((s, number(&replies[8 + s as usize])?))).collect(),
        })
    }
}

fn number(value: &Value) -> Option<u64> {
    value.text().parse().ok()
}

/// Flat pairs of a name (whose first `skip` bytes are a letter) and a number.
fn pairs(value: &Value, skip: usize) -> BTreeMap<u64, u64> {
    let items = value.items().unwrap_or_default();
    items.chunks(2).filter_map(|c| Some((c[0].text().get(skip..)?.parse().ok()?, number(&c[1])?))).collect()
}

#[cfg(test)]
mod tests {
    use super::{LIST, Op, State};

    #[test]
    fn states_after_different_prefixes_differ_where_it_matters() {
        let ops = [Op::Count, Op::Set, Op::Push, Op::Three, Op::Transaction, Op::Field, Op::Score, Op::Pop, Op::Delete];
        let mut state = State::default();
        for (i, op) in ops.iter().enumerate().take(8) {
            let before = state.clone();
            state.apply(i as u64 + 1, *op);
            assert_ne!(state, before, "{op:?} leaves no trace");
        }
    }

    #[test]
    fn the_list_stays_bounded() {
        let mut state = State::default();
        (0..1000).for_each(|n| state.apply(n, Op::Push));
        assert_eq!(state.list.len(), LIST);
        assert_eq!(state.list.back(), Some(&999));
    }
}
