package reminder

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"kitestring/actors"
	"kitestring/actors/actorstest"
	"kitestring/actors/channels"
	"kitestring/messages"
)

func TestMain(m *testing.M) { actorstest.Main(m) }

// env is a .env file.
type env map[string]string

func (e env) Secret(key string) messages.Secret { return messages.NewSecret(e[key]) }

const aBot = "123456:CANARY-bot-token-0123456789"

// morning is all that the actor sees, and all that it says.
type morning struct {
	mu    sync.Mutex
	now   time.Time
	due   bool
	keys  env
	lacks []messages.ReadyCheck
	notes []string
	log   bytes.Buffer

	memory   *Store
	registry *prometheus.Registry
	cfg      Config
}

func newMorning(keys env) *morning {
	m := &morning{now: at(7, 59, 0), due: true, keys: keys, registry: prometheus.NewRegistry()}
	m.memory = NewStore(m.registry)
	m.cfg = Config{Keys: m, Login: m, Missing: m.Missing, Link: m.Link, Clock: m, Store: m.memory, Timeline: m, Dashboard: "http://127.0.0.1:8420/"}
	return m
}

func (m *morning) Now() time.Time { m.mu.Lock(); defer m.mu.Unlock(); return m.now }
func (m *morning) LoginDue() bool { m.mu.Lock(); defer m.mu.Unlock(); return m.due }
func (m *morning) Link(c channels.Channel) Link {
	setting := channels.Read(m, "http://127.0.0.1:8420/")
	return Link{URL: setting.Login, Reply: c.Answers()}
}

func (m *morning) Missing() []messages.ReadyCheck {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.lacks
}

func (m *morning) Secret(key string) messages.Secret {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.keys.Secret(key)
}

func (m *morning) Note(kind, format string, args ...any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.notes = append(m.notes, kind+": "+fmt.Sprintf(format, args...))
}

func (m *morning) Write(p []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.log.Write(p)
}

func (m *morning) set(f func()) { m.mu.Lock(); defer m.mu.Unlock(); f() }

// logged gives the actor a log that we keep.
type logged struct {
	actors.Self
	log *slog.Logger
}

func (h logged) Log() *slog.Logger { return h.log }

func (m *morning) start(t *testing.T) *actorstest.Harness {
	log := slog.New(slog.NewJSONHandler(m, &slog.HandlerOptions{Level: slog.LevelDebug}))
	return actorstest.Start(t, "reminder", func(self actors.Self) actors.Actor { return New(m.cfg)(logged{self, log}) })
}

// outputs is everything that a person could read.
func (m *morning) outputs() string {
	st := fmt.Sprintf("%+v", m.memory.Status())
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.log.String() + strings.Join(m.notes, "\n") + st
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline, tick := time.After(time.Minute), time.Tick(10*time.Millisecond); !ok(); {
		select {
		case <-deadline:
			t.Fatalf("not within a minute: %s", what)
		case <-tick:
		}
	}
}

// polled waits until the actor has seen the clock stand at a time.
func (m *morning) polled(t *testing.T, now time.Time) {
	t.Helper()
	m.set(func() { m.now = now })
	until(t, "the actor read the clock", func() bool { return m.memory.load().seen.Equal(now) })
}

// letter is what a channel got.
type letter struct {
	path, authorization, click, priority, body string
}

// box is a channel's server: answers are taken from the list, the last one stays.
type box struct {
	*httptest.Server
	mu      sync.Mutex
	letters []letter
	codes   []int
	hang    chan struct{} // not nil: nobody is answered before it is closed
}

func newBox(t *testing.T, codes ...int) *box {
	b := &box{codes: codes}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		b.mu.Lock()
		n := min(len(b.letters), len(b.codes)-1)
		b.letters = append(b.letters, letter{r.URL.RequestURI(), r.Header.Get("Authorization"), r.Header.Get("Click"), r.Header.Get("Priority"), string(body)})
		hang := b.hang
		b.mu.Unlock()
		if hang != nil {
			<-hang
		}
		w.WriteHeader(b.codes[n])
		_, _ = io.WriteString(w, `{"ok":true}`)
	}))
	t.Cleanup(b.Close)
	return b
}

func (b *box) got() []letter {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]letter(nil), b.letters...)
}

func noSecret(t *testing.T, m *morning) {
	t.Helper()
	out := m.outputs()
	for _, s := range append(channels.Secrets(m.keys), messages.NewSecret("CANARY")) {
		if !s.IsZero() && strings.Contains(out, s.Reveal()) {
			t.Errorf("a secret stands in the outputs:\n%s", out)
		}
	}
}

// TestEachChannelGetsItsMessage goes through a whole morning on three channels.
func TestEachChannelGetsItsMessage(t *testing.T) {
	n, tg, hook := newBox(t, 200), newBox(t, 200), newBox(t, 204)
	m := newMorning(env{
		channels.KeyNtfyURL: n.URL + "/CANARY-topic", channels.KeyNtfyToken: "tk_CANARY", channels.KeyTelegramAPI: tg.URL, channels.KeyTelegramToken: aBot, channels.KeyTelegramChat: "@CANARY",
		channels.KeyWebhookURL: hook.URL + "/CANARY?key=CANARY", channels.KeyWebhookToken: "CANARY-hook", channels.KeyDashboardURL: "https://kite.example",
	})
	m.start(t)
	for i, slot := range []time.Time{at(8, 0, 0), at(8, 45, 0), at(9, 5, 0)} {
		m.polled(t, slot.Add(-time.Second))
		m.polled(t, slot)
		until(t, "all three have their message", func() bool {
			return len(n.got()) == i+1 && len(tg.got()) == i+1 && len(hook.got()) == i+1
		})
		until(t, "all three ended", func() bool { return len(m.memory.Status().Last) == 3 && m.memory.Status().Last[0].Slot.Equal(slot) })
	}
	last := n.got()[2]
	if last.path != "/CANARY-topic" || last.authorization != "Bearer tk_CANARY" || last.click != "https://kite.example/login" || last.priority != "high" ||
		!strings.Contains(last.body, "09:05 IST") || !strings.HasSuffix(last.body, "https://kite.example/login") {
		t.Errorf("ntfy got %+v", last)
	}
	if n.got()[0].priority != "" {
		t.Error("the first reminder shouts")
	}
	var chat struct {
		ChatID string `json:"chat_id"`
		Text   string `json:"text"`
	}
	l := tg.got()[0]
	if err := json.Unmarshal([]byte(l.body), &chat); err != nil || l.path != "/bot"+aBot+"/sendMessage" || l.authorization != "" ||
		chat.ChatID != "@CANARY" || !strings.Contains(chat.Text, "https://kite.example/login") {
		t.Errorf("Telegram got %+v", l)
	}
	var posted map[string]string
	l = hook.got()[1]
	if err := json.Unmarshal([]byte(l.body), &posted); err != nil || l.path != "/CANARY?key=CANARY" || l.authorization != "Bearer CANARY-hook" ||
		posted["event"] != "login_due" || posted["content"] == "" || posted["content"] != posted["text"] || posted["slot"] != "08:45" || posted["day"] != "2026-11-23" || posted["login_url"] != "https://kite.example/login" {
		t.Errorf("the webhook got %+v", l)
	}
	if sent := testutil.ToFloat64(m.memory.sent[channels.Webhook][true]); sent != 3 {
		t.Errorf("counted %v reminders over the channels.Webhook, want 3", sent)
	}
	noSecret(t, m)
}

// TestATroubledChannelTouchesNobody: one hangs, one answers 500 two times.
func TestATroubledChannelTouchesNobody(t *testing.T) {
	good, hangs, fails := newBox(t, 200), newBox(t, 200), newBox(t, 500, 503, 200)
	hangs.hang = make(chan struct{})
	t.Cleanup(func() { close(hangs.hang) }) // before its server waits for it
	m := newMorning(env{
		channels.KeyNtfyURL: good.URL + "/CANARY", channels.KeyTelegramAPI: fails.URL, channels.KeyTelegramToken: aBot, channels.KeyTelegramChat: "-100987654", channels.KeyWebhookURL: hangs.URL + "/CANARY",
	})
	harness := m.start(t)
	m.polled(t, at(7, 59, 59))
	m.polled(t, at(8, 0, 0))
	until(t, "the good one has it", func() bool { return len(good.got()) == 1 })
	until(t, "the failing one has it at the third attempt", func() bool {
		st := m.memory.Status().Last
		return len(st) == 2 && slices.ContainsFunc(st, func(r Result) bool { return r.Channel == channels.Telegram && r.Arrived })
	})
	if len(fails.got()) != 3 || len(good.got()) != 1 {
		t.Errorf("%d and %d attempts, want 3 and 1", len(fails.got()), len(good.got()))
	}
	stopped := make(chan struct{})
	go func() { harness.Stop(); close(stopped) }()
	select {
	case <-stopped:
	case <-time.After(5 * time.Second): // an attempt may take two times that
		t.Error("the actor waits for a channel that hangs")
	}
	if err := harness.Err(); err != nil {
		t.Errorf("the actor failed: %v", err)
	}
	noSecret(t, m)
}

// TestSilentOnceValid: the login is made while a channel fails.
func TestSilentOnceValid(t *testing.T) {
	b := newBox(t, 500)
	m := newMorning(env{channels.KeyWebhookURL: b.URL})
	m.start(t)
	m.polled(t, at(8, 44, 59))
	m.polled(t, at(8, 45, 0))
	until(t, "the first attempt", func() bool { return len(b.got()) == 1 })
	m.set(func() { m.due = false })
	until(t, "nothing is open", func() bool { return len(m.memory.load().open) == 0 })
	m.polled(t, at(9, 5, 0))
	m.polled(t, at(9, 5, 1))
	// On a slow machine the pause is over before the login, and a second attempt
	// may still be on its way: it is of the slot before.
	if got := b.got(); len(got) > 2 || slices.ContainsFunc(got, func(l letter) bool { return !strings.Contains(l.body, "08:45") }) {
		t.Errorf("attempts after the login: %+v", got)
	}
}

// TestARestartDoesNotRemindAgain: the memory outlives the incarnation.
func TestARestartDoesNotRemindAgain(t *testing.T) {
	b := newBox(t, 200)
	m := newMorning(env{channels.KeyWebhookURL: b.URL})
	harness := m.start(t)
	m.polled(t, at(8, 44, 59))
	m.polled(t, at(8, 45, 0))
	until(t, "sent", func() bool { return len(m.memory.Status().Last) == 1 })
	harness.Stop()
	m.start(t)
	m.polled(t, at(8, 45, 1))
	m.polled(t, at(9, 4, 59))
	if n := len(b.got()); n != 1 {
		t.Fatalf("sent %d times, want once", n)
	}
	m.polled(t, at(9, 5, 0))
	until(t, "the next slot", func() bool { return len(b.got()) == 2 })
}

// TestIdleUntilSetUp: without keys nothing happens; keys that come later work.
func TestIdleUntilSetUp(t *testing.T) {
	b := newBox(t, 200)
	m := newMorning(env{})
	m.start(t)
	m.polled(t, at(7, 59, 59))
	m.polled(t, at(8, 0, 0))
	m.polled(t, at(8, 30, 0))
	if st := m.memory.Status(); len(st.Channels)+len(st.Warnings)+len(st.Last) != 0 {
		t.Errorf("an idle reminder says %+v", st)
	}
	if out := m.outputs(); !strings.Contains(out, "reminders idle") {
		t.Errorf("the log does not say that reminders are idle: %s", out)
	}
	m.set(func() { m.keys = maps.Clone(env{channels.KeyWebhookURL: b.URL, channels.KeyNtfyToken: "CANARY"}) })
	m.polled(t, at(8, 44, 59))
	m.polled(t, at(8, 45, 0))
	until(t, "sent", func() bool { return len(b.got()) == 1 })
	if st := m.memory.Status(); len(st.Channels) != 1 || len(st.Warnings) != 2 {
		t.Errorf("the status is %+v, want one channel and two warnings", st)
	}
	noSecret(t, m)
}
