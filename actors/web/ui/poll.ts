// A worker that asks for the status while its page is hidden: a browser slows
// the timers of a hidden page down to one a minute, and a worker's not.

import type { Status, Token } from "./types";

// Polled is what one question brought; null: no answer.
export type Polled = { status: Status; token: Token } | null;

const every = 5000; // ms

let timer = 0;

async function read<T>(path: string): Promise<T> {
  const answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(4000) });
  if (!answer.ok) throw new Error(`${answer.status}`);
  return (await answer.json()) as T;
}

async function ask(): Promise<void> {
  const asked = timer;
  let found: Polled = null;
  try {
    const [status, token] = await Promise.all([read<Status>("/api/v1/status"), read<Token>("/api/v1/token")]);
    found = { status, token };
  } catch {
    // no answer is the answer
  }
  if (asked === timer) self.postMessage(found);
}

// The page says whether to ask.
self.onmessage = ({ data }: MessageEvent<boolean>) => {
  clearInterval(timer);
  timer = 0;
  if (!data) return;
  timer = self.setInterval(ask, every);
  void ask();
};
