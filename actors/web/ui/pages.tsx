// The pages of the dashboard, in the order of the menu. A page is a row here
// and its address in the server's list (routes.go).

import { effect } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { ActorsPage } from "./actors";
import { AnalysesPage } from "./analyses";
import { ChainPage } from "./chain";
import { ClientsPage } from "./clients";
import { Drills } from "./drills";
import { EventsPage } from "./events";
import { Overview } from "./overview";
import { path } from "./route";
import { status } from "./state";
import type { Status } from "./types";

export interface Page {
  path: string;
  name: string;
  key: string; // after g
  body: () => ComponentChildren;
  market?: boolean; // whether the banner shows the last prices, to choose from
  when?: (s: Status) => boolean; // whether the menu has it; none: always
}

export const pages: Page[] = [
  { path: "/", name: "Overview", key: "o", body: Overview, market: true },
  { path: "/chain", name: "Chain", key: "c", body: ChainPage, market: true },
  { path: "/analyses", name: "Analyses", key: "n", body: AnalysesPage, market: true },
  { path: "/actors", name: "Actors", key: "a", body: ActorsPage },
  { path: "/clients", name: "Clients", key: "k", body: ClientsPage, when: (s) => s.gateway !== null || s.bus !== null },
  { path: "/events", name: "Events", key: "e", body: EventsPage },
  { path: "/drills", name: "Drills", key: "d", body: Drills, when: (s) => s.profile === "sim" },
];

// offered are the pages that the menu and the keys lead to now.
export const offered = (): Page[] => pages.filter((p) => !p.when || !status.value || p.when(status.value));

export const here = (): Page => pages.find((p) => p.path === path.value) ?? pages[0]!;

effect(() => {
  document.documentElement.dataset.page = here().name.toLowerCase();
});
