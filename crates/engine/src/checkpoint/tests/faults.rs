//! Checkpoints that fail, and engines that end while one is being taken.

use super::*;
use crate::CheckpointError;

#[test]
fn after_a_checkpoint_whose_run_did_not_come_into_force_the_next_has_all_of_it() {
    for fails_at in [1, 4, 20] {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(AtomicI64::new(1_000_000));
        let bench = Bench::open(dir.path(), &clock);
        let write = |key| Step::Write { db: 0, key, from: 0, count: MANY as u16 };
        (0..6).for_each(|key| bench.run(&[write(key)], true));
        bench.run(&[Step::Many { db: 0, from: 0, count: 100 }], true);
        bench.checkpoint(&mut || true).unwrap();
        // All that a checkpoint takes: what changed, what went, a database that was emptied, large values anew.
        (0..3).for_each(|key| bench.run(&[write(key)], true));
        bench.run(&[Step::Remove { db: 0, key: 3 }, Step::Many { db: 1, from: 0, count: 100 }], true);
        let (rows, away) = (dir.path().join("rows"), dir.path().join("away"));
        let mut pauses = 0;
        let failed = take_with(&bench.engine.shared, &mut || {
            pauses += 1;
            bench.run(&[Step::Drop { db: 0, key: 0, from: 5 * pauses, count: 5 }], true);
            if pauses == fails_at {
                bench.run(&[Step::Remove { db: 0, key: 4 }, Step::Flush { db: 1 }], true);
                std::fs::rename(&rows, &away).unwrap();
            }
            true
        });
        std::fs::rename(&away, &rows).unwrap();
        assert!(matches!(failed, Err(CheckpointError::Rows { .. })), "{failed:?}");
        bench.validate();
        let before = bench.digest();
        let crashed = copy(dir.path(), &bench);
        assert_eq!(Bench::open(crashed.path(), &clock).digest(), before, "the log is there as it was");
        let next = bench.checkpoint(&mut || true);
        assert!(next.is_some());
        assert_eq!(digest_of_rows(&bench, bench.now_ms()), before);
        bench.validate();
        drop(bench);
        assert_eq!(Bench::open(dir.path(), &clock).digest(), before);
        assert_eq!(crate::inspect(dir.path(), None).unwrap().faults, []);
    }
}

/// The files as a kill would leave them.
fn copy(dir: &std::path::Path, bench: &Bench) -> tempfile::TempDir {
    fn copy(from: &std::path::Path, to: &std::path::Path) {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap().flatten() {
            let to = to.join(entry.file_name());
            match entry.file_type().unwrap().is_dir() {
                true => copy(&entry.path(), &to),
                false => drop(std::fs::copy(entry.path(), &to).unwrap()),
            }
        }
    }
    bench.engine.log().sync().unwrap();
    let to = tempfile::tempdir().unwrap();
    copy(dir, to.path());
    to
}

#[test]
fn a_database_that_was_closed_while_a_checkpoint_was_taken_can_be_opened_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(AtomicI64::new(1_000_000));
    for round in 0..30u16 {
        let bench = Bench::open(dir.path(), &clock);
        bench.run(&[Step::Many { db: 0, from: 50 * round, count: 200 }], true);
        assert!(bench.engine.request_checkpoint());
        if round % 2 == 0 {
            // It ends by itself, about when the engine does.
            while bench.engine.checkpoint_figures().last.is_none() {
                std::hint::spin_loop();
            }
        }
        let before = bench.digest();
        bench.engine.close().unwrap();
        let again = Engine::open(dir.path(), options(&clock));
        let again =
            Bench { engine: again.map_err(|error| error.to_string()).expect("nobody holds it"), clock: clock.clone() };
        assert_eq!(again.digest(), before);
        again.engine.close().unwrap();
    }
}
