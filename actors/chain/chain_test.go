package chain

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anthdm/hollywood/actor"

	"kitestring/actors"
	"kitestring/actors/actorstest"
	"kitestring/actors/optionchain"
	"kitestring/messages"
	"kitestring/messages/ist"
	"kitestring/messages/wire"
)

func TestMain(m *testing.M) { actorstest.Main(m) }

var webPID, feedPID = actor.NewPID("local", "web/main"), actor.NewPID("local", "feed/main")

// moving is a clock of the exchange that goes with the time of the test.
type moving struct{ start, from time.Time }

func (m moving) Now() time.Time { return m.start.Add(time.Since(m.from)) }

// exchange is what the other actors know.
type exchange struct {
	mu       sync.Mutex
	resolved messages.InstrumentsResolved
	others   map[string][]messages.Instrument // by underlying and expiry
	phase    messages.Phase
}

func (e *exchange) Resolved() (messages.InstrumentsResolved, bool) {
	return e.resolved, e.resolved.Underlyings != nil
}

func (e *exchange) Phase() (messages.PhaseChanged, bool) {
	return messages.PhaseChanged{Phase: e.phase}, true
}

func (e *exchange) Chain(underlying string, expiry time.Time) []messages.Instrument {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.others[underlying+" "+expiry.In(ist.Zone).Format(time.DateOnly)]
}

const indexToken = 256265

// options are a call and a put at each of three strikes of an expiry.
func options(first uint32, expiry time.Time) (list []messages.Instrument) {
	for i := range 3 {
		for j, kind := range []string{"CE", "PE"} {
			list = append(list, messages.Instrument{
				Token: (first+uint32(2*i+j))<<8 + uint32(messages.NFO), Tradingsymbol: "NIFTY" + kind, Strike: 24950 + 50*float64(i), Type: kind, Expiry: expiry,
			})
		}
	}
	return list
}

func day(s string) time.Time {
	at, err := time.ParseInLocation(time.DateTime, s, ist.Zone)
	if err != nil {
		panic(err)
	}
	return at
}

// rig is the actor with its surroundings; its exchange's clock starts at a time.
type rig struct {
	*actorstest.Harness
	cfg    Config
	clock  moving
	market *exchange
	tokens *actorstest.Tokens
}

func start(t *testing.T, at string) *rig {
	near, next := day("2026-12-01 00:00:00"), day("2026-12-08 00:00:00")
	r := &rig{clock: moving{day(at), time.Now()}, tokens: actorstest.NewTokens(), market: &exchange{
		phase: messages.Open,
		resolved: messages.InstrumentsResolved{Underlyings: []messages.Underlying{
			{Name: "NIFTY", Index: messages.Instrument{Token: indexToken, Tradingsymbol: "NIFTY 50"}, Expiry: near, Expiries: []time.Time{near, next}, Chain: options(100, near), Step: 50},
			{Name: "PLAIN", Index: messages.Instrument{Token: 5<<8 + 9}, Reason: "no option of PLAIN"},
		}},
		others: map[string][]messages.Instrument{"NIFTY 2026-12-08": options(200, next)},
	}}
	r.cfg = Config{
		Clock: r.clock, Tokens: r.tokens, Instruments: r.market, Market: r.market, Opening: &optionchain.OpenInterest{}, Store: &Store{},
		Limits: optionchain.Limits{Fresh: 3 * time.Minute, Coverage: 0.6}, Feed: feedPID, Listeners: []*actor.PID{webPID},
	}
	r.Harness = actorstest.Start(t, Name, New(r.cfg))
	return r
}

// quotes are a batch as the socket brings it: the index, and each option with a
// book of a paisa's width round a price.
func (r *rig) quotes(g messages.Generation, oi uint32, list []messages.Instrument, price func(messages.Instrument) int32) *messages.Ticks {
	now := uint32(r.clock.Now().Unix())
	packets := [][]byte{wire.AppendPacket(nil, &wire.Packet{Tick: messages.Tick{InstrumentToken: indexToken, LastPrice: 25_000_00, ExchangeTime: now}}, messages.ModeFull)}
	for _, in := range list {
		p := wire.Packet{Tick: messages.Tick{InstrumentToken: in.Token, LastPrice: price(in), Close: 100_00, OI: oi, Volume: 10, ExchangeTime: now, LastTradeTime: now}}
		p.Depth.Buy[0] = wire.DepthLevel{Price: p.LastPrice - 5, Quantity: 75}
		p.Depth.Sell[0] = wire.DepthLevel{Price: p.LastPrice, Quantity: 150}
		packets = append(packets, wire.AppendPacket(nil, &p, messages.ModeFull))
	}
	frame := wire.AppendFrame(nil, packets...)
	b := messages.NewTicks(nil)
	b.Generation, b.Raw = g, frame
	var d wire.Decoder
	var err error
	if b.Ticks, err = d.Decode(frame, nil); err != nil {
		panic(err)
	}
	return b
}

func flat(messages.Instrument) int32 { return 120_00 }

func (r *rig) chains(expiry string) (list []messages.Chain) {
	for _, s := range r.Sent() {
		if m, ok := s.Msg.(messages.ChainUpdated); ok && s.To.Equals(webPID) && m.Chain.Underlying == "NIFTY" && m.Chain.Expiry == expiry {
			list = append(list, m.Chain)
		}
	}
	return list
}

func newest[T any](t *testing.T, list []T) T {
	t.Helper()
	if len(list) == 0 {
		t.Fatal("nothing came")
	}
	return list[len(list)-1]
}

func pass(d time.Duration) {
	time.Sleep(d) // of the bubble: it takes no time
	synctest.Wait()
}

func TestPacketsBecomeAChain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, "2026-11-27 09:15:10")
		near := r.market.resolved.Underlyings[0].Chain
		r.Tell(r.quotes(4, 1000, near, flat))
		pass(pace)
		c := newest(t, r.chains("2026-12-01"))
		row := c.Rows[1]
		if !row.ATM || *row.Call.Bid != 119.95 || *row.Call.Ask != 120 || *row.Call.AskQuantity != 150 || *row.Call.LastPrice != 120 || *row.Call.Change != 20 ||
			*row.Put.OI != 1000 || *row.Put.OIChange != 0 || row.Call.IV == nil || *c.Summary.PCR != 1 || *c.Summary.Straddle != 240 || c.Generation != 4 {
			t.Errorf("%+v: %+v", c, row.Call)
		}
		if c.Pricing.ExpiresAt != day("2026-12-01 15:40:00").UTC() {
			t.Error(c.Pricing.ExpiresAt)
		}
		if r.tokens.LastUsed(Name) != 4 {
			t.Error("the use of the generation is not noted")
		}
		// Nothing new: it goes out each 5 s, with its age.
		n := len(r.chains("2026-12-01"))
		pass(repeat)
		if again := len(r.chains("2026-12-01")) - n; again != 1 {
			t.Errorf("%d chains in 5 quiet seconds", again)
		}
		if c = newest(t, r.chains("2026-12-01")); *c.Rows[1].Call.AgeSeconds < 5 {
			t.Errorf("an age of %v", *c.Rows[1].Call.AgeSeconds)
		}
		// A merged backlog has no depth: the book keeps its time, the rest is new.
		pass(10 * time.Second)
		b := r.quotes(4, 1500, near, flat)
		minutes := &messages.Minutes{Generation: 4}
		for _, tick := range b.Ticks {
			minutes.Minutes = append(minutes.Minutes, messages.Minute{InstrumentToken: tick.InstrumentToken, Newest: tick})
		}
		r.Tell(minutes)
		pass(pace)
		o := newest(t, r.chains("2026-12-01")).Rows[1].Call
		if *o.OI != 1500 || *o.OIChange != 500 || *o.Bid != 119.95 || o.At.Sub(*o.BookAt) < 10*time.Second {
			t.Errorf("%+v", o)
		}
		// An underlying without options is sent, with its reason.
		if c := newest(t, slices.DeleteFunc(sent(r), func(m messages.ChainUpdated) bool { return m.Chain.Underlying != "PLAIN" })).Chain; c.Reason != "no option of PLAIN" || len(c.Rows) != 0 {
			t.Errorf("%+v", c)
		}
	})
}

func sent(r *rig) (list []messages.ChainUpdated) {
	for _, s := range r.Sent() {
		if m, ok := s.Msg.(messages.ChainUpdated); ok {
			list = append(list, m)
		}
	}
	return list
}

func wanted(r *rig) (list []messages.WantInstruments) {
	for _, s := range r.Sent() {
		if m, ok := s.Msg.(messages.WantInstruments); ok && s.To.Equals(feedPID) {
			list = append(list, m)
		}
	}
	return list
}

// Another expiry is subscribed to while people ask for it, and a while longer; a
// restart does not forget it.
func TestAnotherExpiryIsLiveWhileItIsAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, "2026-11-27 11:00:00")
		pass(pace)
		if len(wanted(r)) != 0 {
			t.Fatalf("wants without a question: %+v", wanted(r))
		}
		r.Tell(messages.AskChain{Underlying: "NIFTY", Expiry: "2026-12-08"})
		r.Tell(messages.AskChain{Underlying: "NIFTY", Expiry: "2026-12-08"})
		r.Tell(messages.AskChain{Underlying: "NIFTY", Expiry: "2030-01-01"}) // there is none
		pass(0)
		if w := wanted(r); len(w) != 1 || w[0].Owner != Name || len(w[0].Wants) != 6 || w[0].Wants[0].Mode != messages.ModeFull || w[0].Wants[0].Tradingsymbol == "" {
			t.Fatalf("%+v", w)
		}
		r.Tell(r.quotes(1, 700, options(200, day("2026-12-08 00:00:00")), flat))
		pass(pace)
		c := newest(t, r.chains("2026-12-08"))
		if o := c.Rows[1].Call; *o.OI != 700 || o.OIChange != nil || len(o.Reasons) != 1 {
			t.Errorf("the open of an expiry asked for at 11:00 was not seen: %+v", o)
		}
		pass(9 * time.Minute)
		r.Tell(messages.AskChain{Underlying: "NIFTY", Expiry: "2026-12-08"})
		pass(9 * time.Minute)
		if len(wanted(r)) != 1 {
			t.Fatal("it is forgotten although it was asked for 9 minutes ago")
		}
		again := actorstest.Start(t, Name, New(r.cfg))
		pass(pace)
		found := false
		for _, s := range again.Sent() {
			m, ok := s.Msg.(messages.ChainUpdated)
			found = found || ok && m.Chain.Expiry == "2026-12-08" && !m.Nearest
		}
		if w, some := r.cfg.Store.Wants(); !found || !some || len(w.Wants) != 6 {
			t.Errorf("a new incarnation shows it: %t, wants %+v", found, w)
		}
		again.Stop()
		pass(2 * time.Minute)
		if w := newest(t, wanted(r)); len(w.Wants) != 0 {
			t.Errorf("ten minutes after the last question it wants %d instruments", len(w.Wants))
		}
	})
}

// The day's line has a point a minute, with the newest totals of the minute, and
// begins again with the next day.
func TestTheDaysLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, "2026-11-27 15:38:30")
		near := r.market.resolved.Underlyings[0].Chain
		for range 88 {
			puts := func(in messages.Instrument) int32 { return 100_00 + int32(r.clock.Now().Sub(r.clock.start).Seconds()) }
			r.Tell(r.quotes(1, 1000, near, puts))
			pass(time.Second)
		}
		r.market.phase = messages.Closed
		r.Tell(messages.PhaseChanged{Phase: messages.Closed})
		pass(2 * time.Minute)
		line := r.cfg.Store.Day("NIFTY")
		if len(line) != 2 || line[0].At != day("2026-11-27 15:38:00").UTC() || line[1].At != day("2026-11-27 15:39:00").UTC() {
			t.Fatalf("%+v", line)
		}
		if *line[0].PCR != 1 || *line[0].Straddle >= *line[1].Straddle || *line[1].ATM != 25000 || line[1].Expiry != "2026-12-01" {
			t.Errorf("%+v", line)
		}
		pass(17*time.Hour + 40*time.Minute) // the next morning
		r.Tell(messages.PhaseChanged{Phase: messages.Open})
		pass(2 * time.Second)
		if len(r.cfg.Store.Day("NIFTY")) != 2 {
			t.Error("yesterday's packets are a point of today")
		}
		r.Tell(r.quotes(1, 1000, near, flat))
		pass(2 * time.Second)
		if line = r.cfg.Store.Day("NIFTY"); len(line) != 1 || *line[0].Straddle != 240 {
			t.Errorf("%+v", line)
		}
	})
}

func TestTheStoreKeepsAFewQuestions(t *testing.T) {
	var s Store
	now := time.Now()
	for i := range mostAsked + 2 {
		if !s.ask(key{"NIFTY", string(rune('a' + i))}, now.Add(time.Duration(i))) {
			t.Error("a new question is none")
		}
	}
	if s.ask(key{"NIFTY", "h"}, now) || !s.ask(key{"NIFTY", "a"}, now.Add(time.Second)) {
		t.Error("the oldest is to be forgotten, the newest kept")
	}
	if len(s.questions) != mostAsked {
		t.Errorf("%d questions", len(s.questions))
	}
}

var _ actors.Clock = moving{}
