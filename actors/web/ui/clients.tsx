// The page of the gateway: which programs use it, what they take of the room
// and of Kite's request limits, and who may use it.

import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { post } from "./act";
import { count, none, sentence, when, whole } from "./format";
import { Age, Bar, Card, Mark } from "./parts";
import { status } from "./state";
import type { BusStatus, GatewayStatus } from "./types";

interface Client {
  name: string;
  scopes: string[];
  sockets: number;
  instruments: Record<string, number>;
  packets: number;
  conflated: number;
  waiting: number;
  requests: number;
  refusals: number;
  agent: string;
  since: string | null;
}

interface Key {
  name: string;
  key: string;
  addr: string;
}

const clients = signal<Client[] | null>(null);
const name = signal("");
const scopes = signal<string[]>(["data"]);
const made = signal<Key | null>(null);
const result = signal<{ words: string; ok: boolean } | null>(null);
const asked = signal(""); // the client whose revocation waits for a second press

async function read(): Promise<void> {
  const answer = await post<Client[]>("/api/v1/clients", undefined, "GET");
  if (answer.ok) clients.value = answer.value ?? [];
}

async function add(event: SubmitEvent): Promise<void> {
  event.preventDefault();
  made.value = null;
  const answer = await post<Key>("/api/v1/clients", { name: name.value.trim(), scopes: scopes.value });
  result.value = answer.ok ? null : { ok: false, words: sentence(answer.words) };
  if (answer.ok) {
    made.value = answer.value!;
    name.value = "";
  }
  await read();
}

async function revoke(client: string): Promise<void> {
  if (asked.value !== client) {
    asked.value = client;
    return;
  }
  asked.value = "";
  const answer = await post(`/api/v1/clients/${encodeURIComponent(client)}`, undefined, "DELETE");
  result.value = { ok: answer.ok, words: answer.ok ? `${client} is revoked; its sockets are closed.` : answer.words };
  if (made.value?.name === client) made.value = null;
  await read();
}

const meanings: [string, string][] = [
  ["data", "ticks, quotes, instruments, history"],
  ["account", "order updates; reading orders, positions, holdings, funds"],
  ["orders", "placing, changing and cancelling orders"],
];

function Share({ label, used, limit, of }: { label: string; used: number; limit: number; of: string }) {
  const share = limit > 0 ? used / limit : 0;
  return (
    <li>
      <span>
        {label}{" "}
        <b>
          {whole(used)} of {whole(limit)}
        </b>{" "}
        {of}
      </span>
      <Bar share={share} tone={share >= 0.95 ? "bad" : share >= 0.8 ? "warn" : "good"} />
    </li>
  );
}

function Room({ gateway }: { gateway: GatewayStatus }) {
  return (
    <div class="columns">
      <Card title="Room for instruments" id="capacity">
        <ul class="shares">
          <Share label="All programs together want" used={gateway.instruments} limit={gateway.capacity} of="instruments" />
        </ul>
      </Card>
      <Card title="Kite's request limits" id="budget">
        <p class="lead">Shared by this server and all programs; the last minute.</p>
        <ul class="shares">
          {gateway.budget.map((b) => (
            <Share key={b.kind} label={b.kind} used={b.used} limit={b.limit} of="requests" />
          ))}
        </ul>
      </Card>
    </div>
  );
}

// What is published to other machines over NATS.
function Bus({ bus }: { bus: BusStatus }) {
  const sum = (counts: Record<string, number>) => Object.values(counts).reduce((a, b) => a + b, 0);
  const lost = sum(bus.lost);
  return (
    <Card title="Bus" id="bus">
      <p class={bus.state === "connecting" ? "note bad" : "lead"}>
        {bus.state} to <code>{bus.bus === "embedded" ? bus.addr : bus.bus}</code> as {bus.server}
        {bus.reason ? `: ${bus.reason}.` : "."}
      </p>
      <p class="lead">
        {whole(sum(bus.published))} messages since the start, {lost ? `${whole(lost)} lost` : "none lost"}
        {bus.bus === "embedded" && `; ${count(bus.consumers, "consumer")}, ${whole(bus.cut_consumers)} cut off for reading too slowly`}.
      </p>
    </Card>
  );
}

function Row({ client: c }: { client: Client }) {
  const press = asked.value === c.name ? "Really revoke" : "Revoke";
  const of = (mode: string) => whole(c.instruments[mode] ?? 0);
  return (
    <tr>
      <th scope="row">{c.name}</th>
      <td>{c.scopes.join(", ")}</td>
      <td>
        {c.sockets > 0 ? (
          <Mark tone="good" glyph={"\u25cf"}>
            {count(c.sockets, "socket")}
          </Mark>
        ) : (
          <Mark tone="dim" glyph={"\u25cc"}>
            not connected
          </Mark>
        )}
      </td>
      <td>
        <button type="button" class="button small" aria-label={`${press} ${c.name}`} onClick={() => void revoke(c.name)} onBlur={() => asked.value === c.name && (asked.value = "")}>
          {press}
        </button>
      </td>
      <td>{when(c.since) === null ? none : <Age at={c.since} />}</td>
      <td class="num">
        {of("ltp")} / {of("quote")} / {of("full")}
      </td>
      <td class="num">{whole(c.packets)}</td>
      <td class={`num ${c.conflated > 0 ? "warn" : ""}`}>{whole(c.conflated)}</td>
      <td class="num">{whole(c.waiting)}</td>
      <td class="num">{whole(c.requests)}</td>
      <td class="num">{whole(c.refusals)}</td>
      <td class="dim">{c.agent || none}</td>
    </tr>
  );
}

function Programs({ list }: { list: Client[] }) {
  return (
    <div class="wide" tabIndex={0} role="region" aria-label="Programs, scrolls sideways">
      <table>
        <caption class="visually-hidden">Programs with their scopes, sockets, instruments, packets and requests</caption>
        <thead>
          <tr>
            <th scope="col">Program</th>
            <th scope="col">Scopes</th>
            <th scope="col">Sockets</th>
            <th scope="col">Do</th>
            <th scope="col">Since</th>
            <th scope="col" class="num">
              ltp / quote / full
            </th>
            <th scope="col" class="num">
              Packets
            </th>
            <th scope="col" class="num">
              Dropped for slowness
            </th>
            <th scope="col" class="num">
              Waiting
            </th>
            <th scope="col" class="num">
              Requests
            </th>
            <th scope="col" class="num">
              Refused
            </th>
            <th scope="col">Software</th>
          </tr>
        </thead>
        <tbody>
          {list.map((c) => (
            <Row key={c.name} client={c} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Made({ of }: { of: Key }) {
  return (
    <div class="note good" role="status" id="client-key">
      <p>
        The key of <b>{of.name}</b>, shown this once: <code>{of.key}</code>
      </p>
      <p>
        In the program: the key as access token, <code>http://{of.addr}</code> as root of REST and <code>ws://{of.addr}</code> as root of the WebSocket. The API key may be anything.
      </p>
    </div>
  );
}

function Add({ gateway }: { gateway: GatewayStatus }) {
  const toggle = (scope: string) => (scopes.value = meanings.map(([s]) => s).filter((s) => scopes.value.includes(s) !== (s === scope)));
  return (
    <Card title="Let another program in" id="client-add">
      <form class="stack" onSubmit={(e) => void add(e)}>
        <label for="client-name">Name of the program</label>
        <input id="client-name" autocomplete="off" spellcheck={false} required maxLength={32} value={name.value} onInput={(e) => (name.value = e.currentTarget.value)} />
        {meanings.map(([scope, meaning]) => (
          <label class="check" key={scope}>
            <input type="checkbox" checked={scopes.value.includes(scope)} onChange={() => toggle(scope)} />
            <span>
              <b>{scope}</b>: {meaning}
              {scope === "orders" && !gateway.orders && "; only once the configuration allows orders"}
            </span>
          </label>
        ))}
        <button type="submit" class="button primary">
          Make a key
        </button>
      </form>
      {made.value && <Made of={made.value} />}
    </Card>
  );
}

export function ClientsPage() {
  useEffect(() => {
    void read();
    const timer = setInterval(() => void read(), 2000);
    return () => {
      clearInterval(timer);
      made.value = result.value = null;
      asked.value = "";
    };
  }, []);
  const gateway = status.value?.gateway;
  const bus = status.value?.bus;
  if (!gateway)
    return (
      <>
        <p class="lead">This server runs without a gateway for other programs. Start it with --gateway-addr 127.0.0.1:8430.</p>
        {bus && <Bus bus={bus} />}
      </>
    );
  const list = clients.value;
  return (
    <>
      <p class="lead">
        Programs written for Kite Connect use this server through <code>{gateway.addr}</code>: no restart at a new token, and no token in the program.
      </p>
      <p class={`note ${result.value?.ok === false ? "bad" : "good"}`} role="status" id="client-result">
        {result.value?.words}
      </p>
      <Card title="Programs" id="clients">
        {list?.length ? <Programs list={list} /> : <p class="lead">{list ? "No program has a key yet." : "Reading the list."}</p>}
      </Card>
      <Room gateway={gateway} />
      {bus && <Bus bus={bus} />}
      <Add gateway={gateway} />
    </>
  );
}
