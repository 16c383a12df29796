//! A wire that takes little.

use super::*;

#[test]
fn what_is_larger_than_a_piece_arrives_and_a_wire_without_room_loses_nothing() {
    let mut group = Group::ready();
    group.hub.set_room(3);
    for n in 0..6 {
        group.set(n % 3, &format!("large{n}"), &vec![n as u8; (n + 1) << 19]).unwrap();
        group.set(n % 3, &format!("small{n}"), b"x").unwrap();
        group.round();
    }
    group.settle();
}
