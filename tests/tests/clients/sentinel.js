// ioredis's Sentinel support: node sentinel.js PORT... of the sentinels. Somebody ends the primary once "written" is there.
"use strict";

const assert = require("node:assert");
const Redis = require("ioredis");

const sentinels = process.argv.slice(2).map((port) => ({ host: "127.0.0.1", port: Number(port) }));
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function main() {
  const settings = { sentinels, name: "mymaster", sentinelRetryStrategy: () => 50, retryStrategy: () => 50 };
  const primary = new Redis({ ...settings, maxRetriesPerRequest: null });
  const replica = new Redis({ ...settings, role: "slave" });
  for (const client of [primary, replica]) client.on("error", () => {});
  await new Promise((resolve) => primary.once("ready", resolve));
  const first = primary.stream.remotePort;
  await primary.set("value", 1);
  assert.strictEqual(await primary.wait(1, 5000), 1, "the replica has it");
  assert.strictEqual(await replica.get("value"), "1", "reads go to a replica");
  replica.disconnect();
  await primary.set("written", 1);
  const deadline = Date.now() + 60000;
  let counted = 0;
  while (counted < 100) {
    assert.ok(Date.now() < deadline, "another primary is found in time");
    try {
      await primary.incr("counter");
      if (primary.stream.remotePort !== first) counted += 1;
    } catch {
      await sleep(50);
    }
  }
  assert.strictEqual(await primary.get("value"), "1", "what the replica had is there");
  primary.disconnect();
  console.log("checks passed");
}

main().then(
  () => process.exit(0),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
