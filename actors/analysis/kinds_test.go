package analysis

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"kitestring/actors/kinds"
	"kitestring/messages"
)

// named are the names of all fields of a reading's values, dotted within objects
// and the entries of lists.
func named(into map[string]bool, prefix string, value any) {
	switch v := value.(type) {
	case map[string]any:
		for name, inner := range v {
			into[prefix+name] = true
			named(into, prefix+name+".", inner)
		}
	case []any:
		for _, e := range v {
			named(into, prefix, e)
		}
	case []map[string]any:
		for _, e := range v {
			named(into, prefix, e)
		}
	}
}

// numbers notes which of a reading's values are numbers, dotted within objects.
func numbers(into map[string]bool, prefix string, values map[string]any) {
	for name, value := range values {
		switch v := value.(type) {
		case map[string]any:
			numbers(into, prefix+name+".", v)
		case float64, int, int64:
			into[prefix+name] = true
		case nil: // may be one at another time
		default:
			into[prefix+name] = false
		}
	}
}

// Every field that an analysis gives is described, and no other; those that an
// alert can watch are numbers.
func TestEveryFieldIsDescribed(t *testing.T) {
	given := map[string]map[string]bool{}
	note := func(kind string, values map[string]any) {
		if given[kind] == nil {
			given[kind] = map[string]bool{}
		}
		named(given[kind], "", values)
		found := map[string]bool{}
		numbers(found, "", values)
		for name, is := range found {
			if slices.Contains(kinds.Numbers(kind), name) != is {
				t.Errorf("%s of %s is a number: %t; kinds.Numbers says %t", name, kind, is, !is)
			}
		}
	}
	start := time.Unix(clockTime(t, "2026-03-05 09:15:00"), 0)
	for _, back := range []float64{20, 14} { // between two levels, so that there are zones; rising, so that there are swings
		m, price := newTogether(Calibrated), 24000.0
		for i := range 70 {
			step := 20.0
			if i/7%2 == 1 {
				step = -back
			}
			b := Candle{Time: start.Add(time.Duration(i) * fiveMinutes), Open: price, High: max(price, price+step) + 5, Low: min(price, price+step) - 5, Close: price + step, Volume: 1000}
			price += step
			m.trade(b)
			running := messages.Bar{
				Underlying: "NIFTY", Source: messages.FromIndex, Interval: fiveMinutes, Start: b.Time.Add(fiveMinutes), Divisor: 100,
				Open: paise(price), High: paise(price + 3), Low: paise(price - 3), Close: paise(price + 1), Volume: 10, Newest: b.Time.Add(fiveMinutes + time.Second),
			}
			m.update(messages.BarUpdated{Bar: running})
			running.Source = messages.FromFuture
			m.update(messages.BarUpdated{Bar: running})
			for kind, r := range m.ask(b.Time.Add(fiveMinutes + 2*time.Second)) {
				note(kind, r.Values)
			}
		}
	}
	now := start.Add(time.Hour)
	for _, age := range []time.Duration{0, 10 * time.Minute} {
		in := &Input{Now: now, Phase: messages.Open, REST: &Quote{Last: 24100, Close: 24000, At: now.Add(-age)}}
		in.Index.Running = &Candle{Time: now, Newest: now}
		note("direct", judgeDirect(in).Values)
	}
	all := pcrInput(t)
	for i := range all.Chain {
		all.Chain[i].HasOpen = true
	}
	note("pcr", judgePCR(all).Values)
	described := kinds.All()
	if len(described) != len(All()) {
		t.Errorf("%d kinds described, %d analyses", len(described), len(All()))
	}
	fields := 0
	for _, k := range described {
		if _, ok := Find(k.Kind); !ok || k.Title == "" || strings.Count(k.About, ". ")+strings.Count(k.About, ": ") < 1 || !strings.HasSuffix(k.About, ".") {
			t.Errorf("%s: %q, %q: a title and two sentences", k.Kind, k.Title, k.About)
		}
		words := map[string]bool{}
		for _, f := range k.Fields {
			if words[f.Name] || f.Label == "" || !strings.HasSuffix(f.Help, ".") {
				t.Errorf("%s: field %+v: once, with a label and a sentence", k.Kind, f)
			}
			words[f.Name] = true
			fields++
		}
		for _, name := range slices.Sorted(maps.Keys(given[k.Kind])) {
			if !words[name] {
				t.Errorf("%s gives %s, which is not described", k.Kind, name)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(words)) {
			if !given[k.Kind][name] {
				t.Errorf("%s describes %s, which it does not give", k.Kind, name)
			}
		}
	}
	t.Logf("%d fields of %d kinds", fields, len(described))
}
