// The candles of the selected underlying, with what the readings see in them
// and what happened in the server. Times are the exchange's, written in IST.

import { effect, signal, useSignalEffect } from "@preact/signals";
import {
  CandlestickSeries,
  ColorType,
  createChart,
  HistogramSeries,
  type CandlestickData,
  type HistogramData,
  type IChartApi,
  type ISeriesApi,
  type ISeriesPrimitive,
  type Time,
  type UTCTimestamp,
} from "lightweight-charts";
import { useEffect, useRef } from "preact/hooks";
import { clockTime, day, longDay, minuteTime, none, price, signed, when, whole } from "./format";
import { events, loadBars, quotes, readings, running, series, underlying } from "./state";
import { link } from "./link";
import { Age, Choice } from "./parts";
import { zone, type Zone } from "./say";
import { themed } from "./theme";
import { verdict } from "./verdict";
import type { Bar } from "./types";

const intervals: Record<string, number> = { "1m": 60, "3m": 180, "5m": 300, "15m": 900 };

// Bars are loaded again each half minute, and each two seconds while there are
// few: history comes some moments after the first ticks, and after a gap.
const few = 100;
const lasts = 30_000;

const drawn = signal(0);
const hovered = signal<Bar | null>(null);
const newest = signal<Bar | null>(null);
const words = signal("");
const levels = signal(matchMedia("(min-width: 700px)").matches);

const timeOf = (b: Bar): UTCTimestamp => (Date.parse(b.start) / 1000) as UTCTimestamp;
const candle = (b: Bar): CandlestickData<UTCTimestamp> => ({ time: timeOf(b), open: b.open, high: b.high, low: b.low, close: b.close });

// paint reads a colour of the style sheet as the canvas needs it.
function paint(host: HTMLElement, name: string): string {
  const probe = document.createElement("i");
  probe.style.color = `var(--${name})`;
  host.append(probe);
  const color = getComputedStyle(probe).color;
  probe.remove();
  return color;
}

interface Level {
  at: number;
  title: string;
  color: string;
  band?: [number, number]; // a zone, from low to high
}

interface Flag {
  time: number;
  kind: "rotation" | "actor" | "gap";
  text: string;
  color: string;
}

// Notes draws on the candles: the levels that the readings name, and what
// happened in the server, a line and a word for a rotation, a sign for the rest.
class Notes implements ISeriesPrimitive<Time> {
  list: Flag[] = [];
  levels: Level[] = [];
  halo = "";
  redraw: () => void = () => undefined;
  private views: readonly [{ renderer: () => { draw: (target: Target) => void } }];

  constructor(chart: IChartApi, candles: ISeriesApi<"Candlestick">) {
    const draw = (target: Target) =>
      target.useMediaCoordinateSpace(({ context: c, mediaSize }) => {
        const foot = mediaSize.height;
        c.font = "600 11px ui-sans-serif, system-ui, sans-serif";
        c.setLineDash([4, 4]);
        const rows = this.levels.map((l) => ({ ...l, y: candles.priceToCoordinate(l.at) ?? -1 })).sort((a, b) => a.y - b.y);
        let above = -20;
        for (const { band, color } of this.levels) {
          const low = band && candles.priceToCoordinate(band[0]);
          const high = band && candles.priceToCoordinate(band[1]);
          if (low == null || high == null) continue;
          c.globalAlpha = 0.14;
          c.fillStyle = color;
          c.fillRect(0, high, mediaSize.width, Math.max(2, low - high));
          c.globalAlpha = 1;
        }
        for (const { y, title, color } of rows) {
          if (y < 0 || y > foot) continue;
          c.fillStyle = c.strokeStyle = color;
          c.beginPath();
          c.moveTo(0, y);
          c.lineTo(mediaSize.width, y);
          c.stroke();
          if (y - above >= 12) {
            c.setLineDash([]);
            c.strokeStyle = this.halo;
            c.lineWidth = 4;
            c.strokeText(title, 4, y - 3);
            c.fillText(title, 4, y - 3);
            c.lineWidth = 1;
            c.setLineDash([4, 4]);
            above = y;
          }
        }
        c.setLineDash([]);
        c.textAlign = "center";
        for (const f of this.list) {
          const x = chart.timeScale().timeToCoordinate(f.time as UTCTimestamp);
          if (x === null) continue;
          c.fillStyle = c.strokeStyle = f.color;
          c.beginPath();
          if (f.kind === "rotation") {
            c.globalAlpha = 0.45;
            c.moveTo(x, 18);
            c.lineTo(x, foot);
            c.stroke();
            c.globalAlpha = 1;
            c.fillText(f.text, x, 12);
          } else if (f.kind === "actor") {
            c.moveTo(x - 5, foot - 20);
            c.lineTo(x + 5, foot - 20);
            c.lineTo(x, foot - 11);
            c.fill();
          } else {
            c.fillRect(x - 4, foot - 9, 8, 8);
          }
        }
      });
    this.views = [{ renderer: () => ({ draw }) }];
  }

  attached({ requestUpdate }: { requestUpdate: () => void }): void {
    this.redraw = requestUpdate;
  }

  paneViews(): typeof this.views {
    return this.views;
  }
}

interface Target {
  useMediaCoordinateSpace(draw: (scope: { context: CanvasRenderingContext2D; mediaSize: { width: number; height: number } }) => void): void;
}

// Drawing is one chart on one element, without any state of the page.
class Drawing {
  private chart: IChartApi;
  private candles: ISeriesApi<"Candlestick">;
  private volumes: ISeriesApi<"Histogram">;
  private notes: Notes;
  private first = 0;
  private last = 0;
  private bars = new Map<number, Bar>();
  private colors = new Map<string, string>(); // of the theme: to ask for one costs a layout of the page

  constructor(private host: HTMLElement) {
    this.chart = createChart(host, {
      autoSize: true,
      layout: { attributionLogo: false, fontFamily: "ui-sans-serif, system-ui, sans-serif", fontSize: 12 },
      localization: { locale: "en-IN", priceFormatter: price, timeFormatter: (t: UTCTimestamp) => `${longDay(t * 1000)} ${minuteTime(t * 1000)} IST` },
      timeScale: {
        timeVisible: true,
        rightOffset: 4,
        borderVisible: false,
        tickMarkFormatter: (t: UTCTimestamp, kind: number) => (kind < 3 ? day(t * 1000) : minuteTime(t * 1000)),
      },
      rightPriceScale: { borderVisible: false, scaleMargins: { top: 0.12, bottom: 0.14 } },
      handleScroll: { mouseWheel: false, vertTouchDrag: false },
      handleScale: { mouseWheel: false },
    });
    this.volumes = this.chart.addSeries(HistogramSeries, { priceScaleId: "", priceFormat: { type: "volume" }, lastValueVisible: false, priceLineVisible: false });
    this.volumes.priceScale().applyOptions({ scaleMargins: { top: 0.86, bottom: 0 } });
    this.candles = this.chart.addSeries(CandlestickSeries, { borderVisible: false });
    this.notes = new Notes(this.chart, this.candles);
    this.candles.attachPrimitive(this.notes);
    this.chart.subscribeCrosshairMove((at) => {
      hovered.value = at.time === undefined ? null : (this.bars.get(at.time as number) ?? null);
    });
    this.dress();
  }

  private color(name: string): string {
    const color = this.colors.get(name) ?? paint(this.host, name);
    this.colors.set(name, color);
    return color;
  }

  // dress takes the colours of the theme.
  dress(): void {
    this.colors.clear();
    const c = (name: string) => this.color(name);
    this.chart.applyOptions({
      layout: { background: { type: ColorType.Solid, color: "transparent" }, textColor: c("ink-2") },
      grid: { vertLines: { color: c("line-2") }, horzLines: { color: c("line-2") } },
      crosshair: { vertLine: { color: c("ink-3"), labelBackgroundColor: c("chip") }, horzLine: { color: c("ink-3"), labelBackgroundColor: c("chip") } },
    });
    this.candles.applyOptions({ upColor: c("up"), downColor: c("down"), wickUpColor: c("up"), wickDownColor: c("down") });
    this.volumes.applyOptions({ color: c("volume") });
  }

  // show draws other bars; where they are the same series, the reader's view of
  // them is left alone.
  show(bars: Bar[], same: boolean): void {
    const before = this.bars.size;
    this.bars = new Map(bars.map((b) => [timeOf(b), b]));
    this.first = bars.length ? timeOf(bars[0]!) : 0;
    this.last = bars.length ? timeOf(bars.at(-1)!) : 0;
    this.candles.setData(bars.map(candle));
    this.volumes.setData(bars.filter((b) => b.volume > 0).map((b): HistogramData<UTCTimestamp> => ({ time: timeOf(b), value: b.volume })));
    drawn.value = bars.length;
    if (same && before >= few) return;
    const wide = Math.max(30, Math.round(this.host.clientWidth / 9));
    this.chart.timeScale().setVisibleLogicalRange({ from: bars.length - wide, to: bars.length + 4 });
  }

  update(b: Bar): void {
    const t = timeOf(b);
    if (t < this.last) return;
    this.last = t;
    this.bars.set(t, b);
    this.candles.update(candle(b));
    if (b.volume > 0) this.volumes.update({ time: t, value: b.volume });
  }

  mark(span: number): void {
    const c = { rotation: this.color("accent"), actor: this.color("bad"), gap: this.color("warn") };
    const found = new Map<string, { time: number; kind: Flag["kind"]; text: string }>(); // one a bar and kind, the newest
    for (const e of events.value) {
      const at = when(e.exchange_at);
      if (at === null || !(e.kind in c)) continue;
      const time = Math.floor(at / 1000 / span) * span;
      if (time < this.first || time > this.last) continue;
      const kind = e.kind as Flag["kind"];
      if (!found.has(`${time}/${kind}`)) found.set(`${time}/${kind}`, { time, kind, text: `gen ${e.generation}` });
    }
    this.notes.list = [...found.values()].map(({ time, kind, text }) => ({ time, kind, text, color: c[kind] }));
    this.notes.redraw();
  }

  // rule draws the levels that the readings name.
  rule(wanted: Named[]): void {
    this.notes.halo = this.color("card");
    this.notes.levels = wanted.map(({ tone, ...l }) => ({ ...l, color: this.color(tone) }));
    this.notes.redraw();
  }

  remove(): void {
    this.chart.remove();
  }
}

const number = (v: unknown): number | null => (typeof v === "number" && v > 0 ? v : null);

type Named = Omit<Level, "color"> & { tone: string };

// named are the levels that the readings of an underlying name now.
function named(name: string): Named[] {
  const found: Named[] = [];
  const add = (v: unknown, title: string, tone: string, band?: [number, number]) => {
    const at = number(v);
    if (at !== null) found.push({ at, title, tone, band });
  };
  const addZone = (z: Zone | null, title: string, tone: string) => z && add(z.level, title, tone, z.low && z.high ? [z.low, z.high] : undefined);
  const get = (kind: string) => {
    const r = readings.value[`${name}/${kind}`];
    return r && r.status !== "unavailable" ? r : undefined;
  };
  const instant = get("instant");
  add(instant?.values?.prev_day_close, "previous close", "ink-3");
  if (instant?.status === "active") {
    add(instant.values?.target, "target", "up");
    add(instant.values?.stop, "stop", "down");
  }
  const zones = get("zone_control");
  if (zones) {
    addZone(zone(zones, "nearest_support"), "support", "up");
    addZone(zone(zones, "nearest_resistance"), "resistance", "down");
  }
  const pcr = get("pcr")?.values;
  add(pcr?.put_wall, "put wall", "warn");
  add(pcr?.call_wall, "call wall", "warn");
  return found;
}

function Canvas() {
  const host = useRef<HTMLDivElement>(null);
  const drawing = useRef<Drawing | null>(null);

  useEffect(() => {
    const d = new Drawing(host.current!);
    drawing.current = d;
    let cancel = new AbortController();
    let ruled = "";
    let loadedAt = 0;
    const load = (same: boolean) => {
      const name = underlying.peek();
      const { source, interval } = series.peek();
      cancel.abort();
      cancel = new AbortController();
      loadedAt = performance.now();
      loadBars(name, source, interval, cancel.signal).then(
        (bars) => {
          d.show(bars, same);
          newest.value = bars.at(-1) ?? null;
          words.value = bars.length ? "" : `There are no ${interval} bars of ${name} yet.`;
          d.mark(intervals[interval]!);
        },
        () => undefined, // cancelled, or the server is gone: the banner says so
      );
    };
    const again = setInterval(() => {
      const due = drawn.peek() < few ? 2000 : lasts;
      if (!document.hidden && link.peek() === "open" && underlying.peek() && performance.now() - loadedAt > due) load(true);
    }, 500);
    const ends = [
      // Another series, or a stream that came back: load everything again.
      effect(() => {
        series.value;
        if (underlying.value && link.value === "open") load(false);
      }),
      effect(() => {
        const b = running.value;
        if (!b || b.underlying !== underlying.peek() || b.source !== series.peek().source || b.interval !== series.peek().interval) return;
        d.update(b.bar);
        newest.value = b.bar;
        words.value = "";
      }),
      effect(() => {
        themed.value;
        d.dress();
        ruled = "";
      }),
      effect(() => {
        themed.value;
        d.mark(intervals[series.value.interval]!);
      }),
      effect(() => {
        themed.value;
        const full = verdict.value.level === "live"; // else they are not of now
        const wanted = levels.value ? named(underlying.value).map((l) => (full ? l : { ...l, tone: "ink-3" })) : [];
        const now = JSON.stringify(wanted);
        if (now !== ruled) d.rule(wanted);
        ruled = now;
      }),
    ];
    return () => {
      clearInterval(again);
      cancel.abort();
      for (const end of ends) end();
      d.remove();
    };
  }, []);

  return <div class="canvas" ref={host} />;
}

function Legend() {
  const b = hovered.value ?? newest.value;
  if (!b) return <p class="legend">{underlying.value ? words.value || "Loading the bars." : "There is nothing to draw yet: instruments and bars come with the token."}</p>;
  const marks = [b.closed ? "" : "running", b.partial ? "partial" : "", b.gapped ? "with a gap" : "", b.backfilled ? "from history" : ""].filter(Boolean).join(", ");
  return (
    <p class="legend">
      <output aria-live="off">
        {clockTime(when(b.start)).slice(0, 5)} <i>O</i> {price(b.open)} <i>H</i> {price(b.high)} <i>L</i> {price(b.low)} <i>C</i> {price(b.close)}
        {b.volume > 0 && (
          <>
            {" "}
            <i>V</i> {whole(b.volume)}
          </>
        )}
      </output>
      {marks && <span class="dim"> {marks}</span>}
    </p>
  );
}

export function Chart() {
  const name = underlying.value;
  const q = quotes.value[name];
  const shown = useRef("");
  useSignalEffect(() => {
    if (shown.current !== underlying.value) newest.value = null;
    shown.current = underlying.value;
  });
  const label = name ? `${drawn.value} candles of ${name}${q ? `, last price ${price(q.last_price)}` : ""}` : "No candles yet";
  return (
    <section class="card chart" aria-labelledby="chart-title" id="card-chart">
      <div class="card-head">
        <h2 id="chart-title">{name || "Chart"}</h2>
        {q ? (
          <p class="last">
            <output aria-live="off">
              <b>{price(q.last_price)}</b> <span class={q.change < 0 ? "down" : "up"}>{`${signed(q.change)} (${signed(q.percent)} %)`}</span>
            </output>{" "}
            <Age at={q.at} exchange />
          </p>
        ) : (
          <p class="last dim">{none}</p>
        )}
      </div>
      <div class="tools">
        <Choice label="Interval" options={Object.keys(intervals).map((i) => [i, i])} value={series.value.interval} onPick={(interval) => (series.value = { ...series.value, interval })} />
        <Choice
          label="Source"
          options={[
            ["index", "Index"],
            ["future", "Future"],
          ]}
          value={series.value.source}
          onPick={(source) => (series.value = { ...series.value, source })}
        />
        <button type="button" class="toggle" aria-pressed={levels.value} onClick={() => (levels.value = !levels.value)}>
          Levels
        </button>
      </div>
      <Legend />
      <div role="img" aria-label={label} class="frame">
        <Canvas />
      </div>
      <p class="hint keys">
        <span class="accent">{"\u25cf"}</span> rotation <span class="bad">{"\u25bc"}</span> actor <span class="warn">{"\u25a0"}</span> gap
        {levels.value ? ", dashed lines: support, stop, target; bands: zones" : ""}. Times are IST.
      </p>
    </section>
  );
}
