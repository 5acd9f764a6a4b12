package ticks

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"testing"

	"kitestring/actors/web/api"
	"kitestring/messages"
)

const (
	nifty  = 256265            // an index
	infy   = 408065            // NSE
	option = 11_000_000<<8 | 2 // NFO, of a client of the gateway: no name
)

// feed is one packet an instrument.
type feed map[uint32]*struct {
	mode    messages.Mode
	packet  []byte
	packets uint64
}

func (f feed) EachInstrument(see func(uint32, messages.Mode, []byte, uint64)) {
	for token, s := range f {
		see(token, s.mode, s.packet, s.packets)
	}
}

func (f feed) come(token uint32, mode messages.Mode, values ...uint32) {
	s := f[token]
	if s == nil {
		s = &struct {
			mode    messages.Mode
			packet  []byte
			packets uint64
		}{mode: mode}
		f[token] = s
	}
	s.packet = binary.BigEndian.AppendUint32(nil, token)
	for _, v := range values {
		s.packet = binary.BigEndian.AppendUint32(s.packet, v)
	}
	s.packets++
}

// full is a full packet of 184 bytes: 11 numbers of a quote, 5 more, a best bid
// and, after five levels, a best offer.
func full(price, bid, ask uint32) []uint32 {
	v := []uint32{price, 5, 9_990, 1_000, 70, 80, 9_800, 10_100, 9_700, 10_000, 1_700_000_000, 4_200, 0, 0, 1_700_000_001}
	depth := make([]uint32, 30)
	depth[0], depth[1] = 300, bid
	depth[15], depth[16] = 400, ask
	if ask == 0 {
		depth[15] = 0
	}
	return append(v, depth...)
}

var names = NamesOf(messages.InstrumentsResolved{
	Underlyings: []messages.Underlying{{Name: "NIFTY", Index: messages.Instrument{Token: nifty, Exchange: "NSE", Tradingsymbol: "NIFTY 50"}}},
	Configured:  []messages.Instrument{{Token: infy, Exchange: "NSE", Tradingsymbol: "INFY"}},
})

func day() feed {
	f := feed{}
	f.come(nifty, messages.ModeFull, 2_500_000, 2_510_000, 2_490_000, 2_495_000, 2_475_000, 25_000, 1_700_000_000)
	f.come(infy, messages.ModeFull, full(10_050, 10_045, 0)...)
	f.come(option, messages.ModeLTP, 12_345)
	return f
}

func TestAll(t *testing.T) {
	data, err := json.Marshal(All(day(), names, Everything))
	if err != nil {
		t.Fatal(err)
	}
	var list []map[string]any
	if err := json.Unmarshal(data, &list); err != nil {
		t.Fatal(err)
	}
	for i, want := range []map[string]any{
		{"exchange": "NFO", "tradingsymbol": "", "mode": "ltp", "last_price": 123.45, "change": nil, "close": nil, "volume": nil, "oi": nil, "exchange_at": nil, "bid": nil},
		{"exchange": "NSE", "tradingsymbol": "INFY", "mode": "full", "last_price": 100.5, "change": 0.5, "change_percent": 0.5, "close": 100., "open": 98., "high": 101., "low": 97., "average_price": 99.9, "volume": 1000., "oi": 4200., "last_quantity": 5., "buy_quantity": 70., "sell_quantity": 80., "bid": 100.45, "bid_quantity": 300., "ask": nil, "ask_quantity": nil, "last_trade_at": "2023-11-14T22:13:20Z", "exchange_at": "2023-11-14T22:13:21Z"},
		{"exchange": "NSE", "tradingsymbol": "NIFTY 50", "last_price": 25000., "change": 250., "high": 25100., "low": 24900., "open": 24950., "volume": nil, "oi": nil, "bid": nil, "exchange_at": "2023-11-14T22:13:20Z"},
	} {
		for field, value := range want {
			if got, there := list[i][field]; !there || got != value {
				t.Errorf("entry %d, %s: %v, want %v", i, field, got, value)
			}
		}
	}
}

func TestChoose(t *testing.T) {
	f := day()
	for list, want := range map[string]string{
		"all":                         "256265 408065 2816000002",
		"408065":                      "408065",
		"NSE:NIFTY 50,NSE:INFY":       "256265 408065",
		"2816000002,NSE:NIFTY 50":     "256265 2816000002",
		"NSE:WIPRO":                   "unknown NSE:WIPRO",
		"INFY":                        "unknown INFY",
		"5":                           "unknown 5",
		"408065,":                     "unknown ",
		"99999999999999":              "unknown 99999999999999",
		"NSE:NIFTY 50,nse:nifty bank": "unknown nse:nifty bank",
	} {
		c, unknown := Choose(list, f, names)
		got := ""
		for _, token := range []uint32{nifty, infy, option} {
			if c.Has(token) {
				got += fmt.Sprint(" ", token)
			}
		}
		if got != "" {
			got = got[1:]
		} else {
			got = "unknown " + unknown
		}
		if got != want {
			t.Errorf("%s: %s, want %s", list, got, want)
		}
	}
}

func TestWatchTellsWhatIsNew(t *testing.T) {
	f := day()
	var w Watch
	look := func(all bool) string {
		text := ""
		for _, e := range w.Look(f, names, all) {
			var tick api.Tick
			if err := json.Unmarshal(e.Data, &tick); err != nil {
				t.Fatal(err)
			}
			text += fmt.Sprint(e.InstrumentToken, " ", *tick.LastPrice, " new ", e.New, " replaced ", e.Replaced, "; ")
		}
		return text
	}
	if got := look(false); got != "" {
		t.Errorf("the first look has something new: %s", got)
	}
	f.come(infy, messages.ModeFull, full(10_100, 1, 2)...)
	if got := look(false); got != "408065 101 new true replaced 0; " {
		t.Errorf("after one packet: %s", got)
	}
	if got := look(false); got != "" {
		t.Errorf("nothing has come: %s", got)
	}
	for range 3 {
		f.come(option, messages.ModeLTP, 500)
	}
	if got := look(false); got != "2816000002 5 new true replaced 2; " {
		t.Errorf("after three packets: %s", got)
	}
	if got := len(w.Look(f, names, true)); got != 3 {
		t.Errorf("%d ticks for one who has just joined, want all 3", got)
	}
	f[infy].packets = 1 // subscribed again
	if got := look(false); got != "408065 101 new true replaced 0; " {
		t.Errorf("a counter that began again: %s", got)
	}
}
