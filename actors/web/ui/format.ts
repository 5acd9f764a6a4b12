// How figures are written. Times are IST, whatever the computer's zone.

const zone = "Asia/Kolkata";
const clock = new Intl.DateTimeFormat("en-GB", { timeZone: zone, hour: "2-digit", minute: "2-digit", second: "2-digit" });
const minute = new Intl.DateTimeFormat("en-GB", { timeZone: zone, hour: "2-digit", minute: "2-digit" });
const dayMonth = new Intl.DateTimeFormat("en-GB", { timeZone: zone, day: "numeric", month: "short" });
const civil = new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", weekday: "short", day: "numeric", month: "short" });
const weekday = new Intl.DateTimeFormat("en-GB", { timeZone: zone, weekday: "short", day: "numeric", month: "short" });

export const none = "\u2013";

// when is the moment in ms, null for Go's zero time and for none.
export function when(iso: string | null | undefined): number | null {
  return !iso || iso.startsWith("0001") ? null : Date.parse(iso);
}

export const clockTime = (ms: number | null): string => (ms === null ? none : clock.format(ms));
export const minuteTime = (ms: number | null): string => (ms === null ? none : minute.format(ms));
export const day = (ms: number): string => dayMonth.format(ms);
// date writes a day that is no moment, YYYY-MM-DD.
export const date = (iso: string): string => (iso ? civil.format(Date.parse(iso)) : none);
export const longDay = (ms: number): string => weekday.format(ms);

export function age(ms: number | null): string {
  if (ms === null) return "never";
  if (ms < 1000) return "under 1 s ago";
  return `${span(ms)} ago`;
}

export function span(ms: number): string {
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s < 60) return `${s} s`;
  const m = Math.floor(s / 60);
  if (m < 60) return `${m} min`;
  const h = Math.floor(m / 60);
  if (h < 48) return m % 60 ? `${h} h ${m % 60} min` : `${h} h`;
  return `${Math.floor(h / 24)} days`;
}

export function countdown(ms: number): string {
  const s = Math.max(0, Math.ceil(ms / 1000));
  return `${Math.floor(s / 60)}:${String(s % 60).padStart(2, "0")}`;
}

export function millis(ms: number | null): string {
  if (ms === null) return none;
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  if (ms < 10_000) return `${Math.round(ms)} ms`;
  return `${(ms / 1000).toFixed(1)} s`;
}

const prices = new Intl.NumberFormat("en-IN", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const wholes = new Intl.NumberFormat("en-IN", { maximumFractionDigits: 0 });
const loose = new Intl.NumberFormat("en-IN", { maximumFractionDigits: 3 });

export const price = (n: number): string => prices.format(n);
export const whole = (n: number): string => wholes.format(n);
// signed writes a figure with its sign; what rounds to nothing has none.
export const signed = (n: number): string => {
  const text = prices.format(Math.abs(n));
  return text === "0.00" ? text : (n > 0 ? "+" : "\u2212") + text;
};
// short writes a large figure as India does: thousand, lakh (100,000), crore (100 lakh).
export function short(n: number): string {
  const size = Math.abs(n);
  const sign = n < 0 ? "\u2212" : "";
  if (size >= 1e7) return `${sign}${(size / 1e7).toFixed(2)} Cr`;
  if (size >= 1e5) return `${sign}${(size / 1e5).toFixed(1)} L`;
  if (size >= 1e4) return `${sign}${(size / 1e3).toFixed(1)} K`;
  return sign + whole(size);
}
export const words = (name: string): string => name.replaceAll("_", " ");
// prose writes the names and days in a sentence of the server's as people do.
export const prose = (text: string): string => text.replace(/\b[a-z]+(?:_[a-z]+)+\b/g, words).replace(/\b\d{4}-\d\d-\d\d\b(?!T)/g, date);
export const sentence = (text: string): string => {
  const p = prose(text);
  return p.charAt(0).toUpperCase() + p.slice(1);
};
export const count = (n: number, one: string, many = one + "s"): string => `${whole(n)} ${n === 1 ? one : many}`;

// latency writes seconds of work; the server rounds them to steps.
export function latency(seconds: number): string {
  if (seconds === 0) return none;
  const ms = seconds * 1000;
  return ms < 1 ? `${Math.round(ms * 1000)} \u00b5s` : millis(ms);
}

// value writes one of a reading's values, whatever its shape.
export function value(v: unknown): string {
  if (v === null || v === undefined || v === "") return none;
  if (typeof v === "number") return (Number.isInteger(v) ? whole(v) : loose.format(v)).replace("-", "\u2212");
  if (typeof v === "boolean") return v ? "yes" : "no";
  if (typeof v === "string") return /^\d{4}-\d\d-\d\dT/.test(v) ? clockTime(when(v)) : words(v);
  if (Array.isArray(v)) return v.length === 0 ? "none" : v.map(value).join(", ");
  return Object.entries(v)
    .filter(([, x]) => x !== null)
    .map(([k, x]) => `${words(k)} ${value(x)}`)
    .join(" \u00b7 ");
}

// parts divides a list, n in a part.
export const parts = <T>(list: T[], n: number): T[][] => (list.length === 0 ? [] : [list.slice(0, n), ...parts(list.slice(n), n)]);
