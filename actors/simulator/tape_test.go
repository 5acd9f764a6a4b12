package simulator_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"kitestring/actors/actorstest"
	"kitestring/actors/simulator"
	"kitestring/messages"
	"kitestring/messages/wire"
)

const (
	recordedShare = 738561 // of NSE
	recordedIndex = 256265
)

const recordedFile = "instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,lot_size,instrument_type,segment,exchange\n" +
	"256265,1001,NIFTY 50,NIFTY 50,0,,0,0.05,1,EQ,INDICES,NSE\n" +
	"738561,2885,RELIANCE,RELIANCE INDUSTRIES,0,,0,0.05,1,EQ,NSE,NSE\n" +
	"128083204,500325,RELIANCE,RELIANCE INDUSTRIES,0,,0,0.05,1,EQ,BSE,BSE\n"

// tapeOf is a recording of a share and an index, each with n packets, ten a
// second from the open.
func tapeOf(n int, change func(*simulator.Recording)) *simulator.Recording {
	open := time.Date(2026, 6, 15, 9, 15, 0, 0, start.Location())
	i := 0
	r := &simulator.Recording{Day: "2026-06-15", Instruments: []byte(recordedFile), Sequenced: true, Next: func() (time.Time, [][]byte, error) {
		if i == n {
			return time.Time{}, nil, io.EOF
		}
		i++
		at := open.Add(time.Duration(i) * 100 * time.Millisecond)
		tick := messages.Tick{
			InstrumentToken: recordedShare, LastPrice: int32(100_000 + i), Volume: uint32(10 * i), LastQuantity: uint32(i), OI: 0,
			ExchangeTime: uint32(at.Unix()), LastTradeTime: uint32(at.Unix()),
		}
		share := wire.AppendPacket(nil, &wire.Packet{Tick: tick}, messages.ModeFull)
		tick.InstrumentToken = recordedIndex
		return at, [][]byte{share, wire.AppendPacket(nil, &wire.Packet{Tick: tick}, messages.ModeFull)}, nil
	}}
	if change != nil {
		change(r)
	}
	return r
}

func openTapeOf(t *testing.T, speed float64, r *simulator.Recording) *exchange {
	t.Helper()
	return open(t, true, func(c *simulator.Config) { c.Start, c.Speed, c.Tape = time.Time{}, speed, r })
}

// A client gets every packet of its instruments, cut to its mode, at any speed,
// and REST shows the same day.
func TestReplay(t *testing.T) {
	t.Parallel()
	const n = 900 // a minute and a half
	for name, c := range map[string]struct {
		speed float64
		max   bool
	}{"60x": {60, false}, "max": {1, true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := openTapeOf(t, c.speed, tapeOf(n, func(r *simulator.Recording) { r.Max = c.max }))
			s := e.mustDial()
			s.mode(messages.ModeFull, recordedShare)
			s.mode(messages.ModeQuote, recordedIndex)
			var share, index []int32
			for len(share) < n+1 || len(index) < n+1 { // one of each answers the subscription
				for _, k := range s.ticks() {
					if k.InstrumentToken == recordedShare {
						share = append(share, k.LastPrice)
						if k.Mode != messages.ModeFull {
							t.Errorf("mode %s", k.Mode)
						}
					} else if index = append(index, k.LastPrice); k.Length != 28 {
						t.Errorf("%d bytes of an index", k.Length)
					}
				}
			}
			for i := range n {
				if share[i+1] != int32(100_001+i) || index[i+1] != share[i+1] {
					t.Fatalf("packet %d: %d, %d", i, share[i+1], index[i+1])
				}
			}
			actorstest.Until(t, "the end", func() bool { r, _ := e.Replay(); return r.Ended && r.Ticks == 2*n })
			if r, _ := e.Replay(); r.Day != "2026-06-15" || r.Max != c.max {
				t.Errorf("%+v", r)
			}
			token := e.token()
			quotes, err := e.kite(token).GetQuote("NSE:RELIANCE", "BSE:RELIANCE")
			if q := quotes["NSE:RELIANCE"]; err != nil || q.LastPrice != 1009 || q.Volume != 10*n || len(quotes) != 1 {
				t.Errorf("quotes %+v, %v", quotes, err)
			}
			day := time.Date(2026, 6, 15, 0, 0, 0, 0, start.Location())
			bars, err := e.kite(token).GetHistoricalData(recordedShare, "minute", day, day.Add(24*time.Hour), false, false)
			if err != nil || len(bars) != 2 || bars[0].Open != 1000.01 || bars[0].Close != 1005.99 || bars[1].Volume != 3010 || bars[0].Volume+bars[1].Volume != 9000-10 {
				t.Errorf("candles %+v, %v", bars, err)
			}
			if _, file := e.get("/instruments"); file != recordedFile {
				t.Errorf("instruments %q", file)
			}
			if _, file := e.get("/instruments/BSE"); strings.Count(file, "\n") != 2 || !strings.Contains(file, "128083204") {
				t.Errorf("instruments of BSE %q", file)
			}
		})
	}
}

// From a later moment on, the answer to a subscription is the last packet
// before, and nothing runs before somebody has subscribed.
func TestReplayFrom(t *testing.T) {
	t.Parallel()
	from := time.Date(2026, 6, 15, 9, 16, 0, 0, start.Location())
	e := openTapeOf(t, 1, tapeOf(900, func(r *simulator.Recording) { r.From = from }))
	if r, _ := e.Replay(); !r.Waiting || !r.At.Equal(from) {
		t.Errorf("%+v", r)
	}
	s := e.mustDial()
	s.mode(messages.ModeFull, recordedShare)
	if got := s.ticks(); len(got) != 1 || got[0].LastPrice != 100_599 {
		t.Errorf("the answer is %+v", got)
	}
	if got := s.ticks(); len(got) != 1 || got[0].LastPrice != 100_600 {
		t.Errorf("the first packet is %+v", got)
	}
	if err := e.SetReplaySpeed(0, false); err != nil {
		t.Fatal(err)
	}
	if r, _ := e.Replay(); r.Speed != 0 {
		t.Errorf("%+v", r)
	}
	if e.SetReplaySpeed(-1, false) == nil || e.SetClock(from) == nil {
		t.Error("it takes a speed below 0, or another time")
	}
	if err := e.SetReplaySpeed(0, true); err != nil {
		t.Fatal(err)
	}
	actorstest.Until(t, "the end", func() bool { s.ticks(); r, _ := e.Replay(); return r.Ended })
}

func TestReplayOfNothing(t *testing.T) {
	for name, r := range map[string]*simulator.Recording{
		"empty":          tapeOf(0, nil),
		"too late":       tapeOf(10, func(r *simulator.Recording) { r.From = start }),
		"cannot be read": {Next: func() (time.Time, [][]byte, error) { return time.Time{}, nil, errors.New("torn") }},
	} {
		if _, err := simulator.New(simulator.Config{Tape: r}); err == nil {
			t.Error(name)
		}
	}
}
