// Ordinary usage of ioredis against the server on $PORT: every answer is checked, the first wrong one ends the program.
"use strict";

const assert = require("node:assert/strict");
const Redis = require("ioredis");

const port = Number(process.env.PORT);
const connect = (options = {}) => new Redis({ port, host: "127.0.0.1", ...options });
const until = (emitter, event) => new Promise((resolve) => emitter.once(event, (...args) => resolve(args)));

async function strings(r) {
  assert.equal(await r.set("greeting", "hello", "EX", 100), "OK");
  assert.equal(await r.get("greeting"), "hello");
  assert.equal(await r.set("greeting", "x", "NX"), null);
  assert.deepEqual([await r.incr("n"), await r.incrby("n", 9)], [1, 10]);
  await r.mset({ a: 1, b: 2 });
  assert.deepEqual(await r.mget("a", "none", "b"), ["1", null, "2"]);
  const binary = Buffer.from([0, 255, 13, 10]);
  await r.set("binary", binary);
  assert.deepEqual(await r.getBuffer("binary"), binary);
}

async function pipelines(r) {
  const pipeline = r.pipeline();
  for (let i = 0; i < 1000; i++) pipeline.incr("count");
  const replies = await pipeline.exec();
  assert.deepEqual(replies.map(([error, value]) => (assert.equal(error, null), value)), Array.from({ length: 1000 }, (_, i) => i + 1));
  const mixed = await r.pipeline().lpush("l", 1).incr("l").llen("l").exec();
  assert.match(mixed[1][0].message, /^WRONGTYPE/);
  assert.equal(mixed[2][1], 1);
  // Commands sent in one tick share a round trip without a pipeline, too.
  assert.deepEqual(await Promise.all(Array.from({ length: 500 }, (_, i) => r.set(`many:${i}`, i).then(() => r.get(`many:${i}`)))), Array.from({ length: 500 }, (_, i) => String(i)));
}

async function transactions(r) {
  assert.deepEqual(await r.multi().set("t", 1).incr("t").exec(), [[null, "OK"], [null, 2]]);
  await r.set("watched", 0);
  const count = async () => {
    const mine = connect();
    for (let done = 0; done < 20; ) {
      await mine.watch("watched");
      const value = Number(await mine.get("watched"));
      if ((await mine.multi().set("watched", value + 1).exec()) !== null) done++;
    }
    mine.disconnect();
  };
  await Promise.all(Array.from({ length: 5 }, count));
  assert.equal(await r.get("watched"), "100");
}

async function pubsub(r) {
  const sub = connect();
  assert.equal(await sub.subscribe("news", "weather"), 2);
  assert.equal(await sub.psubscribe("n?ws"), 3);
  const message = until(sub, "message");
  const pmessage = until(sub, "pmessage");
  assert.equal(await r.publish("news", "extra"), 2);
  assert.deepEqual(await message, ["news", "extra"]);
  assert.deepEqual(await pmessage, ["n?ws", "news", "extra"]);
  await sub.unsubscribe("news", "weather");
  await sub.punsubscribe("n?ws");
  assert.equal(await sub.get("none"), null);
  sub.disconnect();
}

async function blocking(r) {
  const waiters = Array.from({ length: 30 }, () => connect());
  const taken = waiters.map((w) => w.blpop("jobs", 30));
  for (let i = 0; i < 30; i++) await r.rpush("jobs", i);
  const values = (await Promise.all(taken)).map(([key, value]) => (assert.equal(key, "jobs"), Number(value)));
  assert.deepEqual(values.sort((a, b) => a - b), Array.from({ length: 30 }, (_, i) => i));
  assert.equal(await waiters[0].blpop("nothing", 0.05), null);
  waiters.forEach((w) => w.disconnect());
}

async function scans(r) {
  const pipeline = r.pipeline();
  for (let i = 0; i < 1000; i++) pipeline.set(`scan:${i}`, i).zadd("zset", i, `m${i}`).hset("hash", `f${i}`, i);
  await pipeline.exec();
  const seen = new Set();
  for await (const keys of r.scanStream({ match: "scan:*", count: 50 })) keys.forEach((k) => seen.add(k));
  assert.equal(seen.size, 1000);
  const fields = new Set();
  for await (const pairs of r.hscanStream("hash")) pairs.forEach((v, i) => i % 2 === 0 && fields.add(v));
  assert.equal(fields.size, 1000);
}

async function structures(r) {
  await r.hset("user", { name: "ada", age: 36 });
  assert.deepEqual(await r.hgetall("user"), { name: "ada", age: "36" });
  assert.equal(await r.zincrby("zset", 5000, "m7"), "5007");
  assert.deepEqual(await r.zrevrange("zset", 0, 0, "WITHSCORES"), ["m7", "5007"]);
  assert.equal(await r.pexpire("user", 50000), 1);
  assert.ok((await r.pttl("user")) > 0);
  await r.sadd("s", 1, 2, 3);
  assert.equal(await r.sismember("s", 2), 1);
}

async function main() {
  const r = connect();
  await r.flushall();
  for (const part of [strings, pipelines, transactions, pubsub, blocking, scans, structures]) await part(r);
  // A connection that comes back finds the database that it had chosen.
  const other = connect({ db: 3 });
  await other.set("where", "three");
  const closed = until(other, "close");
  await r.client("KILL", "ID", await other.client("ID")).catch(() => null);
  await closed;
  assert.equal(await other.get("where"), "three");
  assert.equal(await r.get("where"), null);
  await Promise.all([other.quit(), r.quit()]);
  console.log("ioredis: all answers were right");
}

// A lost reply must not keep the program for ever.
setTimeout(() => {
  console.error("ioredis: no end after two minutes");
  process.exit(1);
}, 120_000).unref();

main().catch((error) => {
  console.error("ioredis:", error);
  process.exit(1);
});
