// Many BullMQ workers at once, and workers that die, against a server on 127.0.0.1: node bullmq_workers.js PORT.
//
// Each worker is a process of its own, started with further arguments.
"use strict";

const Redis = require("ioredis");
const { Queue, QueueEvents, Worker } = require("bullmq");
const { host, port, same, event, collector, gate, spawn, run } = require("./checks");

const connection = { host, port };
const WORKERS = 4;
const JOBS = 1000;

/** In a child: processes jobs until told to stop. Says `ready`, and with `stuck` also when it holds a job forever. */
async function child(kind, name) {
  const redis = new Redis(connection);
  const fail = (error) => {
    console.error(error);
    process.exit(1);
  };
  let worker;
  if (kind === "stuck") {
    worker = new Worker(
      "mortal",
      async () => {
        process.send("holding");
        await new Promise(() => {});
      },
      // No stalled check of its own: one worker's check keeps the others from checking for its interval.
      { connection, lockDuration: 400, skipStalledCheck: true },
    );
  } else {
    worker = new Worker(
      "many",
      async (job) => {
        // Counts how often each job is processed, without any atomicity of its own.
        await redis.hincrby("processed", job.id, 1);
        await redis.hincrby("by worker", name, 1);
        if (job.data.n % 10 === 0 && job.attemptsMade === 0) throw new Error("once more");
        return job.data.n;
      },
      { connection, concurrency: 8 },
    );
  }
  worker.on("error", fail);
  await worker.waitUntilReady();
  process.send("ready");
  await new Promise((resolve) => process.once("message", resolve));
  await worker.close();
  await redis.quit();
  process.exit(0);
}

const says = (process, text) => event(process, "message", (message) => message === text);

async function many(admin) {
  const queue = new Queue("many", { connection });
  const events = new QueueEvents("many", { connection, lastEventId: "0-0" });
  const completed = collector(JOBS + JOBS / 10);
  events.on("completed", ({ jobId, returnvalue }) => completed.add([jobId, returnvalue]));
  const children = Array.from({ length: WORKERS }, (_, i) => spawn("many", `worker${i}`));
  await Promise.all(children.map((c) => says(c, "ready")));
  // Producers at once, some jobs with a priority, some delayed, some added in flows' way one by one.
  const opts = { attempts: 2 };
  const add = async (producer) => {
    const own = new Queue("many", { connection });
    for (let n = producer; n < JOBS / 2; n += 4) {
      await own.add("one", { n }, { ...opts, ...(n % 3 === 0 ? { priority: 1 + (n % 5) } : {}), ...(n % 7 === 0 ? { delay: 5 } : {}) });
    }
    await own.addBulk(Array.from({ length: JOBS / 8 }, (_, i) => ({ name: "bulk", data: { n: JOBS / 2 + producer + 4 * i }, opts })));
    await own.close();
  };
  await Promise.all([0, 1, 2, 3].map(add));
  await queue.addBulk(Array.from({ length: JOBS / 10 }, (_, i) => ({ name: "more", data: { n: JOBS + i }, opts })));
  const results = await completed.done;
  same("each is completed once", new Set(results.map(([id]) => id)).size, results.length);
  same("with all results", results.map(([, n]) => n).sort((a, b) => a - b), Array.from({ length: results.length }, (_, n) => n));
  const processed = await admin.hgetall("processed");
  const jobs = await queue.getJobs(["completed"], 0, -1);
  same("all are there", jobs.length, results.length);
  const wrong = jobs.filter((job) => Number(processed[job.id]) !== (job.data.n % 10 === 0 ? 2 : 1));
  same("none was processed too often", wrong.map((job) => [job.id, processed[job.id]]), []);
  same("every worker had its part", Object.keys(await admin.hgetall("by worker")).sort(), children.map((_, i) => `worker${i}`));
  same("nothing is left over", await queue.getJobCountByTypes("wait", "active", "delayed", "prioritized", "failed"), 0);
  const exits = children.map((c) => event(c, "exit"));
  children.forEach((c) => c.send("stop"));
  same("they end well", (await Promise.all(exits)).map(([code]) => code), children.map(() => 0));
  await events.close();
  await queue.close();
}

async function stalled() {
  const queue = new Queue("mortal", { connection });
  const events = new QueueEvents("mortal", { connection, lastEventId: "0-0" });
  // One that holds a job is killed: the job's lock runs out, another worker finds it stalled and does it.
  const die = async (job) => {
    const holder = spawn("stuck", "holder");
    await says(holder, "holding");
    same("it is active", await job.getState(), "active");
    const dead = event(holder, "exit");
    holder.kill("SIGKILL");
    await dead;
  };
  const first = await queue.add("survivor", { n: 1 });
  await die(first);
  const told = event(events, "stalled");
  const completed = event(events, "completed");
  const seen = gate();
  const healthy = new Worker("mortal", async (job) => job.stalledCounter, {
    connection,
    stalledInterval: 50,
    lockDuration: 2000,
    maxStalledCount: 1,
  });
  healthy.on("error", (error) => {
    console.error(error);
    process.exit(1);
  });
  healthy.on("stalled", seen.open);
  same("which stalled", (await told)[0].jobId, first.id);
  await seen.opened;
  same("it is done by the other", (await completed)[0].jobId, first.id);
  await healthy.close();

  // Once more than it may stall: it fails.
  const doomed = await queue.add("doomed", {});
  await die(doomed);
  const failed = event(events, "failed");
  const strict = new Worker("mortal", async () => "unexpected", { connection, stalledInterval: 50, maxStalledCount: 0 });
  same("too often", (await failed)[0].failedReason, "job stalled more than allowable limit");
  await strict.close();

  // A lock that is not ours any more: what its holder says does not count.
  const slow = new Worker("slow", null, { connection, skipStalledCheck: true });
  const lost = new Queue("slow", { connection });
  await lost.add("lost", {});
  const job = await slow.getNextJob("token 1");
  same("taken by hand", job.name, "lost");
  same("its lock is longer now", await job.extendLock("token 1", 5000), 1);
  let refusal = "";
  await job.moveToCompleted("result", "token 2").catch((error) => (refusal = error.message));
  same("a wrong token", /lock/i.test(refusal), true);
  await job.moveToCompleted("result", "token 1", false);
  same("the right one", await job.getState(), "completed");
  await Promise.all([slow, lost, events, queue].map((thing) => thing.close()));
}

run(async () => {
  const admin = new Redis(connection);
  await admin.flushall();
  await many(admin);
  await stalled();
  await admin.quit();
}, child);
