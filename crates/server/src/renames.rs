//! Commands under other names: `rename-command`.

use std::collections::{HashMap, HashSet};

use command::Spec;
use command::table::{self, CommandId};

/// Names that differ from the table's.
#[derive(Debug, Default)]
pub struct Renames {
    /// New names, in lower case.
    given: HashMap<Vec<u8>, CommandId>,
    /// Old names, in lower case, which mean nothing any more unless they are given again.
    taken: HashSet<Vec<u8>>,
}

impl Renames {
    /// From pairs of the old name and the new one, which is empty if the command is taken away; `None` if there are none.
    pub fn new(pairs: &[(Vec<u8>, Vec<u8>)]) -> Option<Self> {
        if pairs.is_empty() {
            return None;
        }
        let mut renames = Self::default();
        for (old, new) in pairs {
            // A command of a Redis that has more of them than this server cannot be taken away; it is not there.
            let Some((_, id)) = table::find_with_id(old) else { continue };
            renames.taken.insert(old.to_ascii_lowercase());
            if !new.is_empty() {
                renames.given.insert(new.to_ascii_lowercase(), id);
            }
        }
        Some(renames)
    }

    /// The command that goes by this name.
    pub fn find(&self, name: &[u8]) -> Option<(&'static Spec, CommandId)> {
        let lower = name.to_ascii_lowercase();
        if let Some(id) = self.given.get(&lower) {
            return Some((table::spec(*id), *id));
        }
        if self.taken.contains(&lower) { None } else { table::find_with_id(name) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renamed_command_answers_to_its_new_name_alone() {
        let pair = |old: &str, new: &str| (old.as_bytes().to_vec(), new.as_bytes().to_vec());
        let renames = Renames::new(&[pair("get", "SET"), pair("set", "Put"), pair("config", "")]).unwrap();
        let name = |given: &str| renames.find(given.as_bytes()).map(|(spec, _)| spec.name);
        assert_eq!(name("GET"), None);
        assert_eq!(name("set"), Some("get"));
        assert_eq!(name("PUT"), Some("set"));
        assert_eq!(name("config"), None);
        assert_eq!(name("mget"), Some("mget"));
        assert!(Renames::new(&[]).is_none());
    }
}
