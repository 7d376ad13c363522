// BullMQ's jobs against a server on 127.0.0.1: node bullmq_jobs.js PORT. Once over ioredis, once over node-redis.
//
// Adding and processing with concurrency, results and events, delays, priorities, retries with backoff, pausing, deduplication,
// looking at jobs and removing them.
"use strict";

const Redis = require("ioredis");
const { createClient } = require("redis");
const { Queue, QueueEvents, UnrecoverableError, Worker } = require("bullmq");
const { host, port, same, refused, event, collector, gate, eventually, run } = require("./checks");

async function play(newConnection) {
  const open = [];
  const queue = (name, opts = {}) => track(new Queue(name, { connection: newConnection(), ...opts }));
  const worker = (name, work, opts = {}) => track(new Worker(name, work, { connection: newConnection(), ...opts }));
  // From the stream's start: what is added before its first read is not missed.
  const events = (name) => track(new QueueEvents(name, { connection: newConnection(), lastEventId: "0-0" }));
  const track = (thing) => {
    thing.on("error", (error) => {
      console.error(error);
      process.exit(1);
    });
    open.push(thing);
    return thing;
  };

  // Processing, with results, progress and logs, told by the worker's and by the queue's events.
  {
    const q = queue("basic");
    const e = events("basic");
    const finished = new Map();
    const all = collector(20);
    e.on("completed", ({ jobId, returnvalue }) => all.add([jobId, returnvalue]));
    const progressed = event(e, "progress", ({ data }) => data.half === true);
    let running = 0;
    let most = 0;
    const five = gate();
    const w = worker(
      "basic",
      async (job) => {
        running += 1;
        most = Math.max(most, running);
        if (running === 5) five.open();
        await five.opened;
        if (job.data.n === 7) {
          await job.updateProgress({ half: true });
          await job.log("first line");
          await job.log("second line");
        }
        running -= 1;
        finished.set(job.id, job.data.n);
        return { square: job.data.n ** 2 };
      },
      { concurrency: 5 },
    );
    const jobs = await q.addBulk(Array.from({ length: 20 }, (_, n) => ({ name: "square", data: { n } })));
    same("ids are numbers in order", jobs.map((j) => Number(j.id) - Number(jobs[0].id)), Array.from({ length: 20 }, (_, n) => n));
    const results = await all.done;
    same("every job is completed once", new Set(results.map(([id]) => id)).size, 20);
    same("at most five at a time, and as many", most, 5);
    for (const [id, result] of results) same(`result of ${id}`, result, { square: finished.get(id) ** 2 });
    same("progress", (await progressed)[0].data, { half: true });
    const seventh = await q.getJob(jobs[7].id);
    same("the progress is kept", seventh.progress, { half: true });
    same("the result is kept", seventh.returnvalue, { square: 49 });
    same("logs", await q.getJobLogs(seventh.id), { logs: ["first line", "second line"], count: 2 });
    same("state", await seventh.getState(), "completed");
    same("finished", typeof seventh.finishedOn, "number");
    same("counts", await q.getJobCounts("wait", "active", "completed", "failed", "delayed"), {
      wait: 0, active: 0, completed: 20, failed: 0, delayed: 0,
    });
    const job = await q.add("square", { n: 12 });
    same("waiting for one job", await job.waitUntilFinished(e), { square: 144 });
    same("a page of completed ones", (await q.getCompleted(0, 4)).length, 5);
    same("workers are known", (await q.getWorkers()).length >= 1, true);
    const removed = await q.clean(0, 100, "completed");
    same("clean", removed.length, 21);
    same("nothing is left", await q.getJobCountByTypes("completed"), 0);
    await w.close();
  }

  // Failures: attempts with backoff of both built-in kinds and one of our own, giving up at once, retrying by hand.
  {
    const q = queue("failing");
    const e = events("failing");
    const attempts = new Map();
    const w = worker(
      "failing",
      async (job) => {
        attempts.set(job.name, (attempts.get(job.name) ?? 0) + 1);
        if (job.name === "hopeless") throw new UnrecoverableError("no use");
        if (job.attemptsMade + 1 < (job.data.succeedAt ?? Infinity)) throw new Error(`attempt ${job.attemptsMade + 1}`);
        return "made it";
      },
      { concurrency: 4, settings: { backoffStrategy: (made) => made * 5 } },
    );
    const settled = collector(5);
    e.on("completed", ({ jobId }) => settled.add([jobId, "completed"]));
    e.on("failed", ({ jobId, failedReason }) => settled.add([jobId, failedReason]));
    const exhausted = event(e, "retries-exhausted");
    const jobs = await q.addBulk([
      { name: "fixed", data: { succeedAt: 3 }, opts: { attempts: 3, backoff: 10 } },
      { name: "exponential", data: { succeedAt: 4 }, opts: { attempts: 5, backoff: { type: "exponential", delay: 5 } } },
      { name: "custom", data: { succeedAt: 3 }, opts: { attempts: 4, backoff: { type: "custom" } } },
      { name: "never", data: {}, opts: { attempts: 2 } },
      { name: "hopeless", data: {}, opts: { attempts: 9 } },
    ]);
    const outcome = Object.fromEntries(await settled.done);
    same("outcomes", jobs.map((j) => outcome[j.id]), ["completed", "completed", "completed", "attempt 2", "no use"]);
    same("attempts", Object.fromEntries(attempts), { fixed: 3, exponential: 4, custom: 3, never: 2, hopeless: 1 });
    same("retries-exhausted", (await exhausted)[0].jobId, jobs[3].id);
    const never = await q.getJob(jobs[3].id);
    same("the reason is kept", never.failedReason, "attempt 2");
    same("stack traces are kept", never.stacktrace.length, 2);
    same("failed jobs", (await q.getFailed()).map((j) => j.name).sort(), ["hopeless", "never"]);
    const again = event(e, "completed", ({ jobId }) => jobs[3].id === jobId);
    await never.updateData({ succeedAt: 1 });
    await never.retry("failed");
    await again;
    same("a retried job", (await q.getJob(never.id)).returnvalue, "made it");
    const failedAgain = event(e, "failed", ({ jobId }) => jobId === jobs[4].id);
    await q.retryJobs({ state: "failed" });
    same("all failed ones are retried", (await failedAgain)[0].failedReason, "no use");
    await w.close();
  }

  // Delayed jobs come in the order of their times; a delay can be changed, a job promoted.
  {
    const q = queue("delayed");
    const order = collector(4);
    const far = await q.add("promoted", {}, { delay: 3_600_000 });
    const changed = await q.add("changed", {}, { delay: 3_600_000 });
    await q.add("second", {}, { delay: 60 });
    await q.add("first", {}, { delay: 30 });
    same("delayed", await q.getDelayedCount(), 4);
    same("state", await far.getState(), "delayed");
    const began = Date.now();
    const w = worker("delayed", async (job) => order.add([job.name, Date.now() - job.timestamp]));
    await eventually("the two short delays are over", () => order.items.length === 2);
    await changed.changeDelay(5);
    await eventually("the changed delay is over", () => order.items.length === 3);
    await far.promote();
    const items = await order.done;
    same("order", items.map(([name]) => name), ["first", "second", "changed", "promoted"]);
    same("no earlier than asked", items[0][1] >= 30 && items[1][1] >= 60, true);
    same("no hour went by", Date.now() - began < 3_000_000, true);
    await w.close();
  }

  // Priorities, among them equal ones and LIFO; a priority that is changed later.
  {
    const q = queue("priorities");
    const names = ["p5a", "p1a", "p9", "p5b", "p1b", "none"];
    for (const name of names) await q.add(name, {}, name === "none" ? {} : { priority: Number(name[1]) });
    await q.add("last in", {}, { lifo: true });
    const raised = await q.add("raised", {}, { priority: 100 });
    await raised.changePriority({ priority: 4 });
    same("counts by priority", await q.getCountsPerPriority([1, 5, 9, 0]), { 0: 2, 1: 2, 5: 2, 9: 1 });
    same("prioritized", await q.getPrioritizedCount(), 6);
    const order = collector(8);
    const w = worker("priorities", async (job) => order.add(job.name));
    same("order", await order.done, ["last in", "none", "p1a", "p1b", "raised", "p5a", "p5b", "p9"]);
    await w.close();
  }

  // Pausing, draining, removing, own ids, deduplication, keeping only some finished jobs.
  {
    const q = queue("handling");
    const e = events("handling");
    const paused = event(e, "paused");
    await q.pause();
    await paused;
    same("paused", await q.isPaused(), true);
    const own = await q.add("own", { v: 1 }, { jobId: "mine" });
    const duplicated = event(e, "duplicated");
    await q.add("own", { v: 2 }, { jobId: "mine" });
    same("a second job of that id", (await duplicated)[0].jobId, "mine");
    same("the first one stays", (await q.getJob("mine")).data, { v: 1 });
    const deduplicated = event(e, "deduplicated");
    const one = await q.add("once", {}, { deduplication: { id: "d" } });
    const two = await q.add("once", {}, { deduplication: { id: "d" } });
    same("deduplicated", two.id, one.id);
    same("deduplicated, as an event", (await deduplicated)[0].deduplicationId, "d");
    same("by that id", await q.getDeduplicationJobId("d"), one.id);
    await own.updateData({ v: 3 });
    same("new data", (await q.getJob("mine")).data, { v: 3 });
    await own.remove();
    same("a removed job", await q.getJob("mine"), undefined);
    await q.addBulk(Array.from({ length: 10 }, (_, n) => ({ name: "kept", data: n, opts: { removeOnComplete: { count: 3 } } })));
    same("they wait", (await q.getJobCounts("waiting", "paused")).waiting + (await q.getJobCounts("paused")).paused, 11);
    const done = collector(11);
    const w = worker("handling", async (job) => job.name);
    w.on("completed", (job) => done.add(job.name));
    const resumed = event(e, "resumed");
    await q.resume();
    await resumed;
    await done.done;
    same("three are kept", (await q.getCompleted()).map((j) => j.name), ["kept", "kept", "kept"]);
    await w.pause();
    await q.addBulk(Array.from({ length: 5 }, (_, n) => ({ name: "drained", data: n, opts: n === 4 ? { delay: 60_000 } : {} })));
    await q.drain();
    same("drained", await q.getJobCounts("waiting", "delayed"), { waiting: 0, delayed: 1 });
    await q.drain(true);
    same("drained of delayed ones too", await q.getJobCountByTypes("delayed"), 0);
    await w.close();
    same("trimming the events", typeof (await q.trimEvents(3)), "number");
    await refused("a job of a broken id", q.add("bad", {}, { jobId: "12" }), "integer");
    await q.obliterate({ force: true });
    same("nothing is left", await q.getJobCountByTypes("waiting", "active", "completed", "failed", "delayed", "paused"), 0);
  }

  await Promise.all(open.map((thing) => thing.close()));
}

async function nodeRedis() {
  const clients = [];
  await play(() => {
    const client = createClient({ socket: { host, port, reconnectStrategy: false } });
    client.on("error", () => {});
    clients.push(client);
    return client;
  });
  for (const client of clients) if (client.isOpen) client.destroy();
}

run(async () => {
  const admin = new Redis({ host, port });
  await admin.flushall();
  await play(() => ({ host, port }));
  await admin.flushall();
  await nodeRedis();
  await admin.quit();
});
