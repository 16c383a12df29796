//! The order in which the policies let go.

use super::*;
use crate::hash::KeyHash;
use crate::index::nodes::Loc;

struct Lab {
    nodes: Nodes,
    policy: Box<dyn Policy>,
    ids: Vec<u32>,
}

impl Lab {
    fn new(kind: PolicyKind) -> Self {
        Self { nodes: Nodes::default(), policy: kind.build(), ids: Vec::new() }
    }

    fn insert(&mut self, count: usize) {
        for _ in 0..count {
            if self.nodes.is_full() {
                self.nodes.add_chunk();
            }
            let n = self.ids.len() as u64;
            let id = self.nodes.insert(KeyHash { hi: n, lo: n << 48 }, Loc::new(1, n * 8, 100));
            self.policy.inserted(&mut self.nodes, id);
            self.ids.push(id);
        }
    }

    fn touch(&mut self, item: usize) {
        self.policy.touched(&mut self.nodes, self.ids[item]);
    }

    fn remove(&mut self, item: usize) {
        self.policy.removed(&mut self.nodes, self.ids[item]);
    }

    fn victims(&mut self, count: usize) -> Vec<usize> {
        (0..count)
            .filter_map(|_| (0..5).find_map(|_| self.policy.take_victim(&mut self.nodes)))
            .map(|id| self.ids.iter().position(|&other| other == id).unwrap())
            .collect()
    }
}

#[test]
fn fifo_ignores_reads() {
    let mut lab = Lab::new(PolicyKind::Fifo);
    lab.insert(4);
    lab.touch(0);
    lab.remove(1);
    assert_eq!(lab.victims(4), [0, 2, 3]);
}

#[test]
fn clock_keeps_what_was_read_once_more_as_if_it_were_new() {
    let mut lab = Lab::new(PolicyKind::Clock);
    lab.insert(4);
    lab.touch(0);
    assert_eq!(lab.victims(1), [1], "0 begins anew behind 3");
    lab.remove(2);
    lab.insert(1);
    assert_eq!(lab.victims(3), [3, 0, 4], "it was not read again");
}

#[test]
fn sieve_moves_its_hand_from_the_oldest_to_the_newest() {
    let mut lab = Lab::new(PolicyKind::Sieve);
    lab.insert(3);
    assert_eq!(lab.victims(3), [0, 1, 2]);
}

#[test]
fn sieve_spares_what_was_read_and_leaves_it_in_place() {
    let mut lab = Lab::new(PolicyKind::Sieve);
    lab.insert(4);
    lab.touch(0);
    lab.touch(2);
    assert_eq!(lab.victims(1), [1], "0 is spared, the hand now points at 2");
    lab.insert(1);
    assert_eq!(lab.victims(2), [3, 4], "2 is spared, and the newcomer is sifted before the hand starts over");
    assert_eq!(lab.victims(2), [0, 2]);
}

#[test]
fn sieve_survives_the_removal_of_the_item_under_its_hand() {
    let mut lab = Lab::new(PolicyKind::Sieve);
    lab.insert(5);
    assert_eq!(lab.victims(1), [0]);
    lab.remove(1);
    assert_eq!(lab.victims(4), [2, 3, 4]);
}

#[test]
fn s3fifo_lets_a_scan_pass_without_losing_what_is_read() {
    let mut lab = Lab::new(PolicyKind::S3Fifo);
    lab.insert(20);
    (0..20).for_each(|i| lab.touch(i));
    lab.insert(200);
    let victims = lab.victims(190);
    let kept: Vec<usize> = (0..20).filter(|i| !victims.contains(i)).collect();
    assert_eq!(kept.len(), 20, "lost {:?}", (0..20).filter(|i| victims.contains(i)).collect::<Vec<_>>());
}

#[test]
fn s3fifo_remembers_what_it_turned_away() {
    let mut lab = Lab::new(PolicyKind::S3Fifo);
    lab.insert(100);
    assert_eq!(lab.victims(1), [0]);
    let back = lab.ids[0];
    lab.policy.inserted(&mut lab.nodes, back);
    assert!(lab.nodes.in_main(back), "an item that comes back soon goes to the main queue");
}
