// Package market is the exchange's day: which phase it is in, whether it is a
// trading day, whether a login is due.
//
// Promise: [messages.PhaseChanged] goes to every listener at the start and at
// each change, within 200 ms of the injected clock, also when that clock runs
// fast or is moved, forwards or backwards. Ticks that arrive on a day that the
// table calls a holiday win over the table, with a warning; a table that does
// not know the year, a replacement that cannot be read, and silence after the
// open are warnings too.
//
// Limits: one calendar for the equities of NSE and BSE and their derivatives,
// which keep the same days and hours; commodities and currencies have others.
package market
