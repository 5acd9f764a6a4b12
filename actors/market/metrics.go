package market

import (
	"github.com/prometheus/client_golang/prometheus"

	"kitestring/messages"
)

// Metrics registers the phase for Prometheus, which knows neither IST nor
// holidays: without it no rule could tell silence at night from silence in
// market hours.
func Metrics(reg prometheus.Registerer, phases *PhaseStore) {
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "kitestring_market_open", Help: "1 in the open phase of the exchange's day, by its own clock and calendar.",
	}, func() float64 {
		if p, ok := phases.Phase(); ok && p.Phase == messages.Open {
			return 1
		}
		return 0
	}))
}
