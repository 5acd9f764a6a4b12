// The supervision tree, as it is now.

import { signal } from "@preact/signals";
import { post } from "./act";
import { latency, none, span, when, whole, words } from "./format";
import { actors, serverNow, sinceUpdate, status } from "./state";
import { ActorState, Age, Bar } from "./parts";
import type { Actor } from "./types";

export const actorFilter = signal("");
const restarted = signal<{ name: string; words: string; ok: boolean } | null>(null);

function deep(list: Actor[]): Map<string, number> {
  const depth = new Map<string, number>();
  for (const a of list) depth.set(a.name, a.parent ? (depth.get(a.parent) ?? 0) + 1 : 0);
  return depth;
}

async function restart(name: string): Promise<void> {
  const answer = await post(`/api/v1/actors/${encodeURIComponent(name)}/restart`);
  restarted.value = { name, ok: answer.ok, words: answer.ok ? `Restart of ${words(name)} requested.` : answer.words };
}

export function Tree() {
  const list = actors.value;
  const depth = deep(list);
  const adopted = status.value?.token.generation ?? 0;
  const search = actorFilter.value.trim().toLowerCase();
  const shown = search ? list.filter((a) => words(a.name).includes(search) || a.state.includes(search) || a.last_error.toLowerCase().includes(search)) : list;
  return (
    <>
      <p class={`note ${restarted.value?.ok === false ? "bad" : "good"}`} role="status">
        {restarted.value?.words}
      </p>
      <div class="wide" tabIndex={0} role="region" aria-label="Supervision tree, scrolls sideways">
        <table class="tree">
          <caption class="visually-hidden">Actors with state, token generation, mailbox, load, restarts and last error</caption>
          <thead>
            <tr>
              <th scope="col">Actor</th>
              <th scope="col">State</th>
              <th scope="col">Do</th>
              <th scope="col">Token</th>
              <th scope="col">Mailbox</th>
              <th scope="col" class="num">
                msg/s
              </th>
              <th scope="col" class="num">
                p99
              </th>
              <th scope="col" class="num">
                Restarts
              </th>
              <th scope="col" class="num">
                Up
              </th>
              <th scope="col">Next retry</th>
              <th scope="col">Last error</th>
            </tr>
          </thead>
          <tbody>
            {shown.map((a) => (
              <Row key={a.name} actor={a} depth={depth.get(a.name) ?? 0} adopted={adopted} />
            ))}
            {shown.length === 0 && (
              <tr>
                <td colSpan={11}>{search ? `No actor matches "${search}".` : "No data from the server yet."}</td>
              </tr>
            )}
          </tbody>
        </table>
      </div>
    </>
  );
}

function Row({ actor: a, depth, adopted }: { actor: Actor; depth: number; adopted: number }) {
  const worker = a.kind === "worker";
  const behind = a.generation > 0 && a.generation < adopted;
  const retry = when(a.next_retry_at);
  const share = a.mailbox.capacity ? a.mailbox.depth / a.mailbox.capacity : 0;
  const lossy = a.mailbox.conflated + a.mailbox.dropped > 0;
  return (
    <tr class={a.kind}>
      <th scope="row">
        <span class={`depth d${Math.min(depth, 3)}`}>{words(a.name)}</span>
      </th>
      <td>
        <ActorState state={a.state} />
      </td>
      <td>
        {worker && (
          <button type="button" class="button small" onClick={() => void restart(a.name)} aria-label={`Restart ${words(a.name)}`}>
            Restart
          </button>
        )}
      </td>
      <td>
        {a.generation > 0 ? (
          <span class={behind ? "gen behind" : "gen"} title={behind ? `behind: the adopted token is gen ${adopted}` : undefined}>
            gen {a.generation}
            {behind ? " behind" : ""}
          </span>
        ) : (
          ""
        )}
      </td>
      <td>
        {worker && (
          <span class="mailbox">
            <Bar share={share} tone={share > 0.8 ? "bad" : share > 0.5 ? "warn" : "good"} />
            <span class="ms">
              {whole(a.mailbox.depth)}/{whole(a.mailbox.capacity)}
            </span>
            {lossy && (
              <span class="dim">
                {a.mailbox.conflated > 0 ? ` ${whole(a.mailbox.conflated)} conflated` : ""}
                {a.mailbox.dropped > 0 ? ` ${whole(a.mailbox.dropped)} dropped` : ""}
              </span>
            )}
          </span>
        )}
      </td>
      <td class="num">{worker ? whole(Math.round(a.messages_per_second)) : ""}</td>
      <td class="num">{worker ? latency(a.handling_p99_seconds) : ""}</td>
      <td class="num">
        {worker ? whole(a.restarts) : ""}
        {a.restarts_in_window > 0 && <span class="warn"> ({a.restarts_in_window} of {a.restarts_allowed} now)</span>}
      </td>
      <td class="num">{a.state === "running" ? span(a.uptime_seconds * 1000 + sinceUpdate()) : none}</td>
      <td>{retry === null ? "" : retry > serverNow() ? `in ${((retry - serverNow()) / 1000).toFixed(1)} s` : "now"}</td>
      <td class="error" title={a.last_error}>
        {a.last_error}
      </td>
    </tr>
  );
}

// Holders lists which service last used which token.
export function Holders({ list }: { list: { actor: string; generation: number; at: string }[] }) {
  const adopted = status.value?.token.generation ?? 0;
  return (
    <ul class="holders">
      {list.map((h) => (
        <li key={h.actor}>
          <b>{words(h.actor)}</b> <span class={h.generation < adopted ? "gen behind" : "gen"}>gen {h.generation}</span> <Age at={h.at} />
        </li>
      ))}
    </ul>
  );
}
