// The frame of the dashboard around its pages, and the title.

import { computed, effect, signal } from "@preact/signals";
import { render, type ComponentChildren } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { admission, post } from "./act";
import { alarm, alarmOpen, alarmWords, raise, wantNotify, wantSound, watchTrouble } from "./alarm";
import { loadAlerts, ServerAlerts } from "./alerts";
import { clockTime, longDay, price, signed, span, words } from "./format";
import { helpOpen, listen, shortcuts } from "./keys";
import { disconnected, start } from "./link";
import { LoginBox, loginInBanner } from "./login";
import { here, offered } from "./pages";
import { Age, Link } from "./parts";
import { exchangeNow, quotes, selected, sinceUpdate, status, underlying, underlyings } from "./state";
import { ReplayBadge } from "./replay";
import { nextTheme, theme, themed } from "./theme";
import { glyphs, verdict } from "./verdict";

function Banner() {
  const words = disconnected();
  return (
    <div class="banner" hidden={!words}>
      <p role="alert">{words}</p>
      {words && sinceUpdate() > 0 && <p>Everything below is {span(sinceUpdate())} old.</p>}
    </div>
  );
}

function Header() {
  const s = status.value;
  const exchange = exchangeNow();
  return (
    <header>
      <p class="brand">
        <svg viewBox="0 0 24 24" aria-hidden="true">
          <path class="kite" d="M12 2 19 10 12 19 5 10Z" />
          <path class="cross" d="M12 2V19M5 10H19" />
          <path class="string" d="M12 19c-3 1 2 2-1 4" />
        </svg>
        kitestring
      </p>
      {s?.replay && <ReplayBadge {...s.replay} />}
      {s && !s.replay && (
        <span class={`badge ${s.profile}`} title={s.profile === "sim" ? "A simulated exchange: no money, no broker" : undefined}>
          {s.profile.toUpperCase()}
        </span>
      )}
      <p class="clock">
        {s && (
          <>
            <span class="wide-only">{longDay(exchange)} </span>
            <b>{clockTime(exchange)}</b> IST<span class="wide-only">, market {words(s.market.phase)}</span>
          </>
        )}
      </p>
      <div class="tools">
        <button type="button" class="icon" onClick={nextTheme} aria-label={`Theme: ${theme.value === "auto" ? "as the system" : theme.value}. Change it.`}>
          <span aria-hidden="true">{theme.value === "auto" ? "\u25d0" : theme.value === "light" ? "\u25cb" : "\u25cf"}</span>
        </button>
        <button type="button" class="icon" onClick={() => ((alarmOpen.value = true), void loadAlerts())} aria-label={`Alarms: ${alarm.value.notify || alarm.value.sound ? "on" : "off"}`}>
          <svg viewBox="0 0 24 24" aria-hidden="true" class={alarm.value.notify || alarm.value.sound ? "bell on" : "bell"}>
            <path d="M6 17V11a6 6 0 0 1 12 0v6l1.5 2h-15ZM10 21h4" />
          </svg>
        </button>
        <button type="button" class="icon" onClick={() => (helpOpen.value = true)} aria-label="Keyboard shortcuts">
          <span aria-hidden="true">?</span>
        </button>
      </div>
      <nav aria-label="Pages">
        <ul>
          {offered().map((p) => (
            <li key={p.path}>
              <Link to={p.path} current={p === here()} keys={`g ${p.key}`}>
                {p.name}
              </Link>
            </li>
          ))}
        </ul>
      </nav>
    </header>
  );
}

// Hero answers the first question, on every page.
function Hero() {
  const v = verdict.value;
  const s = status.value;
  return (
    <section class={`hero ${v.level}`} aria-label="Is my data live?">
      <p class="word" role="status">
        <span class="glyph" aria-hidden="true">
          {glyphs[v.level]}
        </span>{" "}
        {v.word}
      </p>
      <p class="sentence">
        {v.sentence} {s && <span class="age">updated {sinceUpdate() < 1000 ? "just now" : `${span(sinceUpdate())} ago`}</span>}
      </p>
      {loginInBanner() && <LoginBox />}
      {here().market && <Quotes />}
    </section>
  );
}

function move(percent: number): ["up" | "down" | "flat", string] {
  if (signed(percent) === "0.00") return ["flat", "unchanged"];
  return percent < 0 ? ["down", `\u25bc ${signed(percent)} %`] : ["up", `\u25b2 ${signed(percent)} %`];
}

// Quotes are the last prices of the underlyings; the pages of the market show
// the chosen one.
function Quotes() {
  return (
    <ul class="quotes" aria-label="Last prices">
      {underlyings.value.map((name) => {
        const q = quotes.value[name];
        const [to, text] = move(q?.percent ?? 0);
        return (
          <li key={name}>
            <button type="button" aria-pressed={name === underlying.value} onClick={() => (selected.value = name)}>
              <span class="name">{name}</span>
              {q ? (
                <>
                  <b>{price(q.last_price)}</b>
                  <span class={to}>{text}</span>
                  <Age at={q.at} exchange />
                </>
              ) : (
                <span class="dim reason">{status.value?.missing.find((m) => m.what === `prices of ${name}`)?.reason.split(";")[0] ?? "no price yet"}</span>
              )}
            </button>
          </li>
        );
      })}
    </ul>
  );
}

function Modal({ open, title, id, onClose, children }: { open: boolean; title: string; id: string; onClose: () => void; children: ComponentChildren }) {
  const ref = useRef<HTMLDialogElement>(null);
  useLayoutEffect(() => {
    if (open) ref.current!.showModal();
    else ref.current!.close();
  }, [open]);
  return (
    <dialog ref={ref} aria-labelledby={id} onClose={onClose}>
      <h2 id={id}>{title}</h2>
      {children}
    </dialog>
  );
}

function Help() {
  return (
    <Modal open={helpOpen.value} title="Keyboard" id="help" onClose={() => (helpOpen.value = false)}>
      <dl class="shortcuts">
        {shortcuts().map(([keys, text]) => (
          <div key={keys}>
            <dt>
              {keys.split(" ").map((k) => (
                <kbd key={k}>{k}</kbd>
              ))}
            </dt>
            <dd>{text}</dd>
          </div>
        ))}
      </dl>
      <form method="dialog">
        <button class="button">Close</button>
      </form>
    </Modal>
  );
}

function Alarms() {
  const a = alarm.value;
  return (
    <Modal open={alarmOpen.value} title="Alarms" id="alarms" onClose={() => (alarmOpen.value = false)}>
      <p>While this page is open, in front or not, it calls you when data stops, when the token dies and when a login is due.</p>
      <p class="check">
        <input id="alarm-notify" type="checkbox" checked={a.notify} onChange={(e) => void wantNotify(e.currentTarget.checked)} />
        <label for="alarm-notify">Notification of the desktop</label>
      </p>
      <p class="check">
        <input id="alarm-sound" type="checkbox" checked={a.sound} onChange={(e) => wantSound(e.currentTarget.checked)} />
        <label for="alarm-sound">Sound</label>
      </p>
      <p class="note bad" role="alert">
        {alarmWords.value}
      </p>
      <ServerAlerts />
      <form method="dialog" class="actions">
        <button type="button" class="button" disabled={!a.notify && !a.sound} onClick={() => raise("kitestring: a trial", "This is how an alarm looks.")}>
          Try it
        </button>
        <button class="button">Close</button>
      </form>
    </Modal>
  );
}

function Admission() {
  const a = admission.value;
  const field = useRef<HTMLInputElement>(null);
  const note = useRef<HTMLParagraphElement>(null);
  const end = (admitted: boolean) => {
    admission.value = null;
    a?.done(admitted);
  };
  async function show(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    const answer = await post("/api/v1/session", { admin_token: field.current!.value });
    field.current!.value = "";
    if (answer.ok) end(true);
    else note.current!.textContent = answer.words;
  }
  return (
    <Modal open={a !== null} title="Admin token" id="admission" onClose={() => a && end(false)}>
      <p>{a?.words}</p>
      <form onSubmit={show} class="stack">
        <label for="admin-token">ADMIN_TOKEN of the .env file</label>
        <input id="admin-token" ref={field} type="password" autocomplete="current-password" required />
        <p class="note bad" role="alert" ref={note} />
        <p class="actions">
          <button type="submit" class="button primary">
            Continue
          </button>
          <button type="button" class="button" onClick={() => end(false)}>
            Cancel
          </button>
        </p>
      </form>
    </Modal>
  );
}

function Footer() {
  const s = status.value;
  return (
    <footer>
      <p>
        Times are IST: of events by this server's clock, of prices by the exchange's. <a href="/metrics">Metrics</a> <a href="/api/v1/openapi.json">API</a> <a href="/assets/licenses.txt">Licenses</a>
        {s && <span> kitestring {s.process.version}</span>}
      </p>
      <p>
        TradingView Lightweight Charts{"\u2122"}, Copyright {"\u00a9"} 2025 TradingView, Inc. <a href="https://www.tradingview.com/">tradingview.com</a>
      </p>
    </footer>
  );
}

// The callback sends the window of the login back with this mark.
const arrived = signal(location.hash === "#logged-in");
if (arrived.peek()) history.replaceState(null, "", location.pathname);

// Arrived says in that window that it is not needed any more.
function Arrived() {
  if (!arrived.value) return null;
  return (
    <p class="arrived">
      <b>Logged in.</b> If the dashboard is open in another window, this one can be closed.{" "}
      <button type="button" class="button small" onClick={() => window.close()}>
        Close
      </button>{" "}
      <button type="button" class="button small" onClick={() => (arrived.value = false)}>
        Stay here
      </button>
    </p>
  );
}

function App() {
  const Body = here().body as () => never;
  return (
    <>
      <a class="skip" href="#main">
        Skip to the content
      </a>
      <Banner />
      <Header />
      {status.value?.profile === "sim" && !status.value.replay && <aside class="unreal" aria-label="Simulated">Simulated exchange: these prices are invented.</aside>}
      <main id="main" tabIndex={-1} class={disconnected() ? "old" : ""}>
        <h1 id="page-title" tabIndex={-1} class={here().path === "/" ? "visually-hidden" : ""}>
          {here().name}
        </h1>
        <Arrived />
        <Hero />
        <Body />
      </main>
      <Footer />
      <Help />
      <Alarms />
      <Admission />
    </>
  );
}

const profile = computed(() => status.value?.profile ?? "");
const icon = document.querySelector<HTMLLinkElement>("link[rel=icon]")!;

effect(() => {
  const v = verdict.value;
  document.title = `${glyphs[v.level]} ${v.word}, ${here().name.toLowerCase()} \u00b7 kitestring`;
  const file = `/assets/${v.level}.svg`;
  if (icon.getAttribute("href") !== file) icon.href = file;
  document.documentElement.dataset.state = v.level;
});

effect(() => {
  document.documentElement.dataset.profile = profile.value;
  themed.value = themed.peek() + 1;
});

listen();
watchTrouble();
const root = document.getElementById("app")!;
root.replaceChildren();
render(<App />, root);
start();
