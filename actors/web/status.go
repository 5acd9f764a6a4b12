package web

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"kitestring/actors/web/api"
	"kitestring/actors/web/live"
	"kitestring/messages"
)

func (s *server) status() api.Status {
	b := s.Store
	b.mu.RLock()
	auth, env, feed, phase, login, gap := b.auth, b.env, b.feed, b.phase, b.login, b.gap
	b.mu.RUnlock()
	stats := s.Feed.Stats()
	st := api.Status{
		Profile: s.Profile,
		Token:   s.statusToken(auth),
		Feed: api.StatusFeed{
			State: feed.State, Reason: feed.Reason, TicksPerSecond: stats.TicksPerSecond,
			LastTickAgeSeconds: age(stats.LastTick), LastFrameAgeSeconds: age(stats.LastFrame),
			Instruments: stats.Instruments, Sockets: stats.Sockets, Stale: feed.Stale, LastGap: gap,
			Refused: append([]api.Refusal{}, stats.Refused...),
		},
		Market:  api.StatusMarket{Phase: phase.Phase, ExchangeTime: s.Clock.Now().UTC(), Next: phase.Next, Holiday: phase.Holiday, Warning: phase.Warning},
		Actors:  api.StatusActors{NotRunning: []string{}},
		Login:   login,
		Process: s.Process, At: time.Now().UTC(), Underlyings: b.underlyingNames(), Missing: b.missingData(), Gateway: s.statusGateway(), Record: s.statusRecord(), Bus: s.statusBus(), Peer: s.statusPeer(), Replay: s.statusReplay(),
	}
	for _, a := range s.Tree.Actors() {
		if a.Kind != "worker" {
			continue
		}
		st.Actors.Total++
		st.Actors.Restarts += a.Restarts
		switch a.State {
		case "running":
			st.Actors.Running++
		case "quarantined":
			st.Actors.Quarantined++
			fallthrough
		default:
			st.Actors.NotRunning = append(st.Actors.NotRunning, a.Name)
		}
	}
	st.Live, st.Causes = live.Judge(live.View{Auth: auth, Warnings: env.Warnings, Feed: feed, Phase: phase, Stats: stats, Exchange: s.Clock.Now(), Now: time.Now()})
	st.Causes = orEmpty(append(st.Causes, b.notes()...))
	st.Message = strings.Join(st.Causes, " ")
	if len(st.Causes) == 0 || st.Live && phase.Phase == messages.Open {
		st.Message = strings.TrimSpace(fmt.Sprintf("Data is live: %s from %s. %s", pace(stats.TicksPerSecond), live.Count(stats.Instruments, "instrument"), st.Message))
	}
	return st
}

// pace writes ticks per second; in the first second there is none to tell.
func pace(perSecond float64) string {
	if perSecond < 0.5 {
		return "the first ticks come"
	}
	return fmt.Sprintf("%.0f ticks/s", perSecond)
}

func (s *server) ready() api.Ready {
	st := s.status()
	r := api.Ready{Token: "ok", Feed: "ok"}
	if st.Token.State != messages.Valid && !(st.Token.State == messages.Suspect && st.Live && s.streamsOn(st.Token.Generation)) {
		r.Token = st.Token.State.String() + live.Because(st.Token.Reason)
	}
	if !st.Live {
		r.Feed = st.Message
	}
	r.Ready = r.Token == "ok" && r.Feed == "ok"
	return r
}

// streamsOn reports whether a socket streams with the token of a generation.
// That proves the token as well as the profile does, so that one failed request
// for the profile is no trouble.
func (s *server) streamsOn(g messages.Generation) bool {
	s.Store.mu.RLock()
	defer s.Store.mu.RUnlock()
	return slices.ContainsFunc(s.Store.feed.Shards, func(shard messages.ShardStatus) bool {
		return shard.State == messages.Streaming && shard.Generation == g
	})
}

func (s *server) statusToken(auth messages.AuthChanged) api.StatusToken {
	return api.StatusToken{
		Generation: auth.Adopted.Generation, State: auth.Adopted.State, Fingerprint: auth.Adopted.Fingerprint,
		Coherent: s.Tokens.Coherent(), Reason: auth.Adopted.Reason,
	}
}

func (s *server) token() api.Token {
	b := s.Store
	b.mu.RLock()
	auth, env, watch := b.auth, b.env, b.watch
	b.mu.RUnlock()
	t := api.Token{
		StatusToken: s.statusToken(auth),
		Since:       known(auth.Adopted.Since), CheckedAt: known(auth.Adopted.CheckedAt), Candidate: auth.Candidate, UserID: auth.UserID,
		ExpiresHint: known(auth.ExpiryHint), LoginDue: auth.LoginDue, FileFault: auth.FileFault,
		Warnings: orEmpty(env.Warnings), Watcher: "events", Holders: orEmpty(s.Tokens.Holders()), Process: s.Process,
	}
	if watch.Degraded {
		t.Watcher = "polling: " + watch.Reason
	}
	return t
}

// age is the time since t in seconds, nil for never.
func age(t time.Time) *float64 {
	if t.IsZero() {
		return nil
	}
	seconds := time.Since(t).Seconds()
	return &seconds
}

func known(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// statusBus is nil without a bus.
func (s *server) statusBus() *api.StatusBus {
	if s.Bus == nil {
		return nil
	}
	status := s.Bus()
	return &status
}

// statusRecord is nil without a recorder.
func (s *server) statusRecord() *api.StatusRecord {
	if s.Record == nil {
		return nil
	}
	status := s.Record()
	return &status
}
