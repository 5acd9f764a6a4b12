// The cards of the first screen: token, feed, last rotation, restarts.

import type { ComponentChildren } from "preact";
import { ActorState, Age, Card, Mark, type Tone } from "./parts";
import { age, clockTime, count, longDay, minuteTime, millis, none, sentence, span, when, whole, words } from "./format";
import { actors, ageOf, events, exchangeNow, rates, rotations, sinceUpdate, status, token } from "./state";
import { LoginBox } from "./login";
import type { Rotation } from "./types";

function Fact({ name, children }: { name: string; children: ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

const tokenMarks: Record<string, [Tone, string, string]> = {
  valid: ["good", "\u25cf", "Valid"],
  unverified: ["warn", "\u25cb", "Being checked"],
  suspect: ["warn", "\u25d4", "Unconfirmed"],
  rejected: ["bad", "\u2715", "Rejected"],
  no_token: ["bad", "\u25cc", "No token"],
};

export function TokenCard() {
  const s = status.value;
  const t = token.value;
  const [tone, glyph, word] = tokenMarks[s?.token.state ?? ""] ?? ["dim", "\u25cb", none];
  const expires = when(t?.expires_hint);
  const left = expires === null ? null : expires - exchangeNow();
  return (
    <Card title="Token" id="token">
      <p class="figure">
        <Mark tone={tone} glyph={glyph}>
          {word}
        </Mark>
      </p>
      {s && s.token.generation > 0 ? (
        <dl class="facts">
          <Fact name="generation">
            <b>gen {s.token.generation}</b>, <code title="first 8 hex digits of the token's SHA-256">{s.token.fingerprint}</code>
          </Fact>
          <Fact name="age">
            since {clockTime(when(t?.since))}, <Age at={t?.since} />
          </Fact>
          <Fact name={left !== null && left < 0 ? "expired" : "valid"}>{expires === null || left === null ? "unknown" : left < 0 ? age(-left) : `till about ${longDay(expires)} ${minuteTime(expires)}`}</Fact>
          <Fact name="checked">
            <Age at={t?.checked_at} />
            {s.token.coherent ? ", all services use it" : ""}
          </Fact>
        </dl>
      ) : (
        <p class="lead">{s ? "None adopted since the start." : ""}</p>
      )}
      {s && s.token.generation > 0 && !s.token.coherent && <p class="note warn">Some services still use an older token.</p>}
      {s?.token.reason && <p class={`note ${tone}`}>{s.token.reason}</p>}
      {t?.file_fault && <p class="note bad">{t.file_fault}</p>}
      {t?.candidate && (
        <p class="note warn">
          The token in the file is another one (gen {t.candidate.generation}, {words(t.candidate.state)}){t.candidate.reason ? `: ${t.candidate.reason}` : "."}
        </p>
      )}
      {t?.login_due && <p class="note warn">The daily login is due.</p>}
      {t?.warnings.map((w) => (
        <p class="note warn" key={w}>
          {sentence(w)}
        </p>
      ))}
      {t && t.watcher !== "events" && <p class="note warn">The file is watched by {t.watcher}</p>}
      <LoginBox />
    </Card>
  );
}

const feedMarks: Record<string, [Tone, string, string]> = {
  streaming: ["good", "\u25cf", "Streaming"],
  connecting: ["warn", "\u25cb", "Connecting"],
  backoff: ["bad", "\u25d4", "Down"],
  unauthorised: ["bad", "\u2715", "Parked"],
  awaiting_token: ["bad", "\u25cc", "Awaiting a token"],
  stopped: ["dim", "\u25cc", "Stopped"],
};

export function FeedCard() {
  const s = status.value;
  let [tone, glyph, word] = feedMarks[s?.feed.state ?? ""] ?? (["dim", "\u25cb", none] as [Tone, string, string]);
  if (s && s.feed.state === "streaming" && !s.live) [tone, glyph, word] = ["warn", "\u25b2", "Stale"];
  else if (s && s.feed.state === "streaming" && s.market.phase !== "open") [tone, glyph, word] = ["calm", "\u25d1", "Connected"];
  const gap = s?.feed.last_gap;
  const grown = sinceUpdate();
  const since = (seconds: number | null) => age(seconds === null ? null : seconds * 1000 + grown);
  return (
    <Card
      title="Feed"
      id="feed"
      aside={
        <Mark tone={tone} glyph={glyph}>
          {word}
        </Mark>
      }
    >
      <p class="figure">
        <output aria-live="off">{s ? whole(Math.round(s.feed.ticks_per_second)) : none}</output> <span class="unit">ticks/s</span>
      </p>
      <Sparkline />
      {s && (
        <dl class="facts">
          <Fact name="last tick">{since(s.feed.last_tick_age_seconds)}</Fact>
          <Fact name="last frame">{since(s.feed.last_frame_age_seconds)}</Fact>
          <Fact name="instruments">{whole(s.feed.instruments)} on {count(s.feed.sockets, "socket")}</Fact>
          <Fact name="last gap">
            {gap ? `${count(gap.instruments, "instrument")}, ` : "none since the start"}
            {gap && <Age at={gap.at} />}
          </Fact>
          <Fact name="market">{words(s.market.phase)} until {clockTime(when(s.market.next_change_at)).slice(0, 5)}</Fact>
        </dl>
      )}
      {s?.feed.reason && <p class={`note ${tone}`}>{sentence(s.feed.reason)}</p>}
      {s?.feed.refused.map((r) => (
        <p class="note warn" key={r.instrument_token}>
          Not subscribed: {r.tradingsymbol || r.instrument_token}. {sentence(r.reason)}
        </p>
      ))}
      {s?.market.warning && <p class="note warn">{s.market.warning}</p>}
    </Card>
  );
}

// Sparkline is the last minute's ticks a second; the figure above says the same.
function Sparkline() {
  const list = rates.value;
  const top = Math.max(1, ...list.map((r) => r.rate));
  const end = list.at(-1)?.at ?? 0;
  const points = list.map((r) => `${(300 - (end - r.at) / 200).toFixed(1)},${(38 - (34 * r.rate) / top).toFixed(1)}`);
  const first = points[0]?.split(",")[0] ?? "300";
  return (
    <svg class="spark" viewBox="0 0 300 40" preserveAspectRatio="none" aria-hidden="true">
      {points.length > 1 && (
        <>
          <polygon points={`${first},40 ${points.join(" ")} 300,40`} />
          <polyline points={points.join(" ")} />
        </>
      )}
    </svg>
  );
}

const stages: [keyof Rotation, string][] = [
  ["detected_ms", "detected"],
  ["validated_ms", "validated"],
  ["dialled_ms", "dialled"],
  ["first_frame_ms", "first frame"],
  ["first_tick_ms", "first tick"],
  ["retired_ms", "old closed"],
];

// Stages is a receipt as a small timeline, from the change of the file on.
export function Stages({ rotation }: { rotation: Rotation }) {
  const at = stages.map(([key]) => rotation[key] as number | null);
  const end = Math.max(1, ...at.filter((v) => v !== null));
  // A square root keeps the first milliseconds apart and the last hundreds in.
  const place = (ms: number) => 100 * Math.sqrt(Math.max(0, ms) / end);
  return (
    <ol class="stages">
      <li>
        <span>file changed</span>
        <Track to={0} />
        <span class="ms">{clockTime(when(rotation.changed_at))}</span>
      </li>
      {stages.map(([key, name]) => {
        const ms = rotation[key] as number | null;
        return (
          <li key={key} class={ms === null ? "missing" : ""}>
            <span>{name}</span>
            <Track to={ms === null ? null : place(ms)} />
            <span class="ms">{ms === null ? <span title="it did not happen">{none}</span> : millis(ms)}</span>
          </li>
        );
      })}
    </ol>
  );
}

function Track({ to }: { to: number | null }) {
  return (
    <svg class="track" aria-hidden="true">
      <line x1="4" x2="100%" y1="50%" y2="50%" class="rail" />
      {to !== null && (
        <>
          <line x1="4" x2={`${to * 0.96}%`} y1="50%" y2="50%" class="run" />
          <circle cx={`${2 + to * 0.96}%`} cy="50%" r="3.5" />
        </>
      )}
    </svg>
  );
}

const resultMarks: Record<Rotation["result"], [Tone, string]> = {
  pending: ["warn", "\u25cb"],
  adopted: ["good", "\u25cf"],
  rejected: ["bad", "\u2715"],
  superseded: ["dim", "\u25cc"],
};

export function RotationCard() {
  const r = rotations.value[0];
  if (!r) {
    return (
      <Card title="Last rotation" id="rotation">
        <p class="figure dim">{none}</p>
        <p class="lead">The token has not changed since the start.</p>
      </Card>
    );
  }
  const [tone, glyph] = resultMarks[r.result] ?? ["dim", "?"];
  return (
    <Card
      title="Last rotation"
      id="rotation"
      aside={
        <Mark tone={tone} glyph={glyph}>
          gen {r.generation} {r.result}
        </Mark>
      }
    >
      <p class="figure">
        {r.total_ms === null ? none : millis(r.total_ms).replace(/ .*/, "")} <span class="unit">{r.total_ms === null ? "" : millis(r.total_ms).replace(/.* /, "")} total</span>
        <Age at={r.changed_at} />
      </p>
      <Stages rotation={r} />
      <p class="lead">
        {r.ticks_lost === null ? "Lost ticks cannot be counted here" : `${r.ticks_lost === 0 ? "No ticks" : count(r.ticks_lost, "tick")} lost`}
        {!r.ticks_duplicated ? "" : `; ${count(r.ticks_duplicated, "snapshot repeat")}`}. Source: {words(r.source)}.
        {r.reason ? ` ${sentence(r.reason)}` : ""}
      </p>
    </Card>
  );
}

export function RestartsCard() {
  const s = status.value;
  const workers = actors.value.filter((a) => a.kind === "worker");
  const restarted = workers.filter((a) => a.restarts > 0).sort((a, b) => a.uptime_seconds - b.uptime_seconds);
  const last = events.value.find((e) => e.kind === "actor");
  const all = s !== null && s.actors.running === s.actors.total;
  const started = ageOf(s?.process.started_at);
  return (
    <Card
      title="Restarts"
      id="restarts"
      aside={
        s && (
          <Mark tone={all ? "good" : "bad"} glyph={all ? "\u25cf" : "\u25d4"}>
            {s.actors.running} of {s.actors.total} run
          </Mark>
        )
      }
    >
      <p class="figure">
        {s ? whole(s.actors.restarts) : none} <span class="unit">{s?.actors.restarts === 1 ? "restart" : "restarts"} since the start</span>
      </p>
      <ul class="dots" aria-label="Actors at a glance">
        {workers.map((a) => (
          <li key={a.name} title={`${words(a.name)}: ${words(a.state)}`}>
            <ActorState state={a.state} name={words(a.name)} />
          </li>
        ))}
      </ul>
      {s && s.actors.not_running.length > 0 && <p class="note bad">Not running: {s.actors.not_running.map(words).join(", ")}</p>}
      {s && s.actors.quarantined > 0 && <p class="note bad">{count(s.actors.quarantined, "actor")} in quarantine: too many failures. Restart it on the Actors page.</p>}
      <dl class="facts">
        {restarted.slice(0, 3).map((a) => (
          <Fact key={a.name} name={words(a.name)}>{count(a.restarts, "restart")}, up {span(a.uptime_seconds * 1000 + sinceUpdate())}</Fact>
        ))}
        <Fact name="server">up {started === null ? none : span(started)}, process {s?.process.id ?? none}</Fact>
      </dl>
      <p class="lead">
        {last ? (
          <>
            {sentence(last.text)}, <Age at={last.at} />
          </>
        ) : (
          "No actor has failed since the start."
        )}
      </p>
    </Card>
  );
}
