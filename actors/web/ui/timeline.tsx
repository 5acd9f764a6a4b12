// What happened, newest first.

import { signal } from "@preact/signals";
import { clockTime, longDay, prose, words, when } from "./format";
import { events, serverNow } from "./state";
import { Age } from "./parts";
import type { Event } from "./types";

export const eventFilter = signal("");
export const eventKind = signal("");

const glyphs: Record<string, string> = {
  token: "\u25c6",
  login: "\u25b6",
  feed: "\u2248",
  actor: "\u25bc",
  market: "\u25d1",
  gap: "\u25a0",
  rotation: "\u25cf",
  instruments: "\u25a4",
  file: "\u25a1",
  order: "\u25c7",
  drill: "\u2691",
};

export function Timeline({ list }: { list: Event[] }) {
  const today = longDay(serverNow());
  return (
    <ol class="events">
      {list.map((e) => {
        const at = when(e.at) ?? 0;
        const date = longDay(at);
        return (
          <li key={e.id} class={`event of-${e.kind}`}>
            <time dateTime={e.at}>
              {date === today ? "" : `${date} `}
              {clockTime(at)}
            </time>
            <span class="kind">
              <span aria-hidden="true">{glyphs[e.kind] ?? "\u25cb"}</span> {words(e.kind)}
            </span>
            <Age at={e.at} />
            <span class="text">{prose(e.text)}</span>
          </li>
        );
      })}
    </ol>
  );
}

export const shownEvents = (): Event[] => {
  const search = eventFilter.value.trim().toLowerCase();
  return events.value.filter((e) => (!eventKind.value || e.kind === eventKind.value) && (!search || prose(e.text).toLowerCase().includes(search)));
};
