package tree

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"kitestring/actors"
	"kitestring/actors/analysis"
	"kitestring/actors/auth"
	"kitestring/actors/feed"
	"kitestring/actors/hours"
	"kitestring/actors/instruments"
	"kitestring/actors/kite"
	"kitestring/actors/market"
	"kitestring/actors/reminder"
	"kitestring/actors/simulator"
	"kitestring/actors/token"
	"kitestring/actors/web"
	"kitestring/actors/web/api"
	"kitestring/messages"
	"kitestring/supervisor"
)

// Config is what a person may choose of the house.
type Config struct {
	EnvFile  string // absolute
	StateDir string // absolute; made when it is missing
	Addr     string // of the one listener; port 0: any
	Profile  string // auto, sim, sandbox, live
	Version  string
	Getenv   func(key string) string
	Log      *slog.Logger
	Sim      SimConfig

	Reloadable Reloadable // of the configuration file; Reload changes them

	// Pulse is told of the tree's health ten times a second; a house that hangs
	// has no pulse. It must not block. nil: nobody.
	Pulse func(supervisor.Health)
}

// SimConfig is what a person may choose of the embedded exchange.
type SimConfig struct {
	Addr        string // loopback; port 0: any
	ManualLogin bool   // a person approves; otherwise it logs in to itself
	Bars        string // folder of bars that prices follow; "": they walk
	Seed        int64
	Speed       float64
	Rate        int                // ticks a second in all; 0: each instrument at its own pace
	Instruments int                // extra ones, for load
	Sampling    simulator.Sampling // when sockets get packets; "": all at once

	// What drills choose beside.
	Start      time.Time                // of its clock; zero: the open of the latest trading day
	TradingDay func(day time.Time) bool // by midnight IST; nil: as the table of hours has it
	OldSockets simulator.OldSockets     // what a new login does to open sockets; "": they live
	ClockOff   time.Duration            // how far our clock is ahead of the exchange's
}

// Server is the running program: the tree, and what outlives every actor in it.
//
// What must survive the process is in the state directory (mode 0700), each
// file written whole or not at all; all of it may be removed while no server
// runs. The .env file is not in there.
//
//	expiry-PROFILE.json   when tokens ended in the mornings, as observed (auth)
//	simulator/            tokens that the embedded exchange withdrew, as hashes
//	traces/TIME-WHAT.trace  the last seconds before a failure, for "go tool trace";
//	                      the newest ten, 64 MB at most
type Server struct {
	cfg        Config
	reloadable atomic.Pointer[Reloadable]
	profile    string
	started    time.Time
	log        *slog.Logger
	registry   *prometheus.Registry

	// What outlives incarnations. An actor asks it at each birth.
	store       *token.Store
	memory      *auth.Store
	logins      *auth.Logins
	feed        *feed.Store
	series      *analysis.Store
	opening     *analysis.OpenInterest
	instruments *instruments.Store
	phases      *market.PhaseStore
	hours       *hours.Store
	reminders   *reminder.Store
	board       *web.Store
	exchange    *simulator.Exchange // nil unless it is embedded
	far         *farClock           // of a simulator in another process; nil: none
	flight      *flight             // nil: the process has another one

	kite    kite.Exchange
	clock   actors.Clock
	metrics metrics

	door *doorway
	tree *supervisor.Supervisor
}

// metrics are made once; actors come and go.
type metrics struct {
	token *token.Metrics
	auth  *auth.Metrics
	rest  *kite.Metrics
	feed  *feed.Metrics
	web   *web.Metrics
}

// Open prepares the house, opens its doors and starts the tree. Its errors are
// for people: what happened and what to do.
func Open(ctx context.Context, cfg Config) (_ *Server, err error) {
	h := &Server{
		cfg: cfg, started: time.Now(), registry: prometheus.NewRegistry(), clock: wallClock{},
		logins: auth.NewLogins(),
		feed:   feed.NewStore(), series: &analysis.Store{}, opening: &analysis.OpenInterest{},
		instruments: instruments.NewStore(), phases: &market.PhaseStore{}, hours: &hours.Store{}, board: web.NewStore(),
	}
	h.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), buildInfo(cfg.Version))
	market.Metrics(h.registry, h.phases)
	h.reminders = reminder.NewStore(h.registry)
	defer func() {
		if err != nil {
			h.closeDoors()
		}
	}()
	h.log = slog.New(auth.NewScrubber(cfg.Log.Handler(), h.secrets))
	if err := os.MkdirAll(cfg.StateDir, 0o700); err != nil {
		return nil, fmt.Errorf("the state directory %s cannot be made: %w. Choose another with --state-dir", cfg.StateDir, reason(err))
	}
	h.metrics = metrics{
		token: token.NewMetrics(h.registry), auth: auth.NewMetrics(h.registry), rest: kite.NewMetrics(h.registry),
		feed: feed.NewMetrics(h.registry, h.feed), web: web.NewMetrics(h.registry),
	}
	if h.store, err = token.Open(token.StoreConfig{Path: cfg.EnvFile, Getenv: cfg.Getenv, Log: h.log, Metrics: h.metrics.token}); err != nil {
		return nil, err
	}
	if h.profile, err = chooseProfile(cfg.Profile, h.store); err != nil {
		return nil, err
	}
	if err := cfg.Reloadable.check(); err != nil {
		return nil, err
	}
	h.reloadable.Store(&cfg.Reloadable)
	if err := checkExposure(cfg.Addr, h.store); err != nil {
		return nil, err
	}
	if h.door, err = openDoor(cfg.Addr); err != nil {
		return nil, cannotListen(cfg.Addr, "--addr", err)
	}
	if h.profile == "sim" {
		if err := h.openExchange(ctx); err != nil {
			return nil, err
		}
	}
	if h.kite, err = endpoints(h.profile, h.store, h.SimAddr()); err != nil {
		return nil, err
	}
	// One a profile: simulated mornings teach nothing about Kite's.
	h.memory = auth.NewStore(filepath.Join(cfg.StateDir, "expiry-"+h.profile+".json"))
	h.kite.Transport = newTransport()
	h.kite.Budget = kite.NewBudget()
	h.kite.Observe = h.metrics.rest.Observe
	if h.flight, err = openFlight(filepath.Join(cfg.StateDir, "traces"), h.log); err != nil {
		h.log.Warn("no traces will be kept of failures", "error", err) // no reason not to serve
	}
	if err := h.startTree(ctx); err != nil {
		return nil, err
	}
	if len(cfg.Reloadable.Instruments) > 0 {
		h.wantChosen(cfg.Reloadable)
	}
	return h, nil
}

// openExchange makes the simulator's .env file and the embedded exchange, or
// finds the one that the file names.
func (h *Server) openExchange(ctx context.Context) (err error) {
	redirect := "http://" + h.Addr() + "/callback"
	if err := bootstrapSim(ctx, h.store, redirect); err != nil {
		return err
	}
	if at := value(h.store, keyAPIURL); at != "" {
		h.far, err = openFarClock(ctx, at)
		h.clock = h.far
		return err
	}
	login := simulator.LoginAuto
	if h.cfg.Sim.ManualLogin {
		login = simulator.LoginManual
	}
	if file := h.cfg.Reloadable.HolidayFile; file != "" { // the market actor reads it only later
		table, err := hours.Load(file)
		if err != nil {
			return err
		}
		h.hours.Set(table)
	}
	h.exchange, err = simulator.New(simulator.Config{
		APIKey: SimAPIKey, APISecret: messages.NewSecret(SimAPISecret), RedirectURL: redirect, Login: login,
		StateDir: filepath.Join(h.cfg.StateDir, "simulator"), Seed: uint64(h.cfg.Sim.Seed), Speed: h.cfg.Sim.Speed,
		BarsDir: h.cfg.Sim.Bars, Instruments: h.cfg.Sim.Instruments, Rate: h.cfg.Sim.Rate, Sequence: true, Sampling: h.cfg.Sim.Sampling, Log: h.log,
		Start: h.cfg.Sim.Start, Hours: h.hours, TradingDay: h.cfg.Sim.TradingDay, OldSockets: h.cfg.Sim.OldSockets,
	})
	if err != nil {
		return fmt.Errorf("the simulated exchange: %w", err)
	}
	if err := h.exchange.Listen(h.cfg.Sim.Addr); err != nil {
		return cannotListen(h.cfg.Sim.Addr, "--sim-addr", err)
	}
	h.clock = h.exchange.Clock()
	if off := h.cfg.Sim.ClockOff; off != 0 {
		h.clock = offClock{h.clock, off}
	}
	return nil
}

// sequenced reports whether the exchange counts ticks in the last quantity.
func (h *Server) sequenced() bool { return h.exchange != nil || h.far != nil && h.far.counts() }

// secrets are the values that no log line may hold, whatever else fails.
func (h *Server) secrets() []messages.Secret {
	secrets := h.logins.Secrets()
	if h.store != nil {
		view := h.store.Current()
		secrets = append(secrets, h.store.Credentials().APISecret, h.store.Secret(token.KeyAccessToken), h.store.Secret(keyAdminToken),
			view.Adopted.Token.Secret, view.Candidate.Token.Secret)
		secrets = append(secrets, reminder.Secrets(h.store)...)
	}
	return secrets
}

// Stop ends the tree in reverse order and closes the doors. The error names
// what did not end in time.
func (h *Server) Stop(ctx context.Context) error {
	err := h.tree.Stop(ctx)
	h.closeDoors()
	return err
}

func (h *Server) closeDoors() {
	if h.door != nil {
		_ = h.door.TCPListener.Close()
	}
	if h.exchange != nil {
		_ = h.exchange.Close()
	}
	if h.far != nil {
		h.far.close()
	}
	if h.flight != nil {
		h.flight.close()
	}
	if t, ok := h.kite.Transport.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}

// SetKey writes one key of the .env file, as the command line does.
func (h *Server) SetKey(ctx context.Context, key, value string) error {
	return h.store.Set(ctx, key, value)
}

// Profile is the profile that auto came to.
func (h *Server) Profile() string { return h.profile }

// Addr is where the house listens.
func (h *Server) Addr() string { return h.door.Addr().String() }

// URL is the dashboard's address.
func (h *Server) URL() string { return "http://" + h.Addr() + "/" }

// SimAddr is where the embedded exchange listens, "" outside the sim profile.
func (h *Server) SimAddr() string {
	if h.exchange == nil {
		return ""
	}
	return h.exchange.Addr()
}

// buildInfo is what runs, as labels of a constant.
func buildInfo(version string) prometheus.Collector {
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "kitestring_build_info", Help: "1, with what runs as labels.",
		ConstLabels: prometheus.Labels{"version": version, "goversion": runtime.Version()},
	})
	info.Set(1)
	return info
}

// Exchange is the embedded exchange, nil outside the sim profile.
func (h *Server) Exchange() *simulator.Exchange { return h.exchange }

func (h *Server) process() api.StatusProcess {
	return api.StatusProcess{ID: os.Getpid(), StartedAt: h.started.UTC(), Version: h.cfg.Version}
}

// offClock is a clock that is wrong.
type offClock struct {
	actors.Clock
	off time.Duration
}

func (c offClock) Now() time.Time { return c.Clock.Now().Add(c.off) }

// wallClock is the exchange's time in live: the machine's.
type wallClock struct{}

func (wallClock) Now() time.Time { return time.Now() }

// doorway is our address, kept as long as the house stands: a server's Close
// only ends its Accept, so that a restarted web actor finds the port, nobody
// else can take it meanwhile, and who knocks waits.
type doorway struct{ *net.TCPListener }

func openDoor(addr string) (*doorway, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	return &doorway{l.(*net.TCPListener)}, nil
}

// Close implements net.Listener for the server on it.
func (d *doorway) Close() error { return d.SetDeadline(time.Now()) }

// listen gives the listener to an incarnation.
func (d *doorway) listen() (net.Listener, error) { return d, d.SetDeadline(time.Time{}) }

func cannotListen(addr, flag string, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%s is in use by another program, perhaps another kitestring. Stop it, or choose another address with %s", addr, flag)
	}
	return fmt.Errorf("cannot listen on %s: %w. Choose another address with %s", addr, reason(err), flag)
}

// reason is the innermost cause, without the call and the path that the
// message names already.
func reason(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}
