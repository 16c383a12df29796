//! What an archive does not need any more: chains that a later one has made superfluous.
//!
//! ```text
//!   chains of the node, by when their rows were stored      │ now − keep
//!     ■■■■■■■■        goes: all of it is older, and          │
//!             ■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■│■■■■    this one has every moment from there on
//! ```
//! *Invariant:* whatever is removed, from its end to its beginning, what is left of it are backups that are whole, or no backups.

use std::collections::BTreeSet;
use std::time::Duration;

use engine::Engine;

use crate::error::Error;
use crate::id::BackupId;
use crate::limits::NAME_SLACK_MS;
use crate::manifest::node_name;
use crate::note::{Note, Purpose};
use crate::repository::{Listed, Repository};

/// Removes what no moment of the last `keep` needs, of this node; answers how many chains have gone.
///
/// # Errors
/// What the storage says; what is left is removed by the next call.
pub fn prune(engine: &Engine, repository: &Repository, keep: Duration) -> Result<usize, Error> {
    let mut listed = repository.list()?;
    let node = node_name(engine.origin().node());
    listed.retain(|listed| listed.node() == node);
    let keep_ms = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
    let cutoff_ms = engine.now_ms().saturating_sub(keep_ms).saturating_sub(NAME_SLACK_MS);
    let in_use = [Purpose::Asked, Purpose::Archive].map(|purpose| in_use(&Note::of(engine, repository.id(), purpose)));
    let in_use: BTreeSet<BackupId> = in_use.into_iter().flatten().collect();
    let gone = superfluous(&listed, &in_use, cutoff_ms);
    for chain in &gone {
        tracing::info!(%chain, "a chain of backups is older than it is to be kept: it is removed");
        // What goes on from another goes before that.
        let of_chain = listed.iter().rev().filter(|listed| listed.chain() == chain);
        of_chain
            .clone()
            .filter(|l| l.backup() != chain)
            .try_for_each(|listed| repository.remove_whole(&listed.folder))?;
        of_chain.filter(|l| l.backup() == chain).try_for_each(|listed| repository.remove_whole(&listed.folder))?;
    }
    Ok(gone.len())
}

/// The chains that the node goes on with, or has begun.
fn in_use(note: &Note) -> impl Iterator<Item = BackupId> + use<> {
    let pending = note.pending.iter().chain(&note.base).map(|pending| pending.chain.clone());
    let all: Vec<BackupId> = note.stored.iter().map(|stored| stored.chain.clone()).chain(pending).collect();
    all.into_iter()
}

/// Chains of which nothing was begun since `cutoff_ms`, where a later one has rows that are as old.
fn superfluous(listed: &[Listed], in_use: &BTreeSet<BackupId>, cutoff_ms: i64) -> BTreeSet<BackupId> {
    let is_old = |id: &BackupId| id.began_ms() <= cutoff_ms;
    let roots = listed.iter().filter(|listed| listed.backup() == listed.chain() && listed.is_whole);
    let Some(last) = roots.map(Listed::chain).filter(|id| is_old(id)).max() else { return BTreeSet::new() };
    let mut gone: BTreeSet<BackupId> = listed.iter().map(|listed| listed.chain().clone()).collect();
    gone.retain(|chain| chain < last && !in_use.contains(chain));
    for young in listed.iter().filter(|listed| !is_old(listed.backup())) {
        gone.remove(young.chain());
    }
    gone
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::Folder;

    fn id(second: u32) -> BackupId {
        BackupId::parse(&format!("20261122T1000{second:02}.000Z-00000000")).unwrap()
    }

    fn listed(chain: u32, backup: u32, is_whole: bool) -> Listed {
        let folder = Folder { node: "n".into(), chain: id(chain), backup: id(backup) };
        Listed { folder, bytes: 1, has_rows: chain == backup, is_whole }
    }

    fn gone(of: &[(u32, u32)], in_use: &[u32], cutoff: u32) -> Vec<u32> {
        let listed: Vec<Listed> = of.iter().map(|(chain, backup)| listed(*chain, *backup, true)).collect();
        let in_use = in_use.iter().map(|n| id(*n)).collect();
        let gone = superfluous(&listed, &in_use, id(cutoff).began_ms());
        (0..60).filter(|n| gone.contains(&id(*n))).collect()
    }

    #[test]
    fn a_chain_goes_once_all_of_it_is_old_and_a_later_one_begins_before_what_is_kept() {
        let chains = [(1, 1), (1, 2), (1, 5), (4, 4), (4, 6), (9, 9)];
        assert_eq!(gone(&chains, &[9], 3), [0; 0]);
        assert_eq!(gone(&chains, &[9], 4), [0; 0], "the first one goes on beside the second");
        assert_eq!(gone(&chains, &[9], 5), [1]);
        assert_eq!(gone(&chains, &[9], 8), [1], "the moments before the last one begins are in the second");
        assert_eq!(gone(&chains, &[9], 9), [1, 4]);
        assert_eq!(gone(&chains, &[4, 9], 50), [1], "what is gone on with stays");
        assert_eq!(gone(&chains[..3], &[], 50), [0; 0], "the last one stays");
    }

    #[test]
    fn what_was_given_up_goes_and_is_no_reason_for_others_to_go() {
        let all = [listed(1, 1, true), listed(2, 2, false), listed(3, 3, false)];
        let none = BTreeSet::new();
        assert_eq!(superfluous(&all, &none, id(9).began_ms()), none);
        let all = [listed(1, 1, true), listed(2, 2, false), listed(3, 3, true)];
        assert_eq!(superfluous(&all, &none, id(9).began_ms()), BTreeSet::from([id(1), id(2)]));
        assert_eq!(superfluous(&all, &BTreeSet::from([id(2)]), id(9).began_ms()), BTreeSet::from([id(1)]));
    }
}
