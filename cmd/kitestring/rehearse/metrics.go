package rehearse

import (
	"bytes"
	"maps"
	"math"
	"net/http"
	"slices"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// exposition is what /metrics says.
type exposition map[string]*dto.MetricFamily

func (r *Rig) metrics() exposition {
	return must(parseExposition(r.call(http.MethodGet, r.web, "/metrics", nil)))
}

func parseExposition(text []byte) (exposition, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	return parser.TextToMetricFamilies(bytes.NewReader(text))
}

// metric is the sum of the series of a metric; one must exist.
func (r *Rig) metric(name string, labels ...string) float64 {
	sum, found := r.metrics().sum(name, labels...)
	if !found {
		failf("there is no metric %s with %q", name, labels)
	}
	return sum
}

// sum adds up the series of a metric that have all labels (name, value, name,
// value, ...).
func (e exposition) sum(name string, labels ...string) (sum float64, found bool) {
	for _, m := range e[name].GetMetric() {
		if hasLabels(m, labels) {
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + m.GetUntyped().GetValue()
			found = true
		}
	}
	return sum, found
}

func hasLabels(m *dto.Metric, labels []string) bool {
	for want := range slices.Chunk(labels, 2) {
		if !slices.ContainsFunc(m.GetLabel(), func(l *dto.LabelPair) bool { return l.GetName() == want[0] && l.GetValue() == want[1] }) {
			return false
		}
	}
	return true
}

// histogram is cumulative counts by upper bound, over all series of a metric.
type histogram map[float64]float64

func (e exposition) histogram(name string) histogram {
	h := histogram{}
	for _, m := range e[name].GetMetric() {
		for _, b := range m.GetHistogram().GetBucket() {
			h[b.GetUpperBound()] += float64(b.GetCumulativeCount())
		}
	}
	return h
}

// since is what came between two readings.
func (h histogram) since(before histogram) histogram {
	d := histogram{}
	for le, n := range h {
		d[le] = n - before[le]
	}
	return d
}

// quantile interpolates within a bucket, as Prometheus does; the last bound
// when it lies above; 0 without observations.
func (h histogram) quantile(q float64) float64 {
	bounds := slices.Sorted(maps.Keys(h))
	if len(bounds) == 0 || h[bounds[len(bounds)-1]] == 0 {
		return 0
	}
	rank := q * h[bounds[len(bounds)-1]]
	low, below := 0.0, 0.0
	for _, le := range bounds {
		if h[le] >= rank {
			if math.IsInf(le, 1) {
				return low
			}
			return low + (le-low)*(rank-below)/(h[le]-below)
		}
		low, below = le, h[le]
	}
	return low
}
