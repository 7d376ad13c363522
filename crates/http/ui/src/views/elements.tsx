// The elements of a collection, a page at a time, and changes to them, as far as the user may make them.

import { useEffect, useState } from "preact/hooks";
import { type Command, call, chain } from "../api";
import { type Bytes, type Reply, bytes, errorOf, field, ident, list, number, orThrow, pairs, shown, text } from "../reply";
import { Problem, attempt, count, useLoad, useMay } from "../ui";
import { AddLine, Element, Line, Pager, type Part, Rows, useSteps } from "./pieces";

/** Elements on one page. */
const PAGE = 100;

/** Bytes of an element that are shown before it is cut. */
const CUT = 4096;

/** Something made of the replies to several commands, anew when one of `inputs` changes. After a change `after` loads it again. */
function useElements<T>(part: Part, commands: () => Command[], made: (replies: Reply[]) => T, inputs: unknown[]) {
  const loaded = useLoad(async () => made(await chain(commands(), { limit: CUT })), inputs);
  const after = () => {
    loaded.reload();
    part.changed();
  };
  const make = async (command: Command, done: string) => {
    if (await attempt(() => call(...command), done)) after();
  };
  return { ...loaded, after, make };
}

/** A length, and elements that begin at a place. */
const counted = ([length, part]: Reply[]) => ({ length: number(orThrow(length ?? 0)), part: list(orThrow(part ?? [])) });

export function ListValue(part: Part) {
  const { name } = part;
  const [from, setFrom] = useState(0);
  const [maySet, mayPush] = useMay(["LSET", name, 0, ""], ["RPUSH", name, ""]);
  const commands = (): Command[] => [
    ["LLEN", name],
    ["LRANGE", name, from, from + PAGE - 1],
  ];
  const { data, error, after, make } = useElements(part, commands, counted, [from]);
  if (!data) return <Problem text={error} />;
  return (
    <>
      <p class="dim">{count(data.length)} elements</p>
      <Rows
        label="Elements"
        after={after}
        rows={data.part.map((element, i) => ({
          id: from + i,
          what: `element ${from + i}`,
          head: from + i,
          cell: <Element reply={element} />,
          edit:
            maySet && typeof element === "string"
              ? { label: `Element ${from + i}`, text: element, command: (text) => ["LSET", name, from + i, text] }
              : undefined,
        }))}
      />
      {data.length > PAGE && <Pager at={from} step={PAGE} total={data.length} go={setFrom} />}
      {mayPush && (
        <AddLine
          inputs={[{ label: "New element", hint: "New element" }]}
          buttons={["Add in front", "Add at the end"]}
          done={([text = ""], button) => void make([button === 0 ? "LPUSH" : "RPUSH", name, text], "Added.")}
        />
      )}
    </>
  );
}

/** Elements of a hash or a set by HSCAN or SSCAN, page by page, with a field for what they have to match. */
function useScan(part: Part, command: "HSCAN" | "SSCAN", sizeOf: "HLEN" | "SCARD") {
  const { name } = part;
  const [match, setMatch] = useState("");
  const { at, buttons, restart } = useSteps("0");
  useEffect(restart, [match]);
  const commands = (): Command[] => {
    const scan: Command = [command, name, at, "COUNT", PAGE];
    if (match) scan.push("MATCH", /[*?[]/.test(match) ? match : `*${match}*`);
    return [[sizeOf, name], scan];
  };
  const made = ([length, reply]: Reply[]) => {
    const [next, part] = list(orThrow(reply ?? []));
    return { length: number(orThrow(length ?? 0)), next: text(next ?? "0"), part: part ?? [] };
  };
  const loaded = useElements(part, commands, made, [at, match]);
  const search = (
    <input
      type="search"
      aria-label="Only what matches"
      placeholder="Only what matches"
      value={match}
      onChange={(event) => setMatch(event.currentTarget.value)}
    />
  );
  const next = loaded.data && loaded.data.next !== "0" ? loaded.data.next : null;
  return { ...loaded, search, pager: buttons(next) };
}

export function HashValue(part: Part) {
  const { name } = part;
  const [maySet, mayDelete] = useMay(["HSET", name, "", ""], ["HDEL", name, ""]);
  const { data, error, after, make, search, pager } = useScan(part, "HSCAN", "HLEN");
  if (!data) return <Problem text={error} />;
  return (
    <>
      <p class="dim">{count(data.length)} fields</p>
      {search}
      <Rows
        label="Fields"
        heads={["field", "value"]}
        after={after}
        rows={pairs(data.part).map(([key, value]) => {
          const field = bytes(key);
          return {
            id: ident(field),
            what: shown(field),
            head: <Element reply={key} />,
            cell: <Element reply={value} />,
            edit:
              maySet && typeof value === "string"
                ? { label: `Value of ${shown(field)}`, text: value, command: (text) => ["HSET", name, field, text] }
                : undefined,
            remove: mayDelete ? { question: "Remove this field?", command: ["HDEL", name, field] } : undefined,
          };
        })}
      />
      {pager}
      {maySet && (
        <AddLine
          inputs={[
            { label: "Field", hint: "Field" },
            { label: "Its value", hint: "Value" },
          ]}
          buttons={["Set"]}
          done={([field = "", value = ""]) => void make(["HSET", name, field, value], "Set.")}
        />
      )}
    </>
  );
}

export function SetValue(part: Part) {
  const { name } = part;
  const [mayAdd, mayRemove] = useMay(["SADD", name, ""], ["SREM", name, ""]);
  const { data, error, after, make, search, pager } = useScan(part, "SSCAN", "SCARD");
  if (!data) return <Problem text={error} />;
  return (
    <>
      <p class="dim">{count(data.length)} members</p>
      {search}
      <Rows
        label="Members"
        after={after}
        rows={list(data.part).map((member) => ({
          id: ident(bytes(member)),
          what: shown(bytes(member)),
          cell: <Element reply={member} />,
          remove: mayRemove ? { question: "Remove this member?", command: ["SREM", name, bytes(member)] } : undefined,
        }))}
      />
      {pager}
      {mayAdd && (
        <AddLine
          inputs={[{ label: "New member", hint: "New member" }]}
          buttons={["Add"]}
          done={([member = ""]) => void make(["SADD", name, member], "Added.")}
        />
      )}
    </>
  );
}

export function SortedSetValue(part: Part) {
  const { name } = part;
  const [from, setFrom] = useState(0);
  const [down, setDown] = useState(false);
  const [adding, setAdding] = useState(["", ""]);
  const [mayAdd, mayRemove] = useMay(["ZADD", name, 0, ""], ["ZREM", name, ""]);
  const commands = (): Command[] => [
    ["ZCARD", name],
    ["ZRANGE", name, from, from + PAGE - 1, ...(down ? ["REV"] : []), "WITHSCORES"],
  ];
  const { data, error, after, make } = useElements(part, commands, counted, [from, down]);
  if (!data) return <Problem text={error} />;
  return (
    <>
      <p class="dim">
        {count(data.length)} members,{" "}
        <button type="button" class="plain link" onClick={() => (setDown(!down), setFrom(0))}>
          {down ? "highest score first" : "lowest score first"}
        </button>
      </p>
      <Rows
        label="Members by score"
        after={after}
        rows={data.part.map((pair, i) => {
          const [member = null, score = null] = list(pair);
          const named: Bytes = bytes(member);
          return {
            id: ident(named),
            what: shown(named),
            head: from + i,
            right: text(score),
            cell: <Element reply={member} />,
            pick: mayAdd && typeof member === "string" ? () => setAdding([text(score), member]) : undefined,
            remove: mayRemove ? { question: "Remove this member?", command: ["ZREM", name, named] } : undefined,
          };
        })}
      />
      {data.length > PAGE && <Pager at={from} step={PAGE} total={data.length} go={setFrom} />}
      {mayAdd && (
        <Line
          inputs={[
            { label: "Score", hint: "Score", decimal: true },
            { label: "Member", hint: "Member" },
          ]}
          values={adding}
          set={setAdding}
          buttons={["Set"]}
          done={([score, member = ""]) => {
            void make(["ZADD", name, score || "0", member], "Set.");
            setAdding(["", ""]);
          }}
        />
      )}
    </>
  );
}

export function StreamValue(part: Part) {
  const { name } = part;
  // From the newest back: that is what one looks at first.
  const { at, buttons } = useSteps("+");
  const [mayRemove] = useMay(["XDEL", name, "0-1"]);
  const commands = (): Command[] => [
    ["XLEN", name],
    ["XREVRANGE", name, at, "-", "COUNT", PAGE],
    ["XINFO", "GROUPS", name],
  ];
  const made = (replies: Reply[]) => {
    const groups = replies[2] ?? null;
    return { ...counted(replies), groups: errorOf(groups) ? [] : list(groups) };
  };
  const { data, error, after } = useElements(part, commands, made, [at]);
  if (!data) return <Problem text={error} />;
  const lastId = text(list(data.part[data.part.length - 1] ?? [])[0] ?? null);
  const facts = ["consumers", "pending", "last-delivered-id", "lag"];
  return (
    <>
      <p class="dim">{count(data.length)} entries, the newest first</p>
      {data.groups.length > 0 && (
        <div class="scroll">
          <table aria-label="Consumer groups">
            <thead>
              <tr>
                {["group", "consumers", "pending", "last delivered", "lag"].map((name) => (
                  <th key={name} scope="col">
                    {name}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {data.groups.map((group) => (
                <tr key={text(field(group, "name"))}>
                  <th scope="row">{shown(bytes(field(group, "name")))}</th>
                  {facts.map((name) => (
                    <td key={name}>{text(field(group, name)) || "–"}</td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      <Rows
        label="Entries"
        after={after}
        rows={data.part.map((entry) => {
          const [id = null, fields = null] = list(entry);
          return {
            id: text(id),
            what: text(id),
            head: text(id),
            cell: pairs(fields).map(([key, value], i) => (
              <div key={i} class="pair">
                <b>{shown(bytes(key))}</b> <Element reply={value} />
              </div>
            )),
            remove: mayRemove
              ? { question: "Delete this entry?", yes: "Delete", command: ["XDEL", name, text(id)] }
              : undefined,
          };
        })}
      />
      {buttons(data.part.length < PAGE ? null : "(" + lastId, "Newer", "Older")}
    </>
  );
}
