// Where the memory went: in all, and by prefix from the server's own walk.

import { useState } from "preact/hooks";
import { type Command, call, current } from "../api";
import { type Bytes, type Reply, bytes, field, ident, list, number, pairs, shown, text, link } from "../reply";
import { Panel, Problem, Share, Table, attempt, count, fields, size, span, useLoad } from "../ui";

const FIGURES: [string, string][] = [
  ["used_memory", "used"],
  ["used_memory_rss", "resident"],
  ["used_memory_peak", "at most so far"],
  ["used_memory_dataset", "data"],
  ["used_memory_overhead", "overhead"],
  ["mem_clients_normal", "clients"],
  ["mem_aof_buffer", "log's buffers"],
  ["used_memory_scripts", "scripts"],
  ["maxmemory", "limit"],
];

export function Memory() {
  const { data, error } = useLoad(async () => fields(text(await call("INFO", "memory"))), [], 5000);
  return (
    <>
      <Panel title="Memory">
        <Problem text={error} />
        {data && (
          <dl class="tiles">
            {FIGURES.filter(([name]) => data.has(name)).map(([name, title]) => (
              <div key={name}>
                <dt>{title}</dt>
                <dd>{name === "maxmemory" && data.get(name) === "0" ? "none" : size(Number(data.get(name)))}</dd>
              </div>
            ))}
            <div>
              <dt>when full</dt>
              <dd>{data.get("maxmemory_policy")}</dd>
            </div>
          </dl>
        )}
      </Panel>
      <Tree />
      <Sizes />
    </>
  );
}

/** How many keys of the database there are of which size, by type. */
function Sizes() {
  // Whether there is nothing better to come soon.
  const [complete, setComplete] = useState(true);
  const { data, error } = useLoad(
    async () => {
      const all = fields(text(await call("INFO", "keysizes")));
      const kinds: [string, [string, number][]][] = [];
      for (const [name, value] of all) {
        const kind = new RegExp(`^db${current.db}_distrib_(.*)_(sizes|items)$`).exec(name);
        const bins = value.split(",").map((bin): [string, number] => [bin.split("=")[0] ?? "", Number(bin.split("=")[1])]);
        if (kind) kinds.push([`${kind[1]} by ${kind[2] === "sizes" ? "bytes" : "elements"}`, bins]);
      }
      const seen = Number(all.get("redpoll_keysizes_seen_percent") ?? 0);
      setComplete(seen === 100);
      return { kinds, seen };
    },
    [],
    complete ? 10000 : 1000,
  );
  return (
    <Panel title="Keys by size" tools={data && data.kinds.length > 0 && data.seen < 100 && <span class="badge">estimate from {data.seen} %</span>}>
      <Problem text={error} />
      {data?.kinds.length === 0 && <p class="dim">Nothing is known yet.</p>}
      <div class="columns">
        {data?.kinds.map(([name, bins]) => {
          const most = Math.max(...bins.map(([, keys]) => keys));
          return (
            <section key={name} aria-label={name}>
              <p class="dim">{name}, from</p>
              <ol class="bars sizes">
                {bins.map(([least, keys]) => (
                  <li key={least}>
                    <span class="right">{least}</span>
                    <Share part={keys / most} />
                    <b>{count(keys)}</b>
                  </li>
                ))}
              </ol>
            </section>
          );
        })}
      </div>
    </Panel>
  );
}

interface Part {
  prefix: Bytes;
  keys: number;
  bytes: number;
  types: string;
  expiring: number;
  inner: number;
}

function part(row: Reply): Part {
  const types = pairs(field(row, "types")).map(([type, sums]) => `${text(type)} ${count(number(list(sums)[0] ?? 0))}`);
  return {
    prefix: bytes(field(row, "prefix") ?? ""),
    keys: number(field(row, "keys")),
    bytes: number(field(row, "bytes")),
    types: types.join(", "),
    expiring: number(field(row, "expiring")),
    inner: number(field(row, "children")),
  };
}

function Tree() {
  // The prefixes that were opened, the innermost last.
  const [path, setPath] = useState<Bytes[]>([]);
  const prefix = path[path.length - 1] ?? "";
  // When it was asked to count again, until that is done: at once with few keys, after minutes with many millions.
  const [asked, setAsked] = useState<number | null>(null);
  // How much of the keys an answer is about: less than all while the first walk goes on.
  const [seen, setSeen] = useState(100);
  const { data, error, busy } = useLoad(
    async () => {
      const command: Command = ["MEMORY", "TREE", "COUNT", 200];
      if (prefix !== "") command.push("PREFIX", prefix);
      const reply = await call(...command);
      if (asked !== null && reply !== null && number(field(reply, "age-ms")) < Date.now() - asked) setAsked(null);
      setSeen(reply === null ? 0 : number(field(reply, "seen-percent")));
      return { reply };
    },
    [ident(prefix), asked],
    asked === null && seen === 100 ? 10000 : 1000,
  );
  const refresh = async () => {
    if (await attempt(() => call("MEMORY", "TREE", "REFRESH"))) setAsked(Date.now());
  };
  const reply = data?.reply ?? null;
  const all = reply === null ? null : part(reply);
  return (
    <>
      <Panel
        title="By prefix"
        tools={
          <button type="button" onClick={refresh}>
            Count again
          </button>
        }
      >
        <nav class="crumbs" aria-label="Prefix">
          <button type="button" class="plain link" onClick={() => setPath([])}>
            all keys
          </button>
          {path.map((step, i) => (
            <button type="button" key={i} class="plain link" onClick={() => setPath(path.slice(0, i + 1))}>
              {shown(step)}
            </button>
          ))}
        </nav>
        <Problem text={error} />
        {busy && !data && <p class="dim">loading …</p>}
        {data && reply === null && <p class="dim">A walk over all keys has just begun.</p>}
        {all && seen < 100 && (
          <p role="status">
            <span class="badge">estimate</span> from the {seen} % of the keys that were looked at so far; the largest keys are those of that part.
          </p>
        )}
        {all && (
          <p class="dim">
            {size(all.bytes)} in {count(all.keys)} keys ({all.types || "none"}), {count(all.expiring)} of which expire; as of{" "}
            {span(number(field(reply, "age-ms")) / 1000)} ago
            {asked !== null && "; being counted again …"}
          </p>
        )}
        {all && (
          <Table
            label="Memory by prefix"
            rows={list(field(reply, "children")).map(part)}
            id={(row) => ident(row.prefix)}
            sorted="bytes"
            empty="No prefix below this one."
            columns={[
              {
                name: "prefix",
                cell: (row) =>
                  row.inner > 0 ? (
                    <button type="button" class="plain link wrap" onClick={() => setPath([...path, row.prefix])}>
                      <code>{shown(row.prefix)}</code>
                    </button>
                  ) : (
                    <code class="wrap">{shown(row.prefix)}</code>
                  ),
                by: (row) => shown(row.prefix),
              },
              {
                name: "share",
                cell: (row) => <Share part={row.bytes / Math.max(1, all.bytes)} label="Share of the memory" />,
              },
              { name: "bytes", cell: (row) => size(row.bytes), by: (row) => row.bytes, right: true },
              { name: "keys", cell: (row) => count(row.keys), by: (row) => row.keys, right: true },
              { name: "a key", cell: (row) => size(row.keys > 0 ? row.bytes / row.keys : 0), right: true },
              { name: "expire", cell: (row) => count(row.expiring), by: (row) => row.expiring, right: true },
              { name: "types", cell: (row) => row.types },
            ]}
          />
        )}
      </Panel>
      {all && (
        <Panel title="Largest keys">
          <Table
            label="Largest keys"
            rows={list(field(reply, "largest"))}
            id={(row) => ident(bytes(field(row, "key")))}
            empty="None below this prefix is among the largest."
            columns={[
              {
                name: "key",
                cell: (row) => (
                  <a class="wrap" href={link(bytes(field(row, "key")))}>
                    {shown(bytes(field(row, "key")))}
                  </a>
                ),
              },
              { name: "type", cell: (row) => text(field(row, "type")) },
              { name: "bytes", cell: (row) => size(number(field(row, "bytes"))), right: true },
            ]}
          />
        </Panel>
      )}
    </>
  );
}
