// Package optionchain is the mathematics of an option chain: implied volatility
// and delta by Black's formula of 1976, the forward, put/call ratios, walls, max
// pain, and the table that a person reads ([Table.Chain]). It holds no actor; the
// put/call analysis and the actor "chain" compute with it.
//
// Promise: equal input, equal answer. A number that the quotes do not give is nil
// with a reason: no volatility out of a book that is one-sided, crossed or zero
// (unless a trade of the last minute stands in for it), of a price that is not
// above what exercise would bring, without time to expiry, or without a forward.
//
// The forward is the median of what up to five strikes next to the money imply by
// put-call parity: it is what the options themselves are priced on, for each
// expiry; the future of the same expiry serves where no strike has whole books.
// Formulas: F. Black, "The pricing of commodity contracts", Journal of Financial
// Economics 3 (1976). Delta is that to the forward.
//
// Limits: European options (those on Indian indices and shares are). Time to expiry
// is calendar time to the end of the last session, of years of 365 days; in
// the last minutes a tick of the price moves the volatility by points. The rate
// is a constant ([Rate]), shown in each answer.
package optionchain
