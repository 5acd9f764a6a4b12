package reminder

import (
	"fmt"
	"slices"
	"time"

	"kitestring/actors/channels"
	"kitestring/messages"
	"kitestring/messages/ist"
)

// slots are the times of day, IST, and what is said then if it is so: that a
// login is due, or else what is missing for the trading day.
var slots = [...]struct {
	hour, minute   int
	login, missing bool
}{{8, 0, true, false}, {8, 45, true, true}, {9, 5, true, false}, {9, 10, false, true}}

// about is what a message says.
type about uint8

const (
	loginDue about = iota
	notReady
)

// late is how much later than its slot a reminder may begin, in exchange
// time: a machine that slept wakes to the next slot instead.
const late = 10 * time.Minute

// state is what is known of the day's reminders. The zero value has not read
// at the clock yet.
type state struct {
	seen  time.Time // exchange time of the last look
	slot  time.Time // exchange time of the newest slot that was sent; zero: none
	about about     // its message
	began time.Time // machine's time of its first attempt
	open  []delivery
}

// delivery is a message that has not arrived yet.
type delivery struct {
	channel  string
	attempts int
	sending  bool      // an attempt is under way
	again    time.Time // machine's time of the next attempt
	reason   string    // why the last one failed
}

// event is what moves the state.
//
//sumtype:decl
type event interface{ event() }

type (
	// restarted is the start of an incarnation: nothing of the last one is under way.
	restarted struct{}
	// polled is a look at both clocks, at the login and at the morning.
	polled struct {
		exchange, machine time.Time
		due               bool
		missing           bool     // something is, that the trading day needs
		channels          []string // that are set up
	}
	// answered is what came of an attempt.
	answered struct {
		slot    time.Time
		channel string
		outcome channels.Outcome
		machine time.Time
		jitter  float64 // 0 to 1
	}
)

func (restarted) event() {}
func (polled) event()    {}
func (answered) event()  {}

// effect is something to do.
//
//sumtype:decl
type effect interface{ effect() }

type (
	// attempt sends the message of a slot once.
	attempt struct {
		slot    time.Time
		about   about
		channel string
	}
	// breakOff breaks off what is under way: what it says is not so any more.
	breakOff struct{}
	// ended says that a delivery has arrived, or is given up.
	ended struct {
		slot    time.Time
		about   about
		channel string
		arrived bool
		reason  string
	}
)

func (attempt) effect()  {}
func (breakOff) effect() {}
func (ended) effect()    {}

// next is the whole behaviour.
func next(s state, ev event) (state, []effect) {
	s.open = slices.Clone(s.open)
	switch ev := ev.(type) {
	case restarted:
		var out []effect
		s.open = slices.DeleteFunc(s.open, func(d delivery) bool {
			if d.sending {
				out = append(out, ended{s.slot, s.about, d.channel, false, "cut off by a restart; not repeated, because it may have arrived"})
			}
			return d.sending
		})
		return s, out
	case polled:
		return s.look(ev)
	case answered:
		return s.answer(ev)
	}
	return s, nil
}

func (s state) look(ev polled) (state, []effect) {
	slot, says, any := passed(s.seen, ev)
	s.seen = ev.exchange
	var out []effect
	switch {
	case any:
		if len(s.open) > 0 {
			out = append(out, breakOff{}) // of the slot before: this one is newer
		}
		s.slot, s.about, s.began, s.open = slot, says, ev.machine, nil
		for _, channel := range ev.channels {
			s.open = append(s.open, delivery{channel: channel, again: ev.machine})
		}
	case len(s.open) > 0 && !ev.so(s.about):
		s.open = nil
		return s, []effect{breakOff{}}
	}
	for i := range s.open {
		if d := &s.open[i]; !d.sending && !ev.machine.Before(d.again) {
			d.sending = true
			d.attempts++
			out = append(out, attempt{s.slot, s.about, d.channel})
		}
	}
	return s, out
}

func (s state) answer(ev answered) (state, []effect) {
	i := slices.IndexFunc(s.open, func(d delivery) bool { return d.channel == ev.channel && d.sending })
	if i < 0 || !ev.slot.Equal(s.slot) {
		return s, nil // of a slot that has been broken off
	}
	d := &s.open[i]
	d.sending, d.reason = false, ev.outcome.Reason
	if !ev.outcome.Arrived && !ev.outcome.Final {
		d.again = ev.machine.Add(channels.Pause(d.attempts, ev.jitter, ev.outcome))
		if d.attempts < channels.MostAttempts && d.again.Before(s.began.Add(channels.Budget)) {
			return s, nil
		}
	}
	s.open = slices.Delete(s.open, i, i+1)
	return s, []effect{ended{s.slot, s.about, ev.channel, ev.outcome.Arrived, ev.outcome.Reason}}
}

// so reports whether what a message says is so.
func (ev polled) so(a about) bool {
	if a == loginDue {
		return ev.due
	}
	return ev.missing
}

// passed is the newest slot after seen and not after now that has something to
// say; false: none, or it is too late for it, or the clock was never read or
// went back.
func passed(seen time.Time, ev polled) (slot time.Time, says about, any bool) {
	if seen.IsZero() {
		return slot, says, false
	}
	for _, at := range slots {
		t := ist.At(ev.exchange, at.hour, at.minute, 0)
		if !t.After(seen) || t.After(ev.exchange) || ev.exchange.Sub(t) > late {
			continue
		}
		switch {
		case at.login && ev.due:
			slot, says, any = t, loginDue, true
		case at.missing && ev.missing:
			slot, says, any = t, notReady, true
		}
	}
	return slot, says, any
}

// Link is where a person logs in; Reply says that an answer to the message with
// the address on which the browser ends finishes the login.
type Link struct {
	URL   string
	Reply bool
}

// message is what is said in a slot. The checks are those that are missing.
func message(slot time.Time, about about, login Link, missing []messages.ReadyCheck) channels.Message {
	at := slot.In(ist.Zone)
	m := channels.Message{
		Title: "Kite login due",
		Text:  fmt.Sprintf("%s IST: today's Kite login is due, the services have no valid access token. Log in: %s", at.Format("15:04"), login.URL),
		Link:  login.URL, Event: "login_due",
		Urgent: at.Hour() == 9, // ten minutes are left
		Fields: map[string]any{"slot": at.Format("15:04"), "day": at.Format(time.DateOnly), "login_url": login.URL},
	}
	if about == notReady {
		list := make([]map[string]string, len(missing))
		m.Title, m.Event, m.Fields["missing"] = "Not ready for the open", "not_ready", list
		m.Text = at.Format("15:04") + " IST: not ready for the open."
		for i, c := range missing {
			list[i] = map[string]string{"name": c.Name, "detail": c.Detail, "fix": c.Fix}
			m.Text += "\n" + c.Name + ": " + c.Detail + "."
			if c.Fix != "" {
				m.Text += " Fix: " + c.Fix + "."
			}
		}
	}
	if login.Reply && (about == loginDue || slices.ContainsFunc(missing, func(c messages.ReadyCheck) bool { return c.Name == "token" })) {
		m.Text += "\nAfter the login the phone cannot open a page of 127.0.0.1: reply here with its address, and the token is live seconds later."
	}
	return m
}
