package soak

import (
	"fmt"
	"io"
	"net/http"
	"time"

	"kitestring/actors/simulator"
)

// sample is everything that counts at one moment.
type sample struct {
	at          time.Time
	server, sim kernelView
	machine     time.Duration // CPU of all processes
	made        int64         // ticks by the exchange, once each
	metrics     exposition
	live        float64 // bytes of heap that a collection leaves
}

func (r *rig) sample() (s sample, err error) {
	if s.metrics, err = r.metrics(); err != nil {
		return s, err
	}
	if err := r.collect(); err != nil {
		return s, err
	}
	collected, err := r.metrics()
	if err != nil {
		return s, err
	}
	s.live = collected.sum("go_memstats_heap_alloc_bytes", "")
	var st simulator.State
	if err := r.call("GET", r.simURL+"/sim/v1/state", nil, &st); err != nil {
		return s, fmt.Errorf("ask the simulator: %w", err)
	}
	s.made = st.Ticks
	if s.server, err = r.server.kernel(); err != nil {
		return s, err
	}
	if s.sim, err = r.sim.kernel(); err != nil {
		return s, err
	}
	s.at, s.machine = time.Now(), machineCPU()
	return s, nil
}

// collect makes the server collect its garbage: what is left tells whether it
// grows, the size before a collection does not. It costs some 10 ms.
func (r *rig) collect() error {
	resp, err := r.http.Get(r.url + "/debug/pprof/heap?gc=1")
	if err != nil {
		return fmt.Errorf("collect the server's garbage: %w", withoutURL(err))
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("collect the server's garbage: %s", resp.Status)
	}
	return nil
}

func (r *rig) metrics() (exposition, error) {
	resp, err := r.http.Get(r.url + "/metrics")
	if err != nil {
		return nil, fmt.Errorf("scrape the server: %w (%s)", withoutURL(err), r.server.lastWords())
	}
	defer resp.Body.Close()
	return parseExposition(resp.Body)
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
	Made       int64   `json:"ticks_sent"`     // by the exchange, once each
	Received   int64   `json:"ticks_received"` // handed to the subscribers
	Lost       int64   `json:"ticks_lost"`     // by the sequence
	Twice      int64   `json:"ticks_duplicated"`
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
	diff := func(metric, part string) int64 {
		return int64(to.metrics.sum(metric, part) - from.metrics.sum(metric, part))
	}
	fanout := to.metrics.histogram("kitestring_tick_fanout_seconds").since(from.metrics.histogram("kitestring_tick_fanout_seconds"))
	waits := to.metrics.histogram("kitestring_actor_mailbox_wait_seconds").since(from.metrics.histogram("kitestring_actor_mailbox_wait_seconds"))
	server, sim := to.server.cpu-from.server.cpu, to.sim.cpu-from.sim.cpu
	return Figures{
		Seconds: seconds, CPU: percent(server), SimCPU: percent(sim), OtherCPU: max(0, percent(to.machine-from.machine-server-sim)),
		RSS: float64(max(most, to.server.rss)) / mb, Heap: to.metrics.sum("go_memstats_heap_alloc_bytes", "") / mb,
		Live:       to.live / mb,
		Goroutines: int(to.metrics.sum("go_goroutines", "")), FDs: to.server.fds,
		Made: to.made - from.made, Received: diff("kitestring_feed_ticks_total", ""),
		Lost: diff("kitestring_feed_sequence_lost_total", ""), Twice: diff("kitestring_feed_sequence_repeated_total", ""),
		Conflated: diff("kitestring_actor_messages_dropped_total", `reason="conflated"`), Malformed: diff("kitestring_feed_malformed_total", ""),
		FanoutP50: 1000 * fanout.quantile(0.5), FanoutP99: 1000 * fanout.quantile(0.99), WaitP99: 1000 * waits.quantile(0.99),
		restarts: diff("kitestring_supervisor_restarts_total", ""),
	}
}
