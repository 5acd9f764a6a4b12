package tree

import (
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"kitestring/actors/simulator"
	"kitestring/actors/token"
	"kitestring/messages"
	"kitestring/supervisor/tree/profile"
)

// A person's token in the simulator's own file stays: a rotation by a button
// replaces tokens of the simulator only.
func TestAPersonsTokenIsKept(t *testing.T) {
	const ownToken = "realsecretrealsecretrealsecret12"
	path := filepath.Join(t.TempDir(), ".env")
	store, err := token.Open(token.StoreConfig{Path: path, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ex, err := simulator.New(simulator.Config{APIKey: SimAPIKey, APISecret: messages.NewSecret(SimAPISecret), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	control := simulatorControl{ex, store}
	if err := profile.Bootstrap(t.Context(), store, "http://127.0.0.1:8420/callback"); err != nil {
		t.Fatal(err)
	}
	for range 2 { // a file without a token, then with one of the simulator's
		if _, err := control.Rotate(t.Context()); err != nil || !ex.Valid(messages.AccessToken{Secret: store.Held(token.KeyAccessToken)}) {
			t.Fatalf("%v, or the new token is not in the file", err)
		}
	}
	if err := store.Set(t.Context(), token.KeyAccessToken, ownToken); err != nil {
		t.Fatal(err)
	}
	if _, err := control.Rotate(t.Context()); err == nil || !strings.Contains(err.Error(), "did not make") || store.Held(token.KeyAccessToken).Reveal() != ownToken {
		t.Errorf("%v, the token in the file is now %s", err, store.Held(token.KeyAccessToken))
	}
}
