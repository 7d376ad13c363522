// What all views are made of: loading, errors, dialogs, notices, numbers, lists of any length.

import type { ComponentChildren, RefObject } from "preact";
import { useCallback, useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { type Command, may } from "./api";

// ---- numbers

export function count(n: number | null | undefined): string {
  if (n === null || n === undefined) return "–";
  const size = Math.abs(n);
  if (size >= 1e9) return (n / 1e9).toFixed(2) + " G";
  if (size >= 1e6) return (n / 1e6).toFixed(2) + " M";
  if (size >= 1e4) return (n / 1e3).toFixed(1) + " k";
  return size < 10 && n % 1 !== 0 ? n.toFixed(1) : String(Math.round(n));
}

export function size(n: number | null | undefined): string {
  if (n === null || n === undefined) return "–";
  const units = ["B", "KB", "MB", "GB", "TB"];
  let at = 0;
  while (Math.abs(n) >= 1024 && at < units.length - 1) {
    n /= 1024;
    at++;
  }
  return `${at === 0 ? Math.round(n) : n.toFixed(n < 10 ? 2 : 1)} ${units[at]}`;
}

export function micros(n: number | null | undefined): string {
  if (n === null || n === undefined) return "–";
  if (n >= 1e6) return (n / 1e6).toFixed(2) + " s";
  if (n >= 1e3) return (n / 1e3).toFixed(1) + " ms";
  return (n < 10 && n % 1 !== 0 ? n.toFixed(1) : String(Math.round(n))) + " µs";
}

export function span(seconds: number): string {
  seconds = Math.round(seconds);
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86400)} d ${Math.floor((seconds % 86400) / 3600)} h`;
}

export function clock(unixSeconds: number): string {
  const date = new Date(unixSeconds * 1000);
  const two = (n: number) => String(n).padStart(2, "0");
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

// ---- loading

export interface Loaded<T> {
  data: T | null;
  error: string | null;
  busy: boolean;
  reload: () => void;
}

/** Calls `load` at first, when one of `inputs` changes, and every `every` milliseconds, if that is given. */
export function useLoad<T>(load: () => Promise<T>, inputs: readonly unknown[], every?: number): Loaded<T> {
  const [data, setData] = useState<T | null>(null);
  const [error, setError] = useState<string | null>(null);
  const [busy, setBusy] = useState(true);
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    let live = true;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const go = async () => {
      // What nobody looks at is not asked for.
      if (every !== undefined && document.hidden) {
        timer = setTimeout(go, every);
        return;
      }
      setBusy(true);
      try {
        const got = await load();
        if (!live) return;
        setData(got);
        setError(null);
      } catch (why) {
        if (!live) return;
        setError((why as Error).message);
      }
      setBusy(false);
      if (every !== undefined) timer = setTimeout(go, every);
    };
    void go();
    return () => {
      live = false;
      clearTimeout(timer);
    };
  }, [...inputs, turn, every]);
  const reload = useCallback(() => setTurn((turn) => turn + 1), []);
  return { data, error, busy, reload };
}

const allowed = new Map<string, boolean>();

/** Forgets what the user may do, when another one logs in. */
export function forgetPermissions(): void {
  allowed.clear();
}

/** Whether the user may run each of these commands. False until it is known. */
export function useMay(...commands: Command[]): boolean[] {
  const names = commands.map((command) => JSON.stringify(command));
  const [, setTurn] = useState(0);
  useEffect(() => {
    const unknown = commands.filter((_, i) => !allowed.has(names[i]!));
    if (unknown.length === 0) return;
    let live = true;
    may(unknown).then(
      (answers) => {
        // Values of keys that were looked at are not kept for ever.
        if (allowed.size > 5000) allowed.clear();
        unknown.forEach((command, i) => allowed.set(JSON.stringify(command), answers[i]!));
        if (live) setTurn((turn) => turn + 1);
      },
      () => {},
    );
    return () => {
      live = false;
    };
  }, [names.join("\n")]);
  return names.map((name) => allowed.get(name) ?? false);
}

// ---- notices

type Notice = { id: number; text: string; bad: boolean };
let notices: Notice[] = [];
let showNotices: (all: Notice[]) => void = () => {};
let nextNotice = 1;

/** Says something at the edge of the page for some seconds. */
export function say(text: string, bad = false): void {
  const notice = { id: nextNotice++, text, bad };
  notices = [...notices.slice(-3), notice];
  showNotices(notices);
  setTimeout(
    () => {
      notices = notices.filter((other) => other !== notice);
      showNotices(notices);
    },
    bad ? 10000 : 4000,
  );
}

/** Runs something and says what went wrong. True if nothing did. */
export async function attempt(work: () => Promise<unknown>, done?: string): Promise<boolean> {
  try {
    await work();
    if (done) say(done);
    return true;
  } catch (why) {
    say((why as Error).message, true);
    return false;
  }
}

export function Notices() {
  const [all, setAll] = useState<Notice[]>(notices);
  showNotices = setAll;
  return (
    <div class="notices" role="status" aria-live="polite">
      {all.map((notice) => (
        <div key={notice.id} class={notice.bad ? "notice bad" : "notice"}>
          {notice.text}
        </div>
      ))}
    </div>
  );
}

// ---- dialogs

interface Question {
  title: string;
  body: ComponentChildren;
  yes: string;
  danger: boolean;
  answer: (yes: boolean) => void;
}
let showQuestion: (question: Question | null) => void = () => {};

/** Asks before something is done. */
export function confirm(title: string, body: ComponentChildren, yes: string, danger = true): Promise<boolean> {
  return new Promise((answer) => showQuestion({ title, body, yes, danger, answer }));
}

export function Questions() {
  const [question, setQuestion] = useState<Question | null>(null);
  const dialog = useRef<HTMLDialogElement>(null);
  showQuestion = setQuestion;
  useEffect(() => {
    if (question) dialog.current?.showModal();
  }, [question]);
  if (!question) return null;
  const close = (yes: boolean) => {
    dialog.current?.close();
    setQuestion(null);
    question.answer(yes);
  };
  return (
    <dialog ref={dialog} aria-labelledby="question" onCancel={() => close(false)}>
      <h2 id="question">{question.title}</h2>
      <div class="dialog-body">{question.body}</div>
      <div class="buttons">
        <button type="button" autofocus onClick={() => close(false)}>
          Cancel
        </button>
        <button type="button" class={question.danger ? "danger" : "primary"} onClick={() => close(true)}>
          {question.yes}
        </button>
      </div>
    </dialog>
  );
}

// ---- pieces

export function Problem({ text }: { text: string | null }) {
  return text ? (
    <p class="problem" role="alert">
      {text}
    </p>
  ) : null;
}

export function Panel(props: {
  title: string;
  children: ComponentChildren;
  tools?: ComponentChildren;
  class?: string;
}) {
  return (
    <section class={`panel ${props.class ?? ""}`} aria-label={props.title}>
      <header>
        <h2>{props.title}</h2>
        {props.tools && <div class="tools">{props.tools}</div>}
      </header>
      {props.children}
    </section>
  );
}

/** A bar, filled as far as a part of a whole goes. Without a label it only repeats a number beside it. */
export function Share({ part, label }: { part: number; label?: string }) {
  const percent = Math.round(100 * Math.min(1, Math.max(0, part)));
  const said = label
    ? { role: "meter" as const, "aria-label": label, "aria-valuenow": percent }
    : { "aria-hidden": true as const };
  return <i class="meter" style={{ "--part": `${percent}%` }} {...said} />;
}

/** A table whose columns can be sorted by. */
export interface Column<T> {
  name: string;
  cell: (row: T) => ComponentChildren;
  by?: (row: T) => number | string;
  right?: boolean;
}

export function Table<T>(props: {
  rows: T[];
  columns: Column<T>[];
  id: (row: T) => string | number;
  empty?: string;
  label: string;
  sorted?: string;
  most?: number;
}) {
  const [sort, setSort] = useState({ by: props.sorted ?? "", down: true });
  const column = props.columns.find((column) => column.name === sort.by);
  let rows = props.rows;
  if (column?.by) {
    const by = column.by;
    rows = [...rows].sort((a, b) => {
      const [x, y] = [by(a), by(b)];
      const order = typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y));
      return sort.down ? -order : order;
    });
  }
  const most = props.most ?? 500;
  return (
    <div class="scroll">
      <table aria-label={props.label}>
        <thead>
          <tr>
            {props.columns.map((column) => (
              <th
                key={column.name}
                scope="col"
                class={column.right ? "right" : ""}
                aria-sort={sort.by !== column.name ? undefined : sort.down ? "descending" : "ascending"}
              >
                {column.by ? (
                  <button
                    type="button"
                    class="plain"
                    onClick={() => setSort({ by: column.name, down: sort.by === column.name ? !sort.down : true })}
                  >
                    {column.name}
                    {sort.by === column.name ? (sort.down ? " ↓" : " ↑") : ""}
                  </button>
                ) : (
                  column.name
                )}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.slice(0, most).map((row) => (
            <tr key={props.id(row)}>
              {props.columns.map((column) => (
                <td key={column.name} class={column.right ? "right" : ""}>
                  {column.cell(row)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
      {rows.length === 0 && <p class="dim">{props.empty ?? "Nothing."}</p>}
      {rows.length > most && <p class="dim">… and {count(rows.length - most)} more</p>}
    </div>
  );
}

export const ROW = 28;

/** Which rows of a long list are on the screen. */
export function useWindow(element: RefObject<HTMLElement>, rows: number): [number, number] {
  const [range, setRange] = useState<[number, number]>([0, 50]);
  const measure = useCallback(() => {
    const box = element.current;
    if (!box) return;
    const first = Math.max(0, Math.floor(box.scrollTop / ROW) - 10);
    const last = Math.ceil((box.scrollTop + box.clientHeight) / ROW) + 10;
    setRange((old) => (old[0] === first && old[1] === last ? old : [first, last]));
  }, []);
  useLayoutEffect(() => {
    measure();
    const box = element.current;
    if (!box) return;
    const observer = new ResizeObserver(measure);
    observer.observe(box);
    box.addEventListener("scroll", measure, { passive: true });
    return () => {
      observer.disconnect();
      box.removeEventListener("scroll", measure);
    };
  }, []);
  useLayoutEffect(measure, [rows]);
  return range;
}

/** A text that is kept in the browser. */
export function useKept(name: string, initial: string): [string, (value: string) => void] {
  const [value, setValue] = useState(() => kept(name) ?? initial);
  const set = useCallback((value: string) => {
    setValue(value);
    keep(name, value);
  }, []);
  return [value, set];
}

export function kept(name: string): string | null {
  try {
    return localStorage.getItem("redpoll." + name);
  } catch {
    return null;
  }
}

export function keep(name: string, value: string): void {
  try {
    localStorage.setItem("redpoll." + name, value);
  } catch {
    // A browser that keeps nothing forgets, and that is all.
  }
}

/** Fields of INFO, or of CLIENT LIST's lines, by name. */
export function fields(text: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const line of text.split(/\r?\n/)) {
    const at = line.indexOf(":");
    if (at > 0) found.set(line.slice(0, at), line.slice(at + 1));
  }
  return found;
}
