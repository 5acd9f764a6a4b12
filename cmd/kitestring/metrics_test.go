package main

import (
	"encoding/json"
	"maps"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"kitestring/actors/actorstest"
	"kitestring/actors/web/api"
	"kitestring/cmd/kitestring/assets"
	"kitestring/cmd/kitestring/cli"
	"kitestring/supervisor/tree"
)

// maxSeries bounds what a scrape may hold: about 35 series an actor.
const maxSeries = 2000

// families are the exported metrics of kitestring as "type labels", labels
// sorted, and how many series there are of all.
func families(t *testing.T, exposition string) (found map[string]string, series int) {
	t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	all, err := parser.TextToMetricFamilies(strings.NewReader(exposition))
	if err != nil {
		t.Fatal(err)
	}
	found = map[string]string{}
	for name, family := range all {
		labels := map[string]bool{}
		for _, m := range family.Metric {
			if h := m.GetHistogram(); h != nil {
				series += len(h.Bucket) + 2
			} else {
				series++
			}
			for _, l := range m.Label {
				labels[l.GetName()] = true
			}
		}
		if strings.HasPrefix(name, "kitestring_") {
			found[name] = strings.ToLower(family.GetType().String()) + " " + strings.Join(slices.Sorted(maps.Keys(labels)), ", ")
		}
	}
	return found, series
}

// useGateway streams and asks through the gateway as a program does.
func useGateway(t *testing.T, addr string) {
	t.Helper()
	var status api.Status
	if err := json.Unmarshal([]byte(httpGet(t, "http://"+addr+"/api/v1/status")), &status); err != nil || status.Gateway == nil {
		t.Fatalf("the gateway in the status: %+v, %v", status.Gateway, err)
	}
	gateway := status.Gateway.Addr
	conn, _, err := websocket.DefaultDialer.DialContext(t.Context(), "ws://"+gateway+"/?api_key=demo&access_token="+tree.DemoKey, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := conn.ReadMessage(); err != nil {
		t.Error(err)
	}
	_ = conn.Close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+gateway+"/quote/ltp?i=NSE:NIFTY+50", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "token demo:"+tree.DemoKey)
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("a quote through the gateway: %d", resp.StatusCode)
	}
	eventually(t, 10*time.Second, "the gateway's series", func() (bool, string) {
		text := scrape(t, addr)
		return strings.Contains(text, "kitestring_gateway_lag_seconds{") && strings.Contains(text, "kitestring_gateway_disconnects_total{"), "not yet"
	})
}

// Every route asked, a fault injected, an actor restarted: what is exported
// then is what the list says, with its types and labels, and not too much.
func TestExportedMetricsAreTheListedOnes(t *testing.T) {
	addr, _ := server(t, "--env-file", filepath.Join(t.TempDir(), ".env"), "--gateway-addr", "127.0.0.1:0", "--config", file(t, "config.json", `{"bus": {"url": "embedded", "listen": "127.0.0.1:0"}}`))
	live(t, addr)
	useGateway(t, addr)
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		for _, path := range []string{
			"/", "/moon", "/healthz", "/readyz", "/metrics", "/login", "/callback", "/callback?status=cancelled",
			"/api/v1/status", "/api/v1/actors/pcr", "/api/v1/actors/moon", "/api/v1/readings/NIFTY/pcr", "/api/v1/bars/NIFTY",
			"/api/v1/openapi.json", "/api/v1/actors/pcr/restart", "/api/v1/chaos", "/api/v1/token/validate", "/api/v1/login/complete",
		} {
			visitQuietly(t, method, "http://"+addr+path)
		}
	}
	for _, kind := range []string{"panic", "goroutine", "exit", "drop_token_messages"} {
		if code, _, errs := kitestring(t, t.Context(), nil, "", "chaos", "pcr", "--kind", kind, "--addr", addr); code != cli.ExitOK {
			t.Fatal(errs)
		}
	}
	var exposition string
	eventually(t, time.Minute, "the faults are counted", func() (bool, string) {
		exposition = scrape(t, addr)
		return strings.Count(exposition, `kitestring_chaos_injections_total{actor="pcr"`) == 4, "not yet"
	})
	exported, series := families(t, exposition)
	listed := map[string]string{}
	list, err := assets.Read("metrics")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range regexp.MustCompile("(?m)^\\| `(kitestring_[a-z_]+)` \\| (\\w+) \\| ?([a-z, ]*?) ?\\| \\S").FindAllStringSubmatch(string(list), -1) {
		listed[row[1]] = row[2] + " " + row[3]
	}
	for name, shape := range exported {
		if listed[name] != shape {
			t.Errorf("%s is exported as %q, cmd/kitestring/assets/metrics.md says %q", name, shape, listed[name])
		}
	}
	for name := range listed {
		if exported[name] == "" {
			t.Errorf("%s is listed and not exported", name)
		}
	}
	if series > maxSeries {
		t.Errorf("%d series, want at most %d", series, maxSeries)
	}
	t.Logf("%d metrics of kitestring, %d series in all", len(exported), series)

	problems, err := promlint.New(strings.NewReader(exposition)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("promlint: %s %s", p.Metric, p.Text)
	}
	check := exec.CommandContext(t.Context(), actorstest.Tool(t, "promtool", "prometheus"), "check", "metrics")
	check.Stdin = strings.NewReader(exposition)
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}

func visitQuietly(t *testing.T, method, url string) {
	t.Helper()
	c := &http.Client{
		Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
}

// A scrape costs less than 5 ms at 36 k ticks/s on a quiet machine; the verdict
// is on the quickest of many, with slack for a busy one.
func TestScrapeIsCheapUnderLoad(t *testing.T) {
	leftOutByShort(t)
	rate, want := "60000", 36_000.0
	if actorstest.Race {
		rate, want = "5000", 1000
	}
	addr, _ := server(t, "--env-file", filepath.Join(t.TempDir(), ".env"), "--sim-rate", rate)
	live(t, addr)
	var st struct {
		Feed struct {
			TicksPerSecond float64 `json:"ticks_per_second"`
		} `json:"feed"`
	}
	// A busy machine may not get that far: then it is scraped under the load
	// that it can bear.
	for deadline := time.Now().Add(20 * time.Second); st.Feed.TicksPerSecond < want && time.Now().Before(deadline); {
		fetch(addr, "/api/v1/status", &st)
	}
	if st.Feed.TicksPerSecond == 0 {
		t.Fatal("no ticks")
	}
	var took []time.Duration
	for range 40 {
		start := time.Now()
		scrape(t, addr)
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	if took[0] > 50*time.Millisecond && !actorstest.Race {
		t.Errorf("the quickest of %d scrapes took %s, want at most 50 ms", len(took), took[0])
	}
	t.Logf("at %.0f ticks/s: quickest scrape %s, median %s, slowest %s", st.Feed.TicksPerSecond, took[0], took[len(took)/2], took[len(took)-1])
}
