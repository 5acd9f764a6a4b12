// The analyses: the outlook with its votes, and every reading with its inputs.

import { signal } from "@preact/signals";
import { post } from "./act";
import { Age, Bar, ReadingStatus, Signal } from "./parts";
import { clockTime, longDay, minuteTime, none, sentence, value, when, whole, words } from "./format";
import { readings, readingsOf, underlying } from "./state";
import type { Reading } from "./types";

const order = ["outlook", "instant", "trend_base", "zone_control", "volume_pulse", "candle_intent", "pcr", "direct"];
const place = (kind: string) => (order.includes(kind) ? order.indexOf(kind) : order.length);

export const sorted = (name: string): Reading[] => readingsOf(name).sort((a, b) => place(a.kind) - place(b.kind) || a.kind.localeCompare(b.kind));

const kindName = (kind: string): string => (kind === "pcr" ? "PCR" : words(kind));

const usable = (r: Reading) => r.status !== "unavailable";

const flaws = (r: Reading) => [r.partial ? "partial" : "", r.gapped ? "with a gap" : ""].filter(Boolean).join(", ");

// Outlook is the sum of the readings, and why.
export function Outlook() {
  const r = readings.value[`${underlying.value}/outlook`];
  return (
    <section class="card outlook" aria-labelledby="outlook-title" id="card-outlook">
      <div class="card-head">
        <h2 id="outlook-title">Outlook</h2>
        {r && <ReadingStatus status={r.status} />}
      </div>
      {r && usable(r) ? (
        <>
          <p class="figure">
            <Signal signal={r.signal || "neutral"} big />
          </p>
          <p class="lead">
            confidence {whole(Math.round(r.confidence))} of 100, {inputs(r)}
            {flaws(r) ? `, ${flaws(r)}` : ""}. <Age at={r.as_of} exchange />
          </p>
          {r.reason && <p class="note dim">{sentence(r.reason)}.</p>}
          <h3>Why</h3>
          <Votes reading={r} />
        </>
      ) : (
        <p class="lead">{r ? `Unavailable: ${r.reason || "no input yet"}.` : "No reading yet."}</p>
      )}
    </section>
  );
}

interface Vote {
  input: string;
  vote: number | null;
  weight: number;
  age_seconds?: number;
  reason?: string;
}

const votesOf = (r: Reading) => (Array.isArray(r.values?.inputs) ? (r.values.inputs as Vote[]) : []);

// inputs says how many inputs count, in numbers where the reading lists them.
function inputs(r: Reading): string {
  const all = votesOf(r);
  return all.length ? `${all.filter((v) => v.vote !== null).length} of ${all.length} inputs` : `${whole(Math.round(100 * r.coverage))} % of the inputs`;
}

// Votes shows what each input says, left for down, right for up: as long as
// the number beside it, as thick as its weight.
function Votes({ reading }: { reading: Reading }) {
  const votes = votesOf(reading);
  const most = Math.max(1, ...votes.map((v) => v.weight));
  return (
    <ul class="votes" aria-label="Votes of the inputs">
      {votes.map((v) => {
        const length = v.vote === null ? 0 : Math.min(1, Math.abs(v.vote)) * 49;
        const thick = 2 + (8 * v.weight) / most;
        const up = (v.vote ?? 0) >= 0;
        return (
          <li key={v.input} class={v.vote === null ? "missing" : ""}>
            <span class="name">{kindName(v.input)}</span>
            <svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">
              <rect class="axis" x="49.7" width="0.6" height="10" />
              <rect class={up ? "up" : "down"} x={up ? 50 : 50 - length} y={5 - thick / 2} width={length} height={thick} />
            </svg>
            <span class="conf">{v.vote === null ? "silent" : `${v.vote > 0 ? "+" : v.vote < 0 ? "\u2212" : ""}${Math.abs(v.vote).toFixed(2)}`}</span>
            <span class="weight">
              <span class="visually-hidden">weight </span>
              {"\u00d7"}
              {whole(v.weight)}
            </span>
            {v.reason && <span class="reason">{v.reason}</span>}
          </li>
        );
      })}
    </ul>
  );
}

const asked = signal("");

// AskNow asks Kite over REST at once; the answer comes as a reading.
function AskNow({ underlying: name }: { underlying: string }) {
  const ask = async () => {
    const answer = await post(`/api/v1/readings/${name}/direct`);
    asked.value = answer.ok ? `Asked Kite for ${name}.` : answer.words;
  };
  return (
    <p>
      <button type="button" class="button small" onClick={() => void ask()}>
        Ask Kite now
      </button>{" "}
      <output class="hint">{asked}</output>
    </p>
  );
}

const hidden = new Set(["inputs", "reasons"]);

// ReadingCard is one reading in full.
export function ReadingCard({ reading: r }: { reading: Reading }) {
  const id = `reading-${r.kind}`;
  const entries = Object.entries(r.values ?? {}).filter(([k]) => !hidden.has(k));
  const reasons = Array.isArray(r.values?.reasons) ? (r.values.reasons as string[]) : [];
  const oldest = when(r.oldest_input);
  const newest = when(r.as_of);
  return (
    <section class={`card reading ${r.status}`} aria-labelledby={id}>
      <div class="card-head">
        <h2 id={id}>{sentence(kindName(r.kind))}</h2>
        <ReadingStatus status={r.status} />
      </div>
      {r.kind === "direct" && <AskNow underlying={r.underlying} />}
      {usable(r) ? (
        <>
          <p class="figure">
            <Signal signal={r.signal || "none"} big />
          </p>
          <div class="confidence">
            <span>confidence</span>
            <Bar share={r.confidence / 100} />
            <b>{whole(Math.round(r.confidence))}</b>
          </div>
        </>
      ) : (
        <p class="note dim">{sentence(r.reason || "no input yet")}.</p>
      )}
      <p class="lead">
        {newest === null ? "No input yet" : `As of ${clockTime(newest)} IST`}, <Age at={r.as_of} exchange />; {inputs(r)}
        {oldest !== null && newest !== null && newest > oldest ? `, oldest input: ${longDay(oldest)} ${minuteTime(oldest)}` : ""}
        {flaws(r) ? `, ${flaws(r)}` : ""}.
      </p>
      {reasons.length > 0 && (
        <ul class="reasons">
          {reasons.map((x) => (
            <li key={x}>{x}</li>
          ))}
        </ul>
      )}
      {r.kind === "outlook" && usable(r) && <Votes reading={r} />}
      {entries.length > 0 && (
        <dl class="values">
          {entries.map(([k, v]) => (
            <div key={k} class={typeof v === "object" && v !== null ? "many" : ""}>
              <dt>{words(k)}</dt>
              <dd>{value(v)}</dd>
            </div>
          ))}
        </dl>
      )}
      <p class="hint">
        {r.profile}, gen {r.generation || none}, epoch {r.epoch}
      </p>
    </section>
  );
}

// AnalysesPage is every reading of an underlying.
export function AnalysesPage() {
  const list = sorted(underlying.value);
  return (
    <>
      <div class="masonry">
        {list.map((r) => (
          <ReadingCard key={r.kind} reading={r} />
        ))}
        {list.length === 0 && <p class="lead">No reading yet.</p>}
      </div>
    </>
  );
}

