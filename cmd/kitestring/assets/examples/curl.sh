#!/bin/sh
# Quotes with curl; ticks with websocat, when it is installed.
gateway=${KITESTRING_GATEWAY:-127.0.0.1:8430}
key=${KITESTRING_KEY:-demokitestringdemokitestringdemo} # the simulator's demo client

curl -sS -H "Authorization: token demo:$key" "http://$gateway/quote/ltp?i=NSE:NIFTY+50"
echo
if command -v websocat >/dev/null; then
  # Binary frames, in hexadecimal: a count, then length and packet of each.
  echo '{"a":"mode","v":["full",[256265]]}' | websocat -n --binary "ws://$gateway/?api_key=demo&access_token=$key" | xxd
fi
