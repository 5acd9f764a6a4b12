package rehearse

import (
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"kitestring/actors/simulator"
	"kitestring/actors/web/api"
	"kitestring/messages"
)

// The drills of this file inject what a server once did not get over by itself.
// Each is healed within healWithin, or, where only a person can heal it, said in
// words within sayWithin.
const (
	healWithin = 10 * time.Second
	sayWithin  = 5 * time.Second // 1 s, with slack for a busy machine
)

var _ = register(Drill{
	Name: "false-rejection", Topic: Token,
	Inject: "Kite answers one TokenException although the token is good, with a live socket; then two in a row, without one",
	Hold:   "the first is doubted, and the token valid within 10 s on its generation; the second rejects, which the status says, and a check by hand heals; nothing is restarted",
	Steps: func(r *Rig) {
		before, g := r.workers(), r.generation()
		r.step("with a live socket", func() {
			r.profileFails(simulator.Fault{Kind: simulator.FaultFalseRejection, Count: 1})
			r.validAgain()
			if now := r.generation(); now != g {
				failf("the generation moved from %d to %d", g, now)
			}
		})
		r.step("without a socket", func() {
			r.fault(simulator.Fault{Kind: simulator.FaultServerError})
			r.fault(simulator.Fault{Kind: simulator.FaultDrop})
			r.feedIs(5*time.Second, messages.Backoff)
			r.profileFails(simulator.Fault{Kind: simulator.FaultFalseRejection, Count: 2})
			r.within(healWithin, "the status says what happened", func() (bool, any) {
				st := r.status()
				return st.Token.State == messages.Rejected && st.Token.Reason != "" && !st.Live, st
			})
			r.note("the status says: %s", r.status().Token.Reason)
			r.lift()
			r.validate()
			r.validAgain()
		})
		r.untouched(before, "")
	},
})

// profileFails lets a check of the token by hand fail, and waits until the server
// has had the answer: it doubts the token, or has asked again.
func (r *Rig) profileFails(f simulator.Fault) {
	requests := r.exchange().Requests
	before, answered := sum(requests.Refused), requests.Answered["profile"]
	r.fault(f)
	r.validate()
	r.within(sayWithin, "the profile was asked for, in vain", func() (bool, any) {
		n := sum(r.exchange().Requests.Refused) - before
		return n > 0, n
	})
	r.within(sayWithin, "the answer is known to the server", func() (bool, any) {
		st := r.status()
		return st.Token.State != messages.Valid || r.exchange().Requests.Answered["profile"] > answered, st.Token
	})
}

func sum(counts map[string]int64) (n int64) {
	for _, c := range counts {
		n += c
	}
	return n
}

// validAgain waits until the token is valid and the server ready.
func (r *Rig) validAgain() {
	start := time.Now()
	r.within(healWithin, "the token is valid and the server ready", func() (bool, any) {
		st := r.status()
		return st.Token.State == messages.Valid && st.Live && get[api.Ready](r, "/readyz").Ready, st
	})
	r.recovery(start)
}

var _ = register(Drill{
	Name: "deaf-auth", Topic: Token, Setup: Setup{Sampling: simulator.SamplingIndependent},
	Inject: "the message about a new token does not reach auth",
	Hold:   "auth asks the store and adopts the token within 10 s, without a restart",
	Steps: func(r *Rig) {
		before := r.workers()
		r.chaos(api.Chaos{Actor: "auth", Kind: "drop_token_messages"})
		r.happens(5*time.Second, "actor", 0, "fault drop_token_messages injected into auth")
		r.rotated(healWithin)
		r.live()
		r.untouched(before, "")
	},
})

var _ = register(Drill{
	Name: "profile-502", Topic: REST, Setup: Setup{Start: evening},
	Inject: "one 502 on /user/profile, in an open and in a closed market",
	Hold:   "the feed streams on, and the server is ready within 10 s",
	Steps: func(r *Rig) {
		before := r.workers()
		failOnce := func() {
			r.profileFails(simulator.Fault{Kind: simulator.FaultProfile502, Count: 1})
			r.validAgain()
		}
		r.step("open", failOnce)
		r.closeMarket()
		r.step("closed", failOnce)
		r.untouched(before, "")
	},
})

var _ = register(Drill{
	Name: "feed-restart-stale", Topic: Feed,
	Inject: "the feed panics in an open market; then its socket sends heartbeats only",
	Hold:   "the new incarnation knows that the market is open: stale, subscribed again, then reconnected",
	Steps: func(r *Rig) {
		r.crash("feed", "panic", 5*time.Second)
		r.live()
		begin := time.Now()
		r.fault(simulator.Fault{Kind: simulator.FaultHeartbeatOnly})
		r.staleRemedied(begin)
		start := time.Now()
		r.lift()
		r.live()
		r.recovery(start)
	},
})

var _ = register(Drill{
	Name: "pong-only", Topic: Feed, Setup: Setup{Start: evening},
	Inject: "in a closed market the socket answers pings, sends pings, or sends one message without an end, and nothing else",
	Hold:   "found by the watch for messages, and replaced within 10 s",
	Steps: func(r *Rig) {
		r.closeMarket()
		for _, variant := range []string{"pong", "ping", "fragments"} {
			r.step(variant, func() {
				start, last := time.Now(), r.lastEvent()
				r.fault(simulator.Fault{Kind: simulator.FaultPongOnly, Variant: variant})
				r.happens(healWithin, "feed", last, "neither a frame nor a heartbeat")
				r.lift()
				r.redialled(healWithin, start, allInstruments)
				r.live()
				r.recovery(start)
			})
		}
	},
})

var _ = register(Drill{
	Name: "hung-mount", Topic: EnvFile,
	Inject: "open(2) of the .env file blocks, as on a dead network mount, while a new token is written",
	Hold:   "the feed streams on and the status says within 1 s (verdict: 5 s) that the file does not answer; adopted within 10 s of its end",
	Steps: func(r *Rig) {
		g, whole := r.generation()+1, r.withToken(r.rotate())
		f := must(os.OpenFile(r.EnvFile, os.O_WRONLY, 0))
		defer f.Close()
		opens := hang(r.EnvFile, 0)
		r.cleanup(opens.release)
		must(f.WriteAt(whole, 0))
		check(f.Truncate(int64(len(whole))))
		start, warnings := time.Now(), ""
		r.within(sayWithin, "the status says that the file does not answer", func() (bool, any) {
			warnings = r.token().Watcher
			return strings.Contains(warnings, "does not answer"), warnings
		})
		r.note("after %s the status says: %s", time.Since(start).Round(time.Millisecond), warnings)
		r.streams(3 * time.Second)
		start = time.Now()
		opens.release()
		r.adopted(g, healWithin)
		r.recovery(start)
		r.within(healWithin, "the warning is over", func() (bool, any) {
			watcher := r.token().Watcher
			return watcher == "events", watcher
		})
		r.live()
	},
})

var _ = register(Drill{
	Name: "stalled-log", Topic: Actors, Setup: Setup{Cold: true, ManualLogin: true},
	Inject: "nothing reads the server's standard error, whose pipe is full; then its reader is gone",
	Hold:   "the server starts, streams and adopts new tokens within 10 s as if it were read; it does not end by SIGPIPE",
	Steps: func(r *Rig) {
		r.close()
		ex, token := r.serveExchange(simulator.Config{Start: ordinary, Rate: 1000})
		reader, writer, err := os.Pipe()
		check(err)
		defer reader.Close()
		fill(writer)
		s := r.folder("stalled")
		s.configure(ex, token)
		s.startServerTo(writer, nil, "--log-level", "debug")
		writer.Close() // the process has its own
		s.live()
		before := s.workers()
		s.rotated(healWithin)
		check(reader.Close())
		s.rotated(healWithin)
		s.streams(3 * time.Second)
		s.untouched(before, "")
	},
})

// fill fills a pipe, so that the next write blocks.
func fill(writer *os.File) {
	fd := int(writer.Fd())
	must(unix.FcntlInt(uintptr(fd), unix.F_SETPIPE_SZ, 4096))
	check(unix.SetNonblock(fd, true))
	for err := error(nil); err == nil; {
		_, err = unix.Write(fd, make([]byte, 512))
	}
	check(unix.SetNonblock(fd, false))
}
