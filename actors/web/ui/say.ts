// What a reading says, in the sentence that a trader would say. A sentence
// without its figures is not said.

import { date, none, price, signed, short, whole, words } from "./format";
import type { Reading } from "./types";

export interface Vote {
  input: string;
  vote: number | null;
  weight: number;
  counts?: number; // share of the weight that counts now
  age_seconds?: number;
  session?: string;
  reason?: string;
}

export interface Check {
  name: string;
  points: number; // positive: up
  text: string;
}

export const kindName = (kind: string): string => (kind === "pcr" ? "PCR" : words(kind));

export const votesOf = (r: Reading): Vote[] => (Array.isArray(r.values?.inputs) ? (r.values.inputs as Vote[]) : []);
export const checksOf = (r: Reading): Check[] => (Array.isArray(r.values?.checks) ? (r.values.checks as Check[]) : []);

// num and text read one of a reading's values.
export const num = (r: Reading, name: string): number | null => (typeof r.values?.[name] === "number" ? (r.values[name] as number) : null);
export const text = (r: Reading, name: string): string => (typeof r.values?.[name] === "string" ? words(r.values[name] as string) : "");

export interface Zone {
  level: number;
  low?: number;
  high?: number;
}

export const zone = (r: Reading, name: string): Zone | null => (r.values?.[name] as Zone | null | undefined) ?? null;

const p = (n: number | null): string => (n === null ? none : price(n));

function list(names: string[]): string {
  return names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}

function outlook(r: Reading): string {
  const counted = votesOf(r)
    .map((v) => ({ name: kindName(v.input), says: (v.vote ?? 0) * v.weight * (v.counts ?? 1) }))
    .filter((v) => Math.abs(v.says) >= 0.5)
    .sort((a, b) => Math.abs(b.says) - Math.abs(a.says));
  if (counted.length === 0) return "No input says anything clear.";
  const up = counted.filter((v) => v.says > 0).map((v) => v.name);
  const down = counted.filter((v) => v.says < 0).map((v) => v.name);
  return `${up.length ? `For up: ${list(up.slice(0, 3))}.` : "Nothing speaks for up."} ${down.length ? `For down: ${list(down.slice(0, 3))}.` : "Nothing speaks for down."}`;
}

function instant(r: Reading): string {
  const checks = checksOf(r);
  const up = checks.filter((c) => c.points > 0).length;
  const down = checks.filter((c) => c.points < 0).length;
  const of = checks.length ? ` ${up} of ${checks.length} checks point up, ${down} down.` : "";
  const stop = num(r, "stop");
  return stop === null ? `No trade at ${p(num(r, "price"))}.${of}` : `Entry near ${p(num(r, "entry"))}, stop ${p(stop)}, target ${p(num(r, "target"))}.${of}`;
}

const structures: Record<string, string> = {
  "higher high higher low": "Higher highs and higher lows: the trend is up",
  "lower high lower low": "Lower highs and lower lows: the trend is down",
  "higher high lower low": "Higher highs and lower lows: the swings widen",
  "lower high higher low": "Lower highs and higher lows: the swings narrow",
};

function trend(r: Reading): string {
  return `${structures[text(r, "structure")] ?? "No clear structure"}. Last swing high ${p(num(r, "last_high"))}, last swing low ${p(num(r, "last_low"))}.`;
}

function side(of: Zone | null, at: number | null, name: string, above: boolean): string {
  if (!of) return `no ${name} ${above ? "above" : "below"}`;
  const far = at === null ? "" : `, ${whole(Math.abs(of.level - at))} points ${of.level > at ? "above" : "below"}`;
  return `${name} near ${p(of.level)}${far}`;
}

function zones(r: Reading): string {
  const at = num(r, "price");
  const s = side(zone(r, "nearest_support"), at, "support", false);
  return `${s.charAt(0).toUpperCase()}${s.slice(1)}; ${side(zone(r, "nearest_resistance"), at, "resistance", true)}.`;
}

function volume(r: Reading): string {
  const green = num(r, "green_percent");
  if (green === null) return "";
  const lead = green > 55 ? "buyers lead" : green < 45 ? "sellers lead" : "neither side leads";
  const quality = text(r, "volume_quality");
  return `${whole(Math.round(green))} % of the future's volume was on rising bars: ${lead}${quality && quality !== "neutral" ? `; ${quality}` : ""}.`;
}

function candle(r: Reading): string {
  const ratio = num(r, "volume_ratio");
  const what = [text(r, "colour"), text(r, "body")].filter(Boolean).join(" candle, ");
  const pattern = text(r, "pattern");
  const intent = pattern && pattern !== "neutral" ? `${pattern}, ${text(r, "intent")}` : "no clear intent";
  return `Last bar of the future: ${what || "flat"}, volume ${ratio === null ? none : ratio.toFixed(1)} times the average: ${intent}.`;
}

function putCall(r: Reading): string {
  const ratio = num(r, "pcr");
  if (ratio === null) return "";
  return `${ratio.toFixed(2)} puts are open for each call (${date((r.values?.expiry as string) ?? "")}): ${text(r, "sentiment")}. Most puts at ${whole(num(r, "put_wall") ?? 0)}, most calls at ${whole(num(r, "call_wall") ?? 0)}, max pain ${whole(num(r, "max_pain") ?? 0)}.`;
}

function direct(r: Reading): string {
  const change = num(r, "change_pct");
  return `Kite's own quote: ${p(num(r, "price"))}${change === null ? "" : `, ${signed(change)} %`}.`;
}

const sayings: Record<string, (r: Reading) => string> = { outlook, instant, trend_base: trend, zone_control: zones, volume_pulse: volume, candle_intent: candle, pcr: putCall, direct };

// say is the sentence of a reading, "" when it has no figures.
export const say = (r: Reading): string => (r.status === "unavailable" || !r.values ? "" : (sayings[r.kind]?.(r) ?? ""));

export const openInterest = (r: Reading, name: string): string => {
  const n = num(r, name);
  return n === null ? none : short(n);
};
