package kite

import (
	"context"
	"time"

	"golang.org/x/time/rate"
)

// Class is a class of REST requests with a rate limit of its own.
type Class string

// The classes: the label values of kitestring_rest_requests_total.
const (
	ClassQuote       Class = "quote"
	ClassHistorical  Class = "historical"
	ClassInstruments Class = "instruments"
	ClassSession     Class = "session"
	ClassProfile     Class = "profile"
	ClassOrder       Class = "order" // what the gateway's programs write
	ClassOther       Class = "other"
)

// Budget holds every REST user of the process to Kite's limits for one API
// key: quote 1 request/s, historical 3/s, everything else together 10/s, orders 10/s and 400 a minute. One
// Budget is shared by all.
//
// Kite counts what arrives within a second, and a network delays one request
// more than the next: the spacing is a little wider than the limit, and a
// burst is paid for by a lower rate, so that no second holds more than is
// allowed.
type Budget struct {
	quote, historical, order, other lane
}

// lane lets one at a time wait for the limiter. A limiter gives back the slot
// of somebody who stops waiting only if nobody came after him: a queue in it
// would make everybody wait for those who have gone.
type lane struct {
	turn    chan struct{}
	limiter *rate.Limiter
}

func newLane(every time.Duration, burst int) lane {
	return lane{make(chan struct{}, 1), rate.NewLimiter(rate.Every(every), burst)}
}

func (l lane) wait(ctx context.Context) error {
	select {
	case l.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-l.turn }()
	return l.limiter.Wait(ctx)
}

// NewBudget makes a full budget.
func NewBudget() *Budget {
	return &Budget{
		quote:      newLane(1050*time.Millisecond, 1),
		historical: newLane(350*time.Millisecond, 1),
		order:      newLane(150*time.Millisecond, 1), // 400 a minute, which is less than 10 a second
		other:      newLane(150*time.Millisecond, 3),
	}
}

// Wait blocks until a request of the class may be sent, or ctx ends; who gives
// up costs the others nothing. First come, first served.
func (b *Budget) Wait(ctx context.Context, class Class) error {
	switch class {
	case ClassQuote:
		return b.quote.wait(ctx)
	case ClassHistorical:
		return b.historical.wait(ctx)
	case ClassOrder:
		return b.order.wait(ctx)
	default:
		return b.other.wait(ctx)
	}
}
