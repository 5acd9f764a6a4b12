package tree

import (
	"reflect"
	"slices"
	"strings"

	"github.com/anthdm/hollywood/actor"

	"kitestring/actors/analysis"
	"kitestring/messages"
	"kitestring/supervisor"
)

// wires is who sends what to whom. Lists of receivers in the tree are made of it,
// and a test compares it with the map in messages/doc.go and with the comment of
// each message.
//
// analyses are the actors of package readings; holders are web and every actor
// that uses a token; subscribers are the actors that take ticks, through
// actors.Sink.
var wires = []wiring{
	{"token", "auth, feed", []any{messages.TokenChanged{}}},
	{"token", "auth, web", []any{messages.EnvRejected{}, messages.EnvAccepted{}}},
	{"token", "web", []any{messages.WatchChanged{}}},
	{"auth", "feed", []any{messages.TokenVerdict{}}},
	{"auth", "holders", []any{messages.TokenAdopted{}}},
	{"auth", "web", []any{messages.AuthChanged{}, messages.LoginEnded{}}},
	{"feed", "auth", []any{messages.FeedLive{}}},
	{"feed, instruments, bars, direct, gateway, peers", "auth", []any{messages.TokenDoubted{}}},
	{"web", "auth", []any{messages.ValidateToken{}}},
	{"web", "direct", []any{messages.AskDirect{}}},
	{"instruments, gateway, chain", "feed", []any{messages.WantInstruments{}}},
	{"instruments", "bars, analyses, chain, record, web", []any{messages.InstrumentsResolved{}, messages.FuturesRolled{}}},
	{"market", "auth, feed, bars, analyses, chain, web, bus", []any{messages.PhaseChanged{}}},
	{"feed", "subscribers", []any{messages.Ticks{}}},
	{"feed", "bars, record, web, bus", []any{messages.GapDetected{}}},
	{"feed", "record, web, bus", []any{messages.RotationRecorded{}}},
	{"feed", "web", []any{messages.FeedChanged{}}},
	{"feed", "web, gateway", []any{messages.OrderUpdated{}}},
	{"feed", "gateway", []any{messages.ExchangeTexted{}, messages.InstrumentsRefused{}}},
	{"bars", "analyses, web, bus", []any{messages.BarClosed{}}},
	{"bars", "analyses, web", []any{messages.BarUpdated{}, messages.BarsLoaded{}, messages.GenerationReached{}}},
	{"bars", "record", []any{messages.HistoryAnswered{}}},
	{"feed", "web", []any{messages.DataState{}}},
	{"ready", "web", []any{messages.Readiness{}}},
	{"bars, direct", "analyses, web", []any{messages.DataState{}}},
	{"web", "chain", []any{messages.AskChain{}}},
	{"chain", "web", []any{messages.ChainUpdated{}}},
	{"analyses", "analyses, web, alerts, bus", []any{messages.Reading{}}},
	{"alerts", "web", []any{messages.AlertChanged{}}},
	{"web", "alerts", []any{messages.TestAlert{}}},
}

type wiring struct {
	from, to string
	messages []any
}

// receivers are the addresses of those that a message of type M goes to.
func receivers[M any]() (pids []*actor.PID) {
	for _, w := range wires {
		if !slices.ContainsFunc(w.messages, func(m any) bool { return reflect.TypeOf(m) == reflect.TypeFor[M]() }) {
			continue
		}
		for _, name := range strings.Split(w.to, ", ") {
			if name == "analyses" {
				for _, a := range analysis.All() {
					pids = append(pids, supervisor.PIDOf(a.Kind))
				}
				continue
			}
			pids = append(pids, supervisor.PIDOf(name))
		}
	}
	return pids
}
