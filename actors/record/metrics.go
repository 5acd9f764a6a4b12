package record

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kitestring/actors/tape"
)

// Metrics are the recorder's.
type Metrics struct {
	block, sync prometheus.Histogram
}

// NewMetrics registers what the recorder counts.
func NewMetrics(reg prometheus.Registerer, store *Store) *Metrics {
	m := &Metrics{
		block: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "kitestring_record_block_seconds", Help: "How long it took to code a block and to give it to the operating system.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
		}),
		sync: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "kitestring_record_fsync_seconds", Help: "How long it took to bring what was written to the disk.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
		}),
	}
	reg.MustRegister(m.block, m.sync, collector{store})
	return m
}

func (m *Metrics) wrote(d time.Duration) {
	if m != nil {
		m.block.Observe(d.Seconds())
	}
}

func (m *Metrics) synced(d time.Duration) {
	if m != nil {
		m.sync.Observe(d.Seconds())
	}
}

// collector shows the status.
type collector struct{ store *Store }

var (
	descState     = prometheus.NewDesc("kitestring_record_state", "1 for the state of the recorder, 0 for the others.", []string{"state"}, nil)
	descFrames    = prometheus.NewDesc("kitestring_record_frames_total", "Binary messages on the tape.", nil, nil)
	descTicks     = prometheus.NewDesc("kitestring_record_ticks_total", "Packets on the tape.", nil, nil)
	descBytes     = prometheus.NewDesc("kitestring_record_bytes_total", "Bytes written to the tape.", nil, nil)
	descDropped   = prometheus.NewDesc("kitestring_record_dropped_frames_total", "Binary messages that found no room in the recorder's memory and are not on the tape.", nil, nil)
	descQueue     = prometheus.NewDesc("kitestring_record_queue_bytes", "Bytes that wait in the recorder's memory.", nil, nil)
	descLastWrite = prometheus.NewDesc("kitestring_record_last_write_timestamp_seconds", "When the last block was written, by the machine's clock; 0: none yet.", nil, nil)
	descOldest    = prometheus.NewDesc("kitestring_record_oldest_timestamp_seconds", "When the oldest segment that is kept began; 0: there is none.", nil, nil)
	descFree      = prometheus.NewDesc("kitestring_record_disk_free_bytes", "Free space of the disk with the tapes.", nil, nil)
	descNeeded    = prometheus.NewDesc("kitestring_record_disk_needed_bytes", "Free space below which the recorder pauses.", nil, nil)
	descDeleted   = prometheus.NewDesc("kitestring_record_deleted_segments_total", "Segments that were deleted for their age or size.", nil, nil)
)

// Describe implements prometheus.Collector.
func (c collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descState, descFrames, descTicks, descBytes, descDropped, descQueue, descLastWrite, descOldest, descFree, descNeeded, descDeleted} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c collector) Collect(out chan<- prometheus.Metric) {
	s := c.store.Status()
	for i, name := range states {
		v := 0.0
		if State(i) == s.State {
			v = 1
		}
		out <- prometheus.MustNewConstMetric(descState, prometheus.GaugeValue, v, name)
	}
	stamp := func(t time.Time) float64 {
		if t.IsZero() {
			return 0
		}
		return float64(t.UnixMilli()) / 1000
	}
	for _, m := range []struct {
		desc *prometheus.Desc
		kind prometheus.ValueType
		v    float64
	}{
		{descFrames, prometheus.CounterValue, float64(s.Written.Frames)},
		{descTicks, prometheus.CounterValue, float64(s.Written.Ticks)},
		{descBytes, prometheus.CounterValue, float64(s.Written.Bytes)},
		{descDropped, prometheus.CounterValue, float64(s.Dropped)},
		{descQueue, prometheus.GaugeValue, float64(s.Queue)},
		{descLastWrite, prometheus.GaugeValue, stamp(s.LastWrite)},
		{descOldest, prometheus.GaugeValue, stamp(s.Oldest)},
		{descFree, prometheus.GaugeValue, float64(s.DiskFree)},
		{descNeeded, prometheus.GaugeValue, float64(tape.LeastFree(s.DiskSize))},
		{descDeleted, prometheus.CounterValue, float64(s.Deleted)},
	} {
		out <- prometheus.MustNewConstMetric(m.desc, m.kind, m.v)
	}
}
