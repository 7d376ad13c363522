// One key: what it is, its value a page at a time, and changes to both, as far as the user may make them.

import { useEffect, useState } from "preact/hooks";
import { type Command, call, chain } from "../api";
import { type Form, forms, hex, json, msgpack } from "../decode";
import { type Bytes, type Reply, bytes, errorOf, extent, field, ident, list, number, orThrow, pairs, raw, shown, text } from "../reply";
import { Problem, attempt, confirm, count, size, span, useLoad, useMay } from "../ui";

/** Elements, and bytes of a string, on one page. */
const PAGE = 100;
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
  const rename = async (event: Event) => {
    event.preventDefault();
    const to = renaming ?? "";
    const ok = await attempt(async () => {
      if (number(await call("RENAMENX", name, to)) === 0) throw new Error("There is a key of that name already.");
    }, "Renamed.");
    if (ok) props.gone(to);
  };
  const expire = async (event: Event) => {
    event.preventDefault();
    const seconds = Number(expiring);
    const ok = await attempt(async () => {
      if (expiring === "") return call("PERSIST", name);
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
            <form class="line" onSubmit={rename}>
              <input aria-label="New name" value={renaming} onInput={(event) => setRenaming(event.currentTarget.value)} />
              <button class="primary">Rename</button>
            </form>
          )}
          {expiring !== null && (
            <form class="line" onSubmit={expire}>
              <input
                aria-label="Seconds until it expires"
                placeholder="Seconds; nothing for never"
                inputMode="decimal"
                value={expiring}
                onInput={(event) => setExpiring(event.currentTarget.value)}
              />
              <button class="primary">Set</button>
            </form>
          )}
          <Content name={name} type={data.type} changed={about.reload} />
        </>
      )}
    </section>
  );
}

interface Part {
  name: Bytes;
  changed: () => void;
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

/** Bytes in one of the forms that fit. */
export function Decoded({ data, from = 0 }: { data: Uint8Array; from?: number }) {
  const fit = forms(data);
  const [chosen, setChosen] = useState<Form | null>(null);
  const form = chosen !== null && fit.includes(chosen) ? chosen : fit[0]!;
  const shape = {
    text: () => new TextDecoder().decode(data),
    json: () => json(data) ?? "",
    msgpack: () => msgpack(data) ?? "",
    hex: () => hex(data, from),
  }[form]();
  return (
    <>
      <div class="segmented" role="group" aria-label="Shown as">
        {fit.map((name) => (
          <button type="button" key={name} aria-pressed={name === form} onClick={() => setChosen(name)}>
            {{ text: "Text", json: "JSON", msgpack: "MessagePack", hex: "Hex" }[name]}
          </button>
        ))}
      </div>
      <pre class="content" tabIndex={0}>
        {shape}
      </pre>
    </>
  );
}

function StringValue({ name, changed }: Part) {
  const [from, setFrom] = useState(0);
  const [editing, setEditing] = useState<string | null>(null);
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
    const text = editing ?? "";
    const ok = await attempt(async () => {
      // Only if it is still what was shown: somebody else may have been faster.
      const [reply] = await chain([["SET", name, text, "KEEPTTL", "IFEQ", bytes(data.reply)]]);
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
          value={editing}
          onInput={(event) => setEditing(event.currentTarget.value)}
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
          <button type="button" onClick={() => setEditing(data.reply as string)}>
            Edit
          </button>
        )}
        {!isText && mayEdit && isWhole && <span class="dim">Bytes that are no text are not edited here.</span>}
      </div>
    </>
  );
}

function Pager(props: { at: number; step: number; total: number; go: (at: number) => void }) {
  const { at, step, total, go } = props;
  const lastPage = Math.max(0, Math.floor((total - 1) / step) * step);
  return (
    <span class="pager">
      <button type="button" disabled={at === 0} onClick={() => go(0)} aria-label="First page">
        ⏮
      </button>
      <button type="button" disabled={at === 0} onClick={() => go(Math.max(0, at - step))} aria-label="Previous page">
        ◀
      </button>
      <button type="button" disabled={at >= lastPage} onClick={() => go(at + step)} aria-label="Next page">
        ▶
      </button>
      <button type="button" disabled={at >= lastPage} onClick={() => go(lastPage)} aria-label="Last page">
        ⏭
      </button>
    </span>
  );
}

/** One element of a collection, cut if it is long; the whole of it on demand. */
function Element({ reply }: { reply: Reply }) {
  const [open, setOpen] = useState(false);
  const value = bytes(reply);
  const line = shown(value);
  const { length, cut } = extent(reply);
  if (line.length <= 120 && !cut && typeof value === "string" && !/^[[{]/.test(value)) return <code class="wrap">{line}</code>;
  return (
    <div>
      <button type="button" class="plain wrap" aria-expanded={open} onClick={() => setOpen(!open)}>
        <code>{line.slice(0, 120)}</code>
        {line.length > 120 || cut ? "…" : ""} <span class="dim">{size(length)}</span>
      </button>
      {open && <Decoded data={raw(value)} />}
    </div>
  );
}

/** Changes the user may make are made here, and what comes of them is said. */
async function change(command: Command, done: string, after: () => void): Promise<void> {
  if (await attempt(() => call(...command), done)) after();
}

function RowButtons(props: { remove?: (() => void) | undefined; edit?: (() => void) | undefined; what: string }) {
  return (
    <span class="row-buttons">
      {props.edit && (
        <button type="button" class="plain" onClick={props.edit} aria-label={`Edit ${props.what}`}>
          ✎
        </button>
      )}
      {props.remove && (
        <button type="button" class="plain" onClick={props.remove} aria-label={`Remove ${props.what}`}>
          ✕
        </button>
      )}
    </span>
  );
}

function ListValue({ name, changed }: Part) {
  const [from, setFrom] = useState(0);
  const [adding, setAdding] = useState("");
  const [editing, setEditing] = useState<{ index: number; text: string } | null>(null);
  const [maySet, mayPush] = useMay(["LSET", name, 0, ""], ["RPUSH", name, ""]);
  const { data, error, reload } = useLoad(async () => {
    const [length, part] = await chain(
      [
        ["LLEN", name],
        ["LRANGE", name, from, from + PAGE - 1],
      ],
      { limit: 4096 },
    );
    return { length: number(orThrow(length ?? 0)), part: list(orThrow(part ?? [])) };
  }, [from]);
  if (!data) return <Problem text={error} />;
  const after = () => {
    reload();
    changed();
  };
  return (
    <>
      <p class="dim">{count(data.length)} elements</p>
      <div class="scroll">
        <table aria-label="Elements">
          <tbody>
            {data.part.map((element, i) => (
              <tr key={from + i}>
                <th scope="row">{from + i}</th>
                <td>
                  {editing?.index === from + i ? (
                    <form
                      class="line"
                      onSubmit={(event) => {
                        event.preventDefault();
                        setEditing(null);
                        void change(["LSET", name, from + i, editing.text], "Changed.", after);
                      }}
                    >
                      <input
                        aria-label={`Element ${from + i}`}
                        value={editing.text}
                        onInput={(event) => setEditing({ index: from + i, text: event.currentTarget.value })}
                      />
                      <button class="primary">Set</button>
                    </form>
                  ) : (
                    <Element reply={element} />
                  )}
                </td>
                <td>
                  <RowButtons
                    what={`element ${from + i}`}
                    edit={
                      maySet && typeof element === "string"
                        ? () => setEditing({ index: from + i, text: element })
                        : undefined
                    }
                  />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {data.length > PAGE && <Pager at={from} step={PAGE} total={data.length} go={setFrom} />}
      {mayPush && (
        <form
          class="line"
          onSubmit={(event) => {
            event.preventDefault();
            const left = (event as SubmitEvent).submitter?.getAttribute("value") === "left";
            void change([left ? "LPUSH" : "RPUSH", name, adding], "Added.", after);
            setAdding("");
          }}
        >
          <input aria-label="New element" placeholder="New element" value={adding} onInput={(event) => setAdding(event.currentTarget.value)} />
          <button value="left">Add in front</button>
          <button value="right">Add at the end</button>
        </form>
      )}
    </>
  );
}

/** Elements of a hash or a set by HSCAN or SSCAN, page by page. */
function useScan(command: "HSCAN" | "SSCAN", sizeOf: "HLEN" | "SCARD", name: Bytes, match: string) {
  const [pages, setPages] = useState<string[]>(["0"]);
  useEffect(() => setPages(["0"]), [match]);
  const at = pages[pages.length - 1]!;
  const loaded = useLoad(async () => {
    const scan: Command = [command, name, at, "COUNT", PAGE];
    if (match) scan.push("MATCH", /[*?[]/.test(match) ? match : `*${match}*`);
    const [length, reply] = await chain([[sizeOf, name], scan], { limit: 4096 });
    const [next, part] = list(orThrow(reply ?? []));
    return { length: number(orThrow(length ?? 0)), next: text(next ?? "0"), part: part ?? [] };
  }, [at, match]);
  const pager = (
    <span class="pager">
      <button type="button" disabled={pages.length < 2} onClick={() => setPages(pages.slice(0, -1))} aria-label="Previous page">
        ◀
      </button>
      <button
        type="button"
        disabled={!loaded.data || loaded.data.next === "0"}
        onClick={() => setPages([...pages, loaded.data!.next])}
        aria-label="Next page"
      >
        ▶
      </button>
    </span>
  );
  return { ...loaded, pager };
}

function Match({ value, set }: { value: string; set: (value: string) => void }) {
  return (
    <input
      type="search"
      aria-label="Only what matches"
      placeholder="Only what matches"
      value={value}
      onChange={(event) => set(event.currentTarget.value)}
    />
  );
}

function HashValue({ name, changed }: Part) {
  const [match, setMatch] = useState("");
  const [editing, setEditing] = useState<{ field: string; text: string } | null>(null);
  const [adding, setAdding] = useState({ field: "", value: "" });
  const [maySet, mayDelete] = useMay(["HSET", name, "", ""], ["HDEL", name, ""]);
  const { data, error, reload, pager } = useScan("HSCAN", "HLEN", name, match);
  if (!data) return <Problem text={error} />;
  const after = () => {
    reload();
    changed();
  };
  return (
    <>
      <p class="dim">{count(data.length)} fields</p>
      <Match value={match} set={setMatch} />
      <div class="scroll">
        <table aria-label="Fields">
          <thead>
            <tr>
              <th scope="col">field</th>
              <th scope="col">value</th>
              <th />
            </tr>
          </thead>
          <tbody>
            {pairs(data.part).map(([key, value]) => {
              const id = ident(bytes(key));
              return (
                <tr key={id}>
                  <th scope="row">
                    <Element reply={key} />
                  </th>
                  <td>
                    {editing?.field === id ? (
                      <form
                        class="line"
                        onSubmit={(event) => {
                          event.preventDefault();
                          setEditing(null);
                          void change(["HSET", name, bytes(key), editing.text], "Changed.", after);
                        }}
                      >
                        <input
                          aria-label={`Value of ${shown(bytes(key))}`}
                          value={editing.text}
                          onInput={(event) => setEditing({ field: id, text: event.currentTarget.value })}
                        />
                        <button class="primary">Set</button>
                      </form>
                    ) : (
                      <Element reply={value} />
                    )}
                  </td>
                  <td>
                    <RowButtons
                      what={shown(bytes(key))}
                      edit={maySet && typeof value === "string" ? () => setEditing({ field: id, text: value }) : undefined}
                      remove={
                        mayDelete
                          ? async () => {
                              if (await confirm("Remove this field?", <code>{shown(bytes(key))}</code>, "Remove"))
                                await change(["HDEL", name, bytes(key)], "Removed.", after);
                            }
                          : undefined
                      }
                    />
                  </td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
      {pager}
      {maySet && (
        <form
          class="line"
          onSubmit={(event) => {
            event.preventDefault();
            void change(["HSET", name, adding.field, adding.value], "Set.", after);
            setAdding({ field: "", value: "" });
          }}
        >
          <input aria-label="Field" placeholder="Field" value={adding.field} onInput={(event) => setAdding({ ...adding, field: event.currentTarget.value })} />
          <input aria-label="Its value" placeholder="Value" value={adding.value} onInput={(event) => setAdding({ ...adding, value: event.currentTarget.value })} />
          <button>Set</button>
        </form>
      )}
    </>
  );
}

function SetValue({ name, changed }: Part) {
  const [match, setMatch] = useState("");
  const [adding, setAdding] = useState("");
  const [mayAdd, mayRemove] = useMay(["SADD", name, ""], ["SREM", name, ""]);
  const { data, error, reload, pager } = useScan("SSCAN", "SCARD", name, match);
  if (!data) return <Problem text={error} />;
  const after = () => {
    reload();
    changed();
  };
  return (
    <>
      <p class="dim">{count(data.length)} members</p>
      <Match value={match} set={setMatch} />
      <div class="scroll">
        <table aria-label="Members">
          <tbody>
            {list(data.part).map((member) => (
              <tr key={ident(bytes(member))}>
                <td>
                  <Element reply={member} />
                </td>
                <td>
                  <RowButtons
                    what={shown(bytes(member))}
                    remove={
                      mayRemove
                        ? async () => {
                            if (await confirm("Remove this member?", <code>{shown(bytes(member))}</code>, "Remove"))
                              await change(["SREM", name, bytes(member)], "Removed.", after);
                          }
                        : undefined
                    }
                  />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {pager}
      {mayAdd && (
        <form
          class="line"
          onSubmit={(event) => {
            event.preventDefault();
            void change(["SADD", name, adding], "Added.", after);
            setAdding("");
          }}
        >
          <input aria-label="New member" placeholder="New member" value={adding} onInput={(event) => setAdding(event.currentTarget.value)} />
          <button>Add</button>
        </form>
      )}
    </>
  );
}

function SortedSetValue({ name, changed }: Part) {
  const [from, setFrom] = useState(0);
  const [down, setDown] = useState(false);
  const [adding, setAdding] = useState({ score: "", member: "" });
  const [mayAdd, mayRemove] = useMay(["ZADD", name, 0, ""], ["ZREM", name, ""]);
  const { data, error, reload } = useLoad(async () => {
    const range: Command = ["ZRANGE", name, from, from + PAGE - 1];
    if (down) range.push("REV");
    range.push("WITHSCORES");
    const [length, part] = await chain([["ZCARD", name], range], { limit: 4096 });
    return { length: number(orThrow(length ?? 0)), part: list(orThrow(part ?? [])) };
  }, [from, down]);
  if (!data) return <Problem text={error} />;
  const after = () => {
    reload();
    changed();
  };
  return (
    <>
      <p class="dim">
        {count(data.length)} members,{" "}
        <button type="button" class="plain link" onClick={() => (setDown(!down), setFrom(0))}>
          {down ? "highest score first" : "lowest score first"}
        </button>
      </p>
      <div class="scroll">
        <table aria-label="Members by score">
          <tbody>
            {data.part.map((pair, i) => {
              const [member = null, score = null] = list(pair);
              return (
                <tr key={ident(bytes(member))}>
                  <th scope="row">{from + i}</th>
                  <td class="right">{text(score)}</td>
                  <td>
                    <Element reply={member} />
                  </td>
                  <td>
                    <RowButtons
                      what={shown(bytes(member))}
                      edit={
                        mayAdd && typeof member === "string" ? () => setAdding({ score: text(score), member }) : undefined
                      }
                      remove={
                        mayRemove
                          ? async () => {
                              if (await confirm("Remove this member?", <code>{shown(bytes(member))}</code>, "Remove"))
                                await change(["ZREM", name, bytes(member)], "Removed.", after);
                            }
                          : undefined
                      }
                    />
                  </td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
      {data.length > PAGE && <Pager at={from} step={PAGE} total={data.length} go={setFrom} />}
      {mayAdd && (
        <form
          class="line"
          onSubmit={(event) => {
            event.preventDefault();
            void change(["ZADD", name, adding.score || "0", adding.member], "Set.", after);
            setAdding({ score: "", member: "" });
          }}
        >
          <input aria-label="Score" placeholder="Score" inputMode="decimal" value={adding.score} onInput={(event) => setAdding({ ...adding, score: event.currentTarget.value })} />
          <input aria-label="Member" placeholder="Member" value={adding.member} onInput={(event) => setAdding({ ...adding, member: event.currentTarget.value })} />
          <button>Set</button>
        </form>
      )}
    </>
  );
}

function StreamValue({ name, changed }: Part) {
  // From the newest back: that is what one looks at first.
  const [starts, setStarts] = useState<string[]>(["+"]);
  const at = starts[starts.length - 1]!;
  const [mayRemove] = useMay(["XDEL", name, "0-1"]);
  const { data, error, reload } = useLoad(async () => {
    const [length, part, groups] = await chain(
      [
        ["XLEN", name],
        ["XREVRANGE", name, at, "-", "COUNT", PAGE],
        ["XINFO", "GROUPS", name],
      ],
      { limit: 4096 },
    );
    return {
      length: number(orThrow(length ?? 0)),
      part: list(orThrow(part ?? [])),
      groups: errorOf(groups ?? null) ? [] : list(groups ?? []),
    };
  }, [at]);
  if (!data) return <Problem text={error} />;
  const lastId = text(list(data.part[data.part.length - 1] ?? [])[0] ?? null);
  return (
    <>
      <p class="dim">{count(data.length)} entries, the newest first</p>
      {data.groups.length > 0 && (
        <div class="scroll">
          <table aria-label="Consumer groups">
            <thead>
              <tr>
                <th scope="col">group</th>
                <th scope="col">consumers</th>
                <th scope="col">pending</th>
                <th scope="col">last delivered</th>
                <th scope="col">lag</th>
              </tr>
            </thead>
            <tbody>
              {data.groups.map((group) => (
                <tr key={text(field(group, "name"))}>
                  <th scope="row">{shown(bytes(field(group, "name")))}</th>
                  <td>{count(number(field(group, "consumers")))}</td>
                  <td>{count(number(field(group, "pending")))}</td>
                  <td>{text(field(group, "last-delivered-id"))}</td>
                  <td>{text(field(group, "lag")) || "–"}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      <div class="scroll">
        <table aria-label="Entries">
          <tbody>
            {data.part.map((entry) => {
              const [id = null, fields = null] = list(entry);
              return (
                <tr key={text(id)}>
                  <th scope="row">{text(id)}</th>
                  <td>
                    {pairs(fields).map(([key, value], i) => (
                      <div key={i} class="pair">
                        <b>{shown(bytes(key))}</b> <Element reply={value} />
                      </div>
                    ))}
                  </td>
                  <td>
                    <RowButtons
                      what={text(id)}
                      remove={
                        mayRemove
                          ? async () => {
                              if (await confirm("Delete this entry?", <code>{text(id)}</code>, "Delete"))
                                await change(["XDEL", name, text(id)], "Deleted.", () => (reload(), changed()));
                            }
                          : undefined
                      }
                    />
                  </td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
      <span class="pager">
        <button type="button" disabled={starts.length < 2} onClick={() => setStarts(starts.slice(0, -1))} aria-label="Newer">
          ◀
        </button>
        <button type="button" disabled={data.part.length < PAGE} onClick={() => setStarts([...starts, "(" + lastId])} aria-label="Older">
          ▶
        </button>
      </span>
    </>
  );
}
