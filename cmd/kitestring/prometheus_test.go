package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	client "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"kitestring/actors/actorstest"
	"kitestring/actors/assume"
	"kitestring/actors/web/api"
	"kitestring/cmd/kitestring/assets"
	"kitestring/messages"
	"kitestring/supervisor/tree"
)

// A real Prometheus scrapes a real server: each alert below fires when its
// fault happens and ends after it. The rules are the shipped ones; only the
// time that they wait is scaled, and the silence that NoTicks takes for one.
func TestAlertsFireAndEndInARealPrometheus(t *testing.T) {
	leftOutByShort(t)
	t.Parallel()
	program := actorstest.Tool(t, "prometheus", "prometheus")
	h := &liveServer{t: t, env: filepath.Join(t.TempDir(), ".env"), log: &safeBuffer{}}
	h.open()
	ledger := assume.NewLedger(wallClock{}, func(assume.Row) {})
	rows := serveMetrics(t, ledger)
	prometheus, rules := startPrometheus(t, program, h.server.Addr(), rows)

	eventually(t, time.Minute, "the targets are up", func() (bool, string) {
		var targets struct {
			ActiveTargets []struct{ Health, LastError string }
		}
		err := prometheus.get("/api/v1/targets", &targets)
		up := 0
		for _, target := range targets.ActiveTargets {
			if target.Health == "up" {
				up++
			}
		}
		return err == nil && up == 2, fmt.Sprint(err, targets)
	})
	eventually(t, time.Minute, "every rule is loaded and evaluated", func() (bool, string) {
		var groups struct {
			Groups []struct {
				Rules []struct{ Name, Health, LastError string }
			}
		}
		if err := prometheus.get("/api/v1/rules", &groups); err != nil {
			return false, err.Error()
		}
		n := 0
		for _, g := range groups.Groups {
			for _, r := range g.Rules {
				if r.Health != "ok" {
					return false, fmt.Sprintf("%s is %s: %s", r.Name, r.Health, r.LastError)
				}
				n++
			}
		}
		return n == rules, fmt.Sprintf("%d of %d rules", n, rules)
	})
	eventually(t, time.Minute, "a healthy server raises no alert", func() (bool, string) {
		firing, err := prometheus.firing()
		return err == nil && len(firing) == 0, fmt.Sprint(firing, err)
	})

	// Each row of what is assumed of Kite raises an alert of its own: first every other row.
	var contradicted []string
	for _, first := range []int{0, 1} {
		for i := first; i < len(assume.Table); i += 2 {
			name := assume.Table[i].Name
			ledger.Note(name, false, 1)
			contradicted = append(contradicted, string(name))
		}
		slices.Sort(contradicted)
		eventually(t, time.Minute, "the alert fires for these rows alone: "+strings.Join(contradicted, ", "), func() (bool, string) {
			var names []string
			firing, err := prometheus.alerts()
			for _, labels := range firing {
				if labels["alertname"] == "KitestringAssumptionContradicted" && labels["instance"] == rows {
					names = append(names, labels["name"])
				}
			}
			slices.Sort(names)
			return err == nil && slices.Equal(names, contradicted), fmt.Sprint(names, err)
		})
	}

	good := h.rotate()
	for _, c := range []struct {
		alert      string
		fault, end func()
	}{
		{"KitestringNotCoherent", func() {
			h.chaos("instruments", "drop_token_messages")
			good = h.rotate()
		}, func() { h.restart("instruments") }},
		{"KitestringTokenRejected", func() { h.write("a-typo-that-kite-refuses") }, func() { h.write(good) }},
		{"KitestringLoginDue", func() {
			h.sim(http.MethodPost, "/token", map[string]any{"action": "logout"}, nil)
			h.post("/api/v1/token/validate", nil)
		}, func() { good = h.rotate() }},
		{"KitestringNoTicks", func() {
			h.sim(http.MethodPost, "/faults", map[string]any{"kind": "heartbeat_only"}, nil)
		}, func() { h.sim(http.MethodDelete, "/faults", nil, nil) }},
		{"KitestringQuarantined", func() { h.quarantine("pcr") }, func() { h.restart("pcr") }},
	} {
		start := time.Now()
		c.fault()
		prometheus.await(c.alert, true)
		fired := time.Since(start)
		start = time.Now()
		c.end()
		prometheus.await(c.alert, false)
		t.Logf("%s fired %s after its fault and ended %s after the repair", c.alert, fired.Round(time.Millisecond), time.Since(start).Round(time.Millisecond))
	}
	prometheus.await("KitestringRestartStorm", true)
	h.sim(http.MethodPost, "/faults", map[string]any{"kind": "malformed", "text": `{"type":"order","data":{"status":"OPEN"}}`}, nil)
	eventually(t, time.Minute, "the alert fires for a row that the exchange has contradicted", func() (bool, string) {
		firing, err := prometheus.alerts()
		return slices.ContainsFunc(firing, func(labels map[string]string) bool {
			return labels["alertname"] == "KitestringAssumptionContradicted" && labels["instance"] == h.server.Addr() && labels["name"] == string(messages.OrderFields)
		}), fmt.Sprint(firing, err)
	})

	h.stop()
	prometheus.await("KitestringDown", true)
}

// serveMetrics is a target that exposes c alone; it returns its address.
func serveMetrics(t *testing.T, c client.Collector) (addr string) {
	t.Helper()
	registry := client.NewRegistry()
	registry.MustRegister(c)
	server := httptest.NewServer(promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

type wallClock struct{}

func (wallClock) Now() time.Time { return time.Now() }

// prometheus is a running Prometheus.
type prometheus struct {
	t    *testing.T
	addr string
	http *http.Client
}

// startPrometheus also gives the number of rules that it loaded.
func startPrometheus(t *testing.T, program string, targets ...string) (p *prometheus, rules int) {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"alerts", "recording"} {
		content, err := assets.Read(name)
		if err != nil {
			t.Fatal(err)
		}
		rules += len(regexp.MustCompile(`- (?:alert|record): `).FindAll(content, -1))
		scaled := regexp.MustCompile(`for: \S+`).ReplaceAll(content, []byte("for: 1s"))
		scaled = bytes.Replace(scaled, []byte("kitestring_feed_last_tick_timestamp_seconds > 15"), []byte("kitestring_feed_last_tick_timestamp_seconds > 2"), 1)
		if err := os.WriteFile(filepath.Join(dir, name+".yml"), scaled, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	config := fmt.Sprintf(`global: {evaluation_interval: 500ms}
rule_files: [alerts.yml, recording.yml]
scrape_configs:
  - job_name: kitestring
    scrape_interval: 1s
    scrape_timeout: 1s
    static_configs: [{targets: %s}]
`, must(json.Marshal(targets)))
	if err := os.WriteFile(filepath.Join(dir, "prometheus.yml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	// Prometheus does not print a port that it picks by itself: use a free one.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p = &prometheus{
		t: t, addr: l.Addr().String(),
		http: &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}},
	}
	l.Close()
	var log safeBuffer
	cmd := exec.Command(program, "--config.file="+filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+p.addr, "--log.level=warn")
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		kill := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
		defer kill.Stop()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(lastLines(log.String(), 10))
		}
	})
	eventually(t, time.Minute, "Prometheus is ready", func() (bool, string) {
		var info any
		err := p.get("/api/v1/status/buildinfo", &info)
		return err == nil, fmt.Sprint(err)
	})
	return p, rules
}

func (p *prometheus) get(path string, into any) error {
	resp, err := p.http.Get("http://" + p.addr + path)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer := struct {
		Status string
		Data   any
	}{Data: into}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return err
	}
	if answer.Status != "success" {
		return fmt.Errorf("%s: %s", path, answer.Status)
	}
	return nil
}

// alerts are the labels of those that fire now.
func (p *prometheus) alerts() (firing []map[string]string, err error) {
	var alerts struct {
		Alerts []struct {
			State  string
			Labels map[string]string
		}
	}
	if err := p.get("/api/v1/alerts", &alerts); err != nil {
		return nil, err
	}
	for _, a := range alerts.Alerts {
		if a.State == "firing" {
			firing = append(firing, a.Labels)
		}
	}
	return firing, nil
}

// firing are the names of the alerts that fire now.
func (p *prometheus) firing() (map[string]bool, error) {
	alerts, err := p.alerts()
	names := map[string]bool{}
	for _, labels := range alerts {
		names[labels["alertname"]] = true
	}
	return names, err
}

func (p *prometheus) await(alert string, fires bool) {
	p.t.Helper()
	what := alert + " fires"
	if !fires {
		what = alert + " ends"
	}
	eventually(p.t, time.Minute, what, func() (bool, string) {
		firing, err := p.firing()
		return err == nil && firing[alert] == fires, fmt.Sprint(firing, err)
	})
}

// liveServer is a server in this process, with its exchange.
type liveServer struct {
	t      *testing.T
	env    string
	log    *safeBuffer
	server *tree.Server
}

func (h *liveServer) open() {
	h.t.Helper()
	server, err := tree.Open(h.t.Context(), tree.Config{
		EnvFile: h.env, StateDir: filepath.Join(filepath.Dir(h.env), "state"), Addr: "127.0.0.1:0", Profile: "sim", Version: "test",
		Getenv: func(string) string { return "" }, Log: slog.New(slog.NewJSONHandler(h.log, nil)),
		Sim: tree.SimConfig{Addr: "127.0.0.1:0", Rate: 500, Seed: 1, Speed: 1},
	})
	if err != nil {
		h.t.Fatal(err)
	}
	h.server = server
	h.t.Cleanup(h.stop)
	live(h.t, server.Addr())
}

func (h *liveServer) stop() {
	if h.server == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := h.server.Stop(ctx); err != nil {
		h.t.Error(err)
	}
	h.server = nil
	if h.t.Failed() {
		h.t.Log(lastLines(h.log.String(), 15))
	}
}

func (h *liveServer) call(method, url string, body, into any) {
	h.t.Helper()
	payload, err := json.Marshal(body)
	if err != nil {
		h.t.Fatal(err)
	}
	req, err := http.NewRequest(method, url, bytes.NewReader(payload))
	if err != nil {
		h.t.Fatal(err)
	}
	resp, err := (&http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 400 {
		h.t.Fatalf("%s %s: %s %s %v", method, req.URL.Path, resp.Status, answer, err)
	}
	if into != nil {
		if err := api.Decode(answer, into); err != nil {
			h.t.Fatal(err)
		}
	}
}

func (h *liveServer) post(path string, body any) {
	h.t.Helper()
	h.call(http.MethodPost, "http://"+h.server.Addr()+path, body, nil)
}

func (h *liveServer) sim(method, path string, body, into any) {
	h.t.Helper()
	h.call(method, "http://"+h.server.SimAddr()+"/sim/v1"+path, body, into)
}

func (h *liveServer) chaos(actor, kind string) {
	h.t.Helper()
	h.post("/api/v1/chaos", api.Chaos{Actor: actor, Kind: kind})
}

func (h *liveServer) restart(actor string) {
	h.t.Helper()
	h.post("/api/v1/actors/"+actor+"/restart", nil)
}

func (h *liveServer) write(token string) {
	h.t.Helper()
	if err := h.server.SetKey(h.t.Context(), "ZERODHA_ACCESS_TOKEN", token); err != nil {
		h.t.Fatal(err)
	}
}

// rotate makes the exchange issue a new token, which is written to the file
// and adopted.
func (h *liveServer) rotate() string {
	h.t.Helper()
	before := generation(h.t, h.server.Addr())
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	h.sim(http.MethodPost, "/token", map[string]any{"action": "rotate"}, &answer)
	h.write(answer.AccessToken)
	eventually(h.t, time.Minute, "the new token is adopted", func() (bool, string) {
		now := generation(h.t, h.server.Addr())
		return now > before, fmt.Sprintf("generation %d", now)
	})
	return answer.AccessToken
}

// quarantine makes an actor fail until its restarts are used up.
func (h *liveServer) quarantine(actor string) {
	h.t.Helper()
	// Restarts count within ten seconds: more panics than that takes wait in line from
	// the start, so that a busy machine puts no pauses of its own between them. If they
	// came too slowly all the same, so many follow.
	const line = 12
	struck := uint64(0)
	eventually(h.t, time.Minute, actor+" is quarantined", func() (bool, string) {
		var a api.Actor
		h.call(http.MethodGet, "http://"+h.server.Addr()+"/api/v1/actors/"+actor, nil, &a)
		if a.State != "quarantined" && a.Restarts >= struck {
			for range line {
				h.chaos(actor, "panic")
			}
			struck = a.Restarts + line
		}
		return a.State == "quarantined", fmt.Sprintf("%+v", a)
	})
}
