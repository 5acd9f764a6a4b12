package tree

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"time"

	"github.com/anthdm/hollywood/actor"

	"kitestring/actors/feed"
	"kitestring/actors/gateway"
	"kitestring/actors/gateway/clients"
	"kitestring/actors/web"
	"kitestring/actors/web/api"
	"kitestring/supervisor"
	"kitestring/supervisor/tree/profile"
)

// DemoKey is the local key of the client "demo", which the gateway has in the
// sim profile on loopback. It opens nothing but a simulated exchange.
const DemoKey = "demokitestringdemokitestringdemo"

// How many instruments the gateway's clients may want together. Kite streams
// 9000 to an API key; one of its three sockets stays free for a swap up to 6000,
// of which 500 are this program's own.
const (
	gatewayInstruments     = 5500
	MostGatewayInstruments = 8500
	instrumentsASocket     = 3000
	ownInstruments         = 500
)

// MostSockets is how many sockets Kite allows an API key.
const MostSockets = feed.MaxShards

// gatewayParts are what outlives the gateway actor; nil: the server runs
// without one.
type gatewayParts struct {
	listener *sharedListener
	clients  *clients.Store
	board    *gateway.Board
	metrics  *gateway.Metrics
}

// openGateway listens for programs and reads who may use it.
func (s *Server) openGateway() (err error) {
	addr := s.cfg.GatewayAddr
	if addr == "" {
		return nil
	}
	if err := profile.CheckExposure("--gateway-addr", addr, s.store); err != nil {
		return err
	}
	g := &gatewayParts{}
	if g.clients, err = clients.Open(filepath.Join(s.cfg.StateDir, "gateway-clients-"+s.profile+".json")); err != nil {
		return err
	}
	if g.listener, err = listenShared(addr, s.log, &s.connections); err != nil {
		err = cannotListen(addr, "--gateway-addr", err)
		if s.cfg.GatewayOptional {
			s.log.Warn("no gateway for other programs", "error", err)
			return nil
		}
		return err
	}
	s.gateway = g
	s.log.Info("the gateway for other programs listens", "addr", s.GatewayAddr())
	if s.profile == "sim" && profile.IsLoopback(addr) {
		if err := g.clients.Demo("demo", DemoKey, clients.Scopes{clients.ScopeData, clients.ScopeAccount}, time.Now()); err != nil {
			return fmt.Errorf("the gateway's demo client: %w", err)
		}
	}
	g.metrics = gateway.NewMetrics(s.registry)
	g.board = gateway.NewBoard(g.clients, g.metrics)
	return nil
}

// GatewayAddr is where the gateway listens, "" without one.
func (s *Server) GatewayAddr() string {
	if s.gateway == nil {
		return ""
	}
	return s.gateway.listener.Addr().String()
}

// AddGatewayClient makes a client and its key, as "kitestring clients add" does.
func (s *Server) AddGatewayClient(name string, scopes []string) (key string, err error) {
	added, err := gatewayView{s}.Add(name, scopes)
	return added.Key, err
}

// gatewaySpec is the gateway's child of core. Its mailbox keeps the newest
// packet of an instrument whole when it falls behind: minutes, which are enough
// for bars, have lost the bytes that its clients need.
func (s *Server) gatewaySpec() supervisor.Spec {
	host, _, _ := net.SplitHostPort(s.GatewayAddr())
	return s.subscriber(supervisor.Spec{
		Name: gateway.Name,
		Produce: gateway.New(gateway.Config{
			Listen: s.gateway.listener.listen, Hosts: []string{host}, Exchange: s.kite, Tokens: s.store, Clock: s.clock,
			Clients: s.gateway.clients, Capacity: s.gatewayCapacity(), Orders: func() bool { return s.reloadable.Load().GatewayOrders },
			LoginURL: func() string { return s.URL() + "login" }, Feed: pidFeed, Auth: pidAuth,
			Board: s.gateway.board, Metrics: s.gateway.metrics,
		}),
		Mailbox: supervisor.Mailbox{Table: func() supervisor.Conflator { return &gateway.Latest{} }},
	})
}

// gatewaySockets is nil without a gateway.
func (s *Server) gatewaySockets() func() int {
	if s.gateway == nil {
		return nil
	}
	return s.gateway.board.Sockets
}

// gatewayPID is nil without a gateway.
func (s *Server) gatewayPID() *actor.PID {
	if s.gateway == nil {
		return nil
	}
	return supervisor.PIDOf(gateway.Name)
}

func (s *Server) gatewayCapacity() int {
	if n := s.cfg.Reloadable.GatewayInstruments; n != 0 {
		return n
	}
	if n := s.cfg.Reloadable.FeedSockets; n != 0 {
		return min(gatewayInstruments, n*instrumentsASocket-ownInstruments)
	}
	return gatewayInstruments
}

// gatewayView shows the gateway to the web actor.
type gatewayView struct{ s *Server }

// webGateway is nil without a gateway, not a nil view in an interface.
func (s *Server) webGateway() web.Gateway {
	if s.gateway == nil {
		return nil
	}
	return gatewayView{s}
}

// Status implements web.Gateway.
func (v gatewayView) Status() api.StatusGateway {
	now := v.s.gateway.board.Status()
	status := api.StatusGateway{
		Addr: v.s.GatewayAddr(), Clients: len(now.Clients), Instruments: now.Wanted, Capacity: v.s.gatewayCapacity(),
		Orders: v.s.reloadable.Load().GatewayOrders,
	}
	for _, c := range now.Clients {
		status.Sockets += c.Sockets
	}
	for _, use := range v.s.kite.Budget.Used() {
		status.Budget = append(status.Budget, api.BudgetUse(use))
	}
	return status
}

// Clients implements web.Gateway.
func (v gatewayView) Clients() []api.Client {
	var list []api.Client
	for _, c := range v.s.gateway.board.Status().Clients {
		shown := api.Client{
			Name: c.Name, Scopes: words(c.Scopes), CreatedAt: c.Created, Sockets: c.Sockets, Instruments: map[string]int{},
			Packets: c.Sent, Conflated: c.Conflated, Waiting: c.Waiting, LagSeconds: c.Lag.Seconds(),
			Requests: c.Requests, Refusals: c.Refusals, Agent: c.Agent,
		}
		for mode, n := range c.Instruments {
			shown.Instruments[mode.String()] = n
		}
		if !c.Since.IsZero() {
			since := c.Since.UTC()
			shown.Since = &since
		}
		list = append(list, shown)
	}
	return list
}

// Add implements web.Gateway.
func (v gatewayView) Add(name string, scopes []string) (api.ClientKey, error) {
	set := make(clients.Scopes, len(scopes))
	for i, scope := range scopes {
		set[i] = clients.Scope(scope)
	}
	key, err := v.s.gateway.clients.Add(name, set, time.Now())
	if err != nil {
		return api.ClientKey{}, err
	}
	return api.ClientKey{Name: name, Key: key.Reveal(), Scopes: words(set), Addr: v.s.GatewayAddr()}, nil
}

// Revoke implements web.Gateway.
func (v gatewayView) Revoke(name string) error {
	err := v.s.gateway.clients.Revoke(name)
	var unknown *clients.UnknownError
	if errors.As(err, &unknown) {
		return &web.NameError{What: "client", Name: unknown.Name, Known: unknown.Known}
	}
	return err
}

func words(scopes clients.Scopes) []string {
	list := make([]string, len(scopes))
	for i, scope := range scopes {
		list[i] = string(scope)
	}
	return list
}
