package web

import (
	"fmt"
	"time"

	"kitestring/actors/web/api"
	"kitestring/messages"
)

// A socket that is alive brings a heartbeat each second; in an open market a
// subscribed index ticks each second or so.
const (
	deadAfter  = 3 * time.Second
	staleAfter = 10 * time.Second
	// A tick older than this by the exchange's clock is a cached one, sent again
	// after a subscription.
	cachedAfter = 5 * time.Minute
)

func (s *server) status() api.Status {
	b := s.Store
	b.mu.RLock()
	auth, feed, phase, login, gap := b.auth, b.feed, b.phase, b.login, b.gap
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
		Market:  api.StatusMarket{Phase: phase.Phase, ExchangeTime: s.Clock.Now().UTC(), Next: phase.Next, Warning: phase.Warning},
		Actors:  api.StatusActors{NotRunning: []string{}},
		Login:   login,
		Process: s.Process, At: time.Now().UTC(), Underlyings: b.underlyingNames(), Gateway: s.statusGateway(),
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
	st.Live, st.Message = judge(auth, feed, phase, stats, s.Clock.Now())
	return st
}

// judge says in words whether data is live, the first thing that is wrong
// winning.
func judge(auth messages.AuthChanged, feed messages.FeedChanged, phase messages.PhaseChanged, stats FeedStats, exchange time.Time) (live bool, message string) {
	switch {
	case auth.Adopted.State == messages.Rejected:
		return false, "Kite refuses the token" + because(auth.Adopted.Reason) + ". Log in to continue."
	case auth.Adopted.Generation == 0 && auth.FileFault != "":
		return false, auth.FileFault
	case auth.Adopted.Generation == 0 && auth.Candidate != nil && auth.Candidate.State == messages.Rejected:
		return false, "Kite refuses the token in the file" + because(auth.Candidate.Reason) + ". Log in to continue."
	case auth.Adopted.Generation == 0 && auth.Candidate == nil:
		return false, "There is no token yet. Log in to begin."
	case auth.Adopted.Generation == 0:
		return false, "The token is being checked" + because(auth.Candidate.Reason) + "."
	case feed.State != messages.Streaming:
		return false, "The feed is " + words(feed.State) + because(feed.Reason) + "."
	case stats.LastFrame.IsZero() || time.Since(stats.LastFrame) > deadAfter:
		return false, "The feed's socket is silent; it is being replaced."
	case phase.Phase != messages.Open:
		return true, "Connected. The market is " + words(phase.Phase) + ": no ticks are due."
	case feed.Stale || stats.LastTick.IsZero() || time.Since(stats.LastTick) > staleAfter:
		return false, "Connected, but no tick arrives although the market is open."
	case !stats.NewestTick.IsZero() && exchange.Sub(stats.NewestTick) > cachedAfter:
		return false, "Connected, but no tick of now arrives although the market is open: the newest is of " + stats.NewestTick.UTC().Format(time.RFC3339) + "."
	}
	return true, fmt.Sprintf("Data is live: %.0f ticks/s from %d instruments.", stats.TicksPerSecond, stats.Instruments)
}

func words(state fmt.Stringer) string {
	switch state.String() {
	case "awaiting_token":
		return "waiting for a token"
	case "unauthorised":
		return "parked because Kite refused the connection"
	case "backoff":
		return "down and will be redialled"
	case "pre_open":
		return "in pre-open"
	}
	return state.String()
}

func (s *server) ready() api.Ready {
	st := s.status()
	r := api.Ready{Token: "ok", Feed: "ok"}
	if st.Token.State != messages.Valid {
		r.Token = st.Token.State.String() + because(st.Token.Reason)
	}
	if !st.Live {
		r.Feed = st.Message
	}
	r.Ready = r.Token == "ok" && r.Feed == "ok"
	return r
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
