// What the page asks of the server.

import { type Bytes, type Reply, orThrow } from "./reply";

export interface Session {
  user: string | null;
  csrf: string | null;
  open: boolean;
  version: string;
  redis_version: string;
}

/** An answer with a status of 400 or more. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

let csrf: string | null = null;
let whenOut: () => void = () => {};

/** Calls `handler` when a request finds that nobody is logged in any more. */
export function onLoggedOut(handler: () => void): void {
  whenOut = handler;
}

async function ask(path: string, body?: unknown): Promise<unknown> {
  const init: RequestInit = { credentials: "same-origin" };
  if (body !== undefined) {
    init.method = "POST";
    init.body = JSON.stringify(body);
    init.headers = { "content-type": "application/json", ...(csrf ? { "x-csrf-token": csrf } : {}) };
  }
  let response: Response;
  try {
    response = await fetch(path, init);
  } catch {
    throw new Refused(0, "the server does not answer");
  }
  const answer: unknown = await response.json().catch(() => ({}));
  if (!response.ok) {
    if (response.status === 401 && path !== "api/login") whenOut();
    const why = (answer as { error?: string }).error;
    throw new Refused(response.status, why ?? `status ${response.status}`);
  }
  return answer;
}

export async function session(): Promise<Session> {
  const found = (await ask("api/session")) as Session;
  csrf = found.csrf;
  return found;
}

export async function login(user: string, password: string): Promise<void> {
  const answer = (await ask("api/login", { user, password })) as { csrf: string };
  csrf = answer.csrf;
}

export async function logout(): Promise<void> {
  await ask("api/logout", {});
  csrf = null;
}

export interface Options {
  db?: number;
  limit?: number;
}

export type Command = (Bytes | number)[];

/** The database that commands work on where nothing else is said. */
export const current = { db: 0 };

const sent = (command: Command) => command.map((arg) => (typeof arg === "number" ? String(arg) : arg));

/** Runs one command. An error that it answers is a reply here. */
export async function run(command: Command, options: Options = {}): Promise<{ reply: Reply; us: number }> {
  const body = { args: sent(command), db: current.db, ...options };
  return (await ask("api/command", body)) as { reply: Reply; us: number };
}

/** Runs one command. An error that it answers is an exception. */
export async function call(...command: Command): Promise<Reply> {
  return orThrow((await run(command)).reply);
}

/** Runs several, one after the other on one connection. Errors are replies. */
export async function chain(commands: Command[], options: Options = {}): Promise<Reply[]> {
  if (commands.length === 0) return [];
  const body = { commands: commands.map(sent), db: current.db, ...options };
  return ((await ask("api/command", body)) as { replies: Reply[] }).replies;
}

/** Whether the user may run each of these commands; nothing is run, and nothing noted in the log of refusals. */
export async function may(commands: Command[]): Promise<boolean[]> {
  const body = { commands: commands.map(sent), db: current.db };
  return ((await ask("api/may", body)) as { may: boolean[] }).may;
}

export interface History {
  columns: string[];
  rows: (number | null)[][];
}

export async function history(seconds: number): Promise<History> {
  return (await ask(`api/history?seconds=${seconds}`)) as History;
}

/** What a directive is: the values it takes, its default, its meaning, and whether CONFIG SET changes it. */
export interface Directive {
  takes: string;
  default: string;
  doc: string;
  change: "yes" | "no" | "protected";
}

export async function directives(): Promise<Record<string, Directive | undefined>> {
  return (await ask("api/directives")) as Record<string, Directive>;
}

/** Opens a stream of events; it is opened anew if it breaks, until the result is called. */
export function events(
  query: string,
  handlers: Record<string, (data: never) => void>,
  state?: (connected: boolean) => void,
): () => void {
  const source = new EventSource(`api/events?${query}`);
  for (const [name, handler] of Object.entries(handlers))
    source.addEventListener(name, (event) => handler(JSON.parse((event as MessageEvent<string>).data) as never));
  source.addEventListener("open", () => state?.(true));
  source.addEventListener("error", () => state?.(false));
  source.addEventListener("ended", () => {
    source.close();
    whenOut();
  });
  return () => source.close();
}
