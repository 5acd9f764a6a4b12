package rehearse

import (
	"net/http"
	"time"
)

// sample is everything that counts at one moment.
type sample struct {
	at          time.Time
	server, sim kernelView
	machine     time.Duration // CPU of all processes
	sent        int64         // ticks by the exchange, once each
	metrics     exposition
	live        float64 // bytes of heap that a collection leaves
}

func (s *soak) sample() (now sample) {
	now.metrics = s.metrics()
	// What a collection leaves shows whether the server grows, the size before it
	// does not. It costs some 10 ms.
	s.call(http.MethodGet, s.web, "/debug/pprof/heap?gc=1", nil)
	now.live, _ = s.metrics().sum("go_memstats_heap_alloc_bytes")
	now.sent = s.Rig.exchange().Ticks
	now.server, now.sim = s.process.kernel(), s.exchange.kernel()
	now.at, now.machine = time.Now(), machineCPU()
	return now
}

// Figures are the measures of a span that both soaks give.
type Figures struct {
	Seconds    float64 `json:"seconds"`
	CPU        float64 `json:"cpu_percent"`     // of the server, of one core
	SimCPU     float64 `json:"sim_cpu_percent"` // of the exchange, of one core
	RSS        float64 `json:"rss_mb"`          // the most seen
	Heap       float64 `json:"heap_mb"`         // allocated at the end, garbage included
	Live       float64 `json:"live_mb"`         // what a collection at the end leaves
	Goroutines int     `json:"goroutines"`
	FDs        int     `json:"fds"`
	Sent       int64   `json:"ticks_sent"`     // by the exchange, once each
	Received   int64   `json:"ticks_received"` // handed to the subscribers
	Lost       int64   `json:"ticks_lost"`     // by the sequence
	Repeated   int64   `json:"ticks_duplicated"`
	Conflated  int64   `json:"ticks_conflated"`
	Malformed  int64   `json:"malformed"`
	FanoutP50  float64 `json:"fanout_p50_ms"` // receipt of a frame to its last push
	FanoutP99  float64 `json:"fanout_p99_ms"`
	WaitP99    float64 `json:"mailbox_wait_p99_ms"` // all actors together
	OtherCPU   float64 `json:"other_cpu_percent"`   // of the machine's other programs
	restarts   int64
}

const mb = 1 << 20

// span is what happened between two samples; most is the largest resident set
// in between.
func span(from, to sample, most int64) Figures {
	seconds := to.at.Sub(from.at).Seconds()
	percent := func(d time.Duration) float64 { return 100 * d.Seconds() / seconds }
	now := func(name string) float64 { sum, _ := to.metrics.sum(name); return sum }
	diff := func(name string, labels ...string) int64 {
		before, _ := from.metrics.sum(name, labels...)
		after, _ := to.metrics.sum(name, labels...)
		return int64(after - before)
	}
	between := func(name string) histogram { return to.metrics.histogram(name).since(from.metrics.histogram(name)) }
	fanout, waits := between("kitestring_tick_fanout_seconds"), between("kitestring_actor_mailbox_wait_seconds")
	server, sim := to.server.cpu-from.server.cpu, to.sim.cpu-from.sim.cpu
	return Figures{
		Seconds: seconds, CPU: percent(server), SimCPU: percent(sim), OtherCPU: max(0, percent(to.machine-from.machine-server-sim)),
		RSS: float64(max(most, to.server.rss)) / mb, Heap: now("go_memstats_heap_alloc_bytes") / mb, Live: to.live / mb,
		Goroutines: int(now("go_goroutines")), FDs: to.server.fds,
		Sent: to.sent - from.sent, Received: diff("kitestring_feed_ticks_total"),
		Lost: diff("kitestring_feed_sequence_lost_total"), Repeated: diff("kitestring_feed_sequence_repeated_total"),
		Conflated: diff("kitestring_actor_messages_dropped_total", "reason", "conflated"), Malformed: diff("kitestring_feed_malformed_total"),
		FanoutP50: 1000 * fanout.quantile(0.5), FanoutP99: 1000 * fanout.quantile(0.99), WaitP99: 1000 * waits.quantile(0.99),
		restarts: diff("kitestring_supervisor_restarts_total"),
	}
}
