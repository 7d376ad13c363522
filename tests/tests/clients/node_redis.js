// node-redis against a server on 127.0.0.1: node node_redis.js PORT. Speaks RESP2, then RESP3.
"use strict";

const assert = require("node:assert");
const { createClient } = require("redis");

let checks = 0;
function same(got, wanted) {
  assert.deepStrictEqual(got, wanted);
  checks += 1;
}

async function play(RESP) {
  const client = createClient({ RESP, name: "tester", socket: { port: Number(process.argv[2]), reconnectStrategy: false } });
  client.on("error", (error) => {
    console.error(error);
    process.exit(1);
  });
  await client.connect();
  await client.flushAll();
  same(await client.ping(), "PONG");
  same(await client.clientGetName(), "tester");
  same(await client.set("key", "value", { expiration: { type: "EX", value: 100 } }), "OK");
  same(await client.get("key"), "value");
  same(await client.get("missing"), null);
  same(await client.set("key", "other", { condition: "NX" }), null);
  same((await client.ttl("key")) > 90, true);
  same(await client.getEx("key", { type: "PERSIST" }), "value");
  same(await client.ttl("key"), -1);
  same(await client.incrBy("n", 41), 41);
  same(await client.mSet({ a: "1", b: "2" }), "OK");
  same(await client.mGet(["a", "missing", "b"]), ["1", null, "2"]);
  const many = await Promise.all(Array.from({ length: 1000 }, () => client.incr("counter")));
  same(many[999], 1000);
  const seen = [];
  for await (const keys of client.scanIterator({ MATCH: "*", COUNT: 2 })) seen.push(...keys);
  same([...new Set(seen)].sort(), ["a", "b", "counter", "key", "n"]);
  same(await client.setBit("bits", 7, 1), 0);
  same(await client.bitCount("bits"), 1);
  same({ ...(await client.configGet("databases")) }, { databases: "16" });
  same((await client.info("server")).includes("redis_version:"), true);
  same((await client.commandCount()) > 60, true);
  same(await client.copy("a", "copy"), 1);
  same(await client.exists(["a", "copy", "missing"]), 2);
  await assert.rejects(client.sendCommand(["NOSUCH"]), /unknown command/);
  checks += 1;
  await client.close();
}

play(2)
  .then(() => play(3))
  .then(() => console.log(`${checks} checks passed`))
  .catch((error) => {
    console.error(error);
    process.exit(1);
  });
