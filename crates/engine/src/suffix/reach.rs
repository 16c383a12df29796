//! How far the recent effects on a key go.

use effect::Vector;

use super::unstable::Unstable;
use crate::engine::Shared;

impl Shared {
    /// Of each origin the last recent effect on a key of a physical database.
    pub(crate) fn reach_of(&self, db: u8, key: &[u8]) -> Vector {
        let place = self.place_of(key);
        let mut shard = self.shards[usize::from(place.shard.0)].lock();
        shard.suffix.index();
        shard.suffix.find(place, db, key).map(Unstable::reach).unwrap_or_default()
    }
}
