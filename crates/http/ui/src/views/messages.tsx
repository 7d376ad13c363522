// Messages and keyspace events as they happen.

import { useEffect, useRef, useState } from "preact/hooks";
import { call, chain, events } from "../api";
import { type Reply, bytes, list, number, pairs, shown, text, link } from "../reply";
import { Panel, Problem, Table, attempt, clock, confirm, count, useLoad, useMay } from "../ui";

interface Message {
  id: number;
  at: number;
  channel: string;
  data: Reply;
}

const MOST = 1000;

/** Messages of a query of the event stream, the latest first. */
function useMessages(query: string) {
  const [messages, setMessages] = useState<Message[]>([]);
  const [error, setError] = useState<string | null>(null);
  const [connected, setConnected] = useState(false);
  const paused = useRef(false);
  useEffect(() => {
    setError(null);
    setMessages([]);
    if (query === "") return;
    let id = 0;
    let waiting: Message[] = [];
    // Many at a time are drawn once.
    const timer = setInterval(() => {
      if (waiting.length === 0 || paused.current) return;
      const batch = waiting.reverse();
      waiting = [];
      setMessages((old) => [...batch, ...old].slice(0, MOST));
    }, 200);
    const close = events(
      query,
      {
        message: (event: never) => {
          const { channel, data } = event as { channel: string; data: Reply };
          waiting.push({ id: id++, at: Date.now() / 1000, channel, data });
          if (waiting.length > MOST) waiting.shift();
        },
        refused: (what: never) => setError((what as { error: string }).error),
      },
      setConnected,
    );
    return () => {
      clearInterval(timer);
      close();
    };
  }, [query]);
  return { messages, error, connected, paused, clear: () => setMessages([]) };
}

export function PubSub() {
  const [typed, setTyped] = useState("");
  const [channels, setChannels] = useState<string[]>([]);
  const query = channels.map((name) => `${/[*?[]/.test(name) ? "pattern" : "channel"}=${encodeURIComponent(name)}`).join("&");
  const { messages, error, connected, clear } = useMessages(query);
  const [publish, setPublish] = useState({ channel: "", text: "" });
  const [mayPublish] = useMay(["PUBLISH", publish.channel, ""]);
  const active = useLoad(
    async () => {
      const names = list(await call("PUBSUB", "CHANNELS")).map(bytes);
      if (names.length === 0) return [];
      const [subscribers] = await chain([["PUBSUB", "NUMSUB", ...names.slice(0, 500)]]);
      return pairs(subscribers ?? null).map(([name, n]) => ({ name: shown(bytes(name)), n: number(n) }));
    },
    [],
    5000,
  );
  const listen = (name: string) => {
    if (name !== "" && !channels.includes(name)) setChannels([...channels, name]);
  };
  return (
    <>
      <Panel title="Listen">
        <form
          class="line"
          onSubmit={(event) => {
            event.preventDefault();
            listen(typed);
            setTyped("");
          }}
        >
          <input aria-label="Channel or pattern" placeholder="Channel, or pattern with *" value={typed} onInput={(event) => setTyped(event.currentTarget.value)} />
          <button class="primary">Listen</button>
        </form>
        <p>
          {channels.map((name) => (
            <span class="chip" key={name}>
              {name}{" "}
              <button type="button" class="plain" aria-label={`Stop listening to ${name}`} onClick={() => setChannels(channels.filter((other) => other !== name))}>
                ✕
              </button>
            </span>
          ))}
          {query && <span class={connected ? "badge" : "badge bad"}>{connected ? "listening" : "connecting …"}</span>}
        </p>
        <Problem text={error} />
        {mayPublish && (
          <form
            class="line"
            onSubmit={(event) => {
              event.preventDefault();
              void attempt(async () => {
                const n = number(await call("PUBLISH", publish.channel, publish.text));
                if (n === 0) throw new Error("Nobody listens to that channel.");
              }, "Published.");
            }}
          >
            <input aria-label="Channel to publish to" placeholder="Channel" value={publish.channel} onInput={(event) => setPublish({ ...publish, channel: event.currentTarget.value })} />
            <input aria-label="Message" placeholder="Message" value={publish.text} onInput={(event) => setPublish({ ...publish, text: event.currentTarget.value })} />
            <button>Publish</button>
          </form>
        )}
      </Panel>
      <div class="columns">
        <Messages messages={messages} clear={clear} keyed={false} />
        <Panel title="Channels with subscribers">
          <Problem text={active.error} />
          <Table
            label="Channels"
            rows={active.data ?? []}
            id={(row) => row.name}
            empty="None."
            sorted="subscribers"
            columns={[
              {
                name: "channel",
                cell: (row) => (
                  <button type="button" class="plain link" onClick={() => listen(row.name)}>
                    {row.name}
                  </button>
                ),
                by: (row) => row.name,
              },
              { name: "subscribers", cell: (row) => count(row.n), by: (row) => row.n, right: true },
            ]}
          />
        </Panel>
      </div>
    </>
  );
}

function Messages(props: { messages: Message[]; clear: () => void; keyed: boolean }) {
  return (
    <Panel
      title={props.keyed ? "Events" : "Messages"}
      tools={
        <button type="button" onClick={props.clear}>
          Clear
        </button>
      }
    >
      <Table
        label="Messages"
        rows={props.messages}
        id={(message) => message.id}
        empty="None yet."
        most={200}
        columns={[
          { name: "at", cell: (message) => clock(message.at) },
          { name: props.keyed ? "event" : "channel", cell: (message) => message.channel.replace(/^__keyevent@(\d+)__:/, "db$1 ") },
          {
            name: props.keyed ? "key" : "message",
            cell: (message) =>
              props.keyed ? (
                <a class="wrap" href={link(bytes(message.data))}>
                  {shown(bytes(message.data))}
                </a>
              ) : (
                <code class="wrap">{shown(bytes(message.data))}</code>
              ),
          },
        ]}
      />
    </Panel>
  );
}

const SETTING = "notify-keyspace-events";

export function KeyEvents() {
  const [only, setOnly] = useState("");
  const setting = useLoad(async () => {
    const [pair] = pairs(await call("CONFIG", "GET", SETTING));
    return pair ? text(pair[1]) : "";
  }, []);
  const [maySet] = useMay(["CONFIG", "SET", SETTING, "KEA"]);
  const { messages, error, connected, clear } = useMessages(`pattern=${encodeURIComponent("__keyevent@*__:*")}`);
  const isOn = setting.data !== null && setting.data.includes("E") && setting.data.length > 1;
  const set = async (value: string) => {
    const yes = await confirm(
      value === "" ? "Announce no more events?" : "Announce events of all keys?",
      <p>
        <code>
          CONFIG SET {SETTING} "{value}"
        </code>
        , for all clients.
      </p>,
      "Change",
      false,
    );
    if (yes && (await attempt(() => call("CONFIG", "SET", SETTING, value), "Changed."))) setting.reload();
  };
  return (
    <>
      <Panel title="Keyspace events">
        <Problem text={error} />
        <Problem text={setting.error} />
        {setting.data !== null && (
          <p>
            <code>{SETTING}</code> is <code>"{setting.data}"</code>
            {isOn ? ": events come as they happen. " : ": nothing is announced. "}
            {maySet && (
              <button type="button" onClick={() => set(isOn ? "" : "KEA")}>
                {isOn ? "Turn off" : "Turn on"}
              </button>
            )}{" "}
            <span class={connected ? "badge" : "badge bad"}>{connected ? "listening" : "connecting …"}</span>
          </p>
        )}
        <input type="search" aria-label="Only events or keys with" placeholder="Only events or keys with …" value={only} onInput={(event) => setOnly(event.currentTarget.value)} />
      </Panel>
      <Messages
        messages={messages.filter((message) => only === "" || message.channel.includes(only) || shown(bytes(message.data)).includes(only))}
        clear={clear}
        keyed
      />
    </>
  );
}
