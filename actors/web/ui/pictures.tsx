// The picture of a reading: what it looks at, and what it sees there.

import { computed, signal, useSignalEffect } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { minuteTime, price, short, when, whole } from "./format";
import { link } from "./link";
import { useWidth } from "./parts";
import { checksOf, num, openInterest, zone, type Zone } from "./say";
import { exchangeNow, loadBars, sessionEnd, underlying } from "./state";
import type { Bar, Reading } from "./types";

// The bars that the readings are of: five minutes, of the index and the future.
const bars = { index: signal<Bar[]>([]), future: signal<Bar[]>([]) };
type Source = keyof typeof bars;

const again = 15_000; // ms

// usePictureBars loads them while the page is shown.
export function usePictureBars(): void {
  useSignalEffect(() => {
    const name = underlying.value;
    if (!name || link.value !== "open") return;
    const cancel = new AbortController();
    const load = () => {
      for (const source of ["index", "future"] as Source[]) {
        loadBars(name, source, "5m", cancel.signal).then(
          (list) => (bars[source].value = list.slice(-60)),
          () => undefined, // cancelled, or the server is gone: the banner says so
        );
      }
    };
    load();
    const timer = setInterval(() => !document.hidden && load(), again);
    return () => {
      clearInterval(timer);
      cancel.abort();
    };
  });
}

interface Band {
  low: number;
  high: number;
  tone: "up" | "down";
}

interface Point {
  at: number | null; // ms
  price: number | null;
  tone: "up" | "down";
}

const height = 150;

// Candles draws the last bars, with bands, lines through points and marks.
function Candles({ list, label, bands = [], lines = [], points = [], marked }: { list: Bar[]; label: string; bands?: Band[]; lines?: [number, string][]; points?: Point[]; marked?: number }) {
  const [host, wide] = useWidth<HTMLElement>();
  const shown = list.slice(-Math.max(12, Math.floor(wide / 9)));
  const near = (n: number) => n > 0;
  const all = [...shown.flatMap((b) => [b.high, b.low]), ...points.flatMap((x) => (x.price !== null && x.at !== null ? [x.price] : [])), ...lines.map(([at]) => at)].filter(near);
  const spread = Math.max(...all) - Math.min(...all);
  const low = Math.min(...all) - spread * 0.06;
  const high = Math.max(...all) + spread * 0.06;
  const y = (v: number) => height - (height * (v - low)) / Math.max(1e-9, high - low);
  const step = wide / (shown.length + 1);
  const first = shown[0] ? Date.parse(shown[0].start) : 0;
  const place = (at: number) => {
    const i = shown.findIndex((b) => Date.parse(b.start) >= at);
    return at < first ? null : ((i < 0 ? shown.length - 1 : i) + 0.5) * step;
  };
  const path = (tone: "up" | "down") => {
    const of = points.filter((q) => q.tone === tone).flatMap((q) => (q.at === null || q.price === null || place(q.at) === null ? [] : [`${place(q.at)},${y(q.price)}`]));
    return of.length > 1 ? <polyline class={`trend ${tone}`} points={of.join(" ")} /> : null;
  };
  return (
    <figure class="picture" ref={host}>
      <svg width={wide} height={height} role="img" aria-label={label}>
        {shown.length > 0 &&
          bands.map((b) => {
            const top = Math.max(0, y(b.high));
            const bottom = Math.min(height, y(b.low));
            return bottom > 0 && top < height ? <rect key={`${b.low}`} class={`band ${b.tone}`} x="0" width={wide} y={top} height={Math.max(2, bottom - top)} /> : null;
          })}
        {shown.map((b, i) => {
          const x = (i + 0.5) * step;
          const to = b.close >= b.open ? "up" : "down";
          return (
            <g key={b.start} class={`candle ${to} ${marked !== undefined && Date.parse(b.start) === marked ? "marked" : ""}`}>
              <line x1={x} x2={x} y1={y(b.high)} y2={y(b.low)} />
              <rect x={x - step * 0.32} width={Math.max(1, step * 0.64)} y={y(Math.max(b.open, b.close))} height={Math.max(1, Math.abs(y(b.open) - y(b.close)))} />
            </g>
          );
        })}
        {path("up")}
        {path("down")}
        {points.map((q) => {
          const x = q.at === null ? null : place(q.at);
          return x !== null && q.price !== null && <circle key={`${q.tone}${q.at}`} class={q.tone} cx={x} cy={y(q.price)} r="4" />;
        })}
        {lines.map(([at, name]) => (
          <g key={name} class="level">
            <line x1="0" x2={wide} y1={y(at)} y2={y(at)} />
            <text x="2" y={y(at) - 3}>
              {name}
            </text>
          </g>
        ))}
      </svg>
    </figure>
  );
}

function Zones({ r }: { r: Reading }) {
  const of = (name: string, tone: "up" | "down"): Band[] => ((r.values?.[name] as Zone[] | undefined) ?? []).map((z) => ({ low: z.low ?? z.level, high: z.high ?? z.level, tone }));
  const near: [Zone | null, string][] = [
    [zone(r, "nearest_support"), "support"],
    [zone(r, "nearest_resistance"), "resistance"],
  ];
  const lines = near.flatMap(([z, name]): [number, string][] => (z ? [[z.level, `${name} ${price(z.level)}`]] : []));
  return <Candles list={bars.index.value} bands={[...of("support", "up"), ...of("resistance", "down")]} lines={lines} label="The zones as bands on the last bars of the index" />;
}

function Swings({ r }: { r: Reading }) {
  const at = (name: string) => when(r.values?.[name] as string | undefined);
  const points: Point[] = [
    { at: at("prev_high_at"), price: num(r, "prev_high"), tone: "up" },
    { at: at("last_high_at"), price: num(r, "last_high"), tone: "up" },
    { at: at("prev_low_at"), price: num(r, "prev_low"), tone: "down" },
    { at: at("last_low_at"), price: num(r, "last_low"), tone: "down" },
  ];
  return <Candles list={bars.index.value} points={points} label="The last swings, marked on the bars of the index" />;
}

function Volumes() {
  const [host, wide] = useWidth<HTMLElement>();
  const shown = bars.future.value.filter((b) => b.volume > 0).slice(-30);
  const most = Math.max(1, ...shown.map((b) => b.volume));
  const step = wide / Math.max(1, shown.length);
  const tall = 110;
  const middle = tall / 2;
  return (
    <figure class="picture" ref={host}>
      <svg width={wide} height={tall} role="img" aria-label="Volume of the future's last bars: rising bars upwards, falling bars downwards">
        <line class="axis" x1="0" x2={wide} y1={middle} y2={middle} />
        {shown.map((b, i) => {
          const h = (b.volume / most) * (middle - 2);
          const up = b.close >= b.open;
          return <rect key={b.start} class={`${up ? "up" : "down"} ${b.closed ? "" : "running"}`} x={i * step + 1} width={Math.max(1, step - 2)} y={up ? middle - h : middle} height={h} />;
        })}
      </svg>
      <figcaption class="hint">
        Future, 5 min: volume of rising bars upwards, of falling bars downwards; most {short(most)}
        {shown[0] ? `, from ${minuteTime(Date.parse(shown[0].start))}` : ""}.
      </figcaption>
    </figure>
  );
}

function Candle({ r }: { r: Reading }) {
  const list = bars.future.value;
  const close = num(r, "close");
  const judged = list.filter((b) => b.closed && b.close === close && b.volume === num(r, "volume")).at(-1);
  const share = (name: string) => `${whole(Math.round(num(r, name) ?? 0))} %`;
  return (
    <>
      <Candles list={list.slice(-14)} marked={judged ? Date.parse(judged.start) : undefined} label="The judged bar of the future, marked, and the bars before it" />
      <p class="hint">
        Future, 5 min{judged ? `, bar of ${minuteTime(Date.parse(judged.start))}` : ""}: upper wick {share("upper_wick_percent")}, body {share("body_percent")}, lower wick {share("lower_wick_percent")} of its range. O {price(num(r, "open") ?? 0)} H {price(num(r, "high") ?? 0)} L {price(num(r, "low") ?? 0)} C{" "}
        {price(close ?? 0)}.
      </p>
    </>
  );
}

function Checks({ r }: { r: Reading }) {
  return (
    <ul class="checks" aria-label="Checks">
      {checksOf(r).map((c) => {
        const to = c.points > 0 ? "up" : c.points < 0 ? "down" : "flat";
        return (
          <li key={c.name} class={to}>
            <span class="tick" aria-hidden="true">
              {to === "up" ? "\u2714" : to === "down" ? "\u2718" : "\u2013"}
            </span>
            <span>{c.text || c.name}</span>
            <b>
              {c.points === 0 ? "nothing" : `${to} ${Math.abs(c.points)}`}
            </b>
          </li>
        );
      })}
    </ul>
  );
}

function Pair({ r }: { r: Reading }) {
  const calls = num(r, "call_oi") ?? 0;
  const puts = num(r, "put_oi") ?? 0;
  const whole = Math.max(1, calls + puts);
  return (
    <figure class="picture">
      <svg viewBox="0 0 100 16" preserveAspectRatio="none" role="img" aria-label={`Open interest: calls ${openInterest(r, "call_oi")}, puts ${openInterest(r, "put_oi")}`}>
        <rect class="down" x="0" width={(99 * calls) / whole} height="16" />
        <rect class="up" x={1 + (99 * calls) / whole} width={(99 * puts) / whole} height="16" />
      </svg>
      <figcaption class="hint between">
        <span>calls {openInterest(r, "call_oi")}</span>
        <span>puts {openInterest(r, "put_oi")}</span>
      </figcaption>
    </figure>
  );
}

function DayRange({ r }: { r: Reading }) {
  const low = num(r, "low");
  const high = num(r, "high");
  const now = num(r, "price");
  if (low === null || high === null || now === null) return null;
  const at = high > low ? (100 * (now - low)) / (high - low) : 50;
  return (
    <figure class="picture">
      <svg viewBox="0 0 100 10" preserveAspectRatio="none" role="img" aria-label={`Price ${price(now)} between low ${price(low)} and high ${price(high)}`}>
        <rect class="track" x="0" y="4" width="100" height="2" />
        <rect class="now" x={Math.min(98.6, Math.max(0, at - 0.7))} y="0" width="1.4" height="10" />
      </svg>
      <figcaption class="hint between">
        <span>low {price(low)}</span>
        <span>high {price(high)}</span>
      </figcaption>
    </figure>
  );
}

const pictures: Record<string, (props: { r: Reading }) => ComponentChildren> = {
  zone_control: Zones,
  trend_base: Swings,
  volume_pulse: Volumes,
  candle_intent: Candle,
  instant: Checks,
  pcr: Pair,
  direct: DayRange,
};

// Picture is that of a reading, none for a kind that has none.
export function Picture({ reading }: { reading: Reading }) {
  const Of = pictures[reading.kind] as ((props: { r: Reading }) => never) | undefined;
  return Of ? <Of r={reading} /> : null;
}

export interface HistoryPoint {
  at: string;
  status: string;
  signal: string;
  confidence: number;
}

// stripNow moves each ten seconds: a strip of a session is no longer for it.
const stripNow = computed(() => Math.floor(exchangeNow() / 10_000) * 10_000);

// Strip is a session of a reading: a colour for each direction, the stronger
// the surer, from the first point on.
export function Strip({ list, lean }: { list: HistoryPoint[]; lean: (signal: string) => string }) {
  if (list.length === 0) return null;
  const first = Date.parse(list[0]!.at);
  const now = Math.max(stripNow.value, Date.parse(list.at(-1)!.at));
  const end = Math.max(sessionEnd.value, now, first + 60_000);
  const x = (at: number) => (1000 * (at - first)) / (end - first);
  return (
    <figure class="picture strip">
      <svg viewBox="0 0 1000 14" preserveAspectRatio="none" role="img" aria-label={`This session from ${minuteTime(first)}: ${list.length} changes`}>
        <rect class="track" width="1000" height="14" />
        {list.map((h, i) => {
          const from = x(Date.parse(h.at));
          const to = x(i + 1 < list.length ? Date.parse(list[i + 1]!.at) : now);
          return h.status === "unavailable" ? null : <rect key={i} class={lean(h.signal)} opacity={h.status === "active" ? 0.45 + 0.55 * Math.min(1, h.confidence / 100) : 0.3} x={from} width={Math.max(1, to - from)} height="14" />;
        })}
      </svg>
      <figcaption class="hint between">
        <span>{minuteTime(first)}</span>
        <span>{minuteTime(end)}</span>
      </figcaption>
    </figure>
  );
}
