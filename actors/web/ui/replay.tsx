// The badge of a replayed day: the recording's time, and how fast it runs.

import { post } from "./act";
import type { Status } from "./types";

const speeds: [string, string][] = [["0", "stand still"], ["1", "1x"], ["10", "10x"], ["60", "60x"], ["600", "600x"], ["max", "max"]];

export function ReplayBadge(r: NonNullable<Status["replay"]>) {
  const speed = r.max ? "max" : String(r.speed);
  const known = speeds.some(([value]) => value === speed);
  const set = (value: string) => void post("/api/v1/replay", value === "max" ? { speed: 0, max: true } : { speed: Number(value) });
  return (
    <>
      <span class="badge replay" title="A recorded day runs in the exchange's place. Its time is the clock's.">
        REPLAY {r.day}
        {r.waiting ? ", about to begin" : r.ended ? ", at its end" : ""}
      </span>
      <label class="replay-speed">
        <span class="wide-only">Speed </span>
        <select aria-label="Speed of the replay" value={speed} onChange={(e) => set(e.currentTarget.value)}>
          {!known && <option value={speed}>{speed}x</option>}
          {speeds.map(([value, name]) => (
            <option key={value} value={value}>
              {name}
            </option>
          ))}
        </select>
      </label>
    </>
  );
}
