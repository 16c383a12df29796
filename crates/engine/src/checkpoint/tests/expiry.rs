//! What expires while a checkpoint is under way.

use super::*;

#[test]
fn a_hash_whose_last_fields_go_before_its_turn_is_what_it_was_at_the_flip() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(AtomicI64::new(1_000_000));
    let bench = Bench::open(dir.path(), &clock);
    bench.engine.set_reclaiming(false);
    // More than one step takes, so that some have their turn after the first pause.
    let fields = |key| Step::Fields { db: 0, key, from: 0, count: 3, after_ms: 10 };
    (0..200).for_each(|key| bench.run(&[fields(key)], true));
    let at_flip = (bench.digest(), bench.now_ms());
    let mut passed = false;
    bench.checkpoint(&mut || {
        if !std::mem::replace(&mut passed, true) {
            bench.run(&[Step::Pass { ms: 20 }], true);
        }
        true
    });
    assert_eq!(digest_of_rows(&bench, at_flip.1), at_flip.0, "the rows are the state at the flip");
    bench.validate();
    drop(bench);
    let again = Bench::open(dir.path(), &clock);
    crate::keeper::reclaim(&again.engine.shared, again.now_ms());
    again.validate();
    assert_eq!(again.engine.key_counts(0).keys, 0, "all of them are over");
}
