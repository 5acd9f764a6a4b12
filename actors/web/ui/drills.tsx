// Drills on the simulated exchange: break something and watch it heal.

import { signal } from "@preact/signals";
import { post } from "./act";
import { words } from "./format";
import { actors, events, status } from "./state";
import { Card } from "./parts";
import { Timeline } from "./timeline";

const actorFaults: [string, string][] = [
  ["panic", "its handler panics"],
  ["goroutine", "a goroutine of it panics"],
  ["hang", "its handler blocks"],
  ["slow", "each message takes 5 ms longer"],
  ["exit", "it ends as if it were done"],
  ["leak", "a task of it ignores its end"],
  ["drop_token_messages", "token messages are dropped"],
  ["panic-start", "its next start panics too"],
  ["panic-stop", "it panics as it ends"],
];

const exchangeFaults: [string, string, string, number][] = [
  ["drop", "Cut the sockets", "Every connection of the feed breaks off; it redials at once.", 0],
  ["heartbeat_only", "Stop the ticks", "The socket lives and no tick comes, for 20 s: the feed is stale.", 20_000],
  ["mute", "Silence the sockets", "No data for 10 s; kitestring reconnects.", 10_000],
  ["server_error", "Refuse connections", "Upgrades answer 503, for 10 s; cut the sockets, too, to see it.", 10_000],
  ["forbidden", "Answer 403", "403s for 10 s; the token is checked separately.", 10_000],
  ["rest_502_html", "Break the REST API", "Every REST call answers a proxy's page, for 10 s.", 10_000],
];

const actor = signal("feed");
const fault = signal("panic");
const seconds = signal("");
const result = signal<{ words: string; ok: boolean } | null>(null);

async function report(done: string, answer: Promise<{ ok: boolean; words: string }>): Promise<void> {
  const a = await answer;
  result.value = { ok: a.ok, words: a.ok ? done : a.words };
}

function inject(event: SubmitEvent): void {
  event.preventDefault();
  const s = seconds.value.trim() === "" ? 0 : Number(seconds.value);
  if (!Number.isFinite(s) || s < 0 || s > 3600) {
    result.value = { ok: false, words: "Seconds are between 0 and 3600; leave it blank for the default." };
    return;
  }
  void report(`${words(fault.value)} injected into ${words(actor.value)}.`, post("/api/v1/chaos", { actor: actor.value, kind: fault.value, for_ms: Math.round(s * 1000) }));
}

export function Drills() {
  if (status.value && status.value.profile !== "sim") {
    return (
      <p class="lead">
        Drills break things on purpose: they are for the simulated exchange only. <code>kitestring drill all</code> tries every fault on a server of its own.
      </p>
    );
  }
  const workers = actors.value.filter((a) => a.kind === "worker").map((a) => a.name);
  return (
    <>
      <p class={`note ${result.value?.ok === false ? "bad" : "good"}`} role="status" id="drill-result">
        {result.value?.words ?? ""}
      </p>
      <div class="columns">
        <Card title="In an actor" id="drill-actor">
          <form class="stack" onSubmit={inject}>
            <label for="drill-victim">Actor</label>
            <select id="drill-victim" value={actor.value} onChange={(e) => (actor.value = e.currentTarget.value)}>
              {workers.map((name) => (
                <option key={name} value={name}>
                  {words(name)}
                </option>
              ))}
            </select>
            <label for="drill-fault">Fault</label>
            <select id="drill-fault" value={fault.value} onChange={(e) => (fault.value = e.currentTarget.value)}>
              {actorFaults.map(([kind, text]) => (
                <option key={kind} value={kind}>
                  {kind}: {text}
                </option>
              ))}
            </select>
            <label for="drill-seconds">Seconds (blank for default)</label>
            <input id="drill-seconds" inputMode="decimal" value={seconds.value} onInput={(e) => (seconds.value = e.currentTarget.value)} />
            <button type="submit" class="button primary">
              Inject
            </button>
          </form>
        </Card>
        <Card title="At the exchange" id="drill-exchange">
          <ul class="faults">
            <li>
              <button type="button" class="button" onClick={() => void report("The old token is dead; a new one is in the file.", post("/api/v1/exchange/rotate"))}>
                Rotate the token
              </button>
              <span>The old token dies and another program writes a new one into the file.</span>
            </li>
            {exchangeFaults.map(([kind, name, text, ms]) => (
              <li key={kind}>
                <button type="button" class="button" onClick={() => void report(`${name}: done.`, post("/api/v1/exchange/faults", { kind, for_ms: ms }))}>
                  {name}
                </button>
                <span>{text}</span>
              </li>
            ))}
            <li>
              <button type="button" class="button" onClick={() => void report("The exchange behaves again.", post("/api/v1/exchange/faults", undefined, "DELETE"))}>
                Lift every fault
              </button>
              <span>The exchange behaves again.</span>
            </li>
          </ul>
        </Card>
        <Card title="What happened" id="drill-events">
          <Timeline list={events.value.slice(0, 14)} />
        </Card>
      </div>
    </>
  );
}
