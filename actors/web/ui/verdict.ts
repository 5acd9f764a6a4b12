// Is my data live? One word, one sentence, one shape and one colour for each
// answer: readable without colours, and without the words.

import { computed } from "@preact/signals";
import { words } from "./format";
import { status } from "./state";
import { disconnected, link, type Link } from "./link";

export type Level =
  | "live" // data flows
  | "closed" // connected, and no tick is due
  | "stale" // connected, and what should come does not
  | "down" // the token or the feed does not work
  | "lost" // this page does not know
  | "wait"; // this page does not know yet

export interface Verdict {
  level: Level;
  word: string;
  sentence: string;
}

export const glyphs: Record<Level, string> = { live: "\u25cf", closed: "\u25d1", stale: "\u25b2", down: "\u2715", lost: "\u2298", wait: "\u25cb" };

const phases: Record<string, string> = { closed: "Market closed", pre_open: "Pre-open", matching: "Pre-open matching", closing: "Market closing" };

const cutWords: Partial<Record<Link, string>> = { dead_server: "Server gone", asleep: "Unknown", opening: "Reconnecting" };

export const verdict = computed<Verdict>(() => {
  const s = status.value;
  const cut = disconnected();
  if (cut) return { level: "lost", word: cutWords[link.value] ?? "Disconnected", sentence: cut };
  if (!s) return { level: "wait", word: "Connecting", sentence: "Asking the server." };
  if (s.live && s.market.phase === "open") return { level: "live", word: "Live", sentence: s.message };
  if (s.live) return { level: "closed", word: phases[s.market.phase] ?? words(s.market.phase), sentence: s.message };
  if (s.token.state === "rejected" || s.token.state === "no_token") return { level: "down", word: "Log in", sentence: s.message };
  if (s.feed.state === "streaming" && s.token.generation > 0) return { level: "stale", word: "Feed stale", sentence: s.message };
  return { level: "down", word: "Not live", sentence: s.message };
});
