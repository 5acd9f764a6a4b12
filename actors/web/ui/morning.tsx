// The morning: what the open needs, as long as the server says that it is shown.

import { Line } from "./cards";
import { minuteTime, when, words } from "./format";
import { Mark, type Tone } from "./parts";
import { readiness } from "./state";
import type { ReadyCheck } from "./types";

const marks: Record<string, [Tone, string]> = {
  ok: ["good", "\u25cf"],
  warning: ["warn", "\u25d4"],
  missing: ["bad", "\u2715"],
  waiting: ["warn", "\u25cb"],
  not_due: ["dim", "\u25cc"],
  off: ["dim", "\u25cc"],
};

function Check({ check }: { check: ReadyCheck }) {
  const [tone, glyph] = marks[check.state] ?? ["dim", "?"];
  return (
    <div>
      <dt>
        <Mark tone={tone} glyph={glyph}>
          {words(check.name)}: {words(check.state)}
        </Mark>{" "}
        <span class="hint">since {minuteTime(when(check.since))}</span>
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
  if (!r?.shown) return null;
  const missing = r.checks.filter((c) => c.state === "missing").length;
  const head = r.ready ? "Ready for the open" : missing > 0 ? `Not ready: ${missing} ${missing === 1 ? "thing is" : "things are"} missing` : "Not ready yet";
  return (
    <Line title={head} id="morning" says={`${r.checks.filter((c) => c.state === "ok").length} of ${r.checks.length} checks are ok`} wrong={!r.ready}>
      <dl class="facts morning">
        {r.checks.map((c) => (
          <Check key={c.name} check={c} />
        ))}
      </dl>
    </Line>
  );
}
