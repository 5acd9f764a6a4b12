package readings

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anthdm/hollywood/actor"

	"kitestring/actors"
	"kitestring/actors/actorstest"
	"kitestring/actors/analysis"
	"kitestring/actors/bars"
	"kitestring/actors/kite"
	"kitestring/messages"
)

// counter is a quoter that counts its questions.
type counter struct {
	mu      sync.Mutex
	clock   actors.Clock
	adopted []messages.Generation
	asked   []messages.Generation
	keys    []string
	empty   bool // the answer has no quote
	err     error
}

func (c *counter) Adopt(s messages.Session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.adopted = append(c.adopted, s.Generation)
}

func (c *counter) Quotes(_ context.Context, s messages.Session, keys []string) (map[string]analysis.Quote, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked, c.keys = append(c.asked, s.Generation), keys
	if c.empty {
		return nil, c.err
	}
	return map[string]analysis.Quote{"NSE:NIFTY 50": {Last: 24240, Close: 24000, At: c.clock.Now()}}, c.err
}

func (c *counter) questions() []messages.Generation {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.asked)
}

func TestDirectAsksWhileTheFeedIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock, tokens := clockFrom(t, "2026-03-02 11:03:10"), actorstest.NewTokens()
		quoter := &counter{clock: clock}
		a, _ := analysis.Find("direct")
		h := actorstest.Start(t, "direct", New(Config{Analysis: a, Clock: clock, Tokens: tokens, Quoter: quoter, Auth: authPID, Listeners: []*actor.PID{webPID}}))
		h.Tell(messages.InstrumentsResolved{Underlyings: []messages.Underlying{niftyToday(t)}})
		h.Tell(messages.PhaseChanged{Phase: messages.Open})
		bar := func() messages.BarUpdated {
			return messages.BarUpdated{Bar: messages.Bar{Underlying: "NIFTY", Interval: 5 * time.Minute, Start: clock.Now().Truncate(5 * time.Minute), Divisor: 100, Ticks: 1, Newest: clock.Now()}}
		}
		for range 120 { // the feed lives
			h.Tell(bar())
			pass(time.Second)
		}
		if got := quoter.questions(); len(got) != 0 {
			t.Fatalf("asked %v without a token", got)
		}
		h.Tell(adopt(tokens, 1))
		pass(pace)
		r := actorstest.Await(h, func(r messages.Reading) bool { return r.Status == messages.Active })
		if r.Signal != "buy" || r.Generation != 1 || r.Values["source"] != "rest" || !slices.Equal(quoter.keys, []string{"NSE:NIFTY 50"}) {
			t.Errorf("%+v, keys %v", r, quoter.keys)
		}
		for range 120 {
			h.Tell(bar())
			pass(time.Second)
		}
		if got := quoter.questions(); len(got) != 1 {
			t.Errorf("%d questions while the feed lives", len(got))
		}
		h.Tell(messages.AskDirect{Underlying: "NIFTY"})
		h.Tell(messages.AskDirect{Underlying: "SENSEX"}) // unknown
		pass(time.Second)
		if got := quoter.questions(); len(got) != 2 {
			t.Errorf("%d questions after one on demand", len(got))
		}
		pass(5*time.Minute + 30*time.Second) // the feed is down
		if got := quoter.questions(); len(got) != 2+5 {
			t.Errorf("%d questions in 5 blind minutes", len(got)-2)
		}
		quoter.mu.Lock()
		quoter.err = &kite.Error{Kind: kite.TokenRefused, Status: 403}
		quoter.mu.Unlock()
		pass(5 * time.Minute)
		if got := quoter.questions(); len(got) != 7+1 {
			t.Errorf("%d questions with a refused token", len(got)-7)
		}
		if doubts := sentTo[messages.TokenDoubted](h, authPID); len(doubts) != 1 || doubts[0].Generation != 1 {
			t.Errorf("%+v", doubts)
		}
		all := sentTo[messages.Reading](h, webPID)
		if last := all[len(all)-1]; last.Status != messages.Unavailable || last.Values != nil {
			t.Errorf("%+v", last)
		}
		quoter.mu.Lock()
		quoter.err = nil
		quoter.mu.Unlock()
		h.Tell(adopt(tokens, 2))
		pass(pace)
		if got := quoter.questions(); got[len(got)-1] != 2 {
			t.Errorf("asked with %v", got)
		}
		if !slices.Equal(quoter.adopted, []messages.Generation{1, 2}) {
			t.Errorf("adopted %v", quoter.adopted)
		}
		h.Tell(messages.PhaseChanged{Phase: messages.Closed})
		synctest.Wait()
		n := len(quoter.questions())
		pass(10 * time.Minute)
		if got := len(quoter.questions()); got != n {
			t.Errorf("%d questions out of market hours", got-n)
		}
	})
}

func TestRESTTakesTheTokenOfTheSession(t *testing.T) {
	var mu sync.Mutex
	var authorisations []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		authorisations = append(authorisations, r.Header.Get("Authorization"))
		mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		switch {
		case strings.HasSuffix(r.URL.Path, "/minute"):
			if r.URL.Query().Get("from") != "2026-03-02 09:15:00" || r.URL.Query().Get("oi") != "1" {
				t.Errorf("asked %s", r.URL.RawQuery)
			}
			fmt.Fprint(w, `{"status":"success","data":{"candles":[["2026-03-02T09:15:00+0530",1.5,2,1,1.25,100,7]]}}`)
		case r.URL.Path == "/quote":
			_ = json.NewEncoder(w).Encode(map[string]any{"status": "success", "data": map[string]any{r.URL.Query().Get("i"): map[string]any{
				"timestamp": "2026-03-02 11:00:00", "last_price": 24240.5, "ohlc": map[string]any{"open": 1, "high": 2, "low": 3, "close": 24000},
			}}})
		default:
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	tokens := actorstest.NewTokens()
	clients := kite.NewSessions(kite.Exchange{APIURL: server.URL, Transport: http.DefaultTransport, Budget: kite.NewBudget()}, tokens, "direct")
	rest, past := NewQuoter(clients), bars.NewHistorian(clients)
	first, second := adopt(tokens, 1).Session, adopt(tokens, 2).Session
	nine := time.Unix(clockTime(t, "2026-03-02 09:15:00"), 0)
	candles, err := past.Historical(t.Context(), first, niftyIndex, nine, nine.Add(time.Hour))
	if err != nil || len(candles) != 1 || !candles[0].Start.Equal(nine) || candles[0].Open != 1.5 || candles[0].OI != 7 {
		t.Errorf("%+v %v", candles, err)
	}
	rest.Adopt(second)
	quotes, err := rest.Quotes(t.Context(), second, []string{"NSE:NIFTY 50"})
	q := quotes["NSE:NIFTY 50"]
	if err != nil || q.Last != 24240.5 || q.Close != 24000 || q.At.Unix() != clockTime(t, "2026-03-02 11:00:00") || q.Generation != 2 {
		t.Errorf("%+v %v", q, err)
	}
	if want := []string{"token key:" + first.Token.Reveal(), "token key:" + second.Token.Reveal()}; !slices.Equal(authorisations, want) {
		t.Error("a request went out with another session's token")
	}
	if got := used(tokens); slices.Max(got[:2]) != 1 || slices.Min(got[2:]) != 2 {
		t.Errorf("uses %v", got)
	}
	server.Close()
	if _, err := rest.Quotes(t.Context(), second, []string{"NSE:NIFTY 50"}); err == nil || strings.Contains(err.Error(), "http") {
		t.Errorf("error %v", err)
	}
}

func TestDirectAsksOnceAnInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock, tokens := clockFrom(t, "2026-03-02 11:03:10"), actorstest.NewTokens()
		direct, _ := analysis.Find("direct")
		quoter := &counter{clock: clock}
		h := actorstest.Start(t, "direct", New(Config{
			Analysis: direct.With(analysis.Settings{"interval_seconds": 20}), Clock: clock, Tokens: tokens, Quoter: quoter,
		}))
		h.Tell(messages.InstrumentsResolved{Underlyings: []messages.Underlying{niftyToday(t)}})
		h.Tell(messages.PhaseChanged{Phase: messages.Open})
		h.Tell(adopt(tokens, 1))
		pass(time.Second)
		before := len(quoter.questions())
		pass(5 * time.Minute)
		if got := len(quoter.questions()) - before; got != 15 {
			t.Errorf("%d questions in 5 blind minutes", got)
		}
	})
}

// What Kite refuses is in the reading, in Kite's own words, and announced.
func TestARefusalIsInTheReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock, tokens := clockFrom(t, "2026-03-02 11:03:10"), actorstest.NewTokens()
		quoter := &counter{clock: clock, err: &kite.Error{Class: kite.ClassQuote, Kind: kite.Forbidden, Status: 403, Type: "PermissionException", Detail: "Insufficient permission for that call."}}
		direct, _ := analysis.Find("direct")
		h := actorstest.Start(t, "direct", New(Config{Analysis: direct, Clock: clock, Tokens: tokens, Quoter: quoter, Listeners: []*actor.PID{webPID}}))
		h.Tell(messages.InstrumentsResolved{Underlyings: []messages.Underlying{niftyToday(t)}})
		h.Tell(messages.PhaseChanged{Phase: messages.Open})
		h.Tell(adopt(tokens, 1))
		pass(time.Second)
		all := sentTo[messages.Reading](h, webPID)
		if last := all[len(all)-1]; !strings.Contains(last.Reason, "Kite refuses it: PermissionException: Insufficient permission for that call") || strings.Contains(last.Reason, "not asked") {
			t.Errorf("%+v", last)
		}
		quoter.mu.Lock()
		quoter.err = nil
		quoter.mu.Unlock()
		h.Tell(messages.AskDirect{Underlying: "NIFTY"})
		pass(time.Second)
		all = sentTo[messages.Reading](h, webPID)
		if last := all[len(all)-1]; last.Status == messages.Unavailable {
			t.Errorf("%+v", last)
		}
		states := sentTo[messages.DataState](h, webPID)
		if len(states) != 2 || !strings.Contains(states[0].Reason, "PermissionException") || states[0].What != "quotes" || states[1].Reason != "" {
			t.Errorf("%+v", states)
		}
	})
}

// An answer is announced once by each incarnation: the one before may have said
// that quotes are refused.
func TestARestartedAnalysisSaysThatQuotesCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock, tokens := clockFrom(t, "2026-03-02 11:03:10"), actorstest.NewTokens()
		tokens.WriteAdopted(actorstest.Session(1))
		direct, _ := analysis.Find("direct")
		h := actorstest.Start(t, "direct", New(Config{Analysis: direct, Clock: clock, Tokens: tokens, Quoter: &counter{clock: clock}, Listeners: []*actor.PID{webPID}}))
		h.Tell(messages.InstrumentsResolved{Underlyings: []messages.Underlying{niftyToday(t)}})
		h.Tell(messages.PhaseChanged{Phase: messages.Open})
		pass(time.Minute)
		if states := sentTo[messages.DataState](h, webPID); len(states) != 1 || states[0].What != "quotes" || states[0].Reason != "" {
			t.Errorf("%+v", states)
		}
	})
}

// A good answer that lacks what was asked for is no answer: it is said, and asked
// for again at the usual pace.
func TestAnAnswerWithoutTheQuoteIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock, tokens := clockFrom(t, "2026-03-02 11:03:10"), actorstest.NewTokens()
		quoter := &counter{clock: clock, empty: true}
		direct, _ := analysis.Find("direct")
		h := actorstest.Start(t, "direct", New(Config{Analysis: direct, Clock: clock, Tokens: tokens, Quoter: quoter, Listeners: []*actor.PID{webPID}}))
		h.Tell(messages.InstrumentsResolved{Underlyings: []messages.Underlying{niftyToday(t)}})
		h.Tell(messages.PhaseChanged{Phase: messages.Open})
		h.Tell(adopt(tokens, 1))
		pass(time.Minute)
		const want = "Kite's answer has no quote of NSE:NIFTY 50"
		all, states := sentTo[messages.Reading](h, webPID), sentTo[messages.DataState](h, webPID)
		if last := all[len(all)-1]; !strings.Contains(last.Reason, want) {
			t.Errorf("%+v", last)
		}
		if len(states) != 1 || states[0].Reason != want {
			t.Errorf("%+v", states)
		}
		if n := len(quoter.questions()); n < 2 || n > 5 {
			t.Errorf("%d questions in a minute", n)
		}
	})
}

// A reading without its bars says why their history does not come.
func TestAReadingSaysWhyThereIsNoHistory(t *testing.T) {
	a, _ := analysis.Find("volume_pulse")
	c := analysis.NewCore(a, analysis.Calibrated, "NIFTY", analysis.DefaultInterval, nil, nil)
	state := messages.DataState{What: "history of NIFTY's future", Underlying: "NIFTY", Source: messages.FromFuture, Reason: "kite historical: forbidden"}
	other := state
	other.Source = messages.FromIndex
	if c.Update(other) || !c.Update(state) || c.Update(state) {
		t.Error("a state of the data changes what it is about, once")
	}
	now := time.Unix(clockTime(t, "2026-03-02 11:03:10"), 0)
	if r := c.Reading(now); !strings.Contains(r.Reason, "bars of the future so far, and the history does not come: kite historical: forbidden") {
		t.Errorf("%q", r.Reason)
	}
	state.Reason = ""
	c.Update(state)
	if r := c.Reading(now); strings.Contains(r.Reason, "history") {
		t.Errorf("%q", r.Reason)
	}
}
