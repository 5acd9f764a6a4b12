// Package messages is the language of the house: data that crosses a package
// border, one file a topic, and nothing that acts.
//
// # Who says what to whom
//
//	token      -> auth, feed        TokenChanged      a new value stands in the .env file (a candidate, not yet proven)
//	token      -> auth, web         EnvRejected       the file cannot be used as it is; EnvAccepted when it can again
//	token      -> web               WatchChanged      the watcher's own health (events or polling only)
//	auth       -> feed              TokenVerdict      what /user/profile said of a generation
//	auth       -> every holder      TokenAdopted      the generation that everybody works with from now on; again to who lags
//	auth       -> web               AuthChanged       the state of the token, in words
//	feed       -> auth              FeedLive          a valid frame arrived on a socket of a generation
//	feed, REST -> auth              TokenDoubted      Kite answered 403: ask the profile
//	web        -> auth              ValidateToken     a person asks for a check now
//	auth       -> web               LoginEnded        a login came to an end, well or badly
//	instruments-> feed              WantInstruments   the instruments that an owner needs, with their modes
//	instruments-> analyses, web     InstrumentsResolved  index, future and option chain of each underlying
//	instruments-> analyses, web     FuturesRolled     the near contract has changed
//	market     -> everybody         PhaseChanged      pre-open, open, closing, closed
//	feed       -> tick subscribers  *Ticks, *Minutes  what the exchange sent (through actors.Sink, never Send)
//	feed       -> bars, web         GapDetected       instruments were blind for a while
//	feed       -> web               FeedChanged, RotationRecorded, OrderUpdated
//	bars       -> analyses, web     BarClosed, BarUpdated, BarsLoaded
//	bars       -> analyses          GenerationReached  ticks of a session have come as far as the bars
//	analyses   -> outlook, web      Reading
//	web        -> direct            AskDirect         a person asks for a cross-check over REST
//
// A token travels only inside a [Session]; everything that depends on it
// carries the session's [Generation]. Receivers drop what is older than what
// they hold.
//
// Each receiver with duties has a sealed interface ([ToAuth], [ToFeed], ...)
// so that the sum-type check reports a message that it forgot to answer.
//
// Prices are integers as Kite sends them, with the segment's [Divisor]; times
// are UTC instants.
package messages
