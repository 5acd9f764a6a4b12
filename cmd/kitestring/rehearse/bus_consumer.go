package rehearse

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"kitestring/messages"
	"kitestring/messages/wire"
)

// natsServer is a NATS server of the drill, which comes and goes at one address.
type natsServer struct {
	addr    string
	storage string // of its JetStream; "": it has none
	running *server.Server
}

// newNATS is a server that has not been started. options: -js FOLDER.
func (r *Rig) newNATS(options ...string) *natsServer {
	r.nats = &natsServer{addr: freeAddr()}
	if len(options) == 2 && options[0] == "-js" {
		r.nats.storage = options[1]
	}
	r.cleanup(r.nats.stop)
	return r.nats
}

func (n *natsServer) url() string { return "nats://" + n.addr }

func (n *natsServer) start() {
	host, port, _ := net.SplitHostPort(n.addr)
	s := must(server.NewServer(&server.Options{
		Host: host, Port: must(strconv.Atoi(port)), NoSigs: true, NoLog: true, JetStream: n.storage != "", StoreDir: n.storage,
	}))
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		failf("the NATS server of the drill does not listen on %s", n.addr)
	}
	n.running = s
}

func (n *natsServer) stop() {
	if n.running != nil {
		n.running.Shutdown()
		n.running.WaitForShutdown()
		n.running = nil
	}
}

// relay passes bytes on between a server and the bus, until it does so slowly, as
// a line that has too little room, or stands still, which looks to either side
// like a machine that has stopped.
type relay struct {
	addr string
	mu   sync.Mutex
	gate *sync.Cond
	cold bool
	slow atomic.Bool
}

// trickle is what a slow relay passes on in a second.
const trickle = 800 << 10

func (r *Rig) newRelay(to string) *relay {
	l := must(net.Listen("tcp", "127.0.0.1:0"))
	y := &relay{addr: l.Addr().String()}
	y.gate = sync.NewCond(&y.mu)
	var serving sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	pass := func(from, into net.Conn) {
		defer from.Close()
		defer into.Close()
		buf, last := make([]byte, 256<<10), time.Now()
		for {
			y.mu.Lock()
			for y.cold {
				y.gate.Wait()
			}
			y.mu.Unlock()
			room := buf
			if y.slow.Load() {
				<-time.After(10 * time.Millisecond)
				room = buf[:min(len(buf), int(trickle*time.Since(last).Seconds()))]
			}
			last = time.Now()
			n, err := from.Read(room)
			if err != nil {
				return
			}
			if _, err := into.Write(buf[:n]); err != nil {
				return
			}
		}
	}
	serving.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			_ = near.(*net.TCPConn).SetReadBuffer(64 << 10) // what a connection that has ended still holds comes late
			far, err := net.Dial("tcp", to)
			if err != nil {
				_ = near.Close()
				continue
			}
			mu.Lock()
			conns = append(conns, near, far)
			mu.Unlock()
			serving.Go(func() { pass(near, far) })
			serving.Go(func() { pass(far, near) })
		}
	})
	r.cleanup(func() {
		_ = l.Close()
		y.thaw()
		mu.Lock()
		for _, c := range conns {
			_ = c.Close()
		}
		mu.Unlock()
		serving.Wait()
	})
	return y
}

func (y *relay) freeze() {
	y.mu.Lock()
	y.cold = true
	y.mu.Unlock()
}

func (y *relay) thaw() {
	y.mu.Lock()
	y.cold = false
	y.mu.Unlock()
	y.gate.Broadcast()
}

// consumer takes frames off the bus and counts what is missing, by the bus'
// sequence and by that of the exchange.
type consumer struct {
	conn *nats.Conn

	mu              sync.Mutex
	n               int
	messages, bytes int64
	last            map[string]place // of each subject and epoch
	gaps            []hole
	seen            map[uint32][]uint32 // numbers of each instrument's ticks, as they came
	newest          int64               // epoch
	all             []int64             // epochs, as they came
	stale           int                 // messages of an epoch before the newest
	leaked          string              // subject of a message with a secret in it; "": none
	looked          int                 // messages that were looked through for one
}

// place is where a subject has come to.
type place struct{ sequence, received int64 }

// hole is what the bus lost of a subject.
type hole struct {
	shard  int
	after  place
	before place
}

func newConsumer() *consumer {
	return &consumer{last: map[string]place{}, seen: map[uint32][]uint32{}}
}

// consumer starts one on a bus.
func (r *Rig) consumer(url string) *consumer {
	c := newConsumer()
	closed := make(chan struct{})
	c.conn = must(nats.Connect(url, nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond), nats.ClosedHandler(func(*nats.Conn) { close(closed) })))
	r.cleanup(func() {
		c.conn.Close()
		<-closed
	})
	sub := must(c.conn.Subscribe("ks.sim.md.frame.*", c.take))
	check(sub.SetPendingLimits(-1, -1)) // holes are those of the bus
	must(c.conn.Subscribe(">", func(m *nats.Msg) {
		text := fmt.Sprint(m.Subject, m.Header) + string(m.Data)
		r.mu.Lock()
		secrets := append(slices.Clone(r.secrets), simSecret)
		r.mu.Unlock()
		c.mu.Lock()
		defer c.mu.Unlock()
		c.looked++
		if slices.ContainsFunc(secrets, func(s string) bool { return strings.Contains(text, s) }) {
			c.leaked = m.Subject
		}
	}))
	r.within(10*time.Second, "the consumer is connected", func() (bool, any) { return c.conn.Flush() == nil, c.conn.Status() })
	return c
}

func busHeader(m *nats.Msg, name string) int64 {
	n, err := strconv.ParseInt(m.Header.Get(name), 10, 64)
	if err != nil {
		return -1
	}
	return n
}

func (c *consumer) take(m *nats.Msg) {
	c.mu.Lock()
	defer c.mu.Unlock()
	epoch, now := busHeader(m, "Ks-Epoch"), place{busHeader(m, "Ks-Sequence"), busHeader(m, "Ks-Received")}
	if epoch < c.newest {
		c.stale++
	}
	if c.newest < epoch {
		c.newest = epoch
		c.all = append(c.all, epoch)
	}
	key := fmt.Sprint(m.Subject, epoch)
	if before, known := c.last[key]; known && now.sequence != before.sequence+1 {
		c.gaps = append(c.gaps, hole{int(m.Subject[len(m.Subject)-1] - '0'), before, now})
	}
	c.last[key] = now
	c.messages, c.bytes = c.messages+1, c.bytes+int64(len(m.Data))
	c.n += c.count(m.Data)
}

// count keeps the numbers of a message's ticks.
func (c *consumer) count(frame []byte) int {
	var decoder wire.Decoder
	ticks, err := decoder.Decode(frame, nil)
	if err != nil {
		return 0
	}
	for _, t := range ticks {
		if messages.SegmentOf(t.InstrumentToken) != messages.Indices {
			c.seen[t.InstrumentToken] = append(c.seen[t.InstrumentToken], t.LastQuantity)
		}
	}
	return len(ticks)
}

func (c *consumer) ticks() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

func (c *consumer) gets(r *Rig, ticks int) {
	r.within(20*time.Second, fmt.Sprintf("the consumer has %d ticks", ticks), func() (bool, any) { return c.ticks() >= ticks, c.ticks() })
}

// newestSequence is of the subject that has come furthest.
func (c *consumer) newestSequence() (n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, at := range c.last {
		n = max(n, at.sequence)
	}
	return n
}

func (c *consumer) holes() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.gaps)
}

// lastBeforeHole is the newest message before the first hole.
func (c *consumer) lastBeforeHole() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.gaps[0].after.sequence
}

// bytesEach is the mean length of a message.
func (c *consumer) bytesEach() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bytes / max(1, c.messages)
}

func (c *consumer) staleFrames() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stale
}

func (c *consumer) epochs() []int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.all)
}

// repeatedTicks counts ticks that came over the bus again, or after a newer one.
func (c *consumer) repeatedTicks() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, numbers := range c.seen {
		for i := 1; i < len(numbers); i++ {
			if numbers[i] <= numbers[i-1] {
				n++
			}
		}
	}
	return n
}

// whole demands that the bus gave nothing again, and that with what the recording
// has of the holes no tick is missing.
func (c *consumer) whole(r *Rig) {
	if again := c.repeatedTicks(); again != 0 {
		failf("%d ticks came over the bus again", again)
	}
	c.mu.Lock()
	gaps, leaked := slices.Clone(c.gaps), c.leaked
	c.mu.Unlock()
	if leaked != "" {
		failf("a secret is in a message of %s", leaked)
	}
	if len(gaps) > 0 {
		r.pause(time.Second) // until the recording has it
	}
	for _, g := range gaps {
		r.recorded(g.after.received, g.before.received, g.shard, func(frame []byte) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.count(frame)
		})
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	missing, of := 0, 0
	for _, numbers := range c.seen {
		sorted := slices.Compact(slices.Sorted(slices.Values(numbers)))
		of += len(sorted)
		missing += int(sorted[len(sorted)-1]-sorted[0]) + 1 - len(sorted)
	}
	if missing != 0 || of == 0 {
		failf("%d of %d ticks are neither from the bus nor in the recording", missing, of)
	}
}

// recorded asks the server for what the recording has of a span, as a consumer
// does.
func (r *Rig) recorded(from, to int64, shard int, each func(frame []byte)) {
	query := url.Values{"from": {strconv.FormatInt(from, 10)}, "to": {strconv.FormatInt(to, 10)}, "shard": {strconv.Itoa(shard)}}
	for rest := r.call(http.MethodGet, r.web, "/api/v1/recorded?"+query.Encode(), nil); len(rest) > 0; {
		length := int(binary.BigEndian.Uint32(rest[12:]))
		each(rest[16 : 16+length])
		rest = rest[16+length:]
	}
}

// rawConsumer speaks to the bus without a client library, which would read on
// whatever its program does.
type rawConsumer struct {
	conn  net.Conn
	lines *bufio.Reader
	into  *consumer
}

// rawConsumer connects one, which counts into a consumer.
func (r *Rig) rawConsumer(addr string, into *consumer) *rawConsumer {
	conn := must(net.Dial("tcp", addr))
	r.cleanup(func() { _ = conn.Close() })
	check(conn.(*net.TCPConn).SetReadBuffer(32 << 10))
	c := &rawConsumer{conn: conn, lines: bufio.NewReaderSize(conn, 4<<10), into: into}
	must(c.lines.ReadString('\n')) // INFO
	must(conn.Write([]byte("CONNECT {\"verbose\":false,\"headers\":true}\r\nSUB ks.sim.md.frame.0 1\r\n")))
	return c
}

// reads takes so many messages.
func (c *rawConsumer) reads(messages int) {
	for range messages {
		if _, err := c.message(); err != nil {
			failf("the consumer's connection: %w", err)
		}
	}
}

// read takes messages of so many bytes.
func (c *rawConsumer) read(bytes int) {
	for bytes > 0 {
		n, err := c.message()
		if err != nil {
			return
		}
		bytes -= n
	}
}

// rest takes what was sent before the connection was cut off.
func (c *rawConsumer) rest() {
	for {
		if _, err := c.message(); err != nil {
			return
		}
	}
}

// message takes one, and says how long it is.
func (c *rawConsumer) message() (int, error) {
	for {
		line, err := c.lines.ReadString('\n')
		if err != nil {
			return 0, err
		}
		words := strings.Fields(line)
		if len(words) < 5 || words[0] != "HMSG" {
			if strings.HasPrefix(line, "PING") {
				_, _ = c.conn.Write([]byte("PONG\r\n"))
			}
			if strings.HasPrefix(line, "-ERR") {
				return 0, fmt.Errorf("the bus says %s", line)
			}
			continue
		}
		data := make([]byte, must(strconv.Atoi(words[4]))+2)
		if _, err := io.ReadFull(c.lines, data); err != nil {
			return 0, err
		}
		headers := must(strconv.Atoi(words[3]))
		m := nats.Msg{Subject: words[1], Header: nats.Header{}, Data: data[headers : len(data)-2]}
		for line := range strings.SplitSeq(string(data[:headers]), "\r\n") {
			if name, value, ok := strings.Cut(line, ": "); ok {
				m.Header.Set(name, value)
			}
		}
		c.into.take(&m)
		return len(data), nil
	}
}
