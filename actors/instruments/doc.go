// Package instruments knows what is traded on each underlying today: its
// index, its near and next future, and the option chain round the money.
//
// Promise: contracts come from the columns of the day's instruments file,
// never from a symbol's spelling or a rule about weekdays. The near contract
// is the one with the earliest expiry that has not passed 15:30 IST; there it
// rolls, without a restart and without a fetch. The next future is subscribed
// three days before. The chain is the nearest expiry's, the strike nearest to
// the spot and 20 strikes on either side; it follows the spot when that has
// moved two strikes away from its middle. The feed always gets the whole set
// ([messages.WantInstruments]) and works out the difference.
//
// The file is streamed, once a day after 08:30 IST and at the first start; a
// restart finds the day's table in the [Store]. A fetch that fails is retried
// with backoff, and each underlying's Reason says so, with the date of the
// file that serves meanwhile. An instrument token that meant another
// tradingsymbol the day before is reported; one that two rows of a file claim
// is not subscribed for the second.
//
// Limits: the spot comes from the feed's last tick of the index; before the
// first one there is no chain. The .env file is neither read nor written.
package instruments
