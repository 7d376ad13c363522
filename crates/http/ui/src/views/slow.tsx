// Commands that took long, and those whose request or reply was large.

import { useState } from "preact/hooks";
import { call, chain } from "../api";
import { bytes, errorOf, list, number, pairs, shown, text } from "../reply";
import { Panel, Problem, Table, attempt, clock, confirm, micros, size, useLoad, useMay } from "../ui";

const LOGS: [string, string, string, (n: number) => string][] = [
  ["slow", "Slow", "commandlog-execution-slower-than", micros],
  ["large-request", "Large requests", "commandlog-request-larger-than", size],
  ["large-reply", "Large replies", "commandlog-reply-larger-than", size],
];

export function Slow() {
  const [log, setLog] = useState("slow");
  const [, , limit, format] = LOGS.find(([name]) => name === log)!;
  const { data, error, reload } = useLoad(
    async () => {
      const [entries, threshold] = await chain([
        ["COMMANDLOG", "GET", 128, log],
        ["CONFIG", "GET", limit],
      ]);
      const problem = errorOf(entries ?? null);
      if (problem) throw new Error(problem);
      const rows = list(entries ?? []).map((entry) => {
        const [id, at, figure, args, address, name] = list(entry);
        return {
          id: number(id ?? 0),
          at: number(at ?? 0),
          figure: number(figure ?? 0),
          command: list(args ?? [])
            .map((arg) => shown(bytes(arg)))
            .join(" "),
          client: text(name ?? null) || text(address ?? null),
        };
      });
      const [pair] = errorOf(threshold ?? null) ? [] : pairs(threshold ?? null);
      return { rows, threshold: pair ? number(pair[1]) : null };
    },
    [log],
    5000,
  );
  const [mayReset] = useMay(["COMMANDLOG", "RESET", log]);
  const reset = async () => {
    if (await confirm("Forget all entries of this log?", null, "Forget"))
      if (await attempt(() => call("COMMANDLOG", "RESET", log), "Forgotten.")) reload();
  };
  const threshold = data?.threshold;
  return (
    <Panel
      class="stood"
      title="Commands that stood out"
      tools={
        <>
          <div class="segmented" role="group" aria-label="Which log">
            {LOGS.map(([name, title]) => (
              <button type="button" key={name} aria-pressed={name === log} onClick={() => setLog(name)}>
                {title}
              </button>
            ))}
          </div>
          {mayReset && (
            <button type="button" onClick={reset}>
              Reset
            </button>
          )}
        </>
      }
    >
      <Problem text={error} />
      {threshold !== null && threshold !== undefined && (
        <p class="dim">
          {threshold < 0 ? "Nothing is logged now" : `From ${format(threshold)} on`} (<a href="#/config">{limit}</a>)
        </p>
      )}
      <Table
        label="Entries"
        rows={data?.rows ?? []}
        id={(row) => row.id}
        empty="None."
        columns={[
          { name: "at", cell: (row) => new Date(row.at * 1000).toLocaleDateString() + " " + clock(row.at), by: (row) => row.at },
          { name: log === "slow" ? "took" : "size", cell: (row) => format(row.figure), by: (row) => row.figure, right: true },
          { name: "command", cell: (row) => <code class="wrap">{row.command}</code>, by: (row) => row.command },
          { name: "client", cell: (row) => row.client, by: (row) => row.client },
        ]}
      />
    </Panel>
  );
}
