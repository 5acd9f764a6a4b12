package bus

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"kitestring/actors/actorstest"
	"kitestring/messages"
	"kitestring/messages/wire"
)

func TestMain(m *testing.M) {
	if args := os.Getenv(benchConsumers); args != "" {
		if err := consumeForBench(args); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	actorstest.Main(m)
}

type clock struct{}

func (clock) Now() time.Time { return time.Now() }

const nifty, infy = 256265, 408065

// batch is ticks of two instruments as the feed hands them out.
func batch(shard int, n uint32) *messages.Ticks {
	b := messages.NewTicks(nil)
	b.Shard, b.Received = shard, time.Now()
	b.Raw = append(b.Raw, 0, 2) // the packets lie in the message that brought them
	for _, token := range []uint32{nifty, infy} {
		packet := wire.AppendPacket(nil, &wire.Packet{Tick: messages.Tick{InstrumentToken: token, LastPrice: int32(n), LastQuantity: n}}, messages.ModeFull)
		var tick messages.Tick
		wire.DecodePacket(packet, &tick)
		tick.Offset, tick.Length = uint32(len(b.Raw)), uint8(len(packet))
		b.Raw = append(b.Raw, packet...)
		b.Ticks = append(b.Ticks, tick)
	}
	b.Retain(1)
	return b
}

func (s *Store) pushed(shard int, n uint32) {
	b := batch(shard, n)
	s.Push(b)
	b.Release()
}

func started(t *testing.T, cfg Config, store StoreConfig) (*Store, *actorstest.Harness) {
	t.Helper()
	store.Clock, store.Env, store.Where = clock{}, "sim", cfg.URL
	if store.Server == "" {
		store.Server = "a"
	}
	s := NewStore(store)
	cfg.Store = s
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:0"
	}
	h := actorstest.Start(t, Name, New(cfg))
	t.Cleanup(func() {
		h.Stop()
		if err := h.Err(); err != nil {
			t.Error(err)
		}
		_ = s.Close()
	})
	return s, h
}

func (s *Store) is(t *testing.T, want State) {
	t.Helper()
	actorstest.Until(t, "the state of the bus", func() bool { return s.Status().State == want })
}

// consumer keeps what it gets.
type consumer struct {
	conn *nats.Conn
	mu   sync.Mutex
	got  []*nats.Msg
}

func consume(t *testing.T, url string, options ...nats.Option) *consumer {
	t.Helper()
	c := &consumer{}
	closed := make(chan struct{})
	conn, err := nats.Connect(url, append(options, nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond), nats.ClosedHandler(func(*nats.Conn) { close(closed) }))...)
	if err != nil {
		t.Fatal(err)
	}
	c.conn = conn
	t.Cleanup(func() {
		conn.Close()
		<-closed
	})
	if _, err := conn.Subscribe("ks.>", func(m *nats.Msg) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.got = append(c.got, m)
	}); err != nil {
		t.Fatal(err)
	}
	actorstest.Until(t, "the consumer is connected", func() bool { return conn.Flush() == nil })
	return c
}

func (c *consumer) of(subject string) (list []*nats.Msg) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.got {
		if m.Subject == subject {
			list = append(list, m)
		}
	}
	return list
}

func (c *consumer) await(t *testing.T, subject string, n int) []*nats.Msg {
	t.Helper()
	actorstest.Until(t, "enough messages", func() bool { return len(c.of(subject)) >= n })
	return c.of(subject)
}

func sequences(list []*nats.Msg) string {
	var all []string
	for _, m := range list {
		all = append(all, m.Header.Get(HeaderSequence))
	}
	return strings.Join(all, " ")
}

// TestWhatIsPublished: frames are Kite's packets in Kite's form, each subject has
// a sequence of its own, and a consumer may only read.
func TestWhatIsPublished(t *testing.T) {
	s, h := started(t, Config{URL: Embedded}, StoreConfig{Ticks: []uint32{infy}})
	s.is(t, Publishing)
	c := consume(t, "nats://"+s.Status().Addr)
	before := time.Now()
	for n := range uint32(3) {
		s.pushed(1, n+7)
	}
	frames := c.await(t, "ks.sim.md.frame.1", 3)
	if got := sequences(frames); got != "1 2 3" {
		t.Errorf("sequences %s", got)
	}
	var decoder wire.Decoder
	ticks, err := decoder.Decode(frames[2].Data, nil)
	if err != nil || len(ticks) != 2 || ticks[0].InstrumentToken != nifty || ticks[1].LastPrice != 9 {
		t.Errorf("the third frame: %+v, %v", ticks, err)
	}
	m := frames[0]
	received, _ := strconv.ParseInt(m.Header.Get(HeaderReceived), 10, 64)
	if m.Header.Get(HeaderSchema) != "1" || m.Header.Get(HeaderServer) != "a" || m.Header.Get(HeaderEpoch) != strconv.FormatInt(s.Status().Epoch, 10) ||
		time.Unix(0, received).Before(before) || time.Since(time.Unix(0, received)) < 0 {
		t.Errorf("headers %v", m.Header)
	}
	packets := c.await(t, "ks.sim.md.tick.NSE.408065", 3)
	var tick messages.Tick
	if !wire.DecodePacket(packets[1].Data, &tick) || tick.LastPrice != 8 || sequences(packets) != "1 2 3" {
		t.Errorf("packets of one instrument: %+v, %s", tick, sequences(packets))
	}
	if got := c.of("ks.sim.md.tick.INDICES.256265"); len(got) != 0 {
		t.Errorf("%d packets of an instrument that nobody asked for", len(got))
	}

	h.Tell(messages.BarClosed{Bar: messages.Bar{Underlying: "NIFTY", Source: messages.FromFuture, Interval: 5 * time.Minute, Open: 100, Close: 250, Divisor: 100}})
	h.Tell(messages.BarUpdated{})
	h.Tell(messages.Reading{Kind: "pcr", Underlying: "M&M.X", Signal: "bullish"})
	h.Tell(messages.GapDetected{Reason: messages.GapReconnect})
	h.Tell(messages.RotationRecorded{Rotation: messages.Rotation{Generation: 4}})
	h.Tell(messages.PhaseChanged{Phase: messages.Open})
	for subject, says := range map[string]string{
		"ks.sim.bar.5m.future.NIFTY": `"close":2.5`, "ks.sim.sig.pcr.M&M_X": `"signal":"bullish"`, "ks.sim.evt.gap": `"reason":"reconnect"`,
		"ks.sim.evt.rotation": `"generation":4`, "ks.sim.evt.phase": `"phase":"open"`,
	} {
		m := c.await(t, subject, 1)[0]
		if !json.Valid(m.Data) || !strings.Contains(string(m.Data), says) || m.Header.Get(HeaderSequence) != "1" {
			t.Errorf("%s: %s %v", subject, m.Data, m.Header)
		}
	}

	refused := make(chan error, 1)
	c.conn.SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refused <- err })
	if err := c.conn.Publish("ks.sim.md.frame.1", []byte("false")); err != nil {
		t.Fatal(err)
	}
	if err := <-refused; !strings.Contains(strings.ToLower(err.Error()), "permissions violation") {
		t.Errorf("a consumer that publishes: %v", err)
	}
	st := s.Status()
	if st.Published["frame"] != 3 || st.Published["tick"] != 3 || st.Published["evt"] != 3 || st.Consumers != 1 || st.Queue != 0 {
		t.Errorf("status %+v", st)
	}
}

// TestFullQueueCountsAndLeavesAHole: what finds no room is counted, the feed does
// not wait, and a later frame shows by its number what is missing, also of one
// instrument.
func TestFullQueueCountsAndLeavesAHole(t *testing.T) {
	s := NewStore(StoreConfig{Clock: clock{}, Env: "sim", All: true})
	s.begin(time.Now())
	for n := range uint32(queueItems + 5) {
		s.pushed(0, n)
	}
	if lost := s.Status().Lost["queue_full"]; lost != 5*3 { // each frame, and two messages for its ticks
		t.Errorf("%d lost", lost)
	}
	first := <-s.queue
	s.done(first)
	s.pushed(0, 0)
	var last item
	for len(s.queue) > 0 {
		last = <-s.queue
		s.done(last)
	}
	if first.sequence != 1 || last.sequence != queueItems+6 || last.numbers[1] != queueItems+6 {
		t.Errorf("numbers %d, then %d and %v", first.sequence, last.sequence, last.numbers)
	}
	if n := s.Status().Queue; n != 0 {
		t.Errorf("%d ticks wait in an empty queue", n)
	}
	big := batch(0, 1)
	big.Ticks = make([]messages.Tick, queueTicks+1)
	s.Push(big)
	if s.Status().Queue != 0 || s.Status().Lost["queue_full"] == 15 {
		t.Errorf("more ticks than may wait: %+v", s.Status())
	}
}

// natsServer builds the pinned nats-server, once.
var natsServer = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "nats-server")
	if err != nil {
		return "", err
	}
	program := filepath.Join(dir, "nats-server")
	out, err := exec.CommandContext(context.Background(), "go", "build", "-o", program, "github.com/nats-io/nats-server/v2").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build of nats-server: %w: %s", err, out)
	}
	return program, nil
})

// process is a NATS server of its own.
type process struct {
	t    *testing.T
	addr string
	args []string
	cmd  *exec.Cmd
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// outside is one that has not been started yet.
func outside(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{t: t, addr: freeAddr(t), args: args}
	t.Cleanup(p.kill)
	return p
}

func (p *process) url() string { return "nats://" + p.addr }

func (p *process) start() {
	p.t.Helper()
	program, err := natsServer()
	if err != nil {
		p.t.Fatal(err)
	}
	host, port, _ := net.SplitHostPort(p.addr)
	p.cmd = exec.CommandContext(context.Background(), program, append([]string{"-a", host, "-p", port}, p.args...)...)
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	actorstest.Until(p.t, "the server listens", func() bool {
		conn, err := net.Dial("tcp", p.addr)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
}

func (p *process) kill() {
	if p.cmd != nil {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
		p.cmd = nil
	}
}

// TestBusThatIsDown: at the start and in the middle; what comes meanwhile is
// counted, nobody waits, and a consumer sees the hole.
func TestBusThatIsDown(t *testing.T) {
	bus := outside(t)
	s, _ := started(t, Config{URL: bus.url()}, StoreConfig{})
	actorstest.Until(t, "the publisher runs", s.takes.Load)
	s.pushed(0, 1)
	actorstest.Until(t, "the loss is counted", func() bool { return s.Status().Lost["down"] == 1 })
	actorstest.Until(t, "the reason is known", func() bool { return strings.Contains(s.Status().Reason, "connection refused") })
	if st := s.Status(); st.State != Connecting || !strings.Contains(st.Reason, "start it") {
		t.Errorf("status %+v", st)
	}
	bus.start()
	s.is(t, Publishing)
	c := consume(t, bus.url())
	s.pushed(0, 2)
	c.await(t, "ks.sim.md.frame.0", 1)
	bus.kill()
	s.is(t, Connecting)
	s.pushed(0, 3)
	actorstest.Until(t, "the second loss is counted", func() bool { return s.Status().Lost["down"] == 2 })
	bus.start()
	s.is(t, Publishing)
	actorstest.Until(t, "the consumer is connected again", func() bool { return c.conn.Flush() == nil })
	s.pushed(0, 4)
	if got := sequences(c.await(t, "ks.sim.md.frame.0", 2)); got != "2 4" {
		t.Errorf("sequences %s", got)
	}
}

// TestBusThatStandsStill: a server that takes nothing holds up nobody but the
// publisher.
func TestBusThatStandsStill(t *testing.T) {
	bus := outside(t)
	bus.start()
	s, h := started(t, Config{URL: bus.url()}, StoreConfig{})
	s.is(t, Publishing)
	if err := bus.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	big := batch(0, 1)
	for len(big.Ticks) < 512 {
		big.Ticks = append(big.Ticks, big.Ticks[1])
	}
	var slowest time.Duration
	actorstest.Until(t, "frames find no room", func() bool {
		start := time.Now()
		s.Push(big)
		slowest = max(slowest, time.Since(start))
		return s.Status().Lost["queue_full"] > 0
	})
	t.Logf("the slowest push took %s", slowest)
	s.is(t, Connecting) // pings are not answered
	h.Stop()
	if err := bus.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
}

// TestCredentialsByFile: each form is taken, a wrong one is named by its file and
// not by its contents.
func TestCredentialsByFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, args := range map[string][]string{"alice:wonderland": {"--user", "alice", "--pass", "wonderland"}, "s3cr3t-t0ken": {"--auth", "s3cr3t-t0ken"}} {
		bus := outside(t, args...)
		bus.start()
		write("alice:nonsense")
		s, h := started(t, Config{URL: bus.url(), Access: Access{Credentials: file}}, StoreConfig{})
		actorstest.Until(t, "the credentials are refused", func() bool { return strings.Contains(s.Status().Reason, "refuses the credentials in "+file) })
		if reason := s.Status().Reason; strings.Contains(reason, "nonsense") {
			t.Errorf("%s", reason)
		}
		h.Stop()
		write(name)
		s, _ = started(t, Config{URL: bus.url(), Access: Access{Credentials: file}}, StoreConfig{})
		s.is(t, Publishing)
	}
	write("")
	if _, err := (Access{Credentials: file}).options(); err == nil || !strings.Contains(err.Error(), "empty") {
		t.Errorf("an empty file: %v", err)
	}
	if _, err := (Access{Credentials: file + "x"}).options(); err == nil || !strings.Contains(err.Error(), "bus.credentials") {
		t.Errorf("no file: %v", err)
	}
}

// TestEmbeddedPortInUse: the reason names the port, and it is tried again.
func TestEmbeddedPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, _ := started(t, Config{URL: Embedded, Listen: l.Addr().String()}, StoreConfig{})
	actorstest.Until(t, "the port is named as taken", func() bool {
		return strings.Contains(s.Status().Reason, "cannot listen on "+l.Addr().String()+" (bind: address already in use)")
	})
	_ = l.Close()
	s.is(t, Publishing)
}

// TestRestartKeepsPortAndSequence: a consumer of an actor that restarts connects
// again and has lost nothing but what was sent to it meanwhile.
func TestRestartKeepsPortAndSequence(t *testing.T) {
	s, h := started(t, Config{URL: Embedded}, StoreConfig{})
	s.is(t, Publishing)
	addr, epoch := s.Status().Addr, s.Status().Epoch
	c := consume(t, "nats://"+addr)
	s.pushed(0, 1)
	c.await(t, "ks.sim.md.frame.0", 1)
	h.Stop()
	s.pushed(0, 2) // waits in the queue
	again := actorstest.Start(t, Name, New(Config{Store: s, URL: Embedded, Listen: "127.0.0.1:0"}))
	defer again.Stop()
	actorstest.Until(t, "the consumer is connected again", func() bool { return s.Status().State == Publishing && s.Status().Addr == addr && c.conn.Flush() == nil })
	s.pushed(0, 3)
	actorstest.Until(t, "the frame after the restart", func() bool { return strings.HasSuffix(sequences(c.of("ks.sim.md.frame.0")), " 3") })
	if s.Status().Epoch != epoch {
		t.Error("a restart of the actor began another epoch")
	}
}

// two are servers that share a bus.
func two(t *testing.T, url string) (a, b *Store, ha *actorstest.Harness) {
	t.Helper()
	a, ha = started(t, Config{URL: url, Shared: true}, StoreConfig{Server: "a"})
	a.is(t, Publishing)
	b, _ = started(t, Config{URL: url, Shared: true}, StoreConfig{Server: "b"})
	actorstest.Until(t, "the second server waits", func() bool { return strings.Contains(b.Status().Reason, "the server a publishes") })
	return a, b, ha
}

// TestLeaseSaysWhichOneOfTwoPublishes: one at a time; the other takes over when
// that one ends, at once when it says so.
func TestLeaseSaysWhichOneOfTwoPublishes(t *testing.T) {
	bus := outside(t, "-js", "-sd", t.TempDir())
	bus.start()
	a, b, ha := two(t, bus.url())
	c := consume(t, bus.url())
	a.pushed(0, 1)
	b.pushed(0, 1)
	c.await(t, "ks.sim.md.frame.0", 1)
	ha.Stop()
	b.is(t, Publishing)
	b.pushed(0, 2)
	list := c.await(t, "ks.sim.md.frame.0", 2)
	if sequences(list) != "1 1" || list[0].Header.Get(HeaderServer) != "a" || list[1].Header.Get(HeaderServer) != "b" ||
		list[1].Header.Get(HeaderEpoch) <= list[0].Header.Get(HeaderEpoch) {
		t.Errorf("%s from %s and %s", sequences(list), list[0].Header, list[1].Header)
	}
	if st := b.Status(); st.Lost["lease"]+st.Lost["queue_full"] != 0 || st.Taken != 1 {
		t.Errorf("the second one: %+v", st)
	}
	// The bus forgets the lease with its restart: one of them has it again.
	bus.kill()
	b.is(t, Connecting)
	bus.start()
	b.is(t, Publishing)
}

// TestLeaseThatIsTooOldSendsNothing: a holder that could not renew its lease
// sends nothing, also what it has written already, and the successor's lease
// stays the successor's.
func TestLeaseThatIsTooOldSendsNothing(t *testing.T) {
	bus := outside(t, "-js", "-sd", t.TempDir())
	bus.start()
	conn, err := nats.Connect(bus.url())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx := t.Context()
	first, second := &lease{key: "sim", holder: "a", id: "1"}, &lease{key: "sim", holder: "b", id: "2"}
	ignore := func(fact) {}
	first.ask(ctx, conn, ignore)
	if !first.held() {
		t.Fatal("nobody has the lease")
	}
	second.ask(ctx, conn, ignore)
	if second.held() {
		t.Fatal("both have the lease")
	}
	actorstest.Until(t, "the lease is over", func() bool { // first stands still
		second.ask(ctx, conn, ignore)
		return second.held()
	})
	if first.held() {
		t.Error("the first one believes in its lease while the second one has it")
	}
	first.ask(ctx, conn, ignore) // wakes, and would renew
	if first.held() || first.revision != 0 {
		t.Error("the first one took the lease from the second one")
	}
	second.ask(ctx, conn, ignore)
	if !second.held() || second.revision == 0 {
		t.Error("the second one has lost its lease")
	}
	// An answer that was lost: the lease is found again.
	second.revision = 0
	second.ask(ctx, conn, ignore)
	second.ask(ctx, conn, ignore)
	if second.revision == 0 || !second.held() {
		t.Error("the second one does not know its own lease")
	}
	second.giveBack()
	first.ask(ctx, conn, ignore)
	if !first.held() {
		t.Error("a lease that was given back cannot be had")
	}

	var sent net.Conn
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	d := &dialer{}
	if sent, err = d.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	d.guard(first.held)
	if _, err := sent.Write([]byte("x")); err != nil {
		t.Errorf("with the lease: %v", err)
	}
	first.until.Store(boottime() - 1)
	if n, err := sent.Write([]byte("x")); err == nil || n != 0 {
		t.Error("bytes were sent without the lease")
	}
}

// TestBucketThatIsNoLease: one whose keys never end is not used.
func TestBucketThatIsNoLease(t *testing.T) {
	bus := outside(t, "-js", "-sd", t.TempDir())
	bus.start()
	conn, err := nats.Connect(bus.url())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: leaseBucket, History: 5}); err != nil {
		t.Fatal(err)
	}
	s, _ := started(t, Config{URL: bus.url(), Shared: true}, StoreConfig{})
	actorstest.Until(t, "the bucket is refused", func() bool { return strings.Contains(s.Status().Reason, "delete it") })
	if s.Status().State != Standby {
		t.Errorf("%+v", s.Status())
	}
	if err := js.DeleteKeyValue(t.Context(), leaseBucket); err != nil {
		t.Fatal(err)
	}
	s.is(t, Publishing)
}

// TestBusWithoutJetStream: two servers cannot share it, and the reason says so.
func TestBusWithoutJetStream(t *testing.T) {
	bus := outside(t)
	bus.start()
	s, _ := started(t, Config{URL: bus.url(), Shared: true}, StoreConfig{})
	actorstest.Until(t, "the lack of JetStream is named", func() bool { return strings.Contains(s.Status().Reason, "no JetStream") })
}

// TestStates: what a person reads in each of them.
func TestStates(t *testing.T) {
	var s state
	step := func(f fact, want State, reason string, changed bool) {
		t.Helper()
		var c bool
		if s, c = next(s, f, time.Unix(1, 0)); s.State != want || !strings.Contains(s.reason, reason) || reason == "" && s.reason != "" || c != changed {
			t.Errorf("%T: %s %q, changed %t", f, s.State, s.reason, c)
		}
	}
	step(disconnected{"the bus x does not answer"}, Connecting, "tried again", true)
	step(disconnected{"the bus x does not answer"}, Connecting, "tried again", false)
	step(connected{}, Publishing, "", true)
	step(disconnected{"gone"}, Connecting, "gone", true)
	s.shared = true
	step(connected{}, Standby, "another server", true)
	step(leased{holder: "b"}, Standby, "the server b publishes", true)
	step(leased{why: "no JetStream"}, Standby, "no JetStream", true)
	step(leased{held: true}, Publishing, "", true)
	step(leased{}, Standby, "another", true)
	step(ended{}, Stopped, "", true)
	step(ended{}, Stopped, "", false)
}

// TestSubjectsAreOnePartAName: no name of an instrument or an analysis makes
// another subject.
func TestSubjectsAreOnePartAName(t *testing.T) {
	for name, want := range map[string]string{"NIFTY": "NIFTY", "M&M": "M&M", "A.B *>": "A_B___"} {
		if got := part(name); got != want {
			t.Errorf("%q: %q", name, got)
		}
	}
	if got := tickSubject("live", 255<<8|255); got != "ks.live.md.tick.OTHER.65535" {
		t.Error(got)
	}
}

// What the kernel still holds of a connection that is given up never arrives: the
// next connection, or the next holder of the lease, has sent newer messages.
func TestNothingIsSentAfterAConnectionIsGivenUp(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	d := &dialer{}
	conn, err := d.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	bus, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer bus.Close()
	if _, err := conn.Write(make([]byte, 64<<10)); err != nil { // the bus reads nothing
		t.Fatal(err)
	}
	d.drop()
	if arrived, err := io.Copy(io.Discard, bus); err == nil {
		t.Errorf("a connection that was given up came to its end, with %d bytes", arrived)
	}
}
