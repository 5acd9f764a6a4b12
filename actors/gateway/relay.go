package gateway

import (
	"bytes"
	"maps"
	"slices"
	"sync"
	"time"

	"kitestring/messages"
	"kitestring/messages/wire"
)

// Bounds of what clients may ask for.
const (
	mostInstruments = 3000 // of one socket, as Kite has it
	// riseWait is how long a client that asked for a higher mode waits for a
	// packet of it before it gets one of the lower mode: a cached packet of the
	// old mode sent at once would show it a quote that calls itself full.
	riseWait = time.Second
	// linger is how long the upstream subscription outlives its last client: the
	// .NET client unsubscribes and subscribes everything after a reconnect.
	linger = 30 * time.Second
)

// relay turns the feed's packets into each client's own frames. It keeps the
// newest packet of every instrument that comes, for those who subscribe later:
// the feed's own table can be newer than batches that still wait here, and time
// would run backwards. Packets are Kite's bytes, cut to the client's mode, never encoded
// again. Safe for concurrent use.
type relay struct {
	most int // instruments of all clients together

	mu      sync.Mutex
	index   map[uint32]*instrument
	wanted  int               // instruments of the union
	open    []*client         // have a frame under construction
	changed bool              // the union is another than the last one taken
	refused map[uint32]string // not streamed, and why: instruments of the union beyond what Kite gives
}

// mostKnown bounds the instruments whose newest packet is kept: the tokens of
// expired contracts do not come again.
const mostKnown = 16 << 10

// instrument is what the relay knows of one instrument.
type instrument struct {
	token   uint32
	packet  [184]byte
	length  uint8 // of packet; 0: none yet
	viewers []viewer
	union   messages.Mode // highest mode of the viewers, or of the last one while it lingers; none: nobody's
	until   time.Time     // of lingering; zero while there are viewers
}

// viewer is one client's subscription of an instrument.
type viewer struct {
	client *client
	mode   messages.Mode
	rising time.Time // until then only packets of mode are good; zero: any is
}

func newRelay(most int) *relay { return &relay{most: most, index: map[uint32]*instrument{}} }

// cut is the part of a packet that a mode shows: ltp the first 8 bytes, quote
// the first 44 (of an index 28 of 32), full all of it (Kite Connect v3,
// WebSocket streaming, "Binary market data").
func cut(packet []byte, mode messages.Mode) []byte {
	switch mode {
	case messages.ModeLTP:
		return packet[:min(len(packet), 8)]
	case messages.ModeQuote:
		if len(packet) == 32 {
			return packet[:28]
		}
		return packet[:min(len(packet), 44)]
	default:
		return packet
	}
}

// carried is the mode of a packet of that length.
func carried(length int) messages.Mode {
	switch length {
	case 8:
		return messages.ModeLTP
	case 28, 44:
		return messages.ModeQuote
	default:
		return messages.ModeFull
	}
}

// refused is what a command asked for beyond a limit.
type refused struct {
	socket   int      // instruments beyond the socket's own limit
	capacity int      // instruments beyond the gateway's
	upstream []uint32 // instruments that the feed does not stream, one of the reasons in why
	why      string
}

// apply carries out a client's command; unknown instruments are no error, as at
// Kite. The cached packet of each instrument follows at once.
func (r *relay) apply(c *client, cmd wire.Command, now time.Time) (no refused) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, token := range cmd.InstrumentTokens {
		if cmd.Action == wire.ActionUnsubscribe {
			r.drop(c, token, now)
			continue
		}
		_, had := c.modes[token]
		switch r.add(c, token, cmd, now) {
		case overSocket:
			no.socket++
		case overCapacity:
			no.capacity++
		case added:
			if why, is := r.refused[token]; is && !had {
				no.upstream, no.why = append(no.upstream, token), why
			}
		}
	}
	r.flush()
	return no
}

// refuse takes note of what the feed does not stream, and answers what is new
// of it, by the clients that asked for it.
func (r *relay) refuse(reasons map[uint32]string) map[*client]refused {
	r.mu.Lock()
	defer r.mu.Unlock()
	news := map[*client]refused{}
	for _, token := range slices.Sorted(maps.Keys(reasons)) {
		in := r.index[token]
		if _, known := r.refused[token]; known || in == nil {
			continue
		}
		for _, v := range in.viewers {
			no := news[v.client]
			no.upstream, no.why = append(no.upstream, token), reasons[token]
			news[v.client] = no
		}
	}
	r.refused = reasons
	return news
}

type addition uint8

const (
	added addition = iota
	overSocket
	overCapacity
)

func (r *relay) add(c *client, token uint32, cmd wire.Command, now time.Time) addition {
	in := r.index[token]
	_, has := c.modes[token]
	if !has && len(c.modes) >= mostInstruments {
		return overSocket
	}
	if (in == nil || in.union == messages.ModeNone) && r.wanted >= r.most && !r.evict() {
		return overCapacity
	}
	if in == nil {
		in = r.know(token)
	}
	mode := messages.ModeQuote
	if cmd.Action == wire.ActionMode {
		mode = cmd.Mode
	} else if has {
		mode = c.modes[token] // a second subscribe leaves the mode as it is
	}
	c.modes[token] = mode
	v := in.viewer(c)
	if v == nil {
		in.viewers = append(in.viewers, viewer{client: c})
		v = &in.viewers[len(in.viewers)-1]
	}
	v.mode, v.rising = mode, time.Time{}
	if in.length == 0 || carried(int(in.length)) < mode {
		v.rising = now.Add(riseWait)
	}
	in.until = time.Time{}
	r.unite(in)
	if in.length != 0 && v.rising.IsZero() {
		r.send(c, cut(in.packet[:in.length], mode), token)
	}
	return added
}

func (in *instrument) viewer(c *client) *viewer {
	for i := range in.viewers {
		if in.viewers[i].client == c {
			return &in.viewers[i]
		}
	}
	return nil
}

func (r *relay) drop(c *client, token uint32, now time.Time) {
	if _, has := c.modes[token]; !has {
		return
	}
	delete(c.modes, token)
	in := r.index[token]
	for i := range in.viewers {
		if in.viewers[i].client == c {
			in.viewers = append(in.viewers[:i], in.viewers[i+1:]...)
			break
		}
	}
	if len(in.viewers) == 0 {
		in.until = now.Add(linger) // the union stays as it is meanwhile
		return
	}
	r.unite(in)
}

// leave takes a client out that has gone.
func (r *relay) leave(c *client, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for token := range c.modes {
		r.drop(c, token, now)
	}
}

// know makes room for an instrument and keeps it.
func (r *relay) know(token uint32) *instrument {
	if len(r.index) >= mostKnown {
		for other, in := range r.index {
			if in.union == messages.ModeNone {
				delete(r.index, other)
				break
			}
		}
	}
	in := &instrument{token: token}
	r.index[token] = in
	return in
}

// evict gives up one instrument that only lingers, to make room.
func (r *relay) evict() bool {
	for _, in := range r.index {
		if in.union != messages.ModeNone && len(in.viewers) == 0 {
			r.unite(in)
			return true
		}
	}
	return false
}

// unite brings an instrument's part of the union up to date.
func (r *relay) unite(in *instrument) {
	union := messages.ModeNone
	for i := range in.viewers {
		union = max(union, in.viewers[i].mode)
	}
	if union == in.union {
		return
	}
	if in.union == messages.ModeNone {
		r.wanted++
	}
	if union == messages.ModeNone {
		r.wanted--
	}
	in.union, r.changed = union, true
}

// wants is the union of all clients when it has changed since the last call;
// what has lingered long enough is forgotten.
func (r *relay) wants(now time.Time) (wants []messages.Want, changed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, in := range r.index {
		if in.union != messages.ModeNone && len(in.viewers) == 0 && !now.Before(in.until) {
			r.unite(in)
		}
	}
	if !r.changed {
		return nil, false
	}
	r.changed = false
	return r.all(), true
}

// union is the union of all clients as it is now.
func (r *relay) union() []messages.Want {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.all()
}

func (r *relay) all() []messages.Want {
	wants := make([]messages.Want, 0, r.wanted)
	for token, in := range r.index {
		if in.union != messages.ModeNone {
			wants = append(wants, messages.Want{InstrumentToken: token, Mode: in.union})
		}
	}
	return wants
}

// take relays a batch.
func (r *relay) take(batch *messages.Ticks) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range batch.Ticks {
		t := &batch.Ticks[i]
		in := r.index[t.InstrumentToken]
		if in == nil {
			in = r.know(t.InstrumentToken)
		}
		packet := batch.Raw[t.Offset : t.Offset+uint32(t.Length)]
		for j := range in.viewers {
			r.show(in, &in.viewers[j], packet, batch.Received)
		}
		in.length = uint8(copy(in.packet[:], packet))
	}
	r.flush()
}

// show gives a viewer the packet in its mode: every packet in full, and in a
// lower mode than the packet's what has changed of it.
func (r *relay) show(in *instrument, v *viewer, packet []byte, now time.Time) {
	mode := carried(len(packet))
	if mode < v.mode && now.Before(v.rising) {
		return
	}
	view := cut(packet, v.mode)
	fresh := !v.rising.IsZero() || in.length == 0
	v.rising = time.Time{}
	if !fresh && mode > v.mode && bytes.Equal(view, cut(in.packet[:in.length], v.mode)) {
		return
	}
	r.send(v.client, view, in.token)
}

// settle gives clients whose wait for a higher mode is over what there is.
func (r *relay) settle(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, in := range r.index {
		for i := range in.viewers {
			v := &in.viewers[i]
			if v.rising.IsZero() || now.Before(v.rising) || in.length == 0 {
				continue
			}
			v.rising = time.Time{}
			r.send(v.client, cut(in.packet[:in.length], v.mode), in.token)
		}
	}
	r.flush()
}

// send adds a packet to the frame of this round.
func (r *relay) send(c *client, packet []byte, token uint32) {
	if !c.framing {
		c.framing = true
		r.open = append(r.open, c)
		c.out.lock()
	}
	c.out.packet(packet, token)
}

// flush ends the round.
func (r *relay) flush() {
	for i, c := range r.open {
		c.out.unlock()
		c.framing = false
		r.open[i] = nil
	}
	r.open = r.open[:0]
}

// resume gives a client that has caught up the newest packet of every
// instrument that was conflated meanwhile.
func (r *relay) resume(c *client) {
	r.mu.Lock()
	defer r.mu.Unlock()
	o := c.out
	o.lock()
	defer o.unlock()
	if len(o.buf) > 0 {
		return // older packets wait still
	}
	dirty := o.dirty
	o.dirty = map[uint32]struct{}{}
	for token := range dirty {
		mode, has := c.modes[token]
		if in := r.index[token]; has && in != nil && in.length != 0 {
			o.packet(cut(in.packet[:in.length], mode), token)
		}
	}
}

// capacity answers how many instruments all clients together want.
func (r *relay) capacity() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.wanted
}

// byMode counts a client's instruments.
func (r *relay) byMode(c *client) map[messages.Mode]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := map[messages.Mode]int{}
	for _, mode := range c.modes {
		n[mode]++
	}
	return n
}
