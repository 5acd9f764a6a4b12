// What the page knows of the server, from the stream, and what time it is
// there. The page has no other state of the server.

import { computed, signal } from "@preact/signals";
import { when } from "./format";
import type { Actor, Bar, BarEvent, Chain, ChainPoint, Event, Quote, Readiness, Reading, Rotation, Status, Token } from "./types";

export const status = signal<Status | null>(null);
export const token = signal<Token | null>(null);
export const actors = signal<Actor[]>([]);
export const quotes = signal<Record<string, Quote>>({});
export const readings = signal<Record<string, Reading>>({}); // underlying/kind
export const readiness = signal<Readiness | null>(null);
export const rotations = signal<Rotation[]>([]); // newest first
export const events = signal<Event[]>([]); // newest first
export const running = signal<BarEvent | null>(null); // the newest bar of the chart's series
export const rates = signal<{ at: number; rate: number }[]>([]); // ticks/s of the last minute

export const underlyings = computed(() => status.value?.underlyings ?? []);
export const selected = signal("");
export const underlying = computed(() => (underlyings.value.includes(selected.value) ? selected.value : (underlyings.value[0] ?? "")));

// The option chain of the underlying; of the nearest expiry unless another was
// chosen.
export const chain = signal<Chain | null>(null);
export const chainDay = signal<ChainPoint[]>([]); // minutes of the session, of the nearest expiry
export const pickedExpiry = signal<Record<string, string>>({}); // by underlying
export const expiry = computed(() => pickedExpiry.value[underlying.value] ?? "");

export const series = signal({ source: "index", interval: "5m" });

// Two clocks: the server's, for what happened here; the exchange's, for prices,
// bars and the token's life. Both are counted on from the last status, so that
// ages grow while nothing comes.
let updatedAt = 0; // performance.now() of the last status
let serverAt = 0;
let exchangeAt = 0;

export const tick = signal(0); // moves each half second: what shows an age reads it

export function serverNow(): number {
  tick.value;
  return serverAt === 0 ? Date.now() : serverAt + performance.now() - updatedAt;
}

export function exchangeNow(): number {
  tick.value;
  return exchangeAt === 0 ? Date.now() : exchangeAt + performance.now() - updatedAt;
}

// sinceUpdate is how long ago the last status came, in ms.
export function sinceUpdate(): number {
  tick.value;
  return updatedAt === 0 ? 0 : performance.now() - updatedAt;
}

// sessionEnd is when the session that runs ends, in ms; 0: none runs.
export const sessionEnd = computed(() => (status.value?.market.phase === "open" ? Date.parse(status.value.market.next_change_at) : 0));

const keptEvents = 500;

function merge(list: Event[]): void {
  const all = new Map(events.peek().map((e) => [e.id, e]));
  for (const e of list) all.set(e.id, e);
  events.value = [...all.values()].sort((a, b) => b.id - a.id).slice(0, keptEvents);
}

// Topics of the stream.
export const topics = {
  status(s: Status) {
    const before = status.peek();
    if (before && before.process.started_at !== s.process.started_at) forget();
    updatedAt = performance.now();
    serverAt = Date.parse(s.at);
    exchangeAt = Date.parse(s.market.exchange_time);
    const last = rates.peek().at(-1);
    if (!last || updatedAt - last.at >= 900) {
      rates.value = [...rates.peek().filter((r) => updatedAt - r.at < 60_000), { at: updatedAt, rate: s.feed.ticks_per_second }];
    }
    status.value = s;
  },
  ready(r: Readiness) {
    readiness.value = r;
  },
  token(t: Token) {
    token.value = t;
  },
  actors(list: Actor[]) {
    actors.value = list;
  },
  tick(q: Quote) {
    quotes.value = { ...quotes.peek(), [q.underlying]: q };
  },
  reading(r: Reading) {
    readings.value = { ...readings.peek(), [`${r.underlying}/${r.kind}`]: r };
  },
  rotation(r: Rotation) {
    rotations.value = [r, ...rotations.peek().filter((o) => o.generation !== r.generation)].sort((a, b) => b.generation - a.generation).slice(0, 100);
  },
  event(e: Event) {
    merge([e]);
  },
  chain(c: Chain) {
    if (c.underlying !== underlying.peek() || c.expiry !== (expiry.peek() || (c.expiries[0] ?? ""))) return;
    chain.value = c;
    if (c.expiry === c.expiries[0] && c.current) noteMinute(c);
  },
  bar(b: BarEvent) {
    const s = series.peek();
    if (b.underlying === underlying.peek() && b.source === s.source && b.interval === s.interval) running.value = b;
  },
};

export type Topic = keyof typeof topics;

// noteMinute keeps the newest minute of the day's lines.
function noteMinute(c: Chain): void {
  const minute = Math.floor(Date.parse(c.at) / 60_000) * 60_000;
  const kept = chainDay.peek().filter((p) => Date.parse(p.at) < minute);
  chainDay.value = [...kept, { at: new Date(minute).toISOString(), spot: c.spot.last_price, straddle: c.summary.straddle, pcr: c.summary.pcr }];
}

export async function loadChainDay(name: string, cancel: AbortSignal): Promise<void> {
  const answer = await fetch(`/api/v1/chain/${encodeURIComponent(name)}/day`, { signal: cancel });
  if (answer.ok) chainDay.value = (await answer.json()) as ChainPoint[];
}

// forget drops what another run of the server sent: its numbers start again.
function forget(): void {
  rotations.value = [];
  events.value = [];
  readings.value = {};
  rates.value = [];
  token.value = null;
  running.value = null;
  chain.value = null;
  chainDay.value = [];
}

// loadEvents asks for the whole timeline: the stream opens with its newest part.
export async function loadEvents(): Promise<void> {
  const answer = await fetch("/api/v1/events");
  if (answer.ok) merge((await answer.json()) as Event[]);
}

export async function loadBars(name: string, source: string, interval: string, cancel: AbortSignal): Promise<Bar[]> {
  const answer = await fetch(`/api/v1/bars/${encodeURIComponent(name)}?interval=${interval}&source=${source}`, { signal: cancel });
  return answer.ok ? ((await answer.json()) as Bar[]) : [];
}

export const readingsOf = (name: string): Reading[] => Object.values(readings.value).filter((r) => r.underlying === name);

// ageOf is the age of a moment that the server's clock dated.
export const ageOf = (iso: string | null | undefined): number | null => {
  const at = when(iso);
  return at === null ? null : Math.max(0, serverNow() - at);
};

// exchangeAgeOf is the age of a moment that the exchange's clock dated.
export const exchangeAgeOf = (iso: string | null | undefined): number | null => {
  const at = when(iso);
  return at === null ? null : Math.max(0, exchangeNow() - at);
};
