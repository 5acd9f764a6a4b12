package reminder

import (
	"fmt"
	"slices"
	"time"

	"kitestring/actors/channels"
	"kitestring/messages/ist"
)

// slots are the times of day, IST, at which a reminder of a login that is due is sent.
var slots = [...]struct{ hour, minute int }{{8, 0}, {8, 45}, {9, 5}}

// late is how much later than its slot a reminder may begin, in exchange
// time: a machine that slept wakes to the next slot instead.
const late = 10 * time.Minute

// state is what is known of the day's reminders. The zero value has not read
// at the clock yet.
type state struct {
	seen  time.Time // exchange time of the last look
	slot  time.Time // exchange time of the newest slot that was sent; zero: none
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
	// polled is a look at both clocks and at the login.
	polled struct {
		exchange, machine time.Time
		due               bool
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
		channel string
	}
	// breakOff breaks off what is under way: the login has been made.
	breakOff struct{}
	// ended says that a delivery has arrived, or is given up.
	ended struct {
		slot    time.Time
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
				out = append(out, ended{s.slot, d.channel, false, "cut off by a restart; not repeated, because it may have arrived"})
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
	slot := passed(s.seen, ev.exchange)
	s.seen = ev.exchange
	if !ev.due {
		if len(s.open) == 0 {
			return s, nil
		}
		s.open = nil
		return s, []effect{breakOff{}}
	}
	var out []effect
	if !slot.IsZero() {
		if len(s.open) > 0 {
			out = append(out, breakOff{}) // of the slot before: this one says the same
		}
		s.slot, s.began, s.open = slot, ev.machine, nil
		for _, channel := range ev.channels {
			s.open = append(s.open, delivery{channel: channel, again: ev.machine})
		}
	}
	for i := range s.open {
		if d := &s.open[i]; !d.sending && !ev.machine.Before(d.again) {
			d.sending = true
			d.attempts++
			out = append(out, attempt{s.slot, d.channel})
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
	return s, []effect{ended{s.slot, ev.channel, ev.outcome.Arrived, ev.outcome.Reason}}
}

// passed is the newest slot after seen and not after now; zero: none, or it is
// too late for it, or the clock was never read or went back.
func passed(seen, now time.Time) (slot time.Time) {
	if seen.IsZero() {
		return slot
	}
	for _, at := range slots {
		if t := ist.At(now, at.hour, at.minute, 0); t.After(seen) && !t.After(now) && now.Sub(t) <= late {
			slot = t
		}
	}
	return slot
}

// message is what a slot's reminder says.
func message(slot time.Time, login string) channels.Message {
	at := slot.In(ist.Zone)
	last := slots[len(slots)-1]
	return channels.Message{
		Title:  "Kite login due",
		Text:   fmt.Sprintf("%s IST: today's Kite login is due, the services have no valid access token. Log in: %s", at.Format("15:04"), login),
		Link:   login,
		Urgent: slot.Equal(ist.At(slot, last.hour, last.minute, 0)), // ten minutes are left
		Event:  "login_due",
		Fields: map[string]any{"slot": at.Format("15:04"), "day": at.Format(time.DateOnly), "login_url": login},
	}
}
