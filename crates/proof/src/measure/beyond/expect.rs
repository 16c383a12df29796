//! What a reply must be.

use anyhow::{Context, Result, bail, ensure};

use crate::conn::Command;
use crate::resp::Value;

/// What a reply must be.
#[derive(Clone, Debug)]
pub enum Expect {
    /// Exactly this.
    Is(Value),
    /// These names and values, in any order.
    Pairs(Vec<(Value, Value)>),
    /// Between these.
    Between(i64, i64),
}

impl Expect {
    pub fn int(number: usize) -> Expect {
        Expect::Is(Value::Int(number as i64))
    }

    pub fn bulk(bytes: Option<Vec<u8>>) -> Expect {
        Expect::Is(bytes.map_or(Value::NullBulk, Value::Bulk))
    }

    pub fn array(items: impl IntoIterator<Item = Vec<u8>>) -> Expect {
        Expect::Is(Value::Array(items.into_iter().map(Value::Bulk).collect()))
    }

    /// Compares.
    pub fn check(&self, command: &Command, reply: &Value) -> Result<()> {
        let right = match self {
            Expect::Is(value) => value == reply,
            Expect::Pairs(pairs) => {
                let items = reply.items().unwrap_or_default();
                let mut found: Vec<_> = items.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
                let mut pairs = pairs.clone();
                found.sort_unstable();
                pairs.sort_unstable();
                reply.items().is_some_and(|items| items.len() % 2 == 0) && found == pairs
            }
            Expect::Between(least, most) => reply.int().is_some_and(|n| (*least..=*most).contains(&n)),
        };
        if right {
            return Ok(());
        }
        let words: Vec<String> = command.iter().map(|word| short(&String::from_utf8_lossy(word))).collect();
        bail!("{} was answered {}, not {}", words.join(" "), short(&reply.to_string()), short(&format!("{self:?}")))
    }
}

/// The beginning of a text that may be of many kilobytes.
fn short(text: &str) -> String {
    let cut: String = text.chars().take(150).collect();
    if cut.len() < text.len() { format!("{cut}… ({} B)", text.len()) } else { cut }
}

/// The cursor and the keys of a page of SCAN.
pub fn page(reply: &Value) -> Result<(Vec<u8>, Vec<Vec<u8>>)> {
    let parts = reply.items().unwrap_or_default();
    ensure!(parts.len() == 2, "SCAN was answered {reply}");
    let cursor = parts[0].bytes().context("a cursor")?.to_vec();
    let keys = parts[1].items().context("keys")?.iter();
    Ok((cursor, keys.filter_map(|key| key.bytes().map(<[u8]>::to_vec)).collect()))
}

#[cfg(test)]
mod tests {
    use super::Expect;
    use crate::conn::command;
    use crate::resp::Value;

    #[test]
    fn pairs_have_no_order_but_are_complete() {
        let text = |text: &str| Value::Bulk(text.into());
        let expect = Expect::Pairs(vec![(text("a"), text("1")), (text("b"), text("2"))]);
        let reply = |words: &[&str]| Value::Array(words.iter().map(|word| text(word)).collect());
        let check = |words: &[&str]| expect.check(&command(&["HGETALL", "h"]), &reply(words)).is_ok();
        assert!(check(&["b", "2", "a", "1"]));
        for wrong in [&["a", "1"][..], &["a", "1", "b", "3"], &["a", "1", "b", "2", "c"], &["a", "2", "b", "1"]] {
            assert!(!check(wrong), "{wrong:?}");
        }
    }
}
