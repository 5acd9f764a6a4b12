package feed

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"

	"kitestring/actors/actorstest"
	"kitestring/actors/kite"
	"kitestring/messages"
)

func TestSocketURL(t *testing.T) {
	got, err := socketURL(kite.Exchange{WSURL: "wss://ws.example/path?x=1", WSExtra: url.Values{"user_id": {"AB1"}}}, session(3, "a+b/c="))
	if err != nil {
		t.Fatal(err)
	}
	if want := "wss://ws.example/path?access_token=a%2Bb%2Fc%3D&api_key=key&user_id=AB1&x=1"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if _, err := socketURL(kite.Exchange{WSURL: "nonsense"}, session(1, "secret")); err == nil {
		t.Error("took an address without a host")
	}
}

func TestCausesAndLabels(t *testing.T) {
	for _, c := range []struct {
		err   error
		cause cause
		label string
	}{
		{refusal{403}, forbidden, "forbidden"},
		{fmt.Errorf("dial: %w", refusal{429}), tooMany, "too_many"},
		{refusal{503}, serverError, "server_error"},
		{refusal{400}, serverError, "server_error"},
		{errors.New("refused"), network, "network"},
	} {
		if got := dialCause(c.err); got != c.cause || connectResults[got] != c.label {
			t.Errorf("%v: %v, %s", c.err, got, connectResults[got])
		}
	}
	if disconnectReasons[network] != "remote" || disconnectReasons[byUs] != "swap" {
		t.Error("labels")
	}
}

// Neither a message nor a state ever holds the token, whatever the dialler's
// error says.
func TestNoSecretInAnyMessage(t *testing.T) {
	const canary = "canary-token"
	r := newRig(t, func(r *rig) {
		r.cfg.Dial = func(context.Context, string, string) (net.Conn, error) {
			return nil, &url.Error{Op: "Get", URL: "wss://x/?access_token=" + canary, Err: errors.New("refused")}
		}
	})
	r.offer(1, canary)
	r.until("backoff", func() bool { return r.state.Stats().State == messages.Backoff })
	actorstest.Await(r.actor, func(m messages.FeedChanged) bool { return m.State == messages.Backoff })
	var out strings.Builder
	for _, sent := range r.actor.Sent() {
		fmt.Fprintf(&out, "%+v %#v\n", sent.Msg, sent.Msg)
	}
	fmt.Fprintf(&out, "%+v %#v", r.state.Stats(), r.state.Rotations())
	if strings.Contains(out.String(), canary) {
		t.Error("the token is in a message")
	}
	if !strings.Contains(out.String(), "refused") {
		t.Error("the cause is missing")
	}
}
