package simulator

import "math"

// walk is a random walk through all time that can be asked at any moment in
// any order and always answers the same: what makes history that nobody ever
// recorded join the live prices. Its value is a logarithm round 0.
//
// Days are the points of a Brownian bridge over 4096 days (so that no price
// runs away), the inside of a day is a bridge from its open to its close; a
// bridge is evaluated by halving it from the top, each midpoint displaced by a
// number hashed from its place.
type walk struct {
	key   uint64
	sigma float64 // of a day

	day      int64 // what follows belongs to it
	from, to float64
}

func newWalk(key uint64, sigma float64) *walk { return &walk{key: key, sigma: sigma, day: -1} }

const (
	yearsLevels = 12 // 4096 days
	dayLevels   = 17 // 131072 steps, finer than a quarter of a second
)

// at is the walk's value at a second of a session. A walk remembers the
// session that it was asked for last, so it is not safe for concurrent use.
func (w *walk) at(s *session, second float64) float64 {
	if w.day != s.day {
		w.day = s.day
		w.from = w.close(s.prev) + 0.3*w.sigma*gauss(hash(w.key, uint64(s.day), 1))
		w.to = w.close(s.day)
	}
	u := second / sessionSeconds
	// The open and the close of a day are livelier than its noon.
	u += 0.35 * math.Sin(2*math.Pi*u) / (2 * math.Pi)
	i := uint32(u * (1 << dayLevels))
	return w.from + (w.to-w.from)*u + bridge(hash(w.key, uint64(s.day), 2), dayLevels, w.sigma*0.8, i)
}

func (w *walk) close(day int64) float64 {
	return bridge(hash(w.key, 0, 3), yearsLevels, w.sigma*64, uint32(day)&(1<<yearsLevels-1))
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

// uniform is in [0, 1).
func uniform(h uint64) float64 { return float64(h>>11) / (1 << 53) }
