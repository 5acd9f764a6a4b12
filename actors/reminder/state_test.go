package reminder

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"kitestring/actors/channels"
	"kitestring/messages/ist"
)

var (
	monday  = time.Date(2026, 11, 23, 0, 0, 0, 0, ist.Zone)
	machine = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC) // has nothing to do with the exchange's
)

func at(h, m, s int) time.Time { return ist.At(monday, h, m, s) }

// script is a line of events and what each must lead to.
type step struct {
	ev   event
	want string
}

func glance(exchange time.Time, after time.Duration, due bool, channels ...string) polled {
	return polled{exchange, machine.Add(after), due, false, channels}
}

// gap is a look at a morning whose login has been made and that lacks something.
func gap(exchange time.Time, after time.Duration, missing bool, channels ...string) polled {
	return polled{exchange, machine.Add(after), false, missing, channels}
}

func said(slot time.Time, channel string, after time.Duration, o channels.Outcome) answered {
	return answered{slot, channel, o, machine.Add(after), 1}
}

func words(effects []effect) string {
	var list []string
	for _, e := range effects {
		switch e := e.(type) {
		case attempt:
			what := map[about]string{loginDue: "try ", notReady: "try missing "}[e.about]
			list = append(list, what+e.channel+" "+e.slot.In(ist.Zone).Format("15:04"))
		case breakOff:
			list = append(list, "breakOff")
		case ended:
			list = append(list, fmt.Sprintf("ended %s %s %t", e.channel, e.slot.In(ist.Zone).Format("15:04"), e.arrived))
		}
	}
	return strings.Join(list, ", ")
}

func TestNext(t *testing.T) {
	arrived, failed, refused := channels.Outcome{Arrived: true}, channels.Outcome{Reason: "it answered 500"}, channels.Outcome{Final: true, Reason: "it answered 404"}
	for name, script := range map[string][]step{
		"a morning without a login": {
			{glance(at(7, 59, 59), 0, true, channels.Ntfy), ""},
			{glance(at(8, 0, 0), time.Second, true, channels.Ntfy, channels.Webhook), "try ntfy 08:00, try webhook 08:00"},
			{glance(at(8, 0, 1), 2*time.Second, true, channels.Ntfy, channels.Webhook), ""},
			{said(at(8, 0, 0), channels.Ntfy, 2*time.Second, arrived), "ended ntfy 08:00 true"},
			{said(at(8, 0, 0), channels.Webhook, 2*time.Second, arrived), "ended webhook 08:00 true"},
			{glance(at(8, 44, 59), time.Hour, true, channels.Ntfy), ""},
			{glance(at(8, 45, 0), time.Hour, true, channels.Ntfy), "try ntfy 08:45"},
			{said(at(8, 45, 0), channels.Ntfy, time.Hour, arrived), "ended ntfy 08:45 true"},
			{glance(at(9, 5, 0), 2*time.Hour, true, channels.Ntfy), "try ntfy 09:05"},
			{said(at(9, 5, 0), channels.Ntfy, 2*time.Hour, arrived), "ended ntfy 09:05 true"},
			{glance(at(15, 0, 0), 8*time.Hour, true, channels.Ntfy), ""},
			{glance(at(32, 0, 0), 25*time.Hour, true, channels.Ntfy), "try ntfy 08:00"},
		},
		"something is missing": {
			{gap(at(7, 59, 59), 0, true, channels.Ntfy), ""},
			{gap(at(8, 0, 0), time.Second, true, channels.Ntfy), ""}, // no slot of this message
			{gap(at(8, 45, 0), time.Minute, true, channels.Ntfy), "try missing ntfy 08:45"},
			{said(at(8, 45, 0), channels.Ntfy, time.Minute, arrived), "ended ntfy 08:45 true"},
			{gap(at(9, 5, 0), time.Hour, true, channels.Ntfy), ""},
			{gap(at(9, 10, 0), 2*time.Hour, true, channels.Ntfy), "try missing ntfy 09:10"},
			{gap(at(9, 10, 1), 2*time.Hour, false, channels.Ntfy), "breakOff"},
		},
		"nothing is missing": {
			{gap(at(8, 44, 59), 0, false, channels.Ntfy), ""},
			{gap(at(8, 45, 0), time.Second, false, channels.Ntfy), ""},
			{gap(at(8, 45, 1), time.Second, true, channels.Ntfy), ""}, // missing a second later: the next slot tells
			{gap(at(9, 10, 0), time.Minute, false, channels.Ntfy), ""},
		},
		"a login is due and something is missing": {
			{polled{at(8, 44, 59), machine, true, true, []string{channels.Ntfy}}, ""},
			{polled{at(8, 45, 0), machine, true, true, []string{channels.Ntfy}}, "try ntfy 08:45"},
			{said(at(8, 45, 0), channels.Ntfy, 0, arrived), "ended ntfy 08:45 true"},
			{polled{at(9, 10, 0), machine, true, true, []string{channels.Ntfy}}, "try missing ntfy 09:10"},
		},
		"nothing is due": {
			{glance(at(7, 59, 59), 0, false, channels.Ntfy), ""},
			{glance(at(8, 0, 0), time.Second, false, channels.Ntfy), ""},
			{glance(at(8, 0, 1), time.Second, true, channels.Ntfy), ""}, // due a second later: the next slot tells
			{glance(at(8, 45, 0), time.Minute, true, channels.Ntfy), "try ntfy 08:45"},
		},
		"the login is made while an attempt is under way": {
			{glance(at(8, 44, 59), 0, true, channels.Ntfy, channels.Webhook), ""},
			{glance(at(8, 45, 0), time.Second, true, channels.Ntfy, channels.Webhook), "try ntfy 08:45, try webhook 08:45"},
			{said(at(8, 45, 0), channels.Ntfy, time.Second, failed), ""},
			{glance(at(8, 45, 2), 2*time.Second, false, channels.Ntfy, channels.Webhook), "breakOff"},
			{said(at(8, 45, 0), channels.Webhook, 2*time.Second, failed), ""},
			{glance(at(8, 46, 0), time.Minute, false, channels.Ntfy, channels.Webhook), ""},
		},
		"a failure is tried again with growing pauses": {
			{glance(at(8, 44, 59), 0, true, channels.Ntfy), ""},
			{glance(at(8, 45, 0), 0, true, channels.Ntfy), "try ntfy 08:45"},
			{said(at(8, 45, 0), channels.Ntfy, time.Second, failed), ""},
			{glance(at(8, 45, 2), 2999*time.Millisecond, true, channels.Ntfy), ""},
			{glance(at(8, 45, 3), 3*time.Second, true, channels.Ntfy), "try ntfy 08:45"},
			{said(at(8, 45, 0), channels.Ntfy, 3*time.Second, failed), ""},
			{glance(at(8, 45, 6), 6999*time.Millisecond, true, channels.Ntfy), ""},
			{glance(at(8, 45, 7), 7*time.Second, true, channels.Ntfy), "try ntfy 08:45"},
			{said(at(8, 45, 0), channels.Ntfy, 8*time.Second, arrived), "ended ntfy 08:45 true"},
		},
		"a refusal is not tried again": {
			{glance(at(8, 44, 59), 0, true, channels.Ntfy), ""},
			{glance(at(8, 45, 0), 0, true, channels.Ntfy), "try ntfy 08:45"},
			{said(at(8, 45, 0), channels.Ntfy, time.Second, refused), "ended ntfy 08:45 false"},
			{glance(at(8, 46, 0), time.Minute, true, channels.Ntfy), ""},
		},
		"a channel asks for time": {
			{glance(at(8, 44, 59), 0, true, channels.Ntfy), ""},
			{glance(at(8, 45, 0), 0, true, channels.Ntfy), "try ntfy 08:45"},
			{said(at(8, 45, 0), channels.Ntfy, 0, channels.Outcome{After: 90 * time.Second}), ""},
			{glance(at(8, 46, 0), 89*time.Second, true, channels.Ntfy), ""},
			{glance(at(8, 46, 0), 90*time.Second, true, channels.Ntfy), "try ntfy 08:45"},
			{said(at(8, 45, 0), channels.Ntfy, 100*time.Second, channels.Outcome{After: channels.Budget}), "ended ntfy 08:45 false"},
		},
		"the budget of a slot ends": {
			{glance(at(8, 44, 59), 0, true, channels.Ntfy), ""},
			{glance(at(8, 45, 0), 0, true, channels.Ntfy), "try ntfy 08:45"},
			{said(at(8, 45, 0), channels.Ntfy, channels.Budget-time.Second, failed), "ended ntfy 08:45 false"},
		},
		"a restart after the message": {
			{glance(at(8, 44, 59), 0, true, channels.Ntfy), ""},
			{glance(at(8, 45, 0), 0, true, channels.Ntfy), "try ntfy 08:45"},
			{said(at(8, 45, 0), channels.Ntfy, 0, arrived), "ended ntfy 08:45 true"},
			{restarted{}, ""},
			{glance(at(8, 45, 1), time.Second, true, channels.Ntfy), ""},
		},
		"a restart while an attempt is under way, and one waits": {
			{glance(at(8, 44, 59), 0, true, channels.Ntfy, channels.Webhook), ""},
			{glance(at(8, 45, 0), 0, true, channels.Ntfy, channels.Webhook), "try ntfy 08:45, try webhook 08:45"},
			{said(at(8, 45, 0), channels.Webhook, 0, failed), ""},
			{restarted{}, "ended ntfy 08:45 false"},
			{glance(at(8, 45, 1), time.Minute, true, channels.Ntfy, channels.Webhook), "try webhook 08:45"},
			{said(at(8, 45, 0), channels.Webhook, time.Minute, arrived), "ended webhook 08:45 true"},
		},
		"a restart over a slot": {
			{glance(at(8, 44, 59), 0, true, channels.Ntfy), ""},
			{restarted{}, ""},
			{glance(at(8, 45, 4), 5*time.Second, true, channels.Ntfy), "try ntfy 08:45"},
		},
		"a process that begins after a slot": {
			{restarted{}, ""},
			{glance(at(8, 45, 1), 0, true, channels.Ntfy), ""},
			{glance(at(9, 5, 0), 0, true, channels.Ntfy), "try ntfy 09:05"},
		},
		"a clock that runs fast tells once": {
			{glance(at(7, 50, 0), 0, true, channels.Ntfy), ""},
			{glance(at(8, 50, 0), time.Second, true, channels.Ntfy), "try ntfy 08:45"},
		},
		"a machine that slept": {
			{glance(at(7, 50, 0), 0, true, channels.Ntfy), ""},
			{glance(at(8, 30, 0), time.Second, true, channels.Ntfy), ""},
			{glance(at(8, 45, 0), time.Second, true, channels.Ntfy), "try ntfy 08:45"},
		},
		"a clock that is moved back": {
			{glance(at(12, 0, 0), 0, true, channels.Ntfy), ""},
			{glance(at(7, 0, 0), time.Second, true, channels.Ntfy), ""},
			{glance(at(8, 0, 0), time.Minute, true, channels.Ntfy), "try ntfy 08:00"},
		},
		"the next slot replaces what has not arrived": {
			{glance(at(8, 44, 59), 0, true, channels.Webhook), ""},
			{glance(at(8, 45, 0), 0, true, channels.Webhook), "try webhook 08:45"},
			{glance(at(9, 5, 0), time.Second, true, channels.Webhook), "breakOff, try webhook 09:05"},
			{said(at(8, 45, 0), channels.Webhook, time.Second, arrived), ""},
			{said(at(9, 5, 0), channels.Webhook, time.Second, arrived), "ended webhook 09:05 true"},
		},
		"nobody to tell": {
			{glance(at(8, 44, 59), 0, true), ""},
			{glance(at(8, 45, 0), 0, true), ""},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var s state
			for i, st := range script {
				before := fmt.Sprint(s)
				after, effects := next(s, st.ev)
				if fmt.Sprint(s) != before {
					t.Fatalf("step %d changed the state that it was given", i+1)
				}
				if s = after; words(effects) != st.want {
					t.Errorf("step %d (%T): %q, want %q", i+1, st.ev, words(effects), st.want)
				}
			}
		})
	}
}

// TestAttemptsEnd tries a channel that always fails.
func TestAttemptsEnd(t *testing.T) {
	s, _ := next(state{}, glance(at(8, 44, 59), 0, true, channels.Ntfy))
	attempts := 0
	for now := time.Duration(0); now < time.Hour; now += 100 * time.Millisecond {
		var effects []effect
		s, effects = next(s, glance(at(8, 45, 0).Add(now), now, true, channels.Ntfy))
		for _, e := range effects {
			if e, ok := e.(attempt); ok && e.slot.Equal(at(8, 45, 0)) {
				attempts++
				s, _ = next(s, answered{e.slot, channels.Ntfy, channels.Outcome{}, machine.Add(now), 0})
			}
		}
	}
	if attempts < 4 || attempts > channels.MostAttempts {
		t.Errorf("%d attempts in an hour, want 4 to %d", attempts, channels.MostAttempts)
	}
}
