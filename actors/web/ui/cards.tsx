// Token, feed, last rotation and restarts: a line each while all is well, and
// open when something is wrong.

import type { ComponentChildren } from "preact";
import { ActorState, Age, Mark, type Tone } from "./parts";
import { age, clockTime, count, longDay, minuteTime, millis, none, sentence, span, when, whole, words } from "./format";
import { actors, ageOf, events, exchangeNow, rates, rotations, sinceUpdate, status, token } from "./state";
import { LoginBox, loginInBanner } from "./login";
import type { PeerToken, Rotation } from "./types";

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

// tokenNotes are what a person should know of the token.
function tokenNotes(): [Tone, string][] {
  const s = status.value;
  const t = token.value;
  const notes: [Tone, string][] = [];
  if (s && s.token.generation > 0 && !s.token.coherent) notes.push(["warn", "Some services still use an older token."]);
  if (s?.token.reason) notes.push([tokenMarks[s.token.state]?.[0] ?? "dim", s.token.reason]);
  if (t?.file_fault) notes.push(["bad", t.file_fault]);
  if (t?.candidate) {
    const c = t.candidate;
    notes.push(["warn", `The token in the file is another one (gen ${c.generation}, ${words(c.state)})${c.reason ? `: ${c.reason}` : "."}`]);
  }
  if (t?.login_due) notes.push(["warn", "The daily login is due."]);
  for (const w of t?.warnings ?? []) notes.push(["warn", sentence(w)]);
  if (t && t.watcher !== "events") notes.push(["warn", `The file is watched by ${t.watcher}`]);
  return notes;
}

// Line says in one line how something stands, with the facts behind it.
export function Line({ title, id, mark, says, wrong, children }: { title: string; id: string; mark?: ComponentChildren; says: ComponentChildren; wrong: boolean; children: ComponentChildren }) {
  return (
    <details class="card line" id={`card-${id}`} open={wrong}>
      <summary>
        <h2>{title}</h2>
        {mark}
        <span class="says">{says}</span>
      </summary>
      {children}
    </details>
  );
}

export function TokenLine() {
  const s = status.value;
  const t = token.value;
  const [tone, glyph, word] = tokenMarks[s?.token.state ?? ""] ?? ["dim", "\u25cb", none];
  const expires = when(t?.expires_hint);
  const left = expires === null ? null : expires - exchangeNow();
  const notes = tokenNotes();
  return (
    <Line
      title="Token"
      id="token"
      mark={
        <Mark tone={tone} glyph={glyph}>
          {word}
        </Mark>
      }
      says={
        s && s.token.generation > 0 ? (
          <>
            gen {s.token.generation}
            {left === null || left < 0 ? "" : `, till about ${longDay(expires!)} ${minuteTime(expires!)}`}
            {s.token.coherent ? ", all services use it" : ""}
          </>
        ) : (
          ""
        )
      }
      wrong={tone !== "good" || notes.length > 0}
    >
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
      {notes.map(([of, text]) => (
        <p class={`note ${of}`} key={text}>
          {text}
        </p>
      ))}
      {!loginInBanner() && <LoginBox />}
    </Line>
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

export function FeedLine() {
  const s = status.value;
  let [tone, glyph, word] = feedMarks[s?.feed.state ?? ""] ?? (["dim", "\u25cb", none] as [Tone, string, string]);
  if (s && s.feed.state === "streaming" && !s.live) [tone, glyph, word] = ["warn", "\u25b2", "Stale"];
  else if (s && s.feed.state === "streaming" && s.market.phase !== "open") [tone, glyph, word] = ["calm", "\u25d1", "Connected"];
  const gap = s?.feed.last_gap;
  const grown = sinceUpdate();
  const since = (seconds: number | null) => age(seconds === null ? null : seconds * 1000 + grown);
  return (
    <Line
      title="Feed"
      id="feed"
      mark={
        <Mark tone={tone} glyph={glyph}>
          {word}
        </Mark>
      }
      says={
        s && (
          <>
            <output aria-live="off">{whole(Math.round(s.feed.ticks_per_second))}</output> ticks/s, {count(s.feed.instruments, "instrument")} on {count(s.feed.sockets, "socket")}
          </>
        )
      }
      wrong={tone === "warn" || tone === "bad" || (s?.feed.refused.length ?? 0) > 0 || Boolean(s?.market.warning)}
    >
      <Sparkline />
      {s && (
        <dl class="facts">
          <Fact name="last tick">{since(s.feed.last_tick_age_seconds)}</Fact>
          <Fact name="last frame">{since(s.feed.last_frame_age_seconds)}</Fact>
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
    </Line>
  );
}

// Sparkline is the ticks a second since the page was opened, at most a minute.
function Sparkline() {
  const list = rates.value;
  const top = Math.max(1, ...list.map((r) => r.rate));
  const end = list.at(-1)?.at ?? 0;
  const wide = Math.max(1, end - (list[0]?.at ?? 0));
  const points = list.map((r) => `${(300 - (300 * (end - r.at)) / wide).toFixed(1)},${(38 - (34 * r.rate) / top).toFixed(1)}`);
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

export function RotationLine() {
  const r = rotations.value[0];
  const [tone, glyph] = r ? (resultMarks[r.result] ?? ["dim", "?"]) : (["dim", none] as [Tone, string]);
  return (
    <Line
      title="Last rotation"
      id="rotation"
      mark={
        r && (
          <Mark tone={tone} glyph={glyph}>
            gen {r.generation} {r.result}
          </Mark>
        )
      }
      says={
        r ? (
          <>
            {r.total_ms === null ? "" : `${millis(r.total_ms)} total, `}
            {lost(r)}, <Age at={r.changed_at} />
          </>
        ) : (
          "The token has not changed since the start."
        )
      }
      wrong={r?.result === "rejected"}
    >
      {r && (
        <>
          <Stages rotation={r} />
          <p class="lead">
            {r.ticks_duplicated ? `${count(r.ticks_duplicated, "snapshot repeat")}. ` : ""}Source: {words(r.source)}.{r.reason ? ` ${sentence(r.reason)}` : ""}
          </p>
        </>
      )}
    </Line>
  );
}

function lost(r: Rotation): string {
  if (r.ticks_lost === null) return "lost ticks cannot be counted here";
  const streamed = r.gateway_clients ? `; ${count(r.gateway_clients, "gateway socket")} streamed on` : "";
  return `${r.ticks_lost === 0 ? "no ticks" : count(r.ticks_lost, "tick")} lost${streamed}`;
}

export function RestartsLine() {
  const s = status.value;
  const workers = actors.value.filter((a) => a.kind === "worker");
  const restarted = workers.filter((a) => a.restarts > 0).sort((a, b) => a.uptime_seconds - b.uptime_seconds);
  const last = events.value.find((e) => e.kind === "actor");
  const all = s !== null && s.actors.running === s.actors.total;
  const started = ageOf(s?.process.started_at);
  return (
    <Line
      title="Restarts"
      id="restarts"
      mark={
        s && (
          <Mark tone={all ? "good" : "bad"} glyph={all ? "\u25cf" : "\u25d4"}>
            {s.actors.running} of {s.actors.total} run
          </Mark>
        )
      }
      says={s && `${count(s.actors.restarts, "restart")} since the start`}
      wrong={!all}
    >
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
    </Line>
  );
}

function peerToken(t: PeerToken): ComponentChildren {
  if (!t.fingerprint) return "none";
  return (
    <>
      <code>{t.fingerprint}</code>, gen {t.generation}, {t.valid ? `accepted by Kite for ${span(t.age_seconds * 1000)}` : "refused or not proven"}
      {t.pending ? "; a newer one is being checked" : ""}
    </>
  );
}

// PeerLine is the second server that shares the login; nothing where there is none.
export function PeerLine() {
  const p = status.value?.peer;
  if (!p) return null;
  const wrong = !p.coherent || Boolean(p.warning);
  const compared = age(p.compared_age_seconds === null ? null : p.compared_age_seconds * 1000 + sinceUpdate());
  return (
    <Line
      title="Peer"
      id="peer"
      mark={
        <Mark tone={!p.coherent ? "bad" : wrong ? "warn" : "good"} glyph={!p.coherent ? "\u2715" : wrong ? "\u25b2" : "\u25cf"}>
          {!p.coherent ? "Not one token" : p.reason ? "No token to share" : "One token"}
        </Mark>
      }
      says={
        <>
          shared with {p.name}, compared <span class="age">{compared}</span>
        </>
      }
      wrong={wrong}
    >
      <dl class="facts">
        <Fact name="server">
          {p.name}, {p.peer_addr ? `at ${p.peer_addr}` : "connects to this one"}
          {p.version ? `, version ${p.version}` : ""}
        </Fact>
        <Fact name="token here">{peerToken(p.mine)}</Fact>
        <Fact name="token there">{peerToken(p.theirs)}</Fact>
        <Fact name="its clock">{Math.abs(p.clock_offset_seconds) < 1 ? "as this one's" : `${span(Math.abs(p.clock_offset_seconds) * 1000)} ${p.clock_offset_seconds > 0 ? "ahead" : "behind"}`}</Fact>
      </dl>
      {p.reason && <p class={`note ${p.coherent ? "dim" : "bad"}`}>{sentence(p.reason)}</p>}
      {p.warning && <p class="note warn">{sentence(p.warning)}</p>}
    </Line>
  );
}
