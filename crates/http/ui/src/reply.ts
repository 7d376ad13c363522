// Replies as the server writes them in JSON (see README.md), and bytes that need not be text.

/** A string of bytes: text if it is UTF-8. */
export type Bytes = string | { b64: string };

export type Reply =
  | null
  | boolean
  | number
  | string
  | Reply[]
  | { b64: string; len: number; cut?: boolean }
  | { text: string; len: number; cut: true }
  | { status: string }
  | { error: string }
  | { int: string }
  | { double: string }
  | { big: string }
  | { verbatim: string; text: string }
  | { set: Reply[] }
  | { map: [Reply, Reply][] }
  | { push: Reply[] }
  | { cut: true; len: number };

function has<K extends string>(reply: unknown, name: K): reply is Record<K, never> {
  // An array has a method `map` of its own.
  return typeof reply === "object" && reply !== null && !Array.isArray(reply) && name in reply;
}

/** The text of an error, or null if it is none. */
export function errorOf(reply: Reply): string | null {
  return has(reply, "error") ? (reply as { error: string }).error : null;
}

/** The reply, or an exception with the text of its error. */
export function orThrow(reply: Reply): Reply {
  const error = errorOf(reply);
  if (error !== null) throw new Error(error);
  return reply;
}

/** Elements of an array, a set or a push. */
export function list(reply: Reply): Reply[] {
  if (Array.isArray(reply)) return reply;
  if (has(reply, "set")) return (reply as { set: Reply[] }).set;
  if (has(reply, "push")) return (reply as { push: Reply[] }).push;
  return [];
}

/** Pairs of a map, or of an array of keys and values by turns. */
export function pairs(reply: Reply): [Reply, Reply][] {
  if (has(reply, "map")) return (reply as { map: [Reply, Reply][] }).map;
  const flat = list(reply);
  const found: [Reply, Reply][] = [];
  for (let i = 0; i + 1 < flat.length; i += 2) found.push([flat[i]!, flat[i + 1]!]);
  return found;
}

/** The value of a pair, by the text of its key. */
export function field(reply: Reply, name: string): Reply {
  for (const [key, value] of pairs(reply)) if (key === name || text(key) === name) return value;
  return null;
}

/** A reply that is a string, as bytes that can be sent back. */
export function bytes(reply: Reply): Bytes {
  if (typeof reply === "string") return reply;
  if (has(reply, "b64")) return { b64: (reply as { b64: string }).b64 };
  return text(reply);
}

/** The length of a string in bytes, and whether only its beginning is here. */
export function extent(reply: Reply): { length: number; cut: boolean } {
  if (has(reply, "len")) {
    const { len, cut } = reply as { len: number; cut?: boolean };
    return { length: len, cut: cut === true };
  }
  return { length: typeof reply === "string" ? new TextEncoder().encode(reply).length : 0, cut: false };
}

/** A scalar as text; bytes that are no text with escapes. */
export function text(reply: Reply): string {
  if (reply === null) return "";
  if (typeof reply === "string") return reply;
  if (typeof reply === "number" || typeof reply === "boolean") return String(reply);
  if (has(reply, "b64")) return escaped(raw(reply as { b64: string }));
  for (const name of ["text", "status", "error", "int", "double", "big"] as const)
    if (has(reply, name)) return String((reply as Record<string, string>)[name]);
  return "";
}

export function number(reply: Reply): number {
  if (typeof reply === "number") return reply;
  const n = Number(text(reply));
  return Number.isFinite(n) ? n : 0;
}

/** The bytes themselves. */
export function raw(value: Bytes): Uint8Array {
  if (typeof value === "string") return new TextEncoder().encode(value);
  const binary = atob(value.b64);
  const out = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) out[i] = binary.charCodeAt(i);
  return out;
}

/** Bytes as they are sent: a string if they are UTF-8. */
export function packed(data: Uint8Array): Bytes {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(data);
  } catch {
    let binary = "";
    for (let i = 0; i < data.length; i += 8192) binary += String.fromCharCode(...data.subarray(i, i + 8192));
    return { b64: btoa(binary) };
  }
}

/** Bytes with escapes for what cannot be shown, as redis-cli has them. */
export function escaped(data: Uint8Array): string {
  let out = "";
  for (const byte of data) {
    if (byte === 92) out += "\\\\";
    else if (byte === 10) out += "\\n";
    else if (byte === 13) out += "\\r";
    else if (byte === 9) out += "\\t";
    else if (byte >= 32 && byte < 127) out += String.fromCharCode(byte);
    else out += "\\x" + byte.toString(16).padStart(2, "0");
  }
  return out;
}

/** A name to be shown in one line. */
export function shown(value: Bytes): string {
  if (typeof value !== "string") return escaped(raw(value));
  return value.replace(/[\u0000-\u001f\u007f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, (c) =>
    c === "\n" ? "\\n" : c === "\r" ? "\\r" : c === "\t" ? "\\t" : "\\x" + c.charCodeAt(0).toString(16).padStart(2, "0"),
  );
}

/** A string that stands for these bytes alone. */
export function ident(value: Bytes): string {
  return typeof value === "string" ? "t" + value : "b" + value.b64;
}

/** Where the view of keys shows a key. */
export function link(key: Bytes): string {
  return "#/keys/" + encodeURIComponent(ident(key));
}

/** The bytes that `ident` was made of. */
export function unident(id: string): Bytes {
  return id.startsWith("b") ? { b64: id.slice(1) } : id.slice(1);
}

/** Words of a line, with quotes and escapes as redis-cli has them; null if a quote is open. */
export function words(line: string): Bytes[] | null {
  const found: Bytes[] = [];
  let at = 0;
  while (at < line.length) {
    if (/\s/.test(line[at]!)) {
      at++;
      continue;
    }
    const quote = line[at] === '"' || line[at] === "'" ? line[at++] : null;
    const out: number[] = [];
    let closed = quote === null;
    while (at < line.length) {
      const c = line[at]!;
      if (quote === null ? /\s/.test(c) : c === quote) {
        closed = true;
        if (quote !== null) at++;
        break;
      }
      if (quote === '"' && c === "\\" && at + 1 < line.length) {
        const hex = /^x([0-9a-fA-F]{2})/.exec(line.slice(at + 1));
        if (hex) {
          out.push(parseInt(hex[1]!, 16));
          at += 4;
          continue;
        }
        const plain: Record<string, number> = { n: 10, r: 13, t: 9, b: 8, a: 7 };
        const next = line[at + 1]!;
        if (next in plain) out.push(plain[next]!);
        else out.push(...new TextEncoder().encode(next));
        at += 2;
        continue;
      }
      if (quote === "'" && c === "\\" && line[at + 1] === "'") {
        out.push(39);
        at += 2;
        continue;
      }
      const point = String.fromCodePoint(line.codePointAt(at)!);
      out.push(...new TextEncoder().encode(point));
      at += point.length;
    }
    if (!closed || (quote !== null && at < line.length && !/\s/.test(line[at]!))) return null;
    found.push(packed(new Uint8Array(out)));
  }
  return found;
}

/** A reply as redis-cli shows it to people. */
export function pretty(reply: Reply, indent = ""): string {
  if (reply === null) return "(nil)\n";
  if (typeof reply === "number") return `(integer) ${reply}\n`;
  if (typeof reply === "boolean") return `(${reply})\n`;
  if (typeof reply === "string") return JSON.stringify(reply) + "\n";
  if (has(reply, "b64")) {
    const { b64, len, cut } = reply as { b64: string; len: number; cut?: boolean };
    return `"${escaped(raw({ b64 }))}"${cut ? ` … ${len} bytes` : ""}\n`;
  }
  if (has(reply, "verbatim")) return text(reply) + "\n";
  if (has(reply, "text")) return `${JSON.stringify(text(reply))} … ${(reply as { len: number }).len} bytes\n`;
  if (has(reply, "status")) return text(reply) + "\n";
  if (has(reply, "error")) return `(error) ${text(reply)}\n`;
  if (has(reply, "int")) return `(integer) ${text(reply)}\n`;
  if (has(reply, "double")) return `(double) ${text(reply)}\n`;
  if (has(reply, "big")) return `(big number) ${text(reply)}\n`;
  if (has(reply, "cut")) return `… ${(reply as { len: number }).len} in all\n`;
  const mark = has(reply, "map") ? "#" : has(reply, "set") ? "~" : ")";
  const rows: string[] = [];
  if (has(reply, "map")) {
    const all = pairs(reply);
    const inner = indent + " ".repeat(String(all.length).length + 2);
    for (const [key, value] of all) {
      const nested = pretty(value, inner);
      const isTall = nested.trimEnd().includes("\n") && typeof value === "object" && value !== null;
      rows.push(pretty(key, inner).trimEnd() + " => " + (isTall ? "\n" + inner : "") + nested);
    }
  } else {
    const all = list(reply);
    const inner = indent + " ".repeat(String(all.length).length + 2);
    for (const element of all) rows.push(pretty(element, inner));
  }
  if (rows.length === 0) return mark === "#" ? "(empty hash)\n" : mark === "~" ? "(empty set)\n" : "(empty array)\n";
  const width = String(rows.length).length;
  return rows.map((row, i) => `${i === 0 ? "" : indent}${String(i + 1).padStart(width)}${mark} ${row}`).join("");
}
