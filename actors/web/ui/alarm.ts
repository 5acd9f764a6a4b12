// What calls a person back to the page: a notification of the desktop and a
// sound, when data stops, the token dies or a login is due. Both are off until
// they are asked for, and remembered by the browser.

import { computed, effect, signal } from "@preact/signals";
import { token } from "./state";
import { verdict } from "./verdict";

const key = "kitestring-alarm";

function remembered(): { notify: boolean; sound: boolean } {
  try {
    const kept = JSON.parse(localStorage.getItem(key) ?? "{}") as { notify?: unknown; sound?: unknown };
    return { notify: kept.notify === true && permission() === "granted", sound: kept.sound === true };
  } catch {
    return { notify: false, sound: false }; // storage is switched off, or holds something else
  }
}

const permission = (): NotificationPermission => ("Notification" in window ? Notification.permission : "denied");

export const alarm = signal(remembered());
export const alarmWords = signal(""); // why one cannot be had
export const alarmOpen = signal(false);

function keep(next: { notify: boolean; sound: boolean }): void {
  alarm.value = next;
  try {
    localStorage.setItem(key, JSON.stringify(next));
  } catch {
    // remembered while the page is open
  }
}

export async function wantNotify(on: boolean): Promise<void> {
  alarmWords.value = "";
  if (on && permission() !== "granted") {
    const answer = "Notification" in window ? await Notification.requestPermission() : "denied";
    if (answer !== "granted") {
      alarmWords.value = "This browser does not allow notifications of this page. Allow them in the settings of the site, then switch them on again.";
      return;
    }
  }
  keep({ ...alarm.value, notify: on });
}

export function wantSound(on: boolean): void {
  keep({ ...alarm.value, sound: on });
  if (on) beep();
}

let audio: AudioContext | null = null;

// beep is two short tones.
function beep(): void {
  audio ??= new AudioContext();
  void audio.resume(); // a browser keeps it silent until a key or a mouse was used
  const start = audio.currentTime + 0.05;
  for (const [at, hertz] of [
    [0, 880],
    [0.25, 660],
  ] as const) {
    const tone = audio.createOscillator();
    const volume = audio.createGain();
    tone.frequency.value = hertz;
    volume.gain.setValueAtTime(0.2, start + at);
    volume.gain.exponentialRampToValueAtTime(0.001, start + at + 0.22);
    tone.connect(volume).connect(audio.destination);
    tone.start(start + at);
    tone.stop(start + at + 0.22);
  }
}

// raise says something outside the page.
export function raise(title: string, text: string, sound = true): void {
  if (sound && alarm.peek().sound) beep();
  if (!alarm.peek().notify) return;
  try {
    const note = new Notification(title, { body: text, tag: "kitestring", icon: "/assets/down.svg" });
    note.onclick = () => {
      window.focus();
      note.close();
    };
  } catch {
    alarmWords.value = "This browser shows notifications of installed pages only.";
  }
}

// trouble is what a person is called for, "" while all is well. A page that has
// no status yet has no trouble.
export const trouble = computed(() => {
  const v = verdict.value;
  if (v.level === "stale" || v.level === "down" || v.level === "lost") return v.word;
  return token.value?.login_due && v.level !== "wait" ? "Login due" : "";
});

const holdsFor = 3000; // ms: what heals by itself sooner calls nobody

// watchTrouble raises each trouble once, and says when it is over.
export function watchTrouble(): void {
  let timer = 0;
  let raised = "";
  effect(() => {
    const now = trouble.value;
    clearTimeout(timer);
    if (now === raised) return;
    timer = window.setTimeout(() => {
      if (now) raise(`kitestring: ${now}`, now === "Login due" ? "The daily login is due. Log in to keep the data coming." : verdict.peek().sentence);
      else raise("kitestring: all is well again", verdict.peek().sentence, false);
      raised = now;
    }, holdsFor);
  });
}
