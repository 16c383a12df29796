//! Messages and records of exclusive transactions are these bytes, are read as they were written, and others are refused.

use std::sync::Arc;

use causal::bind::{
    Ballot, Bind, Exec, Key, KeyUse, Logged, Message, Record, Refusal, Report, Rival, Safety, Sent, Vote, Voters, Watch,
};
use effect::{Dot, Hlc, KeyspaceId, Origin, Stamp, Vector, WireError};
use proptest::prelude::*;

fn dot(node: u64, seq: u64) -> Dot {
    Dot { origin: Origin::new(node, 1), seq }
}

fn bind(node: u64, seq: u64, names: &[&[u8]], safety: Safety) -> Arc<Bind> {
    let voters = Voters::new([1, 2, 300]).expect("some");
    let context: Vector = [dot(1, seq), dot(2, 7)].into_iter().collect();
    let key = |name: &&[u8]| Key { keyspace: KeyspaceId(name.len() as u16), db: 3, name: (*name).into() };
    let keys =
        names.iter().enumerate().map(|(n, name)| KeyUse { key: key(name), read: n % 2 == 0, written: n % 3 == 0 });
    let at = dot(node, seq);
    Arc::new(Bind::new((at, Stamp::new(at, Hlc(77))), voters, &context, keys.collect(), safety).expect("few keys"))
}

fn vote(ballot: u64, commit: bool) -> Vote {
    Vote { ballot: Ballot(ballot), commit }
}

fn report() -> Report {
    let rival = |node, accepted, decided: Option<bool>| Rival {
        rank: bind(node, 5, &[b"a"], Safety::Safe).rank(),
        same_voters: decided.is_none(),
        accepted,
        decided,
    };
    let rivals = vec![rival(2, None, None), rival(3, Some(vote(129, true)), Some(true)), rival(1, None, Some(false))];
    Report { accepted: Some(vote(0, true)), plain: true, forgot: false, rivals }
}

/// One of each.
fn messages() -> Vec<Sent> {
    let bind = bind(2, 9, &[b"a", b"bc"], Safety::Safe);
    let (dot, ballot) = (bind.dot(), Ballot(65));
    let exec = Exec {
        turn: 300,
        led: vec![Key::named(b"k")],
        commands: vec![vec![b"set".to_vec(), b"k".to_vec(), Vec::new()], vec![b"incr".to_vec(), b"k".to_vec()]],
        watches: vec![Watch { key: Key::named(b"k"), seen: [dot].into_iter().collect(), existed: true }],
        user: b"default".to_vec(),
        db: 4,
        resp3: true,
        trace: Some([0xAB; 24]),
    };
    let messages = [
        Message::Ask { bind: dot },
        Message::Prepare { bind: Arc::clone(&bind), ballot },
        Message::Promise { bind: dot, ballot, report: report() },
        Message::Promise { bind: dot, ballot, report: Report { forgot: true, ..Report::default() } },
        Message::Accept { bind, vote: vote(65, false) },
        Message::Voted { bind: dot, vote: vote(0, true) },
        Message::Refused { bind: dot, ballot: Ballot(0), cause: Refusal::Promised(ballot) },
        Message::Refused { bind: dot, ballot, cause: Refusal::Competitor },
        Message::Refused { bind: dot, ballot, cause: Refusal::PlainWrite },
        Message::Refused { bind: dot, ballot, cause: Refusal::Forgotten },
        Message::Decided { bind: dot, vote: vote(1 << 20, true) },
    ];
    let others = [Sent::Forward(7, Box::new(exec)), Sent::Reply(300, b"*-1\r\n".to_vec())];
    messages.into_iter().map(Sent::Message).chain(others).collect()
}

fn records() -> Vec<Record> {
    let dot = dot(2, 9);
    vec![
        Record::Forgot(Origin::new(2, 9)),
        Record::Promised(dot, Ballot(65)),
        Record::Accepted(dot, vote(65, true)),
        Record::Decided(dot, vote(0, false)),
        Record::Shown(vec![(dot, true), (Dot { seq: 300, ..dot }, false)]),
        Record::Met(300),
    ]
}

fn logged() -> Vec<Logged> {
    let begun = bind(2, 9, &[b"k"], Safety::Safe);
    let verdict = Logged::Verdict { bind: begun.dot(), vote: vote(65, true), dot: dot(1, 300) };
    let mut all = vec![Logged::Bind(Arc::clone(&begun), false), Logged::Bind(begun, true), verdict];
    all.extend(records().into_iter().map(Logged::Record));
    all
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn encoded(sent: &Sent) -> Vec<u8> {
    let mut bytes = Vec::new();
    sent.encode(&mut bytes);
    bytes
}

fn recorded(record: &Record) -> Vec<u8> {
    let mut bytes = Vec::new();
    record.encode(&mut bytes);
    bytes
}

#[test]
fn the_bytes_do_not_change() {
    let (messages, records) = (messages(), records());
    let all = messages.iter().map(encoded).chain(records.iter().map(recorded)).map(|bytes| hex(&bytes));
    let golden: Vec<&str> = include_str!("golden/binds.hex").lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(all.collect::<Vec<_>>(), golden);
}

#[test]
fn what_was_written_is_read_and_nothing_shorter_or_longer() {
    for sent in messages() {
        let mut bytes = encoded(&sent);
        assert_eq!(Sent::decode(&bytes).as_ref(), Ok(&sent));
        (0..bytes.len()).for_each(|end| assert!(Sent::decode(&bytes[..end]).is_err(), "{sent:?} cut at {end}"));
        let at = bytes.len();
        bytes.push(0);
        assert_eq!(Sent::decode(&bytes), Err(WireError::Invalid { what: "bytes behind a message", at }));
    }
    for item in logged() {
        let mut bytes = Vec::new();
        item.encode(&mut bytes);
        assert_eq!(Logged::decode(&bytes).as_ref(), Ok(&item));
        (0..bytes.len()).for_each(|end| assert!(Logged::decode(&bytes[..end]).is_err(), "{item:?} cut at {end}"));
    }
    for record in records() {
        let bytes = recorded(&record);
        assert_eq!(Record::decode(&bytes).as_ref(), Ok(&record));
        (0..bytes.len()).for_each(|end| assert!(Record::decode(&bytes[..end]).is_err(), "{record:?} cut at {end}"));
    }
}

#[test]
fn what_is_in_another_order_is_refused_with_its_place() {
    let mut logged = Vec::new();
    Logged::Bind(bind(2, 9, &[b"a", b"b"], Safety::Safe), false).encode(&mut logged);
    let swap = |what: &[u8], with: &[u8]| {
        let at = logged.windows(what.len()).rposition(|window| window == what).expect("it is there");
        let mut bytes = logged.clone();
        bytes[at..at + what.len()].copy_from_slice(with);
        Logged::decode(&bytes)
    };
    let keys = logged.len() - 2 * 5 - 2;
    let refused = |result: Result<Logged, WireError>| match result {
        Err(WireError::Invalid { what, at }) => (what, at),
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(swap(b"\x01\x03\x01b", b"\x01\x03\x01a")), ("keys of a transaction", keys));
    assert_eq!(refused(swap(b"\x03\x01\x02\xac\x02", b"\x03\x02\x01\xac\x02")).0, "voters");
    assert_eq!(refused(swap(b"\x00\x03\x01\x02", b"\x02\x03\x01\x02")).0, "yes or no");
}

proptest! {
    #[test]
    fn whatever_is_read_would_be_written_so(sample in 0..17usize, at: prop::sample::Index, byte: u8) {
        let (sent, kept) = (messages(), records());
        let mut bytes = match sent.get(sample) {
            Some(sent) => encoded(sent),
            None => recorded(&kept[sample - sent.len()]),
        };
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(sent) = Sent::decode(&bytes) {
            prop_assert_eq!(encoded(&sent), bytes.clone());
        }
        if let Ok(record) = Record::decode(&bytes) {
            prop_assert_eq!(recorded(&record), bytes);
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let _ = (Sent::decode(&bytes), Record::decode(&bytes));
    }
}
