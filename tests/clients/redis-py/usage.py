"""Ordinary usage of redis-py against the server on $PORT: every answer is checked, the first wrong one ends the program."""

import os
import threading

import redis

PORT = int(os.environ["PORT"])


def connect(**options):
    return redis.Redis(host="127.0.0.1", port=PORT, decode_responses=True, socket_timeout=30, **options)


def check(what, got, wanted):
    if got != wanted:
        raise SystemExit(f"redis-py: {what}: got {got!r}, wanted {wanted!r}")


def strings(r):
    check("set", r.set("greeting", "hello", ex=100), True)
    check("get", r.get("greeting"), "hello")
    check("ttl", 0 < r.ttl("greeting") <= 100, True)
    check("set nx", r.set("greeting", "other", nx=True), None)
    check("set get", r.set("greeting", "new", get=True), "hello")
    check("incr", [r.incr("n"), r.incrby("n", 9), r.decr("n")], [1, 10, 9])
    check("incrbyfloat", r.incrbyfloat("f", 1.5), 1.5)
    check("mset and mget", (r.mset({"a": "1", "b": "2"}), r.mget("a", "none", "b")), (True, ["1", None, "2"]))
    check("append, getrange", (r.append("a", "23"), r.getrange("a", 1, -1)), (3, "23"))
    check("bits", (r.setbit("bits", 7, 1), r.getbit("bits", 7), r.bitcount("bits")), (0, 1, 1))
    check("getdel", (r.getdel("b"), r.exists("b")), ("2", 0))
    check("binary", redis.Redis(port=PORT).set(b"\x00\xff", b"\r\n\x00") and redis.Redis(port=PORT).get(b"\x00\xff"), b"\r\n\x00")


def pipelines(r):
    with r.pipeline(transaction=False) as pipe:
        for i in range(1000):
            pipe.set(f"p:{i}", i)
            pipe.incr("p:count")
        replies = pipe.execute()
    check("pipeline", replies[1::2], list(range(1, 1001)))
    with r.pipeline() as pipe:
        pipe.lpush("not a number", 1).incr("not a number").get("p:1")
        replies = pipe.execute(raise_on_error=False)
    check("an error inside a transaction", (replies[0], type(replies[1]), replies[2]), (1, redis.ResponseError, "1"))


def optimistic(r):
    """Many threads count up with WATCH and retry: no increment may be lost."""
    r.set("watched", 0)

    def count():
        mine = connect()
        for _ in range(25):

            def transfer(pipe):
                value = int(pipe.get("watched"))
                pipe.multi()
                pipe.set("watched", value + 1)

            mine.transaction(transfer, "watched")

    run_all([count] * 6)
    check("watch and retry", r.get("watched"), "150")


def run_all(functions):
    failures = []

    def guarded(function):
        try:
            function()
        except BaseException as e:  # a thread's failure is the program's
            failures.append(e)

    threads = [threading.Thread(target=guarded, args=(f,)) for f in functions]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if failures:
        raise SystemExit(f"redis-py: in a thread: {failures[0]!r}")


def pubsub(r):
    p = r.pubsub()
    p.subscribe("news")
    p.psubscribe("new*")
    kinds = [p.get_message(timeout=20)["type"] for _ in range(2)]
    check("subscribe", kinds, ["subscribe", "psubscribe"])
    check("publish reaches both", r.publish("news", "extra"), 2)
    got = sorted((m["type"], m["channel"], m["data"]) for m in (p.get_message(timeout=20) for _ in range(2)))
    check("messages", got, [("message", "news", "extra"), ("pmessage", "news", "extra")])
    check("pubsub channels", r.pubsub_channels("n*"), ["news"])
    check("pubsub numsub", r.pubsub_numsub("news"), [("news", 1)])
    p.unsubscribe("news")
    check("unsubscribe", p.get_message(timeout=20)["type"], "unsubscribe")
    check("only the pattern is left", r.publish("news", "more"), 1)
    p.close()


def blocking(r):
    """Thirty connections wait on one list; each element goes to exactly one of them."""
    taken, lock = [], threading.Lock()

    def wait():
        got = connect().blpop(["jobs:high", "jobs:low"], timeout=30)
        with lock:
            taken.append(got)

    def feed():
        for i in range(30):
            r.rpush("jobs:high" if i % 2 else "jobs:low", i)

    run_all([wait] * 30 + [feed])
    check("blocking pops", sorted(int(v) for _, v in taken), list(range(30)))
    check("a pop that ends", r.blpop("nothing", timeout=0.05), None)
    r.rpush("from", "x")
    check("blmove", r.blmove("from", "to", 1, "LEFT", "RIGHT"), "x")
    r.zadd("zq", {"late": 2, "early": 1})
    check("bzpopmin", tuple(r.bzpopmin("zq", timeout=1)), ("zq", "early", 1.0))


def scans(r):
    with r.pipeline(transaction=False) as pipe:
        for i in range(2000):
            pipe.set(f"scan:{i}", i)
        pipe.sadd("scan set", *range(1000))
        pipe.hset("scan hash", mapping={f"f{i}": i for i in range(1000)})
        pipe.zadd("scan zset", {f"m{i}": i for i in range(1000)})
        pipe.execute()
    check("scan_iter", len(set(r.scan_iter("scan:*", count=77))), 2000)
    check("sscan_iter", len(set(r.sscan_iter("scan set"))), 1000)
    check("hscan_iter", len(dict(r.hscan_iter("scan hash"))), 1000)
    check("zscan_iter", len(dict(r.zscan_iter("scan zset"))), 1000)
    check("scan by type", set(r.scan_iter(_type="zset")) >= {"scan zset"}, True)


def structures(r):
    check("hset", r.hset("user", mapping={"name": "ada", "age": 36}), 2)
    check("hgetall", r.hgetall("user"), {"name": "ada", "age": "36"})
    check("hincrby", r.hincrby("user", "age", 1), 37)
    board = {f"player{i}": i * 10 for i in range(100)}
    check("zadd", r.zadd("board", board), 100)
    check("zincrby", r.zincrby("board", 1000, "player3"), 1030.0)
    leaders = [tuple(pair) for pair in r.zrevrange("board", 0, 1, withscores=True)]
    check("leaders", leaders, [("player3", 1030.0), ("player99", 990.0)])
    check("zrevrank", (r.zrevrank("board", "player3"), r.zrank("board", "player0")), (0, 0))
    check("zrangebyscore", r.zrangebyscore("board", 10, "(30"), ["player1", "player2"])
    r.sadd("s1", 1, 2, 3)
    r.sadd("s2", 2, 3, 4)
    check("sets", (r.sinter("s1", "s2"), r.sunion("s1", "s2"), r.sdiff("s1", "s2")), ({"2", "3"}, {"1", "2", "3", "4"}, {"1"}))
    r.rpush("list", *"abcde")
    check("lists", (r.lrange("list", 1, -2), r.lpop("list", 2), r.llen("list")), (["b", "c", "d"], ["a", "b"], 3))
    check("sort", r.sort("list", alpha=True, desc=True), ["e", "d", "c"])


def locks(r):
    token = "mine"
    check("lock", r.set("lock", token, nx=True, px=30000), True)
    check("lock is held", r.set("lock", "theirs", nx=True, px=30000), None)
    with r.pipeline() as pipe:
        pipe.watch("lock")
        check("it is mine", pipe.get("lock"), token)
        pipe.multi()
        pipe.delete("lock")
        check("unlock", pipe.execute(), [1])


def administration(r):
    check("ping", r.ping(), True)
    check("client name", (r.client_setname("tester"), r.client_getname()), (True, "tester"))
    check("client list", any(c["name"] == "tester" for c in r.client_list()), True)
    check("info", "redis_version" in r.info("server"), True)
    check("dbsize", r.dbsize() > 0, True)
    check("config", "maxmemory" in r.config_get("maxmemory"), True)
    check("type, rename", (r.type("board"), r.rename("board", "board2"), r.exists("board")), ("zset", True, 0))
    check("time", len(r.time()), 2)
    check("object encoding", isinstance(r.object("encoding", "user"), str), True)
    check("command count", r.command_count() > 150, True)


def main():
    for protocol in (2, 3):
        r = connect(protocol=protocol)
        r.flushall()
        for part in (strings, pipelines, optimistic, pubsub, blocking, scans, structures, locks, administration):
            part(r)
    print("redis-py: all answers were right, with RESP2 and RESP3")


main()
