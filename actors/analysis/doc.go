// Package analysis judges bars, ticks and option chains: put/call ratio, volume
// pulse, trend base, candle intent, zone control, instant analysis, a direct
// cross-check over REST, and the outlook over them all.
//
// Promise: each analysis is a pure function of its [Input] in one file of its
// own. What is missing makes a reading unavailable with the age of what was last
// there: no number is ever invented. A closed bar's reading does not change
// afterwards. The numbers of the calibrated formulas that a person may choose are
// declared next to them (see [Parameter]).
//
// Limits: underlyings are an index with one near future and one option chain.
// Package readings feeds the analyses, package bars makes their bars.
package analysis
