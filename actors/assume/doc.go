// Package assume is the table of what this program assumes of Kite, and counts,
// while it runs, what was seen for and against each row.
//
// The program is tested against a simulator of its own. What the simulator
// claims of Kite has a source beside it; a claim on which behaviour depends, and
// which only the real exchange can prove, is a row here, with its source and with
// what is done when it is false. The actors that see a fact report it to a
// [Ledger], which they know as a function. The first contradiction of a row is
// logged, shown and exported.
//
// Limits: the counts begin with the process. A row says that something was seen
// that contradicts it, not why: another program that uses the same API key looks
// like an exchange that keeps a slot.
package assume
