// What values are shown and changed with: bytes in the forms that fit, pages, lines to type into, elements that are opened.

import { useState } from "preact/hooks";
import type { ComponentChildren } from "preact";
import { type Command, call } from "../api";
import { type Form, forms, hex, json, msgpack } from "../decode";
import { type Bytes, type Reply, bytes, extent, raw, shown } from "../reply";
import { attempt, confirm, size } from "../ui";

/** A value that is shown, and what is to be done when it was changed. */
export interface Part {
  name: Bytes;
  changed: () => void;
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

/** Pages of so many, of which one may go to any. */
export function Pager(props: { at: number; step: number; total: number; go: (at: number) => void }) {
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

/** Pages of which each says where the next one begins: the place that is shown, and the buttons. */
export function useSteps(first: string) {
  const [starts, setStarts] = useState([first]);
  const at = starts[starts.length - 1]!;
  const buttons = (next: string | null, back = "Previous page", on = "Next page") => (
    <span class="pager">
      <button type="button" disabled={starts.length < 2} onClick={() => setStarts(starts.slice(0, -1))} aria-label={back}>
        ◀
      </button>
      <button type="button" disabled={next === null} onClick={() => setStarts([...starts, next!])} aria-label={on}>
        ▶
      </button>
    </span>
  );
  return { at, buttons, restart: () => setStarts([first]) };
}

/** One element of a collection, cut if it is long; the whole of it on demand. */
export function Element({ reply }: { reply: Reply }) {
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

/** A line to type into: an input for each label, and buttons, of which `done` is told the number. */
export function Line(props: {
  inputs: { label: string; hint?: string; decimal?: boolean }[];
  values: string[];
  set: (values: string[]) => void;
  buttons: string[];
  primary?: boolean;
  done: (values: string[], button: number) => void;
}) {
  const { values } = props;
  return (
    <form
      class="line"
      onSubmit={(event) => {
        event.preventDefault();
        props.done(values, Number((event as SubmitEvent).submitter?.getAttribute("value") ?? 0));
      }}
    >
      {props.inputs.map(({ label, hint, decimal }, i) => (
        <input
          key={label}
          aria-label={label}
          placeholder={hint}
          inputMode={decimal ? "decimal" : undefined}
          value={values[i]}
          onInput={(event) => props.set(values.map((value, at) => (at === i ? event.currentTarget.value : value)))}
        />
      ))}
      {props.buttons.map((name, i) => (
        <button key={name} value={i} class={props.primary ? "primary" : ""}>
          {name}
        </button>
      ))}
    </form>
  );
}

/** A line that is emptied when what was typed is used. */
export function AddLine(props: {
  inputs: { label: string; hint?: string; decimal?: boolean }[];
  buttons: string[];
  done: (values: string[], button: number) => void;
}) {
  const none = props.inputs.map(() => "");
  const [values, setValues] = useState(none);
  const done = (values: string[], button: number) => {
    props.done(values, button);
    setValues(none);
  };
  return <Line {...props} values={values} set={setValues} done={done} />;
}

/** One element as a row. `edit` begins with a text and makes a command of another one. */
export interface Row {
  id: string | number;
  what: string;
  head?: ComponentChildren;
  right?: ComponentChildren;
  cell: ComponentChildren;
  edit?: { label: string; text: string; command: (text: string) => Command } | undefined;
  pick?: (() => void) | undefined;
  remove?: { question: string; yes?: string; command: Command } | undefined;
}

/** Elements, with what the user may do to each. `after`: something was changed. */
export function Rows(props: { label: string; heads?: string[]; rows: Row[]; after: () => void }) {
  const [editing, setEditing] = useState<{ id: string | number; text: string } | null>(null);
  const make = async (command: Command, done: string) => {
    if (await attempt(() => call(...command), done)) props.after();
  };
  const line = ({ id, edit, cell }: Row) =>
    edit && editing?.id === id ? (
      <Line
        inputs={[{ label: edit.label }]}
        values={[editing.text]}
        set={([text = ""]) => setEditing({ id, text })}
        buttons={["Set"]}
        primary
        done={([text = ""]) => {
          setEditing(null);
          void make(edit.command(text), "Changed.");
        }}
      />
    ) : (
      cell
    );
  return (
    <div class="scroll">
      <table aria-label={props.label}>
        {props.heads && (
          <thead>
            <tr>
              {props.heads.map((name) => (
                <th key={name} scope="col">
                  {name}
                </th>
              ))}
              <th />
            </tr>
          </thead>
        )}
        <tbody>
          {props.rows.map((row) => {
            const { id, what, edit, pick, remove } = row;
            return (
              <tr key={id}>
                {row.head !== undefined && (
                  <th scope="row" class={typeof row.head === "number" ? "number" : ""}>
                    {row.head}
                  </th>
                )}
                {row.right !== undefined && <td class="right">{row.right}</td>}
                <td>{line(row)}</td>
                <td>
                  <span class="row-buttons">
                    {(edit || pick) && (
                      <button
                        type="button"
                        class="plain"
                        onClick={() => (edit ? setEditing({ id, text: edit.text }) : pick?.())}
                        aria-label={`Edit ${what}`}
                      >
                        ✎
                      </button>
                    )}
                    {remove && (
                      <button
                        type="button"
                        class="plain"
                        onClick={async () => {
                          if (await confirm(remove.question, <code>{what}</code>, remove.yes ?? "Remove"))
                            await make(remove.command, "Removed.");
                        }}
                        aria-label={`Remove ${what}`}
                      >
                        ✕
                      </button>
                    )}
                  </span>
                </td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}
