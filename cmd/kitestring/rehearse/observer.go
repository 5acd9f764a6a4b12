package rehearse

import (
	"fmt"
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
	return r.observeAt(r.sim, tree.SimAPIKey, token, instruments)
}

// observeAt does so at the exchange, or at the gateway with a client's key.
func (r *Rig) observeAt(addr, apiKey, token string, instruments []uint32) *observer {
	query := url.Values{"api_key": {apiKey}, "access_token": {token}}
	conn, _, err := websocket.DefaultDialer.DialContext(r.ctx, "ws://"+addr+"/?"+query.Encode(), nil)
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

// inOrder demands that no tick came repeated or after a newer one, and that no volume
// fell; it returns the newest number of each instrument by the exchange's sequence.
// One number with more volume is no repetition: a moved clock trades what lies between
// without a tick, and the packet that was due is sent with that volume. Numbers that
// differ in the depth alone, within one second, can be put in order by nothing that Kite sends.
func (o *observer) inOrder() map[uint32]int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	newest := map[uint32]int64{}
	for instrument, all := range o.seen {
		for i, tick := range all[1:] {
			before := all[i]
			sameAge := tick.ExchangeTime == before.ExchangeTime && tick.Volume == before.Volume
			repeated := tick.LastQuantity == before.LastQuantity && tick.Volume == before.Volume
			older := tick.LastQuantity < before.LastQuantity && !sameAge || tick.Volume < before.Volume
			if repeated || older {
				failf("instrument %d: after number %d, volume %d came number %d, volume %d", instrument, before.LastQuantity, before.Volume, tick.LastQuantity, tick.Volume)
			}
		}
		for _, tick := range all {
			newest[instrument] = max(newest[instrument], int64(tick.LastQuantity))
		}
	}
	return newest
}

// observeAll observes every instrument that trades, until the server and the
// observer know what came last of each.
func (r *Rig) observeAll() (o *observer, watched []uint32) {
	watched = r.traded()
	o = r.observe(r.fileToken(), watched)
	r.ticked()
	r.within(30*time.Second, "the observer has seen every instrument", func() (bool, any) {
		n := o.instruments()
		return n == len(watched), fmt.Sprintf("%d of %d", n, len(watched))
	})
	return o, watched
}

// gapsExact demands one gap of each instrument since a moment, with the times
// and the volume that observers saw before and after it.
func (r *Rig) gapsExact(since time.Time, watched []uint32, before, after *observer) {
	var gaps map[uint32]messages.Gap
	r.within(30*time.Second, "every instrument that traded has its gap", func() (bool, any) {
		gaps = r.gapsSince(since)
		return len(gaps) == len(watched), fmt.Sprintf("%d of %d", len(gaps), len(watched))
	})
	volume := int64(0)
	for _, gap := range gaps {
		if gap.BlindSeconds != gap.To.Sub(gap.From).Seconds() {
			failf("%v blind seconds: %+v", gap.BlindSeconds, gap)
		}
		// The observer may read the same frames later than the server.
		r.within(10*time.Second, "the gap is what was sent", func() (bool, any) {
			return proves(before, after, gap), fmt.Sprintf("%+v: before %+v, after %+v", gap, before.at(gap.InstrumentToken, gap.From), after.at(gap.InstrumentToken, gap.To))
		})
		volume += gap.VolumeWhile
	}
	r.note("%d gaps exact, volume %d in the gap", len(gaps), volume)
}

// traded are the futures and options of today, each after its first tick.
func (r *Rig) traded() (instruments []uint32) {
	r.ticked() // before, there may be no chains yet
	for _, u := range r.underlyings() {
		instruments = append(instruments, u.Future.Token)
		if u.Next != nil {
			instruments = append(instruments, u.Next.Token)
		}
		for _, in := range u.Chain {
			instruments = append(instruments, in.Token)
		}
	}
	return instruments
}
