package simulator

import (
	"slices"
	"time"

	"kitestring/messages"
	"kitestring/messages/wire"
)

// topic is what is sent under one instrument token, whatever the token means.
type topic struct {
	token uint32
	in    *instrument // nil: nothing is listed under it
	subs  []subscription
	due   time.Time // of the next tick, where no rate is set
	left  time.Time // when the last subscriber went; zero: there is one
	sent  int64     // ticks, counted per socket
}

type subscription struct {
	socket *socket
	mode   messages.Mode

	// With independent sampling:
	fresh bool      // there is a packet that the socket has not got
	due   time.Time // when it looks again
}

// linger is how long an instrument goes on ticking after its last subscriber
// has gone: a client that comes back in time sees by the sequence what it missed.
const linger = 30 * time.Second

// maxInstrumentsPerSocket is Kite's limit.
const maxInstrumentsPerSocket = 3000

func (e *Exchange) bind(t *topic, in *instrument) {
	if in != t.in && in != nil && t.in != nil {
		in.seq = max(in.seq, t.in.seq)
	}
	t.in = in
}

// watch finds or makes the topic of an instrument token and lets it tick.
func (e *Exchange) watch(token uint32) *topic {
	t := e.topics[token]
	if t == nil {
		t = &topic{token: token, in: e.listing.tokens[token]}
		e.topics[token] = t
		e.hot = append(e.hot, t)
	}
	t.left = time.Time{}
	return t
}

// cool drops topics that got no subscriber again.
func (e *Exchange) cool(now time.Time) {
	e.hot = slices.DeleteFunc(e.hot, func(t *topic) bool {
		if t.left.IsZero() || now.Sub(t.left) < linger {
			return false
		}
		if t.in != nil {
			t.in.away = true
		}
		if t.sent > 0 {
			e.counts.sent[t.token] += t.sent
		}
		delete(e.topics, t.token)
		return true
	})
}

// subscribe puts a socket's instruments into a mode; ModeNone means the one
// that they have, quote for a new one. It answers with one cached tick each.
// Called with mu held, by the socket's reader only.
func (e *Exchange) subscribe(s *socket, tokens []uint32, mode messages.Mode) {
	held := time.Now()
	now := e.clock.Now()
	session := e.cal.sessionAt(now)
	if e.tape != nil {
		e.tape.subscribed = held
	}
	for _, token := range tokens {
		if time.Since(held) > longHold { // late in a day each first look costs a millisecond
			e.flush()
			held = e.yield()
			if s.gone || e.closing > 0 {
				return
			}
			now = e.clock.Now()
			session = e.cal.sessionAt(now)
		}
		old, ok := s.modes[token]
		if !ok && len(s.modes) >= maxInstrumentsPerSocket {
			e.counts.refusedSubscriptions++
			continue
		}
		want := mode
		if want == messages.ModeNone {
			want = messages.ModeQuote
			if ok {
				want = old
			}
		}
		t := e.watch(token)
		if ok {
			t.subs[s.index(t)].mode = want
		} else {
			t.subs = append(t.subs, subscription{socket: s, mode: want, due: held.Add(e.samplePause())})
		}
		s.modes[token] = want
		e.snapshot(s, t, session, now, want)
	}
	e.flush()
}

// longHold is how long the market may be kept waiting.
const longHold = 5 * time.Millisecond

// yield lets go of the lock for a moment.
func (e *Exchange) yield() time.Time {
	e.mu.Unlock()
	e.mu.Lock()
	return time.Now()
}

// snapshot sends the cached last tick.
func (e *Exchange) snapshot(s *socket, t *topic, session *session, now time.Time, mode messages.Mode) {
	if t.in == nil || s.silent || e.faults.uncached(t.in.Token) {
		return
	}
	if e.tape != nil {
		if packet := t.in.cached(mode); packet != nil {
			e.send(s, t, packet)
		}
		return
	}
	e.settle(t.in, session, now)
	t.in.away = false
	e.send(s, t, wire.AppendPacket(e.encoded(), e.packet(t.in), mode))
}

// packet is what is sent of an instrument.
func (e *Exchange) packet(in *instrument) *wire.Packet {
	if e.faults.untimed && messages.SegmentOf(in.Token) == messages.Indices {
		p := in.packet
		p.ExchangeTime = 0
		return &p
	}
	return &in.packet
}

func (e *Exchange) unsubscribe(s *socket, tokens []uint32) {
	for _, token := range tokens {
		if _, ok := s.modes[token]; ok {
			delete(s.modes, token)
			e.leave(s, e.topics[token])
		}
	}
}

func (e *Exchange) leave(s *socket, t *topic) {
	i := s.index(t)
	t.subs = slices.Delete(t.subs, i, i+1)
	if len(t.subs) == 0 {
		t.left = time.Now()
	}
}

// index is the socket's position among a topic's subscribers.
func (s *socket) index(t *topic) int {
	return slices.IndexFunc(t.subs, func(sub subscription) bool { return sub.socket == s })
}

// sampleEvery is how often an independent socket looks at an instrument.
const sampleEvery = 500 * time.Millisecond

func (e *Exchange) samplePause() time.Duration {
	return time.Duration((0.5 + e.rng.Float64()) * float64(sampleEvery))
}

// sample sends to independent sockets what is due to them. Called with mu held.
func (e *Exchange) sample(realTime time.Time) {
	const look = 10 * time.Millisecond // a rate lets rounds follow each other faster
	if e.sampling != SamplingIndependent || realTime.Sub(e.sampled) < look {
		return
	}
	e.sampled = realTime
	for _, t := range e.hot {
		for i := range t.subs {
			sub := &t.subs[i]
			if !sub.fresh || realTime.Before(sub.due) || t.in == nil {
				continue
			}
			sub.fresh, sub.due = false, realTime.Add(e.samplePause())
			if !sub.socket.silent {
				e.send(sub.socket, t, wire.AppendPacket(e.encoded(), e.packet(t.in), sub.mode))
			}
		}
	}
	e.flush()
}

// publish sends an instrument's packet to all its subscribers, encoded once
// per mode, so that every socket gets the same bytes in the same order; to
// independent sockets it is sent when they look.
func (e *Exchange) publish(t *topic) {
	e.counts.ticks++
	if e.sampling == SamplingIndependent {
		for i := range t.subs {
			t.subs[i].fresh = true
		}
		return
	}
	var packets [messages.ModeFull + 1][]byte
	buf := e.encoded()
	for _, sub := range t.subs {
		if sub.socket.silent {
			continue
		}
		if packets[sub.mode] == nil {
			from := len(buf)
			buf = wire.AppendPacket(buf, e.packet(t.in), sub.mode)
			packets[sub.mode] = buf[from:]
		}
		e.send(sub.socket, t, packets[sub.mode])
	}
	e.scratch = buf[:0]
}

// encoded is memory for the packets of one tick.
func (e *Exchange) encoded() []byte { return e.scratch[:0] }

// send adds a packet to the frame that a socket is about to get.
func (e *Exchange) send(s *socket, t *topic, packet []byte) {
	if s.next == nil {
		s.next = newFrame()
		e.dirty = append(e.dirty, s)
	}
	s.next.add(packet)
	t.sent++
	s.ticks++
	s.token.ticks++
	if s.next.packets == maxInstrumentsPerSocket {
		e.finish(s)
	}
}

// finish gives the finished frame to the socket's writer.
func (e *Exchange) finish(s *socket) {
	f := s.next
	s.next = nil
	s.frames++
	s.token.frames++
	e.push(s, f)
}

// flush hands over every frame under construction.
func (e *Exchange) flush() {
	for _, s := range e.dirty {
		if s.next != nil {
			e.finish(s)
		}
	}
	e.dirty = e.dirty[:0]
}
