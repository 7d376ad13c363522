// redlock, 4.2 and 5.0, with ioredis against servers on 127.0.0.1: node redlock.js PORT[,PORT...]. With several ports, locks over
// the majority of them.
"use strict";

const Redis = require("ioredis");
const Redlock4 = require("redlock");
const { default: Redlock5, ResourceLockedError } = require("redlock5");
const { host, ports, same, refused, event, eventually, spawn, run } = require("./checks");

// Of two contenders over three servers one always has the majority; more may split the votes again and again.
const PROCESSES = ports.length > 1 ? 2 : 4;
// redlock 5 keeps what it got of a vote that it lost until that expires. When both contenders have such a remainder, neither gets
// on until then, so there it has fewer rounds, and locks that expire sooner.
const rounds = (release) => (release === "5" && ports.length > 1 ? 10 : 25);
const expiry = ports.length > 1 ? 2_000 : 10_000;
const patient = { retryCount: -1, retryDelay: 10, retryJitter: 10, driftFactor: 0.01 };
const impatient = { ...patient, retryCount: 0 };

const connect = () => ports.map((port) => new Redis({ host, port }));

/** In a child: adds to a number by reading and writing it, each time under a lock; only the lock keeps additions from being lost. */
async function child(release) {
  const clients = connect();
  const [store] = clients;
  const add = async () => {
    const before = Number(await store.get("number"));
    await store.set("number", before + 1);
  };
  process.send("ready");
  await new Promise((resolve) => process.once("message", resolve));
  if (release === "4") {
    const redlock = new Redlock4(clients, patient);
    for (let i = 0; i < rounds(release); i++) {
      const lock = await redlock.lock("lock:number", 10_000);
      await add();
      await lock.unlock();
    }
  } else {
    const redlock = new Redlock5(clients, patient);
    for (let i = 0; i < rounds(release); i++) await redlock.using(["lock:number"], expiry, add);
  }
  await Promise.all(clients.map((client) => client.quit()));
  process.exit(0);
}

async function contend(release) {
  const [store] = connect();
  await store.set("number", 0);
  const children = Array.from({ length: PROCESSES }, () => spawn(release));
  await Promise.all(children.map((c) => event(c, "message")));
  const exits = children.map((c) => event(c, "exit"));
  children.forEach((c) => c.send("go"));
  same(`redlock ${release}: they end well`, (await Promise.all(exits)).map(([code]) => code), children.map(() => 0));
  same(`redlock ${release}: nothing is lost`, await store.get("number"), String(PROCESSES * rounds(release)));
  await store.quit();
}

async function four(clients) {
  const redlock = new Redlock4(clients, patient);
  const once = new Redlock4(clients, impatient);
  const [first] = clients;
  let lock = await redlock.lock("a", 10_000);
  same("4: the key holds the value", await first.get("a"), lock.value);
  same("4: it has an expiry", (await first.pttl("a")) > 5_000, true);
  await refused("4: taken", once.lock("a", 100), "attempts to lock the resource");
  const long = await lock.extend(60_000);
  same("4: extended", (await first.pttl("a")) > 30_000, true);
  await long.unlock();
  same("4: released", await first.exists("a"), 0);
  lock = await redlock.lock(["x", "y", "z"], 10_000);
  same("4: several resources", await first.exists("x", "y", "z"), 3);
  await refused("4: one of them", once.lock(["w", "y"], 100), "attempts to lock the resource");
  same("4: nothing is half locked", await first.exists("w"), 0);
  await lock.unlock();
  same("4: all are released", await first.exists("x", "y", "z"), 0);
  lock = await redlock.lock("short", 20);
  const next = await redlock.lock("short", 10_000);
  // Most of the servers are enough: one may have kept the old lock a millisecond longer.
  const held = await Promise.all(clients.map((client) => client.get("short")));
  same("4: one that ran out is free", held.filter((value) => value === next.value).length > clients.length / 2, true);
  await next.unlock();
  // Ours no more: its release must not free another's.
  await Promise.all(clients.map((client) => client.set("short", "another's")));
  await lock.unlock().catch(() => {});
  same("4: another's lock stays", await first.get("short"), "another's");
}

async function five(clients) {
  const redlock = new Redlock5(clients, patient);
  redlock.on("error", (error) => {
    // Told for every attempt on a taken resource.
    if (!(error instanceof ResourceLockedError)) throw error;
  });
  const [first] = clients;
  // It goes on when the majority has voted; what is looked at on one server waits for all votes.
  const voted = async (result) => {
    await Promise.all(result.attempts);
    return result;
  };
  let lock = await voted(await redlock.acquire(["a", "b"], 10_000));
  same("5: the keys hold the value", await first.mget("a", "b"), [lock.value, lock.value]);
  await refused("5: taken", redlock.acquire(["b", "c"], 100, { retryCount: 0 }), "unable to achieve a quorum");
  same("5: nothing is half locked", await first.exists("c"), 0);
  lock = await voted(await lock.extend(60_000));
  same("5: extended", (await first.pttl("b")) > 30_000, true);
  const result = await voted(await lock.release());
  same("5: votes", (await result.attempts[0]).votesFor.size, clients.length);
  same("5: released", await first.exists("a", "b"), 0);
  await refused("5: extended after that", new Redlock5(clients, impatient).extend(lock, 1000), "already-expired");
  // The extension comes by itself while the routine runs.
  let extended = false;
  await redlock.using(["auto"], 600, { automaticExtensionThreshold: 500 }, async (signal) => {
    const value = await first.get("auto");
    const began = Date.now();
    while (Date.now() - began < 800) {
      extended = (await first.get("auto")) === value;
      if (!extended || signal.aborted) break;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  });
  same("5: held beyond its first time", extended, true);
  await eventually("5: and released", async () => (await first.exists("auto")) === 0);
}

run(async () => {
  const clients = connect();
  for (const client of clients) {
    await client.flushall();
    await client.script("FLUSH");
  }
  await four(clients);
  for (const client of clients) {
    await client.flushall();
    await client.script("FLUSH");
  }
  await five(clients);
  await contend("4");
  await contend("5");
  if (clients.length > 2) {
    // A minority that is away does not matter.
    const [last] = clients.slice(-1);
    last.disconnect();
    const lock = await new Redlock4(clients, patient).lock("quorum", 10_000);
    same("a lock of the majority", await clients[0].get("quorum"), lock.value);
  }
  clients.forEach((client) => client.disconnect());
}, child);
