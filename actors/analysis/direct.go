package analysis

import (
	"context"
	"math"
	"time"

	"kitestring/actors/kite"
	"kitestring/messages"
)

// Direct analysis: the one analysis that asks over REST. It answers once at
// each adopted token (which proves that the REST side works with it), on
// demand, and once an interval while no ticks come in an open market.
var direct = Analysis{
	Kind:       "direct",
	Title:      "Direct analysis",
	Needs:      Needs{Index: true, REST: true}, // the bars tell whether ticks come
	Parameters: []*Parameter{directEvery, directFresh, directMove},
	Rules:      []Rule{ordered(directEvery, directFresh)},
	Judge:      judgeDirect,
}

var (
	directEvery = count("interval_seconds", 60, 10, 170, "seconds", "from one question to the next while no ticks come")
	// Three bars of a minute are 180 seconds: what is older is stale anyway.
	directFresh = count("max_answer_age_seconds", 120, 20, 180, "seconds", "an older answer is no reading in an open market")
	directMove  = measure("signal_from_percent", 0.5, 0.05, 5, "percent", "a change since the previous close beyond it is a signal")
)

// directSilence without a tick of the index says that the feed is down.
const directSilence = 10 * time.Second

func judgeDirect(in *Input) Judgement {
	q := in.REST
	if q == nil {
		return Missing("not asked over REST yet: that happens on demand, at a new token and while the feed is down")
	}
	j := Judgement{Coverage: 1}
	j.OverQuote(*q)
	age := in.Now.Sub(q.At)
	switch {
	case q.At.IsZero():
		return Missing("the answer over REST has no time, so its age is unknown")
	case in.Phase == messages.Open && age > in.Chosen.seconds(directFresh):
		j.Reason = "the last answer over REST is " + age.Round(time.Second).String() + " old; asked again on demand or when the feed is down"
		return j
	case q.Last <= 0 || q.Close <= 0:
		j.Reason = "the answer over REST lacks the last price or the previous close"
		return j
	}
	change := (q.Last - q.Close) / q.Close * 100
	j.Status, j.Signal, j.Confidence = messages.Watching, "wait", 50
	if math.Abs(change) > in.Chosen.of(directMove) {
		j.Status, j.Signal = messages.Active, "buy"
		if change < 0 {
			j.Signal = "sell"
		}
		j.Confidence = min(60+10*math.Abs(change), 95)
	}
	trend := "sideways"
	switch {
	case change > 0.3:
		trend = "uptrend"
	case change < -0.3:
		trend = "downtrend"
	}
	j.Values = map[string]any{
		"source": "rest", "price": q.Last, "previous_close": q.Close, "change_pct": roundDecimal(change, 2),
		"open": q.Open, "high": q.High, "low": q.Low, "trend": trend,
	}
	return j
}

// Quoter asks the exchange for quotes. It blocks: it is called in tasks only.
type Quoter interface {
	// Adopt takes up a session before the first question with it.
	Adopt(s messages.Session)
	// Quotes gives a quote per key ("NSE:NIFTY 50"); unknown keys are absent.
	Quotes(ctx context.Context, s messages.Session, keys []string) (map[string]Quote, error)
}

// restState is what an analyst remembers of its questions.
type restState struct {
	asking  bool
	asked   time.Time // monotonic
	refused messages.Generation
}

type answered struct {
	generation messages.Generation
	quotes     map[string]Quote // by underlying
	err        error
}

func (a *analyst) adopt(m messages.TokenAdopted) {
	a.self.Log().Debug("token adopted", "generation", m.Session.Generation, "fingerprint", m.Session.Token.Fingerprint())
	if a.cfg.Analysis.Needs.REST && a.cfg.Quoter != nil {
		a.cfg.Quoter.Adopt(m.Session)
		a.rest.asked = time.Time{}
		a.ask("")
	}
}

// watch asks once an interval while the market is open and no ticks come.
func (a *analyst) watch() {
	if !a.cfg.Analysis.Needs.REST {
		return
	}
	a.self.Beat() // its work is to wait for the feed to fail
	if a.phase.Phase != messages.Open || !a.rest.asked.IsZero() && time.Since(a.rest.asked) < a.cfg.Analysis.chosen.seconds(directEvery) {
		return
	}
	now := a.cfg.Clock.Now()
	for _, d := range a.desks {
		if now.Sub(d.core.newestBar()) > directSilence {
			a.ask("")
			return
		}
	}
}

// newestBar is the exchange time of the newest tick in any bar of the index.
func (c *Core) newestBar() time.Time {
	w := &c.in.Index
	if w.Running != nil {
		return w.Running.Newest
	}
	if n := len(w.Closed); n > 0 {
		return w.Closed[n-1].Newest
	}
	return time.Time{}
}

// ask puts one question for an underlying, or for all; one at a time, with the
// token adopted now, never with one that was refused.
func (a *analyst) ask(underlying string) {
	if a.rest.asking || a.cfg.Quoter == nil || !a.cfg.Analysis.Needs.REST {
		return
	}
	session := a.cfg.Tokens.Current().Adopted
	if session.IsZero() || session.Generation == a.rest.refused {
		return
	}
	names := map[string]string{} // key -> underlying
	var keys []string
	for name, d := range a.desks {
		if key := d.index.Exchange + ":" + d.index.Tradingsymbol; d.index.Tradingsymbol != "" && (underlying == "" || underlying == name) {
			names[key] = name
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return
	}
	a.rest.asking, a.rest.asked = true, time.Now()
	a.self.Go("quote", func(ctx context.Context) error {
		answer := answered{generation: session.Generation, quotes: map[string]Quote{}}
		quotes, err := a.cfg.Quoter.Quotes(ctx, session, keys)
		answer.err = err
		for key, q := range quotes {
			q.Generation = session.Generation
			answer.quotes[names[key]] = q
		}
		a.self.Tell(answer)
		return nil
	})
}

func (a *analyst) answer(m answered) {
	a.rest.asking = false
	overtaken := m.generation != a.cfg.Tokens.Current().Adopted.Generation
	if kind := kite.KindOf(m.err); overtaken && (kind == kite.TokenRefused || kind == kite.Retired) {
		a.ask("") // a newer token came while the question was under way
		return
	}
	if m.err != nil {
		a.self.Log().Warn("quote failed", "generation", m.generation, "error", m.err)
		if kite.KindOf(m.err) == kite.TokenRefused {
			a.rest.refused = m.generation
			if a.cfg.Auth != nil {
				a.self.Send(a.cfg.Auth, messages.TokenDoubted{Generation: m.generation})
			}
		}
		return
	}
	a.reach(m.generation)
	for underlying, q := range m.quotes {
		if d := a.desks[underlying]; d != nil {
			d.core.Answer(q)
			d.dirty = true
		}
	}
	a.self.Beat()
}
