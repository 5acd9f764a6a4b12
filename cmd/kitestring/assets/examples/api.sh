#!/bin/sh
# The API with curl. A 4xx answer says in "detail" what is wrong, and in "names" what is allowed.
server=${KITESTRING_ADDR:-127.0.0.1:8420}
get() { path=$1; shift; curl -sS --fail-with-body -G "http://$server/api/v1/$path" "$@"; }

get ticks --data-urlencode "instruments=NSE:NIFTY 50,NSE:NIFTY BANK"          # the last tick of some instruments
get ticks -d format=csv | sed -n 1,5p                                          # of every one that is subscribed, as CSV
get bars/NIFTY -d interval=5m -d source=future -d limit=3 -d format=csv       # the newest bars
get bars/NIFTY -d interval=1m --data-urlencode "from=$(TZ=Asia/Kolkata date +%F)" -d limit=2 # of today
get readings/NIFTY/pcr                                                        # what an analysis says
timeout 3 curl -sSN "http://$server/api/v1/stream?topics=tick&instruments=256265" # as it comes
exit 0
