# pip install kiteconnect; python python.py
import os

from kiteconnect import KiteConnect, KiteTicker

gateway = os.environ.get("KITESTRING_GATEWAY", "127.0.0.1:8430")
key = os.environ.get("KITESTRING_KEY", "demokitestringdemokitestringdemo")  # the simulator's demo client
NIFTY = 256265

kite = KiteConnect("demo", access_token=key, root="http://" + gateway)
print("NIFTY 50 now:", kite.ltp("NSE:NIFTY 50")["NSE:NIFTY 50"]["last_price"])

ticker = KiteTicker("demo", key, root="ws://" + gateway)
ticker.on_connect = lambda ws, _: (ws.subscribe([NIFTY]), ws.set_mode(ws.MODE_FULL, [NIFTY]))
ticker.on_ticks = lambda ws, ticks: [print(t["instrument_token"], t["last_price"], flush=True) for t in ticks]
ticker.on_close = lambda ws, code, reason: print("closed: this should not happen at a rotation", code, reason)
ticker.connect()
