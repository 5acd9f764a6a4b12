package instruments

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"kitestring/actors/hours"
	"kitestring/messages"
)

const (
	// wing is how many strikes of the chain stand on either side of the middle.
	wing = 20
	// recentreAfter is how many strikes the spot must be away from the middle:
	// the way back is as long, so that it does not go to and fro.
	recentreAfter = 2
	// announce is how long before its turn the next future is subscribed.
	announce = 3 * 24 * time.Hour
)

// rollsAt is when a contract's last day of trading ends. The file decides the
// day, even one that the table of hours closes.
func rollsAt(in messages.Instrument, table *hours.Table) time.Time {
	if day := table.Day(in.Expiry, hours.Of(in.Token)); day.Trading() {
		return day.Close()
	}
	return table.Regular(in.Expiry, hours.Of(in.Token)).Close()
}

// live is the part of a list that is sorted by expiry and still trades.
func live(list []messages.Instrument, now time.Time, table *hours.Table) []messages.Instrument {
	i := slices.IndexFunc(list, func(in messages.Instrument) bool { return now.Before(rollsAt(in, table)) })
	if i < 0 {
		return nil
	}
	return list[i:]
}

// resolved is an underlying, and until when it stays so by itself.
type resolved struct {
	messages.Underlying
	middle float64   // of the chain; 0: none
	until  time.Time // zero: for ever
}

// resolve works out what stands on an underlying at a moment. spot is 0 when
// it is not known; middle is the one of the last resolution, 0 for none.
func resolve(spec *UnderlyingSpec, c *contracts, now time.Time, table *hours.Table, spot, middle float64) resolved {
	r := resolved{Underlying: messages.Underlying{Name: spec.Name, Index: c.index}}
	var missing []string
	if c.index.Token == 0 {
		missing = append(missing, fmt.Sprintf("no index or share %s:%s in the instruments file", spec.IndexExchange, spec.IndexSymbol))
	}
	if futures := live(c.futures, now, table); len(futures) > 0 {
		r.Future = futures[0]
		r.endsBy(rollsAt(r.Future, table), now)
		if len(futures) > 1 {
			early := rollsAt(r.Future, table).Add(-announce)
			r.endsBy(early, now)
			if !now.Before(early) {
				next := futures[1]
				r.Next = &next
			}
		}
	} else {
		missing = append(missing, fmt.Sprintf("no future of %s on %s that has not expired in the instruments file", spec.Name, spec.DerivativesExchange))
	}
	switch options := live(c.options, now, table); {
	case len(options) == 0:
		missing = append(missing, fmt.Sprintf("no option of %s on %s that has not expired in the instruments file", spec.Name, spec.DerivativesExchange))
	default:
		r.Expiry, r.Expiries = options[0].Expiry, expiriesOf(options)
		r.endsBy(rollsAt(options[0], table), now)
		if spot <= 0 && middle <= 0 {
			missing = append(missing, "no price of the index yet: the option chain waits for its first tick")
			break
		}
		r.chain(options, spot, middle)
	}
	r.Reason = strings.Join(missing, "; ")
	return r
}

// endsBy notes an instant from which the resolution may be another one.
func (r *resolved) endsBy(t, now time.Time) {
	if now.Before(t) && (r.until.IsZero() || t.Before(r.until)) {
		r.until = t
	}
}

// expiriesOf lists the expiries of options that are sorted by expiry.
func expiriesOf(options []messages.Instrument) (expiries []time.Time) {
	for _, in := range options {
		if n := len(expiries); n == 0 || !expiries[n-1].Equal(in.Expiry) {
			expiries = append(expiries, in.Expiry)
		}
	}
	return expiries
}

// ofExpiry is the part of a list that is sorted by expiry.
func ofExpiry(options []messages.Instrument, expiry time.Time) []messages.Instrument {
	from := slices.IndexFunc(options, func(in messages.Instrument) bool { return in.Expiry.Equal(expiry) })
	if from < 0 {
		return nil
	}
	options = options[from:]
	if end := slices.IndexFunc(options, func(in messages.Instrument) bool { return !in.Expiry.Equal(expiry) }); end >= 0 {
		options = options[:end]
	}
	return options
}

// chain picks the strikes round the money; options begin with its expiry.
func (r *resolved) chain(options []messages.Instrument, spot, middle float64) {
	options = ofExpiry(options, r.Expiry)
	r.middle = centre(strikesOf(options), spot, middle)
	r.Chain = round(options, r.middle)
	r.Step = step(strikesOf(r.Chain))
}

// round is the part of an expiry's options next to a price.
func round(options []messages.Instrument, price float64) []messages.Instrument {
	strikes := strikesOf(options)
	if len(strikes) == 0 {
		return nil
	}
	at := nearest(strikes, price)
	strikes = strikes[max(at-wing, 0):min(at+wing+1, len(strikes))]
	var chain []messages.Instrument
	for _, in := range options {
		if in.Strike >= strikes[0] && in.Strike <= strikes[len(strikes)-1] {
			chain = append(chain, in)
		}
	}
	return chain
}

// strikesOf lists the strikes of options that are sorted by strike.
func strikesOf(options []messages.Instrument) []float64 {
	var strikes []float64
	for _, in := range options {
		if n := len(strikes); n == 0 || strikes[n-1] != in.Strike {
			strikes = append(strikes, in.Strike)
		}
	}
	return strikes
}

// centre is the strike in the chain's middle.
func centre(strikes []float64, spot, middle float64) float64 {
	if middle <= 0 {
		return strikes[nearest(strikes, spot)]
	}
	at := nearest(strikes, middle)
	around := step(strikes[max(at-wing, 0):min(at+wing+1, len(strikes))])
	if spot > 0 && math.Abs(spot-middle) >= recentreAfter*around {
		return strikes[nearest(strikes, spot)]
	}
	return strikes[at]
}

// nearest is the index of the strike nearest to a price, the lower of two.
func nearest(strikes []float64, price float64) int {
	i, found := slices.BinarySearch(strikes, price)
	switch {
	case found || i == 0:
		return i
	case i == len(strikes) || price-strikes[i-1] <= strikes[i]-price:
		return i - 1
	default:
		return i
	}
}

// step is the smallest distance between neighbours, 0 for a single strike.
func step(strikes []float64) float64 {
	smallest := 0.0
	for i := 1; i < len(strikes); i++ {
		if d := strikes[i] - strikes[i-1]; smallest == 0 || d < smallest {
			smallest = d
		}
	}
	return smallest
}

// wantsOf is everything that the underlyings need, in full mode: open interest
// exists there only.
func wantsOf(underlyings []messages.Underlying) []messages.Want {
	var wants []messages.Want
	have := map[uint32]bool{}
	add := func(in messages.Instrument) {
		if in.Token != 0 && !have[in.Token] {
			have[in.Token] = true
			wants = append(wants, messages.Want{InstrumentToken: in.Token, Mode: messages.ModeFull, Tradingsymbol: in.Tradingsymbol})
		}
	}
	for _, u := range underlyings {
		add(u.Index)
		add(u.Future)
		if u.Next != nil {
			add(*u.Next)
		}
		for _, in := range u.Chain {
			add(in)
		}
	}
	return wants
}
