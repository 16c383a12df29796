//! Hashes beside a real Redis, and deadlines of fields.

use resp::Protocol;

use crate::harness::Harness;
use crate::oracle::{Gen, How, Oracle, Words, compare};

fn command(g: &mut Gen) -> Words {
    let name = g.word(&[
        "hset",
        "hset",
        "hset",
        "hmset",
        "hsetnx",
        "hget",
        "hmget",
        "hgetall",
        "hkeys",
        "hvals",
        "hlen",
        "hexists",
        "hstrlen",
        "hdel",
        "hincrby",
        "hincrby",
        "hincrbyfloat",
        "del",
        "set",
        "hrandfield",
        "hscan",
    ]);
    let mut words = vec![name.clone(), g.key()];
    match &name[..] {
        b"hset" | b"hmset" => {
            for _ in 0..g.below(4) + 1 {
                words.extend([g.member(), g.value()]);
            }
            if g.one_in(10) {
                words.push(g.member());
                if words.len() < 4 {
                    words.push(g.value());
                }
            }
        }
        b"hsetnx" => words.extend([g.member(), g.value()]),
        b"hget" | b"hexists" | b"hstrlen" => words.push(g.member()),
        b"hmget" | b"hdel" => (0..g.below(4) + 1).for_each(|_| words.push(g.member())),
        b"hincrby" => words.extend([g.member(), g.integer()]),
        b"hincrbyfloat" => words.extend([g.member(), g.float()]),
        b"set" => words.push(g.value()),
        b"hrandfield" if g.one_in(2) => {
            words.push(g.between(-5, 10).to_string().into_bytes());
            if g.one_in(2) {
                words.push(g.option("WITHVALUES"));
            }
        }
        b"hscan" => words.extend([b"0".to_vec(), b"COUNT".to_vec(), b"1000".to_vec()]),
        _ => {}
    }
    words
}

fn how(words: &[Vec<u8>]) -> How {
    match &words[0][..] {
        b"hgetall" => How::UnorderedPairs,
        b"hkeys" | b"hvals" => How::Unordered,
        b"hrandfield" | b"hscan" => How::Shape,
        _ => How::Exact,
    }
}

#[test]
fn hashes_answer_as_redis_does() {
    let Some(mut oracle) = Oracle::start() else { return };
    let mut h = Harness::new();
    for (protocol, seed) in [(Protocol::Resp2, 1), (Protocol::Resp3, 2)] {
        oracle.protocol(protocol);
        h.protocol = protocol;
        compare(&mut h, &mut oracle, seed, 4_000, command, how);
        h.reopen();
    }
}

#[test]
fn fields_expire_one_by_one_and_the_last_takes_the_key() {
    let mut h = Harness::new();
    h.expect("HSET h a 1 b 2 c 3", "3");
    h.expect("HPEXPIRE h 100 FIELDS 1 a", "[1]");
    h.expect("HPEXPIRE h 200 FIELDS 2 b nosuch", "[1 -2]");
    h.reopen();
    h.expect("HPTTL h FIELDS 3 a b c", "[100 200 -1]");
    h.pass(100);
    h.expect("HGET h a", "nil");
    h.expect("HLEN h", "2");
    h.expect("HINCRBY h a 5", "5");
    h.expect("HTTL h FIELDS 1 a", "[-1]");
    h.expect("HDEL h a c", "2");
    h.reopen();
    h.pass(100);
    h.expect("HLEN h", "0");
    h.expect("HSET h z 1", "1");
    h.expect("HGETALL h", "[z 1]");
    h.reopen();
}

#[test]
fn a_field_written_with_keepttl_after_its_deadline_lives() {
    let mut h = Harness::new();
    h.expect("HSETEX h PX 10 FIELDS 1 a 1", "1");
    h.expect("HSET h b 2", "1");
    h.pass(10);
    h.expect("HSETEX h KEEPTTL FIELDS 1 a 9", "1");
    h.expect("HMGET h a b", "[9 2]");
    h.expect("HPTTL h FIELDS 1 a", "[-1]");
    h.reopen();
}
