// What happens now, and in the last hour.

import { useEffect, useRef, useState } from "preact/hooks";
import { type History, call, events, history } from "../api";
import { Chart } from "../chart";
import { type Reply, bytes, field, link, list, number, shown, text } from "../reply";
import { Panel, Problem, Share, Table, clock, count, fields, micros, size, span, useKept, useLoad } from "../ui";

/** The columns of the history by name. */
class Series {
  columns = new Map<string, (number | null)[]>();
  times: number[] = [];

  constructor(from?: History) {
    if (!from) return;
    from.columns.forEach((name, i) => this.columns.set(name, from.rows.map((row) => row[i] ?? null)));
    this.times = (this.columns.get("t") ?? []) as number[];
  }

  add(row: Record<string, number | null>): void {
    const last = this.times[this.times.length - 1] ?? 0;
    if ((row.t ?? 0) <= last) return;
    for (const name of Object.keys(row)) {
      const column = this.columns.get(name) ?? this.times.map(() => null);
      column.push(row[name] ?? null);
      if (column.length > 3700) column.splice(0, 100);
      this.columns.set(name, column);
    }
    this.times = (this.columns.get("t") ?? []) as number[];
  }

  get(name: string): (number | null)[] {
    return this.columns.get(name) ?? this.times.map(() => null);
  }

  last(name: string): number | null {
    const column = this.columns.get(name);
    return column?.[column.length - 1] ?? null;
  }
}

const RANGES: [string, number][] = [
  ["2 min", 120],
  ["10 min", 600],
  ["1 hour", 3600],
];

interface SlowEntry {
  id: number;
  at_s: number;
  us: number;
  args: Reply[];
  addr: string;
  name: string;
}

export function Now() {
  const series = useRef(new Series());
  const [, setTurn] = useState(0);
  const [error, setError] = useState<string | null>(null);
  const [connected, setConnected] = useState(true);
  const [range, setRange] = useKept("range", "600");
  const [slow, setSlow] = useState<SlowEntry[]>([]);
  useEffect(() => {
    let live = true;
    history(3600).then(
      (found) => {
        if (!live) return;
        const rows = new Series(found);
        // What has come meanwhile stays.
        const early = series.current;
        early.times.forEach((_, i) =>
          rows.add(Object.fromEntries([...early.columns].map(([name, column]) => [name, column[i] ?? null]))),
        );
        series.current = rows;
        setTurn((turn) => turn + 1);
      },
      (why: Error) => setError(why.message),
    );
    const close = events(
      "stats=1&slow=1",
      {
        stats: (row: never) => {
          series.current.add(row as Record<string, number | null>);
          setTurn((turn) => turn + 1);
        },
        slow: (entry: never) => setSlow((all) => [entry as SlowEntry, ...all].slice(0, 50)),
        refused: (what: never) => {
          const refused = what as { what: string; error: string };
          if (refused.what === "stats") setError(refused.error);
        },
      },
      setConnected,
    );
    return () => {
      live = false;
      close();
    };
  }, []);
  const now = series.current;
  const seconds = Number(range);
  const skip = Math.max(0, now.times.length - seconds);
  const times = now.times.slice(skip);
  const part = (name: string) => now.get(name).slice(skip);
  const hits = part("hits");
  const misses = part("misses");
  const ratio = hits.map((hit, i) => {
    const all = (hit ?? 0) + (misses[i] ?? 0);
    return all > 0 ? (100 * (hit ?? 0)) / all : null;
  });
  const most = now.last("max_memory");
  const percent = (n: number) => `${n.toFixed(n % 1 ? 1 : 0)} %`;
  const line = (label: string, color: number, values: (number | null)[]) => ({ label, color: `--c${color}`, values });
  const times1000 = (n: number | null) => (n === null ? null : n * 1000);
  const charts = [
    { title: "Operations /s", format: count, lines: [line("all", 1, part("ops"))] },
    {
      title: "Latency",
      format: micros,
      lines: [line("p50", 2, part("p50_us")), line("p99", 3, part("p99_us")), line("p99.9", 4, part("p999_us"))],
    },
    {
      title: "Memory",
      format: size,
      max: most || undefined,
      least: 1024,
      lines: [line("used", 1, part("used_memory")), line("resident", 3, part("resident_memory"))],
    },
    { title: "Network /s", format: size, least: 1024, lines: [line("in", 2, part("in")), line("out", 1, part("out"))] },
    {
      title: "Clients",
      format: count,
      lines: [line("connected", 1, part("clients")), line("blocked", 4, part("blocked"))],
    },
    { title: "Hit ratio", format: percent, max: 100, lines: [line("found", 2, ratio)] },
    {
      title: "Keys that go /s",
      format: count,
      lines: [line("evicted", 4, part("evicted")), line("expired", 3, part("expired"))],
    },
    {
      title: "Errors and waits /s",
      format: count,
      lines: [line("errors", 4, part("errors")), line("lock waits", 2, part("lock_waits"))],
    },
    {
      title: "CPU",
      format: percent,
      least: 10,
      lines: [line("of one core", 3, part("cpu").map((n) => (n === null ? null : n * 100)))],
    },
  ];
  // What there is not everywhere.
  if (now.last("durability_lag_ms") !== null)
    charts.push({
      title: "Durability",
      format: micros,
      least: 1000,
      lines: [line("not on disk for", 1, part("durability_lag_ms").map(times1000))],
    });
  if (now.last("lag") !== null)
    charts.push({ title: "Replicas", format: size, least: 1024, lines: [line("the slowest is behind", 1, part("lag"))] });
  return (
    <>
      <div class="bar">
        <Tiles now={now} />
        <span class="grow" />
        <div class="segmented" role="group" aria-label="Range">
          {RANGES.map(([name, seconds]) => (
            <button
              type="button"
              key={name}
              aria-pressed={range === String(seconds)}
              onClick={() => setRange(String(seconds))}
            >
              {name}
            </button>
          ))}
        </div>
        {!connected && <span class="badge bad">connecting …</span>}
      </div>
      <Problem text={error} />
      {times.length > 0 && (
        <div class="charts">
          {charts.map((chart) => (
            <Chart key={chart.title} times={times} {...chart} />
          ))}
        </div>
      )}
      <div class="columns">
        <HotKeys />
        <Shards />
      </div>
      <Panel title="Slow commands as they come">
        <Table
          label="Slow commands"
          rows={slow}
          id={(entry) => entry.id}
          empty="None since this page was opened."
          columns={[
            { name: "at", cell: (entry) => clock(entry.at_s) },
            { name: "took", cell: (entry) => micros(entry.us), by: (entry) => entry.us, right: true },
            { name: "command", cell: (entry) => <code class="clip">{entry.args.map((arg) => shown(bytes(arg))).join(" ")}</code> },
            { name: "client", cell: (entry) => entry.name || entry.addr },
          ]}
        />
      </Panel>
    </>
  );
}

function Tiles({ now }: { now: Series }) {
  const lag = now.last("lag");
  const running = now.last("scripts_running_ms");
  const tiles: [string, string, boolean][] = [
    ["keys", count(now.last("keys")), false],
    ["CPU", now.last("cpu") === null ? "–" : `${Math.round((now.last("cpu") ?? 0) * 100)} %`, false],
    ["errors /s", count(now.last("errors")), (now.last("errors") ?? 0) > 0],
    ["lock waits /s", count(now.last("lock_waits")), false],
    ["replicas", count(now.last("replicas")), false],
  ];
  if (lag !== null) tiles.push(["behind", size(lag), lag > 1 << 20]);
  if (running) tiles.push(["script running", span(running / 1000), true]);
  return (
    <dl class="tiles">
      {tiles.map(([name, value, bad]) => (
        <div key={name} class={bad ? "bad" : ""}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

/** By what a panel measures. */
function Measure(props: { value: string; set: (value: string) => void; names: readonly (readonly [string, string, ...unknown[]])[] }) {
  return (
    <select aria-label="Measure" value={props.value} onChange={(event) => props.set(event.currentTarget.value)}>
      {props.names.map(([word, name]) => (
        <option key={word} value={word}>
          by {name}
        </option>
      ))}
    </select>
  );
}

const MEASURES: [string, string, (n: number) => string][] = [
  ["OPS", "operations", (n) => `${count(n)} /s`],
  ["CPU", "CPU time", (n) => `${micros(n)} /s`],
  ["IN", "bytes in", (n) => `${size(n)} /s`],
  ["OUT", "bytes out", (n) => `${size(n)} /s`],
];

function HotKeys() {
  const [measure, setMeasure] = useKept("hot", "OPS");
  const { data, error } = useLoad(
    async () => {
      const reply = await call("HOTKEYS", "TOP", "BY", measure, "COUNT", 16);
      return list(field(reply, "keys")).map((row) => {
        const name = bytes(field(row, "key"));
        const db = number(field(row, "db"));
        return { key: shown(name), db, link: link(name), figure: number(field(row, "per-second")) };
      });
    },
    [measure],
    2000,
  );
  const format = MEASURES.find(([word]) => word === measure)?.[2] ?? count;
  const most = Math.max(1, ...(data ?? []).map((row) => row.figure));
  return (
    <Panel title="Hot keys" tools={<Measure value={measure} set={setMeasure} names={MEASURES} />}>
      <Problem text={error} />
      <ol class="bars">
        {data?.map((row) => (
          <li key={`${row.db} ${row.link}`}>
            <Share part={row.figure / most} />
            <a href={row.link} class="clip">
              {row.key}
            </a>
            <b>
              {row.db !== 0 && <span class="dim">db {row.db} </span>}
              {format(row.figure)}
            </b>
          </li>
        ))}
      </ol>
      {data?.length === 0 && <p class="dim">No key has been used in this window.</p>}
    </Panel>
  );
}

const SHARD_MEASURES = [
  ["ops", "operations"],
  ["waits", "waits for its lock"],
  ["wait_usec", "time waited"],
  ["held_usec", "time held"],
  ["keys", "keys"],
  ["bytes", "bytes"],
] as const;

function Shards() {
  const [measure, setMeasure] = useKept("shards", "ops");
  const before = useRef<Map<string, number[]> | null>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const [summary, setSummary] = useState("");
  const { data, error } = useLoad(
    async () => {
      const reply = await call("INFO", "SHARDS");
      const columns = new Map<string, number[]>();
      for (const [name, value] of fields(text(reply))) {
        if (!/^shard_\d+$/.test(name)) continue;
        for (const pair of value.split(",")) {
          const [field = "", n = "0"] = pair.split("=");
          if (!columns.has(field)) columns.set(field, []);
          columns.get(field)!.push(Number(n));
        }
      }
      return columns;
    },
    [],
    2000,
  );
  useEffect(() => {
    const element = canvas.current;
    const values = data?.get(measure);
    if (!element || !values) return;
    const old = before.current?.get(measure);
    // Counters are shown as what was added since the last look.
    const isLevel = measure === "keys" || measure === "bytes";
    const now = isLevel || !old ? values : values.map((n, i) => Math.max(0, n - (old[i] ?? 0)));
    before.current = data;
    const width = Math.max(1, Math.ceil(Math.sqrt(now.length * 2)));
    const height = Math.ceil(now.length / width);
    const cell = 12;
    element.width = width * cell;
    element.height = height * cell;
    const context = element.getContext("2d")!;
    const most = Math.max(1, ...now);
    const color = getComputedStyle(document.documentElement).getPropertyValue("--c1").trim();
    now.forEach((n, i) => {
      context.globalAlpha = 0.06 + 0.94 * (n / most);
      context.fillStyle = color;
      context.fillRect((i % width) * cell, Math.floor(i / width) * cell, cell - 1, cell - 1);
    });
    const busiest = now.indexOf(most);
    const total = now.reduce((sum, n) => sum + n, 0);
    setSummary(
      now.length === 0
        ? ""
        : total === 0
        ? `${now.length} shards, all quiet`
        : `${now.length} shards; the busiest is ${busiest} with ${count(most)} of ${count(total)}`,
    );
  }, [data, measure]);
  return (
    <Panel
      title="Shards"
      tools={
        <Measure
          value={measure}
          set={(value) => {
            before.current = null;
            setMeasure(value);
          }}
          names={SHARD_MEASURES}
        />
      }
    >
      <Problem text={error} />
      {data?.size === 0 && <p class="dim">This server says nothing of its shards.</p>}
      <canvas ref={canvas} class="heat" role="img" aria-label={summary} />
      <p class="dim">{summary}</p>
    </Panel>
  );
}
