package auth

import (
	"time"

	"kitestring/actors"
	"kitestring/actors/kite"
	"kitestring/messages"
)

// event is what moves the state.
type event interface{ event() }

type (
	// said is a message of another actor.
	said struct{ messages.ToAuth }
	// restored is what the token store says at a start.
	restored struct {
		view actors.TokenView
		wait time.Duration // before the same candidate is asked about again
	}
	// answered is the profile's answer, or why there is none.
	answered struct {
		serial     int
		generation messages.Generation
		kind       kite.Kind // NoError: valid
		status     int
		userID     string
		jitter     float64 // 0.5 to 1
	}
	// woke says that the time of the last wake has come.
	woke struct{}
)

func (said) event()     {}
func (restored) event() {}
func (answered) event() {}
func (woke) event()     {}

// effect is something that the actor has to do.
type effect interface{ effect() }

type (
	// adopt makes a candidate the token of the house. Always the first effect.
	adopt struct{ fact fact }
	// reject tells the store, which never offers the generation again.
	reject struct {
		generation messages.Generation
		reason     string
	}
	// tell answers the feed's doubt.
	tell struct{ verdict messages.TokenVerdict }
	// ask puts the question to Kite, instead of any older one.
	ask struct {
		session messages.Session
		serial  int
	}
	// wake wants a woke at a monotonic time, instead of any older wish.
	wake struct{ at time.Time }
	// learn keeps when a token died in the morning.
	learn struct{ expiry Expiry }
)

func (adopt) effect()  {}
func (reject) effect() {}
func (tell) effect()   {}
func (ask) effect()    {}
func (wake) effect()   {}
func (learn) effect()  {}
