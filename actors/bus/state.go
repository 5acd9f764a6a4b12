package bus

import (
	"fmt"
	"time"
)

// State is what the bus does.
type State uint8

// The states of the bus. The zero value is initial.
const (
	Connecting State = iota // the bus does not answer; it is tried again each half second
	Publishing
	Standby // another server publishes
	Stopped
)

var states = [...]string{"connecting", "publishing", "standby", "stopped"}

// String is the state in lower_snake_case.
func (s State) String() string { return states[s] }

// state is what the publisher decides by.
type state struct {
	State
	reason    string // what happened and what to do; "": nothing
	since     time.Time
	connected bool
	shared    bool   // a lease decides
	held      bool   // it is held here
	holder    string // the server that holds it else; "": not known
	leaseless string // why the lease cannot be had; "": it can
}

// The facts that it decides about.
type (
	fact interface{ fact() }
	// connected: the bus answers.
	connected struct{}
	// disconnected: it does not, and why.
	disconnected struct{ why string }
	// leased: the lease was asked for. why: it cannot be had at all.
	leased struct {
		held   bool
		holder string
		why    string
	}
	// ended: the server stops.
	ended struct{}
)

func (connected) fact()    {}
func (disconnected) fact() {}
func (leased) fact()       {}
func (ended) fact()        {}

// next is the state after a fact. changed: a person should know.
func next(s state, f fact, now time.Time) (_ state, changed bool) {
	was, why := s, ""
	switch f := f.(type) {
	case connected:
		s.connected = true
	case disconnected:
		s.connected, why = false, f.why
	case leased:
		s.held, s.holder, s.leaseless = f.held, f.holder, f.why
	case ended:
		s.State, s.reason = Stopped, ""
		return s, was.State != Stopped
	}
	switch {
	case !s.connected:
		s.State = Connecting
		if why != "" {
			s.reason = why + ". It is tried again each half second; what comes meanwhile is not on the bus, and counted. Nothing else is affected"
		}
	case !s.shared || s.held:
		s.State, s.reason = Publishing, ""
	case s.leaseless != "":
		s.State, s.reason = Standby, s.leaseless
	default:
		s.State, s.reason = Standby, "another server publishes"
		if s.holder != "" {
			s.reason = fmt.Sprintf("the server %s publishes; this one takes over when it ends", s.holder)
		}
	}
	if s.State != was.State {
		s.since = now
	}
	return s, s.State != was.State || s.reason != was.reason
}
