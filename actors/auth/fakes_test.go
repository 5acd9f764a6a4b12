package auth

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anthdm/hollywood/actor"
	"github.com/prometheus/client_golang/prometheus"

	"kitestring/actors"
	"kitestring/actors/actorstest"
	"kitestring/actors/kite"
	"kitestring/messages"
)

var (
	webPID    = actor.NewPID("local", "web/main")
	feedPID   = actor.NewPID("local", "feed/main")
	holderPID = actor.NewPID("local", "instruments/main")
)

// fakeStore is the shared fake, with an actor that lags on demand.
type fakeStore struct {
	*actorstest.Tokens
	lags atomic.Bool // pcr does
}

func newStore() *fakeStore { return &fakeStore{Tokens: actorstest.NewTokens()} }

func (s *fakeStore) write(g messages.Generation, source messages.ChangeSource) messages.TokenChanged {
	return s.Write(actorstest.Session(g), source)
}

func (s *fakeStore) Lagging() []string {
	if s.lags.Load() {
		return append(s.Tokens.Lagging(), "pcr")
	}
	return s.Tokens.Lagging()
}

// fakeKite answers /user/profile by token.
type fakeKite struct {
	mu     sync.Mutex
	says   map[string]string // by token: "", ok, dead, 429, 502, silent
	asked  map[string]int
	during func() // called at each question
}

func newKite() *fakeKite { return &fakeKite{says: map[string]string{}, asked: map[string]int{}} }

func (k *fakeKite) say(g messages.Generation, what string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.says[actorstest.Session(g).Token.Reveal()] = what
}

func (k *fakeKite) questions(g messages.Generation) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.asked[actorstest.Session(g).Token.Reveal()]
}

func (k *fakeKite) RoundTrip(r *http.Request) (*http.Response, error) {
	_, token, _ := strings.Cut(r.Header.Get("Authorization"), ":")
	k.mu.Lock()
	k.asked[token]++
	what, during := k.says[token], k.during
	k.mu.Unlock()
	if during != nil {
		during()
	}
	status, body := 0, ""
	switch what {
	case "ok":
		status, body = 200, `{"status":"success","data":{"user_id":"AB1234"}}`
	case "dead":
		status, body = 403, `{"status":"error","error_type":"TokenException","message":"Incorrect api_key or access_token."}`
	case "429":
		status, body = 429, "<html>slow down "+token+"</html>"
	case "502":
		status, body = 502, "<html>bad gateway</html>"
	case "silent":
		<-r.Context().Done()
		return nil, r.Context().Err()
	default:
		return nil, fmt.Errorf("dial for %s: refused", token)
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

// istClock runs with the bubble, at 10:00 IST of a trading day in the beginning.
type istClock struct{ offset time.Duration }

func newClock() istClock { return istClock{time.Until(morning)} }

func (c istClock) Now() time.Time { return time.Now().Add(c.offset) }

// loud is an actor's self whose log can be read.
type loud struct {
	actors.Self
	log *slog.Logger
}

func (l loud) Log() *slog.Logger { return l.log }

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

type bench struct {
	t       *testing.T
	store   *fakeStore
	kite    *fakeKite
	log     *syncBuffer
	cfg     Config
	harness *actorstest.Harness
}

// begin builds the auth actor around fakes; inside a bubble.
func begin(t *testing.T) *bench {
	b := &bench{t: t, store: newStore(), kite: newKite(), log: &syncBuffer{}}
	b.cfg = Config{
		Exchange:  kite.Exchange{APIURL: "http://kite.test", Transport: b.kite, Budget: kite.NewBudget()},
		Tokens:    b.store,
		Coherence: b.store,
		Clock:     newClock(),
		Feed:      feedPID,
		Holders:   []Holder{{"feed", feedPID}, {"pcr", holderPID}, {"web", webPID}},
		Web:       webPID,
		Store:     NewStore(filepath.Join(t.TempDir(), "expiry.json")),
		Metrics:   NewMetrics(prometheus.NewRegistry()),
	}
	return b
}

func (b *bench) start() *bench {
	if b.harness != nil {
		b.harness.Stop()
	}
	log := slog.New(slog.NewTextHandler(b.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	b.harness = actorstest.Start(b.t, "auth", func(self actors.Self) actors.Actor {
		return New(b.cfg)(loud{self, log.With("actor", "auth")})
	})
	synctest.Wait()
	return b
}

func (b *bench) tell(msgs ...any) {
	for _, m := range msgs {
		b.harness.Tell(m)
		synctest.Wait()
	}
}

// pass lets time go by.
func (b *bench) pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// last is the newest message of type M that the actor sent to a PID.
func last[M any](b *bench, to *actor.PID) (m M, n int) {
	for _, s := range b.harness.Sent() {
		if got, ok := s.Msg.(M); ok && s.To.ID == to.ID {
			m = got
			n++
		}
	}
	return m, n
}

func (b *bench) want(adopted messages.Generation, state messages.AuthState) messages.AuthChanged {
	b.t.Helper()
	r, _ := last[messages.AuthChanged](b, webPID)
	if r.Adopted.Generation != adopted || r.Adopted.State != state {
		b.t.Errorf("adopted %d %s, want %d %s", r.Adopted.Generation, r.Adopted.State, adopted, state)
	}
	return r
}
