// One key: what it is, its value a page at a time, and changes to both, as far as the user may make them.

import { useState } from "preact/hooks";
import { call, chain } from "../api";
import { type Bytes, bytes, errorOf, ident, number, orThrow, raw, shown, text } from "../reply";
import { Problem, attempt, confirm, count, size, span, useLoad, useMay } from "../ui";
import { HashValue, ListValue, SetValue, SortedSetValue, StreamValue } from "./elements";
import { Decoded, Line, Pager, type Part } from "./pieces";

/** Bytes of a string on one page. */
const BYTES = 65536;

interface About {
  type: string;
  ttl: number;
  encoding: string;
  memory: number | null;
}

export function Value(props: { name: Bytes; close: () => void; gone: (renamed: Bytes | null) => void }) {
  const { name } = props;
  const about = useLoad(async (): Promise<About> => {
    const [type, ttl, encoding, memory] = await chain([
      ["TYPE", name],
      ["PTTL", name],
      ["OBJECT", "ENCODING", name],
      ["MEMORY", "USAGE", name],
    ]);
    return {
      type: text(orThrow(type ?? null)),
      ttl: number(ttl ?? -1),
      encoding: errorOf(encoding ?? null) ? "" : text(encoding ?? null),
      memory: typeof memory === "number" ? memory : null,
    };
  }, [ident(name)]);
  const [mayDelete, mayExpire, mayPersist, mayRename] = useMay(
    ["UNLINK", name],
    ["PEXPIRE", name, 1],
    ["PERSIST", name],
    ["RENAMENX", name, name],
  );
  const [renaming, setRenaming] = useState<string | null>(null);
  const [expiring, setExpiring] = useState<string | null>(null);
  const remove = async () => {
    const yes = await confirm("Delete this key?", <code class="wrap">{shown(name)}</code>, "Delete");
    if (yes && (await attempt(() => call("UNLINK", name), "Deleted."))) props.gone(null);
  };
  const rename = async ([to = ""]: string[]) => {
    const ok = await attempt(async () => {
      if (number(await call("RENAMENX", name, to)) === 0) throw new Error("There is a key of that name already.");
    }, "Renamed.");
    if (ok) props.gone(to);
  };
  const expire = async ([typed = ""]: string[]) => {
    const seconds = Number(typed);
    const ok = await attempt(async () => {
      if (typed === "") return call("PERSIST", name);
      if (!(seconds > 0)) throw new Error("Seconds from now, or nothing for never.");
      if (number(await call("PEXPIRE", name, Math.round(seconds * 1000))) === 0) throw new Error("The key is gone.");
      return null;
    }, "Changed.");
    if (ok) {
      setExpiring(null);
      about.reload();
    }
  };
  const data = about.data;
  return (
    <section class="panel value" aria-label={`Key ${shown(name)}`}>
      <header>
        <h2 class="wrap">
          <code>{shown(name)}</code>
        </h2>
        <div class="tools">
          <button type="button" onClick={about.reload} aria-label="Reload the key">
            ↻
          </button>
          <button type="button" onClick={props.close} aria-label="Close">
            ✕
          </button>
        </div>
      </header>
      <Problem text={about.error} />
      {data && data.type === "none" && <p>There is no such key (any more).</p>}
      {data && data.type !== "none" && (
        <>
          <dl class="facts">
            <div>
              <dt>type</dt>
              <dd>{data.type}</dd>
            </div>
            <div>
              <dt>encoding</dt>
              <dd>{data.encoding || "–"}</dd>
            </div>
            <div>
              <dt>memory</dt>
              <dd>{size(data.memory)}</dd>
            </div>
            <div>
              <dt>expires</dt>
              <dd>{data.ttl >= 0 ? `in ${span(data.ttl / 1000)}` : "never"}</dd>
            </div>
          </dl>
          {(mayDelete || mayExpire || mayRename) && (
            <div class="buttons left">
              {mayRename && (
                <button type="button" onClick={() => setRenaming(renaming === null ? (typeof name === "string" ? name : "") : null)}>
                  Rename
                </button>
              )}
              {mayExpire && mayPersist && (
                <button
                  type="button"
                  onClick={() => setExpiring(expiring === null ? (data.ttl >= 0 ? String(data.ttl / 1000) : "") : null)}
                >
                  Expire
                </button>
              )}
              {mayDelete && (
                <button type="button" class="danger" onClick={remove}>
                  Delete
                </button>
              )}
            </div>
          )}
          {renaming !== null && (
            <Line
              inputs={[{ label: "New name" }]}
              values={[renaming]}
              set={([text = ""]) => setRenaming(text)}
              buttons={["Rename"]}
              primary
              done={rename}
            />
          )}
          {expiring !== null && (
            <Line
              inputs={[{ label: "Seconds until it expires", hint: "Seconds; nothing for never", decimal: true }]}
              values={[expiring]}
              set={([text = ""]) => setExpiring(text)}
              buttons={["Set"]}
              primary
              done={expire}
            />
          )}
          <Content name={name} type={data.type} changed={about.reload} />
        </>
      )}
    </section>
  );
}

function Content(props: Part & { type: string }) {
  switch (props.type) {
    case "string":
      return <StringValue {...props} />;
    case "list":
      return <ListValue {...props} />;
    case "hash":
      return <HashValue {...props} />;
    case "set":
      return <SetValue {...props} />;
    case "zset":
      return <SortedSetValue {...props} />;
    case "stream":
      return <StreamValue {...props} />;
    default:
      return <p class="dim">Values of the type {props.type} are not shown here; the command line shows them.</p>;
  }
}

function StringValue({ name, changed }: Part) {
  const [from, setFrom] = useState(0);
  // What is typed, and what was there when that began: what is loaded meanwhile is not what one has seen.
  const [editing, setEditing] = useState<{ text: string; seen: string } | null>(null);
  const [mayEdit] = useMay(["SET", name, "", "KEEPTTL"]);
  const { data, error, reload } = useLoad(async () => {
    const [length, part] = await chain(
      [
        ["STRLEN", name],
        ["GETRANGE", name, from, from + BYTES - 1],
      ],
      { limit: BYTES },
    );
    return { length: number(orThrow(length ?? 0)), part: raw(bytes(orThrow(part ?? ""))), reply: part ?? "" };
  }, [from]);
  if (!data) return <Problem text={error} />;
  const isWhole = from === 0 && data.length <= BYTES;
  const isText = typeof data.reply === "string";
  const save = async (event: Event) => {
    event.preventDefault();
    if (editing === null) return;
    const { text, seen } = editing;
    const ok = await attempt(async () => {
      // Only if it is still what was shown: somebody else may have been faster.
      const [reply] = await chain([["SET", name, text, "KEEPTTL", "IFEQ", seen]]);
      if (orThrow(reply ?? null) === null)
        throw new Error("It has changed meanwhile. Reload it, and look again.");
    }, "Saved.");
    if (ok) {
      setEditing(null);
      reload();
      changed();
    }
  };
  if (editing !== null)
    return (
      <form onSubmit={save}>
        <textarea
          aria-label="Value"
          rows={16}
          spellcheck={false}
          value={editing.text}
          onInput={(event) => setEditing({ ...editing, text: event.currentTarget.value })}
        />
        <div class="buttons">
          <button type="button" onClick={() => setEditing(null)}>
            Cancel
          </button>
          <button class="primary">Save</button>
        </div>
      </form>
    );
  return (
    <>
      <Problem text={error} />
      <p class="dim">
        {size(data.length)}
        {!isWhole && ` · bytes ${count(from)} to ${count(Math.min(data.length, from + BYTES))}`}
      </p>
      <Decoded data={data.part} from={from} />
      <div class="buttons left">
        {!isWhole && <Pager at={from} step={BYTES} total={data.length} go={setFrom} />}
        {isWhole && isText && mayEdit && (
          <button type="button" onClick={() => setEditing({ text: data.reply as string, seen: data.reply as string })}>
            Edit
          </button>
        )}
        {!isText && mayEdit && isWhole && <span class="dim">Bytes that are no text are not edited here.</span>}
      </div>
    </>
  );
}
