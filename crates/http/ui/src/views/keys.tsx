// All keys as a tree by prefix, which SCAN fills as one opens it; and the value of one of them.

import { useEffect, useMemo, useReducer, useRef, useState } from "preact/hooks";
import { type Command, call, chain, current } from "../api";
import { type Bytes, type Reply, bytes, errorOf, ident, link, list, number, orThrow, raw, packed, shown, text, unident } from "../reply";
import { ROW, Problem, count, useKept, useWindow } from "../ui";
import { Value } from "./value";

/** A place in the tree: a prefix with what is below it, or a key. */
interface Node {
  /** Bytes from the beginning of the key to the end of this part. */
  path: Bytes;
  label: string;
  depth: number;
  isKey: boolean;
  /** Keys below it that have been seen, and as long as these are few, which. */
  keys: number;
  seen: Bytes[];
  open: boolean;
  /** The level that it is a line of, and the one below it, once it was opened. */
  of: Level;
  level: Level | null;
}

/** Keys shown below one prefix; more are counted only. */
const MOST_NODES = 2000;

/** 9 before 10, as people number things. */
const byName = new Intl.Collator(undefined, { numeric: true });

/** Keys of a prefix that are remembered, so that it can be opened without another walk over all keys. */
const MOST_SEEN = 100;

/** Milliseconds of loading after which one is asked for more. Who looks for something wants all of it. */
const PATIENCE = 4000;

/** Positions of a walk that one call of SCAN may take: where it finds little the reply is short, however many they are. */
const STEP = 50000;
const LONG_STEP = 1000000;

interface Filter {
  pattern: string;
  type: string;
  atLeast: number;
  expiry: string;
  separator: string;
}

function glob(text: string): string {
  return text.replace(/[\\*?[\]]/g, "\\$&");
}

/** Bytes as a pattern that matches only what begins with them. */
function prefixPattern(prefix: Bytes): Bytes {
  if (typeof prefix === "string") return glob(prefix) + "*";
  const out: number[] = [];
  for (const byte of raw(prefix)) {
    if ("\\*?[]".includes(String.fromCharCode(byte))) out.push(92);
    out.push(byte);
  }
  out.push(42);
  return packed(new Uint8Array(out));
}

/** What is right below a prefix, as far as SCAN has come. */
class Level {
  nodes = new Map<string, Node>();
  cursor = "0";
  done = false;
  busy = false;
  error: string | null = null;
  scanned = 0;
  dropped = 0;
  private stopped = false;

  constructor(
    readonly prefix: Bytes,
    readonly depth: number,
    readonly filter: Filter,
    readonly changed: () => void,
  ) {}

  stop(): void {
    this.stopped = true;
    for (const node of this.nodes.values()) node.level?.stop();
  }

  /** Loads for a while, or until everything has been seen. */
  async load(): Promise<void> {
    if (this.busy || this.done) return;
    this.busy = true;
    this.changed();
    const began = performance.now();
    // Small steps first, so that something is there at once.
    let step = 1000;
    const isWanted = () =>
      performance.now() - began < PATIENCE || (this.filter.pattern !== "" && this.nodes.size < MOST_NODES);
    try {
      do {
        const keys = await this.step(step);
        if (this.stopped) return;
        for (const key of keys) this.add(key);
        this.changed();
        step = this.isSlow() ? 400 : Math.min(step * 4, keys.length < step / 50 ? LONG_STEP : STEP);
      } while (!this.done && isWanted());
    } catch (why) {
      this.error = (why as Error).message;
    }
    this.busy = false;
    this.unfold();
    this.changed();
  }

  /** Who looks for something wants to see it, not the first letters of it. */
  private unfold(): void {
    if (this.done && this.filter.pattern !== "" && this.nodes.size <= 3)
      for (const node of this.nodes.values()) if (!node.isKey) Level.open(node);
  }

  /** Opens a prefix. */
  static open(node: Node): void {
    node.open = true;
    if (node.level) return;
    const { of } = node;
    node.level = new Level(node.path, node.depth + 1, of.filter, of.changed);
    for (const key of node.seen) node.level.add(key);
    // Where everything has been seen there is nothing to look for.
    node.level.done = of.done && of.dropped === 0 && node.seen.length === node.keys;
    if (node.level.done) node.level.unfold();
    else void node.level.load();
  }

  /** Whether each key has to be asked for. */
  private isSlow(): boolean {
    return this.filter.atLeast > 0 || this.filter.expiry !== "";
  }

  private async step(size: number): Promise<Bytes[]> {
    const { filter } = this;
    // One pattern is all that SCAN takes: below the top it is the prefix, and the pattern that was typed is matched here.
    const isTop = this.prefix === "";
    const pattern = isTop ? filter.pattern : prefixPattern(this.prefix);
    const command: Command = ["SCAN", this.cursor, "COUNT", this.isSlow() ? Math.min(size, 400) : size];
    if (pattern !== "") command.push("MATCH", pattern);
    if (filter.type) command.push("TYPE", filter.type);
    const [next, found] = list(await call(...command));
    this.cursor = text(next ?? "0");
    this.done = this.cursor === "0";
    let keys = list(found ?? []).map(bytes);
    this.scanned += size;
    if (!isTop && filter.pattern) {
      const matches = matcher(filter.pattern);
      keys = keys.filter((key) => matches(typeof key === "string" ? key : shown(key)));
    }
    if (!this.isSlow() || keys.length === 0) return keys;
    const asked = await chain(keys.flatMap((key): Command[] => [["PTTL", key], ["MEMORY", "USAGE", key, "SAMPLES", 5]]));
    return keys.filter((_, i) => {
      const ttl = number(asked[2 * i]!);
      const size = number(asked[2 * i + 1]!);
      if (size < filter.atLeast) return false;
      return filter.expiry === "" || (filter.expiry === "yes" ? ttl >= 0 : ttl === -1);
    });
  }

  add(key: Bytes): void {
    const { separator } = this.filter;
    const start = typeof this.prefix === "string" && typeof key === "string" ? this.prefix.length : -1;
    // Binary keys are told apart by their bytes, and stand for themselves.
    let path: Bytes = key;
    let label = shown(key);
    let isKey = true;
    if (typeof key === "string" && start >= 0) {
      const end = separator ? key.indexOf(separator, start) : -1;
      isKey = end < 0 || end + separator.length >= key.length;
      const part = isKey ? key : key.slice(0, end + separator.length);
      label = shown(part.slice(start));
      path = part;
    }
    const id = (isKey ? "k" : "p") + ident(path);
    const known = this.nodes.get(id);
    if (known) {
      // SCAN may name a key twice.
      if (!isKey) known.keys++;
      if (!isKey && known.seen.length < MOST_SEEN) known.seen.push(key);
      return;
    }
    if (this.nodes.size >= MOST_NODES) {
      this.dropped++;
      return;
    }
    this.nodes.set(id, { path, label, depth: this.depth, isKey, keys: 1, seen: isKey ? [] : [key], open: false, of: this, level: null });
  }

  sorted(): Node[] {
    return [...this.nodes.values()].sort(
      (a, b) => Number(a.isKey) - Number(b.isKey) || byName.compare(a.label, b.label),
    );
  }
}

/** A pattern of Redis for text. */
function matcher(pattern: string): (text: string) => boolean {
  let source = "";
  for (let i = 0; i < pattern.length; i++) {
    const c = pattern[i]!;
    if (c === "*") source += "[^]*";
    else if (c === "?") source += "[^]";
    else if (c === "[") {
      const end = pattern.indexOf("]", i + 1);
      if (end < 0) {
        source += "\\[";
        continue;
      }
      source += "[" + pattern.slice(i + 1, end).replace(/\\/g, "\\\\") + "]";
      i = end;
    } else {
      const literal = c === "\\" && i + 1 < pattern.length ? pattern[++i]! : c;
      source += literal.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&");
    }
  }
  try {
    const expression = new RegExp("^" + source + "$", "u");
    return (text) => expression.test(text);
  } catch {
    return () => true;
  }
}

/** A line of the tree: a place, or what is still to come of a level. */
type Row = { node: Node; level: null } | { node: null; level: Level };

function flatten(level: Level, into: Row[]): void {
  for (const node of level.sorted()) {
    into.push({ node, level: null });
    if (node.open && node.level) flatten(node.level, into);
  }
  if (!level.done || level.error || level.dropped > 0) into.push({ node: null, level });
}

const TYPES = ["string", "list", "set", "zset", "hash", "stream"];

export function Keys() {
  const [separator, setSeparator] = useKept("separator", ":");
  const [pattern, setPattern] = useState("");
  const [wanted, setWanted] = useState("");
  const [type, setType] = useState("");
  const [atLeast, setAtLeast] = useState(0);
  const [expiry, setExpiry] = useState("");
  const [turn, setTurn] = useState(0);
  const [, redraw] = useReducer((n: number) => n + 1, 0);
  const [total, setTotal] = useState<number | null>(null);
  const [selected, setSelected] = useState<Bytes | null>(() => fromHash());
  const box = useRef<HTMLDivElement>(null);
  const [focus, setFocus] = useState(0);

  useEffect(() => {
    const timer = setTimeout(() => setWanted(pattern), 300);
    return () => clearTimeout(timer);
  }, [pattern]);
  useEffect(() => {
    const go = () => setSelected(fromHash());
    window.addEventListener("hashchange", go);
    go();
    return () => window.removeEventListener("hashchange", go);
  }, []);
  const root = useMemo(() => {
    // A word without stars is looked for anywhere.
    const whole = wanted === "" || /[*?[]/.test(wanted) ? wanted : `*${glob(wanted)}*`;
    return new Level("", 0, { pattern: whole, type, atLeast, expiry, separator }, () => redraw(0));
  }, [wanted, type, atLeast, expiry, separator, turn]);
  useEffect(() => {
    void root.load();
    call("DBSIZE").then(
      (reply) => setTotal(number(reply)),
      () => setTotal(null),
    );
    return () => root.stop();
  }, [root]);

  const rows: Row[] = [];
  flatten(root, rows);
  const [first, last] = useWindow(box, rows.length);

  const select = (key: Bytes | null) => {
    location.hash = key === null ? "#/keys" : link(key);
  };
  const toggle = (node: Node, open = !node.open) => {
    if (node.isKey) return;
    if (open) Level.open(node);
    else node.open = false;
    redraw(0);
  };
  const activate = (row: Row) => {
    if (row.level) void row.level.load();
    else if (row.node.isKey) select(row.node.path);
    else toggle(row.node);
  };
  const show = (index: number) => {
    setFocus(index);
    const element = box.current;
    if (!element) return;
    if (index * ROW < element.scrollTop) element.scrollTop = index * ROW;
    else if ((index + 1) * ROW > element.scrollTop + element.clientHeight)
      element.scrollTop = (index + 1) * ROW - element.clientHeight;
  };
  const press = (event: KeyboardEvent) => {
    const row = rows[focus];
    const moves: Record<string, number> = {
      ArrowDown: focus + 1,
      ArrowUp: focus - 1,
      Home: 0,
      End: rows.length - 1,
      PageDown: focus + 15,
      PageUp: focus - 15,
    };
    if (event.key in moves) show(Math.min(rows.length - 1, Math.max(0, moves[event.key]!)));
    else if (event.key === "ArrowRight" && row?.node && !row.node.isKey) toggle(row.node, true);
    else if (event.key === "ArrowLeft" && row?.node) {
      if (row.node.open) toggle(row.node, false);
      else {
        const depth = row.node.depth;
        let up = focus;
        while (up > 0 && !(rows[up]!.node && rows[up]!.node!.depth < depth)) up--;
        show(up);
      }
    } else if ((event.key === "Enter" || event.key === " ") && row) activate(row);
    else return;
    event.preventDefault();
  };

  return (
    <div class={selected === null ? "keys" : "keys with-value"}>
      <section class="panel tree" aria-label="Keys">
        <div class="filters" role="search">
          <input
            type="search"
            placeholder="Pattern or part of a key"
            aria-label="Pattern"
            value={pattern}
            spellcheck={false}
            autocapitalize="off"
            onInput={(event) => setPattern(event.currentTarget.value)}
          />
          <details>
            <summary>Filter</summary>
            <div class="filter-grid">
              <label>
                Type
                <select value={type} onChange={(event) => setType(event.currentTarget.value)}>
                  <option value="">any</option>
                  {TYPES.map((type) => (
                    <option key={type}>{type}</option>
                  ))}
                </select>
              </label>
              <label>
                Expires
                <select value={expiry} onChange={(event) => setExpiry(event.currentTarget.value)}>
                  <option value="">either</option>
                  <option value="yes">yes</option>
                  <option value="no">never</option>
                </select>
              </label>
              <label>
                Bytes at least
                <input
                  type="number"
                  min="0"
                  value={atLeast}
                  onChange={(event) => setAtLeast(Math.max(0, Number(event.currentTarget.value) || 0))}
                />
              </label>
              <label>
                Separator
                <input
                  value={separator}
                  maxLength={8}
                  onChange={(event) => setSeparator(event.currentTarget.value)}
                />
              </label>
            </div>
          </details>
          <button type="button" onClick={() => setTurn(turn + 1)} aria-label="Reload">
            ↻
          </button>
        </div>
        <div
          ref={box}
          class="rows"
          role="tree"
          aria-label="Keys by prefix"
          tabIndex={0}
          aria-activedescendant={rows.length > 0 ? `row-${focus}` : undefined}
          onKeyDown={press}
        >
          <div class="space" style={{ height: `${rows.length * ROW}px` }}>
            {rows.slice(first, last).map((row, i) => {
              const index = first + i;
              const depth = row.node ? row.node.depth : row.level.depth;
              const isChosen = row.node?.isKey && selected !== null && ident(row.node.path) === ident(selected);
              return (
                <div
                  key={row.node ? (row.node.isKey ? "k" : "p") + ident(row.node.path) : "more" + ident(row.level.prefix)}
                  id={`row-${index}`}
                  role="treeitem"
                  aria-level={depth + 1}
                  aria-expanded={row.node && !row.node.isKey ? row.node.open : undefined}
                  aria-selected={isChosen ? true : undefined}
                  class={`row ${index === focus ? "focus" : ""} ${isChosen ? "chosen" : ""}`}
                  style={{ top: `${index * ROW}px`, paddingLeft: `${8 + depth * 16}px` }}
                  onClick={() => {
                    setFocus(index);
                    activate(row);
                  }}
                >
                  {row.node ? (
                    <>
                      <span class="twist" aria-hidden="true">
                        {row.node.isKey ? "" : row.node.open ? "▾" : "▸"}
                      </span>
                      <span class={row.node.isKey ? "clip" : "clip prefix"}>{row.node.label}</span>
                      {!row.node.isKey && <span class="dim">{count(row.node.keys)}</span>}
                    </>
                  ) : (
                    <More level={row.level} />
                  )}
                </div>
              );
            })}
          </div>
        </div>
        <footer class="dim">
          {total === null ? "" : `${count(total)} keys in db ${current.db}`}
          {root.busy && total ? ` · ${Math.min(99, Math.round((100 * root.scanned) / Math.max(1, total)))} % seen` : ""}
          {root.done && rows.length === 0 ? " · none matches" : ""}
        </footer>
        <Open select={select} />
      </section>
      {selected !== null && (
        <Value
          key={ident(selected) + current.db}
          name={selected}
          close={() => select(null)}
          gone={(renamed) => {
            select(renamed);
            setTurn(turn + 1);
          }}
        />
      )}
    </div>
  );
}

function fromHash(): Bytes | null {
  const part = location.hash.split("/").slice(2).join("/");
  if (!part) return null;
  try {
    return unident(decodeURIComponent(part));
  } catch {
    return null;
  }
}

function More({ level }: { level: Level }) {
  if (level.error) return <span class="bad">{level.error}</span>;
  if (level.busy) return <span class="dim">loading …</span>;
  if (!level.done) return <span class="link">Look further</span>;
  return <span class="dim">… {count(level.dropped)} more: open a prefix, or type a pattern</span>;
}

/** A name typed in full, for keys that no tree leads to quickly. */
function Open({ select }: { select: (key: Bytes) => void }) {
  const [name, setName] = useState("");
  const [problem, setProblem] = useState<string | null>(null);
  const open = async (event: Event) => {
    event.preventDefault();
    if (name === "") return;
    const [found] = await chain([["EXISTS", name]]).catch((why: Error): Reply[] => [{ error: why.message }]);
    const error = errorOf(found ?? null);
    if (error) return setProblem(error);
    if (number(orThrow(found ?? 0)) === 0) return setProblem("There is no such key.");
    setProblem(null);
    select(name);
  };
  return (
    <form class="open" onSubmit={open}>
      <input
        aria-label="Open a key by its name"
        placeholder="Open a key by its name"
        value={name}
        spellcheck={false}
        autocapitalize="off"
        onInput={(event) => setName(event.currentTarget.value)}
      />
      <button>Open</button>
      <Problem text={problem} />
    </form>
  );
}
