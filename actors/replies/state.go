package replies

import (
	"fmt"
	"strings"
	"time"

	"kitestring/messages"
	"kitestring/messages/ist"
)

const (
	// stale is how old a reply may be: request tokens last about five minutes.
	stale = 10 * time.Minute
	// mostExchanges and mostAnswers are what replies may cause in a minute.
	mostExchanges = 5
	mostAnswers   = 10
	// liveWithin is how long the feed may take after the exchange.
	liveWithin = 30 * time.Second
)

// Result says what became of a reply: the label values of kitestring_replies_total.
type Result string

// The results.
const (
	ResultOK         Result = "ok"
	ResultFailed     Result = "failed"      // the login did not work; the answer says why
	ResultStranger   Result = "stranger"    // from another chat
	ResultStale      Result = "stale"       // too old
	ResultNotALogin  Result = "not_a_login" // it holds no address of a login
	ResultBusy       Result = "busy"        // another one is being exchanged
	ResultOverBudget Result = "over_budget"
)

// Results are all of them.
var Results = []Result{ResultOK, ResultFailed, ResultStranger, ResultStale, ResultNotALogin, ResultBusy, ResultOverBudget}

// state is what is known of the replies. The zero value has seen none.
type state struct {
	minute    time.Time // machine's time at which the budget began
	exchanges int       // since then
	answers   int
	running   string    // the channel of the exchange under way; "": none
	waiting   string    // the channel that waits for live data after one; "": none
	until     time.Time // machine's time until which it waits
}

// event is what moves the state.
//
//sumtype:decl
type event interface{ event() }

type (
	// came is a reply.
	came struct {
		channel     string
		ours, login bool // from our chat; it holds what may be an address of a login
		age         time.Duration
		now         time.Time
		text        messages.Secret
		link        string
	}
	// finished is the end of an exchange.
	finished struct {
		ok     bool
		reason string
		now    time.Time
	}
	// looked is a look at the feed.
	looked struct {
		live       bool // on the token of the file
		generation messages.Generation
		exchange   time.Time
		now        time.Time
	}
)

func (came) event()     {}
func (finished) event() {}
func (looked) event()   {}

// effect is something to do.
//
//sumtype:decl
type effect interface{ effect() }

type (
	// exchange finishes a login with a text.
	exchange struct{ text messages.Secret }
	// say answers over a channel.
	say struct{ channel, text string }
	// count counts a reply.
	count struct{ result Result }
)

func (exchange) effect() {}
func (say) effect()      {}
func (count) effect()    {}

// next is the whole behaviour.
func next(s state, ev event) (state, []effect) {
	switch ev := ev.(type) {
	case came:
		return s.reply(ev)
	case finished:
		channel := s.running
		s.running = ""
		if !ev.ok {
			return s.say(channel, ev.reason, ResultFailed, ev.now)
		}
		s.waiting, s.until = channel, ev.now.Add(liveWithin)
		return s, nil
	case looked:
		switch {
		case s.waiting == "":
		case ev.live:
			channel := s.waiting
			s.waiting = ""
			return s.say(channel, fmt.Sprintf("live since %s, generation %d", ev.exchange.In(ist.Zone).Format("15:04"), ev.generation), ResultOK, ev.now)
		case ev.now.After(s.until):
			channel := s.waiting
			s.waiting = ""
			return s.say(channel, "Logged in, and no data comes yet on the new token. It is tried on; look at the dashboard, or run: kitestring status", ResultOK, ev.now)
		}
	}
	return s, nil
}

func (s state) reply(ev came) (state, []effect) {
	switch {
	case !ev.ours:
		return s, []effect{count{ResultStranger}}
	case !ev.login:
		return s.say(ev.channel, "That is no address of a login. Log in, then reply with the address of the page that the phone cannot open: it contains request_token=. Log in: "+ev.link, ResultNotALogin, ev.now)
	case ev.age > stale:
		return s.say(ev.channel, fmt.Sprintf("That address was sent %s ago, and Kite's request tokens last a few minutes: nothing was done with it. Log in again: %s", ev.age.Round(time.Minute), ev.link), ResultStale, ev.now)
	case s.running != "":
		return s.say(ev.channel, "A login is being finished; its answer comes in a moment. Nothing was done with this reply.", ResultBusy, ev.now)
	}
	s = s.refill(ev.now)
	if s.exchanges >= mostExchanges {
		return s.say(ev.channel, "Too many logins in a minute: nothing was done with this one. Wait a minute, then log in again: "+ev.link, ResultOverBudget, ev.now)
	}
	s.exchanges++
	s.running, s.waiting = ev.channel, ""
	return s, []effect{exchange{ev.text}}
}

// say answers and counts, or counts alone when the budget is used up.
func (s state) say(channel, text string, result Result, now time.Time) (state, []effect) {
	s = s.refill(now)
	if s.answers >= mostAnswers && result != ResultOK {
		return s, []effect{count{ResultOverBudget}}
	}
	s.answers++
	return s, []effect{count{result}, say{channel, text}}
}

func (s state) refill(now time.Time) state {
	if now.Sub(s.minute) >= time.Minute {
		s.minute, s.exchanges, s.answers = now, 0, 0
	}
	return s
}

// address finds what may be the address of a login, or a request token, in a
// text: a person may write round it, in any language.
func address(text string) (found string, ok bool) {
	for _, word := range strings.Fields(text) {
		if strings.Contains(word, "request_token=") || strings.Contains(word, "status=cancelled") {
			return word, true
		}
	}
	return "", false
}
