package gateway

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"kitestring/actors/actorstest"
	"kitestring/actors/gateway/clients"
	"kitestring/messages"
	"kitestring/messages/wire"
)

// What the official clients send that cannot run here, in their own bytes, and
// what would harm them: a Close frame ends the .NET client for good, a text
// without a type its receive loop; Java waits 5 s for the answer to a ping;
// PHP sends a mode without a subscription.
func TestTrapsOfOfficialClients(t *testing.T) {
	for _, c := range []struct {
		client string
		first  []string // commands of the first connection
		again  []string // of the one after it
		ping   string   // sent with the commands; "": none
		length int      // of the packets that it must get
	}{
		{
			client: "java", ping: "2.5 s",
			first:  []string{`{"v":[2818],"a":"subscribe"}`, `{"v":["full",[2818]],"a":"mode"}`},
			again:  []string{`{"v":[2818],"a":"subscribe"}`, `{"v":["full",[2818]],"a":"mode"}`},
			length: 184,
		},
		{
			client: "dotnet",
			first:  []string{`{"a":"subscribe","v":[2818]}`, `{"a":"mode","v":["full", [2818]]}`},
			again:  []string{`{"a":"unsubscribe","v":[2818]}`, `{"a":"subscribe","v":[2818]}`, `{"a":"mode","v":["full", [2818]]}`},
			length: 184,
		},
		{
			client: "php",
			first:  []string{`{"a":"mode","v":["quote",[2818]]}`},
			again:  []string{`{"a":"mode","v":["quote",[2818]]}`},
			length: 44,
		},
	} {
		t.Run(c.client, func(t *testing.T) {
			const token = 2818
			b := begin(t)
			key := b.add(c.client, clients.ScopeData)
			var conn *websocket.Conn
			price := uint32(0)
			// use connects, sends the commands, and reads until the client has what
			// it needs.
			use := func(commands []string) {
				t.Helper()
				conn = b.dial(key)
				var pongs []string
				conn.SetPongHandler(func(data string) error { pongs = append(pongs, data); return nil })
				conn.SetCloseHandler(func(code int, _ string) error { t.Errorf("a Close frame with %d", code); return nil })
				for _, command := range commands {
					if err := conn.WriteMessage(websocket.TextMessage, []byte(command)); err != nil {
						t.Fatal(err)
					}
				}
				var pings []string
				if c.ping != "" {
					pings = []string{c.ping}
					if err := conn.WriteControl(websocket.PingMessage, []byte(c.ping), time.Now().Add(5*time.Second)); err != nil {
						t.Fatal(err)
					}
				}
				actorstest.Until(t, "the commands are carried out", func() bool {
					s := b.board.Status()
					n := 0
					for _, of := range s.Clients[0].Instruments {
						n += of
					}
					return n == 1
				})
				price++
				b.Tell(batchOf(t, packetOf(token, messages.ModeFull, price, price)))
				texts, got := 0, false
				for !got || texts == 0 || !slices.Equal(pongs, pings) {
					if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
						t.Fatal(err)
					}
					kind, data, err := conn.ReadMessage()
					if err != nil {
						t.Fatalf("%d texts, packet %v, pongs %q: %v", texts, got, pongs, err)
					}
					if kind == websocket.TextMessage {
						var text struct {
							Type string
							Data *string
						}
						if err := json.Unmarshal(data, &text); err != nil || text.Type == "" || text.Data == nil {
							t.Errorf("a text of which a client makes nothing: %s (%v)", data, err)
						}
						texts++ // that there is no login yet
						continue
					}
					if wire.Heartbeat(data) {
						continue
					}
					ticks, err := new(wire.Decoder).Decode(data, nil)
					if err != nil || len(ticks) > framePacks {
						t.Fatalf("a frame of %d packets: %v", len(ticks), err)
					}
					for _, tick := range ticks {
						got = got || tick.InstrumentToken == token && int(tick.Length) == c.length && tick.LastPrice == int32(price)
					}
				}
			}
			use(c.first)
			// A client that unsubscribes at a reconnect leaves the instrument subscribed
			// upstream: nothing that it wants is missing at any time.
			actorstest.Await(b.Harness, func(m messages.WantInstruments) bool { return len(m.Wants) == 1 })
			if err := conn.NetConn().Close(); err != nil {
				t.Fatal(err)
			}
			actorstest.Until(t, "the socket is gone", func() bool { return b.board.Status().Clients[0].Sockets == 0 })
			use(c.again)
			if w := b.board.Status().Wanted; w != 1 {
				t.Errorf("%d instruments are wanted", w)
			}
			// The gateway ends: the connection does too, without a Close frame.
			b.Stop()
			for {
				if _, _, err := conn.ReadMessage(); err != nil {
					var closed *websocket.CloseError
					if errors.As(err, &closed) && closed.Code != websocket.CloseAbnormalClosure {
						t.Errorf("the connection ended with %v", err)
					}
					return
				}
			}
		})
	}
}
