//! Commands on collections whose elements are at rest: each answers what it answers where all are in memory.

use std::sync::Arc;

use engine::{Engine, Options};
use resp::{OwnedArgs, Protocol};

use super::{Call, Executor, Fetch, Ran, Wait};
use crate::cx::Env;
use crate::table;

const NOW_MS: i64 = 1_700_000_000_000;
/// More than elements come into memory as a whole.
const ELEMENTS: usize = 17_000;

fn open(dir: &tempfile::TempDir) -> Executor {
    let options = Options { fills: false, ..Options::new(Arc::new(|| NOW_MS), [7; 22]) };
    let engine = Engine::open(dir.path(), options).expect("the engine opens");
    Executor::new(Arc::new(engine), Arc::new(Env::default()), 42)
}

fn run(executor: &mut Executor, words: &[&str]) -> Vec<u8> {
    let args: OwnedArgs = words.iter().copied().collect();
    let spec = table::find(words[0].as_bytes()).expect("a known command");
    let call = Call { spec, args: args.as_args(), db: 0, protocol: Protocol::Resp2, now_ms: NOW_MS };
    let mut out = Vec::new();
    assert!(matches!(executor.run(&call, Wait::No, Fetch::Here, &mut out), Ran::Done(_)), "{words:?}");
    out
}

/// A reply, of which the order does not count if the command has none; nor does the checksum of it then.
fn plain(words: &[&str], reply: &[u8]) -> Vec<u8> {
    let mut plain = reply.to_vec();
    if let "dump" | "hvals" | "sinter" | "sdiff" = words[0] {
        if words[0] == "dump" {
            plain.truncate(plain.len() - 10);
        }
        plain.sort_unstable();
    }
    plain
}

/// Fills a hash, a set, a sorted set and a list.
fn load(executor: &mut Executor) {
    let names: Vec<String> = (0..ELEMENTS).map(|n| format!("e{n}")).collect();
    let numbers: Vec<String> = (0..ELEMENTS).map(|n| (n / 3).to_string()).collect();
    for part in (0..ELEMENTS).collect::<Vec<_>>().chunks(1000) {
        fn of<'w>(first: &[&'w str]) -> Vec<&'w str> {
            first.to_vec()
        }
        let (mut hash, mut set) = (of(&["hset", "h"]), of(&["sadd", "s"]));
        let (mut zset, mut list) = (of(&["zadd", "z"]), of(&["rpush", "l"]));
        let words: Vec<(&str, &str)> = part.iter().map(|n| (&names[*n][..], &numbers[*n][..])).collect();
        for (name, number) in words {
            hash.extend([name, number]);
            set.push(name);
            zset.extend([number, name]);
            list.push(name);
        }
        for words in [hash, set, zset, list] {
            assert!(run(executor, &words).starts_with(b":"));
        }
    }
}

/// Commands, each on values of which all is at rest, or what the one before has left of that.
const COMMANDS: &str = "hget h e77;hget h none;hmget h e1 none e16999;hstrlen h e5;hlen h;hset h e7 x new y;hdel h e8 none;hincrby h e9 4;hsetnx h e1 z
hexpire h 100 fields 2 e20 none;httl h fields 1 e20;hpersist h fields 1 e20;hgetdel h fields 1 e30;hexists h e30;dump h;hvals h
sismember s e1;smismember s e1 none e2;sadd s e1 more;srem s e2 none;scard s;smove s t e3;sinter s t;sintercard 2 s t;sdiff t s;dump s
zscore z e12;zmscore z e1 none;zadd z 5.5 e13 7 brandnew;zadd z xx gt ch 1 e14 99999 e15;zincrby z 2 e16;zrem z e17 none;zcard z;zrank z e9000;zrevrank z e9000
zrange z 8000 8020 withscores;zrange z 100 103 rev;zrangebyscore z 3000 (3003;zcount z 10 5000;zremrangebyrank z 40 45;zremrangebyscore z 2000 2001;zpopmin z 3;zpopmax z
zrangebyscore z -inf +inf limit 12000 4;zrangestore u z 50 60;zinter 2 z u;dump z
lindex l 9000;lrange l 8000 8010;lrange l -3 -1;lset l 9001 changed;lpush l head;rpush l tail;lpop l;rpop l 2;lpop l 300;llen l;linsert l before e9005 in;lrem l 1 e9010;lpos l e9050;ltrim l 10 -10;rpoplpush l l;dump l
rename z moved;zrange moved 5000 5003;zadd moved 1 again;zscore moved e900;copy moved copied;zcard copied;move copied 1;type moved;object encoding moved;expire moved 100;zcount moved -inf +inf
sort s limit 0 3 alpha;hrandfield h 0;del h s;exists h;hset h a b;hgetall h;zunionstore v 1 moved;zcard v;zlexcount v - +";

#[test]
fn commands_answer_the_same_wherever_elements_are() {
    let dirs = [(); 2].map(|()| tempfile::tempdir().expect("a temporary directory can be made"));
    let [mut warm, mut cold] = [&dirs[0], &dirs[1]].map(open);
    [&mut warm, &mut cold].into_iter().for_each(load);
    for line in COMMANDS.lines() {
        cold.engine().checkpoint().expect("a checkpoint can be taken");
        drop(cold);
        cold = open(&dirs[1]);
        let mut were_away = 0;
        for command in line.split(';') {
            let words: Vec<&str> = command.split(' ').collect();
            let (here, there) = (run(&mut cold, &words), run(&mut warm, &words));
            let short = |reply: &[u8]| reply[..reply.len().min(300)].escape_ascii().to_string();
            assert!(
                plain(&words, &here) == plain(&words, &there),
                "{command}: {} where {} was due",
                short(&here),
                short(&there)
            );
            were_away = were_away.max(cold.engine().residency_figures().partly_cold);
        }
        assert!(were_away > 0, "all was in memory: {line}");
    }
    // A log that is about such values is replayed.
    drop(cold);
    let mut again = open(&dirs[1]);
    for words in
        [&["dump", "moved"][..], &["dump", "l"], &["zrange", "moved", "0", "-1", "withscores"], &["scard", "t"]]
    {
        assert!(plain(words, &run(&mut again, words)) == plain(words, &run(&mut warm, words)), "{words:?}");
    }
}
