package auth

import (
	"fmt"
	"time"

	"kitestring/actors/kite"
	"kitestring/messages"
	"kitestring/messages/ist"
)

// Kite's daily flush: documented for 06:00 IST, reported as late as 08:30
// in the Kite Connect forum. The clock is a hint for words and warnings, never a
// verdict.
const (
	flushBegins = 6 * time.Hour
	flushEnds   = 8*time.Hour + 45*time.Minute
)

// flushed reports whether the daily flush is what ended a token that was good.
func flushed(f tokenRecord, now time.Time) bool {
	begin, end := ist.Day(now).Add(flushBegins), ist.Day(now).Add(flushEnds)
	if now.Before(begin) {
		return false
	}
	// A login made at 06:10 can be flushed again the same morning.
	return now.Before(end) || f.validAt.Before(begin)
}

// cause says for a person why Kite refuses a token, as far as that is
// known, and what to do.
func (s state) cause(f tokenRecord, now time.Time) string {
	if !f.proven.IsZero() {
		if flushed(f, now) {
			return "Yesterday's session has expired (Kite ends it around 6 AM). Log in for today."
		}
		return "Another login ended this token, or a logout. Log in again; if it happens again, look for another program that uses this account."
	}
	var kept string
	if s.adopted.state == messages.Valid || s.adopted.state == messages.Suspect {
		kept = " The token before it stays in use."
	}
	switch {
	case s.adopted.generation() != 0 && s.adopted.session.APIKey != f.session.APIKey:
		return "Kite refuses this token together with the API key that changed with it: wrong API key? Check ZERODHA_API_KEY, or log in." + kept
	case f.source == messages.ChangeAtStart:
		return "Kite refuses the token that the file held at the start: most likely it is of an earlier day. Log in for today." + kept
	default:
		return "Kite does not know this token: a typing error, a token of an earlier day, or one of another API key (wrong API key in ZERODHA_API_KEY?). Log in, or write the right one." + kept
	}
}

// unanswered says for a person why there is no verdict.
func unanswered(kind kite.Kind, status int) string {
	switch kind {
	case kite.Forbidden:
		return "Kite refused the check, for another reason than the token."
	case kite.RateLimited:
		return "Kite asked us to slow down."
	case kite.Server:
		return fmt.Sprintf("Kite has a fault of its own (status %d).", status)
	case kite.Network:
		return "Kite did not answer."
	case kite.Malformed:
		return "Something else than Kite answered: a proxy, or a captive portal?"
	default:
		return fmt.Sprintf("Kite did not understand the check (status %d).", status)
	}
}

// kiteSays quotes Kite, because the cause above it is a guess.
func kiteSays(words string) string {
	if words == "" {
		return ""
	}
	return " Kite says: " + words + "."
}

// Expiry is one observed death of a token in the morning: it was still good at
// ValidAt and dead at EndedAt, both exchange time.
type Expiry struct {
	ValidAt time.Time `json:"valid_at"`
	EndedAt time.Time `json:"ended_at"`
}

// died is the observation that a rejection makes, if the flush was its cause
// and was seen in the hours of the flush: a death that a sleeping process finds at
// noon teaches nothing.
func died(f tokenRecord, now time.Time) (Expiry, bool) {
	if f.proven.IsZero() || !flushed(f, now) || !now.Before(ist.Day(now).Add(flushEnds)) {
		return Expiry{}, false
	}
	return Expiry{ValidAt: f.validAt.UTC(), EndedAt: now.UTC()}, true
}

// outlives reports, once a token, that one that was proven before the flush of
// a day is still good after its hours.
func (f tokenRecord) outlives(now time.Time) bool {
	day := ist.Day(now)
	return !f.outlived && !f.proven.IsZero() && f.proven.Before(day.Add(flushBegins)) && !now.Before(day.Add(flushEnds))
}

// learnedTime is the time of day, IST, at which to expect the end: the earliest of
// the last five observations, because a warning too early is the cheaper one.
// 0: nothing observed yet.
func learnedTime(seen []Expiry) time.Duration {
	var earliest time.Duration
	for _, e := range seen[max(0, len(seen)-5):] {
		d := e.EndedAt.Sub(ist.Day(e.EndedAt))
		if earliest == 0 || d < earliest {
			earliest = d
		}
	}
	return earliest
}

// expiryHint is the first flush after the token was proven; zero without a
// living token.
func expiryHint(f tokenRecord, timeOfDay time.Duration) time.Time {
	if f.proven.IsZero() || f.state == messages.Rejected {
		return time.Time{}
	}
	if timeOfDay == 0 {
		timeOfDay = flushBegins
	}
	hint := ist.Day(f.proven).Add(timeOfDay)
	if !hint.After(f.proven) {
		hint = ist.Day(f.proven).AddDate(0, 0, 1).Add(timeOfDay)
	}
	return hint
}
