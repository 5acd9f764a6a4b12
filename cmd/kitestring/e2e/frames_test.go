package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/performance"
	"github.com/chromedp/chromedp"
)

// frames are what a page draws while data comes in.
type frames struct {
	Frames  int     // in the time
	Long    int     // tasks of 50 ms and more, in which no frame is drawn
	Longest float64 // ms; 0: no such task
	Busy    float64 // share of the time that the page used its processor for
}

// measure watches the page, with its processor slowed down as a phone's is;
// 1 does not.
func (b *tab) measure(slowdown float64, d time.Duration) frames {
	b.t.Helper()
	must := func(_ any, err error) {
		if err != nil {
			b.t.Fatalf("measure the page: %v", err)
		}
	}
	must(chromedp.Call(b.ctx, performance.Enable, performance.EnableParams{TimeDomain: performance.EnableTimeDomainThreadTicks}))
	must(chromedp.Call(b.ctx, emulation.SetCPUThrottlingRate, emulation.SetCPUThrottlingRateParams{Rate: slowdown}))
	used := b.used()
	f := eval[frames](b, fmt.Sprintf(`new Promise((done) => {
		const tasks = [];
		const seen = new PerformanceObserver((list) => tasks.push(...list.getEntries().map((e) => e.duration)));
		seen.observe({ entryTypes: ["longtask"] });
		let count = 0;
		const end = performance.now() + %d;
		const frame = () => {
			count++;
			if (performance.now() < end) return requestAnimationFrame(frame);
			seen.disconnect();
			done({ Frames: count, Long: tasks.length, Longest: Math.max(0, ...tasks) });
		};
		requestAnimationFrame(frame);
	})`, d.Milliseconds()))
	f.Busy = (b.used() - used) / d.Seconds()
	must(chromedp.Call(b.ctx, emulation.SetCPUThrottlingRate, emulation.SetCPUThrottlingRateParams{Rate: 1}))
	return f
}

// used is the processor time of the page's tasks so far, in seconds: others on
// the machine do not lengthen it.
func (b *tab) used() float64 {
	b.t.Helper()
	got, err := chromedp.Call(b.ctx, performance.GetMetrics, cdp.Empty{})
	if err != nil {
		b.t.Fatalf("measure the page: %v", err)
	}
	for _, m := range got.Metrics {
		if m.Name == "TaskDuration" {
			return m.Value
		}
	}
	b.t.Fatal("the browser does not count the time of its tasks")
	return 0
}

// BenchmarkFrames is how smoothly the pages of the market draw 300 ticks/s on a
// processor four times slower than this one; the machine must have nothing else
// to do.
func BenchmarkFrames(b *testing.B) {
	s := startServer(b)
	s.live()
	for _, page := range []string{"", "chain", "analyses"} {
		b.Run("/"+page, func(b *testing.B) {
			t := openTab(b, browser(b), s.URL()+page)
			t.await(soon, ".hero .word", "Live")
			t.holds("the page has its data", `document.querySelectorAll("main svg").length > 0`)
			t.measure(4, 3*time.Second) // loaded
			const d = 5 * time.Second
			for b.Loop() {
				f := t.measure(4, d)
				b.ReportMetric(float64(f.Frames)/d.Seconds(), "frames/s")
				b.ReportMetric(float64(f.Long), "long_tasks")
				b.ReportMetric(f.Longest, "longest_ms")
				b.ReportMetric(100*t.measure(1, d).Busy, "busy_%")
			}
		})
	}
}
