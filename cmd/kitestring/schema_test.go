package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kitestring/actors/actorstest"
	"kitestring/actors/analysis"
	"kitestring/actors/web/api"
	"kitestring/cmd/kitestring/cli"
	"kitestring/cmd/kitestring/doctor"
	"kitestring/cmd/kitestring/rehearse"
	"kitestring/messages"
)

// schema is what scripts rely on: a path of fields as jq has it, and the types
// that stand there. [] goes through every element of a list that must not be
// empty; "?" allows null; "=a|b" is one of these texts.
type schema map[string]string

// schemas are the documented fields of every command with --json.
var schemas = map[string]schema{
	"status": {
		".profile": "=sim|sandbox|live", ".live": "bool", ".message": "string",
		".token.generation": "number", ".token.state": "=no_token|unverified|valid|suspect|rejected", ".token.fingerprint": "string", ".token.coherent": "bool",
		".feed.state":            "=awaiting_token|connecting|streaming|backoff|unauthorised|stopped",
		".feed.ticks_per_second": "number", ".feed.last_tick_age_seconds": "number?", ".feed.instruments": "number", ".feed.sockets": "number", ".feed.last_gap": "object?",
		".actors.running": "number", ".actors.total": "number", ".actors.quarantined": "number", ".market.phase": "string", ".underlyings[]": "string",
	},
	"ready": {
		".ready": "bool", ".shown": "bool", ".checks[].name": "string", ".checks[].state": "=ok|warning|missing|waiting|not_due|off", ".checks[].since": "string",
		".checks[].detail": "string", ".checks[].fix": "string",
	},
	"assumptions": {
		".[].name": "string", ".[].claim": "string", ".[].source": "string", ".[].verdict": "=open|seen|contradicted", ".[].seen": "number",
		".[].contradicted": "number", ".[].first_contradicted_at": "string?", ".[].fallback": "string",
	},
	"token show": {
		".generation": "number", ".fingerprint": "string", ".state": "string", ".since": "string?", ".candidate": "object?", ".expires_hint": "string?",
		".coherent": "bool", ".holders[].actor": "string", ".holders[].generation": "number", ".process.id": "number", ".process.started_at": "string",
	},
	"rotations": {
		".[].generation": "number", ".[].source": "=start|event|poll|login", ".[].changed_at": "string", ".[].detected_ms": "number?", ".[].validated_ms": "number?",
		".[].dialled_ms": "number?", ".[].first_frame_ms": "number?", ".[].first_tick_ms": "number?", ".[].retired_ms": "number?", ".[].total_ms": "number?",
		".[].ticks_lost": "number?", ".[].gateway_clients": "number?", ".[].ticks_duplicated": "number?", ".[].result": "=pending|adopted|rejected|superseded",
	},
	"actors": {
		".[].name": "string", ".[].kind": "=worker|supervisor", ".[].parent": "string", ".[].state": "string", ".[].epoch": "number", ".[].generation": "number",
		".[].restarts": "number", ".[].restarts_in_window": "number", ".[].restarts_allowed": "number", ".[].mailbox.depth": "number", ".[].mailbox.capacity": "number",
		".[].mailbox.conflated": "number", ".[].mailbox.dropped": "number", ".[].last_error": "string", ".[].next_retry_at": "string?",
	},
	"doctor": {
		".version": "number", ".ok": "bool", ".profile": "string", ".env_file": "string", ".addr": "string",
		".checks[].name": "string", ".checks[].status": "=ok|warn|fail|skip", ".checks[].detail": "string",
	},
	"version":     {".version": "string", ".go": "string", ".os": "string", ".arch": "string"},
	"licenses":    {".[].module": "string", ".[].version": "string", ".[].text": "string"},
	"assets list": {".[].name": "string", ".[].file": "string", ".[].about": "string"},
}

// pick gives what stands at a path.
func pick(v any, path string) ([]any, error) {
	here := []any{v}
	for step := range strings.SplitSeq(strings.ReplaceAll(strings.TrimPrefix(path, "."), "[]", ".[]"), ".") {
		var next []any
		for _, v := range here {
			switch {
			case step == "":
				next = append(next, v)
			case step == "[]":
				list, ok := v.([]any)
				if !ok || len(list) == 0 {
					return nil, fmt.Errorf("no list, or an empty one: %v", v)
				}
				next = append(next, list...)
			default:
				object, _ := v.(map[string]any)
				inner, ok := object[step]
				if !ok {
					return nil, fmt.Errorf("no field %s in %v", step, v)
				}
				next = append(next, inner)
			}
		}
		here = next
	}
	return here, nil
}

func holds(v any, kind string) bool {
	if rest, ok := strings.CutSuffix(kind, "?"); ok {
		return v == nil || holds(v, rest)
	}
	if names, ok := strings.CutPrefix(kind, "="); ok {
		s, is := v.(string)
		return is && strings.Contains("|"+names+"|", "|"+s+"|")
	}
	switch v.(type) {
	case string:
		return kind == "string"
	case float64:
		return kind == "number"
	case bool:
		return kind == "bool"
	case map[string]any:
		return kind == "object"
	}
	return false
}

func (s schema) check(t *testing.T, what, text string) {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Errorf("%s: %v in %q", what, err, text)
		return
	}
	for path, kind := range s {
		found, err := pick(v, path)
		if err != nil {
			t.Errorf("%s %s: %v", what, path, err)
			continue
		}
		for _, f := range found {
			if !holds(f, kind) {
				t.Errorf("%s %s is %v, want %s", what, path, f, kind)
			}
		}
	}
}

// TestDocumentedFieldsExist asks a live server, which was given a configuration
// file, with every command that prints JSON.
func TestDocumentedFieldsExist(t *testing.T) {
	dir := t.TempDir()
	env, config := filepath.Join(dir, ".env"), filepath.Join(dir, "kitestring.json")
	const configuration = `{
		"underlyings": [{"name": "BANKNIFTY", "index_exchange": "NSE", "index_symbol": "NIFTY BANK", "derivatives_exchange": "NFO"}],
		"analysis": {"profile": "classic", "interval": "1m"},
		"mailbox": {"ticks": 4096}
	}`
	if err := os.WriteFile(config, []byte(configuration), 0o600); err != nil {
		t.Fatal(err)
	}
	addr, _ := server(t, "--env-file", env, "--config", config)
	live(t, addr)
	// Live is the feed; the web actor may learn a moment later what is traded.
	eventually(t, time.Minute, "status names the underlyings", func() (bool, string) {
		var st api.Status
		return fetch(addr, "/api/v1/status", &st) && len(st.Underlyings) > 0, fmt.Sprintf("%+v", st)
	})
	for command, s := range schemas {
		args := append(strings.Fields(command), "--json")
		switch command {
		case "doctor":
			args = append(args, "--addr", addr, "--env-file", env)
		case "status", "ready", "assumptions", "token show", "rotations", "actors":
			args = append(args, "--addr", addr)
		}
		var said string
		eventually(t, time.Minute, command+" answers in one line", func() (bool, string) {
			code, stdout, stderr := kitestring(t, t.Context(), nil, "", args...)
			said = stdout
			return code == cli.ExitOK && strings.Count(stdout, "\n") == 1, fmt.Sprintf("exit %d, %s%s", code, stdout, stderr)
		})
		s.check(t, command, said)
	}
	eventually(t, time.Minute, "the doctor finds nothing wrong with a healthy server", func() (bool, string) {
		_, stdout, _ := kitestring(t, t.Context(), nil, "", "doctor", "--json", "--addr", addr, "--env-file", env)
		var report doctor.Report
		if err := json.Unmarshal([]byte(stdout), &report); err != nil {
			t.Fatal(err)
		}
		for _, c := range report.Checks {
			if (c.Name == doctor.Port || c.Name == doctor.Server || c.Name == doctor.Token || c.Name == doctor.Redirect) && c.Status != doctor.OK {
				return false, fmt.Sprintf("%+v", c)
			}
		}
		return true, ""
	})
	theConfigurationHolds(t, addr)
}

// theConfigurationHolds waits until the settings of the file show.
func theConfigurationHolds(t *testing.T, addr string) {
	t.Helper()
	var actors []api.Actor
	fetchJSON(t, addr, "/api/v1/actors", &actors)
	for _, a := range actors {
		if a.Name == "pcr" && a.Mailbox.Capacity < 4096 || a.Name == "pcr" && a.Mailbox.Capacity >= 8192 {
			t.Errorf("the mailbox of pcr holds %d", a.Mailbox.Capacity)
		}
	}
	var all []messages.Reading
	actorstest.Until(t, "readings are there", func() bool {
		fetchJSON(t, addr, "/api/v1/readings", &all)
		return len(all) > 0
	})
	for _, r := range all {
		want := analysis.Classic
		if a, _ := analysis.Find(r.Kind); a.Classic == nil {
			want = analysis.Calibrated // it has but one form
		}
		if r.Underlying != "BANKNIFTY" || r.Profile != string(want) {
			t.Errorf("a reading of %s in profile %s", r.Underlying, r.Profile)
		}
	}
}

// fetchJSON gets a path of the API.
func fetchJSON(t *testing.T, addr, path string, into any) {
	t.Helper()
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := c.Get("http://" + addr + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil {
		err = api.Decode(body, into)
	}
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

func TestDrillsPrintJSON(t *testing.T) {
	code, stdout, _ := kitestring(t, t.Context(), nil, "", "drill", "list", "--json")
	if code != cli.ExitOK || strings.Count(stdout, "\n") != len(rehearse.All()) {
		t.Errorf("exit %d, %s", code, stdout)
	}
	for line := range strings.Lines(stdout) {
		schema{".name": "string", ".inject": "string", ".hold": "string", ".short": "bool"}.check(t, "drill list", line)
	}
	ms := 12.5
	for _, r := range []rehearse.Result{{Name: "a", OK: true, RecoveryMS: &ms}, {Name: "b", OK: true, Skipped: true, Detail: "no privilege"}, {Name: "c"}} {
		var out strings.Builder
		if err := printResult(&cli.Program{Stdout: &out}, r, true); err != nil {
			t.Fatal(err)
		}
		schema{".name": "string", ".ok": "bool", ".skipped": "bool", ".recovery_ms": "number?", ".detail": "string"}.check(t, "drill", out.String())
	}
}

// TestActingCommandsPrintJSON: commands that change something answer in JSON too.
func TestActingCommandsPrintJSON(t *testing.T) {
	addr := fakeServer(t, map[string]any{
		"/api/v1/actors/pcr/restart": map[string]string{"actor": "pcr"}, "/api/v1/chaos": api.Chaos{Actor: "pcr", Kind: "panic"},
		"/api/v1/login/complete": api.LoginCompleted{Result: messages.LoginOK, Reason: "logged in"},
	})
	for _, args := range [][]string{{"restart", "pcr"}, {"chaos", "pcr", "--kind", "panic"}, {"login", "--paste"}} {
		code, stdout, stderr := kitestring(t, t.Context(), nil, "abc\n", append(args, "--json", "--addr", addr)...)
		if code != cli.ExitOK || stderr != "" || !json.Valid([]byte(stdout)) {
			t.Errorf("%v: exit %d, %q, %q", args, code, stdout, stderr)
		}
	}
}
