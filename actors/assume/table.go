package assume

import (
	"fmt"
	"strings"

	"kitestring/messages"
)

// Row is one assumption.
type Row struct {
	Name     messages.Assumption
	Claim    string
	Source   string
	Fallback string // what is done when the claim is false
}

// Table is all that is assumed. Sources: docs is Kite Connect's documentation, by
// page; forum the Kite Connect developer forum, by discussion; owner/name#N a
// thread on GitHub.
var Table = []Row{
	{
		messages.OldSocketLives, "An open socket streams on when a later login makes another token: a token is checked at the upgrade only.",
		"forum 19843, 7088, 38787; openalgo#788, #1387, #1419",
		"When the old socket ends while the new one connects, the new one leads at once; each instrument's blind seconds and missed volume are in the gap ledger, and the minutes are filled from history.",
	},
	{
		messages.EqualPackets, "Two sockets of one API key get byte-equal packets.",
		"not documented; users report about two packets a second an instrument",
		"The new socket leads an instrument from its first packet that is not older than the last one, 0.7 s later in the first rotation and 50 ms later in the next ones: nothing goes out after something newer, and the volume misses no step.",
	},
	{
		messages.CachedPacket, "The last packet of each instrument follows its subscription at once, in a closed market too.",
		"forum 766, 6651",
		"What is known of the instrument stays, with its age; an option chain waits for the first packet of its index; ready says so.",
	},
	{
		messages.Heartbeat, "A message comes every second, a heartbeat of one byte when there is nothing else.",
		"docs, WebSocket streaming; forum 766; openalgo#1419",
		"A ping after 1.5 s of silence; after 3 s the socket is opened again, and the blind span is in the gap ledger.",
	},
	{
		messages.RefusalsAgree, "A 403 at the upgrade means that /user/profile refuses the token too.",
		"docs, Exceptions; contradicted by users: forum 51452, 30627; pykiteconnect#102",
		"A 403 at the upgrade is no verdict: the profile is asked, and while it accepts the token one upgrade is tried each 30 s. A socket that streams streams on.",
	},
	{
		messages.RefusalIsFinal, "A token that /user/profile refuses with TokenException stays refused.",
		"docs, Exceptions",
		"A first refusal of a token that streams is asked about again after 2 s before it counts; a login that brings a refused token again has it tried again.",
	},
	{
		messages.SlotFreed, "An API key has three sockets, and the slot of one that closes is free within seconds.",
		"docs, WebSocket streaming; forum 8500, 40313",
		"After a 429 at the upgrade the running sockets stay; the next try is 30 s later, and if slots stay taken a shard closes its socket before it opens the new one.",
	},
	{
		messages.FlushHour, "Kite ends the tokens of the day before between 06:00 and 08:45 IST.",
		"docs, User (06:00); forum 42825 (07:35); openalgo#1387 (about 08:00)",
		"The clock is a hint for words only: /user/profile decides, whenever it is. The observed times are kept.",
	},
	{
		messages.SameToken, "A second login of a day brings the same access token.",
		"forum 9775; contradicted by docs, Exceptions",
		"The same token changes nothing; another one is moved to without losing a tick. The built-in exchange gives another one, so that this can be tried.",
	},
	{
		messages.IndexTime, "A full packet of an index carries the exchange's time.",
		"docs, WebSocket streaming",
		"A tick without a time makes no bar and proves no open market; status says that no tick of now arrives, and history fills the bars.",
	},
	{
		messages.KnownPackets, "Packets have the documented lengths, and instrument tokens the documented segments.",
		"docs, WebSocket streaming; segment 12: gokiteconnect#137, pykiteconnect#243",
		"A packet of another length is skipped and counted, the rest of its frame is used; prices of an unknown segment are divided by 100, and counted.",
	},
	{
		messages.InstrumentTokens, "An instrument token keeps its meaning until its contract has ended; then it may mean another one.",
		"docs, Historical candle data",
		"Instruments are resolved again from each day's file by their columns; a token that means another symbol is not subscribed, and the contract is followed under its new token.",
	},
	{
		messages.WholeFile, "The instruments file of the day is whole at 08:30 IST.",
		"not documented",
		"A file that lacks an underlying or most of an exchange is used with what the file before had, and fetched again until it is whole.",
	},
	{
		messages.OrderFields, "An order update over the socket has order_id and status.",
		"docs, Postbacks; forum 6808",
		"An update without them is passed to nobody; GET /orders after the next connection has the last state of each order.",
	},
	{
		messages.HistoryLimits, "Historical minutes are given for up to 60 days in one request.",
		"forum 12774",
		"The series waits with growing pauses and says why; bars are made of ticks meanwhile, and marked where they are not whole.",
	},
	{
		messages.RequestLimits, "1 quote, 3 historical and 10 other requests a second are let through to an API key.",
		"docs, Exceptions; forum 52882",
		"A 429 says nothing of the token: what was asked for is asked again after a pause, and the last good value stays, with its age.",
	},
}

// Markdown is the table for the README.
func Markdown() string {
	var b strings.Builder
	b.WriteString("| name | what we assume | source | and when it is false |\n|---|---|---|---|\n")
	for _, r := range Table {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", r.Name, r.Claim, r.Source, r.Fallback)
	}
	return b.String()
}
