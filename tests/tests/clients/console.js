// A person at the console: a page in headless Chromium, clicked and typed to, with a client beside it that sees what came of it.
// Arguments: port, port of HTTP, path of Chromium. With SHOTS set to a folder, pictures are left there. REDPOLL_CONSOLE_KEYS and
// REDPOLL_CONSOLE_MB are how many keys there are and how large the largest value is; what a person waits for is printed.

const http = require("http");
const puppeteer = require("puppeteer-core");
const Redis = require("ioredis");

const [port, webPort, chromium] = process.argv.slice(2);
const site = `http://127.0.0.1:${webPort}/`;
const PATIENCE = 30000;
const KEYS = Number(process.env.REDPOLL_CONSOLE_KEYS ?? 20000);
const LARGE_MB = Number(process.env.REDPOLL_CONSOLE_MB ?? 20);
/** Ten keys each, and one that is looked for. */
const USERS = KEYS / 10;
const WANTED = Math.floor(USERS * 0.617);
let checks = 0;

function check(what, condition) {
  if (!condition) throw new Error(`not so: ${what}`);
  checks++;
}

/** What the page does reaches the server some time later. */
async function eventually(what, condition) {
  const until = Date.now() + PATIENCE;
  while (!(await condition())) {
    if (Date.now() > until) throw new Error(`never so: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  checks++;
}

/** Sets so many keys. */
async function fill(db, count, pair) {
  for (let n = 0; n < count; ) {
    const load = db.pipeline();
    for (let calls = 0; calls < 100 && n < count; calls++) {
      const pairs = [];
      for (let i = 0; i < 100 && n < count; i++) pairs.push(...pair(n++));
      load.mset(...pairs);
    }
    await load.exec();
  }
}

/** Says what a person waited for. */
function tell(what, ms) {
  console.log(`${what}: ${Math.round(ms)} ms`);
}

async function main() {
  const db = new Redis({ port, host: "127.0.0.1", password: "secret", enableReadyCheck: false });
  await db.call("ACL", "SETUSER", "reader", "on", ">look", "~*", "&*", "+@read", "+@connection", "+info", "+command", "-@dangerous", "+info");
  await db.config("SET", "busy-reply-threshold", "100");
  await fill(db, KEYS, (n) => [`user:${n % USERS}:field${Math.floor(n / USERS)}`, `value ${n}`]);
  // A level with many keys and nothing below them.
  await fill(db, KEYS / 5, (n) => [`flat:${n}`, ""]);
  const binary = Buffer.from([0, 1, 0xff, 0x0a, 0x22]);
  await db.set(binary, Buffer.from([0xde, 0xad, 0xbe, 0xef]));
  await db.set("doc:json", JSON.stringify({ a: [1, 2, { b: "c" }], big: 1 }).replace("1}", "12345678901234567890}"));
  await db.set("doc:msgpack", Buffer.from([0x82, 0xa1, 0x61, 0x01, 0xa1, 0x62, 0x93, 0x01, 0x02, 0xc3]));
  await db.setrange("doc:large", LARGE_MB * 1024 * 1024, "the end");
  await db.hset("doc:hash", "field one", "1", "field two", "2");
  await db.rpush("doc:list", ...Array.from({ length: 250 }, (_, n) => `item ${n}`));
  await db.zadd("doc:zset", 1.5, "one", 2, "two");
  await db.sadd("doc:set", "member");
  await db.xadd("doc:stream", "1-1", "name", "value");
  await db.set("doc:text", "before");

  const browser = await puppeteer.launch({
    executablePath: chromium,
    headless: true,
    args: ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"],
  });
  try {
    await visit(browser, db, binary);
  } finally {
    await browser.close();
    db.disconnect();
  }
  console.log(`${checks} checks passed`);
}

async function visit(browser, db, binary) {
  const page = await browser.newPage();
  await page.setViewport({ width: 1280, height: 900 });
  page.setDefaultTimeout(PATIENCE);
  const complaints = [];
  page.on("console", (message) => {
    // A refusal is a status, of which the browser makes a line of its own.
    if (message.type() === "error" && !/status of (401|403|409)/.test(message.text())) complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(String(error)));

  let shots = 0;
  const shot = async (name) => {
    if (process.env.SHOTS) await page.screenshot({ path: `${process.env.SHOTS}/${String(++shots).padStart(2, "0")}-${name}.png` });
  };
  const until = async (what, condition, ...args) => {
    try {
      await page.waitForFunction(condition, { timeout: PATIENCE }, ...args);
      checks++;
    } catch (error) {
      const text = await page.evaluate(() => document.body.innerText);
      await shot("failed");
      throw new Error(`never so: ${what}\n${error.message}\non the page:\n${text.slice(0, 3000)}`);
    }
  };
  const see = (text) => until(`the page shows ${text}`, (text) => document.body.innerText.includes(text), text);
  const gone = (text) => until(`the page no longer shows ${text}`, (text) => !document.body.innerText.includes(text), text);
  // A button, link or line of the tree by its text or its label, the first that can be seen.
  const press = async (name) => {
    await until(
      `there is ${name} to press`,
      (name) => {
        const all = [...document.querySelectorAll("button, a, summary, [role=treeitem]")];
        const open = document.querySelector("dialog[open]");
        const found = all.find((element) => {
          if (element.disabled || (open && !open.contains(element)) || element.getClientRects().length === 0) return false;
          const text = (element.querySelector(".clip") ?? element).textContent.trim();
          return text === name || element.getAttribute("aria-label") === name;
        });
        // In the same moment: what is drawn anew would be another element.
        found?.click();
        return !!found;
      },
      name,
    );
  };
  const input = (label) => `[aria-label="${label}"]`;
  const type = async (label, text) => {
    const element = await page.waitForSelector(input(label));
    // Not with the mouse: what is drawn late moves it, and something else would be clicked.
    await element.evaluate((element) => {
      element.focus();
      element.select();
    });
    await page.keyboard.press("Backspace");
    await element.type(text);
  };
  const has = (name) =>
    page.evaluate(
      (name) =>
        [...document.querySelectorAll("button")].some(
          (element) => element.textContent.trim() === name || element.getAttribute("aria-label") === name,
        ),
      name,
    );
  const go = async (view) => {
    await page.evaluate((view) => {
      location.hash = "#/" + view;
    }, view);
    await until(`the view ${view}`, (view) => document.querySelector(`nav a[href="#/${view.split("/")[0]}"]`)?.getAttribute("aria-current") === "page", view);
  };
  const login = async (user, password) => {
    await page.waitForSelector("input[name=password]");
    await page.$eval("input[name=username]", (element) => (element.value = ""));
    await page.type("input[name=username]", user);
    await page.$eval("input[name=password]", (element) => (element.value = ""));
    await page.type("input[name=password]", password);
    await press("Log in");
  };
  const key = (name) => "keys/" + encodeURIComponent("t" + name);

  // A wrong password, and the right one.
  await page.goto(site);
  await until("something is drawn", () => performance.getEntriesByName("first-contentful-paint").length > 0);
  tell("first paint", await page.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0].startTime));
  await page.waitForSelector("input[name=password]");
  tell("a page to log in to", await page.evaluate(() => performance.now()));
  await shot("login");
  await login("default", "wrong");
  await page.waitForSelector("[role=alert]");
  check("a wrong password lets nobody in", (await page.$("nav")) === null);
  await login("default", "secret");
  await page.waitForSelector("nav");

  // What the page is sent with to who is logged in leads to the same views.
  await page.waitForSelector('nav a[aria-current="page"]');
  const [sent, drawn] = await page.evaluate(async () => {
    const text = await (await fetch("/")).text();
    const sent = new DOMParser().parseFromString(text, "text/html");
    return [sent, document].map((page) => [...page.querySelectorAll("nav a")].map((link) => link.getAttribute("href") + link.textContent).join());
  });
  check(`the frame of the page is what is drawn: ${sent}`, sent !== "" && sent === drawn);

  // What happens now: figures, and a key that gets hot.
  await page.waitForSelector(".chart canvas");
  const busy = { on: true };
  const heat = (async () => {
    while (busy.on) {
      const many = db.pipeline();
      for (let n = 0; n < 200; n++) many.get("very:hot");
      await many.exec();
    }
  })();
  await see("very:hot");
  await until("a point in time is drawn", () => /Operations \/s: all (?!unknown)/.test(document.querySelector(".chart")?.getAttribute("aria-label") ?? ""));
  await until("there are shards", () => /\d+ shards/.test(document.querySelector(".heat")?.getAttribute("aria-label") ?? ""));
  await shot("now");
  busy.on = false;
  await heat;

  // The tree, by mouse and by keyboard; a key is found and edited.
  await go("keys");
  // How long from a click until a level's first lines are there, and until as many as are ever shown.
  const open = async (prefix, lines) => {
    const click = (prefix) => {
      const found = [...document.querySelectorAll("[role=treeitem]")].find((e) => e.querySelector(".clip")?.textContent === prefix);
      if (!found) return false;
      window.clicked = performance.now();
      found.click();
      return true;
    };
    await until(`${prefix} is there`, click, prefix);
    return page.evaluate(async (lines) => {
      const shown = () => document.querySelectorAll("[role=treeitem][aria-level='2']").length;
      // The list draws what is on the screen; how many lines there are its height says.
      const all = () => document.querySelector("[role=tree] > *").getBoundingClientRect().height / 28;
      const times = [];
      for (const done of [() => shown() > 0, () => all() >= lines]) {
        while (!done() && performance.now() - window.clicked < 20000) await new Promise((resolve) => requestAnimationFrame(resolve));
        times.push(performance.now() - window.clicked);
      }
      return times;
    }, lines);
  };
  for (const [prefix, keys] of [["flat:", KEYS / 5], ["user:", USERS]]) {
    const [first, all] = await open(prefix, Math.min(2000, keys));
    tell(`a level of ${keys}: first lines`, first);
    tell(`a level of ${keys}: all that are shown`, all);
    if (prefix === "flat:") await press(prefix);
  }
  await see("12:");
  const looked = Date.now();
  await type("Pattern", `user:${WANTED}:*`);
  await press("field7");
  await see(`value ${7 * USERS + WANTED}`);
  tell(`a key among ${KEYS * 1.2}: found and shown`, Date.now() - looked);
  await shot("keys");
  await type("Pattern", "doc:*");
  await press("text");
  await see("before");
  await press("Edit");
  await type("Value", "after");
  await press("Save");
  await see("Saved.");
  await eventually("what was typed is kept", async () => (await db.get("doc:text")) === "after");
  // Somebody else is faster.
  await press("Edit");
  await db.set("doc:text", "theirs");
  await type("Value", "mine");
  await press("Save");
  await see("It has changed meanwhile.");
  check("nobody's change is lost", (await db.get("doc:text")) === "theirs");
  await press("Cancel");
  await press("Expire");
  await type("Seconds until it expires", "1000");
  await press("Set");
  await eventually("it expires", async () => (await db.ttl("doc:text")) > 900);
  await press("Delete");
  await see("Delete this key?");
  await press("Cancel");
  check("Cancel deletes nothing", (await db.exists("doc:text")) === 1);
  await press("Delete");
  await see("Delete this key?");
  await page.evaluate(() => document.querySelector("dialog .danger").click());
  await eventually("it is deleted", async () => (await db.exists("doc:text")) === 0);
  await until("what is deleted is no longer shown", () => document.querySelector(".value") === null);

  // Values of all types, in the forms that fit.
  await go(key("doc:json"));
  await see('"big": 12345678901234567890');
  await go(key("doc:msgpack"));
  await see("MessagePack");
  await see('"a": 1');
  await go(key("doc:large"));
  const opened = Date.now();
  await see(`${LARGE_MB >= 10 ? LARGE_MB.toFixed(1) : LARGE_MB.toFixed(2)} MB`);
  await until("a part of it", () => document.querySelector("pre.content")?.textContent.length > 0);
  tell(`a value of ${LARGE_MB} MB: its first page`, Date.now() - opened);
  await press("Last page");
  await press("Text");
  await see("the end");
  await go(key("doc:list"));
  await see("item 99");
  await press("Last page");
  await see("item 249");
  await go(key("doc:hash"));
  await type("Field", "field three");
  await type("Its value", "3");
  await page.evaluate(() => document.querySelector('[aria-label="Its value"]').form.requestSubmit());
  await see("field three");
  await eventually("the field is there", async () => (await db.hget("doc:hash", "field three")) === "3");
  await shot("hash");
  await go(key("doc:zset"));
  await see("1.5");
  await go(key("doc:set"));
  await see("member");
  await go(key("doc:stream"));
  await see("1-1");

  // A key that is no text.
  await go("keys");
  await type("Pattern", "");
  await go("keys/" + encodeURIComponent("b" + binary.toString("base64")));
  await see('\\x00\\x01\\xff\\n"');
  await see("de ad be ef");
  await shot("binary");

  // The tree by keyboard.
  await page.focus("[role=tree]");
  await page.keyboard.press("Home");
  await page.keyboard.press("ArrowRight");
  await until("a prefix is open", () => document.querySelector('[role=treeitem][aria-expanded="true"]') !== null);

  // A script that does not end is ended.
  await go("scripts");
  const endless = new Redis({ port, host: "127.0.0.1", password: "secret", enableReadyCheck: false });
  const fate = endless.eval("while true do end", 0).then(
    () => "it ended",
    (error) => error.message,
  );
  await until("a script is seen running", () => document.querySelector(".running") !== null);
  await shot("script");
  await press("End what runs");
  await see("End the script that runs?");
  await press("End it");
  check("the script is ended", /killed/i.test(await fate));
  endless.disconnect();

  // Configuration, with a difference to look at first.
  await go("config");
  await type("Filter directives", "slowlog-max-len");
  await see("Entries of the log of slow commands");
  await type("slowlog-max-len", "77");
  await press("Review and change");
  await see("- slowlog-max-len 128");
  await see("+ slowlog-max-len 77");
  await shot("configuration");
  await press("Change");
  await eventually("it is set", async () => (await db.config("GET", "slowlog-max-len"))[1] === "77");

  // What a user may do.
  await go("acl");
  await page.waitForFunction(() => [...document.querySelectorAll("option")].some((option) => option.textContent === "reader"));
  await page.select(input("User"), "reader");
  await type("Command", "SET key value");
  await press("Try");
  await see("no permissions");
  await type("Command", "GET key");
  await press("Try");
  await see("reader may do that.");
  await shot("acl");

  // A line with completion.
  await go("command");
  await type("Command", "getd");
  await until("there is something to complete to", () => document.querySelector("[role=option]")?.textContent === "GETDEL");
  await page.keyboard.press("Tab");
  await page.keyboard.type("nosuch");
  await page.keyboard.press("Enter");
  await see("(nil)");
  await type("Command", "hgetall doc:hash");
  await page.keyboard.press("Enter");
  await see('"field one" => "1"');
  await type("Command", "auth default nothing-to-keep");
  await page.keyboard.press("Enter");
  const kept = await page.evaluate(() => localStorage.getItem("redpoll.history"));
  check("the history is kept", kept.includes("hgetall doc:hash"));
  check("without passwords", !kept.includes("nothing-to-keep"));
  await shot("command");

  // Clients, messages, events, memory, slow commands.
  await go("clients");
  await see("Who waits for whom");
  const waiting = new Redis({ port, host: "127.0.0.1", password: "secret", enableReadyCheck: false });
  const served = waiting.blpop("waited:for", 0);
  await see("waited:for");
  await db.rpush("waited:for", "it");
  check("who waited is served", (await served)[1] === "it");
  waiting.disconnect();
  await until("somebody is connected", () => document.querySelectorAll('table[aria-label="Clients"] tbody tr').length > 0);
  await shot("clients");
  await go("pubsub");
  await type("Channel or pattern", "news");
  await press("Listen");
  await see("listening");
  while ((await db.publish("news", "hello there")) === 0);
  await see("hello there");
  await go("events");
  await press("Turn on");
  await see("Announce events of all keys?");
  await press("Change");
  await see("events come as they happen");
  await db.set("announced", "1");
  await see("announced");
  await shot("events");
  await go("memory");
  await see("resident");
  await press("Count again");
  // A walk takes a hundredth of a core: of many millions of keys some minutes.
  if (KEYS <= 100000) {
    await press("user:");
    await see("user:1");
    await until("sizes of strings are shown", () => document.querySelectorAll('[aria-label="strings by bytes"] li').length > 2);
  } else {
    await see("being counted again");
  }
  await shot("memory");
  await go("slow");
  await see("Commands that stood out");

  // On a phone, in the dark.
  await page.setViewport({ width: 390, height: 800, isMobile: true, hasTouch: true });
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: "dark" }]);
  await go("now");
  await page.waitForSelector(".chart canvas");
  const wide = await page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);
  check("nothing is wider than a phone", !wide);
  await shot("phone");
  await press("Menu");
  await see("Command line");
  await shot("phone-menu");
  await press("Keys");
  await page.setViewport({ width: 1280, height: 900 });
  // Another kind of screen is another load of the page, which is still logged in.
  await see("user:");
  await press("user:");
  await see("12:");
  await go(key("doc:json"));
  await see('"big"');
  await shot("dark");

  // Another site has the browser send its cookie along, and nothing comes of it.
  const other = http.createServer((_, answer) => {
    answer.setHeader("content-type", "text/html");
    answer.end("<h1>another site</h1>");
  });
  await new Promise((resolve) => other.listen(0, "127.0.0.1", resolve));
  const stranger = await browser.newPage();
  for (const host of ["127.0.0.1", "localhost"]) {
    await stranger.goto(`http://${host}:${other.address().port}/`);
    await stranger.evaluate(async (site) => {
      const body = JSON.stringify({ args: ["SET", "stolen", "1"] });
      for (const type of ["text/plain", "application/json"])
        await fetch(site + "api/command", { method: "POST", mode: "no-cors", credentials: "include", headers: { "content-type": type }, body }).catch(() => {});
    }, site);
  }
  check("no cross-site request gets through", (await db.exists("stolen")) === 0);
  await stranger.close();
  other.close();

  // Who may only read sees nothing to change.
  await press("Log out");
  await login("reader", "look");
  await page.waitForSelector("nav");
  await go(key("doc:hash"));
  await see("field one");
  await go(key("user:1:field1"));
  await see(`value ${USERS + 1}`);
  for (const button of ["Edit", "Delete", "Expire", "Rename"]) check(`${button} is not offered`, !(await has(button)));
  await shot("reader");
  await go("scripts");
  await see("no permissions");
  check("nothing to end", !(await has("End what runs")));
  await go("config");
  await see("no permissions");
  const log = await db.call("ACL", "LOG");
  check("being shown a page of what one may not change is no refusal", !JSON.stringify(log).includes('"unlink"'));

  // A user who is gone is out.
  await db.call("ACL", "DELUSER", "reader");
  await page.evaluate(() => {
    location.hash = "#/memory";
  });
  await page.waitForSelector("input[name=password]");
  check(`the browser complains of nothing: ${complaints.join("; ")}`, complaints.length === 0);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
