// Who is connected, what they do, and who waits for whom.

import { useState } from "preact/hooks";
import { call } from "../api";
import { type Reply, bytes, field, ident, list, number, shown, text, link } from "../reply";
import { Panel, Problem, Table, attempt, confirm, count, size, span, useLoad, useMay } from "../ui";

type Client = Map<string, string>;

/** Lines of `name=value` pairs; values have no spaces in them. */
function parse(lines: string): Client[] {
  return lines
    .split("\n")
    .filter((line) => line.includes("id="))
    .map((line) => new Map(line.trim().split(" ").map((pair) => pair.split(/=(.*)/s).slice(0, 2) as [string, string])));
}

export function Clients() {
  const [filter, setFilter] = useState("");
  const [live, setLive] = useState(true);
  const { data, error, reload } = useLoad(async () => parse(text(await call("CLIENT", "LIST"))), [], live ? 2000 : undefined);
  const [mayKill] = useMay(["CLIENT", "KILL", "ID", 0]);
  const get = (client: Client, name: string) => client.get(name) ?? "";
  const n = (client: Client, name: string) => Number(client.get(name) ?? 0);
  const rows = (data ?? []).filter((client) => filter === "" || [...client.values()].some((value) => value.includes(filter)));
  const kill = async (client: Client) => {
    const who = `${get(client, "id")} ${get(client, "addr")} ${get(client, "name")}`;
    if (await confirm("Close this connection?", <code class="wrap">{who}</code>, "Close it"))
      if (await attempt(() => call("CLIENT", "KILL", "ID", get(client, "id")), "Closed.")) reload();
  };
  return (
    <>
      <Waits live={live} />
      <Panel
        title={`Clients${data ? `: ${count(data.length)}` : ""}`}
        tools={
          <>
            <input
              type="search"
              aria-label="Filter clients"
              placeholder="Address, name, command …"
              value={filter}
              onInput={(event) => setFilter(event.currentTarget.value)}
            />
            <label>
              <input type="checkbox" checked={live} onChange={() => setLive(!live)} /> live
            </label>
          </>
        }
      >
        <Problem text={error} />
        <Table
          label="Clients"
          rows={rows}
          id={(client) => get(client, "id")}
          sorted="memory"
          columns={[
            { name: "id", cell: (c) => get(c, "id"), by: (c) => n(c, "id"), right: true },
            { name: "address", cell: (c) => get(c, "addr"), by: (c) => get(c, "addr") },
            { name: "name", cell: (c) => get(c, "name"), by: (c) => get(c, "name") },
            { name: "user", cell: (c) => get(c, "user"), by: (c) => get(c, "user") },
            { name: "db", cell: (c) => get(c, "db"), right: true },
            { name: "last command", cell: (c) => <code>{get(c, "cmd")}</code>, by: (c) => get(c, "cmd") },
            { name: "flags", cell: (c) => get(c, "flags") },
            { name: "age", cell: (c) => span(n(c, "age")), by: (c) => n(c, "age"), right: true },
            { name: "idle", cell: (c) => span(n(c, "idle")), by: (c) => n(c, "idle"), right: true },
            { name: "memory", cell: (c) => size(n(c, "tot-mem")), by: (c) => n(c, "tot-mem"), right: true },
            { name: "output", cell: (c) => size(n(c, "omem")), by: (c) => n(c, "omem"), right: true },
            {
              name: "",
              cell: (c) =>
                mayKill && (
                  <button type="button" class="plain" aria-label={`Close connection ${get(c, "id")}`} onClick={() => kill(c)}>
                    ✕
                  </button>
                ),
            },
          ]}
        />
      </Panel>
    </>
  );
}

/** Whoever waits: for keys, or in line for a shard; and the scripts that hold what others want. */
function Waits({ live }: { live: boolean }) {
  const { data, error } = useLoad(
    async () => {
      const reply = await call("CLIENT", "WAITS");
      return { blocked: list(field(reply, "blocked")), parked: list(field(reply, "parked")), scripts: list(field(reply, "scripts")) };
    },
    [],
    live ? 2000 : undefined,
  );
  const n = (row: Reply, name: string) => number(field(row, name));
  const t = (row: Reply, name: string) => shown(bytes(field(row, name) ?? ""));
  const who = (row: Reply) => `${n(row, "id")} ${t(row, "addr")} ${t(row, "user")}`;
  return (
    <Panel title="Who waits for whom">
      <Problem text={error} />
      {data && data.blocked.length + data.parked.length + data.scripts.length === 0 && <p class="dim">Nobody waits.</p>}
      {data && data.scripts.length > 0 && (
        <Table
          label="Scripts that run"
          rows={data.scripts}
          id={(row) => n(row, "client")}
          columns={[
            { name: "runs", cell: (row) => <code>{t(row, "name")}</code> },
            { name: "kind", cell: (row) => t(row, "kind") },
            { name: "client", cell: (row) => n(row, "client"), right: true },
            { name: "for", cell: (row) => span(n(row, "running-ms") / 1000), by: (row) => n(row, "running-ms"), right: true },
            { name: "wrote", cell: (row) => (field(row, "wrote") === true ? "yes" : "no") },
          ]}
        />
      )}
      {data && data.parked.length > 0 && (
        <Table
          label="In line for a shard"
          rows={data.parked}
          id={(row) => n(row, "id")}
          columns={[
            { name: "in line", cell: who },
            { name: "for shard", cell: (row) => t(row, "shard") || n(row, "shard"), right: true },
            { name: "since", cell: (row) => span(n(row, "waited-ms") / 1000), by: (row) => n(row, "waited-ms"), right: true },
          ]}
        />
      )}
      {data && data.blocked.length > 0 && (
        <Table
          label="Blocked on keys"
          rows={data.blocked}
          id={(row) => n(row, "id")}
          columns={[
            { name: "blocked", cell: who },
            { name: "by", cell: (row) => <code>{t(row, "command")}</code> },
            {
              name: "keys",
              cell: (row) =>
                list(field(row, "keys")).map((key) => (
                  <a key={ident(bytes(key))} class="chip" href={link(bytes(key))}>
                    {shown(bytes(key))}
                  </a>
                )),
            },
            {
              name: "until",
              cell: (row) => (field(row, "timeout-ms") === null ? "served" : span(n(row, "timeout-ms") / 1000)),
              right: true,
            },
          ]}
        />
      )}
    </Panel>
  );
}
