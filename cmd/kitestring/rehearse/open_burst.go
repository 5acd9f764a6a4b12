package rehearse

import (
	"fmt"
	"os"
	"time"

	"kitestring/actors/simulator"
)

// The burst at the open: two full sockets, at more than five times what three
// bring in the first minute of a lively day.
const (
	burstInstruments = 6000
	burstRate        = 200_000 // ticks/s
	burstFor         = 5 * time.Second
	burstP99         = 5 * time.Millisecond
	// From here on other programs, and not the server, decide how long it takes.
	burstDisturbed = 25.0 // % of one core
)

var _ = register(Drill{
	Name: "open-burst", Topic: Market, Setup: Setup{Cold: true, ManualLogin: true},
	Inject: "6000 instruments tick 200,000 times a second for 5 s, out of the quiet before the open",
	Hold:   "no actor's mailbox merges a tick, 99 % of what comes is with its actor within 5 ms, nothing is lost or repeated (skipped where other programs take the machine)",
	Steps: func(r *Rig) {
		r.close() // the rig's own server is not needed
		ex, token := r.serveExchange(simulator.Config{Start: ordinary.Add(-time.Hour), Rate: burstRate, Instruments: burstInstruments})
		s := r.folder("server")
		s.configure(ex, token)
		s.startServer([]string{"TZ=Asia/Kolkata", "HOME=" + s.Dir}, "--gateway-addr", "off", "--config", s.writeConfig(s.extraShares(burstInstruments-own), true))
		s.within(time.Minute, "every instrument is subscribed to on two sockets", func() (bool, any) {
			f := s.status().Feed
			return f.Instruments >= burstInstruments-6 && f.Sockets == 2, fmt.Sprintf("%d on %d sockets", f.Instruments, f.Sockets)
		})
		s.burst()
	},
})

// burst takes the exchange over 09:15 and judges what the server's metrics say of
// the seconds from there.
func (r *Rig) burst() {
	r.clock(map[string]any{"now": at(ordinary.Year(), ordinary.Month(), ordinary.Day(), 9, 14, 59)})
	before, others, began := r.metrics(), r.otherCPU(), time.Now()
	since := func(now exposition, name string, labels ...string) float64 {
		after, _ := now.sum(name, labels...)
		was, _ := before.sum(name, labels...)
		return after - was
	}
	r.within(10*time.Second, "the first ticks come", func() (bool, any) {
		n := since(r.metrics(), "kitestring_feed_ticks_total")
		return n > 0, n
	})
	opened, rss := time.Now(), int64(0)
	for time.Since(opened) < burstFor {
		r.pause(100 * time.Millisecond)
		rss = max(rss, r.process.kernel().rss)
	}
	after, took := r.metrics(), time.Since(opened)
	disturbed := 100 * (r.otherCPU() - others).Seconds() / time.Since(began).Seconds()

	p99 := func(name string) time.Duration {
		return seconds(after.histogram(name).since(before.histogram(name)).quantile(0.99))
	}
	fanout, wait := p99("kitestring_tick_fanout_seconds"), p99("kitestring_actor_mailbox_wait_seconds")
	rate := since(after, "kitestring_feed_ticks_total") / took.Seconds()
	conflated := since(after, "kitestring_actor_messages_dropped_total", "reason", "conflated")
	lost, repeated := since(after, "kitestring_feed_sequence_lost_total"), since(after, "kitestring_feed_sequence_repeated_total")
	collections, pauses, longest := after.collections(before)
	found := fmt.Sprintf("%.0f ticks/s, %.0f conflated, p99 %.2f ms to the last push and %.2f ms in a mailbox, %d collections with pauses of %.2f ms in all (the longest since the start %.2f ms), %.0f MB resident",
		rate, conflated, 1000*fanout.Seconds(), 1000*wait.Seconds(), collections, pauses, longest, float64(rss)/mb)
	switch held := conflated == 0 && fanout+wait <= burstP99 && rate >= 0.9*burstRate; {
	case lost != 0 || repeated != 0:
		failf("%.0f lost, %.0f repeated: %s", lost, repeated, found)
	case !held && disturbed > burstDisturbed:
		skipf("other programs took %.0f %% of a core meanwhile: %s", disturbed, found)
	case !held:
		failf("%s", found)
	}
	r.note("%s", found)
}

// otherCPU is the time that has been taken by other processes than the server
// and this one, in which the exchange runs.
func (r *Rig) otherCPU() time.Duration {
	return machineCPU() - r.process.kernel().cpu - must(kernelOf(os.Getpid())).cpu
}

// collections are those of the garbage since before, with their pauses in ms.
func (e exposition) collections(before exposition) (n int, pauses, longest float64) {
	const name = "go_gc_duration_seconds"
	for _, m := range e[name].GetMetric() {
		n, pauses = int(m.GetSummary().GetSampleCount()), 1000*m.GetSummary().GetSampleSum()
		for _, q := range m.GetSummary().GetQuantile() {
			longest = max(longest, 1000*q.GetValue())
		}
	}
	for _, m := range before[name].GetMetric() {
		n -= int(m.GetSummary().GetSampleCount())
		pauses -= 1000 * m.GetSummary().GetSampleSum()
	}
	return n, pauses, longest
}
