// Libraries of functions, and the script that runs.

import { useState } from "preact/hooks";
import { call, chain } from "../api";
import { type Reply, bytes, errorOf, field, list, number, shown, text } from "../reply";
import { Panel, Problem, attempt, confirm, micros, span, useLoad, useMay } from "../ui";

export function Scripts() {
  return (
    <>
      <Running />
      <Libraries />
    </>
  );
}

function Running() {
  const { data, error, reload } = useLoad(
    async () => {
      const [stats, waits, info] = await chain([
        ["FUNCTION", "STATS"],
        ["CLIENT", "WAITS"],
        ["INFO", "memory"],
      ]);
      const problem = errorOf(stats ?? null);
      if (problem && !problem.startsWith("BUSY")) throw new Error(problem);
      const running = problem ? null : field(stats ?? null, "running_script");
      const lines = text(info ?? null);
      const cached = /^number_of_cached_scripts:(\d+)/m.exec(lines);
      // FUNCTION STATS says of a script that is no function only that there is one.
      const scripts = errorOf(waits ?? null) ? [] : list(field(waits ?? null, "scripts"));
      return { running, scripts, busy: problem, cached: cached ? Number(cached[1]) : null };
    },
    [],
    1000,
  );
  const [mayKill, mayKillFunction] = useMay(["SCRIPT", "KILL"], ["FUNCTION", "KILL"]);
  const kill = async () => {
    const yes = await confirm("End the script that runs?", "What it has not written yet stays unwritten. A script that has written already cannot be ended without undoing it.", "End it");
    if (!yes) return;
    await attempt(async () => {
      const [script] = await chain([["SCRIPT", "KILL"]]);
      const why = errorOf(script ?? null);
      // What runs is a function, then.
      if (why && mayKillFunction && /NOTBUSY|function/i.test(why)) await call("FUNCTION", "KILL");
      else if (why) throw new Error(why);
    }, "Ended.");
    reload();
  };
  const running = data?.running ?? null;
  const isRunning =
    data !== null && (data.busy !== null || data.scripts.length > 0 || (running !== null && running !== false));
  return (
    <Panel title="Now running">
      <Problem text={error} />
      {data && !isRunning && <p class="dim">No script or function is running for long.{data.cached !== null && ` ${data.cached} scripts are cached.`}</p>}
      {isRunning && (
        <div class="running" role="alert">
          {data?.scripts.map((script) => (
            <p key={number(field(script, "client"))}>
              The {text(field(script, "kind"))} <code class="wrap">{shown(bytes(field(script, "name")))}</code> of client{" "}
              {number(field(script, "client"))} for {span(number(field(script, "running-ms")) / 1000)};{" "}
              {field(script, "wrote") === true ? "it has written" : "it has written nothing"}
            </p>
          ))}
          {running !== null && typeof running === "object" && <RunningScript of={running} />}
          {data?.scripts.length === 0 && data.busy && <p>{data.busy}</p>}
        </div>
      )}
      {mayKill && (
        <button type="button" class="danger" onClick={kill}>
          End what runs
        </button>
      )}
    </Panel>
  );
}

function RunningScript({ of }: { of: Reply }) {
  const command = list(field(of, "command")).map((arg) => shown(bytes(arg)));
  return (
    <>
      <p>
        <b>{text(field(of, "name")) || "A script"}</b> for {span(number(field(of, "duration_ms")) / 1000)}
      </p>
      <pre class="content">{command.join(" ")}</pre>
    </>
  );
}

function Libraries() {
  const { data, error, reload } = useLoad(async () => list(await call("FUNCTION", "LIST", "WITHCODE")), []);
  const [mayDelete, mayLoad] = useMay(["FUNCTION", "DELETE", "x"], ["FUNCTION", "LOAD", "REPLACE", "x"]);
  const [editing, setEditing] = useState<string | null>(null);
  const load = async (event: Event) => {
    event.preventDefault();
    if (await attempt(() => call("FUNCTION", "LOAD", "REPLACE", editing ?? ""), "Loaded.")) {
      setEditing(null);
      reload();
    }
  };
  const remove = async (name: string) => {
    if (await confirm("Delete this library with its functions?", <code>{name}</code>, "Delete"))
      if (await attempt(() => call("FUNCTION", "DELETE", name), "Deleted.")) reload();
  };
  return (
    <Panel
      title="Libraries"
      tools={
        mayLoad && (
          <button type="button" onClick={() => setEditing(editing === null ? "#!lua name=mylib\n" : null)}>
            New
          </button>
        )
      }
    >
      <Problem text={error} />
      {editing !== null && (
        <form onSubmit={load}>
          <textarea aria-label="Code" rows={16} spellcheck={false} value={editing} onInput={(event) => setEditing(event.currentTarget.value)} />
          <div class="buttons">
            <button type="button" onClick={() => setEditing(null)}>
              Cancel
            </button>
            <button class="primary">Load, replacing</button>
          </div>
        </form>
      )}
      {data?.length === 0 && <p class="dim">None is loaded.</p>}
      {data?.map((library) => {
        const name = text(field(library, "library_name"));
        const code = text(field(library, "library_code"));
        const functions = list(field(library, "functions"));
        return (
          <details key={name}>
            <summary>
              <b>{name}</b> <span class="dim">{functions.map((f) => text(field(f, "name"))).join(", ")}</span>
            </summary>
            <ul>
              {functions.map((f) => (
                <li key={text(field(f, "name"))}>
                  <code>{text(field(f, "name"))}</code> {text(field(f, "description"))}{" "}
                  <span class="dim">{list(field(f, "flags")).map(text).join(", ")}</span>
                </li>
              ))}
            </ul>
            <pre class="content">{code}</pre>
            <div class="buttons left">
              {mayLoad && (
                <button type="button" onClick={() => setEditing(code)}>
                  Edit
                </button>
              )}
              {mayDelete && (
                <button type="button" class="danger" onClick={() => remove(name)}>
                  Delete
                </button>
              )}
            </div>
          </details>
        );
      })}
      <Engines />
    </Panel>
  );
}

/** How much the scripting commands have been used. */
function Engines() {
  const { data } = useLoad(async () => text(await call("INFO", "commandstats")), []);
  const rows = (data ?? "")
    .split("\n")
    .map((line) => /^cmdstat_(eval|evalsha|eval_ro|evalsha_ro|fcall|fcall_ro):calls=(\d+),usec=\d+,usec_per_call=([\d.]+)/.exec(line))
    .filter((found) => found !== null);
  if (rows.length === 0) return null;
  return <p class="dim">{rows.map((row) => `${row[1]} ${row[2]} calls, ${micros(Number(row[3]))} each`).join(" · ")}</p>;
}

