// What the Node programs of this folder share: counted checks, waiting for events, children that do not outlive us, an orderly end.
"use strict";

const assert = require("node:assert");
const { fork } = require("node:child_process");

const ports = process.argv[2].split(",").map(Number);
const port = ports[0];
const host = "127.0.0.1";
// A program that takes longer hangs: it waits for a reply or an event that does not come.
const LIMIT_MS = 80_000;

let passed = 0;
let last = "none";
const children = new Set();

/** One check: `got` must equal `wanted` deeply. `what` says in a failure which check it was. */
function same(what, got, wanted) {
  try {
    assert.deepStrictEqual(got, wanted);
  } catch (error) {
    throw new Error(`${what}: ${error.message}`);
  }
  passed += 1;
  last = what;
}

/** One check: the promise must be refused with an error whose text has `text` in it. */
async function refused(what, promise, text) {
  let reply;
  try {
    reply = await promise;
  } catch (error) {
    assert.ok(String(error.message).includes(text), `${what}: the error is ${error.message}; wanted ${text}`);
    passed += 1;
    last = what;
    return;
  }
  assert.fail(`${what}: no error but ${JSON.stringify(reply)}; wanted ${text}`);
}

/** Waits for an event whose arguments satisfy `wanted`, and returns them. To be called before what causes the event. */
function event(emitter, name, wanted = () => true) {
  return new Promise((resolve) => {
    const listener = (...args) => {
      if (wanted(...args)) {
        emitter.removeListener(name, listener);
        resolve(args);
      }
    };
    emitter.on(name, listener);
  });
}

/** Collects what is given to `add`; `done` is resolved with all of it once there are `count`. */
function collector(count) {
  const items = [];
  let resolve;
  const done = new Promise((r) => (resolve = r));
  const add = (item) => {
    items.push(item);
    if (items.length === count) resolve(items);
  };
  return { add, done, items };
}

/** A promise with its resolver: a gate that one side opens and the other waits at. */
function gate() {
  let open;
  const opened = new Promise((resolve) => (open = resolve));
  return { open, opened };
}

/**
 * Polls `condition` until it holds. For states that the client tells of by no event: how long it takes is no matter, and it
 * ends with the program's time limit.
 */
async function eventually(what, condition) {
  last = `waiting: ${what}`;
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 5));
  passed += 1;
  last = what;
}

/** Starts this program once more, as `child` with more arguments; it ends with us, whatever happens. */
function spawn(...args) {
  const child = fork(process.argv[1], [process.argv[2], ...args], { stdio: ["ignore", "inherit", "inherit", "ipc"] });
  children.add(child);
  child.on("exit", () => children.delete(child));
  return child;
}

/** Runs the program's `main`, or in a child `inChild` with the arguments given to `spawn`; never returns. */
function run(main, inChild) {
  const fail = (error) => {
    console.error(error);
    process.exit(1);
  };
  process.on("uncaughtException", fail);
  process.on("unhandledRejection", fail);
  if (inChild && process.argv.length > 3) {
    process.on("disconnect", () => process.exit(0));
    inChild(...process.argv.slice(3)).catch(fail);
    return;
  }
  process.on("exit", () => children.forEach((child) => child.kill("SIGKILL")));
  setTimeout(() => fail(`not done after ${LIMIT_MS / 1000} s; the last check: ${last}; ${passed} passed`), LIMIT_MS).unref();
  // Keeps the process going while it waits for nothing but promises.
  const alive = setInterval(() => {}, 1000);
  main()
    .then(() => {
      clearInterval(alive);
      console.log(`${passed} checks passed`);
      process.exit(0);
    })
    .catch(fail);
}

module.exports = { host, port, ports, same, refused, event, collector, gate, eventually, spawn, run };
