package feed_test

import (
	"fmt"

	"kitestring/actors"
	"kitestring/actors/feed"
	"kitestring/messages"
)

// lastPrice is a subscriber that keeps one instrument's last price.
type lastPrice struct {
	instrument uint32
	rupees     float64
}

func (p *lastPrice) Push(batch *messages.Ticks) (yield bool) {
	for i := range batch.Ticks {
		if t := &batch.Ticks[i]; t.InstrumentToken == p.instrument {
			p.rupees = t.Price(t.LastPrice)
		}
	}
	return false
}

// The tree makes one Store, attaches the subscribers, and starts the actor with
// New(Config{State: store, ...}). Ticks then reach each sink by Push; here the
// example pushes one itself.
func Example() {
	store := feed.NewStore()
	infosys := &lastPrice{instrument: 408065}
	store.Attach("infosys", infosys)

	var sink actors.Sink = infosys
	sink.Push(&messages.Ticks{Ticks: []messages.Tick{{InstrumentToken: 408065, LastPrice: 157_370}}})
	fmt.Printf("%.2f, %s\n", infosys.rupees, store.Stats().State)
	// Output: 1573.70, awaiting_token
}
