package market

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"kitestring/messages"
)

func TestMarketOpenFollowsTheWall(t *testing.T) {
	phases := &PhaseStore{}
	reg := prometheus.NewPedanticRegistry()
	Metrics(reg, phases)
	for _, c := range []struct {
		phase messages.Phase
		want  string
	}{{messages.Closed, "0"}, {messages.PreOpen, "0"}, {messages.Open, "1"}, {messages.Closing, "0"}} {
		phases.last.Store(&messages.PhaseChanged{Phase: c.phase})
		err := testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP kitestring_market_open 1 in the open phase of the exchange's day, by its own clock and calendar.
# TYPE kitestring_market_open gauge
kitestring_market_open `+c.want+"\n"))
		if err != nil {
			t.Errorf("%s: %v", c.phase, err)
		}
	}
}
