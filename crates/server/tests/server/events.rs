//! Keyspace notifications: what commands, deadlines and misses tell subscribers, compared with a real Redis.

use std::net::SocketAddr;

use resp::Value;

use crate::harness::{Client, TestServer, bulk, until};
use crate::oracle::Oracle;

/// A server, somebody who sends it commands, and somebody who hears of all events.
struct Heard {
    client: Client,
    listener: Client,
    /// Marks the end of what was told, also while the client is inside of MULTI.
    publisher: Client,
}

impl Heard {
    fn new(addr: SocketAddr, classes: &str) -> Self {
        let (mut client, mut listener) = (Client::new(addr), Client::new(addr));
        client.ok(&format!("CONFIG SET notify-keyspace-events {classes}"));
        listener.call("PSUBSCRIBE __key*");
        Self { client, listener, publisher: Client::new(addr) }
    }

    /// Events that have been published up to now, as `channel message`.
    fn events(&mut self) -> Vec<String> {
        self.publisher.call("PUBLISH __key__ end");
        let mut events = Vec::new();
        loop {
            let Value::Array(parts) = self.listener.reply() else { panic!("no message") };
            let text = |at: usize| String::from_utf8_lossy(parts[at].as_bytes().unwrap()).into_owned();
            if text(2) == "__key__" {
                return events;
            }
            events.push(format!("{} {}", text(2), text(3)));
        }
    }

    /// What a command tells.
    fn told(&mut self, command: &str) -> Vec<String> {
        self.client.call(command);
        self.events()
    }

    /// Waits until the server's clock has passed the deadline of a key that was just given one of a millisecond.
    fn wait_past_deadline(&mut self) {
        let mut now = || -> i64 {
            let Value::Array(parts) = self.client.call("TIME") else { panic!("no time") };
            let part = |at: usize| String::from_utf8_lossy(parts[at].as_bytes().unwrap()).parse::<i64>().unwrap();
            part(0) * 1000 + part(1) / 1000
        };
        let start = now();
        until("the clock goes on", || now() > start + 3);
    }
}

/// Commands by family; a chapter begins with an empty server.
const CHAPTERS: &[&[&str]] = &[
    &[
        "SET a 1",
        "SET a 2",
        "SET a 3 EX 100",
        "SET a 4 KEEPTTL",
        "SET a 5 GET",
        "SET n 1 GET",
        "SET a 6 NX",
        "SET nokey 1 XX",
        "SET a ex",
        "SETNX a 1",
        "SETNX b 1",
        "SETEX a 100 v",
        "PSETEX c 100000 v",
        "GETSET a w",
        "GETSET d w",
        "MSET a 1 b 2 e 3",
        "MSETNX a 1 f 1",
        "MSETNX g 1 h 2",
        "MSET x 1 x 2",
        "GETEX a EX 100",
        "GETEX a PERSIST",
        "GETEX a PERSIST",
        "GETEX a",
        "GETEX b PXAT 1",
        "GETDEL a",
        "GETDEL a",
        "APPEND s xy",
        "APPEND s z",
        "APPEND s ",
        "SETRANGE s 1 Q",
        "SETRANGE s 1 Q",
        "SETRANGE s 1 ",
        "SETRANGE r 3 abc",
        "SETRANGE r2 3 ",
        "INCR i",
        "INCRBY i 5",
        "DECR i",
        "DECRBY i 2",
        "INCRBY i 0",
        "INCRBYFLOAT i 1.5",
        "INCRBYFLOAT j 0",
        "INCR s",
        "MGET a nope nope2",
        "GET nope",
        "STRLEN nope",
        "GETRANGE nope 0 1",
        "LCS s nope",
        "SETEX a 0 v",
    ],
    &[
        "SETBIT b 7 1",
        "SETBIT b 7 1",
        "SETBIT b 100 0",
        "GETBIT nope 1",
        "BITCOUNT nope",
        "BITPOS nope 1",
        "BITFIELD b SET u8 0 255",
        "BITFIELD b GET u8 0",
        "BITFIELD nope GET u8 0",
        "BITFIELD f INCRBY u8 0 1 SET u4 8 3",
        "BITFIELD_RO nope GET u8 0",
        "BITOP AND d b f",
        "BITOP OR d b nope",
        "BITOP NOT d nope",
        "BITOP NOT d nope",
    ],
    &[
        "DEL a b",
        "SET a 1",
        "SET b 1",
        "DEL a nope b",
        "SET a 1",
        "UNLINK a nope",
        "EXPIRE nope 10",
        "SET a 1",
        "EXPIRE a 100",
        "EXPIRE a 10 GT",
        "PEXPIRE a 100000",
        "EXPIREAT a 4000000000",
        "PEXPIREAT a 4000000000000",
        "PERSIST a",
        "PERSIST a",
        "EXPIRE a -1",
        "SET a 1",
        "PEXPIREAT a 1",
        "TTL nope",
        "PTTL nope",
        "EXPIRETIME nope",
        "TYPE nope",
        "EXISTS nope nope",
        "TOUCH nope",
        "OBJECT ENCODING nope",
        "OBJECT IDLETIME nope",
        "DUMP nope",
        "MEMORY USAGE nope",
        "SET a 1",
        "RENAME a b",
        "SET c 1",
        "RENAME b c",
        "RENAME c c",
        "RENAMENX c d",
        "SET e 1",
        "RENAMENX d e",
        "RENAME nope x",
        "COPY d f",
        "COPY d f",
        "COPY d f REPLACE",
        "COPY nope f",
        "COPY d g DB 3",
        "MOVE f 2",
        "MOVE nope 2",
        "SET f 2",
        "MOVE f 2",
        "SELECT 2",
        "SET z 1",
        "DEL z f",
        "SELECT 0",
        "RANDOMKEY",
        "SCAN 0",
        "KEYS *",
        "DBSIZE",
        "SWAPDB 0 3",
        "DEL g",
        "FLUSHDB",
        "FLUSHALL",
    ],
    &[
        "SET a hello",
        "RESTORE r 0 \0\u{1}x",
        "RPUSH l 3 1 2",
        "SORT l",
        "SORT l STORE s",
        "SORT l STORE s",
        "SORT nope STORE s",
        "SORT nope STORE s",
        "SORT nope",
        "SORT_RO nope",
        "SORT l LIMIT 9 9 STORE zz",
    ],
    &[
        "LPUSH l a b",
        "RPUSH l c d",
        "LPUSHX l x",
        "RPUSHX nope x",
        "LPUSHX nope x",
        "LINSERT l BEFORE a q",
        "LINSERT l BEFORE nope q",
        "LSET l 0 z",
        "LSET l 0 z",
        "LSET l 99 z",
        "LTRIM l 0 -1",
        "LTRIM l 1 3",
        "LREM l 0 nope",
        "LREM l 1 a",
        "LPOP l",
        "RPOP l",
        "LPOP l",
        "LPOP l",
        "RPUSH l a b c",
        "LPOP l 0",
        "LPOP l 2",
        "RPOP l 5",
        "RPOP nope",
        "LPOP nope 3",
        "RPUSH l a",
        "LREM l 0 a",
        "RPUSH l a b",
        "LTRIM l 5 6",
        "RPUSH l a b c",
        "LMOVE l m LEFT RIGHT",
        "LMOVE l m RIGHT LEFT",
        "RPOPLPUSH l m",
        "RPOPLPUSH l m",
        "RPOPLPUSH m m",
        "LMOVE m m LEFT RIGHT",
        "LMOVE m m LEFT LEFT",
        "RPUSH one x",
        "LMOVE one one LEFT RIGHT",
        "BLMOVE m l LEFT LEFT 1",
        "BRPOPLPUSH m l 1",
        "BLPOP l 1",
        "BRPOP l 1",
        "RPUSH l a b c d",
        "LMPOP 2 nope l LEFT COUNT 2",
        "LMPOP 1 l RIGHT",
        "BLMPOP 1 2 nope l LEFT COUNT 5",
        "LMPOP 1 nope LEFT",
        "LRANGE nope 0 1",
        "LLEN nope",
        "LINDEX nope 0",
        "LPOS nope x",
    ],
    &[
        "SADD s a b c",
        "SADD s a",
        "SADD s a d",
        "SREM s a nope",
        "SREM s nope",
        "SREM nope x",
        "SMOVE s t b",
        "SMOVE s t nope",
        "SADD t c",
        "SMOVE s t c",
        "SMOVE s t d",
        "SMOVE t t b",
        "SPOP t 0",
        "SPOP t 99",
        "SPOP t",
        "SADD t x",
        "SPOP t",
        "SADD a 1 2 3",
        "SADD b 2 3 4",
        "SINTERSTORE d a b",
        "SUNIONSTORE d a b",
        "SDIFFSTORE d a b",
        "SINTERSTORE d a nope",
        "SINTERSTORE d a nope",
        "SDIFFSTORE a a b",
        "SADD o 1",
        "SREM o 1",
        "SINTER nope a",
        "SUNION nope a",
        "SDIFF nope a",
        "SINTERCARD 2 a nope",
        "SCARD nope",
        "SISMEMBER nope a",
        "SMISMEMBER nope a b",
        "SMEMBERS nope",
        "SRANDMEMBER nope",
        "SSCAN nope 0",
        "SET d 1",
        "SUNIONSTORE d a b",
    ],
    &[
        "HSET h a 1 b 2",
        "HSET h a 1",
        "HSET h a 2",
        "HMSET h c 3",
        "HSETNX h c 4",
        "HSETNX h d 4",
        "HINCRBY h a 5",
        "HINCRBY h a 0",
        "HINCRBY h new 0",
        "HINCRBYFLOAT h a 1.5",
        "HINCRBYFLOAT h a 0",
        "HINCRBY i a 1",
        "HDEL h nope",
        "HDEL h a nope",
        "HDEL h b c d new",
        "HDEL nope a",
        "HGET nope a",
        "HMGET nope a b",
        "HGETALL nope",
        "HLEN nope",
        "HEXISTS nope a",
        "HSTRLEN nope a",
        "HKEYS nope",
        "HVALS nope",
        "HRANDFIELD nope",
        "HSCAN nope 0",
    ],
    &[
        "ZADD z 1 a 2 b 3 c",
        "ZADD z 1 a",
        "ZADD z 2 a",
        "ZADD z NX 5 a",
        "ZADD z XX 5 a",
        "ZADD z XX 5 nope",
        "ZADD z GT CH 1 a",
        "ZADD z INCR 1 a",
        "ZADD z NX INCR 1 a",
        "ZADD z INCR 0 a",
        "ZADD z 1 incr",
        "ZADD nope XX 1 a",
        "ZINCRBY z 3 a",
        "ZINCRBY z 0 a",
        "ZINCRBY y 1 n",
        "ZREM z nope",
        "ZREM z a nope",
        "ZREMRANGEBYSCORE z 100 200",
        "ZREMRANGEBYSCORE z 2 2",
        "ZADD z 1 a 1 b 1 c 1 d",
        "ZREMRANGEBYRANK z 0 0",
        "ZREMRANGEBYLEX z [b [b",
        "ZPOPMIN z",
        "ZPOPMAX z",
        "ZPOPMIN z 0",
        "ZPOPMIN z 99",
        "ZPOPMAX nope",
        "ZREM y n",
        "ZADD z 1 a 2 b",
        "ZREMRANGEBYRANK z 0 -1",
        "ZADD z 1 a 2 b 3 c",
        "ZMPOP 2 nope z MIN",
        "ZMPOP 1 z MAX COUNT 9",
        "ZADD z 1 a 2 b 3 c",
        "BZPOPMIN z 1",
        "BZPOPMAX nope z 1",
        "BZMPOP 1 1 z MAX",
        "ZADD a 1 x 2 y",
        "ZADD b 3 y 4 z",
        "ZUNIONSTORE d 2 a b",
        "ZINTERSTORE d 2 a b",
        "ZDIFFSTORE d 2 a b",
        "ZINTERSTORE d 2 a nope",
        "ZINTERSTORE d 2 a nope",
        "ZRANGESTORE d a 0 -1",
        "ZRANGESTORE d a 5 6",
        "ZRANGESTORE d nope 0 1",
        "ZADD d 1 q",
        "ZRANGESTORE d nope 0 1",
        "ZUNION 2 nope a",
        "ZINTER 2 nope a",
        "ZDIFF 2 nope a",
        "ZINTERCARD 2 nope a",
        "ZCARD nope",
        "ZCOUNT nope 0 1",
        "ZLEXCOUNT nope - +",
        "ZSCORE nope a",
        "ZMSCORE nope a",
        "ZRANK nope a",
        "ZREVRANK nope a",
        "ZRANGE nope 0 1",
        "ZRANDMEMBER nope",
        "ZRANGEBYSCORE nope 0 1",
        "ZSCAN nope 0",
    ],
    &[
        "MULTI",
        "SET a 1",
        "LPUSH a x",
        "RENAME a b",
        "INCR b",
        "SELECT 3",
        "SADD s x",
        "SREM s x",
        "GET nope",
        "EXEC",
        "SELECT 0",
        "MULTI",
        "RPUSH l a",
        "DISCARD",
        "MULTI",
        "RPUSH l a b",
        "BLPOP l 0",
        "EXPIRE l -1",
        "EXEC",
    ],
];

/// Both servers, told of all classes that the oracle has.
fn both(classes: &str, run: impl Fn(&mut [Heard; 2])) {
    let Some(oracle) = Oracle::start(&["--enable-debug-command", "yes"]) else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &["--io-threads", "2", "--enable-debug-command", "yes"]);
    run(&mut [Heard::new(oracle.addr, classes), Heard::new(server.addr, classes)]);
}

/// Runs a command on both and compares what they tell.
fn compare(pair: &mut [Heard; 2], command: &str, before: &[&str]) {
    let [theirs, ours] = pair;
    let (expected, told) = (theirs.told(command), ours.told(command));
    assert_eq!(told, expected, "{command:?} behind {before:?} (ours left)");
}

#[test]
fn every_command_tells_what_redis_tells_in_the_same_order() {
    both("KEAnm", |pair| {
        for chapter in CHAPTERS {
            for (at, command) in chapter.iter().enumerate() {
                compare(pair, command, &chapter[..at]);
            }
            pair.iter_mut().for_each(|server| drop(server.told("FLUSHALL")));
        }
    });
}

#[test]
fn random_commands_tell_what_redis_tells() {
    const KEYS: [&str; 4] = ["a", "b", "c", "{b}d"];
    const COMMANDS: &[&str] = &[
        "SET K 1",
        "SET K 5 EX 100",
        "GET K",
        "DEL K K",
        "INCR K",
        "APPEND K x",
        "GETDEL K",
        "EXPIRE K 100",
        "PERSIST K",
        "EXPIRE K -1",
        "RENAME K K",
        "RENAMENX K K",
        "COPY K K",
        "COPY K K REPLACE",
        "COPY K K DB 1 REPLACE",
        "MOVE K 1",
        "LPUSH K 1 2",
        "RPUSH K 3",
        "LPOP K",
        "RPOP K 2",
        "LMOVE K K LEFT LEFT",
        "LMOVE K K LEFT RIGHT",
        "RPOPLPUSH K K",
        "LTRIM K 1 -1",
        "LREM K 0 1",
        "LSET K 0 9",
        "LINSERT K AFTER 2 7",
        "LMPOP 2 K K LEFT COUNT 2",
        "BLMPOP 0.001 2 K K RIGHT",
        "SADD K 1 2",
        "SREM K 1",
        "SMOVE K K 2",
        "SPOP K 9",
        "SINTERSTORE K K K",
        "SUNIONSTORE K K K",
        "SDIFFSTORE K K K",
        "HSET K 1 1",
        "HDEL K 1",
        "HINCRBY K 1 0",
        "HINCRBYFLOAT K 2 0.5",
        "ZADD K 1 1 2 2",
        "ZADD K XX INCR 1 1",
        "ZINCRBY K 1 2",
        "ZREM K 1",
        "ZPOPMIN K",
        "ZPOPMAX K 2",
        "ZREMRANGEBYSCORE K 0 2",
        "ZUNIONSTORE K 2 K K",
        "ZINTERSTORE K 2 K K",
        "ZDIFFSTORE K 2 K K",
        "ZRANGESTORE K K 0 0",
        "ZMPOP 2 K K MAX",
        "SORT K STORE K",
        "BITOP OR K K K",
        "SETBIT K 3 1",
        "SETRANGE K 1 x",
        "GETEX K PERSIST",
        "GETEX K PXAT 1",
        "SET K v GET",
        "GETSET K 1",
        "MSETNX K 1 K 2",
        "MGET K K",
        "EXISTS K K",
        "LRANGE K 0 -1",
        "SELECT 1",
        "SELECT 0",
    ];
    both("KEAnm", |pair| {
        let mut state = 0x2545_F491_4F6C_DD1Du64;
        let mut random = |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 33) as usize % below
        };
        let mut behind: Vec<String> = Vec::new();
        for _ in 0..6000 {
            let words = COMMANDS[random(COMMANDS.len())].split(' ');
            let words: Vec<&str> =
                words.map(|word| if word == "K" { KEYS[random(KEYS.len())] } else { word }).collect();
            let command = words.join(" ");
            let last = behind.len().saturating_sub(12);
            let before: Vec<&str> = behind[last..].iter().map(String::as_str).collect();
            compare(pair, &command, &before);
            behind.push(command);
        }
    });
}

#[test]
fn what_has_expired_is_told_on_access_before_the_command_itself() {
    let accesses = [
        "GET k",
        "SET k 1",
        "DEL k",
        "EXISTS k",
        "INCR k",
        "LPUSH k a",
        "RENAME k j",
        "RENAME o k",
        "COPY k j",
        "TTL k",
        "EXPIRE k 10",
        "MGET k o",
        "SADD k a",
        "TYPE k",
        "SUNIONSTORE d k",
        "GETDEL k",
        "LPOP k",
        "OBJECT ENCODING k",
    ];
    both("KEAnm", |pair| {
        pair.iter_mut().for_each(|server| server.client.ok("DEBUG SET-ACTIVE-EXPIRE 0"));
        for access in accesses {
            for server in pair.iter_mut() {
                server.told("SET o 1");
                server.told("SET k v PX 1");
                server.wait_past_deadline();
            }
            compare(pair, access, &["SET k v PX 1, and its time passes"]);
            pair.iter_mut().for_each(|server| drop(server.told("FLUSHALL")));
        }
    });
}

#[test]
fn a_key_that_nobody_touches_is_told_of_once_when_it_expires() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &[]);
    let mut heard = Heard::new(server.addr, "Ex");
    heard.client.ok("SELECT 5");
    heard.client.ok("SET gone v PX 1");
    let mut events = Vec::new();
    until("the key expires", || {
        events.extend(heard.events());
        !events.is_empty()
    });
    assert_eq!(heard.client.call("GET gone"), Value::Null);
    events.extend(heard.events());
    assert_eq!(events, ["__keyevent@5__:expired gone"]);
    assert_eq!(heard.client.info("stats")["expired_keys"], "1");
}

#[test]
fn fields_tell_when_they_get_deadlines_and_when_they_expire() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &[]);
    let mut heard = Heard::new(server.addr, "Ehg");
    let event = |name: &str| format!("__keyevent@0__:{name} h");
    assert_eq!(heard.told("HSET h a 1 b 2 c 3"), [event("hset")]);
    assert_eq!(heard.told("HEXPIRE h 100 FIELDS 2 a b"), [event("hexpire")]);
    assert_eq!(heard.told("HPERSIST h FIELDS 1 a"), [event("hpersist")]);
    assert_eq!(heard.told("HPERSIST h FIELDS 1 a"), [""; 0]);
    assert_eq!(heard.told("HEXPIREAT h 1 FIELDS 1 a"), [event("hdel")]);
    assert_eq!(heard.told("HGETDEL h FIELDS 1 b"), [event("hdel")]);
    assert_eq!(heard.told("HSETEX h EX 100 FIELDS 1 d 4"), [event("hset"), event("hexpire")]);
    assert_eq!(heard.told("HGETEX h PERSIST FIELDS 1 d"), [event("hpersist")]);
    assert_eq!(heard.told("HGETEX h EX 9 FIELDS 1 d"), [event("hexpire")]);
    assert_eq!(heard.told("HDEL h d"), [event("hdel")]);
    heard.client.call("HPEXPIRE h 1 FIELDS 1 c");
    let mut events = Vec::new();
    until("the last field expires", || {
        events.extend(heard.events());
        events.len() >= 3
    });
    assert_eq!(events, [event("hexpire"), event("hexpired"), event("del")]);
}

#[test]
fn a_hash_that_only_expired_fields_are_left_of_is_told_of_once() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &["--enable-debug-command", "yes"]);
    let mut heard = Heard::new(server.addr, "Ehg");
    let event = |name: &str| format!("__keyevent@0__:{name} h");
    heard.client.ok("DEBUG SET-ACTIVE-EXPIRE 0");
    heard.told("HSET h a 1 b 2");
    heard.told("HPEXPIRE h 1 FIELDS 1 b");
    heard.wait_past_deadline();
    assert_eq!(heard.told("HDEL h a"), [event("hdel"), event("hexpired"), event("del")]);
    assert_eq!(heard.told("EXISTS h"), [""; 0]);
}

#[test]
fn overwriting_tells_of_it_and_of_another_type() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &[]);
    let mut heard = Heard::new(server.addr, "Eoc$g");
    let event = |name: &str| format!("__keyevent@0__:{name} k");
    heard.client.int("LPUSH k a");
    assert_eq!(heard.told("SET k 1"), [event("overwritten"), event("type_changed"), event("set")]);
    assert_eq!(heard.told("SET k 2"), [event("overwritten"), event("set")]);
    heard.client.int("SADD o x");
    heard.told("SET q 1");
    let renamed =
        ["rename_from o", "rename_to k", "overwritten k", "type_changed k"].map(|e| format!("__keyevent@0__:{e}"));
    assert_eq!(heard.told("RENAME o k"), renamed);
}

#[test]
fn only_the_classes_and_channels_that_are_asked_for_are_published() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &["--notify-keyspace-events", "Kl"]);
    let mut client = server.client();
    assert_eq!(
        client.call("CONFIG GET notify-keyspace-events"),
        Value::Array(vec![bulk("notify-keyspace-events"), bulk("lK")])
    );
    drop(client);
    let mut heard = Heard::new(server.addr, "Kl");
    assert_eq!(heard.told("SET s 1"), [""; 0]);
    assert_eq!(heard.told("RPUSH l 1"), ["__keyspace@0__:l rpush"]);
    assert_eq!(heard.told("LPOP l"), ["__keyspace@0__:l lpop"]);
    heard.client.ok("CONFIG SET notify-keyspace-events Eg");
    assert_eq!(heard.told("DEL s"), ["__keyevent@0__:del s"]);
    heard.client.ok("CONFIG SET notify-keyspace-events A");
    assert_eq!(heard.told("RPUSH l 1"), [""; 0]);
}

#[test]
fn a_client_that_is_served_after_waiting_tells_of_its_command() {
    both("KEA", |pair| {
        let told = pair.each_mut().map(|server| {
            let mut waiter = Client::new(server.client.wire.stream.peer_addr().unwrap());
            waiter.post("BLMOVE l m LEFT RIGHT 0");
            until("the client waits", || server.client.info("clients")["blocked_clients"] == "1");
            server.client.int("RPUSH l a");
            waiter.reply();
            server.events()
        });
        assert_eq!(told[1], told[0]);
    });
}
