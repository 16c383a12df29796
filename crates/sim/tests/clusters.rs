//! Clusters as they come: all checks hold. More of them with `cargo xtask sim --seeds N`.

use sim::{Plan, run};

#[test]
fn three_hundred_clusters_converge_and_lose_nothing() {
    for seed in 1..=300 {
        if let Err(violation) = run(&Plan::of(seed, None)) {
            panic!("{violation:?}\ncargo xtask sim --seeds 1 --seed {seed}");
        }
    }
}

#[test]
fn a_seed_is_a_run() {
    let plan = Plan::of(7, None);
    assert_eq!(run(&plan), run(&plan));
    assert_ne!(run(&plan), run(&Plan::of(8, None)));
}
