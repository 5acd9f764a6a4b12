package feed

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kitestring/actors"
	"kitestring/messages"
)

// Metrics are the feed's figures for Prometheus. They are made once and
// survive every incarnation: counters and gauges are read from the Store when
// they are scraped, only the histograms are fed, once a frame. A nil *Metrics
// counts nothing.
type Metrics struct {
	age, fanout, gap, toLive prometheus.Histogram
}

// NewMetrics registers the feed's metrics. It panics when they are registered
// already.
func NewMetrics(r prometheus.Registerer, state *Store) *Metrics {
	histogram := func(name, help string, buckets ...float64) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: name, Help: help, Buckets: buckets,
			NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100,
		})
	}
	m := &Metrics{
		age:    histogram("kitestring_tick_age_seconds", "Exchange time of the newest tick that a read brought to its receipt.", .25, .5, 1, 2, 5, 10, 30, 300),
		fanout: histogram("kitestring_tick_fanout_seconds", "Receipt of what a read brought to its last push to a subscriber.", 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 5e-3, .02),
		gap:    histogram("kitestring_feed_gap_seconds", "Exchange seconds for which an instrument was blind.", 1, 2, 5, 10, 30, 60, 300, 1800),
		toLive: histogram("kitestring_token_to_live_seconds", "Change of the .env file to the first frame with the new token.", .005, .02, .05, .3, 1, 2, 5, 30),
	}
	r.MustRegister(m.age, m.fanout, m.gap, m.toLive, collector{state})
	return m
}

// burst observes what went out at once: newest is the exchange time of its
// newest tick, 0 when it has none.
func (m *Metrics) burst(newest uint32, clock actors.Clock, received time.Time) {
	if m == nil {
		return
	}
	m.fanout.Observe(time.Since(received).Seconds())
	if newest != 0 {
		// Exchange times are whole seconds: a tick of this second is 0 old.
		m.age.Observe(max(0, clock.Now().Sub(time.Unix(int64(newest), 0)).Seconds()))
	}
}

func (m *Metrics) live(r messages.Rotation) {
	if m != nil && r.FirstFrameMS != nil {
		m.toLive.Observe(*r.FirstFrameMS / 1000)
	}
}

func (m *Metrics) gaps(gaps []messages.Gap) {
	if m == nil {
		return
	}
	for _, g := range gaps {
		m.gap.Observe(g.BlindSeconds)
	}
}

// collector turns Stats into metrics at each scrape. The maps in Stats hold every
// label value from the start.
type collector struct{ state *Store }

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

var (
	descState       = desc("kitestring_feed_state", "1 for the state that the feed is in: the worst of its shards.", "state")
	descSockets     = desc("kitestring_feed_sockets", "Sockets that stream.")
	descInstruments = desc("kitestring_feed_subscribed_instruments", "Instruments subscribed to.", "mode")
	descConnects    = desc("kitestring_feed_connects_total", "Upgrades tried.", "result")
	descDisconnects = desc("kitestring_feed_disconnects_total", "Sockets that ended.", "reason")
	descFrames      = desc("kitestring_feed_frames_total", "WebSocket messages received.", "type")
	descBytes       = desc("kitestring_feed_received_bytes_total", "Bytes of binary frames received.")
	descTicks       = desc("kitestring_feed_ticks_total", "Ticks handed to the subscribers.", "mode")
	descMalformed   = desc("kitestring_feed_malformed_total", "Frames dropped, packets skipped and texts that cannot be read.", "reason")
	descDuplicates  = desc("kitestring_feed_duplicates_total", "Byte-equal repeats that were not handed on.")
	descLost        = desc("kitestring_feed_sequence_lost_total", "Ticks that the source's sequence shows to be missing; 0 where it has none.")
	descRepeated    = desc("kitestring_feed_sequence_repeated_total", "Ticks that the source's sequence shows to have been handed on repeatedly; 0 where it has none.")
	descLastFrame   = desc("kitestring_feed_last_frame_timestamp_seconds", "When the last binary frame came.")
	descLastTick    = desc("kitestring_feed_last_tick_timestamp_seconds", "When the last tick was handed on.")
)

// Describe implements prometheus.Collector.
func (c collector) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, ch) }

// Collect implements prometheus.Collector.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	s := c.state.Stats()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	for state := messages.AwaitingToken; state <= messages.Stopped; state++ {
		v := 0.0
		if state == s.State {
			v = 1
		}
		gauge(descState, v, state.String())
	}
	gauge(descSockets, float64(s.Sockets))
	for _, mode := range [...]messages.Mode{messages.ModeLTP, messages.ModeQuote, messages.ModeFull} {
		gauge(descInstruments, float64(s.ByMode[mode]), mode.String())
		counter(descTicks, s.TicksByMode[mode], mode.String())
	}
	for result, n := range s.Connects {
		counter(descConnects, n, result)
	}
	for reason, n := range s.Disconnects {
		counter(descDisconnects, n, reason)
	}
	counter(descFrames, s.Frames, "ticks")
	counter(descFrames, s.Heartbeats, "heartbeat")
	counter(descFrames, s.Texts, "text")
	counter(descBytes, s.Bytes)
	for reason, n := range s.Malformed {
		counter(descMalformed, n, reason)
	}
	counter(descDuplicates, s.Duplicates)
	counter(descLost, s.Lost)
	counter(descRepeated, s.Repeated)
	gauge(descLastFrame, stamp(s.LastFrame))
	gauge(descLastTick, stamp(s.LastTick))
}

// stamp is a time in Unix seconds; 0: never.
func stamp(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMicro()) / 1e6
}
