// Package live judges whether data is live, and says in words what is in the way.
package live

import (
	"cmp"
	"fmt"
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

// Stats is the moving part of the feed's state.
type Stats struct {
	TicksPerSecond float64
	LastTick       time.Time // when it was received; zero: none yet
	LastFrame      time.Time // heartbeats count
	NewestTick     time.Time // exchange time; zero: none yet
	Instruments    int
	Sockets        int
	Refused        []api.Refusal
}

// Count is a number with its noun.
func Count(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}

// View is what the verdict about the data rests on.
type View struct {
	Auth     messages.AuthChanged
	Warnings []string // about the .env file
	Feed     messages.FeedChanged
	Phase    messages.PhaseChanged
	Stats    Stats
	Exchange time.Time // the exchange's time now
	Now      time.Time
}

// Judge says whether data is live, and in words every cause of trouble, the
// gravest first: that of no data, then what will be one at the next login or
// start, then what is left out.
func Judge(v View) (live bool, causes []string) {
	live = true
	stops := func(cause string) {
		if cause != "" {
			live = false
			causes = append(causes, cause)
		}
	}
	adopted := v.Auth.Adopted
	token := tokenCause(v.Auth)
	stops(token)
	if token == "" || adopted.State == messages.Rejected {
		// A feed may live on a token that Kite refuses for REST, so its state
		// counts beside the token's; without any token it has nothing to add.
		stops(feedCause(v))
	}
	if token == "" && len(causes) == 0 && v.Phase.Phase != messages.Open {
		causes = append(causes, closedMarket(v.Phase))
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
		return askLogin("Kite refuses the token" + Because(a.Reason))
	case a.Generation != 0:
		return ""
	case rejected:
		return askLogin("Kite refuses the token in the file" + Because(c.Reason))
	case auth.FileFault != "":
		return Sentence(auth.FileFault)
	case c == nil:
		return "There is no token yet. Log in to begin."
	}
	return "The token is being checked" + Because(c.Reason) + "."
}

// askLogin adds what to do to a cause that does not say it itself.
func askLogin(cause string) string {
	if strings.Contains(cause, "og in") {
		return cause + "."
	}
	return cause + ". Log in to continue."
}

// feedCause is why the feed brings no data, "" when it does or need not.
func feedCause(v View) string {
	switch {
	case v.Feed.State != messages.Streaming:
		return "The feed is " + words(v.Feed.State) + Because(v.Feed.Reason) + "."
	case v.Stats.LastFrame.IsZero():
		return "Connected, but no data has come over the feed's socket yet" + Because(v.Feed.Reason) + "."
	case v.Now.Sub(v.Stats.LastFrame) > deadAfter:
		return fmt.Sprintf("No data has come over the feed's socket for %s, not even a heartbeat%s.", v.Now.Sub(v.Stats.LastFrame).Round(time.Second), Because(v.Feed.Reason))
	case v.Phase.Phase != messages.Open:
		return ""
	case v.Feed.Stale || v.Stats.LastTick.IsZero() || v.Now.Sub(v.Stats.LastTick) > staleAfter:
		return "Connected, but no tick arrives although the market is open" + Because(v.Feed.Reason) + "."
	case !v.Stats.NewestTick.IsZero() && v.Exchange.Sub(v.Stats.NewestTick) > cachedAfter:
		return "Connected, but no tick of now arrives although the market is open: the newest is of " + v.Stats.NewestTick.In(ist.Zone).Format("Mon 2 Jan 15:04:05") + " IST."
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
func unusedParts(v View, live bool) (causes []string) {
	fault, c := v.Auth.FileFault, v.Auth.Candidate
	hasToken := v.Auth.Adopted.Generation != 0
	reasons := v.Auth.Adopted.Reason
	if c != nil {
		reasons += c.Reason
	}
	if fault != "" && (hasToken || c != nil) && !strings.Contains(reasons, strings.TrimRight(fault, ". ")) {
		causes = append(causes, Sentence("The .env file is not used as it is now: "+fault))
	}
	if c != nil && hasToken {
		what := "The file holds another token (" + c.Fingerprint + "), which is being checked"
		if c.State == messages.Rejected {
			what = "The file holds another token (" + c.Fingerprint + "), which Kite refuses"
		}
		if c.State == messages.Rejected || !live {
			causes = append(causes, what+Because(c.Reason)+".")
		}
	}
	if !hasToken || v.Auth.Adopted.State == messages.Rejected {
		for _, w := range v.Warnings { // one of them may be why a login is asked for
			if strings.Contains(w, "log in") {
				continue // the file has no token, which is said already
			}
			causes = append(causes, Sentence("In the .env file: "+w))
		}
	}
	if n := len(v.Stats.Refused); n > 0 {
		r := v.Stats.Refused[0]
		what := fmt.Sprintf("%d instruments are not subscribed, the first", n)
		if n == 1 {
			what = "An instrument is not subscribed"
		}
		causes = append(causes, fmt.Sprintf("%s: %s%s.", what, cmp.Or(r.Tradingsymbol, strconv.Itoa(int(r.InstrumentToken))), Because(r.Reason)))
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

// Because appends a reason to a sentence that goes on or ends after it.
func Because(reason string) string {
	if reason = strings.TrimRight(strings.TrimSpace(reason), ". "); reason == "" {
		return ""
	}
	return ": " + reason
}

// Sentence ends a text with one full stop.
func Sentence(text string) string { return strings.TrimRight(strings.TrimSpace(text), ". ") + "." }
