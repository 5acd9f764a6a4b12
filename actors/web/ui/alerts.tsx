// The alerts that the server sends out: which there are, where they go, and a
// test that says what came of it.

import { signal } from "@preact/signals";
import { post } from "./act";
import { words } from "./format";
import { Age } from "./parts";

interface Alerts {
  alerts: { name: string; underlying: string; condition: string; channels: string[]; watches: { underlying: string; holds: boolean; last_fired_at: string | null; reason?: string }[] }[];
  channels: string[];
  deliveries: { id: number; channel: string; arrived: boolean; reason?: string }[];
}

const alerts = signal<Alerts | null>(null);
const said = signal<{ words: string; ok: boolean } | null>(null);
const sending = signal(false);

const patience = 30_000; // ms that a test may take to arrive

async function ask(): Promise<Alerts | null> {
  try {
    const answer = await fetch("/api/v1/alerts", { cache: "no-store" });
    return answer.ok ? ((await answer.json()) as Alerts) : null;
  } catch {
    return null; // the server is gone: the banner says so
  }
}

// loadAlerts asks for them: the dialog is opened.
export async function loadAlerts(): Promise<void> {
  said.value = null;
  alerts.value = await ask();
}

async function test(): Promise<void> {
  sending.value = true;
  said.value = null;
  const answer = await post<{ id: number; channels: string[] }>("/api/v1/alerts/test", { name: "" });
  if (!answer.ok || !answer.value) {
    said.value = { words: answer.words, ok: false };
  } else {
    said.value = await outcome(answer.value.id, answer.value.channels);
  }
  sending.value = false;
}

// outcome waits until every channel has said what came of a test.
async function outcome(id: number, channels: string[]): Promise<{ words: string; ok: boolean }> {
  for (const end = performance.now() + patience; performance.now() < end; await new Promise((done) => setTimeout(done, 1000))) {
    const of = ((await ask())?.deliveries ?? []).filter((d) => d.id === id);
    if (of.length < channels.length) continue;
    const failed = of.filter((d) => !d.arrived);
    if (failed.length) return { words: failed.map((d) => `${d.channel}: ${d.reason ?? "it did not arrive"}.`).join(" "), ok: false };
    return { words: `It arrived: ${of.map((d) => d.channel).join(", ")}.`, ok: true };
  }
  return { words: `Nothing came of it within ${patience / 1000} s.`, ok: false };
}

export function ServerAlerts() {
  const a = alerts.value;
  if (!a) return null;
  return (
    <section aria-labelledby="server-alerts">
      <h3 id="server-alerts">Sent by the server</h3>
      {a.channels.length === 0 ? (
        <p class="lead">
          No channel is set up. <code>kitestring alerts --help</code> says how.
        </p>
      ) : (
        <p class="actions">
          <span>To {a.channels.join(", ")}</span>
          <button type="button" class="button small" disabled={sending.value} onClick={() => void test()}>
            {sending.value ? "Sending\u2026" : "Send a test"}
          </button>
        </p>
      )}
      <p class={`note ${said.value?.ok ? "good" : "bad"}`} role="status">
        {said.value?.words}
      </p>
      {a.alerts.length > 0 && (
        <ul class="alerts">
          {a.alerts.map((x) => {
            const fired = x.watches
              .map((w) => w.last_fired_at)
              .filter((at) => at !== null)
              .sort()
              .at(-1);
            const why = x.watches.find((w) => w.reason)?.reason;
            return (
              <li key={x.name}>
                <b>{words(x.name)}</b> {x.underlying || "each underlying"}: {x.condition}
                {fired && <Age at={fired} exchange of="; fired" />}
                {why && <span class="hint"> ({why})</span>}
              </li>
            );
          })}
        </ul>
      )}
    </section>
  );
}
