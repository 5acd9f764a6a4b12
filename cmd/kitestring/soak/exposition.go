package soak

import (
	"bufio"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// exposition is what /metrics says: each series as it is spelt, with its value.
type exposition map[string]float64

func parseExposition(r io.Reader) (exposition, error) {
	e := exposition{}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		at := strings.LastIndexByte(line, ' ')
		if strings.HasPrefix(line, "#") || at < 0 {
			continue
		}
		if v, err := strconv.ParseFloat(line[at+1:], 64); err == nil {
			e[line[:at]] = v
		}
	}
	return e, lines.Err()
}

// sum adds up all series of a metric that hold part ("": all).
func (e exposition) sum(metric, part string) (sum float64) {
	for series, v := range e {
		name, labels, _ := strings.Cut(series, "{")
		if name == metric && strings.Contains(labels, part) {
			sum += v
		}
	}
	return sum
}

// histogram is cumulative counts by upper bound, over all series of a metric.
type histogram map[float64]float64

func (e exposition) histogram(metric string) histogram {
	h := histogram{}
	for series, v := range e {
		name, labels, _ := strings.Cut(series, "{")
		if name != metric+"_bucket" {
			continue
		}
		_, rest, _ := strings.Cut(labels, `le="`)
		text, _, _ := strings.Cut(rest, `"`)
		if le, err := strconv.ParseFloat(text, 64); err == nil {
			h[le] += v
		}
	}
	return h
}

// since is what has come between two readings.
func (h histogram) since(before histogram) histogram {
	d := histogram{}
	for le, n := range h {
		d[le] = n - before[le]
	}
	return d
}

// quantile interpolates within a bucket, as Prometheus does; the last bound
// when it lies beyond; 0 without observations.
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
