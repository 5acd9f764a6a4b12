package simulator

import "math"

// walk is a random walk through all time that can be asked at any moment in
// any order and always answers the same: what makes history that nobody ever
// recorded join the live prices. Its value is a logarithm round 0.
//
// Every 64 weekdays stands an anchor, so that no price runs away; the closes
// between are a Brownian bridge from anchor to anchor, the inside of a day is
// one from its open to its close. A bridge is evaluated by halving it from the
// top, each midpoint displaced by a number hashed from its place.
type walk struct {
	key   uint64
	sigma float64 // of a day
	long  float64 // of the anchors

	days [4]dayWalk // by the day's last bits: a session and the one before are both at hand
	memo bool       // remember what the unwatched trades ask for
}

type dayWalk struct {
	day      int64
	from, to float64
	at       []float64 // every virtualSeconds; NaN: not asked yet
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
// sessions that it was asked for last, so it is not safe for concurrent use.
func (w *walk) at(s *session, second float64) float64 {
	d := &w.days[s.day&3]
	if d.day != s.day {
		d.day = s.day
		d.from = w.close(s.prev) + 0.3*w.sigma*gauss(hash(w.key, uint64(s.day), 1))
		d.to = w.close(s.day)
		if w.memo {
			if d.at == nil {
				d.at = make([]float64, sessionSeconds/virtualSeconds+1)
			}
			for i := range d.at {
				d.at[i] = math.NaN()
			}
		}
	}
	whole := int(second)
	if !w.memo || float64(whole) != second || whole%virtualSeconds != 0 {
		return w.inside(d, second)
	}
	v := &d.at[whole/virtualSeconds]
	if math.IsNaN(*v) {
		*v = w.inside(d, second)
	}
	return *v
}

func (w *walk) inside(d *dayWalk, second float64) float64 {
	u := second / sessionSeconds
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
