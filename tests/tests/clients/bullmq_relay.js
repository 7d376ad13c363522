// BullMQ's relay, topics over many nodes, against a server on 127.0.0.1: node bullmq_relay.js PORT.
//
// Nodes in this process and in others; what is published reaches every matching subscription once and in order.
"use strict";

const Redis = require("ioredis");
const { Relay } = require("bullmq");
const { host, port, same, event, collector, spawn, run } = require("./checks");

const connection = { host, port };
const NODES = 3;
const MESSAGES = 200;

function join(nodeId, more = {}) {
  const relay = new Relay({ connection, nodeId, name: "tester", ...more });
  relay.on("error", (error) => {
    console.error(error);
    process.exit(1);
  });
  return relay;
}

/** In a child: hears all messages, and says how many came, in which order. */
async function child(nodeId) {
  const relay = join(nodeId);
  const all = collector(MESSAGES);
  await relay.subscribe("load.*.n", (message) => all.add(message.data));
  process.send("ready");
  const heard = await all.done;
  process.send(heard);
  await relay.close();
  process.disconnect();
}

run(async () => {
  const admin = new Redis(connection);
  await admin.flushall();
  const one = join("one");
  const two = join("two");
  await Promise.all([one.waitUntilReady(), two.waitUntilReady()]);

  // Patterns.
  const all = collector(5);
  await one.subscribe("jobs.*.done", (m) => all.add(["*", m.topic, m.data]));
  const deep = await two.subscribe("jobs.>", (m) => all.add([">", m.topic, m.data]));
  await two.publish("jobs.1.done", { ok: true });
  await two.publish("jobs.1.steps.2", "deep");
  await one.publish("jobs.2.done", [1, 2]);
  await one.publish("other.1.done", "unheard");
  same("who hears what", (await all.done).map((x) => JSON.stringify(x)).sort(), [
    '["*","jobs.1.done",{"ok":true}]', '["*","jobs.2.done",[1,2]]', '[">","jobs.1.done",{"ok":true}]', '[">","jobs.1.steps.2","deep"]',
    '[">","jobs.2.done",[1,2]]',
  ]);

  // A retained message is there for those who come later.
  await one.publish("state.now", "first", { retain: 60_000 });
  await one.publish("state.now", "second", { retain: 60_000 });
  const late = collector(1);
  await two.subscribe("state.now", (m) => late.add([m.data, m.retained]));
  same("retained", await late.done, [["second", true]]);
  same("listed", (await one.getRetained()).map((r) => r.topic), ["state.now"]);
  same("deleted", [await one.deleteRetained("state.now"), await one.deleteRetained("state.now")], [true, false]);

  // What dashboards ask.
  same("nodes", (await one.getNodes()).map((n) => n.nodeId ?? n.id).sort(), ["one", "two"]);
  same("patterns", (await one.getPatterns()).map((p) => p.pattern).sort(), ["jobs.*.done", "jobs.>", "state.now"]);
  same("namespaces", await one.getNamespaces(), ["default"]);
  await deep.unsubscribe();
  same("a pattern less", (await one.getPatterns()).map((p) => p.pattern).sort(), ["jobs.*.done", "state.now"]);

  // Many nodes, several publishers.
  const children = Array.from({ length: NODES }, (_, i) => spawn(`child${i}`));
  await Promise.all(children.map((c) => event(c, "message", (m) => m === "ready")));
  const heard = children.map((c) => event(c, "message", Array.isArray));
  const publish = async (relay, who) => {
    for (let n = 0; n < MESSAGES / 2; n++) await relay.publish(`load.${who}.n`, [who, n]);
  };
  await Promise.all([publish(one, "a"), publish(two, "b")]);
  const counting = Array.from({ length: MESSAGES / 2 }, (_, n) => n);
  for (const [[messages], i] of (await Promise.all(heard)).map((m, i) => [m, i])) {
    for (const who of ["a", "b"]) {
      same(`child ${i} hears ${who} in order`, messages.filter(([w]) => w === who).map(([, n]) => n), counting);
    }
  }
  await Promise.all([one.close(), two.close()]);
  await admin.quit();
}, child);
