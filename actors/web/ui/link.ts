// The one stream of this page, and what is true of it. /healthz distinguishes a
// dead stream from a dead server. A hidden page has no stream: over HTTP/1.1 a
// browser has six connections a host, and the seventh tab would wait for ever.
// It asks for the status each few seconds instead.

import { batch, computed, effect, signal } from "@preact/signals";
import { parts } from "./format";
import type { Polled } from "./poll";
import { path } from "./route";
import { expiry, loadEvents, sinceUpdate, tick, topics, underlying, type Topic } from "./state";

export type Link =
  | "opening" // a connection is being made
  | "open"
  | "polling" // hidden, and the server answers
  | "asleep" // hidden, and the browser does not let the page ask
  | "lost" // just now; the reason is not known yet
  | "dead_stream" // the server answers, the stream is silent or was ended
  | "dead_server"; // the server does not answer

export const link = signal<Link>("opening");

const silentAfter = 2000; // ms; a status comes each 250 ms
const giveUpAfter = 5000;
const giveUpConnecting = 15_000; // another try would come no sooner
const watchEvery = 500;
const asleepAfter = 15_000; // while hidden; an answer comes each 5 s

// query is what the page that is shown needs: the chain and the actors are large.
const query = computed(() => {
  const needed: Partial<Record<Topic, boolean>> = { chain: chainShown.value, actors: path.value === "/actors" || path.value === "/drills" };
  const wanted = (Object.keys(topics) as Topic[]).filter((t) => needed[t] ?? true);
  const of = expiry.value ? `&expiry=${expiry.value}` : "";
  return `topics=${wanted.join(",")}${chainShown.value ? `&underlying=${encodeURIComponent(underlying.value)}${of}` : ""}`;
});

// chainShown is whether the page has an option chain on it.
export const chainShown = signal(false);

let source: EventSource | null = null;
let failures = 0;
let again = 0; // timer
let receivedAt = 0;
let watchedAt = 0;
let asking = false;
let poller: Worker | null = null;

// What has come is shown in rounds, a few a second: the eye needs no more, and
// each costs a layout of the page. A round is shown in turns, a frame each, so
// that a slow processor, too, is ready for the next frame: first what the server
// and the prices are, then the readings, the chart, the chain. Of newestOnly only
// the newest message counts.
const roundEvery = 250; // ms, as the server sends its status
const turns: Topic[][] = [["status", "token", "actors", "ready", "rotation", "event", "tick"], ["reading"], ["bar"], ["chain"]];
const newestOnly: Topic[] = ["status", "token", "actors", "ready", "chain"];
const readingsATurn = 6; // each draws its card again

type Waiting = Map<string, [Topic, string]>;

let waiting: Waiting = new Map();
let round: [Topic, string][][] = []; // turns that are left
let roundAt = -roundEvery; // when the last one began
let came = 0;
let frame = 0;
let delay = 0; // timer

// note keeps a message for the next round.
function note(topic: Topic, data: string): void {
  waiting.set(newestOnly.includes(topic) ? topic : `${came++}`, [topic, data]);
  if (frame || delay) return;
  delay = window.setTimeout(
    () => {
      delay = 0;
      frame = requestAnimationFrame(turn);
    },
    Math.max(0, roundAt + roundEvery - performance.now()),
  );
}

// turn shows the next turn of the round, or the first of a new one.
function turn(): void {
  cancelAnimationFrame(frame);
  frame = 0;
  if (round.length === 0) {
    roundAt = performance.now();
    const all = [...waiting.values()];
    waiting = new Map();
    round = turns.map((of) => all.filter(([topic]) => of.includes(topic))).flatMap((list) => parts(list, list[0]?.[0] === "reading" ? readingsATurn : list.length));
  }
  const list = round.shift() ?? [];
  batch(() => {
    for (const [topic, data] of list) (topics[topic] as (value: never) => void)(JSON.parse(data) as never);
    if (link.peek() === "open") return;
    link.value = "open";
    failures = 0;
    void loadEvents().catch(() => undefined); // the stream itself shows when the server is gone
  });
  if (round.length > 0) frame = requestAnimationFrame(turn);
}

// showAll shows what waits without a frame: a busy browser draws none.
function showAll(): void {
  while (waiting.size + round.length > 0) turn();
}

// forgetRound drops what has come and is not shown.
function forgetRound(): void {
  cancelAnimationFrame(frame);
  clearTimeout(delay);
  frame = delay = 0;
  waiting = new Map();
  round = [];
  roundAt = -roundEvery;
}

function open(): void {
  close();
  const stream = new EventSource(`/api/v1/stream?${query.peek()}`);
  source = stream;
  receivedAt = performance.now();
  stream.onerror = () => {
    if (source === stream) lost();
  };
  for (const topic of Object.keys(topics) as Topic[]) {
    stream.addEventListener(topic, (message) => {
      if (source !== stream) return;
      receivedAt = performance.now();
      note(topic, (message as MessageEvent<string>).data);
    });
  }
}

function close(): void {
  clearTimeout(again);
  forgetRound();
  source?.close();
  source = null;
}

// lost connects again, soon at first, then every two seconds.
function lost(): void {
  close();
  if (link.peek() === "open") link.value = "lost";
  void ask();
  again = window.setTimeout(open, Math.min(2000, 250 * 2 ** failures++));
}

// ask finds out whether the server is gone or only the stream.
async function ask(): Promise<void> {
  if (asking) return;
  asking = true;
  let answers = false;
  try {
    answers = (await fetch("/healthz", { cache: "no-store", signal: AbortSignal.timeout(800) })).ok;
  } catch {
    // no answer is the answer
  }
  asking = false;
  if (document.hidden) return; // hidden meanwhile: the poller answers
  if (link.peek() !== "open" || performance.now() - receivedAt > silentAfter) link.value = answers ? "dead_stream" : "dead_server";
}

function watch(): void {
  if (performance.now() - roundAt > 2 * roundEvery) showAll();
  tick.value++;
  const now = performance.now();
  const late = now - watchedAt > 3 * watchEvery;
  watchedAt = now;
  if (document.hidden) {
    if (now - receivedAt > asleepAfter) link.value = "asleep";
    return;
  }
  const silent = now - receivedAt;
  // A page that could not run knows nothing of the stream: what came meanwhile
  // waits behind this.
  if (!source || silent < silentAfter || late) return;
  if (link.peek() === "open") void ask();
  if (silent > (source.readyState === EventSource.CONNECTING ? giveUpConnecting : giveUpAfter)) lost();
}

function polled(found: Polled): void {
  if (!document.hidden) return;
  receivedAt = performance.now();
  batch(() => {
    tick.value++;
    if (found) {
      topics.status(found.status);
      topics.token(found.token);
    }
    link.value = found ? "polling" : "dead_server";
  });
}

function hide(): void {
  close();
  if (!poller) {
    poller = new Worker("/assets/poll.js", { type: "module" });
    poller.onmessage = ({ data }: MessageEvent<Polled>) => polled(data);
  }
  poller.postMessage(true);
}

function show(): void {
  poller?.postMessage(false);
  tick.value++; // ages first: what stands there may be hours old
  if (link.peek() === "polling" || link.peek() === "asleep") link.value = "opening";
  if (!source) open();
}

// start opens the stream.
export function start(): void {
  document.addEventListener("visibilitychange", () => (document.hidden ? hide() : show()));
  document.addEventListener("freeze", () => (link.value = "asleep"));
  window.addEventListener("pagehide", close);
  window.addEventListener("pageshow", (event) => event.persisted && show());
  setInterval(watch, watchEvery);
  if (document.hidden) hide();
  effect(() => {
    query.value; // another page, underlying or expiry: another stream
    if (!document.hidden) open();
  });
}

// disconnected says in words what is wrong with the page itself, "" for nothing.
export function disconnected(): string {
  switch (link.value) {
    case "lost":
      return "The connection to the server is lost.";
    case "dead_stream":
      return "The server answers, but its stream of data to this page is dead. Reconnecting.";
    case "dead_server":
      return "The server does not answer. Is kitestring running? Trying again.";
    case "asleep":
      return "The browser has put this page to sleep: it knows nothing until you return to it.";
    case "opening":
      return sinceUpdate() > silentAfter ? "Connecting to the server again." : "";
    default:
      return "";
  }
}
