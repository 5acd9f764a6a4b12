// Package analysis turns ticks into bars, and bars, ticks and option chains
// into readings: put/call ratio, volume pulse, trend base, candle intent, zone
// control, instant analysis, a direct cross-check over REST, and the outlook
// over them all.
//
// Each analysis is a pure function of its [Input] in one file of its own; one
// generic actor feeds it. What is missing makes a reading unavailable with the
// age of what was last there: no number is ever invented. A closed bar's
// reading does not change afterwards. The numbers of the calibrated formulas that
// a person may choose are declared beside them (see [Parameter]).
//
// Limits: underlyings are an index with one near future and one option chain;
// bars exist between 09:15:00 and 15:29:59 IST of the exchange's clock.
package analysis
