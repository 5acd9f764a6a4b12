package readings

import (
	"context"
	"slices"
	"strings"
	"time"

	"kitestring/actors/analysis"
	"kitestring/actors/kite"
	"kitestring/messages"
)

// NewQuoter asks over REST.
func NewQuoter(clients *kite.Sessions) Quoter { return quoter{clients} }

type quoter struct{ clients *kite.Sessions }

// Adopt implements [Quoter]: the client of the session is made now, so that no
// question goes out with an older one.
func (q quoter) Adopt(s messages.Session) { q.clients.Client(s) }

// Quotes implements [Quoter].
func (q quoter) Quotes(ctx context.Context, s messages.Session, keys []string) (map[string]analysis.Quote, error) {
	rows, err := q.clients.Client(s).Quote(ctx, keys...)
	if err != nil {
		return nil, err
	}
	quotes := make(map[string]analysis.Quote, len(rows))
	for key, r := range rows {
		quotes[key] = analysis.Quote{
			Last: r.LastPrice, Average: r.AveragePrice,
			Open: r.OHLC.Open, High: r.OHLC.High, Low: r.OHLC.Low, Close: r.OHLC.Close,
			Volume: int64(r.Volume), OI: int64(r.OI), At: r.Timestamp.UTC(), Generation: s.Generation,
		}
	}
	return quotes, nil
}

// silence without a tick of the index says that the feed is down.
const silence = 10 * time.Second

// Quoter asks the exchange for quotes. It blocks: it is called in tasks only.
type Quoter interface {
	// Adopt takes up a session before the first question with it.
	Adopt(s messages.Session)
	// Quotes gives a quote per key ("NSE:NIFTY 50"); unknown keys are absent.
	Quotes(ctx context.Context, s messages.Session, keys []string) (map[string]analysis.Quote, error)
}

// restState is what the actor remembers of its questions.
type restState struct {
	asking  bool
	asked   time.Time // monotonic
	refused messages.Generation
	reason  string // why the last one brought nothing; "": nothing wrong
	said    bool   // it was announced, by this incarnation
}

type answered struct {
	generation messages.Generation
	quotes     map[string]analysis.Quote // by underlying
	missing    []string                  // keys without a quote in the answer
	err        error
}

func (a *analysisActor) adopt(m messages.TokenAdopted) {
	a.self.Log().Debug("token adopted", "generation", m.Session.Generation, "fingerprint", m.Session.Token.Fingerprint())
	if a.cfg.Analysis.Needs.REST && a.cfg.Quoter != nil {
		a.cfg.Quoter.Adopt(m.Session)
		a.rest.asked = time.Time{}
		a.ask("")
	}
}

// watch asks once an interval while the market is open and no ticks come.
func (a *analysisActor) watch() {
	if !a.cfg.Analysis.Needs.REST {
		return
	}
	if a.phase.Phase != messages.Open || !a.rest.asked.IsZero() && time.Since(a.rest.asked) < a.cfg.Analysis.AskEvery() {
		return
	}
	now := a.cfg.Clock.Now()
	for _, d := range a.underlyings {
		if now.Sub(d.core.NewestBar()) > silence {
			a.ask("")
			return
		}
	}
}

// ask puts one question for an underlying, or for all; one at a time, with the
// token adopted now, never with one that was refused.
func (a *analysisActor) ask(underlying string) {
	if a.rest.asking || a.cfg.Quoter == nil || !a.cfg.Analysis.Needs.REST {
		return
	}
	session := a.cfg.Tokens.Current().Adopted
	if session.IsZero() || session.Generation == a.rest.refused {
		return
	}
	names := map[string]string{} // key -> underlying
	var keys []string
	for name, d := range a.underlyings {
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
		answer := answered{generation: session.Generation, quotes: map[string]analysis.Quote{}}
		quotes, err := a.cfg.Quoter.Quotes(ctx, session, keys)
		answer.err = err
		for key, q := range quotes {
			q.Generation = session.Generation
			answer.quotes[names[key]] = q
		}
		for _, key := range keys {
			if _, has := quotes[key]; !has {
				answer.missing = append(answer.missing, key)
			}
		}
		slices.Sort(answer.missing)
		a.self.Tell(answer)
		return nil
	})
}

func (a *analysisActor) answered(m answered) {
	a.rest.asking = false
	overtaken := m.generation != a.cfg.Tokens.Current().Adopted.Generation
	if kind := kite.KindOf(m.err); overtaken && (kind == kite.TokenRefused || kind == kite.Retired) {
		a.ask("") // a newer token came while the question was under way
		return
	}
	if m.err != nil {
		a.self.Log().Warn("quote failed", "generation", m.generation, "error", m.err)
		a.refuse(kite.Reason(m.err))
		if kite.KindOf(m.err) == kite.TokenRefused {
			a.rest.refused = m.generation
			if a.cfg.Auth != nil {
				a.self.Send(a.cfg.Auth, messages.TokenDoubted{Generation: m.generation})
			}
		}
		return
	}
	reason := ""
	if len(m.missing) > 0 {
		reason = "Kite's answer has no quote of " + strings.Join(m.missing, ", ")
		if a.rest.reason != reason {
			a.self.Log().Warn("quotes are missing", "generation", m.generation, "error", reason)
		}
	}
	a.refuse(reason)
	a.reach(m.generation)
	for underlying, q := range m.quotes {
		if d := a.underlyings[underlying]; d != nil {
			d.core.Answer(q)
			d.dirty = true
		}
	}
}

// refuse puts why a question brought nothing into the readings, and announces
// it; "": the answers come.
func (a *analysisActor) refuse(reason string) {
	if a.rest.said && a.rest.reason == reason {
		return
	}
	a.rest.reason, a.rest.said = reason, true
	for _, d := range a.underlyings {
		d.core.Refuse(reason)
		d.dirty = true
	}
	for _, pid := range a.cfg.Listeners {
		a.self.Send(pid, messages.DataState{What: "quotes", Reason: reason, At: a.cfg.Clock.Now()})
	}
}
