// BullMQ's flows, parents that wait for their children, against a server on 127.0.0.1: node bullmq_flows.js PORT.
"use strict";

const Redis = require("ioredis");
const { FlowProducer, Queue, QueueEvents, WaitingChildrenError, Worker } = require("bullmq");
const { host, port, same, event, eventually, run } = require("./checks");

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

run(async () => {
  const admin = new Redis(connection);
  await admin.flushall();
  const flows = track(new FlowProducer({ connection }));
  const parents = track(new Queue("parents", { connection }));
  const children = track(new Queue("children", { connection }));
  const parentEvents = track(new QueueEvents("parents", { connection, lastEventId: "0-0" }));
  const childEvents = track(new QueueEvents("children", { connection, lastEventId: "0-0" }));
  const finished = (id) => event(parentEvents, "completed", ({ jobId }) => jobId === id);

  // A tree of three levels over two queues: sums of what is below.
  const tree = {
    name: "root",
    queueName: "parents",
    data: {},
    opts: { jobId: "root" },
    children: ["left", "right"].map((side, i) => ({
      name: side,
      queueName: "parents",
      data: {},
      children: [1, 2, 3].map((n) => ({ name: "leaf", queueName: "children", data: { n: n * 10 ** i } })),
    })),
  };
  const done = finished("root");
  const node = await flows.add(tree);
  same("the node's job", node.job.id, "root");
  same("its children", node.children.map((c) => c.job.name), ["left", "right"]);
  same("they wait for theirs", await parents.getWaitingChildrenCount(), 3);
  same("state", await node.job.getState(), "waiting-children");
  same("the leaves wait", await children.getWaitingCount(), 6);
  const left = node.children[0].job;
  same("pending", (await left.getDependencies()).unprocessed.length, 3);
  const read = await flows.getFlow({ id: "root", queueName: "parents" });
  same("the flow, read again", read.children.map((c) => [c.job.name, c.children.length]).sort(), [["left", 3], ["right", 3]]);

  const sum = async (job) => Object.values(await job.getChildrenValues()).reduce((a, b) => a + b, 0);
  const childWorker = track(
    new Worker(
      "children",
      async (job) => {
        if (job.name === "fails") throw new Error("as told");
        return job.data.n;
      },
      { connection, concurrency: 3 },
    ),
  );
  const parentWorker = track(
    new Worker(
      "parents",
      async (job, token) => {
        if (job.name === "reports") return { failed: Object.values(await job.getIgnoredChildrenFailures()), sum: await sum(job) };
        if (job.name === "grows" && !job.data.grown) {
          // Children that are added while the parent is processed, and waited for.
          for (const n of [5, 6]) {
            await children.add("late", { n }, { parent: { id: job.id, queue: job.queueQualifiedName } });
          }
          await job.updateData({ grown: true });
          if (await job.moveToWaitingChildren(token)) throw new WaitingChildrenError();
        }
        return sum(job);
      },
      { connection, concurrency: 2 },
    ),
  );
  same("the sum of all leaves", (await done)[0].returnvalue, 66);
  same("counts of dependencies", await left.getDependenciesCount({ processed: true, unprocessed: true }), { processed: 3, unprocessed: 0 });
  same("a middle one's result", (await parents.getJob(left.id)).returnvalue, 6);

  // A child's failure that fails its parent, one that is ignored, one that is removed.
  const rootFailed = event(parentEvents, "failed", ({ jobId }) => jobId === "doomed");
  await flows.add({
    name: "doomed",
    queueName: "parents",
    opts: { jobId: "doomed" },
    children: [
      { name: "fails", queueName: "children", opts: { failParentOnFailure: true } },
      { name: "leaf", queueName: "children", data: { n: 1 } },
    ],
  });
  same("why the parent failed", /child bull:children:.* failed/.test((await rootFailed)[0].failedReason), true);
  const reported = finished("reporter");
  await flows.add({
    name: "reports",
    queueName: "parents",
    opts: { jobId: "reporter" },
    children: [
      { name: "fails", queueName: "children", opts: { ignoreDependencyOnFailure: true } },
      { name: "leaf", queueName: "children", data: { n: 4 } },
    ],
  });
  same("an ignored failure", (await reported)[0].returnvalue, { failed: ["as told"], sum: 4 });
  const without = finished("without");
  await flows.add({
    name: "sums",
    queueName: "parents",
    opts: { jobId: "without" },
    children: [
      { name: "fails", queueName: "children", opts: { removeDependencyOnFailure: true } },
      { name: "leaf", queueName: "children", data: { n: 9 } },
    ],
  });
  same("a removed dependency", (await without)[0].returnvalue, 9);

  const grown = finished("growing");
  await parents.add("grows", {}, { jobId: "growing" });
  same("children added on the way", (await grown)[0].returnvalue, 11);

  // A child that is removed sets its parent free; a removed parent takes its children with it.
  await childWorker.pause();
  const freed = finished("freed");
  const lone = await flows.add({
    name: "sums",
    queueName: "parents",
    opts: { jobId: "freed" },
    children: [{ name: "leaf", queueName: "children", data: { n: 1 } }],
  });
  await lone.children[0].job.remove();
  same("a parent whose child is removed", (await freed)[0].returnvalue, 0);
  const gone = await flows.add({
    name: "sums",
    queueName: "parents",
    opts: { jobId: "gone" },
    children: [1, 2].map((n) => ({ name: "leaf", queueName: "children", data: { n } })),
  });
  same("two wait", await children.getWaitingCount(), 2);
  await gone.job.remove();
  same("the children are gone too", await children.getWaitingCount(), 0);

  // Several flows in one transaction, all finished.
  const ids = ["bulk0", "bulk1", "bulk2"];
  const all = Promise.all(ids.map(finished));
  const bulk = await flows.addBulk(
    ids.map((jobId, i) => ({
      name: "sums",
      queueName: "parents",
      opts: { jobId },
      children: [{ name: "leaf", queueName: "children", data: { n: i } }],
    })),
  );
  same("flows in bulk", bulk.map((n) => n.job.id), ids);
  childWorker.resume();
  same("their results", (await all).map(([e]) => e.returnvalue), [0, 1, 2]);
  await eventually("nothing is active", async () => (await parents.getActiveCount()) + (await children.getActiveCount()) === 0);
  same("failed parents", (await parents.getFailed()).map((j) => j.id), ["doomed"]);

  await Promise.all([childWorker, parentWorker].map((w) => w.close()));
  await Promise.all(open.map((thing) => thing.close()));
  await admin.quit();
});
