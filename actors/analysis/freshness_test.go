package analysis

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"kitestring/actors/hours"
	"kitestring/actors/kinds"
	"kitestring/messages"
	"kitestring/messages/ist"
)

// together is every analysis on one underlying, wired as the tree wires them.
type together struct {
	cores    map[string]*Core
	readings map[string]messages.Reading
	volume   uint32 // of the day
}

func newTogether(p Profile) *together {
	m := &together{cores: map[string]*Core{}, readings: map[string]messages.Reading{}}
	for _, a := range All() {
		m.cores[a.Kind] = NewCore(a, p, "NIFTY", fiveMinutes, nil, nil)
	}
	m.update(messages.Underlying{
		Name: "NIFTY", Index: messages.Instrument{Token: indexToken}, Future: messages.Instrument{Token: futureToken},
		Chain: []messages.Instrument{{Token: 1<<8 + 2, Strike: 100, Type: "CE"}, {Token: 2<<8 + 2, Strike: 100, Type: "PE"}},
	})
	return m
}

func (m *together) update(msg any) {
	for _, c := range m.cores {
		c.Update(msg)
	}
}

// ask is what all of them say at a time, the market clock included.
func (m *together) ask(now time.Time) map[string]messages.Reading {
	phase := messages.Closed
	if (*hours.Store)(nil).Table().IsOpen(now, hours.Market) {
		phase = messages.Open
	}
	m.update(messages.PhaseChanged{Phase: phase})
	for _, a := range All() { // those that others need come before them
		r := m.cores[a.Kind].Reading(now)
		m.readings[a.Kind] = r
		m.update(r)
	}
	return m.readings
}

// trade gives a bar of index and future with the ticks at its end; the options'
// open interest leans as the bar does.
func (m *together) trade(b Candle) {
	for _, c := range m.cores {
		feedClosed(c, b)
	}
	at := uint32(b.Time.Add(fiveMinutes - time.Second).Unix())
	m.volume += uint32(b.Volume)
	calls, puts := uint32(1000), uint32(1000)
	if b.Close > b.Open {
		puts = 1600
	} else if b.Close < b.Open {
		calls = 1600
	}
	for _, t := range []messages.Tick{
		{InstrumentToken: indexToken, LastPrice: paise(b.Close), Open: paise(b.Open), High: paise(b.High), Low: paise(b.Low), Close: paise(b.Open)},
		{InstrumentToken: futureToken, LastPrice: paise(b.Close), AveragePrice: paise(b.Open), Volume: m.volume},
		{InstrumentToken: 1<<8 + 2, LastPrice: 100, OI: calls},
		{InstrumentToken: 2<<8 + 2, LastPrice: 100, OI: puts},
	} {
		t.ExchangeTime, t.Mode = at, messages.ModeFull
		for _, c := range m.cores {
			c.Tick(&t, 1)
		}
	}
}

// sound fails when a reading rests on an earlier session, or on one that is over,
// and does not say so.
func sound(t *testing.T, now time.Time, r messages.Reading) {
	t.Helper()
	if r.Status == messages.Unavailable {
		if r.ValidUntil != nil {
			t.Fatalf("%s %s: unavailable, and valid until %v", now, r.Kind, r.ValidUntil)
		}
		return
	}
	if want := r.AsOf.In(ist.Zone).Format(time.DateOnly); r.Session != want {
		t.Fatalf("%s %s: session %q of %v", now, r.Kind, r.Session, r.AsOf)
	}
	table := (*hours.Store)(nil).Table()
	if current := table.IsOpen(now, hours.Market) && ist.Day(r.AsOf).Equal(ist.Day(now)); !current {
		if r.Status == messages.Active || !strings.HasPrefix(r.Reason, "from ") {
			t.Fatalf("%s %s: %s %s of session %s: %q", now, r.Kind, r.Status, r.Signal, r.Session, r.Reason)
		}
	} else if strings.HasPrefix(r.Reason, "from ") {
		t.Fatalf("%s %s: of this session: %q", now, r.Kind, r.Reason)
	}
	if r.ValidUntil != nil && !r.ValidUntil.After(now) {
		t.Fatalf("%s %s: valid until %v", now, r.Kind, r.ValidUntil)
	}
	if r.Kind != "outlook" {
		return
	}
	total, counted := 0.0, 0.0
	for _, e := range r.Values["inputs"].([]map[string]any) {
		total += e["weight"].(float64)
		counted += e["weight"].(float64) * e["counts"].(float64)
		if counts := e["counts"].(float64); e["session"] != now.In(ist.Zone).Format(time.DateOnly) && table.IsOpen(now, hours.Market) && counts > fadeFrom {
			t.Fatalf("%s: an input of an earlier session counts %v: %v", now, counts, e)
		}
	}
	if math.Abs(counted/total-r.Coverage) > 0.001 {
		t.Fatalf("%s: coverage %v, counted %v of %v", now, r.Coverage, counted, total)
	}
}

// Over every bar of the files, and in the hours between sessions, no active
// signal rests on an earlier session alone, in both profiles.
func TestNoSignalRestsOnAnEarlierSession(t *testing.T) {
	symbols := goldenSymbols
	if testing.Short() {
		symbols = symbols[:1]
	}
	asked, active, nights := 0, 0, 0
	for _, symbol := range symbols {
		_, bars := goldenBars(t, symbol)
		for _, p := range []Profile{Calibrated, Classic} {
			m := newTogether(p)
			check := func(now time.Time) {
				for _, r := range m.ask(now) {
					sound(t, now, r)
					if p == Calibrated && r.Signal != "" && !slices.Contains(kinds.Signals(r.Kind), r.Signal) {
						t.Fatalf("%s: %s signals %q, which is none of its signals: %v", now, r.Kind, r.Signal, kinds.Signals(r.Kind))
					}
					asked++
					if r.Status == messages.Active {
						active++
					}
				}
			}
			for i, b := range bars {
				if i > 0 && !ist.Day(b.Time).Equal(ist.Day(bars[i-1].Time)) {
					nights++
					m.volume = 0
					for _, at := range []string{"00:10:00", "08:59:00", "09:15:00", "09:15:08", "09:16:00", "09:19:00", "09:29:00", "09:31:00"} {
						clock, _ := time.ParseInLocation(time.DateTime, ist.Day(b.Time).Format(time.DateOnly)+" "+at, ist.Zone)
						check(clock)
					}
				}
				m.trade(b)
				if p == Calibrated || i%5 == 0 {
					check(b.Time.Add(fiveMinutes))
				}
			}
			last := ist.Day(bars[len(bars)-1].Time)
			for _, after := range []time.Duration{16 * time.Hour, 40 * time.Hour, 9 * 24 * time.Hour} {
				check(last.Add(after))
			}
		}
	}
	t.Logf("%d readings, %d of them active, %d nights", asked, active, nights)
	if active == 0 || nights == 0 {
		t.Error("nothing was tried")
	}
}

// A day that rises from open to close, the night after it, and the next morning.
func TestTheMorningAfterATrendDay(t *testing.T) {
	m := newTogether(Calibrated)
	thursday := time.Unix(clockTime(t, "2026-03-05 09:15:00"), 0)
	trend := func(from time.Time, n int, price float64) {
		for i := range n {
			open := price + 12*float64(i)
			volume := 1000.0
			if i%4 == 3 { // a step back, so that there are swings
				m.trade(Candle{Time: from.Add(time.Duration(i) * fiveMinutes), Open: open, High: open + 2, Low: open - 20, Close: open - 15, Volume: volume})
				continue
			}
			m.trade(Candle{Time: from.Add(time.Duration(i) * fiveMinutes), Open: open - 10, High: open + 18, Low: open - 12, Close: open + 15, Volume: 3 * volume})
		}
	}
	trend(thursday.AddDate(0, 0, -1), 75, 23000)
	m.volume = 0
	trend(thursday, 75, 24000)
	outlook := m.ask(thursday.Add(6*time.Hour + 14*time.Minute))["outlook"] // 15:29
	if outlook.Status != messages.Active || outlook.Signal != "bullish" || outlook.Coverage < 0.9 {
		t.Fatalf("the trend day: %+v", outlook)
	}
	friday := thursday.AddDate(0, 0, 1)
	for _, c := range []struct {
		after        time.Duration // 09:15 on Friday
		what, reason string
		signal       string
	}{
		{-17 * time.Hour, "after the close", "from today's close", "bullish"},
		{-10 * time.Minute, "before the open", "from yesterday's close", "bullish"},
		{8 * time.Second, "at 09:15:08", "from yesterday's close: 6 of 8 inputs are of an earlier session", "neutral"},
		{time.Minute, "at 09:16", "from yesterday's close: 6 of 8 inputs are of an earlier session: no signal before half of the weight is of this one", "neutral"},
	} {
		now := friday.Add(c.after)
		r := m.ask(now)["outlook"]
		sound(t, now, r)
		if r.Status != messages.Watching || r.Signal != c.signal || !strings.HasPrefix(r.Reason, c.reason) {
			t.Errorf("%s: %s %s, %q", c.what, r.Status, r.Signal, r.Reason)
		}
	}
	// 09:16, and the index ticks: its reading is of today; it does not outvote the night.
	for _, core := range m.cores {
		tick := messages.Tick{InstrumentToken: indexToken, LastPrice: paise(24950), Open: paise(24940), High: paise(24955), Low: paise(24930), Close: paise(24900), ExchangeTime: uint32(friday.Add(59 * time.Second).Unix()), Mode: messages.ModeFull}
		core.Tick(&tick, 1)
	}
	all := m.ask(friday.Add(time.Minute))
	if r := all["outlook"]; r.Signal != "neutral" || r.Status != messages.Watching || r.Coverage > 0.7 || !strings.Contains(r.Reason, "no signal before half of the weight is of this one") {
		t.Errorf("09:16 with a tick: %+v", r)
	}
	if r := all["instant"]; r.Session != "2026-03-06" || r.Values["trend"] != nil || strings.HasPrefix(r.Reason, "from") {
		t.Errorf("instant counts yesterday's averages: %+v", r)
	}
	for _, kind := range []string{"trend_base", "volume_pulse", "candle_intent", "zone_control"} {
		if r := all[kind]; r.Status != messages.Watching || !strings.HasPrefix(r.Reason, "from yesterday's close") || !r.ValidUntil.Equal(friday.Add(15*time.Minute)) {
			t.Errorf("%s at 09:16: %s %q until %v", kind, r.Status, r.Reason, r.ValidUntil)
		}
	}
	// What is of yesterday fades: less at each minute.
	before := 1.0
	for _, minute := range []int{1, 5, 10, 14} {
		now := friday.Add(time.Duration(minute) * time.Minute)
		for _, e := range m.ask(now)["outlook"].Values["inputs"].([]map[string]any) {
			if e["input"] != "trend_base" {
				continue
			}
			want := math.Round(0.5*(1-float64(minute)/15)*1000) / 1000
			if e["counts"] != want || want >= before || e["reason"] != "from yesterday's close" || e["session"] != "2026-03-05" {
				t.Errorf("minute %d: %v, want %v", minute, e, want)
			}
			before = want
		}
	}
	// Four bars of this session later everything is of today.
	m.volume = 0
	trend(friday, 4, 24950)
	r := m.ask(friday.Add(20 * time.Minute))["outlook"]
	sound(t, friday.Add(20*time.Minute), r)
	for _, e := range r.Values["inputs"].([]map[string]any) {
		if e["session"] != "2026-03-06" || e["counts"] != 1.0 && e["vote"] != nil {
			t.Errorf("20 minutes after the open: %v", e)
		}
	}
	if r.Coverage != 1 {
		t.Errorf("%+v", r)
	}
}

// A feed that is down, as with a token that has died, leaves no reading active:
// not for a bar's length, and it says why.
func TestNothingIsActiveWithoutTicks(t *testing.T) {
	m := newTogether(Calibrated)
	start := time.Unix(clockTime(t, "2026-03-05 09:15:00"), 0)
	for i := range 60 {
		open := 24000 + 12*float64(i)
		b := Candle{Time: start.Add(time.Duration(i) * fiveMinutes), Open: open - 10, High: open + 18, Low: open - 12, Close: open + 15, Volume: 3000}
		if i%4 == 3 {
			b.Low, b.Close = open-20, open-15
		}
		m.trade(b)
	}
	end := start.Add(60 * fiveMinutes)
	active := map[string]bool{}
	for kind, r := range m.ask(end.Add(2 * time.Second)) {
		if r.Status == messages.Active {
			active[kind] = true
		}
	}
	if len(active) < 3 {
		t.Fatalf("a day of one direction makes %v active", active)
	}
	for kind, r := range m.ask(end.Add(2 * time.Minute)) {
		if r.Status == messages.Active {
			t.Errorf("%s is active two minutes after the last tick", kind)
		}
		if active[kind] && r.Status != messages.Unavailable && r.Reason != "no tick has come for 2 min" {
			t.Errorf("%s %s: %q", kind, r.Status, r.Reason)
		}
	}
}

// Momentum and index move stay within a session, whatever the night did.
func TestMovesDoNotReachAcrossTheNight(t *testing.T) {
	now := time.Unix(clockTime(t, "2026-03-03 09:25:00"), 0)
	in := &Input{Underlying: "NIFTY", Now: now, Phase: messages.Open, Index: Window{Interval: fiveMinutes}, Readings: map[string]messages.Reading{}}
	for i := range 75 { // Monday, flat
		in.Index.Closed = append(in.Index.Closed, Candle{Time: now.Add(-24*time.Hour + time.Duration(i-2)*fiveMinutes), Open: 24000, High: 24005, Low: 23995, Close: 24000})
	}
	for i := range 2 { // Tuesday, 3 % higher, flat
		in.Index.Closed = append(in.Index.Closed, Candle{Time: now.Add(time.Duration(i-2) * fiveMinutes), Open: 24720, High: 24725, Low: 24715, Close: 24720})
	}
	if v := indexMove(in); v.vote != 0 || v.reason != "" || !v.oldest.Equal(now.Add(-2*fiveMinutes)) {
		t.Errorf("the index move crosses the night: %+v", v)
	}
	if v := momentum(in); v.vote != 0 || v.reason != "2 of 4 bars of the session so far" {
		t.Errorf("momentum crosses the night: %+v", v)
	}
	for i := 2; i < 4; i++ {
		in.Index.Closed = append(in.Index.Closed, Candle{Time: now.Add(time.Duration(i-2) * fiveMinutes), Open: 24720, High: 24735, Low: 24715, Close: 24730})
	}
	if v := momentum(in); v.vote <= 0 || v.vote > 1 || v.reason != "" {
		t.Errorf("momentum of four bars: %+v", v)
	}
}

func TestOriginsOfReadings(t *testing.T) {
	at := func(s string) time.Time { return time.Unix(clockTime(t, s), 0) }
	for _, c := range []struct {
		now, newest string
		open        bool
		want        string
	}{
		{"2026-03-06 10:00:00", "2026-03-06 09:59:59", true, ""},
		{"2026-03-06 09:16:00", "2026-03-05 15:29:59", true, "from yesterday's close"},
		{"2026-03-09 09:16:00", "2026-03-06 15:29:59", true, "from Friday's close"},
		{"2026-03-06 18:00:00", "2026-03-06 15:29:59", false, "from today's close"},
		{"2026-03-07 12:00:00", "2026-03-06 15:29:59", false, "from yesterday's close"},
		{"2026-03-08 12:00:00", "2026-03-06 15:29:59", false, "from Friday's close"},
		{"2026-03-20 09:16:00", "2026-03-06 15:29:59", true, "from the close of 6 March"},
		{"2026-03-06 09:10:00", "2026-03-06 09:07:59", false, "from before the open"},
		{"2026-03-08 12:00:00", "2026-03-08 11:59:59", true, ""}, // a session that the table does not have
	} {
		in := &Input{Now: at(c.now)}
		if c.open {
			in.Phase = messages.Open
		}
		if got := in.origin(at(c.newest)); got != c.want {
			t.Errorf("at %s of %s: %q, want %q", c.now, c.newest, got, c.want)
		}
	}
	if got := fmt.Sprint(span(2*time.Second), ", ", span(407*time.Second), ", ", span(17*time.Hour+48*time.Minute), ", ", span(80*time.Hour)); got != "2 s, 6 min, 17 h 48 min, 3 days" {
		t.Error(got)
	}
}

// While ticks come, direct analysis stands by; without them its last answer is too
// old to be a reading.
func TestDirectStandsByWhileTicksCome(t *testing.T) {
	now := time.Unix(clockTime(t, "2026-03-02 11:00:00"), 0)
	in := &Input{Now: now, Phase: messages.Open, REST: &Quote{Last: 24100, Close: 24000, At: now.Add(-6 * time.Minute)}}
	in.Index.Running = &Candle{Time: now.Add(-time.Minute), Newest: now.Add(-2 * time.Second), Generation: 3}
	if j := judgeDirect(in); j.Status != messages.Watching || j.Signal != "standby" || !strings.Contains(j.Reason, "6 min old") || j.Confidence != 0 || j.Generation != 3 || j.Values["answer_age_seconds"] != 360.0 {
		t.Errorf("%+v", j)
	}
	in.Index.Running.Newest = now.Add(-2 * time.Minute)
	if j := judgeDirect(in); j.Status != messages.Unavailable || !strings.Contains(j.Reason, "6 min old; refreshes") {
		t.Errorf("%+v", j)
	}
}
