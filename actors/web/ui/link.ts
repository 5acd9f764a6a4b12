// The one stream of this page, and what is true of it. /healthz distinguishes a
// dead stream from a dead server.

import { batch, signal } from "@preact/signals";
import { loadEvents, tick, topics, type Topic } from "./state";

export type Link =
  | "opening" // the first connection is being made
  | "open"
  | "lost" // just now; the reason is not known yet
  | "dead_stream" // the server answers, the stream is silent or was ended
  | "dead_server"; // the server does not answer

export const link = signal<Link>("opening");

const silentAfter = 2000; // ms; a status comes each 250 ms
const giveUpAfter = 5000;

let source: EventSource | null = null;
let failures = 0;
let again = 0; // timer
let receivedAt = 0;
let asking = false;

function open(): void {
  close();
  const stream = new EventSource(`/api/v1/stream?topics=${Object.keys(topics).join(",")}`);
  source = stream;
  receivedAt = performance.now();
  stream.onerror = () => {
    if (source === stream) lost();
  };
  for (const [topic, take] of Object.entries(topics) as [Topic, (data: never) => void][]) {
    stream.addEventListener(topic, (message) => {
      if (source !== stream) return;
      receivedAt = performance.now();
      batch(() => {
        take(JSON.parse((message as MessageEvent<string>).data) as never);
        if (link.peek() !== "open") {
          link.value = "open";
          failures = 0;
          void loadEvents().catch(() => undefined); // the stream itself shows when the server is gone
        }
      });
    });
  }
}

function close(): void {
  clearTimeout(again);
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
  if (link.peek() !== "open" || performance.now() - receivedAt > silentAfter) link.value = answers ? "dead_stream" : "dead_server";
}

function watch(): void {
  if (document.hidden) return;
  tick.value++;
  const silent = performance.now() - receivedAt;
  if (!source || silent < silentAfter) return;
  if (link.peek() === "open") void ask();
  if (silent > giveUpAfter) lost();
}

// start opens the stream. A hidden page closes it: over HTTP/1.1 a browser has
// six connections a host, and the seventh tab would wait for ever.
export function start(): void {
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) close();
    else if (!source) open();
  });
  window.addEventListener("pagehide", close);
  setInterval(watch, 500);
  if (!document.hidden) open();
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
    default:
      return "";
  }
}
