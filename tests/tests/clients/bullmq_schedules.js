// BullMQ's job schedulers and rate limits against a server on 127.0.0.1: node bullmq_schedules.js PORT.
"use strict";

const Redis = require("ioredis");
const { Queue, QueueEvents, Worker } = require("bullmq");
const { host, port, same, event, collector, gate, eventually, run } = require("./checks");

const connection = { host, port };
const open = [];

function track(thing) {
  thing.on("error", (error) => {
    console.error(error);
    process.exit(1);
  });
  open.push(thing);
  return thing;
}

async function schedulers() {
  const queue = track(new Queue("scheduled", { connection }));
  const runs = collector(6);
  const template = { name: "tick", data: { of: "every" }, opts: { removeOnComplete: true } };
  const first = await queue.upsertJobScheduler("every", { every: 40 }, template);
  same("its first job", [first.name, first.data.of], ["tick", "every"]);
  await queue.upsertJobScheduler("limited", { every: 20, limit: 2 }, { name: "twice", data: { of: "limited" } });
  await queue.upsertJobScheduler("daily", { pattern: "0 15 3 * * *", tz: "Europe/Vienna" }, { name: "cron", data: {} });
  same("their number", await queue.getJobSchedulersCount(), 3);
  const daily = await queue.getJobScheduler("daily");
  same("a pattern", [daily.key, daily.name, daily.pattern, daily.tz], ["daily", "cron", "0 15 3 * * *", "Europe/Vienna"]);
  same("its next time is ahead", daily.next > Date.now(), true);
  same("all of them", (await queue.getJobSchedulers()).map((s) => s.key).sort(), ["daily", "every", "limited"]);
  const four = collector(4);
  const worker = track(
    new Worker(
      "scheduled",
      async (job) => {
        if (job.data.of === "limited") return runs.add("limited");
        if (job.data.of === "every") four.add(job.timestamp);
        if (job.data.of === "changed") runs.add("changed");
      },
      { connection, concurrency: 2 },
    ),
  );
  const times = await four.done;
  same("each later than the last", times.every((t, i) => i === 0 || t > times[i - 1]), true);
  await eventually("the limited one has run twice", () => runs.items.length === 2);
  await queue.upsertJobScheduler("every", { every: 25 }, { ...template, data: { of: "changed" } });
  same("no second one of the same name", (await queue.getJobSchedulers()).filter((s) => s.key === "every").length, 1);
  await runs.done;
  same("the limit was kept", runs.items.filter((of) => of === "limited").length, 2);
  same("removed", await queue.removeJobScheduler("every"), true);
  same("not there any more", await queue.removeJobScheduler("every"), false);
  await worker.close();
  same("only the daily one's job is left", (await queue.getDelayed()).map((j) => j.name), ["cron"]);
  await queue.removeJobScheduler("daily");
  same("nor that", await queue.getDelayedCount(), 0);
}

async function rateLimits() {
  // Eight jobs at three in 150 ms: the third window's first comes 300 ms after the first's beginning, at the earliest.
  const queue = track(new Queue("limited", { connection }));
  const times = collector(8);
  const worker = track(
    new Worker("limited", async () => times.add(Date.now()), {
      connection,
      concurrency: 4,
      limiter: { max: 3, duration: 150 },
    }),
  );
  const began = Date.now();
  await queue.addBulk(Array.from({ length: 8 }, (_, n) => ({ name: "j", data: n })));
  const all = await times.done;
  same("the limit holds", all[6] - began >= 290, true);
  same("a limit is over at last", (await queue.getRateLimitTtl(3)) <= 150, true);
  await worker.close();

  // A job that finds the limit by itself goes back to wait and counts no attempt.
  const dynamic = track(new Queue("dynamic", { connection }));
  let tries = 0;
  const self = track(
    new Worker(
      "dynamic",
      async (job) => {
        tries += 1;
        if (tries === 1) {
          await dynamic.rateLimit(60);
          throw Worker.RateLimitError();
        }
        return job.attemptsMade;
      },
      { connection, limiter: { max: 1, duration: 30 } },
    ),
  );
  const ended = event(self, "completed");
  await dynamic.add("once more", {});
  const [job, result] = await ended;
  same("no attempt was counted", [result, job.attemptsStarted, tries], [0, 2, 2]);
  await self.close();

  // Over all workers of a queue: concurrency, and a rate.
  const global = track(new Queue("global", { connection }));
  await global.setGlobalConcurrency(2);
  same("global concurrency", await global.getGlobalConcurrency(), 2);
  const both = gate();
  let running = 0;
  let most = 0;
  const finished = collector(12);
  const work = async (job) => {
    running += 1;
    most = Math.max(most, running);
    if (running === 2) both.open();
    await both.opened;
    await new Promise((resolve) => setImmediate(resolve));
    running -= 1;
    finished.add(job.id);
  };
  const workers = [1, 2, 3].map(() => track(new Worker("global", work, { connection, concurrency: 4 })));
  await Promise.all(workers.map((w) => w.waitUntilReady()));
  await global.addBulk(Array.from({ length: 12 }, (_, n) => ({ name: "j", data: n })));
  await finished.done;
  same("two at a time over three workers", most, 2);
  await global.removeGlobalConcurrency();
  await global.setGlobalRateLimit(5, 1000);
  same("a global rate", await global.getGlobalRateLimit(), { max: 5, duration: 1000 });
  await global.removeGlobalRateLimit();
  await Promise.all(workers.map((w) => w.close()));
}

run(async () => {
  const admin = new Redis(connection);
  await admin.flushall();
  const started = track(new QueueEvents("scheduled", { connection, lastEventId: "0-0" }));
  const heard = event(started, "completed");
  await schedulers();
  await heard;
  await rateLimits();
  await Promise.all(open.map((thing) => thing.close()));
  await admin.quit();
});
