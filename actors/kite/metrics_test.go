package kite

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestMetricsAreClean(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	rest := NewMetrics(reg)
	for _, code := range []int{0, 200, 429, 502, 799} {
		rest.Observe(ClassProfile, code, time.Millisecond)
	}
	rest.Observe("unknown", 200, time.Second)
	if problems, err := testutil.GatherAndLint(reg); err != nil || len(problems) != 0 {
		t.Errorf("lint: %v, %v", problems, err)
	}
	want := `
		# HELP kitestring_rest_requests_total Requests to Kite; code 0: no answer.
		# TYPE kitestring_rest_requests_total counter
		kitestring_rest_requests_total{class="profile",code="0"} 1
		kitestring_rest_requests_total{class="profile",code="200"} 1
		kitestring_rest_requests_total{class="profile",code="429"} 1
		kitestring_rest_requests_total{class="profile",code="502"} 1
		kitestring_rest_requests_total{class="profile",code="other"} 1
	`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "kitestring_rest_requests_total"); err != nil {
		t.Error(err)
	}
	if v := testutil.ToFloat64(rest.throttled[ClassProfile]); v != 1 {
		t.Errorf("throttled %v", v)
	}
}
