//! Asks about elements, and knows every answer: what was loaded, and what its own commands have changed since.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::elements::{added, element, member, scattered};
use super::kind::Kind;
use crate::conn::{Command, Conn, command};
use crate::resp::Value;
use crate::rng::Rng;

/// Elements of a page.
const PAGE: u64 = 10;

/// What has been changed that is looked at again at the end, of each kind.
const CHECKED: u64 = 1000;

/// See the module.
#[derive(Debug)]
pub struct Asker {
    elements: u64,
    rng: Rng,
    /// How many commands of each kind have been answered.
    answered: HashMap<&'static str, u64>,
    /// Where the scan that goes on is.
    cursor: Vec<u8>,
}

/// The only right answer.
enum Answer {
    Is(Value),
    /// A page of a scan, of names and their numbers.
    Page,
}

impl Asker {
    /// Of values with so many elements, as they were loaded.
    pub fn new(elements: u64) -> Asker {
        Asker { elements, rng: Rng::new(1), answered: HashMap::new(), cursor: b"0".to_vec() }
    }

    /// Asks the next question of a kind and compares the answer; how long it took.
    pub fn ask(&mut self, conn: &mut Conn, kind: Kind) -> Result<Duration> {
        let (words, answer) = self.question(kind);
        let began = Instant::now();
        let reply = conn.call(&words)?;
        let took = began.elapsed();
        match answer {
            Answer::Is(value) => expect(&words, &reply, &value)?,
            Answer::Page => self.page(&reply)?,
        }
        *self.answered.entry(kind.name()).or_default() += 1;
        Ok(took)
    }

    fn count(&self, kind: Kind) -> u64 {
        self.answered.get(kind.name()).copied().unwrap_or_default()
    }

    /// A command and its answer, as things are before it.
    fn question(&mut self, kind: Kind) -> (Command, Answer) {
        let some = self.rng.below((self.elements - PAGE) as usize) as u64;
        // Those that are changed are changed once.
        let next = scattered(self.count(kind), self.elements);
        let (name, text) = (member(some), |number: u64| bulk(number.to_string()));
        let page = |names: &mut dyn Iterator<Item = Value>| Value::Array(names.collect());
        let (words, answer) = match kind {
            Kind::ZScore => (command(&["ZSCORE", "z", &name]), text(some)),
            Kind::ZRank => (command(&["ZRANK", "z", &name]), int(some)),
            Kind::ZRange => {
                let (from, to) = (some.to_string(), (some + PAGE - 1).to_string());
                (command(&["ZRANGE", "z", &from, &to]), page(&mut (some..some + PAGE).map(|n| bulk(member(n)))))
            }
            Kind::ZRangeByScore => {
                let words = ["ZRANGEBYSCORE", "z", &some.to_string(), "+inf", "LIMIT", "0", &PAGE.to_string()];
                (command(&words), page(&mut (some..some + PAGE).map(|n| bulk(member(n)))))
            }
            Kind::ZScan | Kind::HScan => {
                let (word, key) = if kind == Kind::ZScan { (b"ZSCAN", b"z") } else { (b"HSCAN", b"h") };
                return (command(&[&word[..], key, &self.cursor, b"COUNT", PAGE.to_string().as_bytes()]), Answer::Page);
            }
            Kind::ZCard => (command(&["ZCARD", "z"]), int(self.elements + self.count(Kind::ZAddNew))),
            // A little more, so that it changes and no rank does.
            Kind::ZAddExisting => (command(&["ZADD", "z", &format!("{next}.25"), &member(next)]), int(0)),
            Kind::ZAddNew => (command(&["ZADD", "z", &format!("{next}.5"), &added(next)]), int(1)),
            Kind::HGet => (command(&["HGET", "h", &name]), text(some)),
            Kind::HLen => (command(&["HLEN", "h"]), int(self.elements + self.count(Kind::HSetNew))),
            Kind::HSetExisting => (command(&["HSET", "h", &member(next), &format!("{next}+")]), int(0)),
            Kind::HSetNew => (command(&["HSET", "h", &added(next), &next.to_string()]), int(1)),
            // Of two that are asked for one is there.
            Kind::SIsMember if some.is_multiple_of(2) => (command(&["SISMEMBER", "s", &added(some)]), int(0)),
            Kind::SIsMember => (command(&["SISMEMBER", "s", &name]), int(1)),
            Kind::SCard => (command(&["SCARD", "s"]), int(self.elements + self.count(Kind::SAdd))),
            Kind::SAdd => (command(&["SADD", "s", &added(next)]), int(1)),
            Kind::LRange => {
                let from = self.rng.below((self.len() - PAGE) as usize) as u64;
                (self.range_of_list(from), self.items(from))
            }
            Kind::LLen => (command(&["LLEN", "l"]), int(self.len())),
            Kind::LPush => (command(&["LPUSH", "l", &self.pushed().to_string()]), int(self.len() + 1)),
            Kind::RPop => (command(&["RPOP", "l"]), text(self.count(Kind::RPop))),
        };
        (words, Answer::Is(answer))
    }

    /// Items that were ever pushed: the numbers from 0 on.
    fn pushed(&self) -> u64 {
        self.elements + self.count(Kind::LPush)
    }

    fn len(&self) -> u64 {
        self.pushed() - self.count(Kind::RPop)
    }

    fn range_of_list(&self, from: u64) -> Command {
        command(&["LRANGE", "l", &from.to_string(), &(from + PAGE - 1).to_string()])
    }

    /// A page of the list: the last that was pushed stands first.
    fn items(&self, from: u64) -> Value {
        let newest = self.pushed() - 1;
        Value::Array((from..from + PAGE).map(|at| bulk((newest - at).to_string())).collect())
    }

    /// A page of a scan of values that are as they were loaded; it goes on, or begins anew.
    fn page(&mut self, reply: &Value) -> Result<()> {
        let [cursor, items] = reply.items().unwrap_or_default() else { anyhow::bail!("a scan was answered {reply}") };
        let pairs = items.items().context("what a scan has found")?;
        ensure!(pairs.len() % 2 == 0, "a scan has found {items}");
        for pair in pairs.chunks_exact(2) {
            let (number, is_first) = element(pair[0].bytes().context("a name")?)?;
            let right = number < self.elements && is_first && pair[1] == bulk(number.to_string());
            ensure!(right, "a scan has found {} with {}", pair[0], pair[1]);
        }
        self.cursor = cursor.bytes().context("a cursor")?.to_vec();
        Ok(())
    }

    /// What was changed is as it was left, a sample of the rest as it was loaded, and there are as many as there should be.
    pub fn check(&self, conn: &mut Conn) -> Result<()> {
        let mut all = vec![
            (command(&["ZCARD", "z"]), int(self.elements + self.count(Kind::ZAddNew))),
            (command(&["HLEN", "h"]), int(self.elements + self.count(Kind::HSetNew))),
            (command(&["SCARD", "s"]), int(self.elements + self.count(Kind::SAdd))),
            (command(&["LLEN", "l"]), int(self.len())),
            (self.range_of_list(0), self.items(0)),
            (self.range_of_list(self.len() - PAGE), self.items(self.len() - PAGE)),
        ];
        for turn in 0..CHECKED.min(self.elements) {
            let number = scattered(turn, self.elements);
            let (old, new) = (member(number), added(number));
            let has = |kind: Kind| turn < self.count(kind);
            let there = |is: bool, text: String| if is { bulk(text) } else { Value::NullBulk };
            let score = if has(Kind::ZAddExisting) { format!("{number}.25") } else { number.to_string() };
            let value = if has(Kind::HSetExisting) { format!("{number}+") } else { number.to_string() };
            all.extend([
                (command(&["ZSCORE", "z", &old]), bulk(score)),
                (command(&["ZSCORE", "z", &new]), there(has(Kind::ZAddNew), format!("{number}.5"))),
                (command(&["HGET", "h", &old]), bulk(value)),
                (command(&["HGET", "h", &new]), there(has(Kind::HSetNew), number.to_string())),
                (command(&["SISMEMBER", "s", &old]), int(1)),
                (command(&["SISMEMBER", "s", &new]), int(u64::from(has(Kind::SAdd)))),
            ]);
        }
        all.iter().try_for_each(|(words, value)| expect(words, &conn.call(words)?, value))
    }
}

fn bulk(text: String) -> Value {
    Value::Bulk(text.into_bytes())
}

fn int(number: u64) -> Value {
    Value::Int(number as i64)
}

fn expect(words: &Command, reply: &Value, value: &Value) -> Result<()> {
    let asked = || words.iter().map(|word| String::from_utf8_lossy(word)).collect::<Vec<_>>().join(" ");
    ensure!(reply == value, "{} was answered {reply}, not {value}", asked());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Asker, bulk};
    use crate::resp::Value;

    #[test]
    fn a_page_of_a_scan_has_what_was_loaded_and_nothing_else() {
        let mut asker = Asker::new(1000);
        let mut page = |name: &str, number: &str| {
            let items = Value::Array(vec![bulk(name.into()), bulk(number.into())]);
            asker.page(&Value::Array(vec![bulk("7".into()), items])).map(|()| asker.cursor.clone())
        };
        assert_eq!(page("m00000000999", "999").unwrap(), b"7");
        for (name, number) in [("m00000001000", "1000"), ("m00000000999", "998"), ("n00000000999", "999")] {
            assert!(page(name, number).is_err(), "{name} {number}");
        }
    }
}
