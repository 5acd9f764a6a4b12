package replies

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"kitestring/messages"
	"kitestring/messages/ist"
)

var (
	machine   = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	exchange8 = time.Date(2026, 3, 11, 8, 51, 7, 0, ist.Zone)
)

func words(effects []effect) string {
	var list []string
	for _, e := range effects {
		switch e := e.(type) {
		case exchange:
			list = append(list, "exchange")
		case say:
			list = append(list, "say "+e.channel+" "+e.text)
		case count:
			list = append(list, "count "+string(e.result))
		}
	}
	return strings.Join(list, ", ")
}

func login(after time.Duration) came {
	return came{channel: "telegram", ours: true, login: true, now: machine.Add(after), text: messages.NewSecret("x"), link: "LINK"}
}

func TestNext(t *testing.T) {
	type step struct {
		ev   event
		want string // a part of each, in their order, with " | " between
	}
	live := looked{true, 2, exchange8, machine.Add(2 * time.Second)}
	for name, script := range map[string][]step{
		"a login": {
			{login(0), "exchange"},
			{looked{true, 1, exchange8, machine}, ""}, // of the token before
			{finished{true, "", machine.Add(time.Second)}, ""},
			{looked{false, 1, exchange8, machine.Add(time.Second)}, ""},
			{live, "count ok | say telegram live since 08:51, generation 2"},
			{live, ""},
		},
		"a login that Kite refuses": {
			{login(0), "exchange"},
			{finished{false, "Kite refused the request_token.", machine}, "count failed | say telegram Kite refused the request_token."},
			{live, ""},
		},
		"a feed that does not come": {
			{login(0), "exchange"},
			{finished{true, "", machine}, ""},
			{looked{false, 2, exchange8, machine.Add(31 * time.Second)}, "count ok | no data comes yet"},
		},
		"a second reply meanwhile": {
			{login(0), "exchange"},
			{login(time.Second), "count busy | is being finished"},
			{finished{true, "", machine.Add(2 * time.Second)}, ""},
			{live, "count ok | live since"},
		},
		"another chat": {
			{came{channel: "telegram", login: true, now: machine}, "count stranger"},
		},
		"an old message": {
			{came{channel: "ntfy", ours: true, login: true, age: 11 * time.Minute, now: machine, link: "LINK"}, "count stale | say ntfy That address was sent 11m0s ago"},
		},
		"small talk": {
			{came{channel: "ntfy", ours: true, now: machine, link: "LINK"}, "count not_a_login | Log in: LINK"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var s state
			for i, st := range script {
				var effects []effect
				s, effects = next(s, st.ev)
				got := words(effects)
				if st.want == "" && got != "" {
					t.Fatalf("step %d: %q, want nothing", i+1, got)
				}
				for part := range strings.SplitSeq(st.want, " | ") {
					if !strings.Contains(got, part) {
						t.Fatalf("step %d: %q, want %q in it", i+1, got, part)
					}
				}
			}
		})
	}
}

// TestAFloodCostsLittle sends a thousand of each kind within a minute.
func TestAFloodCostsLittle(t *testing.T) {
	var s state
	exchanges, says, counts := 0, 0, 0
	for i := range 1000 {
		for _, ev := range []event{
			login(time.Duration(i) * 10 * time.Millisecond),
			finished{false, "no", machine.Add(time.Duration(i) * 10 * time.Millisecond)},
			came{channel: "telegram", ours: true, now: machine.Add(time.Duration(i) * 10 * time.Millisecond)},
		} {
			var effects []effect
			s, effects = next(s, ev)
			for _, e := range effects {
				switch e.(type) {
				case exchange:
					exchanges++
				case say:
					says++
				case count:
					counts++
				}
			}
		}
	}
	if exchanges > mostExchanges || says > mostAnswers || counts < 1900 {
		t.Errorf("%d exchanges, %d answers, %d counted", exchanges, says, counts)
	}
}

func TestTheAddressIsFoundInAText(t *testing.T) {
	for text, want := range map[string]string{
		"http://127.0.0.1:8420/callback?request_token=abc&status=success":          "http://127.0.0.1:8420/callback?request_token=abc&status=success",
		"here: http://127.0.0.1/?request_token=abc\nthanks":                        "http://127.0.0.1/?request_token=abc",
		"\u0932\u0949\u0917\u093f\u0928 http://127.0.0.1/?status=cancelled \u2713": "http://127.0.0.1/?status=cancelled",
		"hello":                    "",
		"":                         "",
		strings.Repeat("x ", 5000): "",
	} {
		if got, ok := address(text); got != want || ok != (want != "") {
			t.Errorf("%.40q: %q, %t", text, got, ok)
		}
	}
	if got := fmt.Sprintf("%v %+v", came{text: messages.NewSecret("CANARY")}, exchange{messages.NewSecret("CANARY")}); strings.Contains(got, "CANARY") {
		t.Errorf("a text prints as %s", got)
	}
}
