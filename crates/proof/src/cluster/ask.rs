//! What a client asks, as commands, and what the replies say of it.

use anyhow::{Result, bail};

use crate::conn::{Command, command};
use crate::history::{Element, Key, Op, Outcome};
use crate::resp::Value;

/// Errors after which nothing has changed, by their first word.
const REFUSALS: [&str; 6] = ["OOM", "LOADING", "MISCONF", "EXECABORT", "TXNABORTED", "CLOCKSKEW"];

/// One request: a command, or several in `MULTI` and `EXEC`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Steps on lists; what was read is filled in by the reply.
    Lists(Vec<Op>),
    /// `INCRBY` of a counter.
    Count(Key, i64),
    /// `SADD` of a member that nobody else adds.
    Member(Key, Element),
    /// `HSET` of the client's own field of a hash.
    Field(Key, Element),
}

/// What the replies say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Whether it was done.
    pub outcome: Outcome,
    /// The first error, if there was one.
    pub error: Option<String>,
    /// What a counter is then.
    pub count: Option<i64>,
}

impl Answer {
    /// That there was none.
    pub fn none() -> Answer {
        Answer { outcome: Outcome::Unknown, error: None, count: None }
    }
}

impl Ask {
    /// As it is sent, by the client with this number.
    pub fn commands(&self, client: usize) -> Vec<Command> {
        match self {
            Ask::Lists(ops) if ops.len() == 1 => vec![step(&ops[0])],
            Ask::Lists(ops) => {
                let multi = std::iter::once(command(&["MULTI"]));
                multi.chain(ops.iter().map(step)).chain([command(&["EXEC"])]).collect()
            }
            Ask::Count(key, by) => vec![command(&["INCRBY", &counter(*key), &by.to_string()])],
            Ask::Member(key, member) => vec![command(&["SADD", &set(*key), &member.to_string()])],
            Ask::Field(key, value) => {
                vec![command(&["HSET", &hash(*key), &client.to_string(), &value.to_string()])]
            }
        }
    }

    /// How many replies there are.
    pub fn replies(&self) -> usize {
        match self {
            Ask::Lists(ops) if ops.len() > 1 => ops.len() + 2,
            _ => 1,
        }
    }

    /// Reads them. A reply that the command cannot have is an error of its own.
    pub fn answer(&mut self, replies: &[Value]) -> Result<Answer> {
        let error = replies.iter().find(|reply| reply.is_error()).map(error_text);
        if let Some(text) = error {
            return Ok(Answer { outcome: judged(&text), error: Some(text), count: None });
        }
        let mut count = None;
        match (&mut *self, replies) {
            (Ask::Lists(ops), [reply]) => fill(&mut ops[0], reply)?,
            (Ask::Lists(ops), [_, queued @ .., last]) => {
                let Some(items) = last.items().filter(|items| items.len() == ops.len()) else {
                    bail!("EXEC after {} commands was answered {last}", queued.len());
                };
                ops.iter_mut().zip(items).try_for_each(|(op, reply)| fill(op, reply))?;
            }
            (Ask::Count(..), [Value::Int(now)]) => count = Some(*now),
            (Ask::Member(..) | Ask::Field(..), [Value::Int(0 | 1)]) => {}
            (ask, replies) => bail!("{ask:?} was answered {replies:?}"),
        }
        Ok(Answer { outcome: Outcome::Done, error: None, count })
    }
}

/// What an error says of what was asked.
pub fn judged(error: &str) -> Outcome {
    let word = error.split(' ').next().unwrap_or_default();
    if REFUSALS.contains(&word) { Outcome::Refused } else { Outcome::Unknown }
}

/// The text of an error.
pub fn error_text(reply: &Value) -> String {
    reply.to_string().trim_start_matches('-').to_owned()
}

/// The name of a list.
pub fn list(key: Key) -> String {
    format!("list:{key}")
}

/// The name of a counter.
pub fn counter(key: Key) -> String {
    format!("count:{key}")
}

/// The name of a set.
pub fn set(key: Key) -> String {
    format!("set:{key}")
}

/// The name of a hash.
pub fn hash(key: Key) -> String {
    format!("hash:{key}")
}

/// The numbers in a list, set or hash of ours.
pub fn numbers(reply: &Value) -> Result<Vec<Element>> {
    let Some(items) = reply.items() else { bail!("a collection was answered {reply}") };
    let number = |item: &Value| item.text().parse().map_err(|_| anyhow::anyhow!("{item} is nothing that was written"));
    items.iter().map(number).collect()
}

fn step(op: &Op) -> Command {
    match op {
        Op::Append(key, element) => command(&["RPUSH", &list(*key), &element.to_string()]),
        Op::Read(key, _) => command(&["LRANGE", &list(*key), "0", "-1"]),
    }
}

fn fill(op: &mut Op, reply: &Value) -> Result<()> {
    match (op, reply) {
        (Op::Append(..), Value::Int(1..)) => Ok(()),
        (Op::Read(_, list), reply) => {
            *list = numbers(reply)?;
            Ok(())
        }
        (op, reply) => bail!("{op:?} was answered {reply}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_of_a_transaction_fill_its_reads() {
        let mut ask = Ask::Lists(vec![Op::Append(1, 5), Op::Read(1, Vec::new())]);
        let queued = || Value::Simple(b"QUEUED".to_vec());
        let list = Value::Array(vec![Value::Bulk(b"4".to_vec()), Value::Bulk(b"5".to_vec())]);
        let exec = |items| [Value::Simple(b"OK".to_vec()), queued(), queued(), items];
        let answer = ask.answer(&exec(Value::Array(vec![Value::Int(2), list]))).unwrap();
        assert_eq!((answer.outcome, answer.error), (Outcome::Done, None));
        assert_eq!(ask, Ask::Lists(vec![Op::Append(1, 5), Op::Read(1, vec![4, 5])]));
        assert_eq!((ask.commands(0).len(), ask.replies()), (4, 4));
        assert!(ask.answer(&exec(Value::NullArray)).is_err());
        assert!(ask.answer(&exec(Value::Array(vec![Value::Int(0), Value::Int(1)]))).is_err());
        let aborted = ask.answer(&exec(Value::Error(b"EXECABORT because".to_vec()))).unwrap();
        assert_eq!((aborted.outcome, aborted.error.as_deref()), (Outcome::Refused, Some("EXECABORT because")));
    }

    #[test]
    fn only_an_error_that_says_so_means_that_nothing_was_done() {
        assert_eq!(
            ["OOM full", "ERR log", "REGIONPARTITIONED x"].map(judged),
            [Outcome::Refused, Outcome::Unknown, Outcome::Unknown]
        );
    }
}
