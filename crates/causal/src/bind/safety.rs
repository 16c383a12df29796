//! Which keys are safe: patterns, of which the first that matches counts.
//!
//! *Invariant:* rules are replaced as a whole. A bind carries the safety that it was begun with, so a change of rules concerns
//! none that is under way, and replicas need not change theirs at the same moment.

use effect::glob;

use crate::bind::limits::MAX_RULES;
use crate::bind::transaction::KeyUse;

/// What exclusive transactions do in a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Safety {
    /// They need a majority of the voters, and what is committed stays.
    #[default]
    Safe,
    /// They go on everywhere; of competitors one stays when the partition heals, the others are undone and reported.
    Unsafe,
}

/// Keys that match `pattern` (a glob) are kept so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRangeRule {
    /// The pattern.
    pub pattern: Vec<u8>,
    /// How safe these keys are.
    pub mode: Safety,
}

/// The rules of a node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SafetyRules {
    default: Safety,
    rules: Vec<KeyRangeRule>,
}

impl SafetyRules {
    /// Rules, and what holds for keys that none of them matches; `None` if there are more than [`MAX_RULES`].
    pub fn new(default: Safety, rules: Vec<KeyRangeRule>) -> Option<Self> {
        (rules.len() <= MAX_RULES).then_some(Self { default, rules })
    }

    /// How safe a key is.
    pub fn of_key(&self, name: &[u8]) -> Safety {
        self.rules.iter().find(|rule| glob::matches(&rule.pattern, name)).map_or(self.default, |rule| rule.mode)
    }

    /// How safe a transaction is: unsafe only if all of its keys are.
    pub fn of_keys<'a>(&self, keys: impl IntoIterator<Item = &'a KeyUse>) -> Safety {
        let (mut any, mut all_unsafe) = (false, true);
        for used in keys {
            any = true;
            all_unsafe &= self.of_key(&used.key.name) == Safety::Unsafe;
        }
        match (any, all_unsafe) {
            (false, _) => self.default,
            (true, true) => Safety::Unsafe,
            (true, false) => Safety::Safe,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bind::transaction::Key;

    fn rules(default: Safety, rules: &[(&str, Safety)]) -> SafetyRules {
        let rule =
            |(pattern, mode): &(&str, Safety)| KeyRangeRule { pattern: pattern.as_bytes().to_vec(), mode: *mode };
        SafetyRules::new(default, rules.iter().map(rule).collect()).expect("few rules")
    }

    #[test]
    fn the_first_rule_that_matches_counts() {
        use Safety::{Safe, Unsafe};
        let rules = rules(Safe, &[("cart:gold:*", Safe), ("cart:*", Unsafe), ("cart:x", Safe)]);
        assert_eq!(rules.of_key(b"cart:gold:1"), Safe);
        assert_eq!(rules.of_key(b"cart:x"), Unsafe, "a later rule does not count");
        assert_eq!(rules.of_key(b"other"), Safe, "none matches");
    }

    #[test]
    fn keys_of_both_modes_make_a_safe_transaction() {
        use Safety::{Safe, Unsafe};
        let rules = rules(Safe, &[("u*", Unsafe)]);
        let of = |names: &[&str]| {
            let keys: Vec<KeyUse> = names.iter().map(|name| KeyUse::written(Key::named(name.as_bytes()))).collect();
            rules.of_keys(&keys)
        };
        assert_eq!((of(&["u1", "u2"]), of(&["u1", "s"]), of(&["s", "u1"]), of(&[])), (Unsafe, Safe, Safe, Safe));
    }

    #[test]
    fn rules_are_bounded() {
        let rule = KeyRangeRule { pattern: b"*".to_vec(), mode: Safety::Unsafe };
        assert!(SafetyRules::new(Safety::Safe, vec![rule.clone(); MAX_RULES]).is_some());
        assert!(SafetyRules::new(Safety::Safe, vec![rule; MAX_RULES + 1]).is_none());
    }
}
