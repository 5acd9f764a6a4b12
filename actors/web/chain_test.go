package web_test

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"kitestring/actors/actorstest"
	"kitestring/actors/web/api"
	"kitestring/actors/web/history"
	"kitestring/messages"
)

func ptr[T any](v T) *T { return &v }

// someChain is a chain of one strike without its put, made at the clock's time.
func someChain(expiry string) messages.Chain {
	at := clock{}.Now().UTC()
	return messages.Chain{
		Underlying: "NIFTY", Expiry: expiry, Expiries: []string{"2023-11-16", "2023-11-23"}, At: at, AsOf: ptr(at.Add(-3 * time.Second)),
		Pricing: messages.ChainModel{Model: "black_76", ParityStrikes: []float64{}},
		Rows: []messages.ChainRow{{Strike: 19800, ATM: true, Call: &messages.ChainOption{
			Tradingsymbol: "NIFTY23N1619800CE", LastPrice: ptr(101.5), OI: ptr(int64(5000)), IV: ptr(0.125), IVFrom: "mid",
			At: ptr(at.Add(-3 * time.Second)), Reasons: []string{"one", "two"},
		}}},
	}
}

func TestChainAnswers(t *testing.T) {
	h := &fakes{}
	store, _, addr := open(t, h)
	base := "http://" + addr + "/api/v1/chain/"
	problem := func(path string, code int) api.Problem {
		t.Helper()
		resp, body := request(t, "GET", base+path, "")
		var p api.Problem
		if err := json.Unmarshal([]byte(body), &p); err != nil || resp.StatusCode != code {
			t.Fatalf("%s: %d %s", path, resp.StatusCode, body)
		}
		return p
	}
	store.Apply(messages.InstrumentsResolved{Underlyings: []messages.Underlying{{Name: "NIFTY"}, {Name: "SENSEX"}}})
	problem("NIFTY", http.StatusConflict) // known, and no chain yet
	if p := problem("DAX", http.StatusNotFound); !slices.Equal(p.Names, []string{"NIFTY", "SENSEX"}) {
		t.Error(p)
	}
	store.Apply(messages.ChainUpdated{Chain: someChain("2023-11-16"), Nearest: true})
	if p := problem("NIFTY?expiry=2023-11-17", http.StatusNotFound); !slices.Equal(p.Names, []string{"2023-11-16", "2023-11-23"}) {
		t.Error(p)
	}
	_, body := request(t, "GET", base+"NIFTY", "")
	var c messages.Chain
	if err := json.Unmarshal([]byte(body), &c); err != nil {
		t.Fatal(err)
	}
	if o := c.Rows[0].Call; *o.AgeSeconds != 3 || *c.AgeSeconds != 3 || *o.LastPrice != 101.5 || c.Rows[0].Put != nil || c.Spot.LastPrice != nil {
		t.Errorf("%s", body)
	}
	resp, body := request(t, "GET", base+"NIFTY?format=csv", "")
	rows, err := csv.NewReader(strings.NewReader(body)).ReadAll()
	if err != nil || len(rows) != 2 || resp.Header.Get("Content-Type") != "text/csv; charset=utf-8" {
		t.Fatalf("%v %q", err, body)
	}
	for i, column := range rows[0] {
		if want, some := map[string]string{"strike": "19800", "type": "CE", "last_price": "101.5", "bid": "", "iv": "0.125", "age_seconds": "3", "reason": "one; two"}[column]; some && rows[1][i] != want {
			t.Errorf("%s: %q", column, rows[1][i])
		}
	}

	// Another expiry is asked for; its chain answers as soon as it is there.
	go store.Apply(messages.ChainUpdated{Chain: someChain("2023-11-23")})
	if _, body = request(t, "GET", base+"NIFTY?expiry=2023-11-23", ""); !strings.Contains(body, `"expiry":"2023-11-23"`) || !slices.Contains(h.asked, "NIFTY 2023-11-23") {
		t.Errorf("%s %v", body, h.asked)
	}
	if _, body = request(t, "GET", base+"NIFTY/day?format=csv", ""); !strings.Contains(body, "2023-11-14T22:14:00Z,2023-11-16,,,,,1.25,,,,1\n") {
		t.Errorf("%q", body)
	}
	if resp, _ = request(t, "GET", base+"DAX/day", ""); resp.StatusCode != http.StatusNotFound {
		t.Error(resp.Status)
	}
}

// A stream that asks for a chain before it is known has it once it is.
func TestStreamWaitsForItsChain(t *testing.T) {
	store, _, addr := open(t, &fakes{})
	store.Apply(messages.InstrumentsResolved{Underlyings: []messages.Underlying{{Name: "NIFTY"}}})
	resp, err := http.Get("http://" + addr + "/api/v1/stream?topics=chain,event&underlying=NIFTY")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	store.Apply(messages.ChainUpdated{Chain: someChain("2023-11-16"), Nearest: true})
	store.Note("drill", "the end of this test")
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	for chain := false; lines.Scan(); {
		chain = chain || lines.Text() == "event: chain"
		if strings.Contains(lines.Text(), "the end of this test") {
			if !chain {
				t.Error("the stream has no chain")
			}
			return
		}
	}
	t.Error("the stream ended")
}

// A stream shows the nearest chain of each underlying, or the one that it asked
// for.
func TestStreamShowsTheChainAskedFor(t *testing.T) {
	h := &fakes{}
	store, _, addr := open(t, h)
	store.Apply(messages.InstrumentsResolved{Underlyings: []messages.Underlying{{Name: "NIFTY"}, {Name: "SENSEX"}}})
	sensex := someChain("2023-11-17")
	sensex.Underlying = "SENSEX"
	store.Apply(messages.ChainUpdated{Chain: sensex, Nearest: true})
	store.Apply(messages.ChainUpdated{Chain: someChain("2023-11-16"), Nearest: true})
	store.Apply(messages.ChainUpdated{Chain: someChain("2023-11-23")})
	for query, want := range map[string][]string{
		"":                                    {"NIFTY 2023-11-16", "SENSEX 2023-11-17"},
		"&underlying=NIFTY":                   {"NIFTY 2023-11-16"},
		"&underlying=NIFTY&expiry=2023-11-16": {"NIFTY 2023-11-16"},
		"&underlying=NIFTY&expiry=2023-11-23": {"NIFTY 2023-11-23"},
	} {
		resp, err := http.Get("http://" + addr + "/api/v1/stream?topics=chain" + query)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		lines := bufio.NewScanner(resp.Body)
		lines.Buffer(nil, 1<<20)
		for len(got) < len(want) && lines.Scan() {
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				var c messages.Chain
				if err := json.Unmarshal([]byte(data), &c); err != nil {
					t.Fatal(err)
				}
				got = append(got, c.Underlying+" "+c.Expiry)
			}
		}
		resp.Body.Close()
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("%q: %v", query, got)
		}
	}
	// A chain is large: a stream that names no topic has the others only.
	resp, err := http.Get("http://" + addr + "/api/v1/stream")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	store.Note("drill", "the end of this test")
	for lines.Scan() && !strings.Contains(lines.Text(), "the end of this test") {
		if lines.Text() == "event: chain" {
			t.Error("a stream without topics brings chains")
		}
	}
	if !slices.Contains(h.asked, "NIFTY 2023-11-23") {
		t.Errorf("the stream did not ask: %v", h.asked)
	}
	for _, query := range []string{"underlying=DAX", "underlying=NIFTY&expiry=2030-01-01", "expiry=2023-11-23"} {
		if resp, body := request(t, "GET", "http://"+addr+"/api/v1/stream?topics=chain&"+query, ""); resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %s %s", query, resp.Status, body)
		}
	}
}

// The history of a kind is that of the open market, with the price of the bars.
func TestHistoryOfAReading(t *testing.T) {
	h := &fakes{}
	store, _, addr := open(t, h)
	base := "http://" + addr + "/api/v1/readings/"
	store.Apply(messages.InstrumentsResolved{Underlyings: []messages.Underlying{{Name: "NIFTY"}}})
	said := messages.Reading{Kind: "instant", Underlying: "NIFTY", Status: messages.Active, Signal: "buy_signal", Confidence: 55, Coverage: 1}
	actorstest.Until(t, "it serves", func() bool {
		resp, _ := request(t, "GET", "http://"+addr+"/healthz", "")
		return resp.StatusCode == http.StatusOK
	})
	store.Apply(said) // the market is closed
	store.Apply(messages.PhaseChanged{Phase: messages.Open})
	store.Apply(said)
	_, body := request(t, "GET", base+"NIFTY/instant/history", "")
	var got history.Session
	if err := json.Unmarshal([]byte(body), &got); err != nil || got.Session != "2023-11-15" || len(got.History) != 1 || len(got.Signals) != 1 || got.Signals[0].Confidence != 55 {
		t.Errorf("%v %s", err, body)
	}
	if _, body = request(t, "GET", base+"NIFTY/instant/history?format=csv", ""); body != "at,status,signal,confidence,coverage\n2023-11-14T22:13:20Z,active,buy_signal,55,1\n" {
		t.Errorf("%q", body)
	}
	if _, body = request(t, "GET", base+"NIFTY/pcr/history", ""); !strings.Contains(body, `"history":[],"signals":[]`) {
		t.Errorf("%s", body)
	}
	for _, path := range []string{"DAX/instant/history", "NIFTY/tea_leaves/history"} {
		if resp, body := request(t, "GET", base+path, ""); resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %s", path, body)
		}
	}
	if _, body = request(t, "GET", "http://"+addr+"/api/v1/kinds", ""); !strings.Contains(body, `{"name":"pulse_score","label":"Pulse","unit":"0-100","help":"`) {
		t.Errorf("%.200s", body)
	}
}
