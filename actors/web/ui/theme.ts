// Dark or light: as the system has it, until the person chooses.

import { effect, signal } from "@preact/signals";

export type Theme = "auto" | "light" | "dark";

const key = "kitestring-theme";
const system = matchMedia("(prefers-color-scheme: dark)");

function remembered(): Theme {
  try {
    const t = localStorage.getItem(key);
    return t === "light" || t === "dark" ? t : "auto";
  } catch {
    return "auto"; // storage is switched off
  }
}

export const theme = signal<Theme>(remembered());

// themed moves when colours change, for what is painted by hand.
export const themed = signal(0);

export function nextTheme(): void {
  const order: Theme[] = ["auto", "light", "dark"];
  theme.value = order[(order.indexOf(theme.value) + 1) % order.length]!;
  try {
    localStorage.setItem(key, theme.value);
  } catch {
    // remembered while the page is open
  }
}

effect(() => {
  document.documentElement.dataset.theme = theme.value;
  themed.value = themed.peek() + 1;
});
system.addEventListener("change", () => themed.value++);
