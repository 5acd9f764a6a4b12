// The keyboard: g and a letter goes to a page, / searches, ? explains.

import { signal } from "@preact/signals";
import { selected, underlying, underlyings } from "./state";
import { logIn } from "./login";
import { offered, pages } from "./pages";
import { go, path, rendered } from "./route";
import { nextTheme } from "./theme";

export const helpOpen = signal(false);

const chordLasts = 1500; // ms between g and its letter
let chordAt = -Infinity;

function search(): void {
  if (path.value !== "/events" && path.value !== "/actors") go("/events");
  rendered(() => document.getElementById("search")?.focus());
}

function nextUnderlying(): void {
  const list = underlyings.value;
  if (list.length) selected.value = list[(list.indexOf(underlying.value) + 1) % list.length]!;
}

const single: Record<string, () => void> = {
  "/": search,
  "?": () => (helpOpen.value = !helpOpen.value),
  l: logIn,
  u: nextUnderlying,
  t: nextTheme,
};

export const shortcuts = (): [string, string][] => [
  ...pages.map((p): [string, string] => [`g ${p.key}`, p.name]),
  ["/", "Search the events, or the actors on their page"],
  ["u", "Next underlying"],
  ["l", "Log in"],
  ["t", "Theme: as the system, light, dark"],
  ["?", "This list"],
  ["Esc", "Close; leave a field"],
];

export function listen(): void {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const field = event.target instanceof HTMLElement && event.target.closest("input, textarea, select");
    if (field) {
      if (event.key === "Escape") (field as HTMLElement).blur();
      return;
    }
    if (document.querySelector("dialog[open]") && event.key !== "?") return;
    const chord = performance.now() - chordAt < chordLasts;
    chordAt = -Infinity;
    const page = chord ? offered().find((p) => p.key === event.key) : undefined;
    if (page) {
      go(page.path);
    } else if (event.key === "g") {
      chordAt = performance.now();
    } else if (single[event.key]) {
      single[event.key]!();
    } else {
      return;
    }
    event.preventDefault();
  });
}
