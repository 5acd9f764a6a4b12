// node client.mjs PACKAGE ADDRESS KEY: asks and streams with an official
// client; prints one JSON object for each thing that happens.
const [pkg, address, key] = process.argv.slice(2);
const module = await import(pkg);
const { KiteConnect, KiteTicker } = module.default ?? module;
const say = (what) => console.log(JSON.stringify(what));
const NIFTY = 256265;
const BANKNIFTY = 260105;
const SENSEX = 265;

const kite = new KiteConnect({ api_key: "any", root: `http://${address}` });
const session = await kite.generateSession(key, key);
kite.setAccessToken(session.access_token);
const day = 86400e3;
const asked = {
  generateSession: session.access_token === key,
  getProfile: (await kite.getProfile()).user_id,
  getLTP: (await kite.getLTP(["NSE:NIFTY 50"]))["NSE:NIFTY 50"].last_price,
  getQuote: (await kite.getQuote(["NSE:NIFTY BANK"]))["NSE:NIFTY BANK"].instrument_token,
  getInstruments: (await kite.getInstruments("NFO")).length,
  getHistoricalData: (await kite.getHistoricalData(NIFTY, "day", new Date(Date.now() - 30 * day), new Date())).length,
};
try {
  await kite.getOrders();
  asked.getOrders = "answered";
} catch (e) {
  asked.getOrders = `${e.error_type}: ${e.message}`;
}
say({ asked });

const ticker = new KiteTicker({ api_key: "any", access_token: key, root: `ws://${address}` });
for (const event of ["disconnect", "error", "close", "reconnect", "noreconnect"]) {
  ticker.on(event, (e) => say({ trouble: `${event} ${e && e.message ? e.message : e}` }));
}
ticker.on("connect", () => {
  say({ connected: true });
  ticker.subscribe([NIFTY, BANKNIFTY, SENSEX]);
  ticker.setMode(ticker.modeFull, [NIFTY]);
  ticker.setMode(ticker.modeLTP, [SENSEX]);
});
ticker.on("ticks", (ticks) => say({ modes: ticks.map((t) => t.mode) }));
ticker.connect();
