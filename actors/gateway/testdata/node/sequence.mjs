// node sequence.mjs ADDRESS KEY TOKENS PACKAGE...: streams instruments in full
// with an official client of each package and asks for the orders; prints once
// a second what all of them have counted, by the number that the exchange
// writes into the last quantity.
const [address, key, list, ...packages] = process.argv.slice(2);
const tokens = list.split(",").map(Number);
const counts = { ticks: 0, lost: 0, repeated: 0, asked: 0, refused: [], trouble: [] };
for (const pkg of packages) {
  const module = await import(pkg);
  const { KiteConnect, KiteTicker } = module.default ?? module;
  const last = new Map();
  const ticker = new KiteTicker({ api_key: "any", access_token: key, root: `ws://${address}` });
  for (const event of ["disconnect", "error", "close", "reconnect", "noreconnect"]) {
    ticker.on(event, (e) => counts.trouble.push(`${pkg} ${event} ${e && e.message ? e.message : e}`));
  }
  ticker.on("connect", () => {
    ticker.subscribe(tokens);
    ticker.setMode(ticker.modeFull, tokens);
  });
  ticker.on("ticks", (ticks) => {
    for (const t of ticks) {
      if (t.mode !== "full") continue; // of between the two commands
      const n = t.last_traded_quantity ?? t.last_quantity;
      const was = last.get(t.instrument_token);
      if (was === n) counts.repeated++;
      if (was !== undefined && n > was + 1) counts.lost += n - was - 1;
      last.set(t.instrument_token, n);
      counts.ticks++;
    }
  });
  ticker.connect();
  const kite = new KiteConnect({ api_key: "any", access_token: key, root: `http://${address}` });
  setInterval(() => {
    counts.asked++;
    kite.getOrders().catch((e) => counts.refused.push(`${e.error_type}: ${e.message}`));
  }, 1000);
}
setInterval(() => console.log(JSON.stringify(counts)), 500);
