package rehearse

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"kitestring/actors/simulator"
	"kitestring/actors/web/api"
	"kitestring/messages"
)

// assumeDrill has the simulator contradict one row of what is assumed of Kite.
// The steps contradict it and demand its fallback.
func assumeDrill(name messages.Assumption, inject, hold string, setup Setup, steps func(r *Rig)) Drill {
	return Drill{
		Name: "assume-" + strings.ReplaceAll(string(name), "_", "-"), Topic: Market, Setup: setup, Limit: 4 * time.Minute,
		Inject: inject, Hold: "the row " + string(name) + " says contradicted, once in the log; " + hold,
		Steps: func(r *Rig) {
			if before := r.assumption(name); before.Verdict == messages.AssumptionContradicted {
				failf("contradicted before anything was done: %+v", before)
			}
			steps(r)
			var row messages.AssumptionStatus
			r.within(20*time.Second, "the row says contradicted", func() (bool, any) {
				row = r.assumption(name)
				return row.Verdict == messages.AssumptionContradicted && row.Contradicted > 0 && row.FirstContradictedAt != nil, row
			})
			if n := len(r.logged("an assumption about kite is contradicted for the first time", `"`+string(name)+`"`)); n != 1 {
				failf("the log says %d times that %s is contradicted", n, name)
			}
			if r.metric("kitestring_assumption", "name", string(name), "verdict", string(messages.AssumptionContradicted)) != 1 {
				failf("the metric does not say that %s is contradicted", name)
			}
			r.note("seen %d, contradicted %d", row.Seen, row.Contradicted)
		},
	}
}

func (r *Rig) assumption(name messages.Assumption) messages.AssumptionStatus {
	rows := get[[]messages.AssumptionStatus](r, "/api/v1/assumptions")
	i := slices.IndexFunc(rows, func(a messages.AssumptionStatus) bool { return a.Name == name })
	if i < 0 {
		failf("there is no row %s in %+v", name, rows)
	}
	return rows[i]
}

// lossless rotates once and demands that nothing is lost or repeated.
func (r *Rig) lossless() { nothingLost(r.receipt(r.rotated(20 * time.Second))) }

var (
	_ = register(assumeDrill(messages.OldSocketLives, "a login cuts the old sockets", "the gap ledger is exact, and the new token streams", Setup{Start: ordinary, OldSockets: simulator.OldSocketsCut}, func(r *Rig) {
		g := r.generation() + 1
		before, watched := r.observeAll()
		cut := time.Now()
		value := r.rotate()
		after := r.observe(value, watched)
		r.pause(2 * time.Second) // blind, until the new token is in the file
		r.byRename(value)
		r.adopted(g, 20*time.Second)
		r.live()
		r.gapsExact(cut, watched, before, after)
	}))

	_ = register(assumeDrill(messages.EqualPackets, "each socket gets packets at moments of its own", "each instrument is led by the new socket all the same: by the sequence nothing goes out repeated or after something newer, nor stays behind; no gap", Setup{Start: ordinary, Sampling: simulator.SamplingIndependent, Gateway: true}, func(r *Rig) {
		watched, key := r.traded(), r.addClient("observer", "data")
		out := r.observeAt(r.gatewayAddr(), "drill", key, watched)
		since := time.Now()
		for range 3 {
			r.receipt(r.rotated(20 * time.Second))
		}
		r.live()
		if gaps := r.gapsSince(since); len(gaps) > 0 {
			failf("%d gaps", len(gaps))
		}
		// No socket gets every packet: a number that is left out is no loss, unless it
		// is the last one.
		r.clock(map[string]any{"now": ordinary.Add(6 * time.Hour), "skip_nights": false})
		r.within(20*time.Second, "the last tick of each instrument has come out", func() (bool, any) {
			made, newest := r.exchange().Sequences, out.inOrder()
			behind := slices.DeleteFunc(slices.Clone(watched), func(in uint32) bool { return newest[in] == made[fmt.Sprint(in)] })
			return len(behind) == 0, fmt.Sprintf("%d of %d instruments are behind", len(behind), len(watched))
		})
		r.note("the last number of %d instruments has come out, none repeated or after a newer one", len(out.inOrder()))
	}))

	_ = register(assumeDrill(messages.CachedPacket, "no packet follows a subscription", "what is known of the instrument is kept, and the feed is up with its subscriptions", Setup{Start: beforeOpen}, func(r *Rig) {
		chains := len(r.underlyings()[0].Chain)
		r.fault(simulator.Fault{Kind: simulator.FaultNoCached, InstrumentToken: r.underlyings()[0].Chain[0].Token})
		cut := time.Now()
		r.reconnect()
		r.redialled(10*time.Second, cut, allInstruments)
		r.live()
		if now := len(r.underlyings()[0].Chain); now != chains {
			failf("the chain has %d options, it had %d", now, chains)
		}
	}))

	_ = register(assumeDrill(messages.Heartbeat, "a socket stays open and sends nothing", "it is opened again within 3 s (verdict: 15 s), the gap ledger is exact", Setup{Start: ordinary}, func(r *Rig) {
		// The observer keeps the socket of the token before: it receives all.
		observer, watched := r.observeAll()
		r.receipt(r.rotated(20 * time.Second))
		r.ticked()
		last, cut := r.lastEvent(), time.Now()
		r.fault(simulator.Fault{Kind: simulator.FaultMute, Fingerprint: fingerprint(r.fileToken())})
		// The reason, because the watch for messages finds such a socket too, later.
		r.happens(15*time.Second, "feed", last, "silent for 3 s")
		r.lift()
		r.redialled(10*time.Second, cut, allInstruments)
		r.live()
		r.recovery(cut)
		r.gapsExact(cut, watched, observer, observer)
	}))

	_ = register(assumeDrill(messages.RefusalsAgree, "403 at the upgrade with a new token while the profile accepts it", "the old socket streams on, the new token is adopted, nothing is lost", Setup{Start: ordinary}, func(r *Rig) {
		r.ticked()
		r.fault(simulator.Fault{Kind: simulator.FaultForbidden, Count: 1})
		g, since := r.generation()+1, time.Now()
		r.byRename(r.rotate())
		r.adopted(g, 60*time.Second)
		r.live()
		if gaps := r.gapsSince(since); len(gaps) > 0 {
			failf("%d gaps", len(gaps))
		}
		nothingLost(r.receipt(g))
	}))

	_ = register(assumeDrill(messages.RefusalIsFinal, "one TokenException for a good token", "it is asked about again and stays, nothing is rotated, a rotation loses nothing", Setup{Start: ordinary}, func(r *Rig) {
		r.ticked()
		g := r.generation()
		r.profileFails(simulator.Fault{Kind: simulator.FaultFalseRejection, Count: 1})
		r.validAgain()
		if now := r.generation(); now != g {
			failf("the generation moved from %d to %d", g, now)
		}
		r.lossless()
	}))

	_ = register(assumeDrill(messages.SlotFreed, "two slots are taken by sockets that are not there", "the running socket streams on, and nothing is lost", Setup{Start: ordinary}, func(r *Rig) {
		r.ticked()
		since := time.Now()
		r.fault(simulator.Fault{Kind: simulator.FaultGhosts, Sockets: 2})
		g := r.generation() + 1
		r.byRename(r.rotate())
		r.within(15*time.Second, "the dial meets a 429", func() (bool, any) {
			n := r.exchange().Upgrades.Refused["too_many"]
			return n > 0, n
		})
		r.streams(5 * time.Second)
		r.lift()
		r.adopted(g, 60*time.Second)
		r.within(60*time.Second, "the new token has its socket", func() (bool, any) {
			rot := r.rotations()[0]
			return rot.Generation == g && rot.RetiredMS != nil, rot
		})
		if gaps := r.gapsSince(since); len(gaps) > 0 {
			failf("%d gaps", len(gaps))
		}
		nothingLost(r.receipt(g))
	}))

	_ = register(assumeDrill(messages.FlushHour, "Kite ends no token in the morning", "the token of yesterday is used on, nobody is asked to log in, the feed streams", Setup{Start: at(2026, time.March, 11, 5, 50, 0), ManualLogin: true, Prepare: withLiveToken}, func(r *Rig) {
		r.fault(simulator.Fault{Kind: simulator.FaultNoFlush})
		g := r.generation()
		r.clock(map[string]any{"now": at(2026, time.March, 11, 8, 50, 0), "skip_nights": false})
		r.validate()
		r.within(20*time.Second, "the token is accepted after the hours of the flush", func() (bool, any) {
			t := r.token()
			return t.State == messages.Valid && !t.LoginDue && t.Generation == g && r.assumption(messages.FlushHour).Contradicted > 0, t
		})
		r.live()
	}))

	_ = register(assumeDrill(messages.SameToken, "a second login of the day brings another token", "it is moved to, and nothing is lost", Setup{Start: ordinary, ManualLogin: true, Prepare: withLiveToken}, func(r *Rig) {
		r.ticked()
		g := r.generation() + 1
		r.login()
		r.adopted(g, 20*time.Second)
		nothingLost(r.receipt(g))
	}))

	_ = register(assumeDrill(messages.IndexTime, "packets of indices have no exchange time", "no bar is made of it, and history brings the minute; options and futures stream on, and the bars of the futures equal the exchange's", Setup{Start: ordinary, Speed: 10}, func(r *Rig) {
		r.ticked()
		r.fault(simulator.Fault{Kind: simulator.FaultUntimed})
		r.within(20*time.Second, "an index comes without a time", func() (bool, any) {
			return r.assumption(messages.IndexTime).Contradicted > 0, nil
		})
		since := r.status().Market.ExchangeTime.Truncate(time.Minute).Add(time.Minute)
		stop := r.meanwhile(func(r *Rig) { r.streams(time.Hour) })
		compared := 0
		for _, u := range r.underlyings() {
			for source, instrument := range map[string]uint32{"index": u.Index.Token, "future": u.Future.Token} {
				r.within(90*time.Second, "a minute of the "+source+" of "+u.Name, func() (bool, any) {
					bars := r.minuteBars(u.Name, source)
					i := slices.IndexFunc(bars, func(b api.Bar) bool { return b.Closed && !b.Start.Before(since) })
					if i < 0 {
						return false, fmt.Sprintf("%d bars", len(bars))
					}
					if bars[i].Backfilled != (source == "index") {
						failf("the %s bar of %s is %+v", u.Name, source, bars[i])
					}
					return true, nil
				})
				compared += r.seriesEqualsHistory(u.Name, source, instrument, source == "index")
			}
		}
		stop()
		r.note("%d bars equal to the exchange's history", compared)
		r.lift()
		r.live()
	}))

	_ = register(assumeDrill(messages.KnownPackets, "packets of a length that is not documented", "they are skipped and counted, the socket lives, and nothing else is lost", Setup{Start: ordinary}, func(r *Rig) {
		r.ticked()
		r.fault(simulator.Fault{Kind: simulator.FaultMalformed, Variant: "unknown_length", Count: 3})
		r.streams(2 * time.Second)
		r.lossless()
	}))

	_ = register(assumeDrill(messages.InstrumentTokens, "the instrument token of a contract that has not ended means another symbol", "the other symbol is not subscribed, the contract is followed under its new token", Setup{Start: ordinary}, func(r *Rig) {
		name, was := r.underlyings()[0].Name, r.underlyings()[0].Future
		r.fault(simulator.Fault{Kind: simulator.FaultRecycled, InstrumentToken: was.Token})
		r.clock(map[string]any{"now": at(2026, time.March, 12, 9, 14, 55)})
		r.within(20*time.Second, "the future is followed under its new token", func() (bool, any) {
			is := r.underlying(name).Future
			return is.Tradingsymbol == was.Tradingsymbol && is.Token != was.Token, is
		})
		r.within(20*time.Second, "the other symbol is not subscribed", func() (bool, any) {
			n := r.exchange().Subscriptions[fmt.Sprint(was.Token)]
			return n == 0, n
		})
		r.live()
	}))

	_ = register(assumeDrill(messages.WholeFile, "the file of the morning lacks an index", "the index of the file before is used, and all streams", Setup{Start: ordinary}, func(r *Rig) {
		r.fault(simulator.Fault{Kind: simulator.FaultMissing, Tradingsymbol: "NIFTY 50"})
		r.clock(map[string]any{"now": at(2026, time.March, 12, 9, 14, 55)})
		r.within(30*time.Second, "the file is not whole", func() (bool, any) {
			return r.assumption(messages.WholeFile).Contradicted > 0, nil
		})
		r.live()
	}))

	_ = register(assumeDrill(messages.OrderFields, "an order update without an order_id", "it is passed to nobody, and the next one is", Setup{Start: ordinary}, func(r *Rig) {
		last := r.lastEvent()
		r.fault(simulator.Fault{Kind: simulator.FaultMalformed, Text: `{"type":"order","data":{"status":"OPEN"}}`})
		r.fault(simulator.Fault{Kind: simulator.FaultOrderUpdate, Order: map[string]any{"order_id": "A", "status": "COMPLETE"}})
		r.happens(10*time.Second, "order", last, "order A", "COMPLETE")
		if n := len(r.events("order", last)); n != 1 {
			failf("%d orders were reported", n)
		}
	}))

	_ = register(assumeDrill(messages.HistoryLimits, "history refuses the span that is asked for", "bars are made of ticks meanwhile, and history comes when it is let through", Setup{Cold: true, Start: ordinary, ManualLogin: true, Prepare: withLiveToken}, func(r *Rig) {
		r.fault(simulator.Fault{Kind: simulator.FaultRESTError, Path: "/instruments/historical", Status: http.StatusBadRequest, ErrorType: "InputException", Message: "interval exceeds max limit"})
		r.clock(map[string]any{"now": ordinary.AddDate(0, 0, 1)})
		r.login()
		r.live()
		r.within(30*time.Second, "history is refused", func() (bool, any) {
			return r.assumption(messages.HistoryLimits).Contradicted > 0, nil
		})
		for _, u := range r.underlyings() {
			r.within(30*time.Second, "a bar of the future of "+u.Name+" is made of ticks", func() (bool, any) {
				bars := r.minuteBars(u.Name, "future")
				return slices.ContainsFunc(bars, func(b api.Bar) bool { return !b.Backfilled }), bars
			})
		}
		r.lift()
		r.backfilled()
	}))

	_ = register(assumeDrill(messages.RequestLimits, "Kite answers every request with 429", "the token is not blamed, the feed streams, and a rotation loses nothing", Setup{Start: ordinary}, func(r *Rig) {
		r.ticked()
		r.fault(simulator.Fault{Kind: simulator.FaultRESTTooMany})
		r.validate()
		r.within(20*time.Second, "the token's state is unknown, not refused", func() (bool, any) {
			t := r.token()
			return t.State == messages.Suspect, t
		})
		r.lift()
		r.lossless()
	}))
)
