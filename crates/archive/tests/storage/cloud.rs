//! The library's own store in memory, through the same code as the clouds.

use std::sync::Arc;

use archive::limits::UPLOAD_PART_BYTES;
use archive::storage::{Cloud, Storage};
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt, path::Path};

use crate::suite;

#[test]
fn a_cloud_keeps_the_contract() {
    for (prefix, large) in [("", 1 << 20), ("some/where", UPLOAD_PART_BYTES)] {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        suite::all(&Cloud::over(store.clone(), store, prefix).unwrap(), large);
    }
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let storage: Arc<dyn Storage> = Arc::new(Cloud::over(store.clone(), store, "").unwrap());
    suite::whole_or_not_at_all(&storage, 100);
}

#[test]
fn what_lies_outside_of_the_prefix_or_is_no_name_of_ours_is_not_seen() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for key in ["pre/a", "pre/b c", "pre/.c", "pre2/d", "e", "pre"] {
        runtime.block_on(store.put(&Path::from(key), "x".into())).unwrap();
    }
    let storage = Cloud::over(store.clone(), store, "pre").unwrap();
    let listed = storage.list("", None, 9).unwrap();
    assert_eq!(listed.iter().map(|e| e.name.as_str()).collect::<Vec<_>>(), ["a"]);
}
