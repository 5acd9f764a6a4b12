package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/anthdm/hollywood/actor"

	"kitestring/actors"
	"kitestring/actors/kite"
	"kitestring/messages"
)

// Tokens is the token store as auth needs it.
type Tokens interface {
	actors.TokenSource
	// Adopt makes g the generation that everybody works with; false: g is not
	// the pending candidate (any more).
	Adopt(g messages.Generation) bool
	// Reject notes that Kite refuses g; false: noted before, or unknown.
	Reject(g messages.Generation, reason string) bool
	// Reopen offers a refused g again, as a new generation; false: g is not the
	// newest, or was not refused.
	Reopen(g messages.Generation) bool
	// Fault is why the file cannot be used as it is; "": it can.
	Fault() string
}

// Frames is what the feed knows, asked at the start: its message may have come
// while no auth ran.
type Frames interface {
	// Live is the newest generation on a socket of which a valid frame has come,
	// 0 for none.
	Live() messages.Generation
}

// Market is asked for the phase of the day at the start: a message comes only
// when it changes.
type Market interface {
	// Phase is the newest phase, false before the first.
	Phase() (messages.PhaseChanged, bool)
}

// Coherence is which generation each actor used last.
type Coherence interface {
	// Lagging names the actors whose last use of a token was of an older
	// generation than the adopted one; one without any use does not count.
	Lagging() []string
	// Idle counts the names that have not used generation g, or a newer one.
	Idle(g messages.Generation, names []string) int
}

// Config is what auth needs.
type Config struct {
	Exchange  kite.Exchange
	Tokens    Tokens
	Coherence Coherence
	Frames    Frames // nil: nobody to ask
	Market    Market // nil: the phase is known from its next change on
	Clock     actors.Clock
	Feed      *actor.PID // gets TokenVerdict
	Holders   []Holder   // get TokenAdopted
	Users     []string   // the names of those of them who note each use of a token
	Web       *actor.PID // gets AuthChanged
	Store     *Store
	Metrics   *Metrics
	// Assume counts what speaks for and against an assumption about Kite; nil: not
	// wanted.
	Assume func(a messages.Assumption, held bool, n uint64)
}

// Holder is an actor that works with the adopted token.
type Holder struct {
	Name string // as it notes its uses
	PID  *actor.PID
}

// New makes the producer of the auth actor.
func New(cfg Config) actors.Producer {
	return func(self actors.Self) actors.Actor {
		return &auth{Config: cfg, self: self, log: self.Log()}
	}
}

// auth is one incarnation.
type auth struct {
	Config
	self actors.Self
	log  *slog.Logger

	state  state
	shown  messages.AuthChanged
	client *kite.Client
	cancel context.CancelFunc // ends the question in flight
	stop   func()             // stops the timer of the last wake
	next   func()             // stops the timer of the next look
	sent   atomic.Uint64      // the generation of the last question that left

	settled    messages.Generation
	adopted    time.Time // monotonic; when the adopted generation was taken up, or the watch began
	incoherent time.Time // monotonic; since when an actor lags; zero: none does
	warned     bool
	reminded   time.Time // monotonic; when those that lag last got the adoption again
}

// checkCoherence is the timer's message.
type checkCoherence struct{}

// How often, and after how long to speak.
const (
	lookSettling = 50 * time.Millisecond // while an adoption is taken up
	lookSettled  = time.Second
	patience     = time.Second
	// remindEvery is how often actors that lag get the adoption again. One that
	// lags because Kite does not answer starts over then, so that it is not often.
	remindEvery = 10 * time.Second
	// mostIdle is how long "adopted by all" waits for actors that have had nothing
	// to do with the token: an analysis without a tick may have nothing all night.
	mostIdle = 3 * time.Second
)

// Receive implements actors.Actor.
func (a *auth) Receive(msg any) {
	switch m := msg.(type) {
	case actors.Started:
		a.start()
	case actors.Stopped:
	case event:
		a.step(m)
	case messages.ToAuth:
		a.step(received{m})
	case checkCoherence:
		a.askStore()
		a.checkCoherence()
		a.step(timerFired{}) // the exchange's clock moves at a pace of its own
	default:
		a.log.Warn("message not understood", "type", fmt.Sprintf("%T", msg))
	}
}

func (a *auth) now() instant { return instant{machine: time.Now(), exchange: a.Clock.Now()} }

// start joins memory and store, and says again what others may have missed.
func (a *auth) start() {
	var fault error
	a.state, a.settled, fault = a.Store.load()
	if fault != nil {
		a.log.Warn("learned expiry times are lost", "error", fault)
	}
	joined := restored{view: a.Tokens.Current(), fault: a.Tokens.Fault()}
	if a.Frames != nil {
		joined.live = a.Frames.Live()
	}
	a.step(joined)
	if a.Market != nil {
		if phase, known := a.Market.Phase(); known {
			a.step(received{phase})
		}
	}
	a.show(true)
	if f := a.state.adopted; f.generation() != 0 {
		a.broadcast(f, a.Clock.Now())
		a.adopted = time.Now()
	}
	for _, f := range []tokenRecord{a.state.candidate, a.state.adopted} {
		if f.state == messages.Rejected {
			a.self.Send(a.Feed, messages.TokenVerdict{
				Generation: f.generation(), Verdict: messages.VerdictRejected, Reason: f.reason, At: a.Clock.Now(),
			})
		}
	}
	a.checkCoherence()
}

// step moves the state and does what follows from it.
func (a *auth) step(ev event) {
	before := a.state
	now := a.now()
	after, effects := next(before, ev, now)
	for _, e := range effects {
		if e, ok := e.(adopt); ok && !a.Tokens.Adopt(e.tokenRecord.generation()) {
			// The store knows better: the file has changed again meanwhile.
			a.log.Info("adoption overtaken", "generation", uint64(e.tokenRecord.generation()))
			a.step(restored{view: a.Tokens.Current(), fault: a.Tokens.Fault(), wait: firstRetry})
			return
		}
	}
	a.state = after
	a.Store.save(after)
	for _, e := range effects {
		a.perform(e, now)
	}
	if after.userID != "" && a.Store.Account() == "" {
		a.self.Go("remember account", func(context.Context) error {
			if err := a.Store.SetAccount(after.userID); err != nil {
				a.log.Warn("the account is not remembered", "error", err)
			}
			return nil
		})
	}
	a.logTransitions(before, after)
	a.show(false)
}

func (a *auth) perform(e effect, now instant) {
	switch e := e.(type) {
	case adopt:
		a.broadcast(e.tokenRecord, now.machine)
		a.adopted = now.machine
		if !a.warned { // each adoption has its own second
			a.incoherent = time.Time{}
		}
		a.self.Tell(checkCoherence{})
	case reject:
		a.Tokens.Reject(e.generation, e.reason)
	case sendVerdict:
		a.self.Send(a.Feed, e.verdict)
	case ask:
		a.ask(e.session, e.serial)
	case setTimer:
		if a.stop != nil {
			a.stop()
		}
		a.stop = a.self.After(e.at.Sub(now.machine), timerFired{})
	case reopen:
		if a.Tokens.Reopen(e.generation) {
			a.log.Info("token refused before is asked about again", "generation", uint64(e.generation))
		}
	case learn:
		a.learn(e.expiry)
	case observe:
		if a.Assume != nil {
			a.Assume(e.assumption, e.held, 1)
		}
	}
}

// askStore takes up a candidate whose TokenChanged did not arrive: what decides
// about tokens does not depend on one message.
func (a *auth) askStore() {
	if view := a.Tokens.Current(); view.Candidate.Generation > a.state.newest {
		a.log.Warn("a change of the token was missed", "generation", uint64(view.Candidate.Generation))
		a.step(received{view.Changed})
	}
}

// broadcast sends the adoption to every holder. The question that proved the
// token was a use of it.
func (a *auth) broadcast(f tokenRecord, at time.Time) {
	if g := f.generation(); a.sent.Load() == uint64(g) {
		a.Tokens.Used(a.self.Name(), g)
	}
	for _, h := range a.Holders {
		a.self.Send(h.PID, messages.TokenAdopted{Session: f.session, Proof: f.proof, At: at})
	}
}

// remind sends the adoption again to those that lag: they may have missed it.
func (a *auth) remind(behind []string) {
	f := a.state.adopted
	for _, h := range a.Holders {
		if slices.Contains(behind, h.Name) {
			a.self.Send(h.PID, messages.TokenAdopted{Session: f.session, Proof: f.proof, At: f.since})
		}
	}
}

func (a *auth) learn(e Expiry) {
	a.state.expiryTime = learnedTime(a.Store.add(e))
	a.Store.save(a.state)
	a.self.Go("keep expiry", func(context.Context) error {
		if err := a.Store.write(); err != nil {
			a.log.Warn("learned expiry time not kept", "error", err)
		}
		return nil
	})
}

// show gives web and the metrics what has changed.
func (a *auth) show(always bool) {
	r := a.state.report(a.now())
	old := a.shown
	old.At = r.At
	same := old.Adopted == r.Adopted && equal(old.Candidate, r.Candidate)
	old.Candidate = r.Candidate
	if same && old == r && !always {
		return
	}
	a.shown = r
	a.Metrics.show(r)
	a.self.Send(a.Web, r)
}

func equal(a, b *messages.TokenStatus) bool {
	return a == b || a != nil && b != nil && *a == *b
}

// logTransitions logs the transitions, each once.
func (a *auth) logTransitions(before, after state) {
	for _, pair := range [][2]tokenRecord{{before.candidate, after.candidate}, {before.adopted, after.adopted}} {
		was, is := pair[0], pair[1]
		if is.generation() == 0 || was.generation() == is.generation() && was.state == is.state {
			continue
		}
		log := a.log.With("generation", uint64(is.generation()), "fingerprint", is.session.Token.Fingerprint(), "state", is.state.String())
		switch is.state {
		case messages.Unverified:
			log.Info("token to be proven", "source", string(is.source))
		case messages.Valid:
			log.Info("token valid", "proof", string(is.proof))
		case messages.Suspect:
			log.Warn("token check without an answer", "reason", is.reason)
		case messages.Rejected:
			log.Warn("token rejected", "reason", is.reason)
		case messages.NoToken:
		}
	}
	if due := after.loginDue(); due != before.loginDue() {
		a.log.Info("login due changed", "login_due", due, "state", after.adopted.state.String(), "generation", uint64(after.adopted.generation()))
	}
}

// checkCoherence watches over "all services use one token".
func (a *auth) checkCoherence() {
	g := a.state.adopted.generation()
	var behind []string
	if g > 0 {
		behind = a.Coherence.Lagging()
	}
	now := time.Now()
	log := func() *slog.Logger {
		return a.log.With("generation", uint64(g), "fingerprint", a.state.adopted.session.Token.Fingerprint(), "state", a.state.adopted.state.String())
	}
	switch {
	case len(behind) == 0:
		if g > a.settled {
			a.settle(g, now, log())
		} else if a.warned {
			log().Info("token coherent again", "after_ms", now.Sub(a.incoherent).Milliseconds())
		}
		a.incoherent, a.warned, a.reminded = time.Time{}, false, time.Time{}
		a.Metrics.coherent.Set(1)
	case a.incoherent.IsZero():
		a.incoherent = now
	case now.Sub(a.incoherent) > patience:
		if !a.warned {
			log().Warn("token not adopted by all", "after_ms", now.Sub(a.incoherent).Milliseconds(), "behind", behind)
			a.warned = true
			a.Metrics.coherent.Set(0)
		}
		if now.Sub(a.reminded) >= remindEvery {
			a.reminded = now
			a.remind(behind)
		}
	}
	if a.next != nil {
		a.next()
	}
	pause := lookSettled
	if g > a.settled || len(behind) > 0 {
		pause = lookSettling
	}
	a.next = a.self.After(pause, checkCoherence{})
}

// settle says once a generation that everybody works with it.
func (a *auth) settle(g messages.Generation, now time.Time, log *slog.Logger) {
	idle := a.Coherence.Idle(g, a.Users)
	if idle > 0 && now.Sub(a.adopted) <= mostIdle {
		return
	}
	log.Info("token adopted by all", "after_ms", now.Sub(a.adopted).Milliseconds(), "users", len(a.Users)-idle, "idle", idle)
	a.settled = g
	a.Store.settle(g)
}

// ask puts one question to /user/profile, in a task, instead of any older one.
func (a *auth) ask(session messages.Session, serial int) {
	if a.cancel != nil {
		a.cancel()
	}
	superseded, cancel := context.WithCancel(context.Background())
	a.cancel = cancel
	if a.client == nil || a.client.Generation() != session.Generation {
		a.client = kite.New(a.Exchange, session, a.use)
	}
	client := a.client
	a.self.Go("validate", func(ctx context.Context) error {
		defer cancel()
		ctx, stop := context.WithCancel(ctx)
		defer stop()
		defer context.AfterFunc(superseded, stop)()
		profile, err := client.Profile(ctx)
		if superseded.Err() != nil || ctx.Err() != nil {
			return nil
		}
		answer := answered{
			serial: serial, generation: session.Generation,
			userID: profile.UserID, jitter: 0.5 + rand.Float64()/2,
		}
		if err != nil {
			answer.kind = kite.Network // whatever it is, it is no verdict
			var failed *kite.Error
			if errors.As(err, &failed) {
				answer.kind, answer.status, answer.words = failed.Kind, failed.Status, kite.Said(err)
			}
			a.log.Debug("profile check failed", "error", err, "generation", uint64(session.Generation))
		}
		a.self.Tell(answer)
		return nil
	})
}

// use notes a question that has left. Asking about a candidate is no work with
// it: uses are of the adopted token, and a typing error must not make the
// actors look incoherent.
func (a *auth) use(g messages.Generation) {
	a.sent.Store(uint64(g))
	if a.Tokens.Current().Adopted.Generation == g {
		a.Tokens.Used(a.self.Name(), g)
	}
}
