// npm install kiteconnect; node node.mjs
import { KiteConnect, KiteTicker } from "kiteconnect";

const gateway = process.env.KITESTRING_GATEWAY || "127.0.0.1:8430";
const key = process.env.KITESTRING_KEY || "demokitestringdemokitestringdemo"; // the simulator's demo client
const NIFTY = 256265;

const kite = new KiteConnect({ api_key: "demo", access_token: key, root: `http://${gateway}` });
console.log("NIFTY 50 now:", (await kite.getLTP(["NSE:NIFTY 50"]))["NSE:NIFTY 50"].last_price);

const ticker = new KiteTicker({ api_key: "demo", access_token: key, root: `ws://${gateway}` });
ticker.on("connect", () => { ticker.subscribe([NIFTY]); ticker.setMode(ticker.modeFull, [NIFTY]); });
ticker.on("ticks", (ticks) => ticks.forEach((t) => console.log(t.instrument_token, t.last_price)));
ticker.on("disconnect", () => console.error("disconnected: this should not happen at a rotation"));
ticker.connect();
