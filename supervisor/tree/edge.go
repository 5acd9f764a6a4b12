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
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

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
	Gateway   string          // address of its own gateway; loopback only
	Addr      string          // of its page, status and metrics; loopback only
	StateDir  string          // holds who may use it
	Orders    bool            // lets clients with the scope place orders, at the primary
	Version   string
	Log       *slog.Logger
}

// Edge is a gateway fed by the gateways of one or two servers:
//
//	root (one_for_one)
//	├─ edge      the connections to the servers, and the merger of what they send
//	├─ gateway   Kite's protocol for the programs here
//	└─ web       how the edge is
type Edge struct {
	gateway *sharedListener
	web     *sharedListener
	clients *clients.Store
	board   *edge.Board
	tree    *supervisor.Supervisor
	rest    *http.Transport
}

// OpenEdge starts an edge. [Edge.Stop] ends it.
func OpenEdge(ctx context.Context, cfg EdgeConfig) (*Edge, error) {
	if n := len(cfg.Upstreams); n < 1 || n > 2 {
		return nil, fmt.Errorf("%d upstreams: an edge has one or two", n)
	}
	for flag, addr := range map[string]string{"--gateway-addr": cfg.Gateway, "--addr": cfg.Addr} {
		if !profile.IsLoopback(addr) {
			return nil, fmt.Errorf("%s %s can be reached from other machines: an edge serves the programs of its own, like 127.0.0.1:8430", flag, addr)
		}
	}
	if err := os.MkdirAll(cfg.StateDir, 0o700); err != nil {
		return nil, fmt.Errorf("the edge's state directory: %w", err)
	}
	e := &Edge{board: &edge.Board{}, rest: http.DefaultTransport.(*http.Transport).Clone()}
	var err error
	if e.clients, err = clients.Open(filepath.Join(cfg.StateDir, "gateway-clients-edge.json")); err != nil {
		return nil, err
	}
	connections := new(atomic.Int64)
	if e.gateway, err = listenShared(cfg.Gateway, cfg.Log, connections); err != nil {
		return nil, cannotListen(cfg.Gateway, "--gateway-addr", err)
	}
	if e.web, err = listenShared(cfg.Addr, cfg.Log, connections); err != nil {
		return nil, errors.Join(cannotListen(cfg.Addr, "--addr", err), e.gateway.TCPListener.Close())
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), buildInfo(cfg.Version))
	registry.MustRegister(e.web.collectors(func() uint64 { return 0 })...)
	e.tree = supervisor.New(supervisor.Options{Logger: cfg.Log, Registerer: registry})
	metrics := gateway.NewMetrics(registry)
	clientsBoard := gateway.NewBoard(e.clients, metrics)
	pidEdge := supervisor.PIDOf(edge.Name)
	err = e.tree.Start(ctx, supervisor.Spec{Name: "root", Children: []supervisor.Spec{
		{Name: edge.Name, Produce: edge.New(edge.Config{
			Upstreams: cfg.Upstreams, Sink: tickSink{e.tree.Inlet(gateway.Name)}, Gateway: supervisor.PIDOf(gateway.Name), Board: e.board, Wanted: clientsBoard.Wants,
		})},
		{
			Name: gateway.Name,
			Produce: gateway.New(gateway.Config{
				Listen: e.gateway.listen, Tokens: edge.Keys{First: cfg.Upstreams[0]}, Clock: wallClock{},
				Exchange: kite.Exchange{
					APIURL: "http://" + cfg.Upstreams[0].Addr, Transport: edge.REST{Upstreams: cfg.Upstreams, Base: e.rest}, Budget: kite.NewBudget(),
				},
				Clients: e.clients, Capacity: edge.MostInstruments, Orders: func() bool { return cfg.Orders },
				LoginURL: func() string { return "on the server at " + cfg.Upstreams[0].Addr },
				Feed:     pidEdge, Auth: pidEdge, Board: clientsBoard, Metrics: metrics,
			}),
			Mailbox: supervisor.Mailbox{Table: func() supervisor.Conflator { return &gateway.Latest{} }},
		},
		{Name: edge.WebName, Produce: edge.NewWeb(edge.WebConfig{
			Listen:  e.web.listen,
			Metrics: promhttp.HandlerFor(registry, promhttp.HandlerOpts{EnableOpenMetrics: true, DisableCompression: true}),
		})},
	}})
	if err != nil {
		return nil, errors.Join(err, e.closeListeners())
	}
	return e, nil
}

// GatewayAddr is where the edge's gateway listens.
func (e *Edge) GatewayAddr() string { return e.gateway.Addr().String() }

// Addr is where it shows how it is.
func (e *Edge) Addr() string { return e.web.Addr().String() }

func (e *Edge) closeListeners() error {
	return errors.Join(e.gateway.TCPListener.Close(), e.web.TCPListener.Close())
}

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
	return errors.Join(err, e.closeListeners())
}
