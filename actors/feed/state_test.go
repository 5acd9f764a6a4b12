package feed

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"kitestring/messages"
)

// script drives a shard by hand with a clock of its own.
type script struct {
	t        *testing.T
	s        shard
	w        world
	ids      uint64
	rejected map[messages.Generation]bool
}

func newScript(t *testing.T) *script {
	c := &script{t: t, rejected: map[messages.Generation]bool{}}
	l := defaultTimeouts()
	c.w = world{
		now: time.Unix(1_700_000_000, 0), rejected: func(g messages.Generation) bool { return c.rejected[g] },
		mayMove: true, share: MaxShards, newID: func() uint64 { c.ids++; return c.ids },
		jitter: func(time.Duration) time.Duration { return 0 }, timeouts: &l,
	}
	return c
}

// on gives an event and checks the effects, written as in "dial 1 g2".
func (c *script) on(e event, want ...string) {
	c.t.Helper()
	var effects []effect
	c.s, effects = next(c.s, e, &c.w)
	var got []string
	for _, e := range effects {
		switch e := e.(type) {
		case dial:
			got = append(got, fmt.Sprintf("dial %d g%d", e.id, e.generation))
		case hangUp:
			got = append(got, fmt.Sprintf("hang up %d", e.id))
		case withdraw:
			got = append(got, fmt.Sprintf("withdraw %d", e.id))
		case ask:
			got = append(got, fmt.Sprintf("ask g%d", e.generation))
		case reportLive:
			got = append(got, fmt.Sprintf("live g%d", e.generation))
		case lead:
			got = append(got, fmt.Sprintf("lead %d", e.id))
		case endWait:
			got = append(got, fmt.Sprintf("end wait %d", e.id))
		case forceMove:
			got = append(got, fmt.Sprintf("force %d", e.id))
		}
	}
	if !slices.Equal(got, want) {
		c.t.Helper()
		c.t.Fatalf("%T%+v: got %q, want %q; shard %+v", e, e, got, want, c.s)
	}
}

func (c *script) after(d time.Duration) { c.w.now = c.w.now.Add(d) }

func (c *script) is(state messages.FeedState) {
	c.t.Helper()
	if c.s.state != state {
		c.t.Fatalf("state %v (%s), want %v", c.s.state, c.s.reason, state)
	}
}

// up brings socket id of generation g to life.
func (c *script) up(id uint64, g messages.Generation) {
	c.t.Helper()
	c.on(upgraded{id})
	c.on(framed{id}, fmt.Sprintf("live g%d", g))
}

func TestStates(t *testing.T) {
	for name, play := range map[string]func(c *script){
		"cold start": func(c *script) {
			c.on(looked{})
			c.is(messages.AwaitingToken)
			c.w.candidate = 1
			c.on(looked{}, "dial 1 g1")
			c.is(messages.Connecting)
			c.on(upgraded{1})
			c.is(messages.Connecting)
			c.on(framed{1}, "live g1")
			c.is(messages.Streaming)
		},
		"swap": func(c *script) {
			c.w.adopted = 1
			c.on(looked{}, "dial 1 g1")
			c.up(1, 1)
			c.w.candidate = 2
			c.on(looked{}, "dial 2 g2")
			c.up(2, 2)
			c.is(messages.Streaming)
			c.on(moved{2}, "hang up 1")
			c.on(ended{1, byUs, "swap"})
			if c.s.leads() != 2 || c.s.sockets() != 1 {
				c.t.Fatalf("%+v", c.s)
			}
		},
		"a swap's time runs out": func(c *script) {
			c.w.adopted = 1
			c.on(looked{}, "dial 1 g1")
			c.up(1, 1)
			c.w.candidate = 2
			c.on(looked{}, "dial 2 g2")
			c.up(2, 2)
			c.after(400 * time.Millisecond)
			c.on(looked{}, "end wait 2")
			c.after(900 * time.Millisecond)
			c.on(looked{}, "end wait 2")
			c.after(900 * time.Millisecond)
			c.on(looked{}, "force 2")
		},
		"the machine stands still within a swap": func(c *script) {
			c.w.adopted = 1
			c.on(looked{}, "dial 1 g1")
			c.up(1, 1)
			c.w.candidate = 2
			c.on(looked{}, "dial 2 g2")
			c.up(2, 2)
			c.after(400 * time.Millisecond)
			c.on(looked{}, "end wait 2")
			c.after(5 * time.Second)
			c.on(looked{}, "end wait 2") // what the older one brought waits to be read
			c.after(900 * time.Millisecond)
			c.on(looked{}, "end wait 2")
			c.after(900 * time.Millisecond)
			c.on(looked{}, "force 2")
		},
		"a candidate without a frame": func(c *script) {
			c.w.adopted = 1
			c.on(looked{}, "dial 1 g1")
			c.up(1, 1)
			c.w.candidate = 2
			c.on(looked{}, "dial 2 g2")
			c.on(upgraded{2})
			c.after(3 * time.Second)
			c.on(looked{}, "withdraw 2")
			c.on(ended{2, mute, "no frame"}, "dial 3 g2")
			c.is(messages.Streaming)
		},
		"a newer candidate replaces a pending one": func(c *script) {
			c.w.adopted = 1
			c.on(looked{}, "dial 1 g1")
			c.up(1, 1)
			c.w.candidate = 2
			c.on(looked{}, "dial 2 g2")
			c.w.candidate = 3
			c.on(looked{}, "withdraw 2")
			c.on(looked{}) // waits for its close: an abandoned dial holds a slot
			c.on(ended{2, byUs, ""}, "dial 3 g3")
		},
		"a pending candidate that leads already stays": func(c *script) {
			c.w.adopted = 1
			c.on(looked{}, "dial 1 g1")
			c.up(1, 1)
			c.w.candidate = 2
			c.on(looked{}, "dial 2 g2")
			c.on(upgraded{2})
			c.w.candidate = 3
			c.on(looked{}, "withdraw 2")
			c.on(kept{2})
			c.on(framed{2})
			c.on(moved{2}, "hang up 1")
			c.on(ended{1, byUs, ""}, "dial 3 g3")
		},
		"a candidate that leads already is rejected": func(c *script) {
			c.w.adopted = 1
			c.on(looked{}, "dial 1 g1")
			c.up(1, 1)
			c.w.candidate = 2
			c.on(looked{}, "dial 2 g2")
			c.up(2, 2)
			c.rejected[2] = true
			c.on(looked{}, "withdraw 2")
			c.on(kept{2}) // not withdrawn again: the answer would be the same, without end
			c.on(looked{})
		},
		"a candidate is refused": func(c *script) {
			c.w.adopted = 1
			c.on(looked{}, "dial 1 g1")
			c.up(1, 1)
			c.w.candidate = 2
			c.on(looked{}, "dial 2 g2")
			c.on(ended{2, forbidden, "403"}, "ask g2")
			c.is(messages.Streaming)
			c.rejected[2] = true
			c.after(time.Hour)
			c.on(looked{})
			c.w.candidate = 3
			c.on(looked{}, "dial 3 g3")
		},
		"a dead token parks": func(c *script) {
			c.w.candidate = 1
			c.on(looked{}, "dial 1 g1")
			c.on(ended{1, forbidden, "403"}, "ask g1")
			c.is(messages.Unauthorised)
			c.after(29 * time.Second)
			c.on(looked{})
			c.rejected[1] = true
			c.after(time.Hour)
			c.on(looked{})
			c.is(messages.Unauthorised)
			c.w.candidate = 2
			c.on(looked{}, "dial 2 g2")
		},
		"403 with a good token: a probe each 30 s": func(c *script) {
			c.w.adopted = 1
			c.on(looked{}, "dial 1 g1")
			for id := uint64(1); id < 4; id++ {
				c.on(ended{id, forbidden, "403"}, "ask g1")
				c.is(messages.Unauthorised)
				c.after(29 * time.Second)
				c.on(looked{})
				if got := c.s.wakeAt.Sub(c.w.now); got != time.Second {
					c.t.Fatalf("wakes in %v", got)
				}
				c.after(time.Second)
				c.on(looked{}, fmt.Sprintf("dial %d g1", id+1))
			}
			c.up(4, 1)
			c.is(messages.Streaming)
		},
		"a frame ends the doubt about its token": func(c *script) {
			c.w.candidate = 1
			c.on(looked{}, "dial 1 g1")
			c.on(ended{1, forbidden, "403"}, "ask g1")
			c.after(30 * time.Second)
			c.on(looked{}, "dial 2 g1")
			c.up(2, 1)
			c.w.candidate = 0 // taken out of the file
			c.on(ended{2, network, "gone"})
			c.is(messages.AwaitingToken)
		},
		"a live candidate that is rejected is withdrawn": func(c *script) {
			c.w.adopted = 1
			c.on(looked{}, "dial 1 g1")
			c.up(1, 1)
			c.w.candidate = 2
			c.on(looked{}, "dial 2 g2")
			c.up(2, 2)
			c.rejected[2] = true
			c.on(looked{}, "withdraw 2")
			c.on(ended{2, byUs, ""})
			c.is(messages.Streaming)
		},
		"backoff doubles and resets": func(c *script) {
			c.w.adopted = 1
			c.on(looked{}, "dial 1 g1")
			c.up(1, 1)
			c.on(ended{1, network, "gone"}, "dial 2 g1") // at once
			var id uint64 = 2
			for _, pause := range []time.Duration{125, 250, 500, 1000, 2000, 4000, 7500, 7500} { // the fixed half
				c.on(ended{id, serverError, "503"})
				c.is(messages.Backoff)
				c.after(pause*time.Millisecond - time.Millisecond)
				c.on(looked{})
				c.after(time.Millisecond)
				id++
				c.on(looked{}, fmt.Sprintf("dial %d g1", id))
			}
			c.up(id, 1)
			c.after(29 * time.Second) // not long enough
			c.on(ended{id, network, "gone"})
			c.after(time.Minute)
			id++
			c.on(looked{}, fmt.Sprintf("dial %d g1", id))
			c.up(id, 1)
			c.after(30 * time.Second)
			c.on(ended{id, network, "gone"}, fmt.Sprintf("dial %d g1", id+1))
		},
		"too many sockets": func(c *script) {
			c.w.adopted = 1
			c.on(looked{}, "dial 1 g1")
			c.on(ended{1, tooMany, "429"})
			c.is(messages.Backoff)
			c.after(29 * time.Second)
			c.on(looked{})
			c.after(time.Second)
			c.on(looked{}, "dial 2 g1")
			c.up(2, 1)
			c.on(ended{2, network, "gone"}, "dial 3 g1")
			c.on(ended{3, tooMany, "429"}) // our own ghost
			c.after(time.Second - 1)
			c.on(looked{})
			c.after(1)
			c.on(looked{}, "dial 4 g1")
		},
		"no slot next to the running socket": func(c *script) {
			c.w.adopted = 1
			c.on(looked{}, "dial 1 g1")
			c.up(1, 1)
			c.w.candidate = 2
			c.on(looked{}, "dial 2 g2")
			c.on(ended{2, tooMany, "429"})
			c.is(messages.Streaming)
			c.after(29 * time.Second)
			c.on(looked{})
			c.after(time.Second)
			c.on(looked{}, "dial 3 g2") // the ghost may have gone
			c.on(ended{3, tooMany, "429"})
			c.after(time.Minute)
			c.on(looked{}) // not proven: nothing is given up for it
			c.w.adopted = 2
			c.on(looked{}, "hang up 1")
			c.on(ended{1, byUs, ""}, "dial 4 g2")
		},
		"the ghost of another shard": func(c *script) {
			c.w.adopted = 1
			c.on(looked{}, "dial 1 g1")
			c.up(1, 1)
			c.w.adopted, c.w.candidate, c.w.lingering = 2, 2, true
			c.on(looked{}, "dial 2 g2")
			for id := range uint64(3) {
				c.on(ended{2 + id, tooMany, "429"}) // the running socket is not given up for it
				c.is(messages.Streaming)
				c.after(time.Second)
				c.on(looked{}, fmt.Sprintf("dial %d g2", 3+id))
			}
		},
		"our own sockets fill every slot": func(c *script) {
			c.w.adopted = 1
			c.on(looked{}, "dial 1 g1")
			c.up(1, 1)
			c.w.adopted, c.w.others = 2, 2
			c.on(looked{}, "hang up 1")
			c.on(ended{1, byUs, ""}, "dial 2 g2")
			c.on(ended{2, tooMany, "429"}) // not forgotten yet
			c.after(10 * time.Millisecond)
			c.on(looked{}, "dial 3 g2")
			c.on(ended{3, tooMany, "429"})
			c.after(10 * time.Millisecond)
			c.on(looked{})
			c.after(30 * time.Millisecond)
			c.on(looked{}, "dial 4 g2")
			c.up(4, 2)
			c.on(ended{4, network, "gone"}, "dial 5 g2")
			c.on(ended{5, tooMany, "429"}) // this socket was not given up
			c.after(time.Second - 1)
			c.on(looked{})
			c.after(1)
			c.on(looked{}, "dial 6 g2")
		},
		"the older socket dies in mid-swap": func(c *script) {
			c.w.adopted = 1
			c.on(looked{}, "dial 1 g1")
			c.up(1, 1)
			c.w.candidate = 2
			c.on(looked{}, "dial 2 g2")
			c.on(upgraded{2})
			c.on(ended{1, network, "gone"})
			c.is(messages.Connecting)
			c.on(framed{2}, "live g2")
			c.is(messages.Streaming)
			if c.s.leads() != 2 {
				c.t.Fatalf("%+v", c.s)
			}
		},
		"each attempt reads the current generation": func(c *script) {
			c.w.adopted = 1
			c.on(looked{}, "dial 1 g1")
			c.on(ended{1, network, "gone"}, "dial 2 g1")
			c.on(ended{2, network, "gone"})
			c.w.adopted = 2
			c.after(time.Second)
			c.on(looked{}, "dial 3 g2")
			c.w.adopted = 3 // a dial that hangs must not keep a proven token waiting
			c.on(looked{}, "hang up 3")
			c.on(ended{3, byUs, ""}, "dial 4 g3")
		},
		"the turn of another shard": func(c *script) {
			c.w.adopted = 1
			c.on(looked{}, "dial 1 g1")
			c.up(1, 1)
			c.w.adopted, c.w.mayMove = 2, false
			c.on(looked{})
			if c.s.wakeAt.IsZero() {
				c.t.Fatal("nothing will ever look again")
			}
			c.w.mayMove = true
			c.on(looked{}, "dial 2 g2")
		},
		"stopped and needed again": func(c *script) {
			c.w.adopted = 1
			c.on(looked{}, "dial 1 g1")
			c.up(1, 1)
			c.on(halted{}, "hang up 1")
			c.is(messages.Stopped)
			c.on(ended{1, byUs, ""})
			c.on(looked{})
			c.on(needed{}, "dial 2 g1")
		},
		"events of strangers": func(c *script) {
			c.w.adopted = 1
			c.on(looked{}, "dial 1 g1")
			c.up(1, 1)
			for _, id := range []uint64{0, 99} {
				c.on(upgraded{id})
				c.on(framed{id})
				c.on(moved{id})
				c.on(ended{id, network, ""})
			}
			c.is(messages.Streaming)
		},
	} {
		t.Run(name, func(t *testing.T) { play(newScript(t)) })
	}
}

// Whatever happens in whatever order: a rejected generation is not dialled, a
// shard has two sockets at most (and the one that leaves), an older generation
// never replaces a newer one that streams, and a shard that is not streaming
// and has something to dial with will dial.
func TestStateInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rejected := map[messages.Generation]bool{}
		ids := uint64(0)
		l := defaultTimeouts()
		w := world{
			now: time.Unix(1_700_000_000, 0), rejected: func(g messages.Generation) bool { return rejected[g] },
			mayMove: true, share: MaxShards, newID: func() uint64 { ids++; return ids },
			jitter: func(time.Duration) time.Duration { return 0 }, timeouts: &l,
		}
		var s shard
		sockets := map[uint64]messages.Generation{}
		hungUp := map[uint64]cause{}
		var give func(e event)
		give = func(e event) {
			was := s.leads()
			var leads []uint64
			var effects []effect
			s, effects = next(s, e, &w)
			for _, e := range effects {
				switch e := e.(type) {
				case dial:
					if rejected[e.generation] {
						t.Fatalf("dials rejected generation %d", e.generation)
					}
					sockets[e.id] = e.generation
				case withdraw:
					if _, ok := sockets[e.id]; !ok {
						t.Fatalf("withdraws %d, which is not there", e.id)
					}
					if rapid.Bool().Draw(t, "leads already") {
						leads = append(leads, e.id)
					} else {
						hungUp[e.id] = e.cause
					}
				case hangUp:
					if _, ok := sockets[e.id]; !ok {
						t.Fatalf("hangs up %d, which is not there", e.id)
					}
					hungUp[e.id] = e.cause
				}
			}
			if now := s.leads(); was != 0 && now != 0 && now < was {
				if _, died := e.(ended); !died {
					t.Fatalf("went back from %d to %d", was, now)
				}
			}
			if len(sockets) > 3 || len(sockets) != s.sockets() {
				t.Fatalf("%d sockets, the shard knows %d", len(sockets), s.sockets())
			}
			for _, id := range leads {
				give(kept{id})
				give(moved{id})
			}
		}
		give(looked{})
		newest := messages.Generation(0)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			w.mayMove = rapid.IntRange(0, 3).Draw(t, "may move") > 0
			w.others = rapid.IntRange(0, 2).Draw(t, "others")
			var open []uint64
			for id := range sockets {
				open = append(open, id)
			}
			slices.Sort(open)
			switch rapid.IntRange(0, 8).Draw(t, "what") {
			case 0:
				newest++
				w.candidate = newest
				give(looked{})
			case 1:
				if newest > w.adopted && !rejected[newest] {
					w.adopted = newest
				}
				give(looked{})
			case 2:
				if newest > w.adopted {
					rejected[newest] = true
				}
				give(looked{})
			case 3:
				w.now = w.now.Add(time.Duration(rapid.IntRange(0, 40).Draw(t, "seconds")) * time.Second)
				give(looked{})
			case 4:
				give(replace{mute, "stale"})
			default:
				if len(open) == 0 {
					continue
				}
				id := rapid.SampledFrom(open).Draw(t, "socket")
				switch rapid.IntRange(0, 5).Draw(t, "event") {
				case 0:
					give(upgraded{id})
				case 1, 2:
					give(upgraded{id})
					give(framed{id})
				case 3:
					give(moved{id})
				default:
					c, ok := hungUp[id]
					if !ok {
						c = rapid.SampledFrom([]cause{forbidden, tooMany, serverError, network, mute, malformed}).Draw(t, "cause")
					}
					delete(sockets, id)
					give(ended{id, c, "gone"})
				}
			}
		}
		// Now everything that was hung up goes, and time passes.
		w.mayMove, w.others = true, 0
		for range 8 {
			for id, c := range hungUp {
				if _, ok := sockets[id]; ok {
					delete(sockets, id)
					give(ended{id, c, "gone"})
				}
			}
			w.now = w.now.Add(time.Minute)
			give(looked{})
		}
		usable := w.adopted != 0 && !rejected[w.adopted] || w.candidate != 0 && !rejected[w.candidate]
		if usable && len(sockets) == 0 {
			t.Fatalf("does nothing: %+v, adopted %d, candidate %d", s, w.adopted, w.candidate)
		}
	})
}
