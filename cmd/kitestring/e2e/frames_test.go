package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/performance"
	"github.com/chromedp/cdproto/tracing"
	"github.com/chromedp/chromedp"
)

// phone is how many times slower than this machine's processor a phone's is.
const phone = 4

// frames are what a page draws while data comes in. Times are of the processor:
// others on the machine do not lengthen them.
type frames struct {
	Frames  int     // in the time
	Longest float64 // ms; no frame is drawn while a task runs
	Long    int     // tasks that take a phone 50 ms and more
	Late    int     // frames that a phone cannot draw, because a task runs at their time
	Busy    float64 // share of the time that the page used its processor for
}

// measure watches the page, with its processor slowed down; 1 does not.
func (b *tab) measure(slowdown float64, d time.Duration) frames {
	b.t.Helper()
	must := func(_ any, err error) {
		if err != nil {
			b.t.Fatalf("measure the page: %v", err)
		}
	}
	must(chromedp.Call(b.ctx, performance.Enable, performance.EnableParams{TimeDomain: performance.EnableTimeDomainThreadTicks}))
	must(chromedp.Call(b.ctx, emulation.SetCPUThrottlingRate, emulation.SetCPUThrottlingRateParams{Rate: slowdown}))
	b.mu.Lock()
	b.trace, b.traced = nil, make(chan struct{})
	b.mu.Unlock()
	must(chromedp.Call(b.ctx, tracing.Start, tracing.StartParams{TraceConfig: &tracing.TraceConfig{IncludedCategories: []string{"toplevel", "blink.user_timing"}}}))
	used := b.used()
	f := frames{Frames: eval[int](b, fmt.Sprintf(`new Promise((done) => {
		performance.mark(%q);
		let count = 0;
		const end = performance.now() + %d;
		const frame = () => {
			count++;
			if (performance.now() < end) requestAnimationFrame(frame);
			else done(count);
		};
		requestAnimationFrame(frame);
	})`, measured, d.Milliseconds()))}
	f.Busy = (b.used() - used) / d.Seconds()
	must(chromedp.Call(b.ctx, tracing.End, cdp.Empty{}))
	must(chromedp.Call(b.ctx, emulation.SetCPUThrottlingRate, emulation.SetCPUThrottlingRateParams{Rate: 1}))
	select {
	case <-b.traced:
	case <-time.After(soon):
		b.t.Fatal("the browser gives no trace")
	}
	tasks := b.tasks()
	if len(tasks) == 0 {
		b.t.Fatal("the trace has no task of the page")
	}
	for _, ms := range tasks {
		f.Longest = max(f.Longest, ms)
		f.Late += int(ms * phone * 60 / 1000)
		if ms*phone >= 50*slowdown {
			f.Long++
		}
	}
	return f
}

// measured is the mark by which a page is found in a trace, which is of every tab.
const measured = "kitestring measured"

// traced is what a trace says of a span of work.
type traced struct {
	Name     string
	Pid, Tid int
	Tdur     float64 // microseconds of the processor
}

// tasks are the tasks of the page in the trace, in ms of the processor.
func (b *tab) tasks() (ms []float64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var page traced
	for _, e := range b.trace {
		if e.Name == measured {
			page = e
		}
	}
	for _, e := range b.trace {
		if strings.HasSuffix(e.Name, "RunTask") && e.Pid == page.Pid && e.Tid == page.Tid {
			ms = append(ms, e.Tdur/1000)
		}
	}
	return ms
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
// phone, whose processor is four times slower than this one. frames/s are counted
// with the processor slowed down, for which the machine must have nothing else to
// do, and are drawn by this machine's processor, not by a graphics card. The rest
// is of the page at full speed, in ms of the phone's processor: page_frames/s are
// those of sixty that no task of the page is in the way of.
func BenchmarkFrames(b *testing.B) {
	s := startServer(b)
	s.live()
	for _, page := range []string{"", "chain", "analyses"} {
		b.Run("/"+page, func(b *testing.B) {
			t := openTab(b, browser(b), s.URL()+page)
			t.await(soon, ".hero .word", "Live")
			t.holds("the page has its data", `document.querySelectorAll("main svg").length > 0`)
			t.measure(phone, 3*time.Second) // loaded
			const d = 5 * time.Second
			for b.Loop() {
				b.ReportMetric(float64(t.measure(phone, d).Frames)/d.Seconds(), "frames/s")
				f := t.measure(1, d)
				b.ReportMetric(60-float64(f.Late)/d.Seconds(), "page_frames/s")
				b.ReportMetric(float64(f.Long), "long_tasks")
				b.ReportMetric(f.Longest*phone, "longest_ms")
				b.ReportMetric(100*f.Busy*phone, "busy_%")
			}
		})
	}
}
