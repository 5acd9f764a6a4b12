package reminder

import (
	"slices"
	"time"

	"kitestring/messages/ist"
)

// slots are the times of day, IST, at which a login that is due is told.
var slots = [...]struct{ hour, minute int }{{8, 0}, {8, 45}, {9, 5}}

const (
	// late is how much later than its slot a reminder may begin, in exchange
	// time: a machine that slept wakes to the next slot instead.
	late = 10 * time.Minute
	// budget ends the attempts of a slot.
	budget = 4 * time.Minute
	// mostAttempts a channel and slot.
	mostAttempts = 8
	// The pauses between attempts double from firstPause to longestPause; a
	// channel's own wish (Retry-After) may be longer, up to the budget.
	firstPause   = 2 * time.Second
	longestPause = time.Minute
)

// state is what is known of the day's reminders. The zero value has not looked
// at the clock yet.
type state struct {
	seen  time.Time // exchange time of the last look
	slot  time.Time // exchange time of the newest slot that was told; zero: none
	began time.Time // machine's time of its first attempt
	open  []delivery
}

// delivery is a message that has not arrived yet.
type delivery struct {
	channel  string
	attempts int
	flying   bool      // an attempt is under way
	again    time.Time // machine's time of the next attempt
	reason   string    // why the last one failed
}

// event is what moves the state.
type event interface{ event() }

type (
	// born is the start of an incarnation: nothing of the last one is under way.
	born struct{}
	// looked is a look at both clocks and at the login.
	looked struct {
		exchange, machine time.Time
		due               bool
		channels          []string // that are set up
	}
	// answered is what came of an attempt.
	answered struct {
		slot    time.Time
		channel string
		outcome outcome
		machine time.Time
		jitter  float64 // 0 to 1
	}
)

func (born) event()     {}
func (looked) event()   {}
func (answered) event() {}

// outcome of an attempt.
type outcome struct {
	arrived bool
	final   bool          // trying again is of no use
	after   time.Duration // the channel's own wish for a pause
	reason  string        // plain words, without address or token
}

// effect is something to do.
type effect interface{ effect() }

type (
	// attempt sends the message of a slot once.
	attempt struct {
		slot    time.Time
		channel string
	}
	// silence breaks off what is under way: the login has been made.
	silence struct{}
	// ended says that a delivery has arrived, or is given up.
	ended struct {
		slot    time.Time
		channel string
		arrived bool
		reason  string
	}
)

func (attempt) effect() {}
func (silence) effect() {}
func (ended) effect()   {}

// next is the whole behaviour.
func next(s state, ev event) (state, []effect) {
	s.open = slices.Clone(s.open)
	switch ev := ev.(type) {
	case born:
		var out []effect
		s.open = slices.DeleteFunc(s.open, func(d delivery) bool {
			if d.flying {
				out = append(out, ended{s.slot, d.channel, false, "cut off by a restart; not repeated, because it may have arrived"})
			}
			return d.flying
		})
		return s, out
	case looked:
		return s.look(ev)
	case answered:
		return s.answer(ev)
	}
	return s, nil
}

func (s state) look(ev looked) (state, []effect) {
	slot := passed(s.seen, ev.exchange)
	s.seen = ev.exchange
	if !ev.due {
		if len(s.open) == 0 {
			return s, nil
		}
		s.open = nil
		return s, []effect{silence{}}
	}
	var out []effect
	if !slot.IsZero() {
		if len(s.open) > 0 {
			out = append(out, silence{}) // of the slot before: this one says the same
		}
		s.slot, s.began, s.open = slot, ev.machine, nil
		for _, channel := range ev.channels {
			s.open = append(s.open, delivery{channel: channel, again: ev.machine})
		}
	}
	for i := range s.open {
		if d := &s.open[i]; !d.flying && !ev.machine.Before(d.again) {
			d.flying = true
			d.attempts++
			out = append(out, attempt{s.slot, d.channel})
		}
	}
	return s, out
}

func (s state) answer(ev answered) (state, []effect) {
	i := slices.IndexFunc(s.open, func(d delivery) bool { return d.channel == ev.channel && d.flying })
	if i < 0 || !ev.slot.Equal(s.slot) {
		return s, nil // of a slot that has been broken off
	}
	d := &s.open[i]
	d.flying, d.reason = false, ev.outcome.reason
	if !ev.outcome.arrived && !ev.outcome.final {
		d.again = ev.machine.Add(max(pause(d.attempts, ev.jitter), ev.outcome.after))
		if d.attempts < mostAttempts && d.again.Before(s.began.Add(budget)) {
			return s, nil
		}
	}
	s.open = slices.Delete(s.open, i, i+1)
	return s, []effect{ended{s.slot, ev.channel, ev.outcome.arrived, ev.outcome.reason}}
}

// pause before the next attempt: doubling, half of it chance.
func pause(attempts int, jitter float64) time.Duration {
	d := min(firstPause<<min(attempts-1, 10), longestPause)
	return d/2 + time.Duration(float64(d/2)*jitter)
}

// passed is the newest slot after seen and not after now; zero: none, or it is
// too late for it, or the clock was never looked at or went back.
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
