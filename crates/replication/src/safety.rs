//! Which keys are safe, by the keyspaces of the group: patterns, of which the first that matches counts.
//!
//! *Invariant:* what is asked is what one state of all keyspaces says, and no older one than whoever asks has seen.

use std::sync::Arc;

use causal::bind::limits::MAX_RULES;
use causal::bind::{KeyRangeRule, Safety, SafetyRules};
use effect::GroupKeyspace;
use engine::Engine;
use engine::limits::{KEYSPACE_PATTERNS_MAX, KEYSPACES_MAX};
use parking_lot::Mutex;

/// The rules of a group, as its keyspaces are here.
pub(crate) struct SafetyBook {
    engine: Arc<Engine>,
    /// What was made last, of which keyspaces.
    made: Mutex<(Arc<[GroupKeyspace]>, Arc<SafetyRules>)>,
}

impl SafetyBook {
    pub(crate) fn new(engine: Arc<Engine>) -> Self {
        let keyspaces = engine.group_keyspaces();
        let rules = Arc::new(rules_of(&keyspaces));
        Self { engine, made: Mutex::new((keyspaces, rules)) }
    }

    /// What transactions go by that begin now.
    pub(crate) fn rules(&self) -> Arc<SafetyRules> {
        let keyspaces = self.engine.group_keyspaces();
        let mut made = self.made.lock();
        if !Arc::ptr_eq(&made.0, &keyspaces) {
            *made = (Arc::clone(&keyspaces), Arc::new(rules_of(&keyspaces)));
        }
        Arc::clone(&made.1)
    }
}

/// Nodes that do not hear of each other can define more than one may: then the first count.
fn rules_of(keyspaces: &[GroupKeyspace]) -> SafetyRules {
    let safety = |keyspace: &GroupKeyspace| if keyspace.is_unsafe { Safety::Unsafe } else { Safety::Safe };
    let rules = keyspaces.iter().flat_map(|keyspace| {
        let mode = safety(keyspace);
        keyspace.patterns.iter().map(move |pattern| KeyRangeRule { pattern: pattern.clone(), mode })
    });
    let default = keyspaces.last().map(safety).unwrap_or_default();
    SafetyRules::new(default, rules.take(MAX_RULES).collect()).expect("no more than there may be")
}

const _: () = assert!(KEYSPACES_MAX * KEYSPACE_PATTERNS_MAX <= MAX_RULES, "all that one node may define counts");

#[cfg(test)]
mod tests {
    use super::*;

    fn keyspace(name: &str, patterns: &[&str], is_unsafe: bool) -> GroupKeyspace {
        let patterns = patterns.iter().map(|pattern| pattern.as_bytes().to_vec()).collect();
        GroupKeyspace { name: name.into(), patterns, is_unsafe }
    }

    #[test]
    fn the_first_that_matches_counts_and_default_is_asked_last() {
        let all = [
            keyspace("gold", &["cart:gold:*"], false),
            keyspace("carts", &["cart:*", "bag:*"], true),
            keyspace("default", &[], false),
        ];
        let of = |all: &[GroupKeyspace]| {
            let rules = rules_of(all);
            ["cart:gold:1", "cart:1", "bag:1", "x"].map(|key| rules.of_key(key.as_bytes()) == Safety::Unsafe)
        };
        assert_eq!(of(&all), [false, true, true, false]);
        assert_eq!(
            of(&[keyspace("gold", &["cart:gold:*"], false), keyspace("default", &[], true)]),
            [false, true, true, true]
        );
    }

    #[test]
    fn of_too_many_patterns_the_first_count() {
        let many: Vec<&str> = std::iter::repeat_n("a", MAX_RULES).collect();
        let all = [keyspace("many", &many, true), keyspace("more", &["b"], true), keyspace("default", &[], false)];
        let rules = rules_of(&all);
        assert_eq!((rules.of_key(b"a"), rules.of_key(b"b")), (Safety::Unsafe, Safety::Safe));
    }
}
