package feed

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"kitestring/messages"
)

func TestMetrics(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	tokens := instruments(2)
	r := adoptedRig(t, tokens, func(r *rig) { r.cfg.Metrics = NewMetrics(registry, r.state) })
	r.venue.tick(tokens...)
	r.caughtUp(tokens...)
	r.offer(2, "B")
	r.adopt(2, "B")
	r.streaming(2)
	problems, err := testutil.GatherAndLint(registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	series := 0
	for _, f := range families {
		series += len(f.GetMetric())
		if !strings.HasPrefix(f.GetName(), "kitestring_") {
			t.Error(f.GetName())
		}
	}
	s := r.state.Stats()
	if s.Ticks == 0 || s.TicksByMode[messages.ModeFull] != s.Ticks || s.Connects["ok"] != 2 || s.Disconnects["swap"] > 1 {
		t.Errorf("%+v", s)
	}
	t.Logf("%d series in %d families", series, len(families))
}
