// A command line, with completion and help from the server's table of commands.

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { call, run } from "../api";
import { type Reply, errorOf, field, list, pairs, pretty, shown, text, words } from "../reply";
import { keep, kept, micros, useLoad } from "../ui";

interface Arg {
  display: string;
  kind: string;
  token: string | null;
  optional: boolean;
  multiple: boolean;
  multipleToken: boolean;
  args: Arg[];
}

interface Doc {
  name: string;
  summary: string;
  since: string;
  group: string;
  complexity: string;
  args: Arg[];
  isContainer: boolean;
}

function args(reply: Reply): Arg[] {
  return list(reply).map((arg) => {
    const flags = list(field(arg, "flags")).map(text);
    const token = field(arg, "token");
    return {
      display: text(field(arg, "display_text")) || text(field(arg, "name")),
      kind: text(field(arg, "type")),
      token: token === null ? null : text(token),
      optional: flags.includes("optional"),
      multiple: flags.includes("multiple"),
      multipleToken: flags.includes("multiple_token"),
      args: args(field(arg, "arguments")),
    };
  });
}

function read(reply: Reply, into: Map<string, Doc>): Map<string, Doc> {
  for (const [key, doc] of pairs(reply)) {
    const name = text(key).toUpperCase().replace("|", " ");
    const subs = field(doc, "subcommands");
    into.set(name, {
      name,
      summary: text(field(doc, "summary")),
      since: text(field(doc, "since")),
      group: text(field(doc, "group")),
      complexity: text(field(doc, "complexity")),
      args: args(field(doc, "arguments")),
      isContainer: subs !== null,
    });
    if (subs !== null) read(subs, into);
  }
  return into;
}

/** Arguments as manuals write them. */
export function syntax(all: Arg[]): string {
  return all
    .map((arg) => {
      const inner =
        arg.kind === "pure-token"
          ? ""
          : arg.kind === "block"
            ? syntax(arg.args)
            : arg.kind === "oneof"
              ? arg.args.map((choice) => syntax([choice])).join("|")
              : arg.display;
      const once = `${arg.token ?? ""} ${inner}`.trim();
      const more = arg.multiple ? ` [${arg.multipleToken ? once : inner} ...]` : "";
      return arg.optional ? `[${once}${more}]` : once + more;
    })
    .join(" ");
}

function tokens(all: Arg[], into: Set<string>): Set<string> {
  for (const arg of all) {
    if (arg.token) into.add(arg.token);
    tokens(arg.args, into);
  }
  return into;
}

function find(docs: Map<string, Doc>, before: string[]): Doc | undefined {
  const first = before[0]?.toUpperCase() ?? "";
  return docs.get(`${first} ${before[1]?.toUpperCase() ?? ""}`) ?? docs.get(first);
}

/** What the word that ends a line may become. */
function complete(docs: Map<string, Doc>, line: string): string[] {
  const typed = line.trimStart().split(/\s+/);
  const word = (typed.pop() ?? "").toUpperCase();
  let found: string[];
  if (typed.length === 0) found = [...docs.keys()].filter((name) => !name.includes(" "));
  else {
    const container = typed[0]!.toUpperCase() + " ";
    const subs = [...docs.keys()].filter((name) => name.startsWith(container)).map((name) => name.slice(container.length));
    const doc = find(docs, typed);
    found = typed.length === 1 && subs.length > 0 ? subs : word && doc ? [...tokens(doc.args, new Set())] : [];
  }
  return found.filter((name) => name.startsWith(word) && name !== word).sort();
}

interface Entry {
  id: number;
  line: string;
  output: string;
  bad: boolean;
  us: number | null;
}

/** What holds passwords is in no history. */
const SECRET = /^\s*(auth\b|hello\b.*\bauth\b|acl\s+setuser\b|config\s+set\b.*(requirepass|masterauth|file-pass)|migrate\b.*\bauth)/i;
const MOST_KEPT = 500;

/** Commands that this page has other places for. */
const ELSEWHERE: Record<string, string> = {
  SUBSCRIBE: "#/pubsub",
  PSUBSCRIBE: "#/pubsub",
  SSUBSCRIBE: "#/pubsub",
};

let nextId = 1;
let past: Entry[] = [];

export function CommandLine() {
  const docs = useLoad(async () => read(await call("COMMAND", "DOCS"), new Map<string, Doc>()), []);
  const [entries, setEntries] = useState<Entry[]>(past);
  const [line, setLine] = useState("");
  const [history, setHistory] = useState<string[]>(() => JSON.parse(kept("history") ?? "[]") as string[]);
  const [at, setAt] = useState<number | null>(null);
  const [chosen, setChosen] = useState(0);
  const [busy, setBusy] = useState(false);
  const end = useRef<HTMLDivElement>(null);
  const input = useRef<HTMLInputElement>(null);
  const table = docs.data ?? new Map<string, Doc>();
  const choices = useMemo(() => (line.trim() === "" ? [] : complete(table, line).slice(0, 8)), [line, docs.data]);
  const doc = find(table, line.trim().split(/\s+/));
  useEffect(() => setChosen(0), [line]);
  useEffect(() => {
    past = entries.slice(-200);
    end.current?.scrollIntoView({ block: "end" });
  }, [entries]);

  const submit = async (event: Event) => {
    event.preventDefault();
    const args = words(line);
    if (busy || line.trim() === "") return;
    const add = (output: string, bad: boolean, us: number | null) =>
      setEntries((all) => [...all, { id: nextId++, line, output, bad, us }].slice(-200));
    if (!SECRET.test(line)) {
      const all = [...history.filter((other) => other !== line), line].slice(-MOST_KEPT);
      setHistory(all);
      keep("history", JSON.stringify(all));
    }
    setAt(null);
    setLine("");
    if (!args) return add("Invalid argument(s): a quote is open", true, null);
    const first = typeof args[0] === "string" ? args[0].toUpperCase() : "";
    if (first === "CLEAR") return setEntries([]);
    if (first === "HELP") {
      const topic = args.slice(1).map((word) => shown(word).toUpperCase());
      return add(help(table, topic), false, null);
    }
    if (first in ELSEWHERE) return add("Messages are shown in Pub/sub.", true, null);
    setBusy(true);
    try {
      const { reply, us } = await run(args);
      add(pretty(reply), errorOf(reply) !== null, us);
    } catch (why) {
      add((why as Error).message, true, null);
    }
    setBusy(false);
    input.current?.focus();
  };
  const take = (choice: string) => {
    const start = line.search(/\S*$/);
    const lower = /[a-z]/.test(line.slice(start));
    setLine(line.slice(0, start) + (lower ? choice.toLowerCase() : choice) + " ");
    input.current?.focus();
  };
  const press = (event: KeyboardEvent) => {
    if (event.key === "Tab" && choices.length > 0 && !event.shiftKey) take(choices[chosen]!);
    else if (event.key === "ArrowDown" && at === null && choices.length > 0) setChosen((chosen + 1) % choices.length);
    else if (event.key === "ArrowUp" || event.key === "ArrowDown") {
      const next = (at ?? history.length) + (event.key === "ArrowUp" ? -1 : 1);
      if (next < 0) return event.preventDefault();
      setAt(next >= history.length ? null : next);
      setLine(history[next] ?? "");
    } else if (event.key === "l" && event.ctrlKey) setEntries([]);
    else return;
    event.preventDefault();
  };
  return (
    <div class="terminal">
      <div class="output" role="log" aria-label="Replies" tabIndex={0}>
        {entries.length === 0 && <p class="dim">A command, HELP, or CLEAR. Tab completes, the arrows go through the history.</p>}
        {entries.map((entry) => (
          <div key={entry.id} class="entry">
            <div class="typed">
              <span aria-hidden="true">› </span>
              {SECRET.test(entry.line) ? entry.line.split(/\s+/)[0] + " …" : entry.line}
              {entry.us !== null && <span class="dim"> {micros(entry.us)}</span>}
            </div>
            <pre class={entry.bad ? "bad" : ""}>{entry.output}</pre>
          </div>
        ))}
        <div ref={end} />
      </div>
      <div class="hints" aria-live="polite">
        {choices.length > 0 && (
          <ul role="listbox" id="choices" aria-label="Completions">
            {choices.map((choice, i) => (
              <li key={choice} role="option" aria-selected={i === chosen} onMouseDown={(event) => (event.preventDefault(), take(choice))}>
                {choice}
              </li>
            ))}
          </ul>
        )}
        {doc && (
          <p>
            <code>
              <b>{doc.name}</b> {syntax(doc.args)}
            </code>
            <span class="dim"> {doc.summary}</span>
          </p>
        )}
      </div>
      <form onSubmit={submit}>
        <input
          ref={input}
          aria-label="Command"
          role="combobox"
          aria-expanded={choices.length > 0}
          aria-controls="choices"
          placeholder="Command"
          autofocus
          spellcheck={false}
          autocapitalize="off"
          autocomplete="off"
          value={line}
          onInput={(event) => setLine(event.currentTarget.value)}
          onKeyDown={press}
        />
        <button class="primary" disabled={busy}>
          Run
        </button>
      </form>
    </div>
  );
}

function help(docs: Map<string, Doc>, topic: string[]): string {
  const wanted = topic.join(" ");
  if (wanted === "") {
    const groups = new Map<string, string[]>();
    for (const doc of docs.values())
      if (!doc.name.includes(" ")) groups.set(doc.group, [...(groups.get(doc.group) ?? []), doc.name]);
    return [...groups].map(([group, names]) => `@${group}\n  ${names.sort().join(" ")}\n`).join("");
  }
  const found = [...docs.values()].filter((doc) =>
    wanted.startsWith("@") ? doc.group.toUpperCase() === wanted.slice(1) : doc.name === wanted || doc.name.startsWith(wanted + " "),
  );
  if (found.length === 0) return "There is no such command.\n";
  return found
    .map((doc) => `${doc.name} ${syntax(doc.args)}\n  ${doc.summary}\n  since ${doc.since}, ${doc.group}${doc.complexity ? `, ${doc.complexity}` : ""}\n`)
    .join("\n");
}
