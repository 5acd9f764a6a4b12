// Package market is the exchange's day: which phase it is in, whether it is a
// trading day, whether a login is due.
//
// Promise: [messages.PhaseChanged] goes to every listener at the start and at
// each change, within 200 ms of the injected clock, also when that clock runs
// fast or is moved, forwards or backwards. The hours are those of
// [hours.Table], of which this actor keeps the one in use. Ticks that arrive
// outside of them win over the table, on every day, with a warning; a table
// that does not know the year, a replacement that cannot be read, a clock that
// is not the exchange's, and silence after an opening are warnings too.
//
// Limits: one phase for the equities of NSE and BSE and their derivatives: the
// market is open while one of them trades.
package market
