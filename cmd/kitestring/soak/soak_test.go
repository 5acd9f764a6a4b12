package soak

import (
	"math"
	"net/http"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"kitestring/actors/actorstest"
	"kitestring/messages/ist"
)

func TestMain(m *testing.M) { actorstest.Main(m) }

func TestParseStat(t *testing.T) {
	line := "4242 (kite (s) tring) S 1 4242 4242 0 -1 4194560 1 2 3 4 150 50 6 7 20 0 11 0 5000 123456789 2560 18446744073709551615 1 1 0 0 0 0 0 0 0\n"
	got, err := parseStat(line)
	if want := (kernelView{cpu: 2 * time.Second, rss: int64(2560 * os.Getpagesize())}); err != nil || got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	for _, bad := range []string{"", "1 (x) S 1", "no bracket at all 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24", strings.Replace(line, "150", "x", 1)} {
		if _, err := parseStat(bad); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

const text = `# HELP kitestring_a_total a
# TYPE kitestring_a_total counter
kitestring_a_total{actor="x",reason="full"} 3
kitestring_a_total{actor="y",reason="full"} 4
kitestring_a_total{actor="y",reason="other"} 100
kitestring_ab_total 7
go_goroutines 42
kitestring_wait_seconds_bucket{actor="x",le="0.001"} 50
kitestring_wait_seconds_bucket{actor="x",le="0.01"} 90
kitestring_wait_seconds_bucket{actor="x",le="+Inf"} 100
kitestring_wait_seconds_bucket{actor="y",le="0.001"} 50
kitestring_wait_seconds_bucket{actor="y",le="0.01"} 100
kitestring_wait_seconds_bucket{actor="y",le="+Inf"} 100
not a metric
`

func TestExposition(t *testing.T) {
	e, err := parseExposition(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		metric, part string
		want         float64
	}{
		{"kitestring_a_total", "", 107},
		{"kitestring_a_total", `reason="full"`, 7},
		{"kitestring_ab_total", "", 7},
		{"go_goroutines", "", 42},
		{"none", "", 0},
	} {
		if got := e.sum(c.metric, c.part); got != c.want {
			t.Errorf("%s %s: %v, want %v", c.metric, c.part, got, c.want)
		}
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
			CPU: 100, SimCPU: 100, RSS: 150, Heap: 100, Live: 100, Goroutines: 1000, FDs: 999, Made: 36_000 * 600, Received: 2_160_000, WaitP99: 100,
		}, Rotations: 1, RotationMS: 10_000}.String(),
		DaysHeader: Day{Day: "2026-11-23", Figures: Figures{Seconds: 600, CPU: 100, Received: 1_000_000, Lost: 100_000}, LoginMS: 30_000, RecoveryMS: 30_000, Notes: "none"}.String(),
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
		spoil func(last *Minute)
		miss  string
	}{
		"good":    {func(*Minute) {}, ""},
		"busy":    {func(m *Minute) { m.CPU = 31 }, "CPU"},
		"leaking": {func(m *Minute) { m.Live = 40 }, "heap"},
		"workers": {func(m *Minute) { m.Goroutines = 60 }, "goroutines"},
		"files":   {func(m *Minute) { m.FDs = 60 }, "open files"},
		"losing":  {func(m *Minute) { m.Lost = 1 }, "0 ticks lost"},
		"twice":   {func(m *Minute) { m.Twice = 1 }, "0 ticks duplicated"},
		"stuck":   {func(m *Minute) { m.Rotations = 0 }, "a rotation"},
		"slow":    {func(m *Minute) { m.Received = 0 }, "36000 ticks/s"},
	} {
		last := good
		c.spoil(&last)
		total := good
		total.Seconds, total.Received, total.Rotations = 120, good.Received+last.Received, good.Rotations+last.Rotations
		total.CPU, total.Lost, total.Twice = (good.CPU+last.CPU)/2, last.Lost, last.Twice
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

func TestBoxKeepsReminders(t *testing.T) {
	b, err := openBox()
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for _, body := range []string{`{"event":"login_due","day":"2026-11-23","slot":"08:00"}`, `{"day":"2026-11-23","slot":"08:45"}`, `nonsense`} {
		resp, err := client.Post(b.url, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
	}
	if got := b.of(time.Date(2026, 11, 23, 9, 0, 0, 0, ist.Zone)); !reflect.DeepEqual(got, []string{"08:00", "08:45"}) {
		t.Errorf("got %v", got)
	}
}
