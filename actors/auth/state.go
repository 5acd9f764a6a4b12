package auth

import (
	"time"

	"kitestring/actors"
	"kitestring/actors/kite"
	"kitestring/messages"
)

// How often /user/profile is asked of the adopted token at most.
const (
	periodOpen   = 30 * time.Second // in market hours
	periodClosed = 5 * time.Minute  // outside
	// soonest spaces checks that somebody asked for: a hundred doubts about one
	// token are one question.
	soonest = 2 * time.Second
	// mostDoubts is how many refusals in a row are doubted of a token whose socket
	// has brought data: a token that is really dead is found soonest later.
	mostDoubts = 1
)

// instant is one moment on both clocks: schedules and what happened here go by
// the machine's, the token's life (flush, expiry) by the exchange's.
type instant struct{ machine, exchange time.Time }

// state is all that the auth actor decides by. There are two tokens, never one:
// the adopted one, with which everybody works, and the candidate, the newest in
// the file.
type state struct {
	adopted   tokenRecord
	candidate tokenRecord         // pending or rejected, and newer than adopted; zero: none
	newest    messages.Generation // ever seen: nothing older is taken up again
	live      messages.Generation // a frame came before its TokenChanged; 0: none
	userID    string

	open       bool // market hours
	loginDay   bool // the market says that today wants a login
	fileFault  string
	expiryTime time.Duration // learned: the time of day, IST, at which tokens die; 0: none

	asking messages.Generation // the question in flight; 0: none
	asked  instant             // the last question about the adopted token
	serial int                 // numbers the questions
	hurry  bool                // somebody wants the adopted token checked now
}

// next is the whole logic of auth. Only TokenException rejects; only a new
// generation leaves Rejected; adopted moves forward only.
func next(s state, ev event, now instant) (state, []effect) {
	var out []effect
	switch ev := ev.(type) {
	case received:
		s, out = s.receive(ev.ToAuth, now)
	case restored:
		s, out = s.restore(ev, now)
	case answered:
		s, out = s.answer(ev, now)
	case timerFired:
	}
	return s.schedule(now, out)
}

// schedule decides when to ask Kite about which token: the candidate first.
func (s state) schedule(now instant, out []effect) (state, []effect) {
	var session messages.Session
	var due time.Time
	switch {
	case s.asking != 0:
		return s, out
	case s.candidate.pending():
		session, due = s.candidate.session, s.candidate.again
	case s.adopted.generation() != 0 && s.adopted.state != messages.Rejected:
		session, due = s.adopted.session, s.nextCheck(now)
	default:
		return s, out
	}
	if now.machine.Before(due) {
		return s, append(out, setTimer{due})
	}
	s.serial++
	s.asking = session.Generation
	if s.asking == s.adopted.generation() {
		s.asked, s.hurry = now, false
	}
	return s, append(out, ask{session, s.serial})
}

func (s state) nextCheck(now instant) time.Time {
	// The hour at which tokens die has passed: a probe decides.
	hint := expiryHint(s.adopted, s.expiryTime)
	flush := s.asked.exchange.Before(hint) && !now.exchange.Before(hint)
	if s.asked.machine.IsZero() {
		return time.Time{}
	}
	due := s.asked.machine.Add(periodClosed)
	if s.open {
		due = s.asked.machine.Add(periodOpen)
	}
	if s.adopted.failures > 0 || s.adopted.refusals > 0 {
		due = earlier(due, s.adopted.again)
	}
	if s.hurry || flush {
		due = earlier(due, s.asked.machine.Add(soonest))
	}
	return due
}

// receive answers a message of another actor.
func (s state) receive(msg messages.ToAuth, now instant) (state, []effect) {
	switch m := msg.(type) {
	case messages.TokenChanged:
		return s.changed(m, now)
	case messages.FeedLive:
		return s.frame(m.Generation, now)
	case messages.TokenDoubted:
		return s.doubt(m.Generation, now)
	case messages.ValidateToken:
		if s.candidate.pending() {
			s.candidate.again = time.Time{}
		}
		s.hurry = true
		// A person doubts the refusal: it may have been a fault of Kite's.
		for _, r := range []tokenRecord{s.candidate, s.adopted} {
			if r.state == messages.Rejected && r.generation() == s.newest {
				return s, []effect{reopen{s.newest}}
			}
		}
	case messages.PhaseChanged:
		s.open = m.Phase != messages.Closed
		// "Dead by now" is the market's guess; Kite knows.
		s.hurry = s.hurry || m.LoginDue && !s.loginDay
		s.loginDay = m.LoginDue
	case messages.EnvRejected:
		s.fileFault = m.Reason
	case messages.EnvAccepted:
		s.fileFault = ""
	}
	return s, nil
}

// changed takes a newer candidate up; the question about an older one is moot.
func (s state) changed(m messages.TokenChanged, now instant) (state, []effect) {
	g := m.Session.Generation
	if g <= s.newest {
		return s, nil // said before
	}
	s.candidate, s.newest = fresh(m.Session, m.Source, now), g
	s.asking = 0
	if s.live == g { // the feed was quicker than the watcher
		return s.adoptCandidate(messages.ProofFrame, now)
	}
	return s, nil
}

func (s state) adoptCandidate(proof messages.Proof, now instant) (state, []effect) {
	s.adopted = s.candidate.prove(proof, now)
	s.candidate, s.live, s.hurry = tokenRecord{}, 0, false
	// Proven by a frame, it has not been asked about yet, or the question is
	// still in flight; proven by the profile, it has just been.
	s.asked = instant{}
	if proof == messages.ProofProfile || s.asking == s.adopted.generation() {
		s.asked = now
	}
	return s, []effect{adopt{s.adopted}}
}

// frame is a valid frame on a socket of g: Kite accepted the token at the
// socket's upgrade.
func (s state) frame(g messages.Generation, now instant) (state, []effect) {
	switch {
	case g == s.candidate.generation() && s.candidate.pending():
		return s.adoptCandidate(messages.ProofFrame, now)
	case g == s.adopted.generation() && s.adopted.state == messages.Suspect && s.adopted.refusals == 0:
		s.adopted = s.adopted.prove(messages.ProofFrame, now)
	case g == s.adopted.generation():
		s.adopted.live = true
	case g > s.newest:
		s.live = g
	}
	return s, nil
}

// doubt is a 403 somewhere: no verdict, a reason to ask.
func (s state) doubt(g messages.Generation, now instant) (state, []effect) {
	for _, f := range []tokenRecord{s.candidate, s.adopted} {
		if f.generation() == g && f.state == messages.Rejected {
			return s, []effect{sendVerdict{messages.TokenVerdict{
				Generation: g, Verdict: messages.VerdictRejected, Reason: f.reason, At: now.machine,
			}}}
		}
	}
	switch g {
	case s.asking: // the answer is on its way
	case s.candidate.generation():
		if soon := now.machine.Add(soonest); s.candidate.again.After(soon) {
			s.candidate.again = soon
		}
	case s.adopted.generation():
		s.hurry = true
	}
	return s, nil
}

// answer is what came of a question.
func (s state) answer(a answered, now instant) (state, []effect) {
	if s.asking == 0 || a.serial != s.serial || a.generation != s.asking {
		return s, nil // about a token that is not the newest any more
	}
	s.asking = 0
	verdict := messages.TokenVerdict{Generation: a.generation, Verdict: messages.VerdictUnknown, At: now.machine}
	f, about := &s.candidate, a.generation == s.candidate.generation()
	if !about {
		f = &s.adopted
	}
	if f.state == messages.Rejected {
		return s, nil
	}
	var out []effect
	switch a.kind {
	case kite.NoError:
		verdict.Verdict = messages.VerdictValid
		if f.refusals > 0 {
			out = append(out, observe{messages.RefusalIsFinal, false})
		}
		if f.outlives(now.exchange) {
			f.outlived = true
			out = append(out, observe{messages.FlushHour, false})
		}
		s.userID = a.userID
		f.checked = now.machine
		if about {
			var adopted []effect
			s, adopted = s.adoptCandidate(messages.ProofProfile, now)
			out = append(adopted, out...)
		} else {
			*f = f.prove(messages.ProofProfile, now)
		}
	case kite.TokenRefused:
		if f.live && f.refusals < mostDoubts {
			// A single refusal of a token that is in use everywhere else may be a
			// fault of Kite's, and Rejected is left by a new generation only.
			verdict.Reason = "Kite refused the check, but the feed has had data on this token: asking again."
			f.refusals++
			f.again = now.machine.Add(soonest)
			*f = f.become(messages.Suspect, verdict.Reason, now)
			break
		}
		verdict.Verdict, verdict.Reason = messages.VerdictRejected, s.cause(*f, now.exchange)+kiteSays(a.words)
		out = append(out, reject{a.generation, verdict.Reason})
		if f.refusals > 0 {
			out = append(out, observe{messages.RefusalIsFinal, true})
		}
		if expiry, ok := died(*f, now.exchange); ok {
			out = append(out, learn{expiry}, observe{messages.FlushHour, true})
		}
		f.checked = now.machine
		*f = f.become(messages.Rejected, verdict.Reason, now)
	default:
		verdict.Reason = unanswered(a.kind, a.status) + kiteSays(a.words)
		f.failures++
		f.again = now.machine.Add(retryAfter(a.kind, f.failures, a.jitter)) // soon: one 502 must not be a minute's doubt
		switch f.state {
		case messages.Valid, messages.Suspect:
			*f = f.become(messages.Suspect, verdict.Reason+" Kite accepted it at the last check.", now)
		default:
			*f = f.become(f.state, verdict.Reason+" Asking again.", now)
		}
	}
	return s, append(out, sendVerdict{verdict})
}

// restore joins what the store holds with what the last incarnation knew.
func (s state) restore(r restored, now instant) (state, []effect) {
	s.asking, s.hurry = 0, true // soon, but a crash loop does not ask more often
	s.fileFault = r.fault
	// The store goes on offering an adopted token that Kite refused since; the
	// record of this generation, which is kept, says Rejected then.
	if a := r.view.Adopted; a.Generation > s.adopted.generation() {
		// Adopted means proven, though this memory does not know by what.
		s.adopted = fresh(a, messages.ChangeAtStart, now).prove(messages.ProofProfile, now)
		s.newest = max(s.newest, a.Generation)
	}
	switch c := r.view.Candidate; {
	case c.Generation > s.newest:
		s.candidate, s.newest = fresh(c, r.view.Changed.Source, now), c.Generation
	case c.Generation == s.candidate.generation() && s.candidate.pending():
		s.candidate.again = now.machine.Add(r.wait)
	case s.candidate.state != messages.Rejected || s.candidate.generation() <= s.adopted.generation():
		s.candidate = tokenRecord{}
	}
	switch {
	case r.live != 0 && r.live == s.adopted.generation():
		s.adopted.live = true // an old frame, which ends no doubt
		return s, nil
	case r.live != 0:
		return s.frame(r.live, now)
	}
	return s, nil
}

// loginDue: a trading day wants a token and none of today is proven.
func (s state) loginDue() bool {
	return s.loginDay && s.adopted.state != messages.Valid && s.adopted.state != messages.Suspect
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// report is the state as others see it.
func (s state) report(now instant) messages.AuthChanged {
	r := messages.AuthChanged{
		Adopted:    s.adopted.status(),
		UserID:     s.userID,
		LoginDue:   s.loginDue(),
		FileFault:  s.fileFault,
		ExpiryHint: expiryHint(s.adopted, s.expiryTime),
		At:         now.machine,
	}
	if s.adopted.generation() == 0 {
		r.Adopted.Reason = "No access token has been proven since the start: log in."
	}
	if s.candidate.generation() != 0 {
		c := s.candidate.status()
		r.Candidate = &c
	}
	// Wherever a login is asked for, say what the file holds and why it is not used.
	needed := s.adopted.generation() == 0 || s.adopted.state == messages.Rejected
	refused := r.Candidate != nil && r.Candidate.State == messages.Rejected
	if needed && s.fileFault != "" {
		unused := " The .env file holds something else, which is not used: " + s.fileFault + "."
		r.Adopted.Reason += unused
		if refused {
			r.Candidate.Reason += unused
		}
	} else if needed && refused && s.adopted.generation() != 0 {
		r.Adopted.Reason += " The newer token in the .env file (" + r.Candidate.Fingerprint + ") is refused, too."
	}
	return r
}

// tokenRecord is what is known of one generation. The zero value is "no token".
type tokenRecord struct {
	session  messages.Session
	source   messages.ChangeSource
	state    messages.AuthState
	reason   string
	seen     time.Time // exchange time of its TokenChanged
	since    time.Time // machine time of the state's beginning
	checked  time.Time // machine time of the profile's last verdict; zero: none
	proven   time.Time // exchange time of the first proof; zero: none
	validAt  time.Time // exchange time of the last proof
	proof    messages.Proof
	failures int       // questions in a row without a verdict
	live     bool      // a frame has come on a socket of it
	refusals int       // in a row that were doubted, because it is live
	outlived bool      // it was good after the hours in which Kite ends tokens
	again    time.Time // monotonic; not to be asked before
}

func (f tokenRecord) generation() messages.Generation { return f.session.Generation }

// pending: a token that still waits for its verdict.
func (f tokenRecord) pending() bool { return f.state == messages.Unverified }

func (f tokenRecord) become(state messages.AuthState, reason string, now instant) tokenRecord {
	if f.state != state {
		f.since = now.machine
	}
	f.state, f.reason = state, reason
	return f
}

func (f tokenRecord) prove(proof messages.Proof, now instant) tokenRecord {
	if f.proven.IsZero() {
		f.proven, f.proof = now.exchange, proof
	}
	f.validAt, f.failures, f.refusals, f.again = now.exchange, 0, 0, time.Time{}
	f.live = f.live || proof == messages.ProofFrame
	return f.become(messages.Valid, "", now)
}

func fresh(session messages.Session, source messages.ChangeSource, now instant) tokenRecord {
	return tokenRecord{
		session: session, source: source, state: messages.Unverified,
		reason: "Asking Kite whether it accepts this token.",
		seen:   now.exchange, since: now.machine,
	}
}

func (f tokenRecord) status() messages.TokenStatus {
	return messages.TokenStatus{
		Generation: f.generation(), Fingerprint: f.session.Token.Fingerprint(), State: f.state,
		Reason: f.reason, Since: f.since, CheckedAt: f.checked,
	}
}

// event is what moves the state.
//
//sumtype:decl
type event interface{ event() }

type (
	// said is a message of another actor.
	received struct{ messages.ToAuth }
	// restored is what the token store and the feed say at a start.
	restored struct {
		view  actors.TokenView
		fault string              // of the file; "": none
		live  messages.Generation // newest that brought a frame; 0: none
		wait  time.Duration       // before the same candidate is asked about again
	}
	// answered is the profile's answer, or why there is none.
	answered struct {
		serial     int
		generation messages.Generation
		kind       kite.Kind // NoError: valid
		status     int
		words      string // Kite's own, scrubbed; "": it gave none
		userID     string
		jitter     float64 // 0.5 to 1
	}
	// timerFired says that the time of the last setTimer has come.
	timerFired struct{}
)

func (received) event()   {}
func (restored) event()   {}
func (answered) event()   {}
func (timerFired) event() {}

// effect is something that the actor has to do.
//
//sumtype:decl
type effect interface{ effect() }

type (
	// adopt makes a candidate the token that everybody works with. Always the first effect.
	adopt struct{ tokenRecord tokenRecord }
	// reject tells the store, which never offers the generation again.
	reject struct {
		generation messages.Generation
		reason     string
	}
	// sendVerdict answers the feed's doubt.
	sendVerdict struct{ verdict messages.TokenVerdict }
	// ask puts the question to Kite, instead of any older one.
	ask struct {
		session messages.Session
		serial  int
	}
	// setTimer asks for a timerFired at a monotonic time, instead of any older one.
	setTimer struct{ at time.Time }
	// reopen asks the store to offer a refused generation once more, as a new one.
	reopen struct{ generation messages.Generation }
	// learn keeps when a token died in the morning.
	learn struct{ expiry Expiry }
	// observe counts a fact for or against an assumption about Kite.
	observe struct {
		assumption messages.Assumption
		held       bool
	}
)

func (adopt) effect()       {}
func (reject) effect()      {}
func (sendVerdict) effect() {}
func (ask) effect()         {}
func (setTimer) effect()    {}
func (reopen) effect()      {}
func (learn) effect()       {}
func (observe) effect()     {}

// How long an unanswered question about a candidate waits before it is asked
// again: doubling from firstRetry to lastRetry, times a jitter of 0.5 to 1.
const (
	firstRetry = 500 * time.Millisecond
	slowRetry  = 4 * time.Second // Kite said 429
	lastRetry  = 30 * time.Second
)

func retryAfter(kind kite.Kind, failures int, jitter float64) time.Duration {
	d := firstRetry
	if kind == kite.RateLimited {
		d = slowRetry
	}
	for range min(failures-1, 10) {
		d *= 2
	}
	return time.Duration(float64(min(d, lastRetry)) * jitter)
}
