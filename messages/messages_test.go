package messages_test

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"unsafe"

	"kitestring/messages"
)

func TestSecretLeaksInNoForm(t *testing.T) {
	const canary = "canary0123456789canary0123456789"
	token := messages.NewAccessToken(canary)
	type holder struct {
		Session messages.Session
		hidden  messages.AccessToken
		Pointer *messages.AccessToken
	}
	h := holder{Session: messages.Session{Generation: 1, APIKey: "key", Token: token}, hidden: token, Pointer: &token}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T"} {
		for _, value := range []any{token, &token, token.Secret, h, &h, []any{token, h}, map[string]any{"t": h}, h.Session} {
			fmt.Fprintf(&out, verb+"\n", value)
		}
	}
	for _, value := range []any{token, h, &h} {
		data, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(data)
	}
	slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "token", token, "holder", h)
	slog.New(slog.NewTextHandler(&out, nil)).Info("m", "token", token, "holder", h)
	fmt.Fprint(&out, fmt.Errorf("wrapped: %w", errors.New(fmt.Sprint(token))))
	func() {
		defer func() { fmt.Fprint(&out, recover()) }()
		panic(h)
	}()
	for _, form := range []string{canary, canary[:8], fmt.Sprintf("%x", canary), fmt.Sprintf("%X", canary)} {
		if strings.Contains(out.String(), form) {
			t.Errorf("the value leaked as %q", form)
		}
	}
	if !strings.Contains(out.String(), token.Fingerprint()) {
		t.Error("the fingerprint is nowhere: the test prints nothing")
	}
}

func TestSecretComparesByValue(t *testing.T) {
	a, b, c := messages.NewAccessToken("one"), messages.NewAccessToken("one"), messages.NewAccessToken("two")
	if !a.Equal(b) || a.Equal(c) || !messages.NewAccessToken("").IsZero() || a.IsZero() {
		t.Error("Equal or IsZero compares something else than the values")
	}
	if a.Fingerprint() != b.Fingerprint() || a.Fingerprint() == c.Fingerprint() || len(a.Fingerprint()) != 8 {
		t.Errorf("fingerprints %q %q %q", a.Fingerprint(), b.Fingerprint(), c.Fingerprint())
	}
}

func TestStatesKeepTheirNamesBothWays(t *testing.T) {
	type state interface {
		fmt.Stringer
		encoding.TextMarshaler
	}
	for _, c := range []struct {
		state state
		name  string
		into  encoding.TextUnmarshaler
	}{
		{messages.NoToken, "no_token", new(messages.AuthState)},
		{messages.Rejected, "rejected", new(messages.AuthState)},
		{messages.AwaitingToken, "awaiting_token", new(messages.FeedState)},
		{messages.Stopped, "stopped", new(messages.FeedState)},
		{messages.Closed, "closed", new(messages.Phase)},
		{messages.Closing, "closing", new(messages.Phase)},
		{messages.ModeFull, "full", new(messages.Mode)},
		{messages.FromFuture, "future", new(messages.BarSource)},
		{messages.Active, "active", new(messages.ReadingStatus)},
	} {
		text, err := c.state.MarshalText()
		if err != nil || string(text) != c.name {
			t.Errorf("%v marshals to %q, want %q", c.state, text, c.name)
		}
		if err := c.into.UnmarshalText(text); err != nil {
			t.Errorf("%q does not come back: %v", text, err)
		}
		if back, _ := c.into.(fmt.Stringer); back == nil || back.String() != c.name {
			t.Errorf("%q comes back as %v", text, c.into)
		}
	}
	if new(messages.AuthState).UnmarshalText([]byte("moon")) == nil {
		t.Error("an unknown name was accepted")
	}
}

func TestTickFillsOneCacheLine(t *testing.T) {
	if size := unsafe.Sizeof(messages.Tick{}); size != 64 {
		t.Errorf("a tick has %d bytes", size)
	}
}

func TestDivisors(t *testing.T) {
	for segment, want := range map[messages.Segment]int32{
		messages.NSE: 100, messages.NFO: 100, messages.CDS: 10_000_000, messages.BSE: 100, messages.BFO: 100,
		messages.BCD: 10_000, messages.MCX: 100, messages.MCXSX: 100, messages.Indices: 100, messages.NCO: 10_000, 77: 100,
	} {
		if got := messages.Divisor(5000<<8 | uint32(segment)); got != want {
			t.Errorf("segment %d: divisor %d, want %d", segment, got, want)
		}
		if known := segment.Known(); known != (segment != 77) {
			t.Errorf("segment %d: known %t", segment, known)
		}
	}
}

func TestBatchGoesBackAfterItsLastHolder(t *testing.T) {
	var back int
	b := messages.NewTicks(func(*messages.Ticks) { back++ })
	b.Retain(2)
	b.Release()
	if back != 0 {
		t.Error("recycled while somebody held it")
	}
	b.Release()
	if back != 1 {
		t.Error("not recycled after the last holder")
	}
}

// A doubt about one generation must not replace a waiting one about the next.
func TestProofAndDoubtOfTwoGenerationsBothWait(t *testing.T) {
	type keyed interface{ Key() string }
	for _, pair := range [][2]keyed{
		{messages.FeedLive{Generation: 1}, messages.FeedLive{Generation: 2}},
		{messages.TokenDoubted{Generation: 1}, messages.TokenDoubted{Generation: 2}},
	} {
		if pair[0].Key() == pair[1].Key() {
			t.Errorf("%#v and %#v replace each other", pair[0], pair[1])
		}
	}
}
