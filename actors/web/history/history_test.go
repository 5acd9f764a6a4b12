package history

import (
	"math"
	"testing"
	"time"

	"kitestring/messages"
	"kitestring/messages/ist"
)

func clock(s string) time.Time {
	at, err := time.ParseInLocation(time.DateTime, s, ist.Zone)
	if err != nil {
		panic(err)
	}
	return at
}

func reading(status messages.ReadingStatus, signal string) messages.Reading {
	return messages.Reading{Kind: "instant", Underlying: "NIFTY", Status: status, Signal: signal, Confidence: 60, Coverage: 1}
}

// minutes are closed bars of a minute, the index rising by a point each.
func minutes(from time.Time, n int) (bars []messages.Bar) {
	for i := range n {
		bars = append(bars, messages.Bar{Start: from.Add(time.Duration(i) * time.Minute), Close: int32(24000_00 + 100*i), Divisor: 100})
	}
	return bars
}

func TestSignalsWithWhatThePriceDid(t *testing.T) {
	var s Store
	open := clock("2026-03-05 09:15:00")
	said := func(after time.Duration, status messages.ReadingStatus, signal string) {
		s.Note(reading(status, signal), open.Add(after))
	}
	said(-20*time.Hour, messages.Active, "sell_signal") // of the day before
	said(time.Second, messages.Watching, "wait")
	said(2*time.Minute+5*time.Second, messages.Active, "buy_signal")
	said(2*time.Minute+9*time.Second, messages.Active, "buy_signal") // still the same
	said(3*time.Minute, messages.Active, "buy_signal")
	said(4*time.Minute, messages.Unavailable, "")
	said(5*time.Minute, messages.Active, "strong_sell")
	said(6*time.Minute, messages.Active, "standby") // no direction
	said(30*time.Minute, messages.Active, "buy_signal")
	said(29*time.Minute, messages.Watching, "wait") // the clock was set back
	bars := append(minutes(open.Add(-24*time.Hour), 375), minutes(open, 25)...)
	got := s.Session("NIFTY", "instant", bars, func(time.Time) bool { return false })
	if got.Session != "2026-03-05" || len(got.History) != 7 || len(got.Signals) != 3 {
		t.Fatalf("%+v", got)
	}
	if p := got.History[1]; p.At != open.Add(2*time.Minute+9*time.Second).UTC() || p.Signal != "buy_signal" {
		t.Errorf("a point a minute, its newest: %+v", p)
	}
	newest, sell, buy := got.Signals[0], got.Signals[1], got.Signals[2]
	if newest.Price != nil || newest.After15m != nil || newest.AtClose != nil {
		t.Errorf("a price that no bar has: %+v", newest)
	}
	if sell.Signal != "strong_sell" || *sell.Price != 24005 || sell.After15m.Price != 24020 || math.Abs(sell.After15m.ChangePercent-15./24005*100) > 1e-9 {
		t.Errorf("%+v", sell)
	}
	if *buy.Price != 24002 || buy.AtClose != nil {
		t.Errorf("the session runs: %+v", buy)
	}
	got = s.Session("NIFTY", "instant", append(bars, minutes(open.Add(25*time.Minute), 350)...), func(time.Time) bool { return true })
	if c := got.Signals[2].AtClose; c == nil || c.Price != 24349 {
		t.Errorf("%+v", got.Signals[2])
	}
	if empty := s.Session("NIFTY", "pcr", nil, nil); empty.Session != "" || empty.History == nil || empty.Signals == nil {
		t.Errorf("%+v", empty)
	}
}

func TestHistoryIsBounded(t *testing.T) {
	var s Store
	at := clock("2026-03-05 09:15:00")
	for i := range 60 {
		signal := "buy"
		if i%2 == 1 {
			signal = "sell"
		}
		s.Note(reading(messages.Active, signal), at.Add(time.Duration(i)*time.Second))
	}
	got := s.Session("NIFTY", "instant", nil, func(time.Time) bool { return true })
	if len(got.History) != 1 || len(got.Signals) != mostSignals || got.Signals[0].At != at.Add(59*time.Second).UTC() {
		t.Errorf("%d points, %d signals", len(got.History), len(got.Signals))
	}
}
