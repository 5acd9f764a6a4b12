package supervisor

import (
	"time"

	"kitestring/supervisor/histogram"

	"github.com/prometheus/client_golang/prometheus"
)

// collector turns the tree into metrics at each scrape. Nothing is registered
// or forgotten at a restart: the counters belong to the children's names.
type collector struct{ supervisor *Supervisor }

func newDesc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

var (
	descDepth    = newDesc("kitestring_actor_mailbox_depth", "Ticks and control messages that wait.", "actor")
	descCapacity = newDesc("kitestring_actor_mailbox_capacity", "Ticks and control messages that can wait.", "actor")
	descBusy     = newDesc("kitestring_actor_busy_seconds", "How long the handler that runs has been running.", "actor")
	descUp       = newDesc("kitestring_actor_up", "1 while the actor is ready.", "actor")
	descWait     = newDesc("kitestring_actor_mailbox_wait_seconds", "From a message's arrival to its handling, sampled under load.", "actor")
	descProcess  = newDesc("kitestring_actor_process_seconds", "Time in handlers, sampled under load.", "actor")
	descMessages = newDesc("kitestring_actor_messages_total", "Messages and batches by how the handler ended.", "actor", "result")
	descDropped  = newDesc("kitestring_actor_messages_dropped_total", "Ticks and control messages that were not delivered one by one.", "actor", "reason")
	descDead     = newDesc("kitestring_deadletters_total", "Messages of actors to addresses that do not exist.")
	descRestarts = newDesc("kitestring_supervisor_restarts_total", "Restarts by reason.", "actor", "reason")
	descEscal    = newDesc("kitestring_supervisor_escalations_total", "Groups that failed too often.", "supervisor")
	descQuar     = newDesc("kitestring_supervisor_quarantined", "1 while the actor is quarantined.", "actor")
	descRecovery = newDesc("kitestring_supervisor_recovery_seconds", "From a failure to the next readiness.", "actor")
	descChaos    = newDesc("kitestring_chaos_injections_total", "Injected faults by kind.", "actor", "kind")
)

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descDepth, descCapacity, descBusy, descUp, descWait, descProcess, descMessages, descDropped,
		descDead, descRestarts, descEscal, descQuar, descRecovery, descChaos,
	} {
		out <- d
	}
}

// sample is one metric, gathered under the mutex and sent without it: a slow
// reader of the channel must not stop the supervisor.
type sample struct {
	desc   *prometheus.Desc
	kind   prometheus.ValueType
	value  float64
	hist   *histogram.Histogram
	upper  []time.Duration
	labels []string
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	for _, m := range c.supervisor.samples() {
		if m.hist == nil {
			out <- prometheus.MustNewConstMetric(m.desc, m.kind, m.value, m.labels...)
			continue
		}
		n, sum, buckets := m.hist.Buckets(m.upper)
		out <- prometheus.MustNewConstHistogram(m.desc, n, sum, buckets, m.labels...)
	}
}

var (
	quick = []time.Duration{ // handlers and waits
		10 * time.Microsecond, 100 * time.Microsecond, time.Millisecond, 5 * time.Millisecond, 100 * time.Millisecond, 2 * time.Second,
	}
	slow = []time.Duration{ // recoveries
		50 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond, time.Second, 5 * time.Second,
	}
)

func (s *Supervisor) samples() (all []sample) {
	s.mu.Lock()
	defer s.mu.Unlock()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		all = append(all, sample{desc: d, kind: prometheus.GaugeValue, value: v, labels: labels})
	}
	count := func(d *prometheus.Desc, v uint64, labels ...string) {
		all = append(all, sample{desc: d, kind: prometheus.CounterValue, value: float64(v), labels: labels})
	}
	count(descDead, s.deadLetters.Load())
	for _, n := range s.nodes {
		name, state := n.spec.Name, n.state()
		gauge(descQuar, asGauge(n.quarantined), name)
		for _, r := range []restartReason{byPanic, byError, byHang, byHeartbeat, byPerson, bySibling} {
			// Of workers from the start: the increase of a series that begins
			// with its first restart would miss that one.
			if v := n.restarts[r]; v > 0 || n.cell != nil {
				count(descRestarts, v, name, string(r))
			}
		}
		if n.cell == nil {
			count(descEscal, n.escalated, name)
			continue
		}
		c, d := &n.cell.stats, n.cell.mailbox.depths()
		gauge(descDepth, float64(d.Depth), name)
		gauge(descCapacity, float64(d.Capacity), name)
		gauge(descBusy, time.Duration(c.stuck.Load()).Seconds(), name)
		gauge(descUp, asGauge(state == Running), name)
		count(descMessages, c.handled.Load(), name, "ok")
		count(descMessages, c.errors.Load(), name, "error")
		count(descMessages, c.panics.Load(), name, "panic")
		count(descDropped, d.Full, name, "full")
		count(descDropped, d.Conflated, name, "conflated")
		count(descDropped, d.Stopped, name, "stopped")
		count(descDropped, d.Down, name, "down")
		for k, v := range n.faults {
			count(descChaos, v, name, string(k))
		}
		all = append(
			all,
			sample{desc: descWait, hist: &c.waiting, upper: quick, labels: []string{name}},
			sample{desc: descProcess, hist: &c.handling, upper: quick, labels: []string{name}},
			sample{desc: descRecovery, hist: &c.recovery, upper: slow, labels: []string{name}},
		)
	}
	return all
}

func asGauge(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
