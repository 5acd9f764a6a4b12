// Package alerts sends a person what an analysis says: when a signal begins, a
// value or the price crosses a level, or the price touches a zone.
//
// It promises that a condition which begins is sent once; that it must be over
// before it can begin again; that within the cooldown nothing more is sent of
// it, and at its end only what began meanwhile and still holds. What holds when
// it is first looked at did not begin: a restart repeats nothing. Input that is
// unavailable, gapped, of another session or too old says neither that a
// condition holds nor that it is over, unless the alert asks for such input.
//
// Each change goes to the web actor (stream topic "alert", timeline), and a
// beginning to the channels of package channels, too: one attempt a channel at
// a time, tried again with growing pauses within a budget. A channel that hangs
// delays its own messages only, and no actor.
//
// Limits: conditions are looked at four times a second; what is over before the
// next look was not seen. At most mostPerHour alerts an hour go to the channels,
// and a channel keeps mostQueued messages; what is more is counted and stands
// on the timeline only. Nothing outlives the process: a message that waited is
// lost with it.
package alerts
