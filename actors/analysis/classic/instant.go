package classic

import (
	"fmt"
	"math"
)

// Tick is a tick as the predecessor took it: any field may be absent
// (no key) or null (nil), and the two differ in what they do.
type Tick struct {
	Symbol  *string // null: nil
	Named   bool    // the symbol is there, be it null
	Trend   string
	Numbers map[string]*float64
}

// number is a field's value, or otherwise when it is absent or null.
func (t *Tick) number(name string, otherwise float64) float64 {
	if v := t.Numbers[name]; v != nil {
		return *v
	}
	return otherwise
}

// null names the first of the fields that is there and null.
func (t *Tick) null(names ...string) string {
	for _, name := range names {
		if v, there := t.Numbers[name]; there && v == nil {
			return name
		}
	}
	return ""
}

func (t *Tick) shownSymbol() any {
	switch {
	case t.Symbol != nil:
		return *t.Symbol
	case t.Named:
		return nil
	}
	return "UNKNOWN"
}

// RangePosition is where the price stands in the day's range, 0-100 %; 50 in a
// flat one. A price outside the range gives values outside 0-100.
func RangePosition(price, low, high float64) float64 {
	if high <= low {
		return 50
	}
	return (price - low) / (high - low) * 100
}

// Sides collects points for and against.
type Sides struct {
	Bull, Bear int
	Reasons    []string
}

func (s *Sides) Add(bull, bear int, format string, args ...any) {
	if bull == 0 && bear == 0 {
		return
	}
	s.Bull += bull
	s.Bear += bear
	s.Reasons = append(s.Reasons, fmt.Sprintf(format, args...))
}

var (
	ChangeLadder  = []Rung{{1, 30}, {0.3, 20}, {0.05, 10}} // beyond, not at, like the next ones
	PcrBullLadder = []Rung{{1.5, 25}, {1.2, 18}, {1, 10}}
	PcrBearLadder = []Rung{{0.6, 25}, {0.8, 18}, {0.95, 10}}
	VolumeLadder  = []Rung{{5e6, 10}, {2e6, 7}, {1e6, 5}}
	rangeHigh     = []Rung{{75, 10}, {60, 5}}
	rangeLow      = []Rung{{25, 10}, {40, 5}}
	classicRSI    = []Rung{{3, 35}, {2, 28}, {1, 20}, {0.5, 12}, {0.2, 6}, {0, 2}}
)

// Instant judges one tick by the predecessor's formulas, in its names:
// confidence 0-0.95, prices in points. Its indicators are not indicators: rsi
// is read off the change, and the averages off the price.
func Instant(t *Tick) Object {
	if name := t.null("price", "high", "low", "open", "close", "volume"); name != "" {
		return Object{"error": name + " is null"}
	}
	price := t.number("price", 0)
	high, low, open := t.number("high", price), t.number("low", price), t.number("open", price)
	closed := t.number("close", price)
	if closed == 0 {
		closed = price
	}
	volume := math.Trunc(t.number("volume", 0))
	values := Object{
		"price": price, "high": RoundDecimal(high, 2), "low": RoundDecimal(low, 2), "open": RoundDecimal(open, 2),
		"support": RoundDecimal(low, 2), "resistance": RoundDecimal(high, 2),
		"prev_day_high":  RoundDecimal(t.number("prev_day_high", high), 2), // today's, as a rule
		"prev_day_low":   RoundDecimal(t.number("prev_day_low", low), 2),
		"prev_day_close": RoundDecimal(t.number("prev_day_close", closed), 2),
	}
	if name := t.null("changePercent", "pcr", "oi", "oi_change", "vwap", "prev_day_high", "prev_day_low", "prev_day_close"); name != "" {
		return t.classicFault(name, price, volume, values)
	}
	change, pcr := t.number("changePercent", 0), t.number("pcr", 0)
	position := RangePosition(price, low, high)

	points := classicPoints(t, price, low, high, change, pcr, volume)
	signal, confidence := points.Signal()
	out := Object{
		"signal": signal, "confidence": confidence, "reasons": points.Reasons, "warnings": []string{},
		"entry_price": nil, "stop_loss": nil, "target": nil,
		"indicators": values, "symbol": t.shownSymbol(), "symbol_name": t.shownSymbol(),
	}
	switch signal {
	case "STRONG_BUY", "BUY_SIGNAL":
		out["entry_price"], out["stop_loss"], out["target"] = RoundDecimal(price, 2), price*0.995, price*1.01
	case "STRONG_SELL", "SELL_SIGNAL":
		out["entry_price"], out["stop_loss"], out["target"] = RoundDecimal(price, 2), price*1.005, price*0.99
	default:
		out["reasons"] = []string{fmt.Sprintf("neutral: %d points up, %d down", points.Bull, points.Bear)}
	}

	vwap := price
	if volume > 0 {
		vwap = (high + low + price) / 3
	}
	if given := t.number("vwap", 0); given != 0 {
		vwap = given
	}
	values["vwap"], values["vwap_position"] = RoundDecimal(vwap, 2), vwapPosition(price, vwap)
	classicAverages(values, price, change < 0)
	trend, lean := "SIDEWAYS", 0.0
	switch t.Trend {
	case "bullish":
		trend, lean = "UPTREND", 10
	case "bearish":
		trend, lean = "DOWNTREND", -10
	}
	values["trend"] = trend
	values["volume"], values["pcr"] = positive(volume), positive(RoundDecimal(pcr, 2))
	values["volume_strength"] = classicVolumeStrength(t.shownSymbol(), volume)
	rsi := Above(math.Abs(change), classicRSI)
	if change < 0 {
		rsi = -rsi
	}
	values["rsi"] = 50 + rsi
	momentum := 50 + min(max(15*change, -30), 30) + 0.2*(position-50) + lean
	values["momentum"] = RoundDecimal(min(max(momentum, 0), 100), 1)
	values["candle_strength"] = 0
	if high > low {
		values["candle_strength"] = RoundDecimal(min(math.Abs(price-open)/(high-low), 1), 3)
	}
	values["oi_change"] = RoundDecimal(t.number("oi_change", 0), 2)
	values["time_quality"] = "GOOD" // at any time of day
	return out
}

// classicFault is the answer to a null among the lesser fields.
func (t *Tick) classicFault(name string, price, volume float64, values Object) Object {
	values["vwap"], values["vwap_position"] = RoundDecimal(price, 2), "AT_VWAP"
	classicAverages(values, price, true)
	values["trend"], values["volume_strength"], values["time_quality"] = "UNKNOWN", "WEAK_VOLUME", "POOR"
	values["rsi"], values["candle_strength"], values["oi_change"] = 50, 0, 0
	values["volume"], values["pcr"] = volume, nil
	if pcr := t.Numbers["pcr"]; pcr != nil {
		values["pcr"] = *pcr
	}
	return Object{
		"signal": "WAIT", "confidence": 0.0, "reasons": []string{"the tick is incomplete"}, "warnings": []string{name + " is null"},
		"entry_price": nil, "stop_loss": nil, "target": nil,
		"indicators": values, "symbol": t.shownSymbol(), "symbol_name": "ERROR",
	}
}

func classicPoints(t *Tick, price, low, high, change, pcr, volume float64) *Sides {
	s := &Sides{Reasons: []string{}}
	s.Add(Above(change, ChangeLadder), Above(-change, ChangeLadder), "change %+.2f %%", change)
	if pcr > 0 {
		bull := Above(pcr, PcrBullLadder)
		bear := 0
		if bull == 0 {
			bear = Below(pcr, PcrBearLadder)
		}
		s.Add(bull, bear, "put/call ratio %.2f", pcr)
	}
	if vwap, there := t.Numbers["vwap"]; there {
		switch {
		case price > *vwap*1.01:
			s.Add(20, 0, "price well above the average")
		case price > *vwap:
			s.Add(12, 0, "price above the average")
		case price < *vwap*0.99:
			s.Add(0, 20, "price well below the average")
		case price < *vwap:
			s.Add(0, 12, "price below the average")
		}
	}
	switch t.Trend {
	case "bullish":
		s.Add(15, 0, "trend up")
	case "bearish":
		s.Add(0, 15, "trend down")
	}
	switch {
	case s.Bull > s.Bear:
		s.Add(Above(volume, VolumeLadder), 0, "volume")
	case s.Bear > s.Bull:
		s.Add(0, Above(volume, VolumeLadder), "volume")
	}
	s.AddRange(price, low, high)
	return s
}

// Signal asks the bulls first: with 40 points on both sides it says buy.
func (s *Sides) Signal() (signal string, confidence float64) {
	share := func(points int, most float64) float64 { return RoundDecimal(min(float64(points)/100, most), 2) }
	switch {
	case s.Bull >= 70:
		return "STRONG_BUY", share(s.Bull, 0.95)
	case s.Bull >= 40:
		return "BUY_SIGNAL", share(s.Bull, 0.95)
	case s.Bear >= 70:
		return "STRONG_SELL", share(s.Bear, 0.95)
	case s.Bear >= 40:
		return "SELL_SIGNAL", share(s.Bear, 0.95)
	case s.Bull > s.Bear && s.Bull >= 25:
		return "BUY_SIGNAL", share(s.Bull, 0.60)
	case s.Bear > s.Bull && s.Bear >= 25:
		return "SELL_SIGNAL", share(s.Bear, 0.60)
	}
	return "WAIT", 0
}

// classicAverages stand at fixed distances from the price.
func classicAverages(values Object, price float64, over bool) {
	for name, off := range map[string]float64{"ema_9": 0.0005, "ema_21": 0.001, "ema_50": 0.002} {
		if !over {
			off = -off
		}
		values[name] = RoundDecimal(price*(1+off), 2)
	}
}

func vwapPosition(price, vwap float64) string {
	if vwap <= 0 {
		return "AT_VWAP"
	}
	switch off := (price - vwap) / vwap * 100; {
	case off > 0.1:
		return "ABOVE_VWAP"
	case off < -0.1:
		return "BELOW_VWAP"
	}
	return "AT_VWAP"
}

func classicVolumeStrength(symbol any, volume float64) string {
	strong, moderate := 5e6, 1e6
	switch symbol {
	case "SENSEX":
		strong, moderate = 50_000, 20_000
	case "NIFTY", "BANKNIFTY":
		strong, moderate = 1e6, 500_000
	}
	switch {
	case volume > strong:
		return "STRONG_VOLUME"
	case volume > moderate:
		return "MODERATE_VOLUME"
	}
	return "WEAK_VOLUME"
}

// positive is v, or null.
func positive(v float64) any {
	if v > 0 {
		return v
	}
	return nil
}

// AddRange counts where in the day's range the price stands.
func (s *Sides) AddRange(price, low, high float64) {
	position := RangePosition(price, low, high)
	if up := Above(position, rangeHigh); up > 0 {
		s.Add(up, 0, "Price near day's high (%.0f %%)", position)
	} else {
		s.Add(0, Below(position, rangeLow), "Price near day's low (%.0f %%)", position)
	}
	switch {
	case high > 0 && math.Abs(high-price)/high < 0.002:
		s.Add(0, 8, "near the day's high")
	case low > 0 && math.Abs(price-low)/low < 0.002:
		s.Add(8, 0, "near the day's low")
	}
}
