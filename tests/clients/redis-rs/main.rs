//! Ordinary usage of the redis crate against the server on `$PORT`: every answer is checked, the first wrong one panics.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::thread;

use redis::{Client, Commands, Connection, ConnectionLike, RedisResult, Value, cmd, pipe, transaction};

fn open(protocol: u8) -> (Client, Connection) {
    let port = std::env::var("PORT").expect("$PORT says where the server is");
    let suffix = if protocol == 3 { "?protocol=resp3" } else { "" };
    let client = Client::open(format!("redis://127.0.0.1:{port}/{suffix}")).expect("a valid address");
    let conn = client.get_connection().expect("the server accepts connections");
    (client, conn)
}

fn strings(r: &mut Connection) -> RedisResult<()> {
    let _: () = r.set_ex("greeting", "hello", 100)?;
    assert_eq!(r.get::<_, String>("greeting")?, "hello");
    assert!((1..=100).contains(&r.ttl::<_, i64>("greeting")?));
    assert!(!r.set_nx::<_, _, bool>("greeting", "x")?);
    assert_eq!((r.incr::<_, _, i64>("n", 1)?, r.incr::<_, _, i64>("n", 9)?), (1, 10));
    assert_eq!(r.incr::<_, _, f64>("f", 1.5)?, 1.5);
    let _: () = r.mset(&[("a", 1), ("b", 2)])?;
    assert_eq!(r.mget::<_, Vec<Option<i64>>>(&["a", "none", "b"])?, [Some(1), None, Some(2)]);
    let _: () = r.set(&b"\x00\xff"[..], &b"\r\n\x00"[..])?;
    assert_eq!(r.get::<_, Vec<u8>>(&b"\x00\xff"[..])?, b"\r\n\x00");
    let error = r.lpush::<_, _, i64>("a", 1).expect_err("a string is no list");
    assert_eq!(error.code(), Some("WRONGTYPE"));
    Ok(())
}

fn pipelines(r: &mut Connection) -> RedisResult<()> {
    let mut many = pipe();
    (0..1000).for_each(|_| {
        many.incr("count", 1);
    });
    let replies: Vec<i64> = many.query(r)?;
    assert_eq!(replies, (1..=1000).collect::<Vec<_>>());
    let (a, b): (i64, i64) = pipe().atomic().set("t", 41).ignore().incr("t", 1).incr("t", 1).query(r)?;
    assert_eq!((a, b), (42, 43));
    Ok(())
}

fn optimistic(r: &mut Connection, protocol: u8) -> RedisResult<()> {
    let _: () = r.set("watched", 0)?;
    let threads: Vec<_> = (0..5)
        .map(|_| {
            thread::spawn(move || {
                let (_, mut mine) = open(protocol);
                for _ in 0..20 {
                    let _: () = transaction(&mut mine, &["watched"], |conn, pipe| {
                        let value: i64 = conn.get("watched")?;
                        pipe.set("watched", value + 1).ignore().query(conn)
                    })
                    .expect("the transaction ends");
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|t| t.join().expect("a counting thread"));
    assert_eq!(r.get::<_, i64>("watched")?, 100);
    Ok(())
}

fn pubsub(client: &Client, r: &mut Connection) -> RedisResult<()> {
    let mut conn = client.get_connection()?;
    conn.set_read_timeout(Some(std::time::Duration::from_secs(20)))?;
    let mut listener = conn.as_pubsub();
    listener.subscribe("news")?;
    listener.psubscribe("n?ws")?;
    assert_eq!(r.publish::<_, _, i64>("news", "extra")?, 2);
    let mut patterns = BTreeSet::new();
    for _ in 0..2 {
        let message = listener.get_message()?;
        assert_eq!((message.get_channel_name(), message.get_payload::<String>()?), ("news", "extra".to_owned()));
        patterns.insert(message.from_pattern());
    }
    assert_eq!(patterns.len(), 2);
    listener.unsubscribe("news")?;
    assert_eq!(r.publish::<_, _, i64>("news", "more")?, 1);
    Ok(())
}

fn blocking(r: &mut Connection, protocol: u8) -> RedisResult<()> {
    let waiting: Vec<_> = (0..20)
        .map(|_| {
            thread::spawn(move || {
                let (_, mut mine) = open(protocol);
                mine.blpop::<_, (String, i64)>("jobs", 30.0).expect("an element comes")
            })
        })
        .collect();
    for i in 0..20 {
        let _: () = r.rpush("jobs", i)?;
    }
    let taken: BTreeSet<i64> = waiting.into_iter().map(|t| t.join().expect("a waiting thread").1).collect();
    assert_eq!(taken, (0..20).collect());
    assert_eq!(r.blpop::<_, Option<(String, i64)>>("nothing", 0.05)?, None);
    Ok(())
}

fn structures(r: &mut Connection) -> RedisResult<()> {
    let _: () = r.hset_multiple("user", &[("name", "ada"), ("age", "36")])?;
    let user: HashMap<String, String> = r.hgetall("user")?;
    assert_eq!(user["name"], "ada");
    assert_eq!(r.hincr::<_, _, _, i64>("user", "age", 1)?, 37);
    for i in 0..1000 {
        let _: () = r.zadd("board", format!("m{i}"), i)?;
    }
    assert_eq!(r.zincr::<_, _, _, f64>("board", "m7", 5000)?, 5007.0);
    let best: Vec<(String, f64)> = r.zrevrange_withscores("board", 0, 1)?;
    assert_eq!(best, [("m7".to_owned(), 5007.0), ("m999".to_owned(), 999.0)]);
    let scanned: BTreeMap<String, f64> = r.zscan::<_, (String, f64)>("board")?.map(|x| x.expect("a pair")).collect();
    assert_eq!(scanned.len(), 1000);
    let _: () = r.sadd("s1", &[1, 2, 3])?;
    let _: () = r.sadd("s2", &[2, 3, 4])?;
    assert_eq!(r.sinter::<_, BTreeSet<i64>>(&["s1", "s2"])?, BTreeSet::from([2, 3]));
    let _: () = r.rpush("list", &["a", "b", "c"])?;
    assert_eq!(r.lrange::<_, Vec<String>>("list", 0, -1)?, ["a", "b", "c"]);
    let keys: BTreeSet<String> = r.scan_match::<_, String>("s?")?.map(|x| x.expect("a key")).collect();
    assert_eq!(keys, BTreeSet::from(["s1".to_owned(), "s2".to_owned()]));
    Ok(())
}

fn main() -> RedisResult<()> {
    for protocol in [2, 3] {
        let (client, mut r) = open(protocol);
        let _: Value = cmd("FLUSHALL").query(&mut r)?;
        assert!(r.check_connection());
        strings(&mut r)?;
        pipelines(&mut r)?;
        optimistic(&mut r, protocol)?;
        pubsub(&client, &mut r)?;
        blocking(&mut r, protocol)?;
        structures(&mut r)?;
    }
    #[expect(clippy::print_stdout, reason = "this is a program")]
    {
        println!("redis-rs: all answers were right, with RESP2 and RESP3");
    }
    Ok(())
}
