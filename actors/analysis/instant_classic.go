package analysis

import (
	"fmt"
	"math"
)

// classicTick is a tick as the predecessor took it: any field may be absent
// (no key) or null (nil), and the two differ in what they do.
type classicTick struct {
	symbol  *string // null: nil
	named   bool    // the symbol is there, be it null
	trend   string
	numbers map[string]*float64
}

// number is a field's value, or otherwise when it is absent or null.
func (t *classicTick) number(name string, otherwise float64) float64 {
	if v := t.numbers[name]; v != nil {
		return *v
	}
	return otherwise
}

// null names the first of the fields that is there and null.
func (t *classicTick) null(names ...string) string {
	for _, name := range names {
		if v, there := t.numbers[name]; there && v == nil {
			return name
		}
	}
	return ""
}

func (t *classicTick) shownSymbol() any {
	switch {
	case t.symbol != nil:
		return *t.symbol
	case t.named:
		return nil
	}
	return "UNKNOWN"
}

// rangePosition is where the price stands in the day's range, 0-100 %; 50 in a
// flat one. A price outside the range gives values outside 0-100.
func rangePosition(price, low, high float64) float64 {
	if high <= low {
		return 50
	}
	return (price - low) / (high - low) * 100
}

// sides collects points for and against.
type sides struct {
	bull, bear int
	reasons    []string
}

func (s *sides) add(bull, bear int, format string, args ...any) {
	if bull == 0 && bear == 0 {
		return
	}
	s.bull += bull
	s.bear += bear
	s.reasons = append(s.reasons, fmt.Sprintf(format, args...))
}

var (
	changeLadder  = []rung{{1, 30}, {0.3, 20}, {0.05, 10}} // beyond, not at, like the next ones
	pcrBullLadder = []rung{{1.5, 25}, {1.2, 18}, {1, 10}}
	pcrBearLadder = []rung{{0.6, 25}, {0.8, 18}, {0.95, 10}}
	volumeLadder  = []rung{{5e6, 10}, {2e6, 7}, {1e6, 5}}
	rangeHigh     = []rung{{75, 10}, {60, 5}}
	rangeLow      = []rung{{25, 10}, {40, 5}}
	classicRSI    = []rung{{3, 35}, {2, 28}, {1, 20}, {0.5, 12}, {0.2, 6}, {0, 2}}
)

// classicInstant judges one tick by the predecessor's formulas, in its names:
// confidence 0-0.95, prices in points. Its indicators are not indicators: rsi
// is read off the change, and the averages off the price.
func classicInstant(t *classicTick) object {
	if name := t.null("price", "high", "low", "open", "close", "volume"); name != "" {
		return object{"error": name + " is null"}
	}
	price := t.number("price", 0)
	high, low, open := t.number("high", price), t.number("low", price), t.number("open", price)
	closed := t.number("close", price)
	if closed == 0 {
		closed = price
	}
	volume := math.Trunc(t.number("volume", 0))
	values := object{
		"price": price, "high": roundDecimal(high, 2), "low": roundDecimal(low, 2), "open": roundDecimal(open, 2),
		"support": roundDecimal(low, 2), "resistance": roundDecimal(high, 2),
		"prev_day_high":  roundDecimal(t.number("prev_day_high", high), 2), // today's, as a rule
		"prev_day_low":   roundDecimal(t.number("prev_day_low", low), 2),
		"prev_day_close": roundDecimal(t.number("prev_day_close", closed), 2),
	}
	if name := t.null("changePercent", "pcr", "oi", "oi_change", "vwap", "prev_day_high", "prev_day_low", "prev_day_close"); name != "" {
		return t.classicFault(name, price, volume, values)
	}
	change, pcr := t.number("changePercent", 0), t.number("pcr", 0)
	position := rangePosition(price, low, high)

	points := classicPoints(t, price, low, high, change, pcr, volume)
	signal, confidence := points.signal()
	out := object{
		"signal": signal, "confidence": confidence, "reasons": points.reasons, "warnings": []string{},
		"entry_price": nil, "stop_loss": nil, "target": nil,
		"indicators": values, "symbol": t.shownSymbol(), "symbol_name": t.shownSymbol(),
	}
	switch signal {
	case "STRONG_BUY", "BUY_SIGNAL":
		out["entry_price"], out["stop_loss"], out["target"] = roundDecimal(price, 2), price*0.995, price*1.01
	case "STRONG_SELL", "SELL_SIGNAL":
		out["entry_price"], out["stop_loss"], out["target"] = roundDecimal(price, 2), price*1.005, price*0.99
	default:
		out["reasons"] = []string{fmt.Sprintf("neutral: %d points up, %d down", points.bull, points.bear)}
	}

	vwap := price
	if volume > 0 {
		vwap = (high + low + price) / 3
	}
	if given := t.number("vwap", 0); given != 0 {
		vwap = given
	}
	values["vwap"], values["vwap_position"] = roundDecimal(vwap, 2), vwapPosition(price, vwap)
	classicAverages(values, price, change < 0)
	trend, lean := "SIDEWAYS", 0.0
	switch t.trend {
	case "bullish":
		trend, lean = "UPTREND", 10
	case "bearish":
		trend, lean = "DOWNTREND", -10
	}
	values["trend"] = trend
	values["volume"], values["pcr"] = positive(volume), positive(roundDecimal(pcr, 2))
	values["volume_strength"] = classicVolumeStrength(t.shownSymbol(), volume)
	rsi := above(math.Abs(change), classicRSI)
	if change < 0 {
		rsi = -rsi
	}
	values["rsi"] = 50 + rsi
	momentum := 50 + min(max(15*change, -30), 30) + 0.2*(position-50) + lean
	values["momentum"] = roundDecimal(min(max(momentum, 0), 100), 1)
	values["candle_strength"] = 0
	if high > low {
		values["candle_strength"] = roundDecimal(min(math.Abs(price-open)/(high-low), 1), 3)
	}
	values["oi_change"] = roundDecimal(t.number("oi_change", 0), 2)
	values["time_quality"] = "GOOD" // at any time of day
	return out
}

// classicFault is the answer to a null among the lesser fields.
func (t *classicTick) classicFault(name string, price, volume float64, values object) object {
	values["vwap"], values["vwap_position"] = roundDecimal(price, 2), "AT_VWAP"
	classicAverages(values, price, true)
	values["trend"], values["volume_strength"], values["time_quality"] = "UNKNOWN", "WEAK_VOLUME", "POOR"
	values["rsi"], values["candle_strength"], values["oi_change"] = 50, 0, 0
	values["volume"], values["pcr"] = volume, nil
	if pcr := t.numbers["pcr"]; pcr != nil {
		values["pcr"] = *pcr
	}
	return object{
		"signal": "WAIT", "confidence": 0.0, "reasons": []string{"the tick is incomplete"}, "warnings": []string{name + " is null"},
		"entry_price": nil, "stop_loss": nil, "target": nil,
		"indicators": values, "symbol": t.shownSymbol(), "symbol_name": "ERROR",
	}
}

func classicPoints(t *classicTick, price, low, high, change, pcr, volume float64) *sides {
	s := &sides{reasons: []string{}}
	s.add(above(change, changeLadder), above(-change, changeLadder), "change %+.2f %%", change)
	if pcr > 0 {
		bull := above(pcr, pcrBullLadder)
		bear := 0
		if bull == 0 {
			bear = below(pcr, pcrBearLadder)
		}
		s.add(bull, bear, "put/call ratio %.2f", pcr)
	}
	if vwap, there := t.numbers["vwap"]; there {
		switch {
		case price > *vwap*1.01:
			s.add(20, 0, "price well above the average")
		case price > *vwap:
			s.add(12, 0, "price above the average")
		case price < *vwap*0.99:
			s.add(0, 20, "price well below the average")
		case price < *vwap:
			s.add(0, 12, "price below the average")
		}
	}
	switch t.trend {
	case "bullish":
		s.add(15, 0, "trend up")
	case "bearish":
		s.add(0, 15, "trend down")
	}
	switch {
	case s.bull > s.bear:
		s.add(above(volume, volumeLadder), 0, "volume")
	case s.bear > s.bull:
		s.add(0, above(volume, volumeLadder), "volume")
	}
	s.addRange(price, low, high)
	return s
}

// signal asks the bulls first: with 40 points on both sides it says buy.
func (s *sides) signal() (signal string, confidence float64) {
	share := func(points int, most float64) float64 { return roundDecimal(min(float64(points)/100, most), 2) }
	switch {
	case s.bull >= 70:
		return "STRONG_BUY", share(s.bull, 0.95)
	case s.bull >= 40:
		return "BUY_SIGNAL", share(s.bull, 0.95)
	case s.bear >= 70:
		return "STRONG_SELL", share(s.bear, 0.95)
	case s.bear >= 40:
		return "SELL_SIGNAL", share(s.bear, 0.95)
	case s.bull > s.bear && s.bull >= 25:
		return "BUY_SIGNAL", share(s.bull, 0.60)
	case s.bear > s.bull && s.bear >= 25:
		return "SELL_SIGNAL", share(s.bear, 0.60)
	}
	return "WAIT", 0
}

// classicAverages stand at fixed distances from the price.
func classicAverages(values object, price float64, over bool) {
	for name, off := range map[string]float64{"ema_9": 0.0005, "ema_21": 0.001, "ema_50": 0.002} {
		if !over {
			off = -off
		}
		values[name] = roundDecimal(price*(1+off), 2)
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
