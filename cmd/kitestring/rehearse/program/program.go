// Package program is a program behind the gateway, as drills and soaks run it:
// one WebSocket, and a count of what it lost, got again, and was refused.
//
// Promise: it counts by the sequence that the simulated exchange writes into the
// last quantity of each packet, so that a tick that is missing or repeated
// shows at the instrument's next one; and it measures when packets arrive
// against a socket that goes to the exchange directly. Limits: instruments
// without a last quantity (indices) are not counted.
package program

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"kitestring/messages"
	"kitestring/messages/wire"
)

// Program is one WebSocket that streams.
type Program struct {
	conn        *websocket.Conn
	arrivals    *Arrivals
	direct      bool
	done        chan struct{}
	stopReading atomic.Bool
	closed      atomic.Bool
	closeFrames atomic.Int64
	ticks       atomic.Int64
	silence     atomic.Int64 // nanoseconds: the longest between two frames with ticks
	text        atomic.Value // string: the newest error text

	mu       sync.Mutex
	last     map[uint32]uint32
	lost     int64
	repeated int64
}

// Options of a program.
type Options struct {
	Addr        string // host:port of a gateway or of the exchange
	APIKey      string
	AccessToken messages.Secret // the local key, or the exchange's access token
	Instruments []uint32        // streamed in full
	Arrivals    *Arrivals       // nil: nothing is measured
	Direct      bool            // to the exchange itself: what the others are measured against
}

// Start connects a program and subscribes. Close ends it.
func Start(ctx context.Context, o Options) (*Program, error) {
	p := &Program{arrivals: o.Arrivals, direct: o.Direct, done: make(chan struct{}), last: map[uint32]uint32{}}
	query := url.Values{"api_key": {o.APIKey}, "access_token": {o.AccessToken.Reveal()}}
	dialer := websocket.Dialer{HandshakeTimeout: 10 * time.Second, ReadBufferSize: 64 << 10}
	conn, resp, err := dialer.DialContext(ctx, "ws://"+o.Addr+"/?"+query.Encode(), nil)
	if resp != nil {
		_ = resp.Body.Close()
	}
	if err != nil {
		return nil, err
	}
	p.conn = conn
	conn.SetCloseHandler(func(int, string) error { p.closeFrames.Add(1); return nil })
	for part := range slices.Chunk(o.Instruments, 500) {
		cmd := wire.Command{Action: wire.ActionMode, Mode: messages.ModeFull, InstrumentTokens: part}
		if err := conn.WriteMessage(websocket.TextMessage, wire.AppendCommand(nil, cmd)); err != nil {
			_ = conn.Close()
			return nil, err
		}
	}
	go p.read()
	return p, nil
}

// Close ends the program.
func (p *Program) Close() {
	p.stopReading.Store(false)
	_ = p.conn.Close()
	<-p.done
}

// StopReading makes the program take nothing any more.
func (p *Program) StopReading() { p.stopReading.Store(true) }

// Closed reports whether its connection has ended.
func (p *Program) Closed() bool { return p.closed.Load() }

// CloseFrames counts the Close frames that came: there should be none.
func (p *Program) CloseFrames() int64 { return p.closeFrames.Load() }

// Ticks counts what came.
func (p *Program) Ticks() int64 { return p.ticks.Load() }

// ErrorText is the newest error text, "" for none.
func (p *Program) ErrorText() string {
	text, _ := p.text.Load().(string)
	return text
}

// LongestSilence is the longest time between two frames with ticks since the
// last call.
func (p *Program) LongestSilence() time.Duration { return time.Duration(p.silence.Swap(0)) }

// Missed answers how many ticks it lost and got more than once.
func (p *Program) Missed() (lost, repeated int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lost, p.repeated
}

func (p *Program) read() {
	defer close(p.done)
	defer p.closed.Store(true)
	var decoder wire.Decoder
	var ticks []messages.Tick
	var lastAt time.Time
	for {
		for p.stopReading.Load() {
			<-time.After(10 * time.Millisecond)
		}
		kind, frame, err := p.conn.ReadMessage()
		if err != nil {
			return
		}
		if kind != websocket.BinaryMessage {
			if strings.Contains(string(frame), `"type":"error"`) {
				p.text.Store(string(frame))
			}
			continue
		}
		at := time.Now()
		if ticks, err = decoder.Decode(frame, ticks[:0]); err != nil {
			continue
		}
		if len(ticks) > 0 {
			if !lastAt.IsZero() {
				p.silence.Store(max(p.silence.Load(), int64(at.Sub(lastAt))))
			}
			lastAt = at
		}
		p.count(ticks)
		if p.arrivals != nil {
			p.arrivals.take(ticks, at, p.direct)
		}
		p.ticks.Add(int64(len(ticks)))
	}
}

func (p *Program) count(ticks []messages.Tick) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range ticks {
		t := &ticks[i]
		if was, has := p.last[t.InstrumentToken]; has {
			switch {
			case t.LastQuantity == was:
				p.repeated++
			case t.LastQuantity > was+1:
				p.lost += int64(t.LastQuantity - was - 1)
			}
		}
		p.last[t.InstrumentToken] = t.LastQuantity
	}
}

// sampled is the share of packets whose arrival is kept: one in so many.
const sampled = 64

// mostArrivals bounds them; later ones are not kept.
const mostArrivals = 1 << 20

// Arrivals are the moments at which packets came, directly and through a
// gateway. Safe for concurrent use.
type Arrivals struct {
	mu     sync.Mutex
	direct map[uint64]time.Time
	via    []arrival
}

type arrival struct {
	packet uint64
	at     time.Time
}

func (a *Arrivals) take(ticks []messages.Tick, at time.Time, direct bool) {
	for i := range ticks {
		t := &ticks[i]
		if t.LastQuantity%sampled != t.InstrumentToken>>8%sampled {
			continue
		}
		packet := uint64(t.InstrumentToken)<<32 | uint64(t.LastQuantity)
		a.mu.Lock()
		switch {
		case !direct && len(a.via) < mostArrivals:
			a.via = append(a.via, arrival{packet, at})
		case direct && len(a.direct) < mostArrivals:
			if a.direct == nil {
				a.direct = map[uint64]time.Time{}
			}
			a.direct[packet] = at
		}
		a.mu.Unlock()
	}
}

// Added answers how much later packets came through the gateway than directly:
// the median and the 99th of a hundred, and of how many. Where both sockets are
// read by one busy machine a packet may come earlier; that counts as 0.
func (a *Arrivals) Added() (p50, p99 time.Duration, of int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var added []time.Duration
	for _, v := range a.via {
		if at, has := a.direct[v.packet]; has {
			added = append(added, max(0, v.at.Sub(at)))
		}
	}
	if len(added) == 0 {
		return 0, 0, 0
	}
	slices.Sort(added)
	return added[len(added)/2], added[len(added)*99/100], len(added)
}
