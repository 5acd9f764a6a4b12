// The morning: what the open needs, from 08:00 to the first live minute.

import { effect, signal } from "@preact/signals";
import { minuteTime, when, words } from "./format";
import { Card, Mark, type Tone } from "./parts";
import { exchangeNow, readiness, status } from "./state";
import type { ReadyCheck } from "./types";

const marks: Record<string, [Tone, string]> = {
  ok: ["good", "\u25cf"],
  warning: ["warn", "\u25d4"],
  missing: ["bad", "\u2715"],
  waiting: ["warn", "\u25cb"],
  not_due: ["dim", "\u25cc"],
  off: ["dim", "\u25cc"],
};

const zone = 5.5 * 3600_000; // IST
const day = 86400_000;
const dayOf = (at: number) => Math.floor((at + zone) / day);
const begins = 8 * 3600_000;
const firstMinute = 60_000;

// Since when data has been live in the session that this page saw begin;
// exchange time. 0: it has not, null: the page came when the session ran.
const liveSince = signal<number | null>(null);

effect(() => {
  const s = status.value;
  if (!s) return;
  if (s.market.phase !== "open") liveSince.value = 0;
  else if (liveSince.peek() === 0 && s.live) liveSince.value = Date.parse(s.market.exchange_time);
});

// due reports whether a session is to come today, or its first live minute.
function due(): boolean {
  const s = status.value;
  const now = exchangeNow();
  if (!s || (now + zone) % day < begins) return false;
  if (s.market.phase === "open") {
    const since = liveSince.value;
    return !s.live || (since !== null && (since === 0 || now - since < firstMinute));
  }
  const next = when(s.market.next_change_at);
  return ["closed", "pre_open", "matching"].includes(s.market.phase) && next !== null && dayOf(next) === dayOf(now);
}

function Line({ check }: { check: ReadyCheck }) {
  const [tone, glyph] = marks[check.state] ?? ["dim", "?"];
  return (
    <div>
      <dt>
        <Mark tone={tone} glyph={glyph}>
          {words(check.name)}: {words(check.state)}
        </Mark>{" "}
        <span class="age">since {minuteTime(when(check.since))}</span>
      </dt>
      <dd>
        {check.detail}
        {check.fix && <p class={`note ${tone}`}>{check.fix}</p>}
      </dd>
    </div>
  );
}

export function Morning() {
  const r = readiness.value;
  if (!r || r.checks.length === 0 || !due()) return null;
  const missing = r.checks.filter((c) => c.state === "missing").length;
  const head = r.ready ? "Ready for the open" : missing > 0 ? `Not ready: ${missing} ${missing === 1 ? "thing is" : "things are"} missing` : "Not ready yet";
  return (
    <Card title={head} id="morning">
      <dl class="facts morning">
        {r.checks.map((c) => (
          <Line key={c.name} check={c} />
        ))}
      </dl>
    </Card>
  );
}
