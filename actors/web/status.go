package web

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"kitestring/actors/web/api"
	"kitestring/messages"
	"kitestring/messages/ist"
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
		Process: s.Process, At: time.Now().UTC(), Underlyings: b.underlyingNames(), Missing: b.missingData(), Gateway: s.statusGateway(), Record: s.statusRecord(), Replay: s.statusReplay(),
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
	st.Live, st.Causes = judge(view{auth, env.Warnings, feed, phase, stats, s.Clock.Now(), time.Now()})
	st.Causes = orEmpty(append(st.Causes, b.notes()...))
	st.Message = strings.Join(st.Causes, " ")
	if len(st.Causes) == 0 || st.Live && phase.Phase == messages.Open {
		st.Message = strings.TrimSpace(fmt.Sprintf("Data is live: %s from %s. %s", pace(stats.TicksPerSecond), count(stats.Instruments, "instrument"), st.Message))
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

func count(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}

// view is what the verdict about the data rests on.
type view struct {
	auth     messages.AuthChanged
	warnings []string // about the .env file
	feed     messages.FeedChanged
	phase    messages.PhaseChanged
	stats    FeedStats
	exchange time.Time // the exchange's time now
	now      time.Time
}

// judge says whether data is live, and in words every cause of trouble, the
// gravest first: that of no data, then what will be one at the next login or
// start, then what is left out.
func judge(v view) (live bool, causes []string) {
	live = true
	stops := func(cause string) {
		if cause != "" {
			live = false
			causes = append(causes, cause)
		}
	}
	adopted := v.auth.Adopted
	token := tokenCause(v.auth)
	stops(token)
	if token == "" || adopted.State == messages.Rejected {
		// A feed may live on a token that Kite refuses for REST, so its state
		// counts beside the token's; without any token it has nothing to add.
		stops(feedCause(v))
	}
	if token == "" && len(causes) == 0 && v.phase.Phase != messages.Open {
		causes = append(causes, closedMarket(v.phase))
	}
	return live, append(causes, unusedParts(v, live)...)
}

// tokenCause is why there is no usable token, "" when there is one. Where it
// asks for a login it says what the file holds and why that is not used: a
// login would not help against a file that cannot be read.
func tokenCause(auth messages.AuthChanged) string {
	a, c := auth.Adopted, auth.Candidate
	rejected := c != nil && c.State == messages.Rejected
	switch {
	case a.State == messages.Rejected:
		return askLogin("Kite refuses the token" + because(a.Reason))
	case a.Generation != 0:
		return ""
	case rejected:
		return askLogin("Kite refuses the token in the file" + because(c.Reason))
	case auth.FileFault != "":
		return sentence(auth.FileFault)
	case c == nil:
		return "There is no token yet. Log in to begin."
	}
	return "The token is being checked" + because(c.Reason) + "."
}

// askLogin adds what to do to a cause that does not say it itself.
func askLogin(cause string) string {
	if strings.Contains(cause, "og in") {
		return cause + "."
	}
	return cause + ". Log in to continue."
}

// feedCause is why the feed brings no data, "" when it does or need not.
func feedCause(v view) string {
	switch {
	case v.feed.State != messages.Streaming:
		return "The feed is " + words(v.feed.State) + because(v.feed.Reason) + "."
	case v.stats.LastFrame.IsZero():
		return "Connected, but no data has come over the feed's socket yet" + because(v.feed.Reason) + "."
	case v.now.Sub(v.stats.LastFrame) > deadAfter:
		return fmt.Sprintf("No data has come over the feed's socket for %s, not even a heartbeat%s.", v.now.Sub(v.stats.LastFrame).Round(time.Second), because(v.feed.Reason))
	case v.phase.Phase != messages.Open:
		return ""
	case v.feed.Stale || v.stats.LastTick.IsZero() || v.now.Sub(v.stats.LastTick) > staleAfter:
		return "Connected, but no tick arrives although the market is open" + because(v.feed.Reason) + "."
	case !v.stats.NewestTick.IsZero() && v.exchange.Sub(v.stats.NewestTick) > cachedAfter:
		return "Connected, but no tick of now arrives although the market is open: the newest is of " + v.stats.NewestTick.In(ist.Zone).Format("Mon 2 Jan 15:04:05") + " IST."
	}
	return ""
}

// closedMarket says until when no ticks are expected.
func closedMarket(phase messages.PhaseChanged) string {
	until := ""
	if next := phase.Next.In(ist.Zone); !phase.Next.IsZero() {
		until = " till " + next.Format("15:04")
		if ist.Day(next) != ist.Day(phase.At) {
			until = " till " + next.Format("Mon 2 Jan 15:04")
		}
	}
	switch phase.Phase {
	case messages.PreOpen, messages.Matching:
		return "Connected. Pre-open" + until + ". No ticks expected yet."
	case messages.Closing:
		return "Connected. Market closing" + until + ". No more ticks expected today."
	}
	if phase.Holiday != "" {
		return "Connected. Market closed for " + phase.Holiday + until + ". No ticks expected."
	}
	return "Connected. Market closed" + until + ". No ticks expected."
}

// unusedParts names what stands in the file or the configuration and is not
// used, while something else is or nothing at all.
func unusedParts(v view, live bool) (causes []string) {
	fault, c := v.auth.FileFault, v.auth.Candidate
	hasToken := v.auth.Adopted.Generation != 0
	reasons := v.auth.Adopted.Reason
	if c != nil {
		reasons += c.Reason
	}
	if fault != "" && (hasToken || c != nil) && !strings.Contains(reasons, strings.TrimRight(fault, ". ")) {
		causes = append(causes, sentence("The .env file is not used as it is now: "+fault))
	}
	if c != nil && hasToken {
		what := "The file holds another token (" + c.Fingerprint + "), which is being checked"
		if c.State == messages.Rejected {
			what = "The file holds another token (" + c.Fingerprint + "), which Kite refuses"
		}
		if c.State == messages.Rejected || !live {
			causes = append(causes, what+because(c.Reason)+".")
		}
	}
	if !hasToken || v.auth.Adopted.State == messages.Rejected {
		for _, w := range v.warnings { // one of them may be why a login is asked for
			if strings.Contains(w, "log in") {
				continue // the file has no token, which is said already
			}
			causes = append(causes, sentence("In the .env file: "+w))
		}
	}
	if n := len(v.stats.Refused); n > 0 {
		r := v.stats.Refused[0]
		what := fmt.Sprintf("%d instruments are not subscribed, the first", n)
		if n == 1 {
			what = "An instrument is not subscribed"
		}
		causes = append(causes, fmt.Sprintf("%s: %s%s.", what, cmp.Or(r.Tradingsymbol, strconv.Itoa(int(r.InstrumentToken))), because(r.Reason)))
	}
	return causes
}

func words(state fmt.Stringer) string {
	switch state.String() {
	case "awaiting_token":
		return "waiting for a token"
	case "unauthorised":
		return "parked because Kite refused the connection"
	case "backoff":
		return "down and will be redialled"
	}
	return state.String()
}

func (s *server) ready() api.Ready {
	st := s.status()
	r := api.Ready{Token: "ok", Feed: "ok"}
	if st.Token.State != messages.Valid && !(st.Token.State == messages.Suspect && st.Live && s.streamsOn(st.Token.Generation)) {
		r.Token = st.Token.State.String() + because(st.Token.Reason)
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

// because appends a reason to a sentence that goes on or ends after it.
func because(reason string) string {
	if reason = strings.TrimRight(strings.TrimSpace(reason), ". "); reason == "" {
		return ""
	}
	return ": " + reason
}

// sentence ends a text with one full stop.
func sentence(text string) string { return strings.TrimRight(strings.TrimSpace(text), ". ") + "." }

func known(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// statusRecord is nil without a recorder.
func (s *server) statusRecord() *api.StatusRecord {
	if s.Record == nil {
		return nil
	}
	status := s.Record()
	return &status
}
