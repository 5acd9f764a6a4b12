// The page of the events: the timeline, and the rotations.

import { Stages } from "./cards";
import { clockTime, millis, when, words } from "./format";
import { Card, Choice, Search } from "./parts";
import { events, rotations } from "./state";
import { eventFilter, eventKind, shownEvents, Timeline } from "./timeline";

export function EventsPage() {
  const shown = shownEvents();
  const kinds = [...new Set(events.value.map((e) => e.kind))].sort();
  return (
    <>
      <div class="filters">
        <Search label="Search the events" value={eventFilter} />
        <Choice label="Kind of event" options={[["", "all"], ...kinds.map((k): [string, string] => [k, words(k)])]} value={eventKind.value} onPick={(k) => (eventKind.value = k)} />
      </div>
      <div class="split">
        <section class="card" aria-label="Events">
          {shown.length ? <Timeline list={shown} /> : <p class="lead">No event matches.</p>}
        </section>
        <Card title="Rotations" id="receipts">
          {rotations.value.length === 0 && <p class="lead">The token has not changed since the start.</p>}
          {rotations.value.slice(0, 10).map((r) => (
            <details class="receipt" key={r.generation} open={r === rotations.value[0]}>
              <summary>
                <b>gen {r.generation}</b> {r.result} {r.total_ms === null ? "" : `in ${millis(r.total_ms)}`} <span class="dim">{clockTime(when(r.changed_at))}</span>
              </summary>
              <Stages rotation={r} />
            </details>
          ))}
        </Card>
      </div>
    </>
  );
}

