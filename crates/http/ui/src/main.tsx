// The console: who is logged in, which view is shown, and what stands around it.

import "uplot/dist/uPlot.min.css";
import "./style.css";
import { type ComponentType, render } from "preact";
import { useEffect, useState } from "preact/hooks";
import { type Session, current, login, logout, onLoggedOut, session } from "./api";
import { Notices, Problem, Questions, attempt, forgetPermissions, keep, kept, say } from "./ui";

type Load = () => Promise<ComponentType>;

/** Each view is a file of its own, fetched when it is first shown. The names stand in in.html too. */
const VIEWS: [string, string, Load][] = [
  ["now", "Now", () => import("./views/now").then((view) => view.Now)],
  ["keys", "Keys", () => import("./views/keys").then((view) => view.Keys)],
  ["clients", "Clients", () => import("./views/clients").then((view) => view.Clients)],
  ["slow", "Slow log", () => import("./views/slow").then((view) => view.Slow)],
  ["memory", "Memory", () => import("./views/memory").then((view) => view.Memory)],
  ["pubsub", "Pub/sub", () => import("./views/messages").then((view) => view.PubSub)],
  ["events", "Key events", () => import("./views/messages").then((view) => view.KeyEvents)],
  ["scripts", "Scripts", () => import("./views/scripts").then((view) => view.Scripts)],
  ["config", "Configuration", () => import("./views/config").then((view) => view.Configuration)],
  ["acl", "ACL", () => import("./views/acl").then((view) => view.Acl)],
  ["command", "Command line", () => import("./views/command").then((view) => view.CommandLine)],
];

const loaded = new Map<string, ComponentType>();

/** Fetches a view, if it is not there yet. */
async function fetchView(name: string): Promise<void> {
  const [, , load] = VIEWS.find(([other]) => other === name) ?? VIEWS[0]!;
  if (!loaded.has(name)) loaded.set(name, await load());
}

/** A view, once it is there. */
function View({ name }: { name: string }) {
  const [, setTurn] = useState(0);
  const [error, setError] = useState<string | null>(null);
  const Found = loaded.get(name);
  useEffect(() => {
    let live = true;
    if (!Found)
      fetchView(name).then(
        () => live && setTurn((turn) => turn + 1),
        // A server of another version has other files.
        () => live && setError("This part of the page could not be fetched. Reload the page."),
      );
    return () => {
      live = false;
    };
  }, [name]);
  return Found ? <Found /> : <Problem text={error} />;
}

const THEMES = ["auto", "light", "dark"];

function applyTheme(theme: string): void {
  document.documentElement.dataset.theme = theme;
  window.dispatchEvent(new Event("themechange"));
}

function view(): string {
  return location.hash.replace(/^#\/?/, "").split("/")[0] || "now";
}

function typed(name: string): string | undefined {
  return document.querySelector<HTMLInputElement>(`.login input[name=${name}]`)?.value;
}

function Login({ about, done }: { about: Session; done: () => void }) {
  // What was typed, or filled in by the browser, before this script ran.
  const [user, setUser] = useState(() => typed("username") ?? "default");
  const [password, setPassword] = useState(() => typed("password") ?? "");
  const [error, setError] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  useEffect(() => {
    // While the password is typed.
    fetchView(view()).catch(() => {});
  }, []);
  const submit = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      await login(user, password);
      forgetPermissions();
      done();
    } catch (why) {
      setError((why as Error).message);
      setBusy(false);
    }
  };
  return (
    <main class="login">
      <form onSubmit={submit}>
        <h1>
          <Mark /> Redpoll
        </h1>
        <p class="dim">
          {location.host} · {about.version}
        </p>
        <label>
          User
          <input
            name="username"
            autocomplete="username"
            value={user}
            autocapitalize="off"
            spellcheck={false}
            onInput={(event) => setUser(event.currentTarget.value)}
          />
        </label>
        <label>
          Password
          <input
            name="password"
            type="password"
            autocomplete="current-password"
            autofocus
            value={password}
            onInput={(event) => setPassword(event.currentTarget.value)}
          />
        </label>
        {about.open && <p class="dim">The default user needs no password.</p>}
        <Problem text={error} />
        <button class="primary" disabled={busy}>
          Log in
        </button>
      </form>
    </main>
  );
}

function Mark() {
  return (
    <svg class="mark" viewBox="0 0 16 16" aria-hidden="true">
      <circle cx="8" cy="8" r="7" />
      <circle cx="8" cy="6" r="3" class="hole" />
    </svg>
  );
}

function Shell({ about, left }: { about: Session; left: () => void }) {
  const [at, setAt] = useState(view());
  const [db, setDb] = useState(current.db);
  const [theme, setTheme] = useState(kept("theme") ?? "auto");
  const [open, setOpen] = useState(false);
  useEffect(() => {
    let before = at;
    const go = () => {
      const next = view();
      if (next === before) return;
      before = next;
      setAt(next);
      setOpen(false);
      // For who does not see that the page has changed.
      requestAnimationFrame(() => document.getElementById("view")?.focus());
    };
    window.addEventListener("hashchange", go);
    // Links work before anybody listens.
    go();
    return () => window.removeEventListener("hashchange", go);
  }, []);
  useEffect(() => {
    // g and a letter would be more than anybody remembers: Alt and a digit, as in a browser's tabs, and / for the line.
    const press = (event: KeyboardEvent) => {
      const typing = event.target instanceof HTMLElement && /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName);
      const digit = "1234567890".indexOf(event.key);
      if (event.altKey && digit >= 0 && VIEWS[digit]) {
        event.preventDefault();
        location.hash = "#/" + VIEWS[digit][0];
      } else if (event.key === ":" && !typing) {
        event.preventDefault();
        location.hash = "#/command";
      }
    };
    window.addEventListener("keydown", press);
    return () => window.removeEventListener("keydown", press);
  }, []);
  const [shown, title] = VIEWS.find(([name]) => name === at) ?? VIEWS[0]!;
  useEffect(() => {
    document.title = `${title} · Redpoll ${location.host}`;
  }, [title]);
  const turn = () => {
    const next = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length]!;
    setTheme(next);
    keep("theme", next);
    applyTheme(next);
  };
  const leave = () => attempt(async () => logout().finally(left));
  return (
    <>
      <a class="skip" href="#view" onClick={(event) => (event.preventDefault(), document.getElementById("view")?.focus())}>
        Skip to content
      </a>
      <header class="top">
        <button
          type="button"
          class="plain burger"
          aria-label="Menu"
          aria-expanded={open}
          onClick={() => setOpen(!open)}
        >
          ☰
        </button>
        <strong class="brand">
          <Mark /> Redpoll
        </strong>
        <span class="dim host">{location.host}</span>
        <span class="grow" />
        <label class="db">
          db{" "}
          <input
            type="number"
            min="0"
            aria-label="Database"
            value={db}
            onChange={(event) => {
              const n = Math.max(0, Math.floor(Number(event.currentTarget.value) || 0));
              current.db = n;
              setDb(n);
            }}
          />
        </label>
        <button type="button" class="plain" onClick={turn} title="Theme" aria-label={`Theme: ${theme}`}>
          {theme === "auto" ? "◐" : theme === "light" ? "☀" : "☾"}
        </button>
        <span class="user">{about.user}</span>
        <button type="button" onClick={leave}>
          Log out
        </button>
      </header>
      <nav class={open ? "open" : ""} aria-label="Views">
        {VIEWS.map(([name, title], i) => (
          <a
            key={name}
            href={`#/${name}`}
            aria-current={name === at ? "page" : undefined}
            title={i < 10 ? `Alt+${(i + 1) % 10}` : ":"}
          >
            {title}
          </a>
        ))}
        <span class="dim version">
          Redpoll {about.version}
          <br />
          as Redis {about.redis_version}
        </span>
      </nav>
      <main id="view" tabIndex={-1} key={`${at} ${db}`}>
        <h1 class="hidden">{title}</h1>
        <View key={shown} name={shown} />
      </main>
      <Notices />
      <Questions />
    </>
  );
}

function App({ first, problem }: { first: Session | null; problem: string | null }) {
  const [about, setAbout] = useState(first);
  const [error, setError] = useState(problem);
  const look = () =>
    session().then(
      (found) => {
        setAbout(found);
        setError(null);
      },
      (why: Error) => setError(why.message),
    );
  useEffect(() => {
    onLoggedOut(() => {
      setAbout((about) => {
        if (about?.user) say("The login is over.", true);
        return about && { ...about, user: null, csrf: null };
      });
    });
  }, []);
  if (error) return <Problem text={error} />;
  if (!about) return null;
  if (!about.user) return <Login about={about} done={look} />;
  return <Shell key={about.user} about={about} left={look} />;
}

applyTheme(kept("theme") ?? "auto");
const app = document.getElementById("app")!;
// The view is fetched while the server says who is logged in. What the page was sent with stays until there is more to show, and
// becomes part of that.
const early = document.querySelector(".login") ? null : fetchView(view()).catch(() => {});
session().then(
  async (first) => {
    if (first.user) await early;
    render(<App first={first} problem={null} />, app);
  },
  (why: Error) => render(<App first={null} problem={why.message} />, app),
);
