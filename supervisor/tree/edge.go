package tree

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kitestring/actors/edge"
	"kitestring/actors/gateway"
	"kitestring/actors/gateway/clients"
	"kitestring/actors/kite"
	"kitestring/messages"
	"kitestring/supervisor"
	"kitestring/supervisor/tree/profile"
)

// EdgeConfig is what an edge needs.
type EdgeConfig struct {
	Upstreams []edge.Upstream // one or two gateways of servers; the first is the primary
	Addr      string          // of its own gateway; loopback only
	StateDir  string          // holds who may use it
	Orders    bool            // lets clients with the scope place orders, at the primary
	Log       *slog.Logger
}

// Edge is a gateway fed by the gateways of one or two servers:
//
//	root (one_for_one)
//	├─ edge      the connections to the servers, and the merger of what they send
//	└─ gateway   Kite's protocol for the programs here
type Edge struct {
	listener *sharedListener
	clients  *clients.Store
	board    *edge.Board
	tree     *supervisor.Supervisor
	rest     *http.Transport
}

// OpenEdge starts an edge. [Edge.Stop] ends it.
func OpenEdge(ctx context.Context, cfg EdgeConfig) (*Edge, error) {
	if n := len(cfg.Upstreams); n < 1 || n > 2 {
		return nil, fmt.Errorf("%d upstreams: an edge has one or two", n)
	}
	if !profile.IsLoopback(cfg.Addr) {
		return nil, fmt.Errorf("--addr %s can be reached from other machines: an edge serves the programs of its own, like 127.0.0.1:8430", cfg.Addr)
	}
	if err := os.MkdirAll(cfg.StateDir, 0o700); err != nil {
		return nil, fmt.Errorf("the edge's state directory: %w", err)
	}
	e := &Edge{board: &edge.Board{}, rest: http.DefaultTransport.(*http.Transport).Clone()}
	var err error
	if e.clients, err = clients.Open(filepath.Join(cfg.StateDir, "gateway-clients-edge.json")); err != nil {
		return nil, err
	}
	if e.listener, err = listenShared(cfg.Addr, cfg.Log, new(atomic.Int64)); err != nil {
		return nil, cannotListen(cfg.Addr, "--addr", err)
	}
	registry := prometheus.NewRegistry()
	e.tree = supervisor.New(supervisor.Options{Logger: cfg.Log, Registerer: registry})
	metrics := gateway.NewMetrics(registry)
	pidEdge := supervisor.PIDOf(edge.Name)
	err = e.tree.Start(ctx, supervisor.Spec{Name: "root", Children: []supervisor.Spec{
		{Name: edge.Name, Produce: edge.New(edge.Config{
			Upstreams: cfg.Upstreams, Sink: tickSink{e.tree.Inlet(gateway.Name)}, Gateway: supervisor.PIDOf(gateway.Name), Board: e.board,
		})},
		{
			Name: gateway.Name,
			Produce: gateway.New(gateway.Config{
				Listen: e.listener.listen, Tokens: edge.Keys{First: cfg.Upstreams[0]}, Clock: wallClock{},
				Exchange: kite.Exchange{
					APIURL: "http://" + cfg.Upstreams[0].Addr, Transport: edge.REST{Upstreams: cfg.Upstreams, Base: e.rest}, Budget: kite.NewBudget(),
				},
				Clients: e.clients, Capacity: edge.MostInstruments, Orders: func() bool { return cfg.Orders },
				LoginURL: func() string { return "on the server at " + cfg.Upstreams[0].Addr },
				Feed:     pidEdge, Auth: pidEdge, Board: gateway.NewBoard(e.clients, metrics), Metrics: metrics,
			}),
			Mailbox: supervisor.Mailbox{Table: func() supervisor.Conflator { return &gateway.Latest{} }},
		},
	}})
	if err != nil {
		return nil, errors.Join(err, e.listener.TCPListener.Close())
	}
	return e, nil
}

// Addr is where the edge's gateway listens.
func (e *Edge) Addr() string { return e.listener.Addr().String() }

// Connected counts the upstreams that are connected.
func (e *Edge) Connected() int { return e.board.Connected() }

// AddClient makes a client and its key; false: there is one of that name.
func (e *Edge) AddClient(name string, scopes []string) (key messages.Secret, added bool, err error) {
	for _, r := range e.clients.List() {
		if r.Name == name {
			return messages.Secret{}, false, nil
		}
	}
	set := make(clients.Scopes, len(scopes))
	for i, scope := range scopes {
		set[i] = clients.Scope(strings.TrimSpace(scope))
	}
	key, err = e.clients.Add(name, set, time.Now())
	return key, err == nil, err
}

// Stop ends the edge.
func (e *Edge) Stop(ctx context.Context) error {
	err := e.tree.Stop(ctx)
	e.rest.CloseIdleConnections()
	return errors.Join(err, e.listener.TCPListener.Close())
}
