import json, sys, time, urllib.parse, urllib.request  # Python's standard library only

SERVER = "http://127.0.0.1:8420"
INSTRUMENTS = sys.argv[1:] or ["NSE:NIFTY 50", "NSE:NIFTY BANK", "BSE:SENSEX"]  # or instrument tokens, or: all
query = urllib.parse.urlencode({"topics": "tick", "instruments": ",".join(INSTRUMENTS)})

while True:  # the stream lives through every new token; it ends only with the server
    try:
        with urllib.request.urlopen(f"{SERVER}/api/v1/stream?{query}", timeout=30) as stream:
            for line in stream:
                if line.startswith(b"data:"):
                    tick = json.loads(line[5:])
                    print(tick["exchange_at"], tick["tradingsymbol"], tick["last_price"], tick["oi"], flush=True)
        reason = "the server closed the stream"
    except urllib.error.HTTPError as e:
        sys.exit(json.load(e)["detail"])  # says what is wrong with the request
    except OSError as e:
        reason = e
    print("disconnected:", reason, "- trying again", file=sys.stderr)
    time.sleep(1)
