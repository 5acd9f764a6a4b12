// Which page is shown: an address each, so that it can be linked to.

import { effect, signal } from "@preact/signals";

export const pages = [
  { path: "/", name: "Overview", key: "o" },
  { path: "/analyses", name: "Analyses", key: "n" },
  { path: "/actors", name: "Actors", key: "a" },
  { path: "/events", name: "Events", key: "e" },
  { path: "/drills", name: "Drills", key: "d" },
] as const;

export type Path = (typeof pages)[number]["path"];

const known = (path: string): Path => pages.find((p) => p.path === path)?.path ?? "/";

export const path = signal<Path>(known(location.pathname));

// rendered runs what needs the elements of a page that was just selected. Preact
// renders in a microtask: what follows in another comes before the next key,
// which a wait for the next frame would lose on a busy machine.
export const rendered = queueMicrotask;

export function go(to: Path): void {
  if (to === path.peek()) return;
  history.pushState(null, "", to);
  path.value = to;
  // As after a load: the reader begins at the page's heading.
  rendered(() => {
    window.scrollTo(0, 0);
    document.getElementById("page-title")?.focus({ preventScroll: true });
  });
}

window.addEventListener("popstate", () => (path.value = known(location.pathname)));

export const here = () => pages.find((p) => p.path === path.value)!;

effect(() => {
  document.documentElement.dataset.page = here().name.toLowerCase();
});
