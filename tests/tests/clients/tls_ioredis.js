// ioredis over TLS: node tls_ioredis.js PORT CA CERT KEY.
"use strict";

const assert = require("node:assert");
const fs = require("node:fs");
const Redis = require("ioredis");

const [port, ca, cert, key] = process.argv.slice(2);

async function main() {
  let checks = 0;
  const same = (got, wanted) => {
    assert.deepStrictEqual(got, wanted);
    checks += 1;
  };
  for (const maxVersion of ["TLSv1.2", "TLSv1.3"]) {
    const tls = {
      ca: fs.readFileSync(ca),
      cert: fs.readFileSync(cert),
      key: fs.readFileSync(key),
      servername: "localhost",
      maxVersion,
      minVersion: maxVersion,
    };
    const redis = new Redis({ host: "127.0.0.1", port: Number(port), tls, maxRetriesPerRequest: 1 });
    redis.on("error", (error) => {
      console.error(error);
      process.exit(1);
    });
    same(await redis.set("key", "x".repeat(200000)), "OK");
    same((await redis.get("key")).length, 200000);
    const many = redis.pipeline();
    for (let i = 0; i < 2000; i++) many.echo(String(i));
    const replies = await many.exec();
    same(replies.map(([, reply]) => Number(reply)).reduce((a, b) => a + b), 1999000);
    same(redis.stream.getProtocol(), maxVersion);
    await redis.quit();
  }
  const stranger = new Redis({
    host: "127.0.0.1",
    port: Number(port),
    tls: { ca: fs.readFileSync(ca), servername: "localhost" },
    retryStrategy: null,
    maxRetriesPerRequest: 0,
  });
  stranger.on("error", () => {});
  await assert.rejects(stranger.ping());
  checks += 1;
  console.log(`${checks} checks passed`);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
