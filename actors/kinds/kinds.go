// Package kinds says in words what each analysis is and what the fields of its
// readings mean: label, unit and help text. The page, the API (/api/v1/kinds), the
// command line and the printed reference show this one table.
//
// A test compares it with what the analyses give: a field without a row fails it,
// and so does a row without a field. It describes profile calibrated; readings of
// profile classic keep the names of the formulas that they reproduce.
package kinds

import (
	"slices"
	"strings"
)

// Kind is an analysis.
type Kind struct {
	Kind    string   `json:"kind"`    // as a reading has it, like pcr
	Title   string   `json:"title"`   // its heading on the page
	About   string   `json:"about"`   // two sentences: what it looks at, and what it cannot tell
	Fields  []Field  `json:"fields"`  // of its values, in the order in which a person reads them
	Signals []string `json:"signals"` // what a reading of it can signal, from up to down
}

// Field is a value of a reading. A name with dots is a field within an object, or
// within each entry of a list.
type Field struct {
	Name  string `json:"name"`  // of the value within a reading, like pcr_volume
	Label string `json:"label"` // the same for a person
	Unit  string `json:"unit"`  // "": none, as of a word
	Help  string `json:"help"`  // what it means, in a sentence
}

// All is the table, in the order of a page.
func All() []Kind {
	return []Kind{outlook, instant, zoneControl, volumePulse, candleIntent, trendBase, pcr, direct}
}

// Numbers are the names of a kind's values that are numbers and stand in no list:
// what an alert can watch.
func Numbers(kind string) (names []string) {
	for _, k := range All() {
		if k.Kind != kind {
			continue
		}
		for _, f := range k.Fields {
			outer, _, _ := strings.Cut(f.Name, ".")
			if f.Unit != "" && f.Unit != exchange && f.Unit != day && !slices.Contains(lists, outer) {
				names = append(names, f.Name)
			}
		}
	}
	return names
}

// Signals are what a reading of the kind can signal.
func Signals(kind string) []string {
	for _, k := range All() {
		if k.Kind == kind {
			return k.Signals
		}
	}
	return nil
}

// lists are the values that hold several entries.
var lists = []string{"inputs", "checks", "reasons", "support", "resistance"}

// units
const (
	points   = "points" // of the index, or of the instrument named: rupees
	percent  = "%"
	ofAll    = "0-100"
	ratio    = "ratio"
	units    = "units" // quantity as Kite counts it, not lots
	share    = "0-1"
	seconds  = "s"
	bars     = "bars"
	exchange = "time"
	day      = "day"
)

var outlook = Kind{
	Kind: "outlook", Title: "Outlook",
	Signals: []string{"bullish", "neutral", "bearish"},
	About:   "One weighted vote over the other analyses, the move since the open and the momentum of the last bars. It sums up what they say now and is no forecast; what is missing or of an earlier session lowers its coverage.",
	Fields: []Field{
		{"lean", "Lean", "-1 to 1", "Weighted mean of the votes: above 0 they lean up, below 0 down. From 0.25 either way it is a signal."},
		{"inputs", "Inputs", "", "The votes that it is made of."},
		{"inputs.input", "Input", "", "Which analysis or measure votes."},
		{"inputs.weight", "Weight", "weight", "What its vote weighs; the weights are 100 in all by default."},
		{"inputs.vote", "Vote", "-1 to 1", "How far it leans: confidence in its direction. Empty: it has none."},
		{"inputs.counts", "Counts", share, "Share of the weight that counts now: 1 for this session, half and falling for an earlier one."},
		{"inputs.session", "Session", day, "Trading day of its newest data."},
		{"inputs.age_seconds", "Age", seconds, "How old its newest data is."},
		{"inputs.reason", "Why", "", "Why it does not vote, or not in full."},
	},
}

var instant = Kind{
	Kind: "instant", Title: "Instant analysis",
	Signals: []string{"strong_buy", "buy_signal", "wait", "sell_signal", "strong_sell"},
	About:   "Adds points for and against a rise from the newest tick, the day's range and the indicators, and takes the larger side. Entry, stop and target are distances in average ranges, not levels that the market knows.",
	Fields: []Field{
		{"price", "Index", points, "Last price of the index."},
		{"checks", "Checks", "", "What was looked at, with the points that it gave."},
		{"checks.name", "Check", "", "change, pcr, vwap, trend, volume or range."},
		{"checks.points", "Points", "points", "Above 0 for a rise, below 0 for a fall, 0 for neither."},
		{"checks.text", "Finding", "", "What was found, or why nothing was."},
		{"points_up", "Points up", "points", "Sum of the points for a rise."},
		{"points_down", "Points down", "points", "Sum of the points for a fall."},
		{"reasons", "Reasons", "", "The findings that gave points."},
		{"entry", "Entry", points, "The price now; empty without a signal."},
		{"stop", "Stop", points, "Entry less one average range against the signal."},
		{"target", "Target", points, "Entry plus two average ranges with the signal."},
		{"change_percent", "Change", percent, "Index against the previous day's close."},
		{"pcr", "Put/call ratio", ratio, "Open interest of puts over that of calls, round the money."},
		{"vwap_future", "Future's VWAP", points, "Volume-weighted average price of the future today."},
		{"off_vwap_percent", "Future off VWAP", percent, "How far the future stands above (+) or below (-) its VWAP."},
		{"trend", "Averages", "", "Order of the three averages: up, down or sideways; empty until a bar of this session has closed."},
		{"ema_9", "EMA 9", points, "Exponential average of the last 9 closes of the index."},
		{"ema_21", "EMA 21", points, "Exponential average of the last 21 closes."},
		{"ema_50", "EMA 50", points, "Exponential average of the last 50 closes."},
		{"rsi", "RSI 14", ofAll, "Wilder's relative strength index: above 70 rises prevail, below 30 falls."},
		{"atr", "ATR 14", points, "Average true range of a bar: how far the index moves in one."},
		{"volume_future", "Future's volume", units, "Traded in the future today."},
		{"range_position", "Place in the day's range", percent, "0 at the day's low, 100 at its high."},
		{"prev_day_high", "Yesterday's high", points, "High of the last trading day; empty unless its bars are whole."},
		{"prev_day_low", "Yesterday's low", points, "Low of the last trading day."},
		{"prev_day_close", "Yesterday's close", points, "Close of the last trading day."},
		{"time_quality", "Time of day", "", "poor in the first and last ten minutes of a session, good between, closed outside."},
	},
}

var zoneFields = []Field{
	{"level", "Level", points, "Mean of the turns, weighted by volume."},
	{"low", "From", points, "Lowest of the turns."},
	{"high", "To", points, "Highest of the turns."},
	{"touches", "Touches", "times", "How often the index turned there."},
	{"distance_percent", "Distance", percent, "From the price; minus: below it."},
	{"strength", "Strength", ofAll, "From touches, volume and nearness; halves with each 50 bars since the last touch."},
	{"age_bars", "Age", bars, "Bars since the last touch."},
	{"active", "In reach", "", "Whether the zone is within 10 % of the price."},
	{"label", "Kind of zone", "", "trap, defensive, supply exhaustion, liquidity pool or standard, by how bars leave it."},
	{"liquidity", "Liquidity", ofAll, "How much trading the zone takes; empty without volume."},
	{"volume_strength", "Volume there", ratio, "Volume of its touches over the mean of the window."},
}

var zoneControl = Kind{
	Kind: "zone_control", Title: "Zone control",
	Signals: []string{"buy_zone", "neutral", "sell_zone"},
	About:   "Finds the prices at which the index turned more than once, and judges whether the nearest one below and above will hold. A zone is a memory of past turns; how often such zones held on this market it does not know.",
	Fields: join(
		[]Field{{"price", "Index", points, "Close of the newest closed bar."}},
		under("nearest_support", "Support", "The nearest zone below the price.", zoneFields...),
		[]Field{
			{"nearest_support.hold_probability", "Holds", ofAll, "Points for a bounce: strength, nearness and room above. No probability in the strict sense."},
			{"nearest_support.break_risk", "Breaks", ofAll, "Points for giving way: nearness, weakness and momentum against it."},
		},
		under("nearest_resistance", "Resistance", "The nearest zone above the price.", zoneFields...),
		[]Field{
			{"nearest_resistance.hold_probability", "Holds", ofAll, "Points for a turn down."},
			{"nearest_resistance.break_risk", "Breaks", ofAll, "Points for giving way."},
		},
		under("support", "Zones of lows", "Zones made of lows, nearest first.", zoneFields...),
		under("resistance", "Zones of highs", "Zones made of highs, nearest first.", zoneFields...),
		[]Field{
			{"zone_strength", "Zones together", "", "strong, moderate or weak: mean strength of the zones."},
			{"zone_width", "Width of a zone", points, "The most that the turns of one zone may lie apart: half an average range."},
		},
	),
}

var volumePulse = Kind{
	Kind: "volume_pulse", Title: "Volume pulse",
	Signals: []string{"buy", "neutral", "sell"},
	About:   "Weighs the future's volume in rising bars against that in falling ones over the last 20 closed bars. Volume says who was busy, not who was right; the bar that still runs is shown and not judged.",
	Fields: []Field{
		{"pulse_score", "Pulse", ofAll, "50 is balance; above it rising bars carry more of the volume, and more of it lately."},
		{"green_percent", "Volume in rising bars", percent, "Share of the volume of rising bars."},
		{"green_volume", "Rising bars' volume", units, "Sum over the window."},
		{"red_volume", "Falling bars' volume", units, "Sum over the window."},
		{"ratio", "Rising / falling", ratio, "Empty when no bar fell."},
		{"trend", "Lean of the volume", "", "bullish, bearish or neutral."},
		{"participation", "Participation", ofAll, "Volume of the newest bar against the mean of the window."},
		{"aggression", "Aggression", ofAll, "How far the newest bar went for its volume, ranked among the last 100."},
		{"exhaustion", "Exhaustion", ofAll, "Signs that the move tires: a spike of volume while the steps shrink."},
		{"volume_quality", "Pattern", "", "absorption, compression, fake breakout, exhaustion, seller exhaustion, healthy or neutral."},
		{"running", "Running bar", "", "The bar that is still growing."},
		{"running.elapsed", "Elapsed", share, "How much of it has passed."},
		{"running.volume", "Volume so far", units, "Traded in it so far."},
		{"running.projected_volume", "Volume at this pace", units, "What it comes to if trading goes on like this."},
	},
}

var candleIntent = Kind{
	Kind: "candle_intent", Title: "Candle intent",
	Signals: []string{"strong_buy", "buy", "wait", "sell", "strong_sell"},
	About:   "Reads the shape and the volume of the future's newest closed bar among the last 20. One bar is little evidence; it matters most near the edge of the window.",
	Fields: []Field{
		{"pattern", "Pattern", "", "rejection, absorption, emotional, breakout setup, healthy move, neutral or flat."},
		{"intent", "Leans", "", "bullish, bearish or neutral."},
		{"strength", "Strength", ofAll, "How marked the pattern is."},
		{"colour", "Colour", "", "green: closed above its open, red: below."},
		{"open", "Future's open", points, "Of the bar. Prices of this card are the future's, not the index's."},
		{"high", "Future's high", points, "Of the bar."},
		{"low", "Future's low", points, "Of the bar."},
		{"close", "Future's close", points, "Of the bar."},
		{"volume", "Volume", units, "Traded in the future in the bar."},
		{"mean_volume", "Mean volume", units, "Of a bar of the window."},
		{"volume_ratio", "Volume / mean", ratio, "1 is a bar like the others."},
		{"volume_type", "Volume is", "", "very high, high, above average, average, low or very low."},
		{"body_percent", "Body", percent, "Part of the range between open and close."},
		{"body", "Body is", "", "strong, moderate, average, small or a doji."},
		{"upper_wick_percent", "Upper wick", percent, "Part of the range above the body."},
		{"lower_wick_percent", "Lower wick", percent, "Part of the range below the body."},
		{"upper_signal", "Upper wick says", "", "bearish, slightly bearish or neutral."},
		{"lower_signal", "Lower wick says", "", "bullish, slightly bullish or neutral."},
		{"efficiency", "Volume and move", "", "absorption: much volume, small move; emotional move: the reverse; healthy: both large."},
		{"near_zone", "Near the edge", "", "Whether the close is within half an average range of the window's high or low."},
		{"inside_bar", "Inside bar", "", "Whether the bar lies within the one before."},
	},
}

var trendBase = Kind{
	Kind: "trend_base", Title: "Trend base",
	Signals: []string{"buy", "neutral", "sell"},
	About:   "Compares the last two confirmed swing highs and lows of the index. A swing is confirmed three bars after it, so a turn shows late, and never changes afterwards.",
	Fields: []Field{
		{"structure", "Structure", "", "Higher or lower highs and lows; undetermined with fewer than two of each."},
		{"trend", "Trend", "", "uptrend, downtrend or sideways."},
		{"integrity_score", "Integrity", ofAll, "50 is none; towards 100 highs and lows rise clearly, towards 0 they fall."},
		{"last_high", "Last swing high", points, "Of the index."},
		{"last_high_at", "at", exchange, "Start of its bar."},
		{"prev_high", "Swing high before", points, "Of the index."},
		{"prev_high_at", "at", exchange, "Start of its bar."},
		{"high_diff", "Highs rose by", points, "Minus: they fell."},
		{"last_low", "Last swing low", points, "Of the index."},
		{"last_low_at", "at", exchange, "Start of its bar."},
		{"prev_low", "Swing low before", points, "Of the index."},
		{"prev_low_at", "at", exchange, "Start of its bar."},
		{"low_diff", "Lows rose by", points, "Minus: they fell."},
		{"provisional", "If the bar closed now", "", "The structure as it would be with the running bar's high and low as swings."},
		{"provisional.structure", "Structure", "", "As above."},
		{"provisional.trend", "Trend", "", "As above."},
		{"provisional.integrity_score", "Integrity", ofAll, "As above."},
		{"provisional.price", "Index", points, "Newest price of the running bar."},
		{"provisional.last_high", "Last high", points, "The running bar's high, where it is a new one."},
		{"provisional.last_low", "Last low", points, "The running bar's low, where it is a new one."},
	},
}

var pcr = Kind{
	Kind: "pcr", Title: "Put/call ratio",
	Signals: []string{"bullish", "neutral", "bearish"},
	About:   "Divides the open interest of puts by that of calls over the strikes round the money of the nearest expiry. Open interest says where positions are, not who holds them: for every buyer there is a writer.",
	Fields: []Field{
		{"pcr", "Put/call ratio", ratio, "By open interest; above 1.2 it counts as bullish, below 0.8 as bearish."},
		{"sentiment", "Sentiment", "", "bullish, bearish or neutral."},
		{"pcr_volume", "By volume", ratio, "By what was traded today."},
		{"pcr_oi_change", "By change since the open", ratio, "By how the open interest has changed since the open; empty unless the open was seen."},
		{"call_oi", "Calls' open interest", units, "Sum over the strikes."},
		{"put_oi", "Puts' open interest", units, "Sum over the strikes."},
		{"call_oi_change", "Calls since the open", units, "Change of their open interest."},
		{"put_oi_change", "Puts since the open", units, "Change of their open interest."},
		{"rotation", "Rotation", "", "ce_to_pe: from calls to puts, pe_to_ce: the reverse, building, unwinding or stable."},
		{"defender", "Firmer side", "", "The side with 1.3 times the other's open interest: calls, puts or none."},
		{"call_wall", "Call wall", points, "Strike of the calls' largest open interest."},
		{"put_wall", "Put wall", points, "Strike of the puts' largest open interest."},
		{"max_pain", "Max pain", points, "Strike at which the options would pay out least if they expired there now."},
		{"straddle", "Straddle", points, "Last prices of call and put at the money together: what a move must exceed to pay."},
		{"expiry", "Expiry", day, "Of the chain."},
		{"options", "Options", "options", "In the chain that is subscribed to."},
	},
}

var direct = Kind{
	Kind: "direct", Title: "Direct analysis",
	Signals: []string{"buy", "wait", "sell", "standby"},
	About:   "Asks Kite over REST for a quote at each new token, when a person asks and while no ticks come: a check from another way in. While ticks come it stands by.",
	Fields: []Field{
		{"price", "Index", points, "Last price in the answer."},
		{"change_pct", "Change", percent, "Against the previous close."},
		{"trend", "Trend", "", "uptrend beyond +0.3 %, downtrend beyond -0.3 %, else sideways."},
		{"open", "Open", points, "Of the day."},
		{"high", "High", points, "Of the day."},
		{"low", "Low", points, "Of the day."},
		{"previous_close", "Previous close", points, "Of the last trading day."},
		{"source", "Source", "", "rest: asked for, not streamed."},
		{"answered_at", "Last answer", exchange, "While it stands by."},
		{"answer_age_seconds", "Age of the answer", seconds, "While it stands by."},
	},
}

// under puts fields below a name of its own.
func under(name, label, help string, fields ...Field) []Field {
	all := []Field{{name, label, "", help}}
	for _, f := range fields {
		f.Name = name + "." + f.Name
		all = append(all, f)
	}
	return all
}

func join(lists ...[]Field) (all []Field) {
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}
