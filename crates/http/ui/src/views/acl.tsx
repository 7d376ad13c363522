// Users: who there is, what each may do, and what was refused.

import { useState } from "preact/hooks";
import { call, run } from "../api";
import { errorOf, field, list, number, text, words } from "../reply";
import { Panel, Problem, Table, attempt, confirm, span, useLoad, useMay } from "../ui";

export function Acl() {
  return (
    <>
      <DryRun />
      <Users />
      <Log />
    </>
  );
}

function DryRun() {
  const { data: users } = useLoad(async () => list(await call("ACL", "USERS")).map(text), []);
  const { data: me } = useLoad(async () => text(await call("ACL", "WHOAMI")), []);
  const [user, setUser] = useState<string | null>(null);
  const [line, setLine] = useState("GET key");
  const [answer, setAnswer] = useState<{ ok: boolean; text: string } | null>(null);
  const chosen = user ?? me ?? "default";
  const ask = async (event: Event) => {
    event.preventDefault();
    const args = words(line);
    if (!args || args.length === 0) return setAnswer({ ok: false, text: "A quote is open, or nothing is typed." });
    try {
      const { reply } = await run(["ACL", "DRYRUN", chosen, ...args]);
      const error = errorOf(reply);
      const said = error ?? text(reply);
      setAnswer({ ok: said === "OK", text: said === "OK" ? `${chosen} may do that.` : said });
    } catch (why) {
      setAnswer({ ok: false, text: (why as Error).message });
    }
  };
  return (
    <Panel title="What may this user do?">
      <form class="line" onSubmit={ask}>
        <select aria-label="User" value={chosen} onChange={(event) => setUser(event.currentTarget.value)}>
          {(users ?? [chosen]).map((name) => (
            <option key={name}>{name}</option>
          ))}
        </select>
        <input aria-label="Command" value={line} spellcheck={false} onInput={(event) => setLine(event.currentTarget.value)} />
        <button class="primary">Try</button>
      </form>
      {answer && (
        <p role="status" class={answer.ok ? "good" : "bad"}>
          {answer.text}
        </p>
      )}
      <p class="dim">Nothing is run, and nothing is changed.</p>
    </Panel>
  );
}

function Users() {
  const { data, error, reload } = useLoad(async () => list(await call("ACL", "LIST")).map(text), []);
  const [maySet, mayDelete] = useMay(["ACL", "SETUSER", "x"], ["ACL", "DELUSER", "x"]);
  const [rules, setRules] = useState("");
  const set = async (event: Event) => {
    event.preventDefault();
    const args = words(rules);
    if (!args || args.length === 0) return;
    const yes = await confirm("Change this user?", <code class="wrap">ACL SETUSER {rules.replace(/(^|\s)[>#]\S+/g, "$1>…")}</code>, "Change", false);
    if (yes && (await attempt(() => call("ACL", "SETUSER", ...args), "Changed."))) {
      setRules("");
      reload();
    }
  };
  const remove = async (name: string) => {
    if (await confirm("Delete this user?", <p><code>{name}</code>: its connections are closed.</p>, "Delete"))
      if (await attempt(() => call("ACL", "DELUSER", name), "Deleted.")) reload();
  };
  const rows = (data ?? []).map((line) => {
    const [, name = "", ...rest] = line.split(" ");
    return { name, rules: rest.map((rule) => (/^[#>]/.test(rule) ? rule.slice(0, 8) + "…" : rule)).join(" ") };
  });
  return (
    <Panel title="Users">
      <Problem text={error} />
      <Table
        label="Users"
        rows={rows}
        id={(row) => row.name}
        columns={[
          { name: "user", cell: (row) => <b>{row.name}</b>, by: (row) => row.name },
          { name: "rules", cell: (row) => <code class="wrap">{row.rules}</code> },
          {
            name: "",
            cell: (row) =>
              mayDelete &&
              row.name !== "default" && (
                <button type="button" class="plain" aria-label={`Delete user ${row.name}`} onClick={() => remove(row.name)}>
                  ✕
                </button>
              ),
          },
        ]}
      />
      {maySet && (
        <form class="line" onSubmit={set}>
          <input aria-label="User and rules" placeholder="name and rules: reader on >password ~* +@read" value={rules} spellcheck={false} autocomplete="off" onInput={(event) => setRules(event.currentTarget.value)} />
          <button>Set</button>
        </form>
      )}
    </Panel>
  );
}

function Log() {
  const { data, error } = useLoad(async () => list(await call("ACL", "LOG", 100)), [], 5000);
  const rows = (data ?? []).map((entry) => ({
    id: text(field(entry, "entry-id")),
    user: text(field(entry, "username")),
    reason: text(field(entry, "reason")),
    object: text(field(entry, "object")),
    context: text(field(entry, "context")),
    count: number(field(entry, "count")),
    age: number(field(entry, "age-seconds")),
    client: /(?:^| )addr=(\S+)/.exec(text(field(entry, "client-info")))?.[1] ?? "",
  }));
  return (
    <Panel title="Refused">
      <Problem text={error} />
      <Table
        label="Refusals"
        rows={rows}
        id={(row) => row.id}
        empty="Nothing has been refused."
        columns={[
          { name: "ago", cell: (row) => span(row.age), by: (row) => row.age },
          { name: "user", cell: (row) => row.user, by: (row) => row.user },
          { name: "because of", cell: (row) => row.reason },
          { name: "what", cell: (row) => <code class="wrap">{row.object}</code> },
          { name: "in", cell: (row) => row.context },
          { name: "times", cell: (row) => row.count, by: (row) => row.count, right: true },
          { name: "client", cell: (row) => row.client },
        ]}
      />
    </Panel>
  );
}
