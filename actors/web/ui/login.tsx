// The login: a popup on Kite's page, or a link to paste. Success arrives
// over the stream, from whatever window or device it came.

import { signal } from "@preact/signals";
import { post } from "./act";
import { countdown, when } from "./format";
import { serverNow, status } from "./state";
import { Age } from "./parts";
import type { LoginEnd } from "./types";

const lasts = 10 * 60 * 1000; // a begun login is good for ten minutes

const begun = signal<number | null>(null); // the server's time of the press
const pasteOpen = signal(false);
const pasted = signal("");
const pasteWords = signal("");
const pasting = signal(false);

function begin(event: MouseEvent): void {
  begun.value = serverNow();
  const popup = window.open("/login", "kitestring-login", "popup,width=520,height=720");
  if (popup) event.preventDefault(); // else the link itself opens a tab
}

// logIn is what the key does.
export function logIn(): void {
  document.getElementById("login")?.click();
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

export function LoginBox() {
  const s = status.value;
  if (!s) return null;
  const due = s.token.state !== "valid";
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
      {end && !waiting && (
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
