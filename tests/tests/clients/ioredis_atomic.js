// ioredis against a server on 127.0.0.1: node ioredis_atomic.js PORT. Transactions, scripts, functions, blocking reads, messages.
"use strict";

const { createHash } = require("node:crypto");
const Redis = require("ioredis");
const { host, port, same, refused, event, collector, eventually, spawn, run } = require("./checks");

const connect = (more = {}) => new Redis({ host, port, ...more });
const WRITERS = 3;
const ROUNDS = 100;

async function transactions(redis) {
  same("MULTI, pipelined", await redis.multi().set("a", "1").incr("a").get("a").lrange("none", 0, -1).exec(), [
    [null, "OK"], [null, 2], [null, "2"], [null, []],
  ]);
  const mixed = await redis.multi().set("s", "text").incr("s").set("t", "after").exec();
  same("an error at EXEC", mixed.map(([error]) => error?.message ?? null), [null, "ERR value is not an integer or out of range", null]);
  same("the others were done", await redis.mget("s", "t"), ["text", "after"]);
  await refused("an error while queueing", redis.multi().set("u", "1").set("u").exec(), "EXECABORT");
  same("nothing was done", await redis.exists("u"), 0);

  same("MULTI, one by one", await redis.multi({ pipeline: false }), "OK");
  same("queued", await redis.set("b", "1"), "QUEUED");
  same("queued", await redis.incrby("b", 5), "QUEUED");
  same("EXEC", await redis.exec(), [[null, "OK"], [null, 6]]);
  await redis.multi({ pipeline: false });
  await redis.set("b", "discarded");
  same("DISCARD", await redis.discard(), "OK");
  same("as before", await redis.get("b"), "6");
  await refused("EXEC without MULTI", redis.call("EXEC"), "ERR EXEC without MULTI");

  const other = connect();
  await redis.watch("w", "b");
  await other.set("w", "theirs");
  same("a watched key was changed", await redis.multi().set("w", "ours").exec(), null);
  same("theirs stays", await redis.get("w"), "theirs");
  await redis.watch("w");
  await other.set("w", "theirs again");
  await redis.unwatch();
  same("no longer watched", await redis.multi().get("w").exec(), [[null, "theirs again"]]);
  await redis.watch("w");
  same("unchanged", await redis.multi().set("w", "ours").exec(), [[null, "OK"]]);
  // Watched while it was there: on a slow day it takes a second try.
  do {
    await redis.unwatch();
    await redis.set("short", "lived", "PX", 20);
    await redis.watch("short");
  } while ((await redis.exists("short")) === 0);
  await eventually("the key has expired", async () => (await other.exists("short")) === 0);
  same("a watched key expired", await redis.multi().incr("n").exec(), null);
  await other.quit();
}

/** In a child: adds to a number by reading it watched and writing it in a transaction, until each addition was made once. */
async function child() {
  const redis = connect();
  process.send("ready");
  await new Promise((resolve) => process.once("message", resolve));
  let done = 0;
  while (done < ROUNDS) {
    await redis.watch("number");
    const before = Number(await redis.get("number"));
    const result = await redis.multi().set("number", before + 1).rpush("numbers", before).exec();
    if (result) done += 1;
  }
  await redis.quit();
  process.exit(0);
}

async function optimistic(redis) {
  const children = Array.from({ length: WRITERS }, () => spawn("optimistic"));
  await Promise.all(children.map((c) => event(c, "message")));
  const exits = children.map((c) => event(c, "exit"));
  children.forEach((c) => c.send("go"));
  same("writers end well", (await Promise.all(exits)).map(([code]) => code), children.map(() => 0));
  same("no addition is lost", await redis.get("number"), String(WRITERS * ROUNDS));
  same("each of its own", (await redis.lrange("numbers", 0, -1)).map(Number), Array.from({ length: WRITERS * ROUNDS }, (_, n) => n));
}

async function scripts(redis) {
  redis.defineCommand("addAll", {
    numberOfKeys: 1,
    lua: "for i, v in ipairs(ARGV) do redis.call('RPUSH', KEYS[1], v) end return redis.call('LLEN', KEYS[1])",
  });
  redis.defineCommand("types", { numberOfKeys: 0, lua: "return {1, 'two', 3.9, true, {4, {5}}, false, nil, 6}" });
  redis.defineCommand("echoes", { lua: "return {KEYS[1], KEYS[2], ARGV[1], #ARGV}" });
  redis.defineCommand("reads", { numberOfKeys: 1, lua: "return redis.call('LRANGE', KEYS[1], 0, -1)", readOnly: true });
  same("defined", await redis.addAll("list", "a", "b", "c"), 3);
  same("by its digest", await redis.addAll("list", "d"), 4);
  same("types", await redis.types(), [1, "two", 3, 1, [4, [5]], null]);
  same("number of keys in the call", await redis.echoes(2, "k1", "k2", "v1", "v2"), ["k1", "k2", "v1", 2]);
  same("read-only", await redis.reads("list"), ["a", "b", "c", "d"]);
  same("bytes", await redis.readsBuffer("list"), ["a", "b", "c", "d"].map(Buffer.from));
  await redis.script("FLUSH");
  same("forgotten and sent again", await redis.addAll("list", "e"), 5);
  await redis.script("FLUSH");
  same("in a pipeline", await redis.pipeline().addAll("list", "f").types().exec(), [[null, 6], [null, [1, "two", 3, 1, [4, [5]], null]]]);
  same("in a transaction", await redis.multi().addAll("list", "g").llen("list").exec(), [[null, 7], [null, 7]]);
  const sha = await redis.script("LOAD", "return ARGV[1] .. '!'");
  same("its digest", sha, createHash("sha1").update("return ARGV[1] .. '!'").digest("hex"));
  same("EVALSHA", await redis.evalsha(sha, 0, "hello"), "hello!");
  same("SCRIPT EXISTS", await redis.script("EXISTS", sha, "0".repeat(40)), [1, 0]);
  await refused("NOSCRIPT", redis.evalsha("0".repeat(40), 0), "NOSCRIPT No matching script");
  await refused("an error of a command", redis.eval("return redis.call('INCR', KEYS[1])", 1, "list"), "WRONGTYPE");
  await refused("an error of our own", redis.eval("return redis.error_reply('MINE all mine')", 0), "MINE all mine");
  await refused("a script that does not compile", redis.eval("return (", 0), "Error compiling script");
  same("caught", await redis.eval("local r = redis.pcall('INCR', KEYS[1]) return r.err", 1, "list"), "WRONGTYPE Operation against a key holding the wrong kind of value");
  same("a status", await redis.eval("return redis.status_reply('FINE')", 0), "FINE");
  same(
    "JSON and MessagePack",
    await redis.eval("local v = cmsgpack.unpack(cmsgpack.pack(cjson.decode(ARGV[1]))) return cjson.encode({v.a[2], v.b})", 0, '{"a":[1,2.5],"b":"x"}'),
    '[2.5,"x"]',
  );
  same(
    "keys it never declared",
    await redis.eval("for i = 1, 50 do redis.call('SET', ARGV[1] .. i, i) end return #redis.call('KEYS', ARGV[1] .. '*')", 0, "undeclared:"),
    50,
  );
  await refused("a write in a read-only script", redis.call("EVAL_RO", "return redis.call('SET', KEYS[1], 1)", 1, "x"), "Write commands are not allowed from read-only scripts");
}

async function functions(redis) {
  const code = `#!lua name=mylib
    local function fill(keys, args)
      for i = 1, tonumber(args[1]) do redis.call('SADD', keys[1], i) end
      return redis.call('SCARD', keys[1])
    end
    redis.register_function('fill', fill)
    redis.register_function{function_name = 'size', callback = function(keys) return redis.call('SCARD', keys[1]) end, flags = {'no-writes'}}`;
  same("loaded", await redis.function("LOAD", code), "mylib");
  await refused("loaded twice", redis.function("LOAD", code), "already exists");
  same("replaced", await redis.function("LOAD", "REPLACE", code), "mylib");
  same("FCALL", await redis.fcall("fill", 1, "filled", 10), 10);
  same("FCALL_RO", await redis.fcall_ro("size", 1, "filled"), 10);
  await refused("FCALL_RO of one that writes", redis.fcall_ro("fill", 1, "filled", 1), "Can not execute a script with write flag");
  const [library] = await redis.function("LIST");
  same("listed", [library[1], library[3], library[5].map((f) => f[1]).sort()], ["mylib", "LUA", ["fill", "size"]]);
  const dump = await redis.callBuffer("FUNCTION", "DUMP");
  same("deleted", await redis.function("DELETE", "mylib"), "OK");
  await refused("not there", redis.fcall("fill", 1, "filled", 1), "ERR Function not found");
  same("restored", await redis.function("RESTORE", dump), "OK");
  same("there again", await redis.fcall("size", 1, "filled"), 10);
  same("flushed", await redis.function("FLUSH"), "OK");
  same("none", await redis.function("LIST"), []);
}

/** Waits until the server has this many blocked clients. */
const blocked = (redis, n) =>
  eventually(`${n} blocked`, async () => (await redis.info("clients")).includes(`blocked_clients:${n}\r\n`));

async function blocking(redis) {
  const clients = [connect(), connect(), connect()];
  // First come, first served.
  const order = collector(3);
  for (const [i, client] of clients.entries()) {
    client.blpop("q1", "q2", 0).then((reply) => order.add([i, ...reply]));
    await blocked(redis, i + 1);
  }
  await redis.rpush("q2", "x");
  await redis.rpush("q1", "y", "z");
  same("in the order they came", (await order.done).sort(), [[0, "q2", "x"], [1, "q1", "y"], [2, "q1", "z"]]);
  const [client] = clients;
  same("a timeout", await client.blpop("q1", 0.01), null);
  same("not empty", [await redis.rpush("q1", "a", "b"), await client.brpop("q1", 0)], [2, ["q1", "b"]]);
  let reply = client.blmove("from", "to", "LEFT", "RIGHT", 0);
  await blocked(redis, 1);
  await redis.multi().lpush("from", "m").llen("from").exec();
  same("BLMOVE", [await reply, await redis.lrange("to", 0, -1)], ["m", ["m"]]);
  reply = client.brpoplpush("from", "to", 0);
  await blocked(redis, 1);
  await redis.eval("redis.call('RPUSH', KEYS[1], 'n')", 1, "from");
  same("BRPOPLPUSH, woken by a script", [await reply, await redis.lrange("to", 0, -1)], ["n", ["n", "m"]]);
  reply = client.bzpopmin("z1", "z2", 0);
  await blocked(redis, 1);
  await redis.zadd("z2", 2, "two", 1, "one");
  same("BZPOPMIN", await reply, ["z2", "one", "1"]);
  same("BZPOPMAX", await client.bzpopmax("z2", 0), ["z2", "two", "2"]);
  reply = client.blmpop(0, 2, "l1", "l2", "LEFT", "COUNT", 2);
  await blocked(redis, 1);
  await redis.rpush("elsewhere", 1, 2, 3);
  await redis.rename("elsewhere", "l2");
  same("BLMPOP, woken by RENAME", await reply, ["l2", ["1", "2"]]);
  reply = client.bzmpop(0, 1, "z3", "MAX", "COUNT", 5);
  await blocked(redis, 1);
  await redis.zadd("z3", 1, "a", 2, "b");
  same("BZMPOP", await reply, ["z3", [["b", "2"], ["a", "1"]]]);
  reply = client.xread("BLOCK", 0, "STREAMS", "stream", "$");
  await blocked(redis, 1);
  const id = await redis.xadd("stream", "*", "f", "v");
  same("XREAD", await reply, [["stream", [[id, ["f", "v"]]]]]);
  await redis.xgroup("CREATE", "stream", "g", "$");
  reply = client.xreadgroup("GROUP", "g", "c", "BLOCK", 0, "STREAMS", "stream", ">");
  await blocked(redis, 1);
  const next = await redis.xadd("stream", "*", "f", "w");
  same("XREADGROUP", await reply, [["stream", [[next, ["f", "w"]]]]]);
  const clientId = await client.client("ID");
  reply = client.blpop("never", 0).catch((error) => error.message);
  await blocked(redis, 1);
  same("CLIENT UNBLOCK", await redis.client("UNBLOCK", clientId, "ERROR"), 1);
  same("what it hears", await reply, "UNBLOCKED client unblocked via CLIENT UNBLOCK");
  same("in a transaction it does not wait", await client.multi().blpop("never", 0).exec(), [[null, null]]);
  // One that goes away loses nothing.
  clients[1].blpop("q9", 0).catch(() => {});
  await blocked(redis, 1);
  clients[1].disconnect();
  await blocked(redis, 0);
  await redis.rpush("q9", "kept");
  same("kept", await clients[2].blpop("q9", 0), ["q9", "kept"]);
  clients.forEach((c) => c.disconnect());
}

async function messages(redis) {
  const subscriber = connect();
  same("subscribed", await subscriber.subscribe("news", "more"), 2);
  same("a pattern", await subscriber.psubscribe("n?ws"), 3);
  const all = collector(4);
  subscriber.on("message", (channel, text) => all.add([channel, text]));
  subscriber.on("pmessage", (pattern, channel, text) => all.add([pattern, channel, text]));
  same("NUMSUB", await redis.pubsub("NUMSUB", "news", "none"), ["news", 1, "none", 0]);
  same("CHANNELS", (await redis.pubsub("CHANNELS")).sort(), ["more", "news"]);
  same("NUMPAT", await redis.pubsub("NUMPAT"), 1);
  same("receivers", await redis.publish("news", "one"), 2);
  same("in EXEC", await redis.multi().publish("more", "two").publish("nobody", "x").exec(), [[null, 1], [null, 0]]);
  same("by a script", await redis.eval("return redis.call('PUBLISH', 'more', 'three')", 0), 1);
  same("all of it in order", await all.done, [["news", "one"], ["n?ws", "news", "one"], ["more", "two"], ["more", "three"]]);
  await refused("other commands", subscriber.get("a"), "subscriber mode");
  same("PING as a subscriber", await subscriber.ping(), ["pong", ""]);
  same("unsubscribed", [await subscriber.unsubscribe("news", "more"), await subscriber.punsubscribe("n?ws")], [1, 0]);
  same("a client as any again", await subscriber.get("none"), null);

  const bytes = collector(1);
  subscriber.on("messageBuffer", (channel, text) => bytes.add([channel, text]));
  await subscriber.subscribe(Buffer.from([0, 255]));
  await redis.publish(Buffer.from([0, 255]), Buffer.from([13, 10, 0]));
  same("bytes", await bytes.done, [[Buffer.from([0, 255]), Buffer.from([13, 10, 0])]]);
  await subscriber.unsubscribe(Buffer.from([0, 255]));

  const many = collector(2000);
  const orderly = connect();
  orderly.on("message", (_, text) => many.add(Number(text)));
  await orderly.subscribe("flood");
  for (let i = 0; i < 2000; i++) redis.publish("flood", i);
  same("order is kept", await many.done, Array.from({ length: 2000 }, (_, n) => n));

  const sharded = collector(1);
  orderly.on("smessage", (channel, text) => sharded.add([channel, text]));
  same("SSUBSCRIBE", await orderly.ssubscribe("shard"), 1);
  same("SPUBLISH", await redis.spublish("shard", "hello"), 1);
  same("smessage", await sharded.done, [["shard", "hello"]]);

  // Keyspace notifications.
  await redis.config("SET", "notify-keyspace-events", "KEA");
  const told = collector(3);
  const watcher = connect();
  watcher.on("pmessage", (_, channel, text) => told.add([channel, text]));
  await watcher.psubscribe("__key*@0__:*");
  await redis.set("told", "1");
  await redis.pexpire("told", 5);
  await redis.lpush("told:list", "a");
  const seen = (await told.done).slice(0, 3);
  same("notifications", seen, [["__keyspace@0__:told", "set"], ["__keyevent@0__:set", "told"], ["__keyspace@0__:told", "expire"]]);
  await redis.config("SET", "notify-keyspace-events", "");
  [subscriber, orderly, watcher].forEach((c) => c.disconnect());
}

async function monitor(redis) {
  // Nobody sends anything while it begins: ioredis stumbles over what follows the OK in the same packet.
  const watcher = await redis.monitor();
  const seen = collector(3);
  watcher.on("monitor", (_time, args) => args.includes("monitored") && seen.add(args.map((a) => a.toString())));
  await redis.set("monitored", "value with \"quotes\"");
  await redis.multi().get("monitored").exec();
  await redis.eval("return redis.call('GET', 'monitored')", 0);
  same("first", (await seen.done)[0].slice(1), ["monitored", "value with \"quotes\""]);
  same("then", seen.items[1], ["get", "monitored"]);
  watcher.disconnect();
}

run(async () => {
  const redis = connect();
  redis.on("error", (error) => {
    console.error(error);
    process.exit(1);
  });
  await redis.flushall();
  await redis.script("FLUSH");
  await redis.function("FLUSH");
  await transactions(redis);
  await optimistic(redis);
  await scripts(redis);
  await functions(redis);
  await blocking(redis);
  await messages(redis);
  await monitor(redis);
  await redis.quit();
}, child);
