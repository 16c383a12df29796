//! What the log says is what was there.

use super::command;
use crate::harness::Harness;
use crate::oracle::{Gen, words};

#[test]
fn random_commands_survive_restarts() {
    let mut h = Harness::new();
    let mut g = Gen::new(11);
    for _ in 0..12 {
        for _ in 0..150 {
            h.run_words(&command(&mut g));
        }
        h.reopen();
    }
}

#[test]
fn large_sets_survive_restarts() {
    let mut h = Harness::new();
    let mut g = Gen::new(12);
    for _ in 0..6 {
        for _ in 0..10 {
            let mut add = words!["ZADD", "big"];
            for _ in 0..50 {
                add.extend(words![g.between(-20, 20).to_string(), format!("member:{}", g.below(2000))]);
            }
            h.run_words(&add);
            h.run_words(&words!["ZINCRBY", "big", "0.1", format!("member:{}", g.below(2000))]);
            h.run_words(&words!["ZREM", "big", format!("member:{}", g.below(2000))]);
            h.run_words(&words!["ZRANGESTORE", "part", "big", "-10", "10", "BYSCORE", "REV", "LIMIT", "5", "200"]);
            h.run_words(&words!["ZUNIONSTORE", "sum", "2", "big", "part", "WEIGHTS", "1.5", "-1"]);
            h.run_words(&words!["ZPOPMIN", "big", "7"]);
        }
        h.reopen();
    }
    assert_ne!(h.digest(), engine::Digest::default());
}
