// Which page is shown: an address each, so that it can be linked to. The list
// of pages is pages.tsx.

import { signal } from "@preact/signals";

export const path = signal(location.pathname);

// rendered runs what needs the elements of a page that was just selected. Preact
// renders in a microtask: what follows in another comes before the next key,
// which a wait for the next frame would lose on a busy machine.
export const rendered = queueMicrotask;

export function go(to: string): void {
  if (to === path.peek()) return;
  history.pushState(null, "", to);
  path.value = to;
  // As after a load: the reader begins at the page's heading.
  rendered(() => {
    window.scrollTo(0, 0);
    document.getElementById("page-title")?.focus({ preventScroll: true });
  });
}

window.addEventListener("popstate", () => (path.value = location.pathname));
