package replies

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"kitestring/actors"
	"kitestring/actors/channels"
	"kitestring/messages"
)

// How often the .env file and the feed are looked at, and how long a channel that
// refuses us is left alone.
const (
	lookEvery   = 250 * time.Millisecond
	refusedWait = 5 * time.Minute
)

// quickest is how soon a channel may end a question that it was to hold while
// nothing comes: one that ends it sooner, with nothing, is asked again after a pause
// as one that fails is.
const quickest = time.Second

// hurried is the outcome of such a question.
var hurried = channels.Outcome{Reason: "it ends each question at once and brings nothing: another server, or a proxy, answers at its address"}

// Config is what the actor needs; everything is required.
type Config struct {
	Keys channels.Keys
	// Complete finishes a login with a text, at most once a request token; the
	// reason is for a person.
	Complete func(ctx context.Context, text string) (messages.LoginResult, string)
	// Live is the adopted generation, and whether data comes on it and it is the
	// one in the file.
	Live func() (g messages.Generation, live bool)
	// Link is where a person logs in, as a message over a channel says it.
	Link      func(c channels.Channel) string
	Clock     actors.Clock
	Store     *Store
	Timeline  Timeline
	Dashboard string // its address as we know it
}

// Timeline takes events for people.
type Timeline interface {
	Note(kind, format string, args ...any)
}

// New makes the actor "replies". It is sent no messages and sends none.
func New(cfg Config) actors.Producer {
	return func(self actors.Self) actors.Actor { return &replies{Config: cfg, self: self} }
}

type replies struct {
	Config
	self      actors.Self
	state     state
	client    *http.Client
	listeners map[string]*listener // by kind of channel
}

// listener is a channel that is listened to.
type listener struct {
	channel channels.Channel
	stop    context.CancelFunc
}

type (
	look  struct{}
	reply struct {
		channel channels.Channel
		channels.Reply
	}
	completed struct {
		result messages.LoginResult
		reason string
	}
)

// Receive implements actors.Actor.
func (r *replies) Receive(msg any) {
	switch m := msg.(type) {
	case actors.Started:
		r.client, r.listeners = channels.NewClient(), map[string]*listener{}
		r.self.Every(lookEvery, look{})
		r.look()
	case look:
		r.look()
	case reply:
		r.reply(m)
	case completed:
		r.step(finished{m.result == messages.LoginOK, m.reason, time.Now()})
	case actors.Stopped:
		for _, e := range r.listeners {
			e.stop()
		}
	default:
		r.self.Log().Warn("unexpected message", "type", fmt.Sprintf("%T", msg))
	}
}

// look reads the file and the feed.
func (r *replies) look() {
	setting := channels.Read(r.Keys, r.Dashboard)
	for _, kind := range channels.Kinds {
		c, there := setting.Channel(kind)
		there = there && c.Answers()
		e := r.listeners[kind]
		if e != nil && (!there || !same(e.channel, c)) {
			e.stop()
			delete(r.listeners, kind)
			r.Store.forget(kind)
			e = nil
		}
		if e == nil && there {
			r.listen(c)
		}
	}
	g, live := r.Live()
	r.step(looked{live, g, r.Clock.Now(), time.Now()})
}

func same(a, b channels.Channel) bool {
	return a.Address.Equal(b.Address) && a.Token.Equal(b.Token) && a.Chat.Equal(b.Chat) && a.Reply.Equal(b.Reply)
}

// listen receives from a channel in a task until it is stopped.
func (r *replies) listen(c channels.Channel) {
	ctx, stop := context.WithCancel(context.Background())
	r.listeners[c.Kind] = &listener{c, stop}
	r.self.Log().Info("replies are listened to", "channel", c.Kind)
	client, store := r.client, r.Store
	r.self.Go("listen to "+c.Kind, func(incarnation context.Context) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(incarnation, cancel)()
		// A flood ends here: the actor gets what a person can write.
		ours, strangers := rate.NewLimiter(rate.Every(time.Second), 20), rate.NewLimiter(rate.Every(time.Minute), 1)
		wait := time.Duration(0) // the first poll says at once whether we are let in
		for failures := 0; ctx.Err() == nil; {
			asked, cursor := time.Now(), store.cursor(c.Kind)
			o := channels.Listen(ctx, client, c, cursor, wait, func() { store.admitted(c.Kind, "") }, func(m channels.Reply) {
				store.seen(c.Kind, m.Cursor)
				budget, beyond := ours, ResultOverBudget
				if !m.Ours {
					budget, beyond = strangers, ResultStranger
				}
				if !budget.Allow() {
					store.count(beyond)
					return
				}
				r.self.Tell(reply{c, m})
			})
			if ctx.Err() != nil {
				return nil
			}
			tooSoon := o.Arrived && wait > 0 && time.Since(asked) < quickest && store.cursor(c.Kind) == cursor
			if wait = channels.LongPoll; o.Arrived && !tooSoon {
				failures = 0
				continue
			}
			if failures++; tooSoon {
				o = hurried
			} else {
				wait = 0
			}
			store.admitted(c.Kind, o.Reason)
			pause := channels.Pause(failures, rand.Float64(), o)
			if o.Final {
				pause = refusedWait
			}
			if failures == 1 {
				r.self.Log().Warn("replies cannot be listened to", "channel", c.Kind, "reason", o.Reason, "again_in", pause.Round(time.Second).String())
			}
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
		}
		return nil
	})
}

func (r *replies) reply(m reply) {
	text, login := address(m.Text.Reveal())
	now := time.Now()
	if !m.Ours {
		r.self.Log().Warn("a message from another chat is ignored", "channel", m.channel.Kind)
		r.Timeline.Note("login", "a message over %s came from another chat than the one in the .env file; it is ignored", m.channel.Kind)
	}
	r.step(came{m.channel.Kind, m.Ours, login, now.Sub(m.At), now, messages.NewSecret(text), r.Link(m.channel)})
}

func (r *replies) step(ev event) {
	var effects []effect
	r.state, effects = next(r.state, ev)
	for _, e := range effects {
		switch e := e.(type) {
		case exchange:
			r.self.Go("finish login", func(ctx context.Context) error {
				result, reason := r.Complete(ctx, e.text.Reveal())
				r.self.Tell(completed{result, reason})
				return nil
			})
		case say:
			r.say(e)
		case count:
			r.Store.count(e.result)
			r.self.Log().Debug("reply", "result", string(e.result))
		}
	}
}

// say answers in a task; a failure is tried again a few times.
func (r *replies) say(e say) {
	listens := r.listeners[e.channel]
	if listens == nil {
		return // taken out of the file meanwhile
	}
	client := r.client
	r.self.Go("answer over "+e.channel, func(ctx context.Context) error {
		m := channels.Message{Title: "Kite login", Text: e.text}
		for attempt := 1; attempt <= 3; attempt++ {
			o := channels.Send(ctx, client, listens.channel, m)
			if o.Arrived || o.Final || ctx.Err() != nil {
				return nil
			}
			select {
			case <-ctx.Done():
			case <-time.After(channels.Pause(attempt, rand.Float64(), o)):
			}
		}
		r.self.Log().Warn("an answer to a reply was given up", "channel", e.channel)
		return nil
	})
}

// Store is what outlives an incarnation. Made once by the tree. Safe for
// concurrent use.
type Store struct {
	mu      sync.Mutex
	cursors map[string]string // of the last reply, by kind of channel
	faults  map[string]string // by kind of channel; "": it is listened to
	counts  map[Result]prometheus.Counter
}

// NewStore makes an empty one and registers its metric.
func NewStore(reg prometheus.Registerer) *Store {
	s := &Store{cursors: map[string]string{}, faults: map[string]string{}, counts: map[Result]prometheus.Counter{}}
	replies := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "kitestring_replies_total", Help: "Replies of a person to a reminder.",
	}, []string{"result"})
	reg.MustRegister(replies)
	for _, r := range Results {
		s.counts[r] = replies.WithLabelValues(string(r))
	}
	return s
}

// Listening are the kinds of channels that let us in, and of those that do not,
// the reasons in plain words.
func (s *Store) Listening() (admitted []string, faults map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	faults = map[string]string{}
	for _, kind := range channels.Kinds {
		switch fault, known := s.faults[kind]; {
		case !known:
		case fault == "":
			admitted = append(admitted, kind)
		default:
			faults[kind] = fault
		}
	}
	return admitted, faults
}

func (s *Store) admitted(kind, fault string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[kind] = fault
}

// forget drops what is known of a channel that is another one now.
func (s *Store) forget(kind string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.faults, kind)
	delete(s.cursors, kind)
}

func (s *Store) cursor(kind string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cursors[kind]
}

func (s *Store) seen(kind, cursor string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cursors[kind] = cursor
}

func (s *Store) count(r Result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts[r].Inc()
}
