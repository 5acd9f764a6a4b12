package rehearse

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"kitestring/actors/web/api"
	"kitestring/messages/ist"
	"kitestring/supervisor/tree"
)

// barsEqualHistory compares the whole minutes of this session, of index and
// future of every underlying, with what the exchange says they were; those
// that were made of ticks from first to last, and the others too if asked. It
// returns how many it compared.
func (r *Rig) barsEqualHistory(others bool) (compared int) {
	for _, u := range r.underlyings() {
		compared += r.seriesEqualsHistory(u.Name, "index", u.Index.Token, others)
		compared += r.seriesEqualsHistory(u.Name, "future", u.Future.Token, others)
	}
	if compared == 0 {
		failf("no whole minute to compare")
	}
	return compared
}

// seriesEqualsHistory is barsEqualHistory for one series.
func (r *Rig) seriesEqualsHistory(underlying, source string, instrument uint32, others bool) (compared int) {
	bars, history := r.minuteBars(underlying, source), r.history(instrument)
	for _, b := range bars {
		want, ok := history[b.Start.Unix()]
		if !ok || !b.Closed || !others && (b.Partial || b.Gapped || b.Backfilled) {
			continue
		}
		if got := [5]float64{b.Open, b.High, b.Low, b.Close, float64(b.Volume)}; got != want {
			failf("%s %s bar of %s is %v, the exchange says %v", underlying, source, b.Start.Format(time.TimeOnly), got, want)
		}
		compared++
	}
	return compared
}

func (r *Rig) minuteBars(underlying, source string) []api.Bar {
	return get[[]api.Bar](r, "/api/v1/bars/"+underlying+"?interval=1m&source="+source)
}

// history is the exchange's own record of today's minutes, by start: open,
// high, low, close, volume.
func (r *Rig) history(instrument uint32) map[int64][5]float64 {
	day := r.status().Market.ExchangeTime.In(ist.Zone).Format(time.DateOnly)
	query := url.Values{"from": {day + " 00:00:00"}, "to": {day + " 23:59:59"}}
	req := must(http.NewRequestWithContext(r.ctx, http.MethodGet, fmt.Sprintf("http://%s/instruments/historical/%d/minute?%s", r.sim, instrument, query.Encode()), nil))
	req.Header.Set("Authorization", "token "+tree.SimAPIKey+":"+r.fileToken())
	req.Header.Set("X-Kite-Version", "3")
	var answer struct {
		Data struct {
			Candles [][]any `json:"candles"`
		} `json:"data"`
	}
	// The exchange allows three such requests a second, and the server asks too.
	r.within(20*time.Second, "the exchange answers with its history", func() (bool, any) {
		resp, body := r.do(req)
		return resp.StatusCode == http.StatusOK && json.Unmarshal(body, &answer) == nil, resp.Status
	})
	minutes := map[int64][5]float64{}
	for _, c := range answer.Data.Candles {
		start := must(time.Parse("2006-01-02T15:04:05-0700", c[0].(string)))
		minutes[start.Unix()] = [5]float64{c[1].(float64), c[2].(float64), c[3].(float64), c[4].(float64), c[5].(float64)}
	}
	return minutes
}
