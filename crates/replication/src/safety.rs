//! Which keys are safe, as this node was told: keyspaces of patterns, of which the first that matches counts.
//!
//! ```text
//!   KEYSPACE SET name MATCH … SAFETY … ─▶ all rules anew ─▶ `DIR/safety`, synced ─▶ what transactions that begin from now on go by
//! ```
//! They are this node's own: a transaction carries the safety that it began with, so nodes may differ, and for a while always do.
//!
//! *Invariant:* whoever asks sees the rules before a change or those behind it, and no others.
//! *Invariant:* what was answered is durable.

use std::path::Path;
use std::sync::Arc;

use causal::bind::{KeyRangeRule, Safety, SafetyRules};
use effect::WireError;
use effect::wire::{Reader, put_bytes, put_varint};
use engine::limits::{KEYSPACE_NAME_MAX, KEYSPACE_PATTERN_MAX, KEYSPACE_PATTERNS_MAX, KEYSPACES_MAX};
use parking_lot::{Mutex, RwLock};
use thiserror::Error;

use crate::exclusive::{Journal, JournalError, JournalFile, SAFETY};

/// The keyspace of whatever no other one matches.
const DEFAULT: &str = "default";

/// Why rules were not changed. They are as before.
#[derive(Debug, Error)]
pub enum SafetyError {
    /// They cannot be written or read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// They are not what this version writes.
    #[error("the rules of which keys are safe cannot be read: {0}")]
    Bytes(#[from] WireError),
    /// There is none of this name.
    #[error("there is no keyspace of this name")]
    Unknown,
    /// The name cannot be used.
    #[error("a keyspace's name has 1 to {KEYSPACE_NAME_MAX} letters, digits, '-', '_' and '.'")]
    Name,
    /// A new keyspace needs this option.
    #[error("a new keyspace needs {0}")]
    Missing(&'static str),
    /// Patterns that cannot be used.
    #[error("MATCH takes 1 to {KEYSPACE_PATTERNS_MAX} patterns of 1 to {KEYSPACE_PATTERN_MAX} bytes")]
    Patterns,
    /// Those of `default` are what no other has, and it stays.
    #[error("the keyspace 'default' holds whatever no other one matches; only its SAFETY can be changed")]
    Default,
    /// There are too many.
    #[error("there are {KEYSPACES_MAX} keyspaces, and no more are possible")]
    TooMany,
}

/// A keyspace, as far as the group's transactions are concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SafetyRule {
    /// Its name.
    pub name: String,
    /// Glob patterns of its keys.
    pub patterns: Vec<Vec<u8>>,
    /// How safe they are.
    pub safety: Safety,
}

/// All rules, in the order in which they are asked; the last is `default`'s, without patterns.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rules(Vec<SafetyRule>);

/// The rules of a node.
pub struct SafetyBook {
    journal: Mutex<JournalFile>,
    now: RwLock<(Rules, Arc<SafetyRules>)>,
}

impl SafetyBook {
    /// Those of a data directory; where there are none everything is safe.
    pub fn open(dir: &Path) -> Result<Self, SafetyError> {
        let (journal, entries) = JournalFile::open_for(SAFETY, dir, None)?;
        let rules = match entries.last() {
            Some(entry) => Rules::decode(&mut Reader::new(entry))?,
            None => Rules::default(),
        };
        let compiled = Arc::new(rules.compile());
        Ok(Self { journal: Mutex::new(journal), now: RwLock::new((rules, compiled)) })
    }

    /// What transactions go by that begin now.
    pub fn rules(&self) -> Arc<SafetyRules> {
        Arc::clone(&self.now.read().1)
    }

    /// All of them, in the order in which they are asked.
    pub fn list(&self) -> Vec<SafetyRule> {
        self.now.read().0.0.clone()
    }

    /// Defines a keyspace, or changes one: what is left out stays.
    pub fn set(&self, name: &str, patterns: Option<Vec<Vec<u8>>>, safety: Option<Safety>) -> Result<(), SafetyError> {
        self.change(|rules| rules.set(name, patterns, safety))
    }

    /// Ends a keyspace.
    pub fn remove(&self, name: &str) -> Result<(), SafetyError> {
        self.change(|rules| {
            let at = rules.0.iter().position(|rule| rule.name == name).ok_or(SafetyError::Unknown)?;
            if name == DEFAULT {
                return Err(SafetyError::Default);
            }
            rules.0.remove(at);
            Ok(())
        })
    }

    fn change(&self, change: impl FnOnce(&mut Rules) -> Result<(), SafetyError>) -> Result<(), SafetyError> {
        let mut journal = self.journal.lock();
        let mut rules = self.now.read().0.clone();
        change(&mut rules)?;
        let mut bytes = Vec::new();
        rules.encode(&mut bytes);
        journal.replace(&[bytes])?;
        let compiled = Arc::new(rules.compile());
        *self.now.write() = (rules, compiled);
        Ok(())
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self(vec![SafetyRule { name: DEFAULT.into(), patterns: Vec::new(), safety: Safety::Safe }])
    }
}

impl Rules {
    fn set(&mut self, name: &str, patterns: Option<Vec<Vec<u8>>>, safety: Option<Safety>) -> Result<(), SafetyError> {
        let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || name.len() > KEYSPACE_NAME_MAX || !name.chars().all(known) {
            return Err(SafetyError::Name);
        }
        let fits = |pattern: &Vec<u8>| (1..=KEYSPACE_PATTERN_MAX).contains(&pattern.len());
        let is_fit = |all: &Vec<Vec<u8>>| (1..=KEYSPACE_PATTERNS_MAX).contains(&all.len()) && all.iter().all(fits);
        if !patterns.as_ref().is_none_or(is_fit) {
            return Err(SafetyError::Patterns);
        }
        if let Some(rule) = self.0.iter_mut().find(|rule| rule.name == name) {
            if patterns.is_some() && name == DEFAULT {
                return Err(SafetyError::Default);
            }
            rule.patterns = patterns.unwrap_or_else(|| std::mem::take(&mut rule.patterns));
            rule.safety = safety.unwrap_or(rule.safety);
            return Ok(());
        }
        if self.0.len() > KEYSPACES_MAX {
            return Err(SafetyError::TooMany);
        }
        let patterns = patterns.ok_or(SafetyError::Missing("MATCH"))?;
        let safety = safety.ok_or(SafetyError::Missing("SAFETY"))?;
        let last = self.0.len() - 1;
        self.0.insert(last, SafetyRule { name: name.into(), patterns, safety });
        Ok(())
    }

    fn compile(&self) -> SafetyRules {
        let default = self.0.last().map(|rule| rule.safety).unwrap_or_default();
        let rules = self.0.iter().flat_map(|rule| {
            let of = |pattern: &Vec<u8>| KeyRangeRule { pattern: pattern.clone(), mode: rule.safety };
            rule.patterns.iter().map(of)
        });
        SafetyRules::new(default, rules.collect()).unwrap_or_default()
    }

    /// `rules := count varint ‖ (name ‖ is unsafe u8 ‖ count varint ‖ pattern*)*`.
    fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.0.len() as u64);
        for SafetyRule { name, patterns, safety } in &self.0 {
            put_bytes(out, name.as_bytes());
            out.push(u8::from(*safety == Safety::Unsafe));
            put_varint(out, patterns.len() as u64);
            patterns.iter().for_each(|pattern| put_bytes(out, pattern));
        }
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let mut rules = Vec::new();
        for _ in 0..from.varint()? {
            let name = String::from_utf8_lossy(from.bytes()?).into_owned();
            let at = from.offset();
            let safety = match from.u8()? {
                0 => Safety::Safe,
                1 => Safety::Unsafe,
                _ => return Err(WireError::Invalid { what: "safety", at }),
            };
            let mut patterns = Vec::new();
            for _ in 0..from.varint()? {
                patterns.push(from.bytes()?.to_vec());
            }
            rules.push(SafetyRule { name, patterns, safety });
        }
        match rules.last().is_some_and(|rule| rule.name == DEFAULT) {
            true => Ok(Self(rules)),
            false => Err(WireError::Invalid { what: "rules of safety", at: from.offset() }),
        }
    }
}

const _: () = assert!(
    KEYSPACES_MAX * KEYSPACE_PATTERNS_MAX <= 4 * causal::bind::limits::MAX_RULES,
    "rules of many keyspaces fit"
);

#[cfg(test)]
mod tests {
    use Safety::{Safe, Unsafe};

    use super::*;

    #[test]
    fn the_first_that_matches_counts_also_after_a_start() {
        let dir = tempfile::tempdir().expect("a directory");
        let book = SafetyBook::open(dir.path()).expect("there are none");
        let set = |name: &str, patterns: &[&str], safety| {
            let patterns = (!patterns.is_empty()).then(|| patterns.iter().map(|one| one.as_bytes().to_vec()).collect());
            book.set(name, patterns, safety)
        };
        let before = book.rules();
        set("gold", &["cart:gold:*"], Some(Safe)).expect("it is kept");
        set("carts", &["cart:*", "bag:*"], Some(Unsafe)).expect("it is kept");
        assert_eq!(before.of_key(b"cart:1"), Safe, "who began before goes by what was so then");
        let of =
            |book: &SafetyBook| ["cart:gold:1", "cart:1", "bag:1", "x"].map(|key| book.rules().of_key(key.as_bytes()));
        assert_eq!(of(&book), [Safe, Unsafe, Unsafe, Safe]);
        set("carts", &["cart:*"], None).expect("it is kept");
        set("default", &[], Some(Unsafe)).expect("it is kept");
        assert_eq!(of(&book), [Safe, Unsafe, Unsafe, Unsafe]);
        set("carts", &[], Some(Safe)).expect("it is kept");
        let book = SafetyBook::open(dir.path()).expect("it is whole");
        assert_eq!(of(&book), [Safe, Safe, Unsafe, Unsafe]);
        assert_eq!(book.list().iter().map(|rule| &*rule.name).collect::<Vec<_>>(), ["gold", "carts", "default"]);
        book.remove("gold").expect("it is gone");
        assert!(matches!(book.remove("gold"), Err(SafetyError::Unknown)));
        assert!(matches!(book.remove("default"), Err(SafetyError::Default)));
    }

    #[test]
    fn what_is_no_rule_changes_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        let book = SafetyBook::open(dir.path()).expect("there are none");
        let patterns = || Some(vec![b"a*".to_vec()]);
        assert!(matches!(book.set("a b", patterns(), Some(Unsafe)), Err(SafetyError::Name)));
        assert!(matches!(book.set("a", None, Some(Unsafe)), Err(SafetyError::Missing("MATCH"))));
        assert!(matches!(book.set("a", patterns(), None), Err(SafetyError::Missing("SAFETY"))));
        assert!(matches!(book.set("a", Some(vec![Vec::new()]), Some(Unsafe)), Err(SafetyError::Patterns)));
        assert!(matches!(book.set("default", patterns(), Some(Unsafe)), Err(SafetyError::Default)));
        assert_eq!(book.list(), Rules::default().0);
        for n in 0..KEYSPACES_MAX {
            book.set(&format!("k{n}"), patterns(), Some(Unsafe)).expect("it is kept");
        }
        assert!(matches!(book.set("more", patterns(), Some(Unsafe)), Err(SafetyError::TooMany)));
    }
}
