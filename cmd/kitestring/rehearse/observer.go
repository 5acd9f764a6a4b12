package rehearse

import (
	"net/url"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"kitestring/messages"
	"kitestring/messages/wire"
	"kitestring/supervisor/tree"
)

// observer is another client of the exchange, which takes one of the three
// slots: what it saw shows whether the server's figures are right.
type observer struct {
	conn *websocket.Conn
	done chan struct{}

	mu   sync.Mutex
	seen map[uint32][]messages.Tick
}

// observe subscribes to instruments in full mode until the end of the drill.
func (r *Rig) observe(token string, instruments []uint32) *observer {
	query := url.Values{"api_key": {tree.SimAPIKey}, "access_token": {token}}
	conn, _, err := websocket.DefaultDialer.DialContext(r.ctx, "ws://"+r.sim+"/?"+query.Encode(), nil)
	if err != nil {
		failf("the observer's socket: %w", err)
	}
	o := &observer{conn: conn, done: make(chan struct{}), seen: map[uint32][]messages.Tick{}}
	check(conn.WriteMessage(websocket.TextMessage, wire.AppendCommand(nil, wire.Command{Action: wire.ActionMode, Mode: messages.ModeFull, InstrumentTokens: instruments})))
	go o.read()
	r.cleanup(func() {
		_ = o.conn.Close()
		<-o.done
	})
	return o
}

func (o *observer) read() {
	defer close(o.done)
	var decoder wire.Decoder
	for {
		kind, frame, err := o.conn.ReadMessage()
		if err != nil {
			return
		}
		if kind != websocket.BinaryMessage {
			continue
		}
		ticks, err := decoder.Decode(frame, nil)
		if err != nil {
			continue
		}
		o.mu.Lock()
		for _, tick := range ticks {
			o.seen[tick.InstrumentToken] = append(o.seen[tick.InstrumentToken], tick)
		}
		o.mu.Unlock()
	}
}

// instruments is how many it has seen a tick of.
func (o *observer) instruments() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.seen)
}

// at are the ticks of an instrument in a second of exchange time.
func (o *observer) at(instrument uint32, second time.Time) (found []messages.Tick) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, tick := range o.seen[instrument] {
		if int64(tick.ExchangeTime) == second.Unix() {
			found = append(found, tick)
		}
	}
	return found
}

// proves reports whether a gap begins and ends with ticks that were sent, and
// whether the volume between them is the gap's.
func proves(before, after *observer, g messages.Gap) bool {
	for _, from := range before.at(g.InstrumentToken, g.From) {
		for _, to := range after.at(g.InstrumentToken, g.To) {
			if int64(to.Volume)-int64(from.Volume) == g.VolumeWhile {
				return true
			}
		}
	}
	return false
}
