// The option chain: strikes round the money, open interest by strike, and
// put/call ratio and straddle over the day. What cannot be had is a dash, and
// the reason stands below.

import { effect, signal, untracked, useSignalEffect } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useLayoutEffect, useMemo, useState } from "preact/hooks";
import { age, date, minuteTime, none, price, sentence, short, signed, span, when, whole } from "./format";
import { chainShown, link } from "./link";
import { Age, Choice, Link, useWidth } from "./parts";
import { chain, chainDay, pickedExpiry, exchangeNow, expiry, loadChainDay, sessionEnd, underlying } from "./state";
import type { Chain, ChainOption, ChainPoint, ChainRow } from "./types";

// useChain has the stream bring the chain of the chosen underlying and expiry
// while a part of the page shows it.
function useChain(): Chain | null {
  useSignalEffect(() => {
    chainShown.value = true;
    return () => (chainShown.value = false);
  });
  useSignalEffect(() => {
    if (!underlying.value || link.value !== "open") return;
    const cancel = new AbortController();
    loadChainDay(underlying.value, cancel.signal).catch(() => undefined); // cancelled, or the server is gone: the banner says so
    return () => cancel.abort();
  });
  const c = chain.value;
  return c && c.underlying === underlying.value && (expiry.value === "" || c.expiry === expiry.value) ? c : null;
}

// second is what the ages of the table are counted to. It moves with each chain,
// and once a second when none comes: hundreds of ages need no more.
const second = signal(0);
let chainAt = 0; // performance.now()

effect(() => {
  chain.value;
  chainAt = performance.now();
  second.value = Math.floor(untracked(exchangeNow) / 1000);
});

effect(() => {
  const now = Math.floor(exchangeNow() / 1000);
  if (performance.now() - chainAt > 1500) second.value = now;
});

const few = signal(true); // only the strikes near the money
const nearest = 10; // on each side
const columns = signal("price"); // of a narrow screen

// near are the rows round the money.
function near(c: Chain, n: number): ChainRow[] {
  const spot = c.spot.last_price;
  const far = (r: ChainRow) => (r.atm ? -1 : spot === null ? 0 : Math.abs(r.strike - spot));
  const at = spot === null ? c.rows.length >> 1 : c.rows.reduce((best, r, i) => (far(r) < far(c.rows[best]!) ? i : best), 0);
  return c.rows.slice(Math.max(0, at - n), at + n + 1);
}

const percent = (share: number | null): string => (share === null ? none : `${(100 * share).toFixed(1)} %`);
const strike = (n: number | null): string => (n === null ? none : whole(n));

// lack is why there is no chain at all, "" when there is one.
function lack(c: Chain | null): string {
  if (!underlying.value) return "There is no underlying yet: instruments come with the token.";
  if (!c) return "Loading the chain.";
  return c.rows.length === 0 ? `${sentence(c.reason || "there are no options")}.` : "";
}

function Totals({ c, all }: { c: Chain; all?: boolean }) {
  const s = c.summary;
  const facts: [string, ComponentChildren, string][] = [
    ["PCR", s.pcr === null ? none : s.pcr.toFixed(2), "Open interest of the puts, divided by the calls'"],
    ["Max pain", strike(s.max_pain), "Strike at which the options would pay out least"],
    ["ATM straddle", s.straddle === null ? none : price(s.straddle), `Call and put of ${strike(s.atm)} together: the move that is priced in`],
    ["ATM IV", percent(s.atm_iv), "Implied volatility at the money, a year"],
    ["Call wall", strike(s.call_wall), "Strike with the largest open interest of calls"],
    ["Put wall", strike(s.put_wall), "Strike with the largest open interest of puts"],
  ];
  if (all) {
    facts.push(["PCR of the change", s.pcr_oi_change === null ? none : price(s.pcr_oi_change).replace("-", "\u2212"), "Change of the open interest since the open, puts divided by calls"]);
    facts.push(["PCR of the volume", s.pcr_volume === null ? none : s.pcr_volume.toFixed(2), "Volume of the day, puts divided by calls"]);
    facts.push(["Forward", c.pricing.forward === null ? none : price(c.pricing.forward), c.pricing.forward_from === "parity" ? "Implied by calls and puts of the same strikes" : "Price of the future of this expiry"]);
    facts.push(["Fresh", `${whole(Math.round(100 * s.coverage))} %`, "Share of the options with a packet of the last minutes"]);
  }
  return (
    <>
      <dl class="totals">
        {facts.map(([name, text, help]) => (
          <div key={name} title={help}>
            <dt>{name}</dt>
            <dd>{text}</dd>
          </div>
        ))}
      </dl>
      {[s.reason, all ? c.pricing.reason : ""].filter(Boolean).map((r) => (
        <p class="note dim" key={r}>
          {sentence(r)}.
        </p>
      ))}
    </>
  );
}

// Strikes draws the open interest of calls and puts at each strike; the part
// that came since the open is darker, what went is an outline.
function Strikes({ c, rows }: { c: Chain; rows: ChainRow[] }) {
  const [host, wide] = useWidth<HTMLElement>();
  const height = 190;
  const foot = 22;
  const most = Math.max(1, ...rows.flatMap((r) => [r.call, r.put].map((o) => Math.max(o?.oi ?? 0, (o?.oi ?? 0) - (o?.oi_change ?? 0)))));
  const step = wide / rows.length;
  const thick = Math.max(2, Math.min(22, step * 0.4));
  const y = (oi: number) => height - (height - 8) * (oi / most);
  const spot = c.spot.last_price;
  const place = (at: number | null) => {
    if (at === null || rows.length < 2) return null;
    const x = ((at - rows[0]!.strike) / (rows[1]!.strike - rows[0]!.strike)) * step + step / 2;
    return x < 0 || x > wide ? null : x;
  };
  const each = Math.max(1, Math.ceil(52 / step));
  const atm = rows.findIndex((r) => r.atm);
  const column = (o: ChainOption | null, x: number, side: string) => {
    if (!o || o.oi === null) return null;
    const before = o.oi - (o.oi_change ?? 0);
    const kept = Math.min(o.oi, before);
    return (
      <g class={side}>
        <rect x={x} width={thick} y={y(kept)} height={height - y(kept)} class="kept" />
        {o.oi > kept && <rect x={x} width={thick} y={y(o.oi)} height={y(kept) - y(o.oi)} class="came" />}
        {before > kept && <rect x={x + 0.5} width={thick - 1} y={y(before)} height={y(kept) - y(before)} class="went" />}
      </g>
    );
  };
  const marks: [string, number | null][] = [
    ["spot", place(spot)],
    ["max pain", place(c.summary.max_pain)],
  ];
  return (
    <figure class="strikes" ref={host}>
      <svg width={wide} height={height + foot} role="img" aria-label={`Open interest by strike: calls ${c.summary.call_oi === null ? none : short(c.summary.call_oi)}, puts ${c.summary.put_oi === null ? none : short(c.summary.put_oi)}; the table below has each`}>
        {rows.map((r, i) => (
          <g key={r.strike}>
            {column(r.call, i * step + step / 2 - thick - 0.5, "calls")}
            {column(r.put, i * step + step / 2 + 0.5, "puts")}
            {(i - Math.max(0, atm)) % each === 0 && (
              <text x={i * step + step / 2} y={height + 15} text-anchor="middle" class={r.atm ? "atm" : ""}>
                {r.strike}
              </text>
            )}
          </g>
        ))}
        {marks.map(([name, x]) => x !== null && <line key={name} x1={x} x2={x} y1="0" y2={height} class={name === "spot" ? "spot" : "pain"} />)}
      </svg>
      <figcaption class="hint">
        <span class="swatch calls" /> calls <span class="swatch puts" /> puts; darker: since the open, outlined: gone since the open. Lines: spot <i class="spot" />, max pain <i class="pain" />
      </figcaption>
    </figure>
  );
}

// Lines draws one figure over the session.
function DayLine({ title, of, points, write }: { title: string; of: (p: ChainPoint) => number | null; points: ChainPoint[]; write: (n: number) => string }) {
  const known = points.flatMap((p) => {
    const v = of(p);
    return v === null ? [] : [{ at: Date.parse(p.at), v }];
  });
  const last = known.at(-1);
  const low = Math.min(...known.map((p) => p.v));
  const high = Math.max(...known.map((p) => p.v));
  const open = known[0]?.at ?? 0;
  const end = Math.max(sessionEnd.value, last?.at ?? 0, open + 60_000);
  const x = (at: number) => (600 * (at - open)) / (end - open);
  const y = (v: number) => (high === low ? 40 : 74 - (68 * (v - low)) / (high - low));
  return (
    <section class="card dayline" aria-label={title}>
      <div class="card-head">
        <h2>{title}</h2>
        {last && <b>{write(last.v)}</b>}
      </div>
      {last ? (
        <>
          <svg viewBox="0 0 600 80" preserveAspectRatio="none" role="img" aria-label={`${title} of the day: between ${write(low)} and ${write(high)}, now ${write(last.v)}`}>
            <polyline points={[...known, { at: last.at + 60_000, v: last.v }].map((p) => `${x(p.at).toFixed(1)},${y(p.v).toFixed(1)}`).join(" ")} />
          </svg>
          <p class="hint between">
            <span>{minuteTime(open)}</span>
            <span>
              low {write(low)}, high {write(high)}
            </span>
            <span>{minuteTime(end)}</span>
          </p>
        </>
      ) : (
        <p class="lead">No minute of this session yet.</p>
      )}
    </section>
  );
}

// A column of the table: its set on a narrow screen, its name, what it writes.
interface Column {
  set: string; // "": always
  name: string;
  cell: (o: ChainOption, now: number) => string;
  tone?: (o: ChainOption) => number | null;
}

// shortAge has one unit, for a narrow column.
const shortAge = (ms: number): string => span(ms).replace(/ h .*/, " h");

const short1 = (n: number | null) => (n === null ? none : short(n));

const sides: Column[] = [
  { set: "oi", name: "OI chg", cell: (o) => (o.oi_change === null ? none : `${o.oi_change > 0 ? "+" : ""}${short(o.oi_change)}`), tone: (o) => o.oi_change },
  { set: "oi", name: "OI", cell: (o) => short1(o.oi) },
  { set: "oi", name: "Volume", cell: (o) => short1(o.volume) },
  { set: "iv", name: "IV", cell: (o) => percent(o.iv) },
  { set: "iv", name: "Delta", cell: (o) => (o.delta === null ? none : o.delta.toFixed(2).replace("-", "\u2212")) },
  { set: "iv", name: "Bid", cell: (o) => (o.bid === null ? none : price(o.bid)) },
  { set: "iv", name: "Ask", cell: (o) => (o.ask === null ? none : price(o.ask)) },
  { set: "price", name: "Age", cell: (o, now) => (when(o.at) === null ? none : shortAge(now - when(o.at)!)) },
  { set: "price", name: "Chg", cell: (o) => (o.change === null ? none : signed(o.change)), tone: (o) => o.change },
  { set: "", name: "LTP", cell: (o) => (o.last_price === null ? none : price(o.last_price)) },
];

const tradeIsOld = 60_000; // ms; from then on the last price says its own age

function Cells({ o, side, money, current, now }: { o: ChainOption | null; side: "call" | "put"; money: boolean; current: boolean; now: number }) {
  const list = side === "call" ? sides : [...sides].reverse();
  const why = o ? o.reasons.join("; ") : "there is none at this strike";
  const traded = when(o?.traded_at);
  return (
    <>
      {list.map((c) => {
        const text = o ? c.cell(o, now) : none;
        const tone = o && c.tone ? c.tone(o) : null;
        return (
          <td key={c.name} class={`num ${c.set} ${money ? "money" : ""} ${tone === null || tone === 0 ? "" : tone > 0 ? "up" : "down"}`} title={text === none ? why : undefined}>
            {text}
            {c.name === "LTP" && current && traded !== null && now - traded > tradeIsOld && <span class="traded">{age(now - traded)}</span>}
          </td>
        );
      })}
    </>
  );
}

function Heads({ side }: { side: "call" | "put" }) {
  const list = side === "call" ? sides : [...sides].reverse();
  return (
    <>
      {list.map((c) => (
        <th key={c.name} scope="col" class={`num ${c.set}`}>
          <span class="visually-hidden">{side} </span>
          {c.name}
        </th>
      ))}
    </>
  );
}

// Drawn is a row with what it is drawn from besides.
interface Drawn {
  r: ChainRow;
  spot: number | null;
  current: boolean;
  now: number;
}

const rowsAFrame = 6;

// useTurns shows other rows a few a frame, from the first one on: a table of
// hundreds of figures takes a slow processor longer than a frame.
function useTurns(c: Chain, wanted: Drawn[]): Drawn[] {
  const [shown, show] = useState(wanted);
  useLayoutEffect(() => {
    let frame = 0;
    let done = 0;
    const next = () => {
      done += rowsAFrame;
      show((before) => wanted.map((t, i) => (i < done ? t : (before.find((b) => b.r.strike === t.r.strike) ?? t))));
      if (done < wanted.length) frame = requestAnimationFrame(next);
    };
    frame = requestAnimationFrame(next); // the sums and the picture come first
    return () => cancelAnimationFrame(frame);
  }, [c, wanted[0]?.now, wanted.length]);
  return shown;
}

function Row({ t }: { t: Drawn }) {
  return useMemo(() => {
    const { r, spot, current, now } = t;
    return (
      <tr class={r.atm ? "atm" : ""}>
        <Cells o={r.call} side="call" current={current} money={spot !== null && r.strike < spot} now={now} />
        <th scope="row" class="strike">
          {whole(r.strike)}
          {r.atm && <span class="visually-hidden"> at the money</span>}
        </th>
        <Cells o={r.put} side="put" current={current} money={spot !== null && r.strike > spot} now={now} />
      </tr>
    );
  }, [t]);
}

function Table({ c, rows }: { c: Chain; rows: ChainRow[] }) {
  const now = second.value * 1000;
  const shown = useTurns(
    c,
    rows.map((r) => ({ r, spot: c.spot.last_price, current: c.current, now })),
  );
  return (
    <div class="wide" tabIndex={0} role="region" aria-label="Option chain, scrolls sideways">
      <table class={`chain show-${columns.value}`}>
        <caption class="visually-hidden">
          Calls on the left, puts on the right, by strike, {c.underlying} of {date(c.expiry)}
        </caption>
        <thead>
          <tr>
            <Heads side="call" />
            <th scope="col" class="strike">
              Strike
            </th>
            <Heads side="put" />
          </tr>
        </thead>
        <tbody>
          {shown.map((t) => (
            <Row key={t.r.strike} t={t} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

// Reasons says why there are dashes, each reason once.
function Reasons({ rows }: { rows: ChainRow[] }) {
  const found = new Map<string, string[]>();
  for (const r of rows) {
    for (const [o, side] of [
      [r.call, "CE"],
      [r.put, "PE"],
    ] as const) {
      for (const why of o ? o.reasons : ["there is no such option"]) found.set(why, [...(found.get(why) ?? []), `${r.strike} ${side}`]);
    }
  }
  if (found.size === 0) return null;
  return (
    <div class="reasons-of-dashes">
      <h3>Why there are dashes</h3>
      <ul>
        {[...found].map(([why, of]) => (
          <li key={why}>
            {sentence(why)}: {of.slice(0, 6).join(", ")}
            {of.length > 6 ? ` and ${of.length - 6} more` : ""}.
          </li>
        ))}
      </ul>
    </div>
  );
}

export function ChainPage() {
  const c = useChain();
  const empty = lack(c);
  const rows = c ? (few.value ? near(c, nearest) : c.rows) : [];
  return (
    <div class={`chain-page ${c && !c.current ? "past" : ""}`}>
      <section class="card" aria-labelledby="chain-title">
        <div class="card-head">
          <h2 id="chain-title">
            {underlying.value || "Options"} {c?.expiry ? `of ${date(c.expiry)}` : ""}
          </h2>
          {c && c.rows.length > 0 && <Age at={c.as_of} exchange of="newest packet" />}
        </div>
        {c && c.expiries.length > 1 && (
          <Choice label="Expiry" options={c.expiries.map((e) => [e, date(e)])} value={c.expiry} onPick={(e) => (pickedExpiry.value = { ...pickedExpiry.value, [underlying.value]: e === c.expiries[0] ? "" : e })} />
        )}
        {c && c.rows.length > 0 && (
          <p class="lead">
            Spot {c.spot.last_price === null ? none : price(c.spot.last_price)} <Age at={c.spot.at} exchange />; {c.future.tradingsymbol || "future"} {c.future.last_price === null ? none : price(c.future.last_price)} <Age at={c.future.at} exchange />
          </p>
        )}
        {empty ? <p class="lead">{empty}</p> : c!.reason && <p class="note warn">{sentence(c!.reason)}.</p>}
        {c && c.rows.length > 0 && <Totals c={c} all />}
      </section>
      {c && c.rows.length > 0 && (
        <>
          <section class="card" aria-labelledby="strikes-title">
            <div class="card-head">
              <h2 id="strikes-title">Open interest by strike</h2>
            </div>
            <p class="lead">
              Calls {short1(c.summary.call_oi)} ({change(c.summary.call_oi_change)}), puts {short1(c.summary.put_oi)} ({change(c.summary.put_oi_change)}).
            </p>
            <Strikes c={c} rows={rows} />
          </section>
          <div class="daylines">
            <DayLine title="Put/call ratio" of={(p) => p.pcr} points={chainDay.value} write={(n) => n.toFixed(2)} />
            <DayLine title="ATM straddle" of={(p) => p.straddle} points={chainDay.value} write={price} />
          </div>
          {c.expiry !== c.expiries[0] && <p class="hint">The two lines are of the nearest expiry, {date(c.expiries[0]!)}.</p>}
          <section class="card" aria-label="Chain">
            <div class="chain-tools">
              <Choice
                label="Strikes"
                options={[
                  ["few", "Near the money"],
                  ["all", `All ${c.rows.length}`],
                ]}
                value={few.value ? "few" : "all"}
                onPick={(v) => (few.value = v === "few")}
              />
              <div class="narrow-only">
                <Choice
                  label="Columns"
                  options={[
                    ["price", "Price"],
                    ["oi", "OI"],
                    ["iv", "IV, bid, ask"],
                  ]}
                  value={columns.value}
                  onPick={(v) => (columns.value = v)}
                />
              </div>
            </div>
            <Table key={`${c.underlying} ${c.expiry}`} c={c} rows={rows} />
            <p class="hint">
              L: lakh (1,00,000), Cr: crore (100 lakh). OI chg: since the open. Chg: since the previous close. Age: of the newest packet. IV and delta: Black-76 {forward(c)}. Shaded: in the money.
            </p>
            <Reasons rows={rows} />
          </section>
        </>
      )}
    </div>
  );
}

const change = (n: number | null): string => (n === null ? none : `${n > 0 ? "+" : ""}${short(n)} since the open`);

function forward(c: Chain): string {
  if (c.pricing.forward === null) return "has no forward to work with";
  return c.pricing.forward_from === "parity" ? "on the forward that calls and puts imply" : "on the future";
}

// ChainCard is the chain on the first page: its sums and the open interest.
export function ChainCard() {
  const c = useChain();
  const empty = lack(c);
  return (
    <section class={`card ${c && !c.current ? "past" : ""}`} aria-labelledby="card-chain-title" id="card-chain">
      <div class="card-head">
        <h2 id="card-chain-title">Options {c?.expiry ? `of ${date(c.expiry)}` : ""}</h2>
        <Link to="/chain">Whole chain</Link>
      </div>
      {empty ? (
        <p class="lead">{empty}</p>
      ) : (
        <>
          {c!.reason && <p class="note warn">{sentence(c!.reason)}.</p>}
          <Totals c={c!} />
          <Strikes c={c!} rows={near(c!, 7)} />
          <Age at={c!.as_of} exchange of="newest packet" />
        </>
      )}
    </section>
  );
}
