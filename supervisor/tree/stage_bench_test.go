package tree

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"

	"kitestring/actors"
	"kitestring/actors/actorstest"
	"kitestring/actors/feed"
	"kitestring/actors/kite"
	"kitestring/messages"
	"kitestring/messages/wire"
	"kitestring/supervisor"
)

// What the benchmarks stand on: a sender with a WebSocket, and a real tree of
// the real feed and subscribers made of functions, wired as tree.go does.

func benchTokens(n int) (tokens []uint32) {
	for i := range n {
		tokens = append(tokens, uint32(i+1)<<8|uint32(messages.NFO))
	}
	return tokens
}

// The places of some fields in a full packet.
const (
	atToken    = 0
	atPrice    = 4
	atQuantity = 8
	atVolume   = 16
	atBuy      = 20
	atExchange = 60
)

// wireFrame is a WebSocket message of full packets, made by hand: the sender
// shares our cores.
type wireFrame struct {
	bytes []byte
	n     int
}

const (
	wireHeader = 10
	wireStride = 2 + 184
)

func newWireFrame(tokens []uint32) wireFrame {
	var packets [][]byte
	for _, token := range tokens {
		packets = append(packets, wire.AppendPacket(nil, &wire.Packet{Tick: messages.Tick{
			InstrumentToken: token, SellQuantity: 4, OI: 7, ExchangeTime: 1_700_000_000,
		}}, messages.ModeFull))
	}
	frame := wire.AppendFrame(nil, packets...)
	head := binary.BigEndian.AppendUint64([]byte{0x82, 127}, uint64(len(frame)))
	return wireFrame{append(head, frame...), len(tokens)}
}

func (f wireFrame) set(packet, field int, v uint32) {
	binary.BigEndian.PutUint32(f.bytes[wireHeader+2+packet*wireStride+2+field:], v)
}

// sender is an exchange with one thing to say: begin has it say it so many
// times.
type sender struct {
	server *httptest.Server
	begin  chan int
}

func newSender(b *testing.B, send func(conn net.Conn, count int) error) *sender {
	s := &sender{begin: make(chan int)}
	s.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer conn.Close()
		_ = conn.WriteMessage(websocket.BinaryMessage, wire.HeartbeatFrame())
		for count := range s.begin {
			if send(conn.NetConn(), count) != nil {
				return
			}
		}
	}))
	b.Cleanup(func() {
		close(s.begin)
		s.server.Close()
	})
	return s
}

func (s *sender) url() string { return "ws" + strings.TrimPrefix(s.server.URL, "http") }

// stage is a server with a feed and some subscribers that streams.
type stage struct {
	*sender
	server *Server
	stop   func()
}

func newStage(b *testing.B, instruments []uint32, mailbox int, send func(net.Conn, int) error, subscribers []func(actors.Self, any)) *stage {
	st := &stage{sender: newSender(b, send)}
	registry := prometheus.NewRegistry()
	server := &Server{
		cfg: Config{Reloadable: Reloadable{MailboxTicks: mailbox}}, feed: feed.NewStore(),
		tree: supervisor.New(supervisor.Options{Registerer: registry}),
	}
	tokens := actorstest.NewTokens()
	tokens.WriteAdopted(actorstest.Session(1))
	var analyses []supervisor.Spec
	for i, on := range subscribers {
		analyses = append(analyses, server.subscriber(supervisor.Spec{Name: fmt.Sprint("s", i), Produce: listener(on)}))
	}
	root := supervisor.Spec{Name: "root", Children: []supervisor.Spec{
		{Name: "analysis", Children: analyses},
		{Name: "auth", Produce: listener(func(actors.Self, any) {})},
		{Name: "feed", Produce: feed.New(feed.Config{
			Exchange: kite.Exchange{WSURL: st.url()}, Tokens: tokens, Clock: wallClock{}, State: server.feed,
			Auth: pidAuth, Metrics: feed.NewMetrics(registry, server.feed),
		})},
	}}
	if err := server.tree.Start(b.Context(), root); err != nil {
		b.Fatal(err)
	}
	wanted := messages.WantInstruments{Owner: "bench"}
	for _, token := range instruments {
		wanted.Wants = append(wanted.Wants, messages.Want{InstrumentToken: token, Mode: messages.ModeFull})
	}
	server.tree.Engine().Send(pidFeed, wanted)
	for s := server.feed.Stats(); s.State != messages.Streaming || s.Instruments != len(instruments); s = server.feed.Stats() {
		runtime.Gosched()
	}
	st.server = server
	st.stop = func() {
		if err := server.tree.Stop(b.Context()); err != nil {
			b.Error(err)
		}
	}
	return st
}

// listener is an actor made of a function.
func listener(on func(actors.Self, any)) actors.Producer {
	return func(self actors.Self) actors.Actor { return receiver(func(msg any) { on(self, msg) }) }
}

type receiver func(msg any)

// Receive implements actors.Actor.
func (r receiver) Receive(msg any) { r(msg) }
