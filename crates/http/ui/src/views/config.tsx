// Configuration: what is set, what it means, and changes, which are shown as a difference before they are made.

import { useState } from "preact/hooks";
import { call, directives } from "../api";
import { pairs, text } from "../reply";
import { Panel, Problem, Table, attempt, confirm, useLoad, useMay } from "../ui";

export function Configuration() {
  const { data, error, reload } = useLoad(
    async () => pairs(await call("CONFIG", "GET", "*")).map(([name, value]) => ({ name: text(name), value: text(value) })),
    [],
  );
  const [filter, setFilter] = useState("");
  const [changedOnly, setChangedOnly] = useState(false);
  const [edits, setEdits] = useState<Record<string, string>>({});
  const [maySet, mayRewrite] = useMay(["CONFIG", "SET", "maxmemory", "0"], ["CONFIG", "REWRITE"]);
  const meanings = useLoad(directives, []);
  const about = (name: string) => meanings.data?.[name];
  const differs = (name: string, value: string) => {
    const found = about(name);
    return found !== undefined && normal(found.default) !== normal(value);
  };
  const rows = (data ?? []).filter(
    ({ name, value }) =>
      (filter === "" || name.includes(filter) || (about(name)?.doc ?? "").toLowerCase().includes(filter.toLowerCase())) &&
      (!changedOnly || differs(name, value) || name in edits),
  );
  const before = (name: string) => data?.find((row) => row.name === name)?.value ?? "";
  const changes = Object.entries(edits).filter(([name, value]) => value !== before(name));
  const apply = async () => {
    const yes = await confirm(
      "Change the configuration?",
      <pre class="content diff">
        {changes.map(([name, value]) => (
          <div key={name}>
            <del>
              - {name} {quoted(before(name))}
            </del>
            {"\n"}
            <ins>
              + {name} {quoted(value)}
            </ins>
            {"\n"}
          </div>
        ))}
      </pre>,
      "Change",
      false,
    );
    if (yes && (await attempt(() => call("CONFIG", "SET", ...changes.flat()), "Changed."))) {
      setEdits({});
      reload();
    }
  };
  const rewrite = async () => {
    if (await confirm("Write the configuration to its file?", "What is set now is there at the next start.", "Write", false))
      await attempt(() => call("CONFIG", "REWRITE"), "Written.");
  };
  return (
    <Panel
      title="Configuration"
      tools={
        <>
          <input type="search" aria-label="Filter directives" placeholder="Name or meaning" value={filter} onInput={(event) => setFilter(event.currentTarget.value)} />
          <label>
            <input type="checkbox" checked={changedOnly} onChange={() => setChangedOnly(!changedOnly)} /> not the default
          </label>
          {mayRewrite && (
            <button type="button" onClick={rewrite}>
              Write to file
            </button>
          )}
        </>
      }
    >
      <Problem text={error} />
      {changes.length > 0 && (
        <p class="pending" role="status">
          {changes.length === 1 ? "One change is" : `${changes.length} changes are`} not made yet.{" "}
          <button type="button" class="primary" onClick={apply}>
            Review and change
          </button>{" "}
          <button type="button" onClick={() => setEdits({})}>
            Drop
          </button>
        </p>
      )}
      <Table
        label="Directives"
        rows={rows}
        id={(row) => row.name}
        most={1000}
        columns={[
          {
            name: "directive",
            cell: (row) => (
              <>
                <code class={differs(row.name, row.value) ? "changed" : ""}>{row.name}</code>
                <div class="dim meaning">{about(row.name)?.doc}</div>
              </>
            ),
            by: (row) => row.name,
          },
          {
            name: "value",
            cell: (row) =>
              maySet && about(row.name)?.change !== "no" ? (
                <input
                  aria-label={row.name}
                  class={row.name in edits && edits[row.name] !== row.value ? "edited" : ""}
                  value={edits[row.name] ?? row.value}
                  spellcheck={false}
                  onInput={(event) => setEdits({ ...edits, [row.name]: event.currentTarget.value })}
                />
              ) : (
                <code class="wrap">{quoted(row.value)}</code>
              ),
          },
          { name: "takes", cell: (row) => <span class="dim">{about(row.name)?.takes}</span> },
          { name: "default", cell: (row) => <code class="dim wrap">{about(row.name)?.default}</code> },
        ]}
      />
    </Panel>
  );
}

function quoted(value: string): string {
  return value === "" || /\s/.test(value) ? JSON.stringify(value) : value;
}

/** Sizes and quotes as CONFIG GET writes them. */
function normal(value: string): string {
  const bare = value.replace(/^"(.*)"$/, "$1").toLowerCase();
  return bare.replace(/\b(\d+)(kb|mb|gb|k|m|g)\b/g, (_, n: string, unit: string) => {
    const units: Record<string, number> = { k: 1e3, m: 1e6, g: 1e9, kb: 1 << 10, mb: 1 << 20, gb: 1 << 30 };
    return String(Number(n) * units[unit]!);
  });
}
