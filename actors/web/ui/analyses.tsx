// The analyses: the outlook with its votes, and every reading with its picture.

import { computed, signal, useSignalEffect } from "@preact/signals";
import { post } from "./act";
import { clockTime, minuteTime, none, price, sentence, signed, value, when, whole, words } from "./format";
import { link } from "./link";
import { Age, lean, Mark, ReadingStatus, Signal } from "./parts";
import { Picture, Strip, usePictureBars, type HistoryPoint } from "./pictures";
import { kindName, say, votesOf } from "./say";
import { readings, readingsOf, underlying } from "./state";
import type { Reading } from "./types";

const order = ["outlook", "instant", "trend_base", "zone_control", "volume_pulse", "candle_intent", "pcr", "direct"];
const place = (kind: string) => (order.includes(kind) ? order.indexOf(kind) : order.length);

export const sorted = (name: string): Reading[] => readingsOf(name).sort((a, b) => place(a.kind) - place(b.kind) || a.kind.localeCompare(b.kind));

const usable = (r: Reading) => r.status !== "unavailable";

const flaws = (r: Reading) => [r.partial ? "partial" : "", r.gapped ? "with a gap" : ""].filter(Boolean).join(", ");

const outlook = computed(() => readings.value[`${underlying.value}/outlook`]);

// Outlook is the sum of the readings, and why.
export function Outlook() {
  const r = outlook.value;
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
          <p class="saying">{say(r)}</p>
          <Votes reading={r} />
        </>
      ) : (
        <p class="lead">{r ? `Unavailable: ${r.reason || "no input yet"}.` : "No reading yet."}</p>
      )}
    </section>
  );
}

// inputs says how many inputs count in full, in numbers where the reading lists
// them.
function inputs(r: Reading): string {
  const all = votesOf(r);
  const full = all.filter((v) => v.vote !== null && (v.counts ?? 1) === 1).length;
  const fading = all.filter((v) => v.vote !== null && (v.counts ?? 1) < 1).length;
  return all.length ? `${full} of ${all.length} inputs${fading ? ` of this session, ${fading} from before it` : ""}` : `${whole(Math.round(100 * r.coverage))} % of its data`;
}

// Votes shows what each input says, left for down, right for up: as long as
// the number beside it, as thick as its weight.
function Votes({ reading }: { reading: Reading }) {
  const votes = votesOf(reading);
  const most = Math.max(1, ...votes.map((v) => v.weight));
  return (
    <ul class="votes" aria-label="Votes of the inputs">
      {votes.map((v) => {
        const counts = v.counts ?? 1;
        const length = v.vote === null ? 0 : Math.min(1, Math.abs(v.vote)) * 49;
        const thick = counts === 0 ? 0 : 2 + (8 * v.weight * counts) / most;
        const up = (v.vote ?? 0) >= 0;
        return (
          <li key={v.input} class={v.vote === null || counts === 0 ? "missing" : ""}>
            <span class="name">{kindName(v.input)}</span>
            <svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">
              <rect class="axis" x="49.7" width="0.6" height="10" />
              <rect class={up ? "up" : "down"} x={up ? 50 : 50 - length} y={5 - thick / 2} width={length} height={thick} />
            </svg>
            <span class="conf">{v.vote === null ? "silent" : signed(v.vote)}</span>
            <span class="weight">
              <span class="visually-hidden">weight </span>
              {"\u00d7"}
              {whole(Math.round(v.weight * counts))}
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

interface Kind {
  kind: string;
  title: string;
  about: string;
  fields: { name: string; label: string; unit: string; help: string }[];
}

const kinds = signal<Kind[]>([]);

interface Sign {
  at: string;
  signal: string;
  confidence: number;
  price: number | null;
  after_15m: { change_percent: number } | null;
  at_close: { change_percent: number } | null;
}

interface History {
  history: HistoryPoint[];
  signals: Sign[];
}

const histories = signal<Record<string, History>>({}); // underlying/kind

const historyAgain = 60_000; // ms

async function get<T>(path: string, cancel: AbortSignal): Promise<T | null> {
  const answer = await fetch(path, { signal: cancel });
  return answer.ok ? ((await answer.json()) as T) : null;
}

// useBackground loads what the cards need besides the readings.
function useBackground(): void {
  usePictureBars();
  useSignalEffect(() => {
    const name = underlying.value;
    if (!name || link.value !== "open") return;
    const cancel = new AbortController();
    const gone = () => undefined; // cancelled, or the server is gone: the banner says so
    if (kinds.peek().length === 0) get<Kind[]>("/api/v1/kinds", cancel.signal).then((list) => list && (kinds.value = list), gone);
    // All of them at once: each card reads them.
    const load = () => {
      Promise.all(order.map((kind) => get<History>(`/api/v1/readings/${encodeURIComponent(name)}/${kind}/history`, cancel.signal))).then((list) => {
        const came = Object.fromEntries(list.flatMap((h, i) => (h ? [[`${name}/${order[i]}`, h]] : [])));
        histories.value = { ...histories.peek(), ...came };
      }, gone);
    };
    load();
    const timer = setInterval(() => !document.hidden && load(), historyAgain);
    return () => {
      clearInterval(timer);
      cancel.abort();
    };
  });
}

// flat gives each figure of a reading its dotted name; a list stays one.
function flat(values: Record<string, unknown>, before = ""): [string, unknown][] {
  return Object.entries(values).flatMap(([k, v]): [string, unknown][] => (v !== null && typeof v === "object" && !Array.isArray(v) ? flat(v as Record<string, unknown>, `${before}${k}.`) : [[before + k, v]]));
}

const drawnAlready = new Set(["inputs", "reasons", "checks"]);

// Details is what stands behind a card: what it is, and its figures.
function Details({ r }: { r: Reading }) {
  const kind = kinds.value.find((k) => k.kind === r.kind);
  const fields = new Map(kind?.fields.map((f, i) => [f.name, { ...f, i }]));
  const entries = flat(r.values ?? {})
    .filter(([k]) => !drawnAlready.has(k))
    .sort(([a], [b]) => (fields.get(a)?.i ?? 999) - (fields.get(b)?.i ?? 999));
  return (
    <details class="more">
      <summary>Details</summary>
      {kind && <p class="lead">{kind.about}</p>}
      <dl class="values">
        {entries.map(([k, v]) => {
          const f = fields.get(k);
          return (
            <div key={k}>
              <dt>
                {f?.label ?? words(k.replaceAll(".", " "))}
                {f?.unit && <span class="hint"> {f.unit}</span>}
              </dt>
              <dd>{value(v)}</dd>
              {f?.help && <dd class="help">{f.help}</dd>}
            </div>
          );
        })}
      </dl>
      <p class="hint">
        Profile {r.profile}, gen {r.generation || none}, epoch {r.epoch}
      </p>
    </details>
  );
}

const after = (of: { change_percent: number } | null): string => (of ? `${signed(of.change_percent)} %` : none);

// Signs is what it signalled in this session, and what the price did then.
function Signs({ list }: { list: Sign[] }) {
  return (
    <details class="more">
      <summary>Last {list.length === 1 ? "signal" : `${list.length} signals`} of this session</summary>
      <div class="wide" tabIndex={0} role="region" aria-label="Signals, scrolls sideways">
        <table>
          <thead>
            <tr>
              <th scope="col">At</th>
              <th scope="col">Signal</th>
              <th scope="col" class="num">
                Price
              </th>
              <th scope="col" class="num">
                15 min
              </th>
              <th scope="col" class="num">
                Close
              </th>
            </tr>
          </thead>
          <tbody>
            {list.map((s, i) => (
              <tr key={i}>
                <td>{minuteTime(when(s.at))}</td>
                <td>
                  <Signal signal={s.signal} /> {whole(Math.round(s.confidence))}
                </td>
                <td class="num">{s.price === null ? none : price(s.price)}</td>
                <td class="num">{after(s.after_15m)}</td>
                <td class="num">{after(s.at_close)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <p class="hint">What the price did 15 minutes later and to the close; a dash: not yet, or no price then. It is no measure of the next signal.</p>
    </details>
  );
}

// standby is a cross-check that nobody needs while the feed lives.
const standby = (r: Reading) => r.signal === "standby";

// ReadingCard is one reading: its picture, its sentence, and the rest behind it.
export function ReadingCard({ reading: r }: { reading: Reading }) {
  const id = `reading-${r.kind}`;
  const newest = when(r.as_of);
  const h = histories.value[`${r.underlying}/${r.kind}`];
  const title = kinds.value.find((k) => k.kind === r.kind)?.title ?? sentence(kindName(r.kind));
  const saying = say(r);
  return (
    <section class={`card reading ${r.status}`} aria-labelledby={id}>
      <div class="card-head">
        <h2 id={id}>{title}</h2>
        {standby(r) ? <Mark tone="dim" glyph={"\u25cc"}>on demand</Mark> : <ReadingStatus status={r.status} />}
      </div>
      {usable(r) && !standby(r) && (
        <p class="figure">
          <Signal signal={r.signal || "none"} big />
          <span class="unit">{whole(Math.round(r.confidence))} of 100</span>
        </p>
      )}
      {usable(r) && !standby(r) && <Picture reading={r} />}
      {r.kind === "outlook" && usable(r) && <Votes reading={r} />}
      {saying && !standby(r) && <p class="saying">{saying}</p>}
      {r.status !== "active" && r.reason && <p class="note dim">{sentence(r.reason)}.</p>}
      {r.kind === "direct" && <AskNow underlying={r.underlying} />}
      <p class="lead">
        {newest === null ? "No input yet" : `As of ${clockTime(newest)} IST`}, <Age at={r.as_of} exchange />; {inputs(r)}
        {flaws(r) ? `, ${flaws(r)}` : ""}.
      </p>
      {h && <Strip list={h.history} lean={lean} />}
      {h && h.signals.length > 0 && <Signs list={h.signals} />}
      {r.values && <Details r={r} />}
    </section>
  );
}

// AnalysesPage is every reading of an underlying.
export function AnalysesPage() {
  useBackground();
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

