// The page shows what the stream says and how old it is. It holds no truth of
// its own: when the stream falls silent the page says so, at once.

const $ = (id) => document.getElementById(id);
const ist = new Intl.DateTimeFormat("en-GB", { timeZone: "Asia/Kolkata", hour: "2-digit", minute: "2-digit", second: "2-digit" });
const time = (iso) => (iso && !iso.startsWith("0001") ? ist.format(new Date(iso)) : "–");
const text = (node, value) => { if (node.textContent !== value) node.textContent = value; };
const seconds = (s) => (s == null ? "never" : s < 10 ? `${s.toFixed(1)} s ago` : `${Math.round(s)} s ago`);
const millis = (ms) => (ms == null ? "–" : ms < 10 ? `${ms.toFixed(2)} ms` : `${Math.round(ms)} ms`);
const state = { status: null, heard: 0, readings: new Map(), quotes: new Map(), rotations: new Map() };

function show(level, word, sentence) {
  document.body.dataset.state = level;
  text($("word"), word);
  text($("sentence"), sentence);
  document.title = `${word} · kitestring`;
  const icon = `/assets/${level}.svg`;
  if (!$("icon").href.endsWith(icon)) $("icon").href = icon;
}

function status(s) {
  state.status = s;
  show(s.live ? (s.market.phase === "open" ? "live" : "wait") : "down", s.live ? (s.market.phase === "open" ? "Live" : "Connected") : "Not live", s.message);
  const badge = $("profile");
  badge.hidden = false;
  badge.classList.toggle("live", s.profile === "live");
  text(badge, s.profile.toUpperCase());
  text($("clock"), `exchange ${time(s.market.exchange_time)} · ${s.market.phase.replace("_", "-")}`);
  text($("token-state"), s.token.state.replace("_", " "));
  $("token-state").className = `figure ${s.token.state === "valid" ? "good" : s.token.state === "rejected" ? "bad" : "wait"}`;
  text($("token-detail"), s.token.generation ? `generation ${s.token.generation}, fingerprint ${s.token.fingerprint}${s.token.coherent ? ", every part on it" : ""}` : "none adopted yet");
  const fault = !s.token.coherent && s.token.generation ? "Some part still uses an older token." : s.token.reason || "";
  $("token-fault").hidden = !fault;
  text($("token-fault"), fault);
  $("login").classList.toggle("due", s.token.state !== "valid");
  text($("login-result"), s.last_login ? `Last login ${time(s.last_login.at)}: ${s.last_login.reason}` : "");
  text($("feed-rate"), `${Math.round(s.feed.ticks_per_second)} ticks/s`);
  text($("feed-detail"), `${s.feed.state.replace("_", " ")}, ${s.feed.instruments} instruments on ${s.feed.sockets} ${s.feed.sockets === 1 ? "socket" : "sockets"}`);
  text($("feed-age"), `last tick ${seconds(s.feed.last_tick_age_seconds)}, last frame ${seconds(s.feed.last_frame_age_seconds)}`);
  text($("actors-running"), `${s.actors.running} of ${s.actors.total}`);
  $("actors-running").className = `figure ${s.actors.running === s.actors.total ? "good" : "bad"}`;
  text($("actors-detail"), `${s.actors.restarts} restarts${s.actors.not_running.length ? `; not running: ${s.actors.not_running.join(", ")}` : ""}`);
}

const stages = [["detected_ms", "detected"], ["validated_ms", "validated"], ["dialled_ms", "dialled"], ["first_frame_ms", "first frame"], ["first_tick_ms", "first tick"], ["retired_ms", "old socket closed"]];

function rotation(r) {
  state.rotations.set(r.generation, r);
  const newest = state.rotations.get(Math.max(...state.rotations.keys()));
  text($("rotation-total"), newest.total_ms != null ? millis(newest.total_ms) : newest.result);
  const lost = newest.ticks_lost == null ? "not counted" : newest.ticks_lost;
  const twice = newest.ticks_duplicated == null ? "not counted" : newest.ticks_duplicated;
  text($("rotation-detail"), `generation ${newest.generation}, ${newest.result}, lost ${lost}, twice ${twice}${newest.reason ? `: ${newest.reason}` : ""}`);
  $("rotation-stages").replaceChildren(...stages.map(([key, name]) => {
    const li = document.createElement("li");
    li.append(cell("span", name), cell("span", millis(newest[key])));
    return li;
  }));
}

function cell(tag, value, className) {
  const node = document.createElement(tag);
  node.textContent = value;
  if (className) node.className = className;
  return node;
}

function readings() {
  const rows = [...state.readings.values()].sort((a, b) => a.underlying.localeCompare(b.underlying) || a.kind.localeCompare(b.kind));
  let last = "";
  $("readings").replaceChildren(...rows.map((r) => {
    const tr = document.createElement("tr");
    const first = r.underlying !== last;
    last = r.underlying;
    const q = state.quotes.get(r.underlying);
    tr.append(
      cell("th", first ? r.underlying : ""),
      cell("td", first && q ? `${q.last_price.toFixed(2)} (${q.percent >= 0 ? "+" : ""}${q.percent.toFixed(2)} %)` : ""),
      cell("td", r.kind.replaceAll("_", " ")),
      cell("td", r.status === "unavailable" ? "–" : r.signal),
      cell("td", r.status === "unavailable" ? "–" : Math.round(r.confidence)),
      cell("td", r.status === "unavailable" && r.reason ? `unavailable: ${r.reason}` : r.status, r.status === "active" ? "good text" : "text"),
      cell("td", time(r.as_of)),
      cell("td", r.generation || "–"),
    );
    return tr;
  }));
}

function actors(list) {
  const adopted = state.status ? state.status.token.generation : 0;
  const depth = new Map();
  $("actors").replaceChildren(...list.map((a) => {
    depth.set(a.name, a.parent ? (depth.get(a.parent) ?? 0) + 1 : 0);
    const tr = document.createElement("tr");
    const name = cell("th", "\u00a0\u00a0".repeat(depth.get(a.name)) + a.name);
    const glyph = a.state === "running" ? "● " : a.state === "quarantined" ? "✕ " : "○ ";
    const retry = a.next_retry_at ? `, next try ${time(a.next_retry_at)}` : "";
    tr.append(
      name,
      cell("td", glyph + a.state.replace("_", " ") + retry, a.state === "running" ? "good" : a.state === "quarantined" ? "bad" : "wait"),
      cell("td", a.generation ? `gen ${a.generation}` : "", a.generation && a.generation < adopted ? "bad" : ""),
      cell("td", a.kind === "worker" ? `${a.mailbox.depth} / ${a.mailbox.capacity}` : ""),
      cell("td", String(a.restarts)),
      cell("td", a.last_error, "text"),
    );
    return tr;
  }));
}

function event(e) {
  const li = document.createElement("li");
  const t = cell("time", time(e.at));
  t.dateTime = e.at;
  li.append(t, cell("span", e.text));
  $("events").prepend(li);
  while ($("events").children.length > 50) $("events").lastChild.remove();
}

const handlers = {
  status, rotation, actors, event,
  tick: (q) => state.quotes.set(q.underlying, q),
  reading: (r) => state.readings.set(`${r.underlying}/${r.kind}`, r),
  login: () => {},
};

let source = null;

function open() {
  source = new EventSource("/api/v1/stream?topics=status,actors,tick,reading,event,rotation,login");
  source.onopen = () => $("events").replaceChildren(); // every (re)opened stream begins with the newest ones
  for (const [topic, handle] of Object.entries(handlers)) {
    source.addEventListener(topic, (m) => {
      state.heard = performance.now();
      handle(JSON.parse(m.data));
    });
  }
  // The browser reconnects by itself, except after an answer that was not a stream.
  source.onerror = () => { if (source && source.readyState === EventSource.CLOSED) { close(); setTimeout(reopen, 1000); } };
}

function close() {
  if (source) source.close();
  source = null;
}

function reopen() {
  if (!source && !document.hidden) open();
}

// A hidden page closes its stream: a browser has six connections a host.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) close(); else reopen();
});

setInterval(() => {
  if (document.hidden) return;
  readings();
  const silent = (performance.now() - state.heard) / 1000;
  const cut = state.heard && silent > 2;
  $("banner").hidden = !cut;
  if (cut) {
    text($("banner"), `This page has heard nothing from the server for ${Math.round(silent)} s. What stands below is old.`);
    show("down", "Disconnected", "The server does not answer. Is it running?");
    if (source && source.readyState === EventSource.CONNECTING && silent > 6) { close(); reopen(); }
  }
}, 500);

open();
