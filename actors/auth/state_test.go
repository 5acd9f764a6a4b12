package auth

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"kitestring/actors"
	"kitestring/actors/actorstest"
	"kitestring/actors/kite"
	"kitestring/messages"
	"kitestring/messages/ist"
)

var morning = time.Date(2026, 3, 2, 10, 0, 0, 0, ist.Zone)

func at(d time.Duration) instant {
	return instant{machine: time.Unix(1_000_000, 0).Add(d), exchange: morning.Add(d)}
}

func changed(g messages.Generation) received {
	return received{messages.TokenChanged{Session: actorstest.Session(g), Source: messages.ChangeByEvent}}
}

func live(g messages.Generation) received { return received{messages.FeedLive{Generation: g}} }

func doubted(g messages.Generation) received { return received{messages.TokenDoubted{Generation: g}} }

// reply answers the question that is in flight.
func reply(s state, kind kite.Kind) answered {
	return answered{serial: s.serial, generation: s.asking, kind: kind, status: 502, userID: "AB1234", jitter: 1}
}

// in drives a state through events, a second apart, an answer being a kind.
func in(t *testing.T, events ...any) (state, []effect) {
	t.Helper()
	var s state
	var out []effect
	for i, e := range events {
		ev, ok := e.(event)
		if kind, isKind := e.(kite.Kind); isKind {
			ev, ok = reply(s, kind), true
		}
		if !ok {
			t.Fatalf("event %d is a %T", i, e)
		}
		s, out = next(s, ev, at(time.Duration(i)*time.Second))
	}
	return s, out
}

// names are the effects in short.
func names(effects []effect) string {
	var list []string
	for _, e := range effects {
		switch e := e.(type) {
		case adopt:
			list = append(list, fmt.Sprintf("adopt %d by %s", e.tokenRecord.generation(), e.tokenRecord.proof))
		case reject:
			list = append(list, fmt.Sprintf("reject %d", e.generation))
		case sendVerdict:
			list = append(list, fmt.Sprintf("tell %d %s", e.verdict.Generation, e.verdict.Verdict))
		case ask:
			list = append(list, fmt.Sprintf("ask %d", e.session.Generation))
		case setTimer:
			list = append(list, "wake")
		case reopen:
			list = append(list, fmt.Sprintf("reopen %d", e.generation))
		case learn:
			list = append(list, "learn")
		}
	}
	return strings.Join(list, ", ")
}

func TestStates(t *testing.T) {
	const ok = kite.NoError
	open := received{messages.PhaseChanged{Phase: messages.Open, LoginDue: true}}
	tests := []struct {
		name    string
		events  []any
		state   string // adopted, candidate
		effects string // of the last event
	}{
		{"nothing", []any{restored{}}, "0 no_token, 0 no_token", ""},
		{"a candidate is asked about at once", []any{changed(1)}, "0 no_token, 1 unverified", "ask 1"},
		{"said two times", []any{changed(1), changed(1)}, "0 no_token, 1 unverified", ""},
		{"profile proves", []any{changed(1), ok}, "1 valid, 0 no_token", "adopt 1 by profile, tell 1 valid, wake"},
		{"frame proves", []any{changed(1), live(1)}, "1 valid, 0 no_token", "adopt 1 by frame"},
		{"frame while the question waits", []any{changed(1), kite.Network, live(1)}, "1 valid, 0 no_token", "adopt 1 by frame, ask 1"},
		{"frame before the change is received", []any{live(1), changed(1)}, "1 valid, 0 no_token", "adopt 1 by frame, ask 1"},
		{"frame, then the profile refuses: doubted once", []any{changed(1), live(1), kite.TokenRefused}, "1 suspect, 0 no_token", "tell 1 unknown, wake"},
		{"and refused again", []any{changed(1), live(1), kite.TokenRefused, timerFired{}, timerFired{}, kite.TokenRefused}, "1 rejected, 0 no_token", "reject 1, tell 1 rejected"},
		{"or accepted", []any{changed(1), live(1), kite.TokenRefused, timerFired{}, timerFired{}, ok}, "1 valid, 0 no_token", "tell 1 valid, wake"},
		{"each refusal has a doubt of its own", []any{changed(1), live(1), kite.TokenRefused, timerFired{}, timerFired{}, ok, doubted(1), timerFired{}, kite.TokenRefused}, "1 suspect, 0 no_token", "tell 1 unknown, wake"},
		{"a frame that comes after the profile makes it live, too", []any{changed(1), ok, live(1), doubted(1), timerFired{}, kite.TokenRefused}, "1 suspect, 0 no_token", "tell 1 unknown, wake"},
		{"a frame does not end the doubt", []any{changed(1), live(1), kite.TokenRefused, live(1)}, "1 suspect, 0 no_token", "wake"},
		{"a frame does not revive an adopted token", []any{changed(1), ok, doubted(1), timerFired{}, kite.TokenRefused, live(1)}, "1 rejected, 0 no_token", ""},
		{"an answer to an older question does not count", []any{changed(1), restored{view: actors.TokenView{Candidate: actorstest.Session(1)}}, answered{serial: 1, generation: 1, kind: kite.TokenRefused}}, "0 no_token, 1 unverified", ""},
		{"a person's check reopens the adopted", []any{changed(1), ok, doubted(1), timerFired{}, kite.TokenRefused, received{messages.ValidateToken{}}}, "1 rejected, 0 no_token", "reopen 1"},
		{"but not an adopted one that is not the newest", []any{changed(1), ok, changed(2), kite.Network, doubted(1), received{messages.ValidateToken{}}}, "1 valid, 2 unverified", ""},
		{"a typing error is rejected", []any{changed(1), kite.TokenRefused}, "0 no_token, 1 rejected", "reject 1, tell 1 rejected"},
		{"a frame does not heal a rejection", []any{changed(1), kite.TokenRefused, live(1)}, "0 no_token, 1 rejected", ""},
		{"a doubt about the rejected is answered", []any{changed(1), kite.TokenRefused, doubted(1)}, "0 no_token, 1 rejected", "tell 1 rejected"},
		{"a person's check reopens it", []any{changed(1), kite.TokenRefused, received{messages.ValidateToken{}}}, "0 no_token, 1 rejected", "reopen 1"},
		{"a new generation does", []any{changed(1), kite.TokenRefused, changed(2), ok}, "2 valid, 0 no_token", "adopt 2 by profile, tell 2 valid, wake"},
		{"a typing error does not kill the token in use", []any{changed(1), ok, changed(2), kite.TokenRefused}, "1 valid, 2 rejected", "reject 2, tell 2 rejected, wake"},
		{"the newer supersedes the older", []any{changed(1), changed(2)}, "0 no_token, 2 unverified", "ask 2"},
		{"an answer about the older is moot", []any{changed(1), changed(2), answered{serial: 1, generation: 1}}, "0 no_token, 2 unverified", ""},
		{"the older never comes back", []any{changed(2), ok, changed(1)}, "2 valid, 0 no_token", "wake"},
		{"the older frame neither", []any{changed(2), ok, live(1)}, "2 valid, 0 no_token", "wake"},
		{"network is no verdict", []any{changed(1), kite.Network}, "0 no_token, 1 unverified", "tell 1 unknown, wake"},
		{"429 is no verdict", []any{changed(1), kite.RateLimited}, "0 no_token, 1 unverified", "tell 1 unknown, wake"},
		{"5xx is no verdict", []any{changed(1), ok, doubted(1), timerFired{}, kite.Server}, "1 suspect, 0 no_token", "tell 1 unknown, wake"},
		{"another 403 is no verdict", []any{changed(1), ok, doubted(1), timerFired{}, kite.Forbidden}, "1 suspect, 0 no_token", "tell 1 unknown, wake"},
		{"a captive portal is no verdict", []any{changed(1), kite.Malformed}, "0 no_token, 1 unverified", "tell 1 unknown, wake"},
		{"suspect heals", []any{changed(1), ok, doubted(1), timerFired{}, kite.Server, received{messages.ValidateToken{}}, timerFired{}, ok}, "1 valid, 0 no_token", "tell 1 valid, wake"},
		{"suspect heals by a new socket", []any{changed(1), ok, doubted(1), timerFired{}, kite.Server, live(1)}, "1 valid, 0 no_token", "wake"},
		{"the adopted token dies", []any{changed(1), ok, doubted(1), timerFired{}, kite.TokenRefused}, "1 rejected, 0 no_token", "reject 1, tell 1 rejected"},
		{"a dead token stays dead at a restart", []any{changed(1), ok, doubted(1), timerFired{}, kite.TokenRefused, restored{}}, "1 rejected, 0 no_token", ""},
		{"a rejected candidate too", []any{changed(1), ok, changed(2), kite.TokenRefused, restored{view: actors.TokenView{Adopted: actorstest.Session(1)}}}, "1 valid, 2 rejected", "ask 1"},
		{"a frame that came while none ran proves the candidate", []any{changed(1), restored{view: actors.TokenView{Candidate: actorstest.Session(1)}, live: 1}}, "1 valid, 0 no_token", "adopt 1 by frame, ask 1"},
		{"or the next one", []any{restored{live: 1}, changed(1)}, "1 valid, 0 no_token", "adopt 1 by frame, ask 1"},
		{"but revives none", []any{changed(1), ok, doubted(1), timerFired{}, kite.TokenRefused, restored{live: 1}}, "1 rejected, 0 no_token", ""},
		{"and ends no doubt", []any{changed(1), live(1), kite.TokenRefused, restored{live: 1}}, "1 suspect, 0 no_token", "ask 1"},
		{"a restart takes both up", []any{restored{view: actors.TokenView{Adopted: actorstest.Session(3), Candidate: actorstest.Session(4)}}}, "3 valid, 4 unverified", "ask 4"},
		{"a restart forgets what the store gave up", []any{changed(1), restored{}}, "0 no_token, 0 no_token", ""},
		{"a doubt waits for the answer under way", []any{changed(1), doubted(1)}, "0 no_token, 1 unverified", ""},
		{"a doubt about the older is nobody's", []any{changed(2), ok, doubted(1)}, "2 valid, 0 no_token", "wake"},
		{"the market moves no token", []any{changed(1), ok, open}, "1 valid, 0 no_token", "wake"},
		{"the file's faults move no token", []any{changed(1), ok, received{messages.EnvRejected{Reason: "x"}}, received{messages.EnvAccepted{}}}, "1 valid, 0 no_token", "wake"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, effects := in(t, test.events...)
			got := fmt.Sprintf("%d %s, %d %s", s.adopted.generation(), s.adopted.state, s.candidate.generation(), s.candidate.state)
			if got != test.state {
				t.Errorf("state %q, want %q", got, test.state)
			}
			if names(effects) != test.effects {
				t.Errorf("effects %q, want %q", names(effects), test.effects)
			}
		})
	}
}

func TestCauses(t *testing.T) {
	clock := func(day, hour, minute int) instant {
		e := time.Date(2026, 3, day, hour, minute, 0, 0, ist.Zone)
		return instant{machine: e, exchange: e}
	}
	proven := func(day, hour, minute int) tokenRecord {
		return fresh(actorstest.Session(1), messages.ChangeByLogin, clock(day, hour, minute)).prove(messages.ProofProfile, clock(day, hour, minute))
	}
	other := actorstest.Session(2)
	other.APIKey = "key2"
	tests := []struct {
		name    string
		adopted tokenRecord
		dead    tokenRecord
		now     instant
		want    string
		learns  bool
	}{
		{"flush", tokenRecord{}, proven(2, 9, 0), clock(3, 6, 5), "session has expired", true},
		{"late flush of a login at 06:10", tokenRecord{}, proven(3, 6, 10), clock(3, 7, 31), "session has expired", true},
		{"flush found at noon", tokenRecord{}, proven(2, 15, 0), clock(3, 12, 0), "session has expired", false},
		{"midday", tokenRecord{}, proven(3, 9, 0), clock(3, 12, 0), "Another login ended this token", false},
		{"before dawn", tokenRecord{}, proven(2, 9, 0), clock(3, 5, 0), "Another login ended this token", false},
		{"start", tokenRecord{}, fresh(actorstest.Session(1), messages.ChangeAtStart, clock(3, 8, 55)), clock(3, 8, 55), "earlier day", false},
		{"typing error", proven(3, 9, 0), fresh(actorstest.Session(2), messages.ChangeByEvent, clock(3, 9, 5)), clock(3, 9, 5), "typing error", false},
		{"wrong key", proven(3, 9, 0), fresh(other, messages.ChangeByEvent, clock(3, 9, 5)), clock(3, 9, 5), "wrong API key? Check ZERODHA_API_KEY", false},
	}
	for _, test := range tests {
		got := state{adopted: test.adopted}.cause(test.dead, test.now.exchange)
		if !strings.Contains(got, test.want) {
			t.Errorf("%s: %q, want %q in it", test.name, got, test.want)
		}
		if keeps := strings.Contains(got, "stays in use"); keeps != (test.adopted.generation() != 0) {
			t.Errorf("%s: %q", test.name, got)
		}
		if _, learns := died(test.dead, test.now.exchange); learns != test.learns {
			t.Errorf("%s: learns %t", test.name, learns)
		}
	}
}

func TestExpiryHint(t *testing.T) {
	day := func(d, h, m int) time.Time { return time.Date(2026, 3, d, h, m, 0, 0, ist.Zone) }
	seen := []Expiry{{EndedAt: day(1, 6, 0)}} // older than the last five
	for d, m := range []int{40, 35, 33, 50, 58} {
		seen = append(seen, Expiry{EndedAt: day(2+d, 7, m).UTC()})
	}
	if got := learnedTime(seen); got != 7*time.Hour+33*time.Minute {
		t.Errorf("learnedTime %v", got)
	}
	good := tokenRecord{proven: day(3, 9, 0), state: messages.Valid}
	early := tokenRecord{proven: day(3, 6, 10), state: messages.Valid}
	for _, test := range []struct {
		tokenRecord tokenRecord
		learned     time.Duration
		want        time.Time
	}{
		{good, 0, day(4, 6, 0)},
		{good, learnedTime(seen), day(4, 7, 33)},
		{early, 0, day(4, 6, 0)},
		{early, learnedTime(seen), day(3, 7, 33)},
		{tokenRecord{}, 0, time.Time{}},
		{good.become(messages.Rejected, "", at(0)), 0, time.Time{}},
	} {
		if got := expiryHint(test.tokenRecord, test.learned); !got.Equal(test.want) {
			t.Errorf("hint %v, want %v", got, test.want)
		}
	}
}

func TestRetries(t *testing.T) {
	want := []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second, 30 * time.Second, 30 * time.Second}
	for i, d := range want {
		if got := retryAfter(kite.Network, i+1, 1); got != d {
			t.Errorf("try %d: %v, want %v", i+1, got, d)
		}
		if got := retryAfter(kite.Network, i+1, 0.5); got != d/2 {
			t.Errorf("try %d with jitter: %v, want %v", i+1, got, d/2)
		}
	}
	if got := retryAfter(kite.RateLimited, 1, 1); got != 4*time.Second {
		t.Errorf("after 429: %v", got)
	}
	if got := retryAfter(kite.Network, 1_000_000, 1); got != 30*time.Second {
		t.Errorf("after long: %v", got)
	}
}

func TestLoginDue(t *testing.T) {
	day := received{messages.PhaseChanged{LoginDue: true}}
	for _, test := range []struct {
		events []any
		want   bool
	}{
		{[]any{changed(1)}, false}, // no trading day
		{[]any{day}, true},
		{[]any{day, changed(1)}, true},
		{[]any{day, changed(1), kite.NoError}, false},
		{[]any{changed(1), kite.NoError, day}, false},
		{[]any{day, changed(1), kite.NoError, doubted(1), timerFired{}, kite.Network}, false},
		{[]any{day, changed(1), kite.NoError, doubted(1), timerFired{}, kite.TokenRefused}, true},
		{[]any{day, received{messages.PhaseChanged{}}}, false},
	} {
		s, _ := in(t, test.events...)
		if s.report(at(0)).LoginDue != test.want {
			t.Errorf("after %d events: due %t", len(test.events), !test.want)
		}
	}
}

// TestNoSequenceRevives drives the machine with anything in any order.
func TestNoSequenceRevives(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s state
		var newest messages.Generation
		refused := map[messages.Generation]bool{}
		clock := at(0)
		generation := rapid.Custom(func(t *rapid.T) messages.Generation {
			return messages.Generation(rapid.IntRange(0, int(newest)+2).Draw(t, "generation"))
		})
		for range rapid.IntRange(1, 60).Draw(t, "events") {
			pause := time.Duration(rapid.IntRange(0, 400_000).Draw(t, "pause")) * time.Millisecond
			clock = instant{clock.machine.Add(pause), clock.exchange.Add(pause)}
			var ev event
			switch rapid.IntRange(0, 9).Draw(t, "kind") {
			case 0, 1:
				newest++
				ev = changed(newest)
			case 2:
				ev = changed(generation.Draw(t, "g"))
			case 3:
				ev = live(generation.Draw(t, "g"))
			case 4:
				ev = doubted(generation.Draw(t, "g"))
			case 5, 6:
				ev = reply(s, kite.Kind(rapid.IntRange(0, 7).Draw(t, "answer")))
			case 7:
				ev = answered{
					serial: rapid.IntRange(0, s.serial).Draw(t, "serial"), generation: generation.Draw(t, "g"),
					kind: kite.Kind(rapid.IntRange(0, 7).Draw(t, "answer")), jitter: 1,
				}
			case 8:
				ev = timerFired{}
			default: // a restart; the store knows what was refused
				var view actors.TokenView
				if g := s.adopted.generation(); g != 0 && !refused[g] {
					view.Adopted = actorstest.Session(g)
				}
				if newest > s.adopted.generation() && !refused[newest] {
					view.Candidate = actorstest.Session(newest)
				}
				ev = restored{view: view, live: generation.Draw(t, "live")}
			}
			was := s
			var effects []effect
			s, effects = next(s, ev, clock)
			if s.adopted.generation() < was.adopted.generation() {
				t.Fatalf("%#v: adopted fell from %d to %d", ev, was.adopted.generation(), s.adopted.generation())
			}
			if s.candidate.generation() != 0 && s.candidate.generation() <= s.adopted.generation() {
				t.Fatalf("candidate %d is not newer than the adopted %d", s.candidate.generation(), s.adopted.generation())
			}
			asked := 0
			for i, e := range effects {
				switch e := e.(type) {
				case adopt:
					if refused[e.tokenRecord.generation()] || e.tokenRecord.generation() <= was.adopted.generation() || i != 0 {
						t.Fatalf("%#v: adopted %d", ev, e.tokenRecord.generation())
					}
				case reject:
					if a, ok := ev.(answered); !ok || a.kind != kite.TokenRefused || a.generation != e.generation {
						t.Fatalf("%#v rejected %d", ev, e.generation)
					}
					refused[e.generation] = true
				case ask:
					asked++
					if refused[e.session.Generation] {
						t.Fatalf("%#v: asked about the refused %d again", ev, e.session.Generation)
					}
					if e.session.Generation != s.adopted.generation() && e.session.Generation != s.candidate.generation() {
						t.Fatalf("%#v: asked about %d", ev, e.session.Generation)
					}
				}
			}
			if asked > 1 {
				t.Fatalf("%#v: %d questions at once", ev, asked)
			}
			for _, f := range []tokenRecord{s.adopted, s.candidate} {
				if refused[f.generation()] != (f.state == messages.Rejected) {
					t.Fatalf("%#v: generation %d is %s, refused %t", ev, f.generation(), f.state, refused[f.generation()])
				}
			}
		}
	})
}

// TestPace counts the questions that a noisy harness may cause.
func TestPace(t *testing.T) {
	for _, test := range []struct {
		phase messages.Phase
		noise event
		most  int // questions in an hour
	}{
		{messages.Open, timerFired{}, 121},
		{messages.Closed, timerFired{}, 13},
		{messages.Open, doubted(1), 1801},
		{messages.Closed, received{messages.ValidateToken{}}, 1801},
	} {
		s, _ := in(t, changed(1), kite.NoError, received{messages.PhaseChanged{Phase: test.phase}})
		questions := 0
		for ms := 3000; ms < 3_603_000; ms += 100 {
			var effects []effect
			now := at(time.Duration(ms) * time.Millisecond)
			s, effects = next(s, test.noise, now)
			for _, e := range effects {
				if _, ok := e.(ask); ok {
					questions++
					s, _ = next(s, reply(s, kite.NoError), now)
				}
			}
		}
		if questions > test.most || questions < test.most-2 {
			t.Errorf("%s, %T: %d questions an hour, want %d at most", test.phase, test.noise, questions, test.most)
		}
	}
}
