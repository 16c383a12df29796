//! When a replica says what it has.

use std::collections::BTreeMap;
use std::sync::Arc;

use causal::limits::{HEARTBEAT_MS, STATEMENT_MS};
use causal::{
    Config, Cut, Entry, Epoch, Frame, Hello, Input, LinkId, Opening, Output, Replica, Start, Statement, Vote,
};
use effect::{Dot, GroupId, Hlc, Origin, Vector};

const PEER: LinkId = LinkId(1);

fn statements(out: &[Output]) -> Vec<&Statement> {
    let of = |output| match output {
        &Output::Send(PEER, Frame::Statement(ref statement)) => Some(statement),
        _ => None,
    };
    out.iter().filter_map(of).collect()
}

#[test]
fn what_has_come_to_disk_is_said_soon_also_if_it_is_stable_here_by_then() {
    let (me, peer, epoch) = (Origin::new(1, 1), Origin::new(2, 1), Epoch::new(1, [1, 2]));
    let nothing = (Vector::new(), BTreeMap::new(), BTreeMap::new(), Cut::default());
    let (applied, heads, contexts, cut) = nothing;
    let (start, vote) = (Start::Sound, Vote::default());
    let opening = Opening { origin: me, start, applied, heads, contexts, cut, epoch: epoch.clone(), vote };
    let mut replica = Replica::open(Config::default(), opening);
    let (group, applied, lives, vote) = (GroupId(0), Vector::new(), Vec::new(), Vote::default());
    let hello = Hello { group, origin: peer, epoch, applied, lives, window: 1 << 20, vote };
    replica.step(0, Input::Connected(PEER));
    replica.step(0, Input::Received(PEER, Frame::Hello(hello)));

    let first = Dot { origin: peer, seq: 1 };
    let bytes: Arc<[u8]> = Arc::from(&b"an effect"[..]);
    let entry = Entry { first, count: 1, hlc: Hlc::at_ms(1), ticks: 0, grown: Vector::new(), bytes };
    replica.step(0, Input::Received(PEER, Frame::Batches(vec![entry])));
    let durable: Vector = [first].into_iter().collect();
    let (hlc, lives, echo) = (Hlc::at_ms(2), vec![(1, 1), (2, 1)], None);
    let said = Statement { seq: 1, hlc, durable: durable.clone(), lives, epoch: 1, sent_ms: 0, echo };
    replica.step(0, Input::Received(PEER, Frame::Statement(said)));
    replica.step(0, Input::Tick { promised: Hlc::at_ms(2) });
    replica.step(1, Input::Synced(durable.clone()));
    assert_eq!(replica.cut().vector, durable, "nobody else has to say anything about it");

    let out = replica.step(STATEMENT_MS, Input::Tick { promised: Hlc::at_ms(2) });
    assert_eq!(statements(&out).first().map(|said| &said.durable), Some(&durable), "the peer waits to hear it");
    let out = replica.step(2 * STATEMENT_MS, Input::Tick { promised: Hlc::at_ms(2) });
    assert!(statements(&out).is_empty(), "there is nothing more to say");
    let out = replica.step(STATEMENT_MS + HEARTBEAT_MS, Input::Tick { promised: Hlc::at_ms(2) });
    assert_eq!(statements(&out).len(), 1, "but that it is there");
}
