package rehearse

import (
	"math"
	"net/http"
	"os"
	"reflect"
	"strings"
	"testing"

	"kitestring/actors/actorstest"
)

func TestMain(m *testing.M) { actorstest.Main(m) }

func TestKernelView(t *testing.T) {
	got, err := kernelOf(os.Getpid())
	if err != nil || got.cpu <= 0 || got.rss < mb || got.fds < 3 {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := kernelOf(1 << 30); err == nil {
		t.Error("a process that does not exist was read")
	}
	if machineCPU() < got.cpu {
		t.Errorf("the machine's CPU time is %s, one process took %s", machineCPU(), got.cpu)
	}
}

const text = `# HELP kitestring_a_total a
# TYPE kitestring_a_total counter
kitestring_a_total{actor="x",reason="full"} 3
kitestring_a_total{actor="y",reason="full"} 4
kitestring_a_total{actor="y",reason="other"} 100
kitestring_ab_total 7
go_goroutines 42
# TYPE kitestring_wait_seconds histogram
kitestring_wait_seconds_bucket{actor="x",le="0.001"} 50
kitestring_wait_seconds_bucket{actor="x",le="0.01"} 90
kitestring_wait_seconds_bucket{actor="x",le="+Inf"} 100
kitestring_wait_seconds_bucket{actor="y",le="0.001"} 50
kitestring_wait_seconds_bucket{actor="y",le="0.01"} 100
kitestring_wait_seconds_bucket{actor="y",le="+Inf"} 100
`

func TestExposition(t *testing.T) {
	e, err := parseExposition([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		metric string
		labels []string
		want   float64
		found  bool
	}{
		{"kitestring_a_total", nil, 107, true},
		{"kitestring_a_total", []string{"reason", "full"}, 7, true},
		{"kitestring_a_total", []string{"reason", "full", "actor", "y"}, 4, true},
		{"kitestring_a_total", []string{"reason", "none"}, 0, false},
		{"kitestring_ab_total", nil, 7, true},
		{"go_goroutines", nil, 42, true},
		{"none", nil, 0, false},
	} {
		if got, found := e.sum(c.metric, c.labels...); got != c.want || found != c.found {
			t.Errorf("%s %q: %v, %t, want %v, %t", c.metric, c.labels, got, found, c.want, c.found)
		}
	}
	if _, err := parseExposition([]byte("not a metric\n")); err == nil {
		t.Error("text that is no exposition was read")
	}
	h := e.histogram("kitestring_wait_seconds")
	if want := (histogram{0.001: 100, 0.01: 190, math.Inf(1): 200}); !reflect.DeepEqual(h, want) {
		t.Fatalf("%v, want %v", h, want)
	}
	for q, want := range map[float64]float64{0.25: 0.0005, 0.5: 0.001, 0.725: 0.0055, 0.99: 0.01} {
		if got := h.quantile(q); math.Abs(got-want) > 1e-9 {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	if got := h.since(h).quantile(0.5); got != 0 {
		t.Errorf("the quantile of nothing is %v", got)
	}
	if got := (histogram{}).quantile(0.5); got != 0 {
		t.Errorf("the quantile of no histogram is %v", got)
	}
}

func TestRowsFitTheirHeads(t *testing.T) {
	for head, row := range map[string]string{
		LoadHeader: Minute{Minute: 10, Figures: Figures{
			CPU: 100, SimCPU: 100, RSS: 150, Heap: 100, Live: 100, Goroutines: 1000, FDs: 999, Sent: 36_000 * 600, Received: 2_160_000, WaitP99: 100,
		}, Rotations: 1, RotationMS: 10_000}.String(),
		DaysHeader: Day{Day: "2026-11-23", Figures: Figures{Seconds: 600, CPU: 100, Received: 1_000_000, Lost: 100_000}, LoginMS: 30_000, RecoveryMS: 30_000, Notes: "none"}.String(),
		PairHeader: PairSpan{
			Minute: 60, Ticks: 100_000_000, Kills: 10, Pauses: 10, Partitions: 10, Rotations: 1, QuietMS: 1000, KillMS: 1000, FaultMS: 1000, Sockets: 3,
			RSS: [3]float64{150, 150, 100}, Goroutines: [3]int{100, 100, 100}, EdgeCPU: 100,
		}.String(),
	} {
		if len(row) > len(head) {
			t.Errorf("a row is longer than its head:\n%s\n%s", head, row)
		}
		t.Logf("\n%s\n%s", head, row)
	}
}

func TestJudgeLoad(t *testing.T) {
	good := Minute{Figures: Figures{Seconds: 60, CPU: 5, RSS: 60, Live: 20, Goroutines: 40, FDs: 15, Received: 60 * 36_000}, Rotations: 1}
	for name, c := range map[string]struct {
		change func(last *Minute)
		miss   string
	}{
		"good":    {func(*Minute) {}, ""},
		"busy":    {func(m *Minute) { m.CPU = 31 }, "CPU"},
		"leaking": {func(m *Minute) { m.Live = 40 }, "heap"},
		"workers": {func(m *Minute) { m.Goroutines = 60 }, "goroutines"},
		"files":   {func(m *Minute) { m.FDs = 60 }, "open files"},
		"losing":  {func(m *Minute) { m.Lost = 1 }, "0 ticks lost"},
		"repeats": {func(m *Minute) { m.Repeated = 1 }, "0 ticks duplicated"},
		"stuck":   {func(m *Minute) { m.Rotations = 0 }, "a rotation"},
		"slow":    {func(m *Minute) { m.Received = 0 }, "36000 ticks/s"},
	} {
		last := good
		c.change(&last)
		total := good
		total.Seconds, total.Received, total.Rotations = 120, good.Received+last.Received, good.Rotations+last.Rotations
		total.CPU, total.Lost, total.Repeated = (good.CPU+last.CPU)/2, last.Lost, last.Repeated
		var missed []string
		for _, v := range judgeLoad(LoadReport{Minutes: []Minute{good, last}, Total: total}, LoadOptions{Rate: 36_000}) {
			if !v.OK {
				missed = append(missed, v.Target)
			}
		}
		if got := strings.Join(missed, ", "); !strings.HasPrefix(got, c.miss) || c.miss == "" && got != "" {
			t.Errorf("%s: missed %q, want %q", name, got, c.miss)
		}
	}
}

func TestJudgePair(t *testing.T) {
	good := PairSpan{Seconds: 60, Ticks: 100_000, Kills: 2, QuietMS: 20, KillMS: 60, FaultMS: 900, Sockets: 3, RSS: [3]float64{60, 60, 30}, Goroutines: [3]int{50, 50, 30}}
	for name, c := range map[string]struct {
		change func(last *PairSpan)
		closed int
		miss   string
	}{
		"good":    {func(*PairSpan) {}, 0, ""},
		"losing":  {func(s *PairSpan) { s.Lost = 1 }, 0, "0 ticks lost"},
		"repeats": {func(s *PairSpan) { s.Repeated = 1 }, 0, "0 ticks repeated"},
		"closed":  {func(*PairSpan) {}, 1, "no program is closed"},
		"fourth":  {func(s *PairSpan) { s.Refused = 1 }, 0, "never a fourth socket"},
		"gap":     {func(s *PairSpan) { s.KillMS = 71 }, 0, "a kill adds"},
		"slow":    {func(s *PairSpan) { s.FaultMS = 3001 }, 0, "silent <= 3 s"},
		"leaking": {func(s *PairSpan) { s.RSS[2] = 50 }, 0, "memory flat: the edge"},
		"workers": {func(s *PairSpan) { s.Goroutines[1] = 60 }, 0, "goroutines flat: the second server"},
	} {
		r := PairReport{Spans: []PairSpan{good, good, good, good}}
		c.change(&r.Spans[3])
		for _, s := range r.Spans {
			r.Total.add(s)
		}
		if r.Total.Seconds != 240 || r.Total.Kills != 8 {
			t.Fatalf("the total is %+v", r.Total)
		}
		var missed []string
		for _, v := range judgePair(r, c.closed) {
			if !v.OK {
				missed = append(missed, v.Target)
			}
		}
		if got := strings.Join(missed, ", "); !strings.HasPrefix(got, c.miss) || c.miss == "" && got != "" {
			t.Errorf("%s: missed %q, want %q", name, got, c.miss)
		}
	}
}

func TestRemindersAreKept(t *testing.T) {
	err := perform(t, func(r *Rig) {
		b := r.receiveReminders()
		for _, body := range []string{`{"event":"login_due","day":"2026-11-23","slot":"08:00"}`, `{"day":"2026-11-23","slot":"08:45"}`, `nonsense`} {
			r.do(must(http.NewRequestWithContext(r.ctx, http.MethodPost, b.url, strings.NewReader(body))))
		}
		if got := b.of(at(2026, 11, 23, 9, 0, 0)); !reflect.DeepEqual(got, []string{"08:00", "08:45"}) {
			t.Errorf("got %v", got)
		}
	})
	if err != nil {
		t.Error(err)
	}
}
