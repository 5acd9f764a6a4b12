package actorstest_test

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"testing"

	"kitestring/actors"
	"kitestring/actors/actorstest"
	"kitestring/actors/token"
	"kitestring/messages"
)

func TestMain(m *testing.M) { actorstest.Main(m) }

// rules is what the fake and the store have in common.
type rules interface {
	actors.TokenSource
	Adopt(messages.Generation) bool
	Reject(messages.Generation, string) bool
	Rejected(messages.Generation) (string, bool)
	Adopted() messages.Generation
	Lagging() []string
	Idle(messages.Generation, []string) int
}

// The fake and the real store do the same at every step of random days.
func TestTokensKeepTheRulesOfTheStore(t *testing.T) {
	store, err := token.Open(token.StoreConfig{Path: filepath.Join(t.TempDir(), ".env"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Set(t.Context(), token.KeyAPIKey, "key"); err != nil {
		t.Fatal(err)
	}
	watcher := actorstest.Start(t, "token", token.New(token.Config{Store: store}))
	fake := actorstest.NewTokens()
	holders := []string{"bars", "feed", "web"}
	random := rand.New(rand.NewPCG(1, 2))
	newest := messages.Generation(0)
	for step := range 400 {
		g := messages.Generation(random.IntN(int(newest) + 2))
		if back := messages.Generation(random.IntN(4)); newest > back {
			g = newest - back // near the newest one most of the time
		}
		holder := holders[random.IntN(len(holders))]
		var did string
		act := func(s rules) any { return nil }
		switch random.IntN(8) {
		case 0:
			newest++
			session := messages.Session{Generation: newest, APIKey: "key", Token: messages.NewAccessToken(fmt.Sprintf("token%027d", newest))}
			if err := store.SetToken(t.Context(), session.Token); err != nil {
				t.Fatal(err)
			}
			change := actorstest.Await(watcher, func(c messages.TokenChanged) bool { return c.Session.Generation == newest })
			fake.Write(session, change.Source)
			did = fmt.Sprintf("write %d", newest)
		case 1, 2:
			did, act = fmt.Sprintf("adopt %d", g), func(s rules) any { return s.Adopt(g) }
		case 3:
			did, act = fmt.Sprintf("reject %d", g), func(s rules) any { return s.Reject(g, "because") }
		default:
			did, act = fmt.Sprintf("%s uses %d", holder, g), func(s rules) any { s.Used(holder, g); return nil }
		}
		if want, got := act(store), act(fake); got != want {
			t.Fatalf("step %d: %s: %v, the store says %v", step, did, got, want)
		}
		want, got := seen(store, g, holders), seen(fake, g, holders)
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("step %d: after %s:\n%v\nthe store says\n%v", step, did, got, want)
		}
	}
	if newest < 10 {
		t.Errorf("only %d generations were written", newest)
	}
}

func seen(s rules, g messages.Generation, holders []string) []any {
	view := s.Current()
	reason, rejected := s.Rejected(g)
	return []any{
		view.Adopted.Generation, view.Adopted.Token.Fingerprint(), view.Candidate.Generation, view.Candidate.Token.Fingerprint(),
		view.Changed.Session.Generation, view.Changed.Source, view.Changed.ChangedAt.IsZero(), view.Changed.DetectedAt.IsZero(), s.Adopted(), reason, rejected, s.Lagging(), s.Idle(g, holders),
	}
}
