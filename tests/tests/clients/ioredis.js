// ioredis against a server on 127.0.0.1: node ioredis.js PORT.
"use strict";

const assert = require("node:assert");
const Redis = require("ioredis");

async function main() {
  const redis = new Redis({ port: Number(process.argv[2]), connectionName: "tester", maxRetriesPerRequest: 1 });
  redis.on("error", (error) => {
    console.error(error);
    process.exit(1);
  });
  let checks = 0;
  const same = (got, wanted) => {
    assert.deepStrictEqual(got, wanted);
    checks += 1;
  };

  await redis.flushall();
  same(await redis.ping(), "PONG");
  same(await redis.client("GETNAME"), "tester");
  same(await redis.set("key", "value", "EX", 100), "OK");
  same(await redis.get("key"), "value");
  same(await redis.set("key", "other", "NX"), null);
  same((await redis.ttl("key")) > 90, true);
  const binary = Buffer.from([0, 255, 13, 10]);
  await redis.set(binary, binary);
  same(await redis.getBuffer(binary), binary);
  same(await redis.incrby("n", 41), 41);
  same(await redis.incrbyfloat("f", "1.5"), "1.5");
  same(await redis.mset({ a: "1", b: "2" }), "OK");
  same(await redis.mget("a", "missing", "b"), ["1", null, "2"]);
  same(await redis.del(binary, "f"), 2);

  // Commands sent in one tick go out as one pipeline.
  const many = await Promise.all(Array.from({ length: 1000 }, (_, i) => redis.incr("counter").then((n) => n - i)));
  same(many.every((n) => n === 1), true);
  const results = await redis.pipeline().set("p", "q").strlen("p").incr("p").exec();
  same(results[0], [null, "OK"]);
  same(results[1], [null, 1]);
  same(results[2][0].message, "ERR value is not an integer or out of range");

  const seen = [];
  for await (const keys of redis.scanStream({ match: "*", count: 2 })) seen.push(...keys);
  same([...new Set(seen)].sort(), ["a", "b", "counter", "key", "n", "p"]);
  same(await redis.setbit("bits", 7, 1), 0);
  same(await redis.bitcount("bits"), 1);
  same(await redis.config("GET", "databases"), ["databases", "16"]);
  same((await redis.info("server")).includes("redis_version:"), true);
  same((await redis.command("COUNT")) > 60, true);
  await redis.select(3);
  same(await redis.dbsize(), 0);
  await assert.rejects(redis.call("NOSUCH"), /unknown command/);
  checks += 1;
  // Users with a name and a password.
  same(await redis.acl("SETUSER", "bob", "reset", "on", ">secret", "~a*", "+get", "+set", "+info", "+ping"), "OK");
  const bob = new Redis({ port: Number(process.argv[2]), username: "bob", password: "secret", maxRetriesPerRequest: 1 });
  same(await bob.set("a1", "v"), "OK");
  same(await bob.get("a1"), "v");
  await assert.rejects(bob.get("b"), /NOPERM No permissions to access a key/);
  await assert.rejects(bob.del("a1"), /NOPERM User bob has no permissions to run the 'del' command/);
  checks += 2;
  bob.disconnect();
  const wrong = new Redis({ port: Number(process.argv[2]), username: "bob", password: "wrong", retryStrategy: null });
  const [error] = await new Promise((resolve) => wrong.on("error", (...args) => resolve(args)));
  same(/WRONGPASS/.test(error.message), true);
  wrong.disconnect();
  same(await redis.acl("DELUSER", "bob"), 1);
  same(await redis.quit(), "OK");
  console.log(`${checks} checks passed`);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
