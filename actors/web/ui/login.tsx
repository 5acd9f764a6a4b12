// The login: a popup on Kite's page, or a link to paste. Success arrives
// over the stream, from whatever window or device it came.

import { signal } from "@preact/signals";
import { post } from "./act";
import { countdown, when } from "./format";
import { Age } from "./parts";
import { go, rendered } from "./route";
import { serverNow, status, token } from "./state";
import type { LoginEnd } from "./types";

const lasts = 10 * 60 * 1000; // a begun login is good for ten minutes

const begun = signal<number | null>(null); // the server's time of the press
const used = signal<number | null>(null); // likewise, of that or of a paste
const pasteOpen = signal(false);
const pasted = signal("");
const pasteWords = signal("");
const pasting = signal(false);

function begin(event: MouseEvent): void {
  begun.value = used.value = serverNow();
  const popup = window.open("/login", "kitestring-login", "popup,width=520,height=720");
  if (popup) event.preventDefault(); // else the link itself opens a tab
}

// logIn is what the key does.
export function logIn(): void {
  const press = () => document.getElementById("login")?.click();
  if (document.getElementById("login")) press();
  else {
    go("/actors");
    rendered(press);
  }
}

async function finish(event: SubmitEvent): Promise<void> {
  event.preventDefault();
  const text = pasted.value.trim();
  if (!text) {
    pasteWords.value = "Paste the link of the page you landed on; it begins with http and contains request_token=.";
    document.getElementById("pasted")?.focus();
    return;
  }
  pasting.value = true;
  used.value = serverNow();
  pasteWords.value = "";
  const answer = await post("/api/v1/login/complete", { pasted: text });
  pasting.value = false;
  pasteWords.value = answer.words;
  if (answer.ok) {
    pasted.value = "";
    pasteOpen.value = false;
  }
}

const titles: Record<Exclude<LoginEnd["result"], "ok">, string> = {
  cancelled: "Login cancelled",
  bad_state: "Login refused",
  exchange_failed: "Login failed",
  timeout: "Login timed out",
};

const shownFor = 60_000; // ms that a login that has worked stays in the banner

// loginInBanner is whether the banner has the login: it is due, or was begun on
// this page. The token's own line has it otherwise.
export function loginInBanner(): boolean {
  const s = status.value;
  if (!s) return false;
  if (s.token.state !== "valid" || token.value?.login_due) return true;
  const ended = when(s.last_login?.at) ?? 0;
  const done = used.value !== null && s.last_login?.result === "ok" && ended >= used.value && serverNow() - ended > shownFor;
  return used.value !== null && !done;
}

export function LoginBox() {
  const s = status.value;
  if (!s) return null;
  const due = s.token.state !== "valid" || token.value?.login_due;
  const end = s.last_login;
  const endAt = when(end?.at) ?? 0;
  const start = begun.value;
  const waiting = start !== null && endAt < start && serverNow() - start < lasts;
  const over = start !== null && endAt < start && !waiting;
  return (
    <div class="login">
      <p class="actions">
        <a id="login" class={`button ${due ? "primary" : ""}`} href="/login" target="kitestring-login" onClick={begin}>
          Log in
        </a>
        <button type="button" class="link" aria-expanded={pasteOpen.value} aria-controls="paste" onClick={() => (pasteOpen.value = !pasteOpen.value)}>
          Logged in elsewhere? Paste the link
        </button>
      </p>
      {waiting && (
        <p class="waiting" role="status">
          Waiting for the login in the other window.{" "}
          <span aria-hidden="true" class="countdown">
            {countdown(start + lasts - serverNow())} left
          </span>
        </p>
      )}
      {over && <p class="note bad">The login was not finished within ten minutes. Log in again.</p>}
      {end && !waiting && (end.result !== "ok" || (s.token.state === "valid" && serverNow() - endAt < shownFor)) && (
        <p class={`note ${end.result === "ok" ? "good" : "bad"}`} id="login-result">
          {end.result === "ok" ? "" : <b>{titles[end.result]}. </b>}
          {end.reason} <Age at={end.at} />
        </p>
      )}
      <form id="paste" hidden={!pasteOpen.value} onSubmit={finish}>
        <label for="pasted">Link of the page you landed on</label>
        <p class="hint" id="pasted-hint">
          On a phone the login ends on a page that cannot open. Copy that page's link and paste it here. The request_token alone also works.
        </p>
        <div class="row">
          <input
            id="pasted"
            type="text"
            autocomplete="off"
            spellcheck={false}
            aria-describedby="pasted-hint pasted-words"
            value={pasted.value}
            onInput={(e) => (pasted.value = e.currentTarget.value)}
          />
          <button type="submit" class="button" disabled={pasting.value}>
            {pasting.value ? "Finishing\u2026" : "Finish login"}
          </button>
        </div>
        <p class="note bad" role="alert" id="pasted-words">
          {pasteWords.value}
        </p>
      </form>
    </div>
  );
}
