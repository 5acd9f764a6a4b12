package optionchain

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"
)

// Worked examples of textbooks, to the digits that they print.
func TestBlackByHand(t *testing.T) {
	for _, c := range []struct {
		source     string
		contract   Contract
		volatility float64
		price      float64
		digits     float64
	}{
		// J. Hull, Options, Futures, and Other Derivatives, chapter on futures options:
		// a European put on crude oil, four months. d1 = 0.07216, d2 = -0.07216,
		// N(-d1) = 0.4712, N(-d2) = 0.5288, exp(-0.09x4/12)(20x0.5288-20x0.4712) = 1.12.
		{"Hull", Contract{Put: true, Strike: 20, Forward: 20, Years: 4. / 12, Rate: 0.09}, 0.25, 1.12, 0.005},
		// E. Haug, The Complete Guide to Option Pricing Formulas, Black-76: Brent blend,
		// nine months, exp(-0.1x0.75)(19x0.5482-19x0.4518) = 1.7011, call and put.
		{"Haug, call", Contract{Strike: 19, Forward: 19, Years: 0.75, Rate: 0.10}, 0.28, 1.7011, 0.00005},
		{"Haug, put", Contract{Put: true, Strike: 19, Forward: 19, Years: 0.75, Rate: 0.10}, 0.28, 1.7011, 0.00005},
		// By a table of the normal distribution: F 25000, K 25200, 7 days, 13 %, no
		// rate. s = 0.13x0.13848 = 0.018003; d1 = ln(25000/25200)/s + s/2 = -0.43426,
		// d2 = -0.45227; 25000x0.33205 - 25200x0.32554 = 97.7.
		{"by hand", Contract{Strike: 25200, Forward: 25000, Years: 7. / 365}, 0.13, 97.7, 0.5},
	} {
		if got := c.contract.Price(c.volatility); math.Abs(got-c.price) > c.digits {
			t.Errorf("%s: price %.5f, want %v", c.source, got, c.price)
		}
		if got, err := c.contract.Volatility(c.price); err != nil || math.Abs(got-c.volatility) > c.volatility/50 {
			t.Errorf("%s: volatility %v, want %v: %v", c.source, got, c.volatility, err)
		}
	}
	// At the money the delta is N(s/2): 28 % over nine months, s = 0.24249, N = 0.54825.
	c := Contract{Strike: 19, Forward: 19, Years: 0.75, Rate: 0.10}
	if got, want := c.Delta(0.28), 0.54825*math.Exp(-0.075); math.Abs(got-want) > 1e-5 {
		t.Errorf("delta %v, want %v", got, want)
	}
	put := c
	put.Put = true
	if got, want := put.Delta(0.28), (0.54825-1)*math.Exp(-0.075); math.Abs(got-want) > 1e-5 {
		t.Errorf("delta of the put %v, want %v", got, want)
	}
}

// judge is Black's formula written once more, in another way: the normal
// distribution by the series of Marsaglia (Journal of Statistical Software 11,
// 2004), the volatility by halving, the delta by a difference of prices.
type judge struct{ Contract }

func series(x float64) float64 {
	if math.Abs(x) > 9 {
		return max(0, min(1, math.Inf(int(x))))
	}
	sum, term := x, x
	for i := 3.0; sum+term != sum; i += 2 {
		term *= x * x / i
		sum += term
	}
	return 0.5 + sum*math.Exp(-x*x/2-0.91893853320467274178)
}

func (j judge) price(volatility float64) float64 {
	total := volatility * volatility * j.Years
	d1 := (math.Log(j.Forward) - math.Log(j.Strike) + total/2) / math.Sqrt(total)
	d2 := d1 - math.Sqrt(total)
	call := j.Forward*series(d1) - j.Strike*series(d2)
	if j.Put {
		call += j.Strike - j.Forward
	}
	return call / math.Exp(j.Rate*j.Years)
}

func (j judge) volatility(price float64) float64 {
	low, high := 1e-4, 20.0
	for range 60 {
		if middle := (low + high) / 2; j.price(middle) < price {
			low = middle
		} else {
			high = middle
		}
	}
	return (low + high) / 2
}

func (j judge) delta(volatility float64) float64 {
	up, down := j, j
	step := j.Forward * 1e-5
	up.Forward += step
	down.Forward -= step
	return (up.price(volatility) - down.price(volatility)) / (2 * step)
}

// integral is the price as the expected pay-off, by Simpson's rule on either
// side of the strike.
func (j judge) integral(volatility float64) float64 {
	s := volatility * math.Sqrt(j.Years)
	kink := math.Log(j.Strike/j.Forward)/s + s/2
	from, to := kink, 12.0
	if j.Put {
		from, to = -12, kink
	}
	payoff := func(z float64) float64 {
		return math.Abs(j.Forward*math.Exp(s*z-s*s/2)-j.Strike) * math.Exp(-z*z/2)
	}
	const n = 4000
	sum, h := payoff(from)+payoff(to), (to-from)/n
	for i := 1; i < n; i++ {
		sum += payoff(from+float64(i)*h) * float64(2+2*(i%2))
	}
	return math.Exp(-j.Rate*j.Years) * sum * h / 3 / math.Sqrt(2*math.Pi)
}

// 1,000 random chains, quoted in steps of 0.05 as exchanges do: volatility and
// delta equal those of the second implementation to 1e-6.
func TestVolatilityAgainstASecondImplementation(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	compared, integrated := 0, 0
	for range 1000 {
		forward := 500 * math.Exp(random.Float64()*5) // 500 to 75,000
		years := (5 + random.Float64()*random.Float64()*90*24*60) / (365 * 24 * 60)
		volatility, rate := 0.05+random.Float64(), 0.1*random.Float64()
		step := forward / 400
		for i := -5; i <= 5; i++ {
			c := Contract{Put: random.IntN(2) == 0, Strike: math.Round(forward/step+float64(4*i)) * step, Forward: forward, Years: years, Rate: rate}
			price := math.Round(judge{c}.price(volatility)*20) / 20
			got, err := c.Volatility(price)
			worth := math.Exp(-rate*years) * max(0, c.side()*(c.Forward-c.Strike))
			if price-worth < 0.05 { // rounding took what is above exercise
				if price-worth <= 0 && err == nil {
					t.Fatalf("%+v at %v: volatility %v", c, price, got)
				}
				continue
			}
			want := judge{c}.volatility(price)
			if err != nil || math.Abs(got-want) > 1e-6 {
				t.Fatalf("%+v at %v: volatility %v, want %v: %v", c, price, got, want, err)
			}
			if delta := (judge{c}).delta(want); math.Abs(c.Delta(got)-delta) > 1e-6 {
				t.Fatalf("%+v at %v: delta %v, want %v", c, got, c.Delta(got), delta)
			}
			if compared++; compared%50 == 0 {
				integrated++
				if want := (judge{c}).integral(got); math.Abs(price-want) > 1e-6*forward {
					t.Fatalf("%+v at %v: price %v, want %v", c, got, price, want)
				}
			}
		}
	}
	t.Logf("%d options compared, %d of them with the integral of their pay-off", compared, integrated)
	if compared < 5000 {
		t.Error("the chains are mostly worthless")
	}
}

// Whatever the price, the answer is a volatility that gives it, or an error that
// says why there is none.
func TestVolatilityOfAnyPrice(t *testing.T) {
	nan := math.NaN()
	for _, c := range []struct {
		contract Contract
		price    float64
		want     error
	}{
		{Contract{Strike: 100, Forward: 110, Years: 0.1}, 10, ErrTooLow},
		{Contract{Strike: 100, Forward: 110, Years: 0.1}, 9, ErrTooLow},
		{Contract{Strike: 100, Forward: 110, Years: 0.1}, 110, ErrTooHigh},
		{Contract{Put: true, Strike: 100, Forward: 110, Years: 0.1}, 100, ErrTooHigh},
		{Contract{Strike: 100, Forward: 110}, 12, ErrExpired},
		{Contract{Strike: 100, Forward: 110, Years: -1}, 12, ErrExpired},
		{Contract{Strike: 100, Forward: 110, Years: nan}, 12, ErrExpired},
		{Contract{Strike: 100, Forward: 110, Years: 1}, 0, ErrInput},
		{Contract{Strike: 100, Forward: 110, Years: 1}, nan, ErrInput},
		{Contract{Strike: 0, Forward: 110, Years: 1}, 1, ErrInput},
		{Contract{Strike: 100, Forward: nan, Years: 1}, 1, ErrInput},
	} {
		if v, err := c.contract.Volatility(c.price); !errors.Is(err, c.want) {
			t.Errorf("%+v at %v: %v %v, want %v", c.contract, c.price, v, err, c.want)
		}
	}
	// A minute before the end, far from the money, dear and cheap.
	for _, c := range []Contract{
		{Strike: 25000, Forward: 25003, Years: 1. / (365 * 24 * 60)},
		{Strike: 25000, Forward: 25000, Years: 1. / (365 * 24 * 60)},
		{Strike: 30000, Forward: 25000, Years: 0.02},
		{Put: true, Strike: 12000, Forward: 25000, Years: 0.2, Rate: 0.06},
		{Strike: 10, Forward: 1e5, Years: 3},
	} {
		for _, volatility := range []float64{0.01, 0.1, 0.5, 2, 8} {
			price := c.Price(volatility)
			got, err := c.Volatility(price)
			if err != nil {
				if over := price*math.Exp(c.Rate*c.Years) - max(0, c.side()*(c.Forward-c.Strike)); over > 1e-7 && !errors.Is(err, ErrTooHigh) {
					t.Errorf("%+v at %v: %v", c, volatility, err)
				}
				continue
			}
			if again := c.Price(got); math.Abs(again-price) > 1e-9*(1+price) {
				t.Errorf("%+v at %v: %v gives %v, not %v", c, volatility, got, again, price)
			}
		}
	}
}

func FuzzVolatility(f *testing.F) {
	f.Add(false, 25000.0, 25003.0, 0.01, 0.06, 120.0)
	f.Add(true, 25000.0, 25003.0, 1e-9, 0.0, 0.05)
	f.Fuzz(func(t *testing.T, put bool, strike, forward, years, rate, price float64) {
		if math.Abs(rate) > 1 || !(years < 50) {
			return
		}
		c := Contract{Put: put, Strike: strike, Forward: forward, Years: years, Rate: rate}
		v, err := c.Volatility(price)
		if err == nil && (!(v >= 0) || math.IsInf(v, 0)) {
			t.Fatalf("%+v at %v: %v", c, price, v)
		}
	})
}

// The volatilities of 250 options: at most a millisecond.
func BenchmarkVolatility250(b *testing.B) {
	var contracts []Contract
	var prices []float64
	for i := range 250 {
		c := Contract{Put: i%2 == 0, Strike: 25000 + 50*float64(i/2-62), Forward: 25020, Years: 5. / 365, Rate: Rate}
		contracts = append(contracts, c)
		prices = append(prices, max(0.05, math.Round(c.Price(0.13+0.0001*float64(i))*20)/20))
	}
	b.ReportAllocs()
	for b.Loop() {
		for i := range contracts {
			_, _ = contracts[i].Volatility(prices[i])
		}
	}
}
