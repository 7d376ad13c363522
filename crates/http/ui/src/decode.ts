// Values in other forms: JSON with indentation, MessagePack as JSON, hexadecimal.

/** The forms that a value can be shown in. */
export type Form = "text" | "json" | "msgpack" | "hex";

/** The forms that fit, the best first. */
export function forms(data: Uint8Array): Form[] {
  const fit: Form[] = [];
  if (json(data) !== null) fit.push("json");
  if (isText(data)) fit.push("text");
  if (msgpack(data) !== null) fit.push("msgpack");
  fit.push("hex");
  if (!fit.includes("text")) fit.push("text");
  return fit;
}

function isText(data: Uint8Array): boolean {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(data);
    return !/[\u0000-\u0008\u000e-\u001f]/.test(text);
  } catch {
    return false;
  }
}

/** JSON with indentation; null if it is none, or nothing but a number or a word. Digits stay as they were written. */
export function json(data: Uint8Array): string | null {
  const text = new TextDecoder().decode(data).trim();
  if (!/^[[{]/.test(text)) return null;
  try {
    JSON.parse(text);
  } catch {
    return null;
  }
  // Not by way of numbers, of which JavaScript has fewer than JSON.
  let out = "";
  let depth = 0;
  const line = () => "\n" + "  ".repeat(depth);
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"|[[\]{},:]|[^\s[\]{},:"]+/g)) {
    if (token === "{" || token === "[") {
      depth++;
      out += token + line();
    } else if (token === "}" || token === "]") {
      depth--;
      const empty = /[[{]\s*$/.test(out);
      out = (empty ? out.trimEnd() : out + line()) + token;
    } else if (token === ",") out += token + line();
    else if (token === ":") out += ": ";
    else out += token;
  }
  return out;
}

/** MessagePack as text like JSON; null if the bytes are not exactly one value of more than one byte. */
export function msgpack(data: Uint8Array): string | null {
  if (data.length < 2) return null;
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  let at = 0;
  const take = (n: number) => {
    if (at + n > data.length) throw new Error("short");
    const from = at;
    at += n;
    return from;
  };
  const str = (n: number) => {
    const from = take(n);
    return JSON.stringify(new TextDecoder("utf-8", { fatal: true }).decode(data.subarray(from, from + n)));
  };
  const bin = (n: number) => {
    const from = take(n);
    return "h'" + [...data.subarray(from, from + n)].map((b) => b.toString(16).padStart(2, "0")).join("") + "'";
  };
  const many = (n: number, depth: number, isMap: boolean): string => {
    if (n > data.length) throw new Error("long");
    const pad = "  ".repeat(depth + 1);
    const rows: string[] = [];
    for (let i = 0; i < n; i++) {
      const first = value(depth + 1);
      rows.push(pad + (isMap ? `${first}: ${value(depth + 1)}` : first));
    }
    const [open, close] = isMap ? "{}" : "[]";
    return rows.length === 0 ? `${open}${close}` : `${open}\n${rows.join(",\n")}\n${"  ".repeat(depth)}${close}`;
  };
  const ext = (n: number) => {
    const type = view.getInt8(take(1));
    return `ext(${type}, ${bin(n)})`;
  };
  const value = (depth: number): string => {
    if (depth > 64) throw new Error("deep");
    const tag = view.getUint8(take(1));
    if (tag < 0x80) return String(tag);
    if (tag < 0x90) return many(tag & 15, depth, true);
    if (tag < 0xa0) return many(tag & 15, depth, false);
    if (tag < 0xc0) return str(tag & 31);
    if (tag >= 0xe0) return String(tag - 256);
    switch (tag) {
      case 0xc0: return "null";
      case 0xc2: return "false";
      case 0xc3: return "true";
      case 0xc4: return bin(view.getUint8(take(1)));
      case 0xc5: return bin(view.getUint16(take(2)));
      case 0xc6: return bin(view.getUint32(take(4)));
      case 0xc7: return ext(view.getUint8(take(1)));
      case 0xc8: return ext(view.getUint16(take(2)));
      case 0xc9: return ext(view.getUint32(take(4)));
      case 0xca: return String(view.getFloat32(take(4)));
      case 0xcb: return String(view.getFloat64(take(8)));
      case 0xcc: return String(view.getUint8(take(1)));
      case 0xcd: return String(view.getUint16(take(2)));
      case 0xce: return String(view.getUint32(take(4)));
      case 0xcf: return String(view.getBigUint64(take(8)));
      case 0xd0: return String(view.getInt8(take(1)));
      case 0xd1: return String(view.getInt16(take(2)));
      case 0xd2: return String(view.getInt32(take(4)));
      case 0xd3: return String(view.getBigInt64(take(8)));
      case 0xd4: return ext(1);
      case 0xd5: return ext(2);
      case 0xd6: return ext(4);
      case 0xd7: return ext(8);
      case 0xd8: return ext(16);
      case 0xd9: return str(view.getUint8(take(1)));
      case 0xda: return str(view.getUint16(take(2)));
      case 0xdb: return str(view.getUint32(take(4)));
      case 0xdc: return many(view.getUint16(take(2)), depth, false);
      case 0xdd: return many(view.getUint32(take(4)), depth, false);
      case 0xde: return many(view.getUint16(take(2)), depth, true);
      case 0xdf: return many(view.getUint32(take(4)), depth, true);
      default: throw new Error("no such type");
    }
  };
  try {
    const text = value(0);
    return at === data.length ? text : null;
  } catch {
    return null;
  }
}

/** Lines of sixteen bytes with their place and what of them is text. */
export function hex(data: Uint8Array, from = 0): string {
  const lines: string[] = [];
  for (let i = 0; i < data.length; i += 16) {
    const row = [...data.subarray(i, i + 16)];
    const digits = row.map((b) => b.toString(16).padStart(2, "0")).join(" ");
    const chars = row.map((b) => (b >= 32 && b < 127 ? String.fromCharCode(b) : "·")).join("");
    lines.push(`${(from + i).toString(16).padStart(8, "0")}  ${digits.padEnd(47)}  ${chars}`);
  }
  return lines.join("\n");
}
