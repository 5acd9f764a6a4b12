package alerts

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"kitestring/actors/channels"
	"kitestring/messages"
	"kitestring/messages/ist"
)

const (
	mostPerHour = 60 // alerts that go to the channels
	mostQueued  = 20 // messages that wait for a channel
)

// state is what is known of the alerts. The zero value has no rules.
type state struct {
	rules    []Rule
	readings map[[2]string]messages.Reading // newest, by kind and underlying
	watches  map[[2]string]watch            // by rule and underlying
	open     []delivery                     // oldest first
	sent     []time.Time                    // machine's times of the alerts of the last hour
	last     uint64                         // number of the newest message
}

// watch is what is known of a rule's condition at one underlying.
type watch struct {
	seen  bool // it has been looked at
	holds bool
	held  bool      // it began during the cooldown and was not sent
	side  int8      // of the price, where a crossing is waited for
	fired time.Time // exchange time; zero: never
	why   string    // nothing can be said now; "": something can
}

// delivery is a message that has not arrived yet.
type delivery struct {
	id       uint64
	channel  string
	message  channels.Message
	began    time.Time // machine's time
	attempts int
	sending  bool
	again    time.Time // machine's time of the next attempt
}

// event is what moves the state.
//
//sumtype:decl
type event interface{ event() }

type (
	// started is the start of an incarnation with the rules that are configured
	// now: nothing of the last one is under way.
	started struct{ rules []Rule }
	// read is a new reading.
	read struct{ reading messages.Reading }
	// looked is a look at the clocks, the market, the prices and the channels.
	looked struct {
		exchange, machine time.Time
		open              bool             // the session runs
		prices            map[string]price // by underlying
		channels          []string         // that are set up
	}
	// tested asks for a message.
	tested struct {
		id                uint64
		name              string
		exchange, machine time.Time
		channels          []string
	}
	// answered is what came of an attempt.
	answered struct {
		id      uint64
		channel string
		outcome channels.Outcome
		machine time.Time
		jitter  float64 // 0 to 1
	}
)

func (started) event()  {}
func (read) event()     {}
func (looked) event()   {}
func (tested) event()   {}
func (answered) event() {}

// effect is something to do.
//
//sumtype:decl
type effect interface{ effect() }

type (
	// tell is a change for the web actor.
	tell struct{ change messages.AlertChanged }
	// attempt sends a message over a channel once.
	attempt struct {
		id      uint64
		channel string
		message channels.Message
	}
	// ended says that a message has arrived, or is given up.
	ended struct {
		id      uint64
		alert   string
		channel string
		arrived bool
		reason  string
	}
	// withheld says that an alert is on the timeline only: too many within an hour.
	withheld struct{ alert string }
)

func (tell) effect()     {}
func (attempt) effect()  {}
func (ended) effect()    {}
func (withheld) effect() {}

// next is the whole behaviour.
func next(s state, ev event) (state, []effect) {
	s.open = slices.Clone(s.open)
	switch ev := ev.(type) {
	case started:
		return s.start(ev)
	case read:
		s.readings = maps.Clone(s.readings)
		if s.readings == nil {
			s.readings = map[[2]string]messages.Reading{}
		}
		s.readings[[2]string{ev.reading.Kind, ev.reading.Underlying}] = ev.reading
		return s, nil
	case looked:
		return s.look(ev)
	case tested:
		return s.test(ev)
	case answered:
		return s.answer(ev)
	}
	return s, nil
}

// start keeps what is known of the rules that are still configured as they were.
func (s state) start(ev started) (state, []effect) {
	s.watches = maps.Clone(s.watches)
	maps.DeleteFunc(s.watches, func(of [2]string, _ watch) bool {
		same := func(r Rule) bool { return r.Name == of[0] }
		was, is := slices.IndexFunc(s.rules, same), slices.IndexFunc(ev.rules, same)
		return was < 0 || is < 0 || !reflect.DeepEqual(s.rules[was], ev.rules[is])
	})
	s.rules = ev.rules
	var out []effect
	s.open = slices.DeleteFunc(s.open, func(d delivery) bool {
		if d.sending {
			out = append(out, d.end(false, "cut off by a restart; not repeated, because it may have arrived"))
		}
		return d.sending
	})
	return s, out
}

func (d *delivery) end(arrived bool, reason string) ended {
	name, _ := d.message.Fields["alert"].(string)
	return ended{d.id, name, d.channel, arrived, reason}
}

func (s state) look(ev looked) (state, []effect) {
	var out []effect
	s.watches = maps.Clone(s.watches)
	if s.watches == nil {
		s.watches = map[[2]string]watch{}
	}
	for i := range s.rules {
		r := &s.rules[i]
		for _, underlying := range s.underlyingsOf(r) {
			reading := s.readings[[2]string{r.Kind, underlying}]
			p := ev.prices[underlying]
			j := r.judge(reading, p, ev.exchange, ev.open)
			of := [2]string{r.Name, underlying}
			if !j.known {
				w := s.watches[of]
				w.why = j.text
				s.watches[of] = w
				continue
			}
			w, change := s.watches[of].after(j, ev.exchange, r.Cooldown)
			s.watches[of] = w
			if change == "" {
				continue
			}
			c := messages.AlertChanged{Alert: r.Name, Underlying: underlying, State: change, Level: j.level, At: ev.exchange.UTC()}
			c.Text = fmt.Sprintf("%s: %s.", underlying, j.text)
			if change == messages.AlertHealed {
				c.Text = fmt.Sprintf("%s: no longer true: %s.", underlying, r.Condition())
			}
			if p.value > 0 {
				c.Price = &p.value
			}
			out = append(out, tell{c})
			if change == messages.AlertFired {
				var more []effect
				s, more = s.send(r, c, reading, ev)
				out = append(out, more...)
			}
		}
	}
	return s.attempts(ev.machine, out)
}

// underlyingsOf are those that a rule is looked at for, in a stable order.
func (s *state) underlyingsOf(r *Rule) (names []string) {
	for of := range s.readings {
		if of[0] == r.Kind && (r.Underlying == "" || r.Underlying == of[1]) {
			names = append(names, of[1])
		}
	}
	slices.Sort(names)
	return names
}

// after is a condition after one more look, and what has become of it, "" when
// nothing has.
func (w watch) after(j judgement, now time.Time, cooldown time.Duration) (watch, messages.AlertState) {
	w.why = ""
	quiet := !w.fired.IsZero() && now.Before(w.fired.Add(cooldown)) && !now.Before(w.fired) // the clock may be moved back
	fire := func() (watch, messages.AlertState) {
		w.fired, w.held = now, false
		return w, messages.AlertFired
	}
	if j.side != 0 { // a crossing is over when it has been
		crossed := w.seen && w.side != j.side
		w.seen, w.side = true, j.side
		if crossed && !quiet {
			return fire()
		}
		return w, ""
	}
	began, over := w.seen && j.holds && !w.holds, w.holds && !j.holds
	announced := w.holds && !w.held && !w.fired.IsZero()
	w.seen, w.holds = true, j.holds
	switch {
	case began && quiet:
		w.held = true
	case began, j.holds && w.held && !quiet:
		return fire()
	case over:
		w.held = false
		if announced {
			return w, messages.AlertHealed
		}
	}
	return w, ""
}

// send queues an alert's message for its channels.
func (s state) send(r *Rule, c messages.AlertChanged, reading messages.Reading, ev looked) (state, []effect) {
	s.sent = slices.DeleteFunc(slices.Clone(s.sent), func(at time.Time) bool { return ev.machine.Sub(at) >= time.Hour })
	if len(s.sent) >= mostPerHour {
		return s, []effect{withheld{r.Name}}
	}
	s.sent = append(s.sent, ev.machine)
	s.last++
	at := c.At.In(ist.Zone).Format("15:04:05")
	return s.queue(s.last, channels.Message{
		Title: c.Underlying + ": " + r.Condition(), Text: fmt.Sprintf("%s IST, %s (alert %s)", at, strings.TrimSuffix(c.Text, "."), r.Name), Event: "alert",
		Fields: map[string]any{
			"alert": r.Name, "state": c.State, "underlying": c.Underlying, "kind": r.Kind, "signal": reading.Signal, "confidence": reading.Confidence,
			"coverage": reading.Coverage, "price": c.Price, "level": c.Level, "at": c.At, "as_of": reading.AsOf.UTC(),
		},
	}, Wanted(r.Channels, ev.channels), ev.machine)
}

// Wanted are the channels that messages go to: of those that are set up the
// named ones, or all where none is named.
func Wanted(named, setUp []string) []string {
	if len(named) == 0 {
		return setUp
	}
	return slices.DeleteFunc(slices.Clone(setUp), func(kind string) bool { return !slices.Contains(named, kind) })
}

func (s state) queue(id uint64, m channels.Message, to []string, now time.Time) (state, []effect) {
	var out []effect
	for _, channel := range to {
		d := delivery{id: id, channel: channel, message: m, began: now, again: now}
		waiting := 0
		for _, o := range s.open {
			if o.channel == channel {
				waiting++
			}
		}
		if waiting >= mostQueued {
			out = append(out, d.end(false, fmt.Sprintf("%d messages wait for this channel already", waiting)))
			continue
		}
		s.open = append(s.open, d)
	}
	return s, out
}

// attempts begins what is due: one attempt a channel at a time, in the order of
// the messages, so that a channel that hangs costs one task.
func (s state) attempts(now time.Time, out []effect) (state, []effect) {
	seen := map[string]bool{}
	for i := range s.open {
		d := &s.open[i]
		if seen[d.channel] {
			continue
		}
		seen[d.channel] = true
		if !d.sending && !now.Before(d.again) {
			d.sending = true
			d.attempts++
			out = append(out, attempt{d.id, d.channel, d.message})
		}
	}
	return s, out
}

func (s state) test(ev tested) (state, []effect) {
	r := &Rule{Name: ev.name}
	text := "This is a test: messages of alerts arrive here."
	if i := slices.IndexFunc(s.rules, func(r Rule) bool { return r.Name == ev.name }); i >= 0 {
		r = &s.rules[i]
		text = fmt.Sprintf("This is a test of the alert %s, which waits for: %s.", r.Name, r.Condition())
	}
	c := messages.AlertChanged{Alert: r.Name, Underlying: r.Underlying, State: messages.AlertTested, Text: text, At: ev.exchange.UTC()}
	s, out := s.queue(ev.id, channels.Message{
		Title: "kitestring: a test", Text: text, Event: "alert",
		Fields: map[string]any{"alert": r.Name, "state": c.State, "underlying": r.Underlying, "at": c.At},
	}, Wanted(r.Channels, ev.channels), ev.machine)
	return s.attempts(ev.machine, append([]effect{tell{c}}, out...))
}

func (s state) answer(ev answered) (state, []effect) {
	i := slices.IndexFunc(s.open, func(d delivery) bool { return d.id == ev.id && d.channel == ev.channel && d.sending })
	if i < 0 {
		return s, nil
	}
	d := &s.open[i]
	d.sending = false
	if !ev.outcome.Arrived && !ev.outcome.Final {
		d.again = ev.machine.Add(channels.Pause(d.attempts, ev.jitter, ev.outcome))
		if d.attempts < channels.MostAttempts && d.again.Before(d.began.Add(channels.Budget)) {
			return s, nil
		}
	}
	end := d.end(ev.outcome.Arrived, ev.outcome.Reason)
	s.open = slices.Delete(s.open, i, i+1)
	return s.attempts(ev.machine, []effect{end})
}
