// Package messages is the language between actors: data that crosses a package
// border, one file a topic, and nothing that acts.
//
// # Who says what to whom
//
// The same table stands in supervisor/tree/wires.go, with what analyses, holders
// and subscribers are; a test compares the two.
//
//	token -> auth, feed: TokenChanged: a new value stands in the .env file (a candidate, not yet proven)
//	token -> auth, web: EnvRejected, EnvAccepted: the file cannot be used as it is; it can again
//	token -> web: WatchChanged: the state of the watch on the file (events, or polling only)
//	auth -> feed: TokenVerdict: what /user/profile said of a generation
//	auth -> holders: TokenAdopted: the generation to work with from now on; sent again to those that lag
//	auth -> web: AuthChanged: the state of the token, in words
//	auth -> web: LoginEnded: a login came to an end, well or badly
//	feed -> auth: FeedLive: a valid frame arrived on a socket of a generation
//	feed, instruments, bars, direct, gateway, peers -> auth: TokenDoubted: Kite answered 403, here or to the peer: ask the profile
//	web -> auth: ValidateToken: a person asks for a check now
//	web -> direct: AskDirect: a person asks for a cross-check over REST
//	instruments, gateway, chain -> feed: WantInstruments: the instruments that an owner needs, with their modes
//	instruments -> bars, analyses, chain, record, web: InstrumentsResolved: index, future and option chain of each underlying
//	instruments -> bars, analyses, chain, record, web: FuturesRolled: the near contract has changed
//	market -> auth, feed, bars, analyses, chain, web, bus: PhaseChanged: pre-open, open, closing, closed
//	feed -> subscribers: Ticks: what the exchange sent; a slow subscriber gets Minutes of its mailbox in their place
//	feed -> bars, record, web, bus: GapDetected: instruments were blind for a while
//	feed -> record, web, bus: RotationRecorded: the receipt of a new token
//	feed -> web: FeedChanged: the state of the sockets
//	feed -> web, gateway: OrderUpdated: an order has another state
//	feed -> gateway: ExchangeTexted: a message text of Kite's, for its users
//	feed -> gateway: InstrumentsRefused: wanted instruments that are not streamed, and why
//	bars -> analyses, web, bus: BarClosed: a bar has ended
//	bars -> analyses, web: BarUpdated, BarsLoaded: a bar moves, was loaded from history
//	bars -> record: HistoryAnswered: what Kite's history had of an instrument
//	bars -> analyses, web: GenerationReached: ticks of a session have come as far as the bars
//	feed -> web: DataState: the order book is refused, and why; it comes again
//	ready -> web: Readiness: what the trading day needs, and what of it is missing
//	bars, direct -> analyses, web: DataState: history or quotes are refused or empty, and why; they come again
//	web -> chain: AskChain: a person asks for the option chain of another expiry
//	chain -> web: ChainUpdated: the option chain of an underlying and an expiry
//	analyses -> analyses, web, alerts, bus: Reading: what an analysis says; to those analyses that build on it
//	alerts -> web: AlertChanged: the condition of a configured alert has begun, or is over
//	web -> alerts: TestAlert: a person asks for the message of an alert
//
// A token travels only inside a [Session]; everything that depends on it
// carries the session's [Generation]. Receivers drop what is older than what
// they hold.
//
// In an edge (supervisor/tree/edge.go) the actor edge stands in the place of feed
// and auth: the gateway's messages to them go to it, and it sends the gateway
// Ticks and OrderUpdated.
//
// [ToAuth] and [ToFeed] are sealed: the sum-type check reports a message that
// their receiver does not answer.
//
// Prices are integers as Kite sends them, with the segment's [Divisor]; times
// are UTC instants.
package messages
