// What the page asks the server to do. What only an admin may do answers 401
// until this browser has shown the admin token; then the page asks for it, once.

import { signal } from "@preact/signals";
import type { Problem } from "./types";

export interface Answer<T> {
  ok: boolean;
  value?: T;
  words: string; // of a failure
}

// admission is open while the page waits for the admin token.
export const admission = signal<{ words: string; done: (admitted: boolean) => void } | null>(null);

export async function post<T>(path: string, body?: unknown, method = "POST"): Promise<Answer<T>> {
  for (;;) {
    let answer: Response;
    try {
      answer = await fetch(path, {
        method,
        headers: body === undefined ? {} : { "Content-Type": "application/json" },
        body: body === undefined ? undefined : JSON.stringify(body),
        signal: AbortSignal.timeout(30_000),
      });
    } catch {
      return { ok: false, words: "The server does not answer." };
    }
    if (answer.ok) {
      return { ok: true, words: "", value: answer.status === 204 ? undefined : ((await answer.json()) as T) };
    }
    const problem = (await answer.json().catch(() => null)) as Problem | null;
    const words = problem?.detail ?? `The server answered ${answer.status}.`;
    if (answer.status !== 401 || path === "/api/v1/session") return { ok: false, words };
    const admitted = await new Promise<boolean>((done) => (admission.value = { words: "This changes something: it needs the admin token.", done }));
    if (!admitted) return { ok: false, words: "Not done: it needs the admin token." };
  }
}
