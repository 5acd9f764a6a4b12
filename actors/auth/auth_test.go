package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"kitestring/actors/actorstest"
	"kitestring/messages"
)

func TestMain(m *testing.M) { actorstest.Main(m) }

func TestFromTheFileToEverybody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := begin(t)
		b.start()
		b.want(0, messages.NoToken)
		b.kite.say(1, "ok")
		b.tell(b.store.write(1, messages.ChangeByLogin))
		r := b.want(1, messages.Valid)
		if r.UserID != "AB1234" || r.Candidate != nil || r.Adopted.CheckedAt.IsZero() || r.ExpiryHint.IsZero() {
			t.Errorf("report %+v", r)
		}
		for _, h := range b.cfg.Holders {
			if a, n := last[messages.TokenAdopted](b, h.PID); n != 1 || a.Session.Generation != 1 || a.Proof != messages.ProofProfile {
				t.Errorf("%s got %d adoptions: %+v", h.Name, n, a)
			}
		}
		if v, n := last[messages.TokenVerdict](b, feedPID); n != 1 || v.Verdict != messages.VerdictValid {
			t.Errorf("feed got %d verdicts: %+v", n, v)
		}
		if b.store.LastUsed("auth") != 1 {
			t.Error("auth's own use is not in the book")
		}
		b.pass(3 * time.Second)
		if n := strings.Count(b.log.String(), "token adopted by all"); n != 1 {
			t.Errorf("%d times adopted by all:\n%s", n, b.log)
		}
		if v := testutil.ToFloat64(b.cfg.Metrics.valid); v != 1 {
			t.Errorf("token_valid %v", v)
		}
		if v := testutil.ToFloat64(b.cfg.Metrics.expiry); v != float64(r.ExpiryHint.Unix()) {
			t.Errorf("hint %v", v)
		}
	})
}

func TestCandidateRetriesReadTheNewest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := begin(t).start()
		b.kite.say(1, "502")
		b.tell(b.store.write(1, messages.ChangeByEvent))
		b.pass(20 * time.Second)
		r := b.want(0, messages.NoToken)
		if n := b.kite.questions(1); n < 5 || n > 8 {
			t.Errorf("%d questions in 20 s", n)
		}
		if r.Candidate == nil || r.Candidate.State != messages.Unverified || !strings.Contains(r.Candidate.Reason, "status 502") {
			t.Errorf("candidate %+v", r.Candidate)
		}
		// A newer one ends a question without an answer.
		b.kite.say(2, "silent")
		b.tell(b.store.write(2, messages.ChangeByEvent))
		asked := b.kite.questions(1)
		b.kite.say(3, "ok")
		b.tell(b.store.write(3, messages.ChangeByEvent))
		b.want(3, messages.Valid)
		b.pass(time.Minute)
		if b.kite.questions(1) != asked || b.kite.questions(2) != 1 {
			t.Errorf("the superseded were asked about again: %d and %d", b.kite.questions(1)-asked, b.kite.questions(2))
		}
		if err := b.harness.Err(); err != nil {
			t.Error(err)
		}
	})
}

// A 403 that is no TokenException is no verdict; what Kite says of it is quoted.
func TestKitesOwnWords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := begin(t).start()
		b.kite.say(1, "wrong key")
		b.tell(b.store.write(1, messages.ChangeByEvent))
		b.pass(time.Second)
		r := b.want(0, messages.NoToken)
		if r.Candidate == nil || r.Candidate.State != messages.Unverified || !strings.Contains(r.Candidate.Reason, "for another reason than the token. Kite says: Api key is invalid.") {
			t.Errorf("candidate %+v", r.Candidate)
		}
	})
}

func TestTypingErrorLeavesTheTokenInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := begin(t).start()
		b.kite.say(1, "ok")
		b.kite.say(2, "dead")
		b.tell(b.store.write(1, messages.ChangeByEvent))
		b.tell(b.store.write(2, messages.ChangeByEvent))
		r := b.want(1, messages.Valid)
		if r.Candidate == nil || r.Candidate.State != messages.Rejected || !strings.Contains(r.Candidate.Reason, "typing error") {
			t.Errorf("candidate %+v", r.Candidate)
		}
		if _, rejected := b.store.Rejected(2); !rejected || b.store.LastUsed("auth") != 1 {
			t.Errorf("rejected %v, used %v", rejected, b.store.Uses())
		}
		// A restart changes nothing, and asks nobody about the rejected one.
		b.start()
		b.pass(time.Second)
		r = b.want(1, messages.Valid)
		if r.Candidate == nil || r.Candidate.State != messages.Rejected || b.kite.questions(2) != 1 {
			t.Errorf("after a restart: %+v, %d questions", r.Candidate, b.kite.questions(2))
		}
		if a, n := last[messages.TokenAdopted](b, holderPID); n != 1 || a.Session.Generation != 1 {
			t.Errorf("after a restart the holders got %+v", a)
		}
		if v, _ := last[messages.TokenVerdict](b, feedPID); v.Generation != 2 || v.Verdict != messages.VerdictRejected {
			t.Errorf("after a restart the feed got %+v", v)
		}
		b.kite.say(3, "ok")
		b.tell(b.store.write(3, messages.ChangeByEvent))
		if r = b.want(3, messages.Valid); r.Candidate != nil {
			t.Errorf("candidate %+v", r.Candidate)
		}
	})
}

func TestYesterdaysToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := begin(t)
		b.kite.say(1, "dead")
		b.store.write(1, messages.ChangeAtStart)
		b.start()
		b.tell(messages.TokenChanged{Session: actorstest.Session(1), Source: messages.ChangeAtStart})
		for range 100 { // the feed and the analyses meet 403s too
			b.tell(messages.TokenDoubted{Generation: 1})
		}
		b.pass(6 * time.Minute)
		if n := b.kite.questions(1); n != 1 {
			t.Errorf("%d profile calls for a dead token, want 1", n)
		}
		r := b.want(0, messages.NoToken)
		if r.Candidate == nil || !strings.Contains(r.Candidate.Reason, "earlier day") {
			t.Errorf("candidate %+v", r.Candidate)
		}
	})
}

func TestTheAdoptedTokenDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := begin(t).start()
		b.kite.say(1, "ok")
		b.tell(messages.PhaseChanged{Phase: messages.Open, TradingDay: true, LoginDue: true}, b.store.write(1, messages.ChangeByEvent))
		b.kite.say(1, "502")
		b.pass(time.Minute)
		r := b.want(1, messages.Suspect)
		if r.LoginDue || testutil.ToFloat64(b.cfg.Metrics.valid) != 1 {
			t.Errorf("an unanswered check counts as death: %+v", r)
		}
		b.kite.say(1, "dead")
		b.tell(messages.TokenDoubted{Generation: 1})
		b.pass(3 * time.Second)
		r = b.want(1, messages.Rejected)
		if !strings.Contains(r.Adopted.Reason, "Another login ended this token") || !strings.Contains(r.Adopted.Reason, "Kite says: TokenException: Incorrect api_key or access_token.") || !r.LoginDue || !r.ExpiryHint.IsZero() {
			t.Errorf("report %+v", r)
		}
		if testutil.ToFloat64(b.cfg.Metrics.valid) != 0 || testutil.ToFloat64(b.cfg.Metrics.due) != 1 {
			t.Error("metrics do not show it")
		}
		b.start()
		b.pass(6 * time.Minute)
		b.want(1, messages.Rejected)
		if asked := b.kite.questions(1); asked > 12 { // of a minute without an answer, with growing pauses
			t.Errorf("%d questions", asked)
		}
	})
}

func TestPeriods(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := begin(t).start()
		b.kite.say(1, "ok")
		b.tell(messages.PhaseChanged{Phase: messages.Open}, b.store.write(1, messages.ChangeByEvent))
		b.pass(10*time.Minute + time.Second)
		if n := b.kite.questions(1); n != 21 {
			t.Errorf("%d questions in 10 minutes of trading, want 21", n)
		}
		b.tell(messages.PhaseChanged{Phase: messages.Closed})
		b.pass(time.Hour)
		if n := b.kite.questions(1) - 21; n != 12 {
			t.Errorf("%d questions in an hour outside, want 12", n)
		}
		// A crowd of doubts, a person and a crash loop are one question.
		before := b.kite.questions(1)
		for range 50 {
			b.tell(messages.TokenDoubted{Generation: 1}, messages.ValidateToken{})
		}
		for range 5 {
			b.start()
		}
		b.pass(1900 * time.Millisecond)
		if n := b.kite.questions(1) - before; n != 1 {
			t.Errorf("%d questions for a crowd, want 1", n)
		}
	})
}

// fastClock is a simulator's: a day passes in minutes.
type fastClock struct{ begin time.Time }

func (c fastClock) Now() time.Time { return morning.Add(600 * time.Since(c.begin)) }

func TestTheFlushIsFoundByTheExchangesClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := begin(t)
		b.cfg.Clock = fastClock{time.Now()}
		b.start()
		b.kite.say(1, "ok")
		b.tell(b.store.write(1, messages.ChangeByEvent))
		b.pass(119 * time.Second) // 05:50 of the next day
		b.kite.say(1, "dead")
		if n := b.kite.questions(1); n != 1 {
			t.Errorf("%d questions before the flush", n)
		}
		b.pass(3 * time.Second) // 06:20
		if r := b.want(1, messages.Rejected); !strings.Contains(r.Adopted.Reason, "session has expired") {
			t.Errorf("reason %q", r.Adopted.Reason)
		}
	})
}

func TestTheMarketWantsALogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := begin(t).start()
		b.kite.say(1, "ok")
		b.tell(b.store.write(1, messages.ChangeByEvent))
		b.kite.say(1, "dead")
		b.pass(10 * time.Second)
		b.want(1, messages.Valid)
		b.tell(messages.PhaseChanged{TradingDay: true, LoginDue: true})
		if r := b.want(1, messages.Rejected); !r.LoginDue {
			t.Errorf("report %+v", r)
		}
	})
}

func TestCoherence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := begin(t).start()
		b.store.lags.Store(true)
		b.kite.say(1, "ok")
		b.tell(b.store.write(1, messages.ChangeByEvent))
		b.pass(900 * time.Millisecond)
		if v := testutil.ToFloat64(b.cfg.Metrics.coherent); v != 1 || strings.Contains(b.log.String(), "adopted by all") {
			t.Errorf("after 0.9 s: %v\n%s", v, b.log)
		}
		b.pass(400 * time.Millisecond)
		if v := testutil.ToFloat64(b.cfg.Metrics.coherent); v != 0 {
			t.Error("a holder that lags is not shown")
		}
		b.pass(time.Minute)
		if n := strings.Count(b.log.String(), "token not adopted by all"); n != 1 || !strings.Contains(b.log.String(), "behind=[pcr]") {
			t.Errorf("%d warnings:\n%s", n, b.log)
		}
		// An actor that lags gets the adoption again, after a second and then each ten; no other does.
		if a, n := last[messages.TokenAdopted](b, holderPID); n != 1+7 || a.Session.Generation != 1 || a.Proof != messages.ProofProfile {
			t.Errorf("the one that lags got %d adoptions, at last %+v", n, a)
		}
		if _, n := last[messages.TokenAdopted](b, feedPID); n != 1 {
			t.Errorf("the feed got %d adoptions", n)
		}
		b.store.lags.Store(false)
		b.pass(100 * time.Millisecond)
		if v := testutil.ToFloat64(b.cfg.Metrics.coherent); v != 1 || strings.Count(b.log.String(), "token adopted by all") != 1 {
			t.Errorf("healed: %v\n%s", v, b.log)
		}
		// Later, without a rotation.
		b.store.lags.Store(true)
		b.pass(3 * time.Second)
		if testutil.ToFloat64(b.cfg.Metrics.coherent) != 0 {
			t.Error("a holder that falls back is not shown")
		}
		b.store.lags.Store(false)
		b.pass(2 * time.Second)
		if testutil.ToFloat64(b.cfg.Metrics.coherent) != 1 || !strings.Contains(b.log.String(), "token coherent again") {
			t.Error("healing is not shown")
		}
	})
}

// "Adopted by all" is logged once, when those that use tokens have used it, or
// have had nothing to do for a while.
func TestAdoptedByAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := begin(t)
		b.cfg.Users = []string{"feed", "pcr"}
		b.start()
		logged := func(times int, want string) {
			t.Helper()
			if n := strings.Count(b.log.String(), "token adopted by all"); n != times || !strings.Contains(b.log.String(), want) {
				t.Errorf("%d times adopted by all, want %d and %q:\n%s", n, times, want, b.log)
			}
		}
		b.kite.say(1, "ok")
		b.tell(b.store.write(1, messages.ChangeByEvent))
		b.store.Used("feed", 1)
		b.pass(2900 * time.Millisecond)
		logged(0, "")
		b.pass(300 * time.Millisecond)
		logged(1, "users=1 idle=1\n")
		// An incarnation that comes later does not log it again.
		b.start()
		b.pass(5 * time.Second)
		logged(1, "")

		b.kite.say(2, "ok")
		b.tell(b.store.write(2, messages.ChangeByEvent))
		b.pass(100 * time.Millisecond)
		logged(1, "")
		b.store.Used("pcr", 2)
		b.store.Used("feed", 2)
		b.pass(100 * time.Millisecond)
		logged(2, "users=2 idle=0\n")
	})
}

func TestAdoptionOvertaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := begin(t).start()
		b.kite.say(1, "ok")
		b.kite.say(2, "ok")
		// The file changes while Kite is thinking; auth has not got its TokenChanged yet.
		b.store.RefuseAdoptions(1)
		var once sync.Once
		b.kite.during = func() { once.Do(func() { b.store.write(2, messages.ChangeByEvent) }) }
		b.tell(b.store.write(1, messages.ChangeByEvent))
		b.want(2, messages.Valid)
		if _, n := last[messages.TokenAdopted](b, holderPID); n != 1 {
			t.Errorf("%d adoptions, want 1", n)
		}
		b.store.RefuseAdoptions(3) // for no reason
		b.kite.say(3, "ok")
		b.tell(b.store.write(3, messages.ChangeByEvent))
		b.pass(5 * time.Second)
		b.want(3, messages.Valid)
		if n := b.kite.questions(3); n != 4 {
			t.Errorf("%d questions, want 4", n)
		}
	})
}

// One refusal of a token that the feed uses is doubted; a lasting one is found
// two seconds later, and a person's check opens it again.
func TestAFalseRejectionHeals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := begin(t).start()
		b.kite.say(1, "ok")
		b.tell(b.store.write(1, messages.ChangeByEvent), messages.FeedLive{Generation: 1})
		b.kite.say(1, "dead")
		b.tell(messages.TokenDoubted{Generation: 1})
		b.pass(2100 * time.Millisecond)
		b.want(1, messages.Suspect)
		b.kite.say(1, "ok")
		b.pass(2 * time.Second)
		b.want(1, messages.Valid)

		b.kite.say(1, "dead")
		b.tell(messages.TokenDoubted{Generation: 1})
		b.pass(5 * time.Second)
		b.want(1, messages.Rejected)
		b.pass(time.Hour)
		b.want(1, messages.Rejected)
		b.kite.say(1, "ok")
		b.tell(messages.ValidateToken{})
		b.pass(1100 * time.Millisecond)
		b.want(2, messages.Valid)
	})
}

// A lost TokenChanged is made good by the store.
func TestAMissedChangeIsTakenFromTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := begin(t).start()
		b.kite.say(1, "ok")
		b.kite.say(2, "ok")
		b.tell(b.store.write(1, messages.ChangeByEvent))
		b.store.write(2, messages.ChangeByLogin)
		b.pass(1100 * time.Millisecond)
		b.want(2, messages.Valid)
		if !strings.Contains(b.log.String(), "a change of the token was missed") {
			t.Error("the log does not say so")
		}
	})
}

// One 502 is forgotten as soon as Kite answers again.
func TestOneUnansweredCheckIsShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := begin(t).start()
		b.kite.say(1, "ok")
		b.tell(b.store.write(1, messages.ChangeByEvent), messages.FeedLive{Generation: 1})
		b.kite.say(1, "502")
		b.tell(messages.TokenDoubted{Generation: 1})
		b.pass(2100 * time.Millisecond)
		b.want(1, messages.Suspect)
		b.kite.say(1, "ok")
		b.pass(500 * time.Millisecond)
		b.want(1, messages.Valid)
	})
}

// Wherever a login is asked for, the page says what the file holds.
func TestAskingForALoginNamesTheFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := begin(t).start()
		b.kite.say(1, "dead")
		b.tell(messages.EnvRejected{Line: 4, Reason: "line 4 has no newline at its end"}, b.store.write(1, messages.ChangeAtStart))
		r := b.want(0, messages.NoToken)
		if !strings.Contains(r.Adopted.Reason, "line 4 has no newline") || r.Candidate == nil || !strings.Contains(r.Candidate.Reason, "line 4 has no newline") {
			t.Errorf("report %+v, candidate %+v", r, r.Candidate)
		}
		b.kite.say(2, "ok")
		b.tell(b.store.write(2, messages.ChangeByEvent))
		if r := b.want(2, messages.Valid); strings.Contains(r.Adopted.Reason, "newline") || r.FileFault == "" {
			t.Errorf("report %+v", r)
		}
	})
}

// What was sent while no auth ran is asked for at the start: the file's fault,
// and a frame that proves the candidate while the profile cannot be reached.
func TestARestartAsksForWhatItMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := begin(t)
		feed := &frames{}
		b.cfg.Frames = feed
		b.start()
		b.kite.say(1, "502")
		b.tell(b.store.write(1, messages.ChangeByEvent))
		b.want(0, messages.NoToken)
		b.store.SetFault("line 4 has no newline at its end")
		b.start()
		if r := b.want(0, messages.NoToken); r.FileFault != "line 4 has no newline at its end" {
			t.Errorf("report %+v", r)
		}
		feed.live = 1
		b.start()
		b.want(1, messages.Suspect) // the profile still does not answer
		b.store.SetFault("")
		b.start()
		if r := b.want(1, messages.Suspect); r.FileFault != "" {
			t.Errorf("report %+v", r)
		}
	})
}

// The phase is asked for at the start: it says that a login is due, and its next
// change may be hours away.
func TestARestartAsksForThePhase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := begin(t)
		today := &market{}
		b.cfg.Market = today
		b.start()
		if r := b.want(0, messages.NoToken); r.LoginDue {
			t.Errorf("report %+v before the phase is known", r)
		}
		today.phase = messages.PhaseChanged{Phase: messages.PreOpen, TradingDay: true, LoginDue: true}
		b.start()
		if r := b.want(0, messages.NoToken); !r.LoginDue {
			t.Errorf("report %+v", r)
		}
	})
}

type market struct{ phase messages.PhaseChanged }

func (m *market) Phase() (messages.PhaseChanged, bool) { return m.phase, m.phase.TradingDay }

type frames struct{ live messages.Generation }

func (f *frames) Live() messages.Generation { return f.live }

func TestFeedProvesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := begin(t).start()
		b.kite.say(1, "silent")
		b.tell(b.store.write(1, messages.ChangeByEvent), messages.FeedLive{Generation: 1})
		b.want(1, messages.Valid)
		if a, _ := last[messages.TokenAdopted](b, holderPID); a.Proof != messages.ProofFrame {
			t.Errorf("adopted %+v", a)
		}
		b.pass(10 * time.Second)
		b.want(1, messages.Suspect)
		b.kite.say(1, "ok")
		b.tell(messages.ValidateToken{})
		b.pass(15 * time.Second) // the last silent question takes its time
		if r := b.want(1, messages.Valid); r.UserID != "AB1234" {
			t.Errorf("report %+v", r)
		}
	})
}

func TestLearnedExpiryIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := begin(t)
		b.cfg.Clock = istClock{time.Until(morning) - 4*time.Hour - 40*time.Minute} // 05:20
		b.start()
		b.kite.say(1, "ok")
		b.tell(b.store.write(1, messages.ChangeByEvent))
		b.pass(72 * time.Minute) // 06:32
		b.kite.say(1, "dead")
		b.pass(5 * time.Minute)
		if r := b.want(1, messages.Rejected); !strings.Contains(r.Adopted.Reason, "session has expired") {
			t.Errorf("reason %q", r.Adopted.Reason)
		}
		again := NewStore(b.cfg.Store.path)
		if seen := again.Expiries(); len(seen) != 1 || seen[0].EndedAt.Sub(seen[0].ValidAt) > 5*time.Minute {
			t.Fatalf("kept %v", seen)
		}
		b.kite.say(2, "ok")
		b.cfg.Store = again
		b.start()
		b.tell(b.store.write(2, messages.ChangeByEvent))
		r := b.want(2, messages.Valid)
		if hint := r.ExpiryHint.In(morning.Location()); hint.Hour() != 6 || hint.Minute() < 32 || hint.Minute() > 37 {
			t.Errorf("hint %v", hint)
		}
		info, err := os.Stat(again.path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("file %v, %v", info.Mode(), err)
		}
	})
}

func TestMemoryFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "expiry.json")
	if err := os.WriteFile(path, []byte("{not json"), 0o600); err != nil {
		t.Fatal(err)
	}
	m := NewStore(path)
	if _, _, fault := m.load(); fault == nil || len(m.Expiries()) != 0 {
		t.Errorf("a damaged file: %v, %v", fault, m.Expiries())
	}
	if _, _, fault := m.load(); fault != nil {
		t.Error("the fault is reported again")
	}
	for i := range 40 {
		m.add(Expiry{EndedAt: morning.Add(time.Duration(i) * 24 * time.Hour)})
	}
	if err := m.write(); err != nil {
		t.Fatal(err)
	}
	again := NewStore(path)
	if got := again.Expiries(); len(got) != mostExpiries || !got[len(got)-1].EndedAt.Equal(morning.Add(39*24*time.Hour)) {
		t.Errorf("kept %d", len(got))
	}
	gone := NewStore(filepath.Join(t.TempDir(), "no", "such", "dir.json"))
	if err := gone.write(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("write: %v", err)
	}
}

// TestActorShowsNoSecret reads everything that the actor says.
func TestActorShowsNoSecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := begin(t).start()
		for g, what := range map[messages.Generation]string{1: "ok", 2: "429", 3: "dead", 4: "", 5: "ok"} {
			b.kite.say(g, what)
		}
		for g := range messages.Generation(5) {
			b.tell(b.store.write(g+1, messages.ChangeByEvent))
			b.pass(10 * time.Second)
		}
		b.tell("a stray message")
		b.want(5, messages.Valid)
		said := b.log.String()
		for _, s := range b.harness.Sent() {
			said += fmt.Sprintf("%v %+v %#v\n", s.Msg, s.Msg, s.Msg)
			j, err := json.Marshal(s.Msg)
			if err != nil {
				t.Error(err)
			}
			said += string(j)
		}
		for g := range messages.Generation(6) {
			if strings.Contains(said, actorstest.Session(g).Token.Reveal()) {
				t.Errorf("the token of generation %d is shown", g)
			}
		}
		if !strings.Contains(said, "message not understood") {
			t.Error("a stray message goes unnoticed")
		}
	})
}

func TestMetricsAreClean(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	NewMetrics(reg)
	if problems, err := testutil.GatherAndLint(reg); err != nil || len(problems) != 0 {
		t.Errorf("lint: %v, %v", problems, err)
	}
	n, err := testutil.GatherAndCount(reg)
	if err != nil || n > 60 {
		t.Errorf("%d series, %v", n, err)
	}
}

func TestStopEndsTheQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := begin(t).start()
		b.kite.say(1, "silent")
		b.tell(b.store.write(1, messages.ChangeByEvent))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		b.harness.Stop() // waits for the tasks
		if ctx.Err() != nil || b.harness.Err() != nil {
			t.Errorf("stop: %v, %v", ctx.Err(), b.harness.Err())
		}
	})
}
