package simulator

import (
	"math"
	"slices"
	"time"

	"kitestring/messages"
)

// prices is what everything costs at every moment, past ones included: a
// pure function of the seed. Not safe for concurrent use (walks remember).
type prices struct {
	seed   uint64
	cal    *calendar
	unders []*underlying
	market *walk // what moves everything together
}

func newPrices(seed uint64, cal *calendar) *prices {
	p := &prices{seed: seed, cal: cal, unders: underlyings(), market: sharedWalk(hash(seed, 1, 6), 0.007, 0.04)}
	own := map[string]float64{"NIFTY": 0.0006, "BANKNIFTY": 0.004, "SENSEX": 0.0012}
	for _, u := range p.unders {
		key := hash(seed, hashString(u.name), 7)
		u.own = sharedWalk(hash(key, 0, 1), own[u.name], 5*own[u.name])
		u.basis = sharedWalk(hash(key, 0, 2), 0.0002, 0)
		u.sentiment = sharedWalk(hash(key, 0, 3), 0.08, 0.15)
		u.scale, u.refDay = 1, -1
	}
	return p
}

// spot is an index' level in points.
func (p *prices) spot(u *underlying, s *session, second float64) float64 {
	return u.base * u.scale * math.Exp(p.market.at(s, second)+u.own.at(s, second))
}

// reference is the level that a day's contracts are arranged round: where the
// index closed the day before or, in a playback, where it stands.
func (p *prices) reference(u *underlying, s *session) float64 {
	if u.played != 0 {
		return float64(u.played) / 100
	}
	if u.refDay != s.day {
		u.refDay = s.day
		u.refSpot = u.base * u.scale * math.Exp(p.market.close(s.prev)+u.own.close(s.prev))
	}
	return u.refSpot
}

// of is an instrument's price in paise (every segment that is traded here has
// the divisor 100).
func (p *prices) of(in *instrument, s *session, second float64) int32 {
	switch in.kind {
	case index:
		if in.under.played != 0 {
			return in.under.played
		}
		return round(p.spot(in.under, s, second), in.paise)
	case volatility:
		return round(p.volatility(in, s, second), in.paise)
	case equity:
		return round(in.base*math.Exp(in.beta*p.market.at(s, second)+in.own.at(s, second)), in.paise)
	case future:
		if in.under.played != 0 {
			return in.under.played // to the paisa, so that its bars can be compared too
		}
		years := yearsTo(in.expiry, s, second)
		noise := in.under.basis.at(s, second) * min(1, years*52)
		return round(p.spot(in.under, s, second)*math.Exp(carry*years+noise), in.paise)
	default:
		return p.option(in, s, second)
	}
}

// carry is the yearly interest in a future's price.
const carry = 0.065

func yearsTo(expiry time.Time, s *session, second float64) float64 {
	left := expiry.Sub(s.open).Seconds() - second
	return max(left, 0) / (365 * 24 * 3600)
}

func (p *prices) volatility(in *instrument, s *session, second float64) float64 {
	return in.base * math.Exp(in.own.at(s, second)-2*p.market.at(s, second))
}

// option is Black's formula on the future, with a smile.
func (p *prices) option(in *instrument, s *session, second float64) int32 {
	u := in.under
	years := yearsTo(in.expiry, s, second)
	var level float64
	if u.played != 0 {
		level = float64(u.played) / 100
	} else {
		level = p.spot(u, s, second)
	}
	forward := level * math.Exp(carry*years)
	value := 0.0
	if years > 0 {
		distance := math.Log(in.Strike / forward)
		sigma := 0.13 * (1 + 3*distance*distance - 0.8*distance) * math.Sqrt(years)
		d1 := -distance/sigma + sigma/2
		value = forward*cumulative(d1) - in.Strike*cumulative(d1-sigma)
	} else {
		value = max(forward-in.Strike, 0)
	}
	if in.Type == "PE" {
		value -= forward - in.Strike
	}
	return max(round(value, in.paise), in.paise)
}

// cumulative is the standard normal distribution.
func cumulative(x float64) float64 { return math.Erfc(-x/math.Sqrt2) / 2 }

// round brings rupees to the nearest price step, in paise.
func round(rupees float64, step int32) int32 {
	return int32(math.Round(rupees*100/float64(step))) * step
}

// moneyness is how many strikes an option lies above the reference.
func (p *prices) moneyness(in *instrument, s *session) float64 {
	return (in.Strike - p.reference(in.under, s)) / float64(in.under.step)
}

// minuteVolume is the quantity that an instrument trades in a minute, a
// multiple of its lot.
func (p *prices) minuteVolume(in *instrument, s *session, minute int) uint32 {
	if in.perMinute == 0 {
		return 0
	}
	u := 60 * float64(minute) / float64(s.length)
	v := in.perMinute * (1 + 0.8*math.Cos(2*math.Pi*u)) // the ends of a day are busier
	v *= math.Exp(0.5 * gauss(hash(in.key, uint64(s.day), uint64(minute)+16)))
	lot := float64(max(in.LotSize, 1))
	if in.kind == option {
		m := p.moneyness(in, s)
		v *= math.Exp(-math.Abs(m) / 6)
	}
	return uint32(v/lot) * uint32(lot)
}

// openInterest is a derivative's, a multiple of its lot. Calls gather above
// the money and puts below; the day's sentiment leans on the puts.
func (p *prices) openInterest(in *instrument, s *session, second float64) uint32 {
	if in.kind != future && in.kind != option {
		return 0
	}
	lot := float64(in.LotSize)
	v := in.perMinute * 900
	if in.kind == option {
		m := p.moneyness(in, s)
		side := math.Tanh(m / 6)
		v = in.under.optionOI * (in.perMinute / in.under.optionVolume)
		if in.Type == "PE" {
			side = -side
			v *= math.Exp(in.under.sentiment.at(s, second))
		}
		v *= math.Exp(-math.Abs(m)/10) * (1 + 0.6*side)
		if int(in.Strike)%(10*in.under.step) == 0 {
			v *= 2 // round strikes
		}
	}
	v *= math.Exp(in.own.at(s, second))
	return uint32(v/lot) * uint32(lot)
}

// tradable is false for indices.
func (in *instrument) tradable() bool { return messages.SegmentOf(in.Token) != messages.Indices }

// walk is a random walk through all time that can be evaluated at any moment in
// any order and always gives the same: so history that was never recorded joins
// the live prices. Its value is a logarithm round 0.
//
// Every 64 weekdays stands an anchor, so that no price runs away; the closes
// between are a Brownian bridge from anchor to anchor, the inside of a day is
// one from its open to its close. A bridge is evaluated by halving it from the
// top, each midpoint displaced by a number hashed from its position.
type walk struct {
	key   uint64
	sigma float64 // of a day
	long  float64 // of the anchors

	days [4]dayWalk // by the day's last bits: a session and the one before are both needed
	memo bool       // keep what trades without subscribers need
}

type dayWalk struct {
	day      int64
	from, to float64
	at       []float64 // every virtualSeconds; NaN: not computed yet
}

const (
	blockLevels = 6  // 64 weekdays
	dayLevels   = 17 // 131072 steps, finer than a quarter of a second
)

func newWalk(key uint64, sigma, long float64) *walk {
	w := &walk{key: key, sigma: sigma, long: long}
	for i := range w.days {
		w.days[i].day = -1
	}
	return w
}

// sharedWalk makes a walk that many instruments follow.
func sharedWalk(key uint64, sigma, long float64) *walk {
	w := newWalk(key, sigma, long)
	w.memo = true
	return w
}

// at is the walk's value at a second of a session. A walk remembers the
// sessions that it was evaluated for last, so it is not safe for concurrent use.
func (w *walk) at(s *session, second float64) float64 {
	d := &w.days[s.day&3]
	if d.day != s.day {
		d.day = s.day
		d.from = w.close(s.prev) + 0.3*w.sigma*gauss(hash(w.key, uint64(s.day), 1))
		d.to = w.close(s.day)
		if w.memo {
			d.at = slices.Grow(d.at[:0], s.length/virtualSeconds+1)[:s.length/virtualSeconds+1]
			for i := range d.at {
				d.at[i] = math.NaN()
			}
		}
	}
	second = min(second, float64(s.length))
	whole := int(second)
	if !w.memo || float64(whole) != second || whole%virtualSeconds != 0 {
		return w.inside(d, second/float64(s.length))
	}
	v := &d.at[whole/virtualSeconds]
	if math.IsNaN(*v) {
		*v = w.inside(d, second/float64(s.length))
	}
	return *v
}

// inside is the walk's value at a share of the day.
func (w *walk) inside(d *dayWalk, u float64) float64 {
	// The open and the close of a day are livelier than its noon.
	u += 0.35 * math.Sin(2*math.Pi*u) / (2 * math.Pi)
	i := uint32(u * (1 << dayLevels))
	return d.from + (d.to-d.from)*u + bridge(hash(w.key, uint64(d.day), 2), dayLevels, w.sigma*0.8, i)
}

func (w *walk) close(day int64) float64 {
	day = weekdays(day)
	block, i := day>>blockLevels, uint32(day)&(1<<blockLevels-1)
	a, b := w.anchor(block), w.anchor(block+1)
	return a + (b-a)*float64(i)/(1<<blockLevels) + bridge(hash(w.key, uint64(block), 3), blockLevels, w.sigma*8, i)
}

// weekdays numbers days without weekends, over which nothing moves.
func weekdays(day int64) int64 {
	day += 2 // the calendar starts on a Wednesday
	return day/7*5 + min(day%7, 4)
}

func (w *walk) anchor(block int64) float64 {
	return w.long * gauss(hash(w.key, uint64(block), 4))
}

// bridge is the value at i of a Brownian bridge from 0 to 0 over 1<<levels
// steps; sigma is the standard deviation of the free walk over that length.
func bridge(key uint64, levels int, sigma float64, i uint32) float64 {
	lo, hi := uint32(0), uint32(1)<<levels
	if i == lo || i >= hi {
		return 0
	}
	var vlo, vhi float64
	for sd := sigma / 2; ; sd *= math.Sqrt2 / 2 {
		mid := (lo + hi) / 2
		v := (vlo+vhi)/2 + sd*gauss(mix(key+uint64(mid)*0x9e3779b97f4a7c15))
		switch {
		case i == mid:
			return v
		case i < mid:
			hi, vhi = mid, v
		default:
			lo, vlo = mid, v
		}
	}
}

// mix is the finisher of splitmix64.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func hash(a, b, c uint64) uint64 {
	return mix(mix(mix(a+0x9e3779b97f4a7c15)+b+0x9e3779b97f4a7c15) + c + 0x9e3779b97f4a7c15)
}

// gauss is nearly normal with variance 1: four uniform numbers added.
func gauss(h uint64) float64 {
	sum := h&0xffff + h>>16&0xffff + h>>32&0xffff + h>>48
	return (float64(sum)/65535 - 2) * 1.7320508
}
