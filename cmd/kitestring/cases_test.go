package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kitestring/actors/web/api"
	"kitestring/cmd/kitestring/cli"
	"kitestring/messages"
	"kitestring/messages/ist"
)

// What users of Kite have reported, one case each, against a fake of Kite that
// is not the simulator. A case asserts what is right, not how it is reached.

const (
	tokenA = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	tokenB = "BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB"
	admin  = "0123456789abcdef0123456789abcdef"
)

// simEnv is a file with which a server takes the fake for a simulator, and so
// takes its clock; liveEnv one with which it takes it for Kite.
func (k *fakeKite) simEnv() string {
	return lines("KITESTRING_PROFILE=sim", "ZERODHA_API_KEY=simkey", "ZERODHA_API_SECRET=simsecret", "ZERODHA_ACCESS_TOKEN="+tokenA, "KITE_API_URL="+k.url)
}

func (k *fakeKite) liveEnv() string {
	return lines("ZERODHA_API_KEY=livekey1livekey1", "ZERODHA_API_SECRET=livesecretlivesecretlivesecret12", "ADMIN_TOKEN="+admin,
		"KITE_API_URL="+k.url, "KITE_WS_URL=ws"+strings.TrimPrefix(k.url, "http"), "KITE_LOGIN_URL="+k.url+"/connect/login", "ZERODHA_ACCESS_TOKEN="+tokenA)
}

func lines(list ...string) string { return strings.Join(list, "\n") + "\n" }

// file writes a file into a new folder.
func file(t *testing.T, name, content string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// simulated serves on a fake as its simulator; config is the text of a
// configuration file, "" for none.
func simulated(t *testing.T, k *fakeKite, config string) *served {
	t.Helper()
	args := []string{"--env-file", file(t, ".env", k.simEnv()), "--addr", "127.0.0.1:0", "--profile", "sim", "--gateway-addr", "off"}
	if config != "" {
		args = append(args, "--config", file(t, "kitestring.json", config))
	}
	return serve(t, args...)
}

// minutes are the starts of the one-minute bars of an underlying's source.
func (s *served) minutes(underlying, source string) (starts []time.Time) {
	var bars []api.Bar
	if fetch(s.addr, "/api/v1/bars/"+underlying+"?interval=1m&source="+source, &bars) {
		for _, b := range bars {
			starts = append(starts, b.Start.In(ist.Zone))
		}
	}
	return starts
}

// loaded waits until days of minutes are there.
func (s *served) loaded(t *testing.T, within time.Duration, underlying, source string) {
	t.Helper()
	eventually(t, within, "history of "+underlying+" is loaded", func() (bool, string) {
		n := len(s.minutes(underlying, source))
		return n > 1000, fmt.Sprintf("%d minutes", n)
	})
}

func (s *served) status() (st api.Status) {
	fetch(s.addr, "/api/v1/status", &st)
	return st
}

// says waits until a text stands in the events, or in the log.
func (s *served) says(t *testing.T, text string) {
	t.Helper()
	eventually(t, 20*time.Second, "events or log say "+text, func() (bool, string) {
		var events json.RawMessage
		fetch(s.addr, "/api/v1/events", &events)
		return strings.Contains(string(events)+s.log.String(), text), string(events)
	})
}

func (s *served) underlying(name string) (u messages.Underlying) {
	var all []messages.Underlying
	fetch(s.addr, "/api/v1/instruments", &all)
	for _, u = range all {
		if u.Name == name {
			return u
		}
	}
	return messages.Underlying{}
}

// Bars come in the shapes in which Kite and its clients hand them out.
func TestCaseAnalyseKiteShapes(t *testing.T) {
	at := time.Date(2026, time.November, 25, 9, 15, 0, 0, ist.Zone)
	var raw, dicts []any
	frame, noVolume := ",date,open,high,low,close,volume\n", "time_ist,open,high,low,close,volume\n"
	for i := range 77 { // the last two are those of derivatives after 15:30
		start, p := at.Add(time.Duration(i)*5*time.Minute), 25000+float64(i)
		raw = append(raw, []any{start.Format("2006-01-02T15:04:05-0700"), p, p + 3, p - 3, p + 1, 5000})
		dicts = append(dicts, map[string]any{"date": start.Format("2006-01-02T15:04:05-0700"), "open": p, "high": p + 3, "low": p - 3, "close": p + 1, "volume": 5000})
		frame += fmt.Sprintf("%d,%s,%g,%g,%g,%g,5000\n", i, start.Format("2006-01-02 15:04:05-07:00"), p, p+3, p-3, p+1)
		noVolume += fmt.Sprintf("%s,%g,%g,%g,%g,\n", start.Format(time.DateTime), p, p+3, p-3, p+1)
	}
	text := func(v any) string { return string(must(json.Marshal(v))) }
	for name, content := range map[string]string{
		"raw.json": text(map[string]any{"status": "success", "data": map[string]any{"candles": raw}}), "dicts.json": text(dicts),
		"frame.csv": frame, "no_volume.csv": noVolume,
		"datetime.csv": strings.Replace(frame, ",date,", ",datetime,", 1), "timestamp.csv": strings.Replace(frame, ",date,", ",timestamp,", 1), "time.csv": strings.Replace(frame, ",date,", ",time,", 1),
	} {
		code, out, errs := kitestring(t, t.Context(), nil, "", "analyse", "--bars", file(t, "nifty_"+name, content), "--kind", "candle_intent", "--json")
		if code != cli.ExitOK || strings.Count(out, "\n") != 77 {
			t.Errorf("%s: exit %d, %d readings of 77 bars: %s", name, code, strings.Count(out, "\n"), errs)
		}
	}
}

// An instrument of the configuration whose token the day's file does not have,
// or has under another symbol, is named and not subscribed.
func TestCaseConfiguredInstrumentsAreChecked(t *testing.T) {
	t.Parallel()
	k := startFake(t, "2026-11-26 10:00:00", 1)
	infy := k.token("NSE:INFY")
	s := simulated(t, k, fmt.Sprintf(`{"instruments": [{"instrument_token": %d, "tradingsymbol": "NOTINFY", "mode": "full"}, {"instrument_token": 99999745, "tradingsymbol": "GONE", "mode": "full"}]}`, infy))
	live(t, s.addr)
	s.says(t, "NOTINFY")
	s.says(t, "GONE")
	if subscribed := k.subscribed(); subscribed[infy] != "" || subscribed[99999745] != "" {
		t.Error("subscribed all the same")
	}
}

// Since 2026-08-03 equity derivatives trade to 15:40: on an expiry day the
// expiring chain is the near one, and bars go on, until then.
func TestCaseDerivativesCloseAt1540(t *testing.T) {
	t.Parallel()
	k := startFake(t, "2026-12-01 15:29:30", 30)
	k.spans[""] = [][2]string{{"09:15", "15:40"}}
	s := simulated(t, k, "")
	eventually(t, time.Minute, "a bar after 15:31 exists", func() (bool, string) {
		starts := s.minutes("NIFTY", "future")
		return slices.ContainsFunc(starts, func(at time.Time) bool { return at.Format("0201 1504") >= "0112 1531" }), fmt.Sprint(len(starts))
	})
	st, u := s.status(), s.underlying("NIFTY")
	if at := st.Market.ExchangeTime.In(ist.Zone).Format("15:04"); at < "15:39" && (st.Market.Phase != messages.Open || u.Expiry.In(ist.Zone).Format(time.DateOnly) != "2026-12-01") {
		t.Errorf("at %s: phase %s, chain of %s", at, st.Market.Phase, u.Expiry)
	}
}

// A file that is not kitestring's is left as it is: nothing starts, and what was
// not understood is named.
func TestCaseForeignEnvFile(t *testing.T) {
	for name, content := range map[string]string{
		"other names":      "# of another bot\nKITE_API_KEY=abcdefgh12345678\nKITE_API_SECRET=abcdefghabcdefghabcdefgh12345678\n",
		"KEY: value":       "ZERODHA_API_KEY: abcdefgh12345678\nZERODHA_API_SECRET: abcdefghabcdefghabcdefgh12345678\n",
		"JSON":             `{"ZERODHA_API_KEY": "abcdefgh12345678", "ZERODHA_API_SECRET": "abcdefghabcdefghabcdefgh12345678"}`,
		"carriage returns": "ZERODHA_API_KEY: abcdefgh12345678\rZERODHA_API_SECRET: abcdefghabcdefghabcdefgh12345678\r",
	} {
		path := file(t, ".env", content)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		code, _, errs := kitestring(t, ctx, nil, "", "run", "--env-file", path, "--addr", "127.0.0.1:0", "--log-format", "json")
		cancel()
		if code != cli.ExitError || !strings.Contains(errs, "--profile sim") {
			t.Errorf("%s: exit %d, %s", name, code, lastLines(errs, 3))
		}
		if now, _ := os.ReadFile(path); string(now) != content {
			t.Errorf("%s: the file was changed to %q", name, now)
		}
	}
}

// An empty answer for days on which a future traded is no history: it is asked
// for again.
func TestCaseHistoryEmptyThenThere(t *testing.T) {
	leftOutByShort(t)
	t.Parallel()
	k := startFake(t, "2026-11-26 10:00:00", 1)
	k.history = func([][]any) []any { return []any{} }
	s := simulated(t, k, "")
	eventually(t, 30*time.Second, "history is asked for", func() (bool, string) { return len(k.requests("historical")) > 2, "" })
	k.set(func() { k.history = nil })
	s.loaded(t, 90*time.Second, "NIFTY", "future")
}

// Answers that succeed and bring nothing are not asked for again at once, by
// nobody: after a while each question is rare.
func TestCaseUselessAnswersAreRarelyAskedFor(t *testing.T) {
	leftOutByShort(t)
	nothing := func(data string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = fmt.Fprintf(w, `{"status":"success","data":%s}`, data)
		}
	}
	for name, change := range map[string]func(k *fakeKite){
		"answers": func(*fakeKite) {},
		"a file of instruments that nobody wants": func(k *fakeKite) { k.left = func(fakeRow) bool { return true } },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := startFake(t, "2026-11-26 10:00:00", 1)
			k.over = map[string]http.HandlerFunc{
				"/user/profile": nothing("{}"), "/orders": nothing("null"), "/quote": nothing("{}"), "/instruments/historical": nothing(`{"candles":[]}`),
			}
			k.ticks = false // then quotes are asked for
			change(k)
			simulated(t, k, "")
			kinds := map[string]int{"/user/profile": 3, "GET /instruments": 12, "/quote": 2, "/orders": 4} // with history, of which there are six series
			counts := func() map[string]int {
				n := map[string]int{}
				for kind := range kinds {
					n[kind] = len(k.requests(kind))
				}
				return n
			}
			start := time.Now()
			over := func(d time.Duration) func() (bool, string) {
				return func() (bool, string) { return time.Since(start) > d, "" }
			}
			eventually(t, time.Minute, "the first questions are over", over(12*time.Second))
			before := counts()
			eventually(t, time.Minute, "eight seconds more", over(20*time.Second))
			after := counts()
			for kind, most := range kinds {
				if n := after[kind] - before[kind]; n > most {
					t.Errorf("%s was asked for %d times in 8 s, want %d at most", kind, n, most)
				}
			}
			t.Logf("before %v, after %v", before, after)
		})
	}
}

// A row of history that cannot be read costs that row.
func TestCaseHistoryOddRow(t *testing.T) {
	t.Parallel()
	k := startFake(t, "2026-11-26 10:00:00", 1)
	k.history = func(candles [][]any) (rows []any) {
		for i, c := range candles {
			switch i % 7 { // of each kind many, and most are whole
			case 0:
				rows = append(rows, nil)
			case 1:
				rows = append(rows, c[:4])
				continue
			case 2:
				c[5] = "17"
			case 3:
				c[0] = strings.Replace(c[0].(string), "+0530", "+05:30", 1)
			}
			rows = append(rows, c)
		}
		return append([]any{}, rows...)
	}
	simulated(t, k, "").loaded(t, time.Minute, "NIFTY", "future")
}

// History that Kite refuses for one instrument does not keep the others from
// theirs.
func TestCaseHistoryOneRefused(t *testing.T) {
	t.Parallel()
	k := startFake(t, "2026-11-26 10:00:00", 1)
	k.over[fmt.Sprintf("/instruments/historical/%d/", k.token("NFO:BANKNIFTY26DECFUT"))] = refusing(http.StatusBadRequest, "InputException", "invalid token")
	s := simulated(t, k, "")
	s.loaded(t, time.Minute, "NIFTY", "index")
	s.loaded(t, time.Minute, "SENSEX", "index")
}

// On all interfaces, probes and metrics answer to any Host, pages to the
// machine's addresses and to DASHBOARD_URL's name; a foreign name gets no page.
func TestCaseHostNames(t *testing.T) {
	t.Parallel()
	k := startFake(t, "2026-11-26 10:00:00", 1)
	env := file(t, ".env", k.simEnv()+lines("ADMIN_TOKEN="+admin, "DASHBOARD_URL=http://kite.lan:8701"))
	_, port, _ := strings.Cut(freeAddr(t), ":")
	serve(t, "--env-file", env, "--addr", "0.0.0.0:"+port, "--profile", "sim")
	for _, c := range []struct {
		host, path string
		code       int
	}{
		{"10.1.2.3:8420", "/healthz", http.StatusOK},
		{"kitestring:8420", "/metrics", http.StatusOK},
		{"kite.lan:8701", "/", http.StatusOK},
		{"evil.example", "/", http.StatusMisdirectedRequest},
		{"evil.example", "/api/v1/status", http.StatusMisdirectedRequest},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1:"+port+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host, req.Close = c.host, true
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != c.code {
			t.Errorf("%s%s answers %d, want %d", c.host, c.path, resp.StatusCode, c.code)
		}
	}
}

// An instruments file without an exchange is taken, named in the status, and
// asked for again until it is whole.
func TestCaseInstrumentsIncomplete(t *testing.T) {
	t.Parallel()
	k := startFake(t, "2026-11-26 08:30:05", 60)
	k.left = func(r fakeRow) bool { return r.exchange == "BFO" }
	s := simulated(t, k, "")
	eventually(t, 20*time.Second, "the status names what is missing", func() (bool, string) {
		st := s.status()
		return strings.Contains(st.Message, "SENSEX"), st.Message
	})
	k.set(func() { k.left = nil })
	eventually(t, time.Minute, "SENSEX has its future", func() (bool, string) {
		u := s.underlying("SENSEX")
		return u.Future.Tradingsymbol != "", fmt.Sprintf("%d files asked for", len(k.requests("/instruments")))
	})
}

// An evening session of the holiday file has bars.
func TestCaseMuhuratEvening(t *testing.T) {
	t.Parallel()
	k := startFake(t, "2026-11-08 17:59:30", 30)
	k.spans["2026-11-08"] = [][2]string{{"18:00", "19:00"}}
	s := simulated(t, k, fmt.Sprintf(`{"holidays": %q}`, file(t, "holidays", "2026-11-08 open 18:00-19:00 Muhurat\n")))
	eventually(t, 30*time.Second, "a bar of the evening exists", func() (bool, string) {
		starts := s.minutes("NIFTY", "future")
		return slices.ContainsFunc(starts, func(at time.Time) bool { return at.Format("0201 15") == "0811 18" }), fmt.Sprint(len(starts), s.status().Market)
	})
}

// A token on a last line without a newline is tried once the file is still.
func TestCaseNoNewline(t *testing.T) {
	t.Parallel()
	k := startFake(t, "2026-11-26 10:00:00", 1)
	k.tokens = []string{tokenA}
	env := file(t, ".env", k.liveEnv())
	s := serve(t, "--env-file", env, "--addr", "127.0.0.1:0")
	// Whether its prices are of now depends on when this test runs: not asked.
	adopted := func(value, what string) {
		t.Helper()
		want := messages.NewSecret(value).Fingerprint()
		eventually(t, 30*time.Second, what, func() (bool, string) {
			st := s.status()
			return st.Token.State == messages.Valid && st.Token.Fingerprint == want, fmt.Sprintf("%+v %s", st.Token, st.Message)
		})
	}
	adopted(tokenA, "the first token is adopted")
	k.set(func() { k.tokens = []string{tokenB} })
	if err := os.WriteFile(env, []byte(strings.TrimSuffix(strings.Replace(k.liveEnv(), tokenA, tokenB, 1), "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	adopted(tokenB, "the token without a newline is adopted")
}

// One order with a field of another type costs the others nothing.
func TestCaseOrdersOneOdd(t *testing.T) {
	t.Parallel()
	k := startFake(t, "2026-11-26 10:00:00", 1)
	s := simulated(t, k, "")
	live(t, s.addr)
	order := func(id string, meta any) any {
		return map[string]any{"order_id": id, "status": "COMPLETE", "quantity": 65, "filled_quantity": 65, "order_timestamp": "2026-11-26 10:00:05", "meta": meta}
	}
	k.set(func() { k.orders = []any{order("100001", map[string]any{}), order("100002", []any{})} })
	k.hangUp()
	s.says(t, "order 100001")
	s.says(t, "order 100002")
}

// A plan without data: the reading and an event say that Kite refused, in Kite's
// words; "not asked" is said only when it was not asked.
func TestCaseRefusedDataPlan(t *testing.T) {
	t.Parallel()
	k := startFake(t, "2026-11-26 10:00:00", 1)
	refuse := refusing(http.StatusForbidden, "PermissionException", "Insufficient permission for that call.")
	k.over["/quote"], k.over["/instruments/historical"] = refuse, refuse
	s := simulated(t, k, "")
	live(t, s.addr)
	eventually(t, 20*time.Second, "the reading says that Kite refused", func() (bool, string) {
		var r messages.Reading
		fetch(s.addr, "/api/v1/readings/NIFTY/direct", &r)
		return strings.Contains(r.Reason, "permission"), r.Reason
	})
	var events json.RawMessage
	if fetch(s.addr, "/api/v1/events", &events); !strings.Contains(string(events), "ermission") {
		t.Errorf("no event tells of the refusal: %s", events)
	}
}

// A file that the simulator wrote and a person put a real key into belongs to
// the person.
func TestCaseSimulatorLeavesARealSecret(t *testing.T) {
	k := startFake(t, "2026-11-26 10:00:00", 1)
	content := lines("KITESTRING_PROFILE=sim", "ZERODHA_API_KEY=realkeyrealkey12", "ZERODHA_API_SECRET=realsecretrealsecretrealsecret12",
		"REDIRECT_URL=http://127.0.0.1:8420/callback", "KITE_WS_URL=ws"+strings.TrimPrefix(k.url, "http"), "KITE_LOGIN_URL="+k.url+"/connect/login")
	for _, profile := range []string{"auto", "sim"} {
		path := file(t, ".env", content)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		code, _, errs := kitestring(t, ctx, nil, "", "run", "--env-file", path, "--addr", "127.0.0.1:0", "--profile", profile, "--log-format", "json")
		cancel()
		if now, _ := os.ReadFile(path); !strings.Contains(string(now), "realkeyrealkey12") || !strings.Contains(string(now), "realsecretrealsecret") {
			t.Errorf("--profile %s: the file is now %q", profile, now)
		}
		if code == cli.ExitError && !strings.Contains(errs, "KITESTRING_PROFILE") || code != cli.ExitError && profile == "sim" {
			t.Errorf("--profile %s: exit %d, %s", profile, code, lastLines(errs, 3))
		}
	}
}

// A stock is an underlying like an index, or the configuration is refused with
// what is allowed.
func TestCaseStockAsUnderlying(t *testing.T) {
	t.Parallel()
	k := startFake(t, "2026-11-26 10:00:00", 1)
	s := simulated(t, k, `{"underlyings": [{"name": "M&M", "index_exchange": "NSE", "index_symbol": "M&M", "derivatives_exchange": "NFO"}]}`)
	eventually(t, 20*time.Second, "M&M has an option chain", func() (bool, string) {
		u := s.underlying("M&M")
		return len(u.Chain) > 0, fmt.Sprintf("%+v", u)
	})
}

// A tick whose exchange time is far away makes no bar and no history is asked
// for from there.
func TestCaseTickFrom1970(t *testing.T) {
	t.Parallel()
	k := startFake(t, "2026-11-26 10:00:00", 1)
	future := k.token("NFO:NIFTY26DECFUT")
	k.tickAt[future] = time.Unix(19800, 0)
	s := simulated(t, k, "")
	eventually(t, 20*time.Second, "the future is subscribed", func() (bool, string) { return k.subscribed()[future] != "", "" })
	eventually(t, 20*time.Second, "history is asked for", func() (bool, string) { return len(k.requests("historical")) > 0, "" })
	k.set(func() { delete(k.tickAt, future) })
	s.loaded(t, 30*time.Second, "NIFTY", "future")
	for _, at := range s.minutes("NIFTY", "future") {
		if at.Year() != 2026 {
			t.Fatalf("a bar of %s", at)
		}
	}
	if old := k.requests("from=1970"); len(old) > 0 {
		t.Errorf("history asked for from 1970: %v", old)
	}
}

// "token set" takes a token, a KEY=value line and quotes apart, and refuses what
// is none; the file keeps the good one.
func TestCaseTokenSet(t *testing.T) {
	before := lines("ZERODHA_API_KEY=k", "ZERODHA_API_SECRET=s", "ZERODHA_ACCESS_TOKEN="+tokenA)
	for stdin, want := range map[string]string{
		"null": tokenA, "None": tokenA, "undefined": tokenA, "abc": tokenA,
		tokenB: tokenB, "ZERODHA_ACCESS_TOKEN=" + tokenB: tokenB, `"` + tokenB + `"`: tokenB, "export ZERODHA_ACCESS_TOKEN='" + tokenB + "'": tokenB,
	} {
		path := file(t, ".env", before)
		code, _, errs := kitestring(t, t.Context(), nil, stdin+"\n", "token", "set", "--env-file", path)
		now, _ := os.ReadFile(path)
		if got := strings.Trim(tokenLine(string(now)), `'"`); got != want || (code == cli.ExitOK) != (want == tokenB) || (code == cli.ExitOK) != (errs == "") {
			t.Errorf("%q: exit %d, the file holds %q, %s", stdin, code, got, errs)
		}
	}
}

// A day may have two sessions; between them the market is closed.
func TestCaseTwoSessions(t *testing.T) {
	t.Parallel()
	k := startFake(t, "2026-12-05 10:20:00", 1)
	k.ticks = false
	s := simulated(t, k, fmt.Sprintf(`{"holidays": %q}`, file(t, "holidays", "2026-12-05 open 09:15-10:00 DR first\n2026-12-05 open 11:30-12:30 DR second\n")))
	phaseAt := func(now string, want messages.Phase) {
		t.Helper()
		there, _ := time.ParseInLocation(time.DateTime, "2026-12-05 "+now, ist.Zone)
		k.set(func() { k.real, k.there = time.Now(), there })
		eventually(t, 20*time.Second, fmt.Sprintf("the market is %s at %s", want, now), func() (bool, string) {
			st := s.status()
			return st.Market.Phase == want && st.Market.ExchangeTime.Sub(there).Abs() < time.Minute, fmt.Sprintf("%+v", st.Market)
		})
	}
	phaseAt("10:20:00", messages.Closed)
	phaseAt("11:40:00", messages.Open)
	phaseAt("13:40:00", messages.Closed)
}

// What the fake sends is what Kite documents: sizes and places of the fields.
func TestTheFakeSendsKitesPackets(t *testing.T) {
	k := startFake(t, "2026-11-26 10:00:00", 1)
	sizes := map[string][2]int{"ltp": {8, 8}, "quote": {28, 44}, "full": {32, 184}}
	for _, mode := range slices.Sorted(maps.Keys(sizes)) {
		for i, r := range []fakeRow{k.rows[0], k.rows[3]} {
			if p := k.packet(r, mode); len(p) != sizes[mode][i] {
				t.Errorf("%s in mode %s has %d bytes, want %d", r.symbol, mode, len(p), sizes[mode][i])
			}
		}
	}
}
