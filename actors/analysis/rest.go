package analysis

import (
	"context"
	"sync"
	"time"

	"kitestring/actors"
	"kitestring/actors/kite"
	"kitestring/messages"
)

// REST asks Kite's REST API for one holder: one client per generation of the
// token, made anew when the session is another. Safe for concurrent use.
type REST struct {
	exchange kite.Exchange
	tokens   actors.TokenSource
	holder   string

	mu     sync.Mutex
	client *kite.Client
}

// NewREST makes the REST side of an actor; holder is the actor's name.
func NewREST(ex kite.Exchange, tokens actors.TokenSource, holder string) *REST {
	return &REST{exchange: ex, tokens: tokens, holder: holder}
}

// with is the client of a session. The session of a question that was put
// before a newer one was taken up gets a retired client.
func (r *REST) with(s messages.Session) *kite.Client {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.client != nil && r.client.Generation() == s.Generation:
		return r.client
	case r.client != nil && r.client.Generation() > s.Generation:
		late := kite.New(r.exchange, s, func(messages.Generation) {})
		late.Retire()
		return late
	case r.client != nil:
		r.client.Retire()
	}
	r.client = kite.New(r.exchange, s, func(g messages.Generation) { r.tokens.Used(r.holder, g) })
	return r.client
}

// Historical implements [Historian].
func (r *REST) Historical(ctx context.Context, s messages.Session, instrumentToken uint32, from, to time.Time) ([]HistoricalCandle, error) {
	rows, err := r.with(s).Historical(ctx, instrumentToken, "minute", from, to, false, true)
	if err != nil {
		return nil, err
	}
	candles := make([]HistoricalCandle, len(rows))
	for i, c := range rows {
		candles[i] = HistoricalCandle(c)
	}
	return candles, nil
}

// Adopt implements [Quoter]: the client of the session is made now, so that
// no question goes out with an older one.
func (r *REST) Adopt(s messages.Session) { r.with(s) }

// Quotes implements [Quoter].
func (r *REST) Quotes(ctx context.Context, s messages.Session, keys []string) (map[string]Quote, error) {
	rows, err := r.with(s).Quote(ctx, keys...)
	if err != nil {
		return nil, err
	}
	quotes := make(map[string]Quote, len(rows))
	for key, q := range rows {
		quotes[key] = Quote{
			Last: q.LastPrice, Average: q.AveragePrice,
			Open: q.OHLC.Open, High: q.OHLC.High, Low: q.OHLC.Low, Close: q.OHLC.Close,
			Volume: int64(q.Volume), OI: int64(q.OI), At: q.Timestamp.UTC(), Generation: s.Generation,
		}
	}
	return quotes, nil
}
