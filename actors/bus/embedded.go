package bus

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// What the embedded server lets a consumer have.
const (
	consumerPending = 16 << 20 // bytes that wait for one; beyond them it is cut off
	consumerStuck   = 5 * time.Second
	embeddedPayload = 1 << 20
	startWithin     = 5 * time.Second
)

// embedded is a NATS server in this process.
type embedded struct {
	server   *server.Server
	password string
	store    *Store
}

// startEmbedded starts a server. Everybody who reaches it may read; only this
// process may publish.
func startEmbedded(listen string, store *Store) (*embedded, error) {
	host, portText, err := net.SplitHostPort(listen)
	if err != nil {
		return nil, fmt.Errorf("the bus cannot listen on %q: it looks like 127.0.0.1:4222", listen)
	}
	port, err := strconv.Atoi(portText)
	if err != nil {
		return nil, fmt.Errorf("the bus cannot listen on %q: its port is no number", listen)
	}
	if probe, err := net.Listen("tcp", listen); err == nil { // the server itself would say it nobody
		_ = probe.Close()
	} else {
		return nil, fmt.Errorf("the embedded bus cannot listen on %s (%w): stop what has that port, or choose another with bus.listen", listen, reason(err))
	}
	if port == 0 { // an incarnation after the first one listens where that did
		if port = store.port; port == 0 {
			port = server.RANDOM_PORT
		}
	}
	e := &embedded{password: rand.Text(), store: store}
	nothing := &server.SubjectPermission{Deny: []string{">"}}
	s, err := server.NewServer(&server.Options{
		ServerName: store.cfg.Server, Host: host, Port: port, NoSigs: true, NoLog: true, DisableShortFirstPing: true,
		MaxPayload: embeddedPayload, MaxPending: consumerPending, WriteDeadline: consumerStuck, NoFastProducerStall: true,
		Users: []*server.User{
			{Username: "kitestring", Password: e.password},
			{Username: "consumer", Permissions: &server.Permissions{Publish: nothing}},
		},
		NoAuthUser: "consumer",
	})
	if err != nil {
		return nil, fmt.Errorf("the embedded bus cannot start: %w", err)
	}
	e.server = s
	s.Start()
	if !s.ReadyForConnections(startWithin) {
		e.stop()
		return nil, fmt.Errorf("the embedded bus does not listen on %s within %s: choose another address with bus.listen", listen, startWithin)
	}
	addr := s.Addr().(*net.TCPAddr)
	store.port = addr.Port
	store.serves(addr.String(), func() (int, int64) { return max(0, s.NumClients()-1), s.NumSlowConsumers() })
	return e, nil
}

// url is where it listens.
func (e *embedded) url() string {
	return (&url.URL{Scheme: "nats", Host: e.server.Addr().String()}).String()
}

func (e *embedded) login() nats.Option { return nats.UserInfo("kitestring", e.password) }

// stop ends it.
func (e *embedded) stop() {
	e.store.serves("", nil)
	e.server.Shutdown()
	e.server.WaitForShutdown()
}

// serves shows where the embedded server listens and how many use it.
func (s *Store) serves(addr string, consumers func() (connected int, cut int64)) {
	s.status.Lock()
	defer s.status.Unlock()
	s.status.addr, s.status.consumers = addr, consumers
}

// reason is an error of the network without the address that the text names
// already.
func reason(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}
