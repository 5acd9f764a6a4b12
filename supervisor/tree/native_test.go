package tree

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"kitestring/actors/feed"
	"kitestring/actors/kite"
	"kitestring/actors/token"
	"kitestring/actors/web"
)

// The histograms of the actors are classic and native at once. Those of the
// tree, one for each actor, are made of the supervisor's own buckets at each
// scrape and are classic only.
func TestHistogramsAreNativeToo(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	token.NewMetrics(reg)
	kite.NewMetrics(reg)
	feed.NewMetrics(reg, feed.NewStore())
	web.NewMetrics(reg)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	histograms := 0
	for _, f := range families {
		for _, m := range f.GetMetric() {
			h := m.GetHistogram()
			if h == nil {
				continue
			}
			histograms++
			if len(h.GetBucket()) == 0 || len(h.GetBucket()) > 8 || h.GetZeroThreshold() == 0 {
				t.Errorf("%s has %d classic buckets and zero threshold %g, want 1 to 8 and a native histogram", f.GetName(), len(h.GetBucket()), h.GetZeroThreshold())
			}
		}
	}
	if histograms < 7 {
		t.Errorf("%d histograms only", histograms)
	}
}
