package replies

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"kitestring/actors/actorstest"
	"kitestring/actors/channels"
	"kitestring/actors/channels/channelstest"
	"kitestring/messages"
)

func TestMain(m *testing.M) { actorstest.Main(m) }

const (
	bot  = "123456:CANARY-bot-token-0123456789"
	chat = 42
)

// world is all that the actor sees.
type world struct {
	mu        sync.Mutex
	keys      map[string]string
	completed []string
	notes     []string
	store     *Store
}

func newWorld(keys map[string]string) *world {
	return &world{keys: keys, store: NewStore(prometheus.NewRegistry())}
}

func (d *world) Secret(key string) messages.Secret {
	d.mu.Lock()
	defer d.mu.Unlock()
	return messages.NewSecret(d.keys[key])
}
func (d *world) Now() time.Time { return exchange8 }
func (d *world) Note(kind, format string, _ ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.notes = append(d.notes, kind+" "+format)
}

func (d *world) complete(_ context.Context, text string) (messages.LoginResult, string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.completed = append(d.completed, text)
	return messages.LoginOK, ""
}

func (d *world) got() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]string(nil), d.completed...)
}

func (d *world) start(t *testing.T) {
	actorstest.Start(t, "replies", New(Config{
		Keys: d, Complete: d.complete, Live: func() (messages.Generation, bool) { return 2, len(d.got()) > 0 },
		Link: func(channels.Channel) string { return "LINK" }, Clock: d, Store: d.store, Timeline: d, Dashboard: "http://127.0.0.1:8420/",
	}))
}

func telegram(t *testing.T) *channelstest.Telegram {
	tg, err := channelstest.NewTelegram(bot)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tg.Close)
	return tg
}

func telegramKeys(tg *channelstest.Telegram, token string) map[string]string {
	return map[string]string{channels.KeyTelegramAPI: tg.URL, channels.KeyTelegramToken: token, channels.KeyTelegramChat: "42"}
}

const address8 = "http://127.0.0.1:8420/callback?status=success&request_token=CANARYCANARYCANARY"

func TestAnAnswerFinishesTheLogin(t *testing.T) {
	tg := telegram(t)
	tg.Limit(1) // the first poll meets the bot's limits
	d := newWorld(telegramKeys(tg, bot))
	d.start(t)
	tg.Write(666, address8, time.Now())
	tg.Write(chat, "done: "+address8, time.Now())
	actorstest.Until(t, "the answer", func() bool { return len(tg.Sent()) == 1 })
	if m := tg.Sent()[0]; m.To != "42" || !strings.HasSuffix(m.Text, "live since 08:51, generation 2") {
		t.Errorf("%+v", m)
	}
	if got := d.got(); len(got) != 1 || got[0] != address8 {
		t.Errorf("completed %q", got)
	}
	actorstest.Until(t, "every message is confirmed", func() bool { return tg.Waiting() == 0 })
	if n := testutil.ToFloat64(d.store.counts[ResultStranger]); n != 1 {
		t.Errorf("%v strangers", n)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if all := strings.Join(d.notes, "\n"); !strings.Contains(all, "another chat") || strings.Contains(all, "CANARY") {
		t.Errorf("notes: %s", all)
	}
}

func TestARestartReadsNothingAgain(t *testing.T) {
	tg := telegram(t)
	d := newWorld(telegramKeys(tg, bot))
	t.Run("first", func(t *testing.T) {
		d.start(t)
		tg.Write(chat, address8, time.Now())
		actorstest.Until(t, "the login", func() bool { return len(d.got()) == 1 })
	})
	d.start(t)
	tg.Write(chat, "hello", time.Now())
	actorstest.Until(t, "the second message", func() bool { return testutil.ToFloat64(d.store.counts[ResultNotALogin]) == 1 })
	if n := len(d.got()); n != 1 {
		t.Errorf("completed %d times", n)
	}
}

func TestAWrongBotTokenIsSaidOnceAndHealed(t *testing.T) {
	tg := telegram(t)
	d := newWorld(telegramKeys(tg, "123456:another-bot-token-0123456789"))
	d.start(t)
	actorstest.Until(t, "the fault", func() bool {
		_, faults := d.store.Listening()
		return strings.Contains(faults[channels.Telegram], "does not accept the token")
	})
	d.mu.Lock()
	d.keys[channels.KeyTelegramToken] = bot
	d.mu.Unlock()
	actorstest.Until(t, "it is listened to", func() bool {
		admitted, faults := d.store.Listening()
		return len(admitted) == 1 && len(faults) == 0
	})
}

func TestNtfyIsReadAfterItWasDown(t *testing.T) {
	n, err := channelstest.NewNtfy()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	n.Down(true)
	d := newWorld(map[string]string{channels.KeyNtfyURL: n.URL + "/CANARY", channels.KeyNtfyReply: n.URL + "/CANARY-reply"})
	d.start(t)
	actorstest.Until(t, "the fault", func() bool {
		_, faults := d.store.Listening()
		return strings.Contains(faults[channels.Ntfy], "502")
	})
	n.Down(false)
	actorstest.Until(t, "the stream", func() bool { return n.Polls() > 0 })
	n.Write("CANARY-reply", address8, time.Now())
	actorstest.Until(t, "the answer", func() bool { return len(n.Sent()) == 1 })
	if m := n.Sent()[0]; m.To != "CANARY" || m.Text != "live since 08:51, generation 2" {
		t.Errorf("%+v", m)
	}
}

// A proxy that answers every question at once must not be asked without end.
func TestAChannelThatEndsEachQuestionAtOnceIsLeftAlone(t *testing.T) {
	tg := telegram(t)
	n, err := channelstest.NewNtfy()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	tg.Hurry(true)
	n.Hurry(true)
	keys := telegramKeys(tg, bot)
	keys[channels.KeyNtfyURL], keys[channels.KeyNtfyReply] = n.URL+"/CANARY", n.URL+"/CANARY-reply"
	d := newWorld(keys)
	d.start(t)
	for _, kind := range []string{channels.Telegram, channels.Ntfy} {
		actorstest.Until(t, "the fault of "+kind, func() bool {
			_, faults := d.store.Listening()
			return strings.Contains(faults[kind], "ends each question at once")
		})
	}
	if a, b := tg.Polls(), n.Polls(); a > 20 || b > 20 {
		t.Errorf("asked %d and %d times", a, b)
	}
	tg.Hurry(false)
	n.Hurry(false)
	tg.Write(chat, "done: "+address8, time.Now())
	actorstest.Until(t, "the answer", func() bool { return len(tg.Sent()) == 1 })
	actorstest.Until(t, "both are listened to", func() bool {
		admitted, faults := d.store.Listening()
		return len(admitted) == 2 && len(faults) == 0
	})
}
