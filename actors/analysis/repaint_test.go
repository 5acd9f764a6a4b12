package analysis

import (
	"encoding/json"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"kitestring/actors/analysis/classic"
	"kitestring/actors/analysis/indicators"
	"kitestring/messages"
)

// overBars are the analyses of this file's properties: those that live on bars.
func overBars() []Analysis {
	return []Analysis{volumePulse, trendBase, candleIntent, zoneControl, instant}
}

const indexToken, futureToken = 256265, 12345602

// fedCore is a core that knows its instruments.
func fedCore(a Analysis, p Profile) *Core {
	c := NewCore(a, p, "NIFTY", fiveMinutes, nil, nil)
	c.Update(messages.Underlying{
		Name: "NIFTY", Index: messages.Instrument{Token: indexToken}, Future: messages.Instrument{Token: futureToken},
	})
	c.Update(messages.PhaseChanged{Phase: messages.Open})
	return c
}

// feedBar gives a core a closed bar of index and future with the ticks that
// ended it, and asks for the reading then.
func feedBar(c *Core, bar Candle) messages.Reading {
	end := bar.Time.Add(fiveMinutes)
	b := messages.Bar{
		Underlying: "NIFTY", Source: messages.FromIndex, Interval: fiveMinutes, Start: bar.Time, Divisor: 100,
		Open: paise(bar.Open), High: paise(bar.High), Low: paise(bar.Low), Close: paise(bar.Close), Newest: end.Add(-time.Second),
	}
	c.Update(messages.BarClosed{Bar: b})
	b.Source, b.Volume = messages.FromFuture, int64(bar.Volume)
	c.Update(messages.BarClosed{Bar: b})
	tick := messages.Tick{
		InstrumentToken: indexToken, LastPrice: b.Close, Open: b.Open, High: b.High, Low: b.Low, Close: b.Open,
		ExchangeTime: uint32(end.Add(-time.Second).Unix()), Mode: messages.ModeFull,
	}
	c.Tick(&tick, 1)
	tick.InstrumentToken, tick.AveragePrice, tick.Volume = futureToken, b.Open, uint32(bar.Volume)
	c.Tick(&tick, 1)
	return c.Reading(end)
}

func paise(v float64) int32 { return int32(math.Round(v * 100)) }

func encoded(tb testing.TB, r messages.Reading) string {
	tb.Helper()
	text, err := json.Marshal(r)
	if err != nil {
		tb.Fatalf("%s of %+v: %v", r.Kind, r, err)
	}
	return string(text)
}

// The reading of bar k from the first k bars equals that of bar k in the whole
// series, for every bar of the files, in both profiles.
func TestReadingsDoNotRepaint(t *testing.T) {
	compared := 0
	for _, symbol := range goldenSymbols {
		_, bars := goldenBars(t, symbol)
		for _, a := range overBars() {
			for _, p := range []Profile{Calibrated, Classic} {
				whole := fedCore(a, p)
				for k := range bars {
					inWhole := encoded(t, feedBar(whole, bars[k]))
					// Older bars than the 400 that a core keeps are out of every window.
					first := fedCore(a, p)
					for _, b := range bars[:k] {
						feedClosed(first, b)
					}
					if alone := encoded(t, feedBar(first, bars[k])); alone != inWhole {
						t.Fatalf("%s %s %s bar %d:\nalone %s\nwhole %s", symbol, a.Kind, p, k, alone, inWhole)
					}
					compared++
				}
			}
		}
	}
	t.Logf("%d readings compared", compared)
}

// feedClosed is feedBar without ticks and reading.
func feedClosed(c *Core, bar Candle) {
	b := messages.Bar{
		Underlying: "NIFTY", Source: messages.FromIndex, Interval: fiveMinutes, Start: bar.Time, Divisor: 100,
		Open: paise(bar.Open), High: paise(bar.High), Low: paise(bar.Low), Close: paise(bar.Close),
		Newest: bar.Time.Add(fiveMinutes - time.Second),
	}
	c.Update(messages.BarClosed{Bar: b})
	b.Source, b.Volume = messages.FromFuture, int64(bar.Volume)
	c.Update(messages.BarClosed{Bar: b})
}

// A swing, once confirmed, stays one whatever bars follow; and none is ever
// among the newest bars.
func TestConfirmedSwingsStay(t *testing.T) {
	swings := 0
	for _, symbol := range goldenSymbols {
		_, bars := goldenBars(t, symbol)
		for _, order := range []int{int(trendSwingOrder.Least), int(trendSwingOrder.Default), classic.ZoneSwingOrder, int(trendSwingOrder.Most)} {
			for _, level := range []func(Candle) float64{
				func(c Candle) float64 { return c.High },
				func(c Candle) float64 { return -c.Low },
			} {
				v := make([]float64, len(bars))
				for i := range bars {
					v[i] = level(bars[i])
				}
				for i := range v {
					since := -1
					for k := i + 1; k <= len(v); k++ {
						switch peak := indicators.ConfirmedPeak(v[:k], i, order); {
						case peak && since < 0:
							since = k
							swings++
							if k < i+1+order {
								t.Fatalf("%s bar %d: a swing of order %d after %d bars", symbol, i, order, k-1-i)
							}
						case !peak && since >= 0:
							t.Fatalf("%s bar %d: a swing at bar %d, none at bar %d", symbol, i, since, k)
						}
					}
				}
			}
		}
	}
	t.Logf("%d swings followed to the end", swings)
}

// While a swing is the newest, what it is compared with stays the same: its
// size is measured where it stands.
func TestTrendSwingsKeepTheirPair(t *testing.T) {
	kept := 0
	for _, symbol := range goldenSymbols {
		_, bars := goldenBars(t, symbol)
		var before classic.Object
		for k := trendBaseCalibratedLeast; k <= len(bars); k++ {
			now := judgeTrendBase(indexOf(bars[:k])).Values
			for _, side := range []string{"high", "low"} {
				at := "last_" + side + "_at"
				if before[at] == nil || before[at] != now[at] {
					continue
				}
				if before["prev_"+side] != now["prev_"+side] {
					t.Fatalf("%s bar %d: the %s of %v was compared with %v, now with %v",
						symbol, k, side, now[at], before["prev_"+side], now["prev_"+side])
				}
				kept++
			}
			before = now
		}
	}
	t.Logf("%d pairs kept", kept)
}

// Whatever the bars and the parameters, every answer is a JSON object with
// numbers that exist, in range, and the input is not touched.
func TestAnswersAreSound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 130).Draw(t, "bars")
		volumes := rapid.SampledFrom([]int{0, 1, 1000}).Draw(t, "volumes")
		step := rapid.SampledFrom([]int{0, 1, 50, 5000}).Draw(t, "step")
		price := 100_000
		bars := make([]Candle, n)
		for i := range bars {
			open := price
			price = max(100, price+rapid.IntRange(-step, step).Draw(t, "move"))
			high := max(open, price) + rapid.IntRange(0, step).Draw(t, "up")
			low := max(1, min(open, price)-rapid.IntRange(0, step).Draw(t, "down"))
			bars[i] = bar(float64(open)/100, float64(high)/100, float64(low)/100, float64(price)/100,
				float64(rapid.IntRange(0, volumes).Draw(t, "volume")))
		}
		in := withFuture(at(bars...))
		if n > 0 {
			last := bars[n-1]
			in.Now = last.Newest
			in.IndexTick = Quote{Last: last.Close, Open: last.Open, High: last.High, Low: last.Low, Close: bars[0].Open, At: last.Newest}
			in.FutureTick = in.IndexTick
			in.FutureTick.Volume = int64(last.Volume)
		}
		if rapid.Bool().Draw(t, "running") {
			in.Index.Running = &Candle{Open: 1000, High: 1010, Low: 990, Close: 1005}
			in.Future.Running = &Candle{Open: 1000, High: 1010, Low: 990, Close: 1005, Volume: 10}
			in.Index.Elapsed, in.Future.Elapsed = 0.5, 0.5
		}
		indexBefore, futureBefore := slices.Clone(in.Index.Closed), slices.Clone(in.Future.Closed)
		for _, a := range overBars() {
			in.Settings = drawn(t, a)
			j := a.Judge(in)
			if _, err := json.Marshal(j.Values); err != nil {
				t.Fatalf("%s: %v", a.Kind, err)
			}
			if j.Confidence < 0 || j.Confidence > 100 || j.Coverage < 0 || j.Coverage > 1 {
				t.Fatalf("%s: confidence %v, coverage %v", a.Kind, j.Confidence, j.Coverage)
			}
			if (j.Status == messages.Unavailable) != (j.Values == nil) {
				t.Fatalf("%s: %s with values %v", a.Kind, j.Status, j.Values)
			}
			if j.Status == messages.Unavailable && j.Reason == "" {
				t.Fatalf("%s: unavailable for no reason", a.Kind)
			}
			if _, err := json.Marshal(a.Classic(in)); err != nil {
				t.Fatalf("classic %s: %v", a.Kind, err)
			}
		}
		if !slices.Equal(indexBefore, in.Index.Closed) || !slices.Equal(futureBefore, in.Future.Closed) {
			t.Fatal("an analysis changed its input")
		}
	})
}

func BenchmarkReading(b *testing.B) {
	_, bars := goldenBars(b, "NIFTY")
	for bars[len(bars)-1].Volume == 0 { // a reading of nothing is quick
		bars = bars[:len(bars)-1]
	}
	for _, a := range overBars() {
		for _, p := range []Profile{Calibrated, Classic} {
			b.Run(a.Kind+"/"+string(p), func(b *testing.B) {
				c := fedCore(a, p)
				for _, bar := range bars {
					feedClosed(c, bar)
				}
				feedBar(c, bars[len(bars)-1])
				now := bars[len(bars)-1].Time.Add(fiveMinutes)
				b.ReportAllocs()
				for b.Loop() {
					if c.Reading(now).Status == messages.Unavailable {
						b.Fatal("unavailable")
					}
				}
			})
		}
	}
}

func BenchmarkCoreUpdate(b *testing.B) {
	_, bars := goldenBars(b, "NIFTY")
	c := fedCore(zoneControl, Calibrated)
	for _, bar := range bars {
		feedClosed(c, bar)
	}
	running := messages.BarUpdated{Bar: messages.Bar{
		Underlying: "NIFTY", Source: messages.FromIndex, Interval: fiveMinutes, Divisor: 100,
		Start: bars[len(bars)-1].Time.Add(fiveMinutes), Open: 1, High: 1, Low: 1, Close: 1,
	}}
	b.ReportAllocs()
	for b.Loop() {
		running.Bar.Close++
		c.Update(running)
	}
}
