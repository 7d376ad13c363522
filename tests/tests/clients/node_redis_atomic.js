// node-redis against a server on 127.0.0.1: node node_redis_atomic.js PORT. Speaks RESP2, then RESP3, then RESP3 with its cache.
"use strict";

const { BasicClientSideCache, createClient, defineScript, createClientPool, WatchError, MultiErrorReply } = require("redis");
const { host, port, same, refused, collector, eventually, run } = require("./checks");

const open = [];

async function connect(options = {}) {
  const client = createClient({ socket: { host, port, reconnectStrategy: false }, ...options });
  client.on("error", (error) => {
    console.error(error);
    process.exit(1);
  });
  open.push(client);
  return client.connect();
}

const add = defineScript({
  NUMBER_OF_KEYS: 1,
  SCRIPT: "return redis.call('INCRBY', KEYS[1], ARGV[1])",
  parseCommand(parser, key, n) {
    parser.pushKey(key);
    parser.push(n.toString());
  },
  transformReply: (reply) => reply,
});

const shapes = defineScript({
  NUMBER_OF_KEYS: 0,
  SCRIPT: `redis.setresp(3)
    local map = redis.call('HGETALL', ARGV[1])
    local set = redis.call('SMEMBERS', ARGV[2])
    local score = redis.call('ZSCORE', ARGV[3], 'm')
    return {map, set, score, {double = 2.5}, true, {map = {k = 'v'}}, {set = {x = true}}, {big_number = '12345678901234567890'}}`,
  parseCommand(parser, ...keys) {
    parser.push(...keys);
  },
  transformReply: undefined,
});

const sums = {
  total: {
    NUMBER_OF_KEYS: 1,
    parseCommand(parser, key) {
      parser.pushKey(key);
    },
    transformReply: undefined,
  },
};

const CODE = `#!lua name=sums
  redis.register_function('total', function(keys)
    local sum = 0
    for _, v in ipairs(redis.call('LRANGE', keys[1], 0, -1)) do sum = sum + v end
    return sum
  end)`;

/** Waits until the server has this many blocked clients. */
const blocked = (client, n) =>
  eventually(`${n} blocked`, async () => (await client.info("clients")).includes(`blocked_clients:${n}\r\n`));

async function play(RESP) {
  const options = { RESP, scripts: { add, shapes }, functions: { sums } };
  const client = await connect(options);
  // XREAD is one of the commands whose RESP3 reply node-redis may still change.
  const other = await connect({ RESP, unstableResp3: true });
  await client.flushAll();
  await client.scriptFlush();
  await client.functionFlush();

  // Transactions.
  same("MULTI", await client.multi().set("a", "1").incrBy("a", 4).get("a").exec(), ["OK", 5, "5"]);
  const typed = await client.multi().hSet("h", { f: "v", g: "w" }).hGetAll("h").zAdd("z", { score: 1.5, value: "m" }).zScore("z", "m").execTyped();
  same("replies are transformed", [typed[0], { ...typed[1] }, typed[2], typed[3]], [2, { f: "v", g: "w" }, 1, 1.5]);
  try {
    await client.multi().set("s", "text").incr("s").exec();
    same("an error in it", "none", "MultiErrorReply");
  } catch (error) {
    same("an error in it", [error instanceof MultiErrorReply, error.errorIndexes], [true, [1]]);
  }
  same("the rest was done", await client.get("s"), "text");
  await client.watch(["w", "v"]);
  await other.set("v", "theirs");
  let thrown;
  await client.multi().set("w", "ours").exec().catch((error) => (thrown = error));
  same("a watched key was changed", thrown instanceof WatchError, true);
  await client.watch("v");
  await client.unwatch();
  same("unwatched", await client.multi().get("v").exec(), ["theirs"]);
  same("as a pipeline", await client.multi().get("v").ping().execAsPipeline(), ["theirs", "PONG"]);
  same("a pipeline on all databases", await client.multi().select(3).set("there", "x").select(0).exists("there").exec(), ["OK", "OK", "OK", 0]);

  // Optimistic counters over a pool: no addition is lost.
  const pool = createClientPool({ socket: { host, port, reconnectStrategy: false }, RESP }, { minimum: 1, maximum: 4 });
  pool.on("error", (error) => {
    console.error(error);
    process.exit(1);
  });
  await pool.connect();
  const once = () =>
    pool.execute(async (c) => {
      for (;;) {
        await c.watch("counter");
        const before = Number((await c.get("counter")) ?? 0);
        try {
          await c.multi().set("counter", before + 1).exec();
          return;
        } catch (error) {
          if (!(error instanceof WatchError)) throw error;
        }
      }
    });
  await Promise.all(Array.from({ length: 100 }, once));
  same("counted", await client.get("counter"), "100");
  pool.destroy();

  // Scripts and functions.
  same("a script", await client.add("n", 5), 5);
  same("by its digest", await client.add("n", 2), 7);
  await client.scriptFlush();
  same("sent again", await client.add("n", 3), 10);
  same("in a transaction", await client.multi().add("n", 1).get("n").exec(), [11, "11"]);
  await client.sAdd("set", ["x"]);
  const got = await client.shapes("h", "set", "z");
  if (RESP === 3) {
    same("a map, a set, a double", [{ ...got[0] }, got[1], got[2]], [{ f: "v", g: "w" }, ["x"], 1.5]);
    same("made by the script", [got[3], got[4], { ...got[5] }, got[6], got[7]], [2.5, true, { k: "v" }, ["x"], 12345678901234567890n]);
  } else {
    same("a map, a set, a double", [got[0].length, got[1], got[2]], [4, ["x"], "1.5"]);
    same("made by the script", got.slice(3), ["2.5", 1, ["k", "v"], ["x"], "12345678901234567890"]);
  }
  same("EVAL", await client.eval("return {KEYS[1], ARGV[1]}", { keys: ["k"], arguments: ["v"] }), ["k", "v"]);
  same("EVAL_RO", await client.evalRo("return redis.call('GET', KEYS[1])", { keys: ["n"] }), "11");
  await refused("an error", client.eval("return redis.call('LPOP', 'n')", { arguments: [] }), "WRONGTYPE");
  const sha = await client.scriptLoad("return 7");
  same("SCRIPT EXISTS", await client.scriptExists([sha, "f".repeat(40)]), [1, 0]);
  same("FUNCTION LOAD", await client.functionLoad(CODE), "sums");
  await client.rPush("numbers", ["1", "2", "3.5"]);
  same("FCALL", await client.sums.total("numbers"), 6);
  const [library] = await client.functionListWithCode();
  same("listed", [library.library_name, library.functions[0].name, library.library_code], ["sums", "total", CODE]);
  const dump = await client.withTypeMapping({ 36: Buffer }).functionDump();
  await client.functionDelete("sums");
  same("restored", await client.functionRestore(dump), "OK");
  same("no script runs", (await client.functionStats()).running_script, null);

  // Blocking.
  let reply = other.blPop(["q1", "q2"], 0);
  await blocked(client, 1);
  await client.rPush("q2", "x");
  same("BLPOP", { ...(await reply) }, { key: "q2", element: "x" });
  reply = other.bzPopMin("bz", 0);
  await blocked(client, 1);
  await client.zAdd("bz", [{ score: 2, value: "b" }, { score: 1, value: "a" }]);
  same("BZPOPMIN", { ...(await reply) }, { key: "bz", value: "a", score: 1 });
  reply = other.blMove("bm", "bn", "LEFT", "RIGHT", 0);
  await blocked(client, 1);
  await client.multi().rPush("bm", ["1", "2"]).lPop("bm").exec();
  same("BLMOVE gets what EXEC left", await reply, "2");
  same("a timeout", await other.brPop("never", 0.01), null);
  reply = other.xRead({ key: "stream", id: "$" }, { BLOCK: 0 });
  await blocked(client, 1);
  const id = await client.xAdd("stream", "*", { f: "v" });
  const read = JSON.stringify(await reply);
  const wanted = RESP === 3 ? { stream: [[id, ["f", "v"]]] } : [{ name: "stream", messages: [{ id, message: { f: "v" } }] }];
  same("XREAD", read, JSON.stringify(wanted));

  // Messages.
  const subscriber = await connect({ RESP });
  const all = collector(5);
  await subscriber.subscribe(["news", "more"], (text, channel) => all.add([channel, text]));
  await subscriber.pSubscribe("n*", (text, channel) => all.add(["n*", channel, text]));
  await subscriber.sSubscribe("shard", (text, channel) => all.add([channel, text]));
  same("PUBSUB NUMSUB", { ...(await client.pubSubNumSub(["news", "none"])) }, { news: 1, none: 0 });
  same("PUBSUB NUMPAT", await client.pubSubNumPat(), 1);
  same("PUBSUB CHANNELS", (await client.pubSubChannels()).sort(), ["more", "news"]);
  same("PUBSUB SHARDCHANNELS", await client.pubSubShardChannels(), ["shard"]);
  same("receivers", await client.publish("news", "1"), 2);
  same("of a shard's channel", await client.sPublish("shard", "2"), 1);
  await client.publish("more", "3");
  await client.multi().publish("nothing", "4").exec();
  same("in order", await all.done, [["news", "1"], ["n*", "news", "1"], ["shard", "2"], ["more", "3"], ["n*", "nothing", "4"]]);
  if (RESP === 3) same("commands between messages", await subscriber.get("s"), "text");
  await subscriber.sUnsubscribe("shard");
  await subscriber.unsubscribe(["news", "more"]);
  await subscriber.pUnsubscribe("n*");
  same("none is left", await client.pubSubNumPat(), 0);
  // With RESP2 this release of node-redis answers former subscribers in Buffers.
  same("a client as any again", String(await subscriber.get("s")), "text");

  // MONITOR.
  const watcher = await connect({ RESP });
  const seen = collector(2);
  await watcher.monitor((line) => line.includes("seen by the monitor") && seen.add(line));
  await client.set("m", "seen by the monitor");
  await client.multi().echo("seen by the monitor too").exec();
  const lines = await seen.done;
  same("MONITOR", lines.map((l) => l.replace(/^[\d.]+ \[0 127\.0\.0\.1:\d+\] /, "")), ['"SET" "m" "seen by the monitor"', '"ECHO" "seen by the monitor too"']);
}

async function cache() {
  const store = new BasicClientSideCache({ ttl: 0, maxEntries: 0, evictPolicy: "LRU", recordStats: true });
  const client = await connect({ RESP: 3, clientSideCache: store });
  const writer = await connect();
  const info = await client.sendCommand(["CLIENT", "TRACKINGINFO"]);
  same("tracking is on", { ...info }.flags, ["on"]);
  await writer.mSet({ cached: "1", other: "1" });
  same("read", await client.get("cached"), "1");
  same("read from the cache", [await client.get("cached"), store.stats().hitCount], ["1", 1]);
  const read = async (key, wanted) => eventually(`${key} is ${wanted}`, async () => JSON.stringify(await client.get(key)) === JSON.stringify(wanted));
  await writer.set("cached", "2");
  await read("cached", "2");
  await writer.eval("redis.call('APPEND', 'cached', '!')");
  await read("cached", "2!");
  await writer.multi().set("other", "x").del("cached").exec();
  await read("cached", null);
  await client.hGetAll("cachedhash");
  await writer.hSet("cachedhash", "f", "v");
  await eventually("a hash", async () => (await client.hGetAll("cachedhash")).f === "v");
  await writer.set("cached", "short", { expiration: { type: "PX", value: 20 } });
  await eventually("expiry is told", async () => (await client.get("cached")) === null);
  await writer.set("cached", "3");
  await read("cached", "3");
  await writer.flushAll();
  await read("cached", null);
}

run(async () => {
  for (const RESP of [2, 3]) {
    await play(RESP);
    for (const client of open.splice(0)) client.destroy();
  }
  await cache();
  for (const client of open.splice(0)) client.destroy();
});
