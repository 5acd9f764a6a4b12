// Small parts that every page uses.

import type { ComponentChildren, RefObject } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { age, words } from "./format";
import { go } from "./route";
import { ageOf, exchangeAgeOf } from "./state";

// Age says how old something is, and grows by itself.
export function Age({ at, exchange, of }: { at: string | null | undefined; exchange?: boolean; of?: string }) {
  const ms = exchange ? exchangeAgeOf(at) : ageOf(at);
  return (
    <span class="age">
      {of ? `${of} ` : ""}
      {age(ms)}
    </span>
  );
}

export type Tone = "good" | "calm" | "warn" | "bad" | "dim";

// Mark is a state: a glyph, a colour and the word itself.
export function Mark({ tone, glyph, children }: { tone: Tone; glyph: string; children: ComponentChildren }) {
  return (
    <span class={`mark ${tone}`}>
      <span aria-hidden="true">{glyph}</span> {children}
    </span>
  );
}

const actorMarks: Record<string, [Tone, string]> = {
  running: ["good", "\u25cf"],
  starting: ["warn", "\u25cb"],
  backing_off: ["warn", "\u25d4"],
  hung: ["bad", "\u25a0"],
  quarantined: ["bad", "\u2715"],
  stopped: ["dim", "\u25cc"],
};

// ActorState is the state of an actor; with its name, where there is room for
// the glyph only.
export function ActorState({ state, name }: { state: string; name?: string }) {
  const [tone, glyph] = actorMarks[state] ?? ["dim", "?"];
  return (
    <Mark tone={tone} glyph={glyph}>
      {name ? <span class="visually-hidden">{`${name} ${words(state)}`}</span> : words(state)}
    </Mark>
  );
}

const readingMarks: Record<string, [Tone, string]> = {
  active: ["good", "\u25cf"],
  watching: ["calm", "\u25d0"],
  unavailable: ["dim", "\u25cc"],
};

export function ReadingStatus({ status }: { status: string }) {
  const [tone, glyph] = readingMarks[status] ?? ["dim", "?"];
  return (
    <Mark tone={tone} glyph={glyph}>
      {words(status)}
    </Mark>
  );
}

// lean is the direction of a signal, which decides its colour.
export function lean(signal: string): "up" | "down" | "flat" {
  if (/buy|bull|(^|_)up|long|strong_call/i.test(signal)) return "up";
  if (/sell|bear|(^|_)down|short|strong_put/i.test(signal)) return "down";
  return "flat";
}

export const arrows = { up: "\u25b2", down: "\u25bc", flat: "\u25c6" };

export function Signal({ signal, big }: { signal: string; big?: boolean }) {
  const to = lean(signal);
  return (
    <span class={`signal ${to}${big ? " big" : ""}`}>
      <span aria-hidden="true">{arrows[to]}</span> {words(signal)}
    </span>
  );
}

// Bar is a share of a whole, next to the figure that says the same.
export function Bar({ share, tone }: { share: number; tone?: string }) {
  const width = Math.max(0, Math.min(100, share * 100));
  return (
    <svg class={`bar ${tone ?? ""}`} aria-hidden="true">
      <rect class="track" width="100%" height="6" rx="3" />
      <rect class="fill" width={`${width}%`} height="6" rx="3" />
    </svg>
  );
}

export function Card({ title, id, children, aside }: { title: string; id: string; children: ComponentChildren; aside?: ComponentChildren }) {
  return (
    <section class="card" aria-labelledby={id} id={`card-${id}`}>
      <div class="card-head">
        <h2 id={id}>{title}</h2>
        {aside}
      </div>
      {children}
    </section>
  );
}

// Link leads to a page without loading it.
export function Link({ to, children, current, keys }: { to: string; children: ComponentChildren; current?: boolean; keys?: string }) {
  return (
    <a
      href={to}
      aria-current={current ? "page" : undefined}
      aria-keyshortcuts={keys}
      onClick={(e) => {
        if (e.button !== 0 || e.metaKey || e.ctrlKey || e.shiftKey) return;
        e.preventDefault();
        go(to);
      }}
    >
      {children}
    </a>
  );
}

// Search is a field that narrows a list; a page has one at most.
export function Search({ label, value }: { label: string; value: { value: string } }) {
  return (
    <p class="search">
      <label for="search">{label}</label>
      <input id="search" type="search" autocomplete="off" value={value.value} onInput={(e) => (value.value = e.currentTarget.value)} />
    </p>
  );
}

// Choice is a row of buttons of which one is pressed.
export function Choice({ label, options, value, onPick }: { label: string; options: [string, string][]; value: string; onPick: (v: string) => void }) {
  return (
    <div class="choice" role="group" aria-label={label}>
      {options.map(([v, text]) => (
        <button type="button" key={v} aria-pressed={v === value} onClick={() => onPick(v)}>
          {text}
        </button>
      ))}
    </div>
  );
}

// useWidth gives an element's width, for a picture that fills it.
export function useWidth<E extends Element>(): [RefObject<E | null>, number] {
  const ref = useRef<E>(null);
  const [width, setWidth] = useState(0);
  useLayoutEffect(() => {
    const look = () => setWidth(Math.round(ref.current!.getBoundingClientRect().width));
    const seen = new ResizeObserver(look);
    seen.observe(ref.current!);
    look();
    return () => seen.disconnect();
  }, []);
  return [ref, width];
}
