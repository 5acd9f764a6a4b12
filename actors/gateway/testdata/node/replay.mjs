// node replay.mjs ADDRESS API_KEY ACCESS_TOKEN TOKENS: streams instruments in
// full; prints twice a second what has come of each: ticks, last price, volume.
import { createRequire } from "node:module";
const { KiteTicker } = createRequire(import.meta.url)("kiteconnect");
const [address, apiKey, accessToken, list] = process.argv.slice(2);
const tokens = list.split(",").map(Number);
const seen = {};
const trouble = [];
const ticker = new KiteTicker({ api_key: apiKey, access_token: accessToken, root: `ws://${address}` });
for (const event of ["disconnect", "error", "close", "reconnect", "noreconnect"]) {
  ticker.on(event, (e) => trouble.push(`${event} ${e && e.message ? e.message : e}`));
}
ticker.on("connect", () => {
  ticker.subscribe(tokens);
  ticker.setMode(ticker.modeFull, tokens);
});
ticker.on("ticks", (ticks) => {
  for (const t of ticks) {
    const one = (seen[t.instrument_token] ??= { ticks: 0, price: 0, volume: 0 });
    one.ticks++;
    one.price = t.last_price;
    one.volume = t.volume_traded ?? one.volume;
  }
});
ticker.connect();
setInterval(() => console.log(JSON.stringify({ seen, trouble })), 500);
