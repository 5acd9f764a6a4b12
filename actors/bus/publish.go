package bus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"kitestring/actors"
	"kitestring/messages/scrub"
	"kitestring/messages/wire"
)

// How a bus that does not answer is found, and how long one that takes nothing
// may hold the publisher up; the queue takes what comes meanwhile.
const (
	retryEach   = 500 * time.Millisecond
	dialWithin  = 2 * time.Second
	pingEach    = 2 * time.Second
	writeWithin = 2 * time.Second
	flushWithin = 500 * time.Millisecond // at the end
)

// publisher is the task of an incarnation that sends what waits.
type publisher struct {
	cfg   Config
	store *Store
	self  actors.Self

	conn  *nats.Conn
	dials dialer
	lease *lease // nil: nobody else publishes

	header nats.Header
	frame  []byte
	parts  [][]byte
}

// run publishes until ctx ends.
func (p *publisher) run(ctx context.Context) error {
	url, options := p.cfg.URL, []nats.Option(nil)
	if p.cfg.URL == Embedded {
		e, err := startEmbedded(p.cfg.Listen, p.store)
		for err != nil {
			p.apply(disconnected{err.Error()})
			select {
			case <-ctx.Done():
				p.apply(ended{})
				return nil
			case <-time.After(retryEach):
			}
			p.discard()
			e, err = startEmbedded(p.cfg.Listen, p.store)
		}
		defer e.stop()
		url, options = e.url(), append(options, e.login())
	} else {
		access, err := p.cfg.Access.options()
		if err != nil {
			return fmt.Errorf("bus: %w", err)
		}
		options = access
	}
	p.header = nats.Header{
		HeaderSchema: {schema}, HeaderServer: {p.store.cfg.Server}, HeaderEpoch: {""}, HeaderSequence: {""}, HeaderReceived: {""},
	}
	if err := p.connect(url, options); err != nil {
		return fmt.Errorf("bus: %w", err)
	}
	defer p.disconnect()
	if p.cfg.Shared {
		p.lease = &lease{key: p.store.cfg.Env, holder: p.store.cfg.Server, id: p.store.id}
		p.apply(leased{})
		done := make(chan struct{})
		defer func() { <-done }()
		leaseCtx, cancel := context.WithCancel(context.WithoutCancel(ctx)) // it ends after the last frame has been sent
		defer cancel()
		go func() {
			defer close(done)
			defer func() {
				if r := recover(); r != nil {
					p.self.Fail(fmt.Errorf("bus: the lease: panic: %v", r))
				}
			}()
			p.lease.run(leaseCtx, url, append(options, p.common()...), p.apply)
		}()
	} else if p.store.epoch.Load() == 0 {
		p.store.begin(time.Now())
	}
	p.publish(ctx)
	p.apply(ended{})
	return nil
}

// publish sends what comes until ctx ends, then what waits.
func (p *publisher) publish(ctx context.Context) {
	looks := time.NewTicker(leaseLook)
	defer looks.Stop()
	if p.lease == nil {
		looks.Stop()
	}
	for {
		select {
		case it := <-p.store.queue:
			p.send(it)
		case <-looks.C:
			p.follow()
		case <-ctx.Done():
			for n := len(p.store.queue); n > 0; n-- {
				select {
				case it := <-p.store.queue:
					p.send(it)
				default:
				}
			}
			if p.conn.IsConnected() {
				_ = p.conn.FlushTimeout(flushWithin)
			}
			if p.lease != nil {
				p.store.end()
			}
			return
		}
	}
}

// follow begins and ends what the lease says.
func (p *publisher) follow() {
	switch held := p.lease.held(); {
	case held && !p.store.takes.Load():
		p.dials.guard(p.lease.held)
		p.store.begin(time.Now())
		p.apply(leased{held: true})
	case !held && p.store.takes.Load():
		p.fence()
	}
}

// fence ends publishing at once: what was written and not sent must not be sent
// any more, and goes with the connection.
func (p *publisher) fence() {
	for n := len(p.store.queue); n > 0; n-- {
		select {
		case it := <-p.store.queue:
			p.store.lose(lossLease, it)
			p.store.done(it)
		default:
		}
	}
	p.store.end()
	p.dials.drop()
	p.dials.guard(nil)
	p.apply(leased{})
}

// send publishes an item and gives it back.
func (p *publisher) send(it item) {
	defer p.store.done(it)
	switch {
	case it.epoch != p.store.epoch.Load():
		return // of an earlier time with the lease
	case p.lease != nil && !p.lease.held():
		p.store.lose(lossLease, it)
		p.fence()
		return
	case !p.conn.IsConnected():
		p.store.lose(lossDown, it)
		return
	}
	p.header[HeaderEpoch][0] = strconv.FormatInt(it.epoch, 10)
	p.header[HeaderReceived][0] = strconv.FormatInt(it.at.UnixNano(), 10)
	if it.batch == nil {
		p.message(it.kind, it.subject, it.sequence, it.payload)
		return
	}
	p.parts = p.parts[:0]
	for i := range it.batch.Ticks {
		p.parts = append(p.parts, wire.PacketOf(it.batch.Raw, &it.batch.Ticks[i]))
	}
	p.frame = wire.AppendFrame(p.frame[:0], p.parts...)
	p.message(kindFrame, it.subject, it.sequence, p.frame)
	for i, number := range it.numbers {
		if number != 0 {
			p.message(kindTick, p.store.tickSubject(it.batch.Ticks[i].InstrumentToken), number, p.parts[i])
		}
	}
}

func (p *publisher) message(k kind, subject string, sequence uint64, payload []byte) {
	p.header[HeaderSequence][0] = strconv.FormatUint(sequence, 10)
	err := p.conn.PublishMsg(&nats.Msg{Subject: subject, Header: p.header, Data: payload})
	switch {
	case err == nil:
		p.store.published[k].Add(1)
		p.store.bytes.Add(uint64(len(payload)))
	case errors.Is(err, nats.ErrMaxPayload):
		p.store.lost[lossError].Add(1)
	default:
		p.store.lost[lossDown].Add(1)
	}
}

// discard counts what waits as lost: there is no bus.
func (p *publisher) discard() {
	if p.store.epoch.Load() == 0 && !p.cfg.Shared {
		p.store.begin(time.Now())
	}
	for {
		select {
		case it := <-p.store.queue:
			p.store.lose(lossDown, it)
			p.store.done(it)
		default:
			return
		}
	}
}

// apply takes a fact, and has a person know what changed.
func (p *publisher) apply(f fact) {
	status := &p.store.status
	status.Lock()
	status.shared = p.cfg.Shared
	s, changed := next(status.state, f, time.Now())
	status.state = s
	status.Unlock()
	if !changed {
		return
	}
	p.self.Log().Info("the bus has another state", "state", s.State.String(), "reason", s.reason, "bus", p.store.cfg.Where)
	if p.cfg.Note != nil && s.State != Stopped {
		text := "the bus is " + s.State.String()
		if s.reason != "" {
			text += ": " + s.reason
		}
		p.cfg.Note(text)
	}
}

// connect begins to connect, and returns before it has succeeded.
func (p *publisher) connect(url string, options []nats.Option) (err error) {
	p.apply(disconnected{"the bus " + p.store.cfg.Where + " has not answered yet"})
	live := func(*nats.Conn) {
		p.store.connects.Add(1)
		p.apply(connected{})
	}
	lost := func(_ *nats.Conn, err error) { p.apply(disconnected{p.explain(err)}) }
	p.conn, err = nats.Connect(url, append(append(options, p.common()...),
		nats.SetCustomDialer(&p.dials), nats.ConnectHandler(live), nats.ReconnectHandler(live),
		nats.DisconnectErrHandler(lost), nats.ReconnectErrHandler(lost),
	)...)
	return err
}

// common are options of each connection.
func (p *publisher) common() []nats.Option {
	return []nats.Option{
		nats.Name("kitestring " + p.store.cfg.Server), nats.NoEcho(), nats.SkipSubjectValidation(),
		nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.ReconnectWait(retryEach), nats.ReconnectJitter(retryEach/5, retryEach/5),
		nats.ReconnectBufSize(-1), // what comes while it is down is lost and counted, not sent late
		nats.IgnoreAuthErrorAbort(), nats.Timeout(dialWithin), nats.PingInterval(pingEach), nats.MaxPingsOutstanding(2), nats.FlusherTimeout(writeWithin),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			p.self.Log().Warn("the bus reports an error", "error", scrub.Text(err.Error()))
		}),
	}
}

// disconnect ends the connection: a write that waits for a bus that takes
// nothing ends with it.
func (p *publisher) disconnect() {
	p.dials.drop()
	p.conn.Close()
}

// explain says why the bus does not answer, and what to do.
func (p *publisher) explain(err error) string {
	at := "the bus " + p.store.cfg.Where
	err = p.dials.cause(err)
	switch {
	case err == nil:
		return at + " has closed the connection"
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired), errors.Is(err, nats.ErrAuthRevoked):
		if p.cfg.Access.Credentials == "" {
			return at + " wants credentials: name a file with them in bus.credentials of the configuration"
		}
		return at + " refuses the credentials in " + p.cfg.Access.Credentials + ": correct that file"
	}
	return at + " does not answer (" + scrub.Text(strings.TrimPrefix(reason(err).Error(), "nats: ")) + "): start it, or correct bus in the configuration"
}

// options are how a server is reached that asks for it.
func (a Access) options() (options []nats.Option, err error) {
	if a.CA != "" {
		options = append(options, nats.RootCAs(a.CA))
	}
	if a.Certificate != "" {
		options = append(options, nats.ClientCert(a.Certificate, cmp.Or(a.Key, a.Certificate)))
	}
	if a.Credentials == "" {
		return options, nil
	}
	text, err := os.ReadFile(a.Credentials)
	if err != nil {
		return nil, fmt.Errorf("the credentials cannot be read: %w. Correct bus.credentials of the configuration", err)
	}
	secret := strings.TrimSpace(string(text))
	switch name, password, pair := strings.Cut(secret, ":"); {
	case strings.Contains(secret, "BEGIN NATS USER JWT"):
		options = append(options, nats.UserCredentials(a.Credentials))
	case strings.HasPrefix(secret, "SU") && isSeed(secret):
		option, err := nats.NkeyOptionFromSeed(a.Credentials)
		if err != nil {
			return nil, fmt.Errorf("the seed in %s cannot be used: write it again", a.Credentials)
		}
		options = append(options, option)
	case pair:
		options = append(options, nats.UserInfo(name, password))
	case secret != "":
		options = append(options, nats.Token(secret))
	default:
		return nil, fmt.Errorf("%s is empty: write credentials into it", a.Credentials)
	}
	return options, nil
}

func isSeed(text string) bool {
	_, err := nkeys.FromSeed([]byte(text))
	return err == nil
}

// dialer makes connections and keeps the newest one, so that it can be dropped.
type dialer struct {
	mu     sync.Mutex
	conn   net.Conn
	failed error                       // why the last attempt did
	may    atomic.Pointer[func() bool] // that bytes may be sent; nil: always
}

// Dial implements nats.CustomDialer.
func (d *dialer) Dial(network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{Timeout: dialWithin}).Dial(network, address)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failed = err
	if err != nil {
		return nil, err
	}
	// What the kernel still holds when it is given up is not sent: it would come
	// behind what the next connection, or the next holder of the lease, sends.
	_ = conn.(*net.TCPConn).SetLinger(0)
	d.conn = conn
	return &guarded{conn, &d.may}, nil
}

// cause is an error of the client, or what it does not say of the attempts.
func (d *dialer) cause(err error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if errors.Is(err, nats.ErrNoServers) && d.failed != nil {
		return d.failed
	}
	return err
}

// guard has each write ask first; nil: none does.
func (d *dialer) guard(may func() bool) {
	if may == nil {
		d.may.Store(nil)
		return
	}
	d.may.Store(&may)
}

// drop closes the connection.
func (d *dialer) drop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.conn != nil {
		_ = d.conn.Close()
	}
}

// guarded is a connection that sends nothing once it must not. It asks right
// before the system call: between the client's buffer and here a process may
// have stood still.
type guarded struct {
	net.Conn
	may *atomic.Pointer[func() bool]
}

var errLeaseOver = errors.New("the lease is over")

// Write implements net.Conn.
func (g *guarded) Write(b []byte) (int, error) {
	if may := g.may.Load(); may != nil && !(*may)() {
		_ = g.Close()
		return 0, errLeaseOver
	}
	return g.Conn.Write(b)
}
