package tree

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"kitestring/actors"
	"kitestring/actors/alerts"
	"kitestring/actors/assume"
	"kitestring/actors/auth"
	"kitestring/actors/bars"
	"kitestring/actors/bus"
	"kitestring/actors/chain"
	"kitestring/actors/channels"
	"kitestring/actors/feed"
	"kitestring/actors/hours"
	"kitestring/actors/instruments"
	"kitestring/actors/kite"
	"kitestring/actors/market"
	"kitestring/actors/optionchain"
	"kitestring/actors/peers"
	"kitestring/actors/ready"
	"kitestring/actors/record"
	"kitestring/actors/reminder"
	"kitestring/actors/replies"
	"kitestring/actors/simulator"
	"kitestring/actors/token"
	"kitestring/actors/web"
	"kitestring/actors/web/api"
	"kitestring/messages"
	"kitestring/supervisor"
	"kitestring/supervisor/tree/flight"
	"kitestring/supervisor/tree/profile"
	"kitestring/supervisor/tree/remoteclock"
)

// Config is what a person may configure of the server.
type Config struct {
	EnvFile     string // absolute
	StateDir    string // absolute; made when it is missing
	Addr        string // of the dashboard and the API; port 0: any
	GatewayAddr string // of the gateway; port 0: any; "": none
	// GatewayOptional lets the server run without a gateway when another program
	// has its port, with a warning: nobody asked for that port.
	GatewayOptional bool
	Profile         string // auto, sim, sandbox, live
	Version         string
	Runbook         string // for the page; "": there is none
	Getenv          func(key string) string
	Log             *slog.Logger
	LogMetrics      prometheus.Collector // of the stream that Log writes to; nil: none
	Sim             SimConfig

	Reloadable Reloadable // of the configuration file; Reload changes them

	// PeerWrites gets what is written to a peer inside TLS, for tests; nil: not wanted.
	PeerWrites func([]byte)

	RecordDisk record.Disk // that the recorder writes to, for drills; zero: the system's

	// Pulse gets the tree's health ten times a second; a supervisor that hangs
	// has none. It must not block. nil: none.
	Pulse func(supervisor.Health)
}

// SimConfig is what a person may configure of the embedded exchange.
type SimConfig struct {
	Addr        string               // loopback; port 0: any
	ManualLogin bool                 // a person approves; otherwise it logs in to itself
	Tape        *simulator.Recording // played in place of prices; nil: none
	RecordTape  bool                 // what is played is recorded once more
	Bars        string               // folder of bars that prices follow; "": they walk
	Seed        int64
	Speed       float64
	Rate        int                // ticks a second in all; 0: each instrument at its own pace
	Instruments int                // extra ones, for load
	Sampling    simulator.Sampling // when sockets get packets; "": all at once

	// For drills.
	Start      time.Time                // of its clock; zero: the open of the latest trading day
	TradingDay func(day time.Time) bool // by midnight IST; nil: as the table of hours has it
	OldSockets simulator.OldSockets     // what a new login does to open sockets; "": they live
	ClockOff   time.Duration            // how far the server's clock is ahead of the exchange's
}

// The simulator's credentials. They open nothing but a simulator.
const (
	SimAPIKey    = profile.SimAPIKey
	SimAPISecret = profile.SimAPISecret
)

// Server is the running program: the tree, and what outlives every actor in it.
//
// What must survive the process is in the state directory (mode 0700), each
// file written whole or not at all; all of it may be removed while no server
// runs. The .env file is not in there.
//
//	expiry-PROFILE.json   when tokens ended in the mornings, as observed (auth)
//	gateway-clients-PROFILE.json   who may use the gateway; keys as hashes only
//	account-PROFILE       the account of the last login (auth)
//	peers-PROFILE/        keys of this server, and the second server that shares its login
//	record/PROFILE/       what Kite sent, a folder a day; removed by age and size
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

	connections atomic.Int64 // open on all addresses that the server listens on

	// What outlives incarnations. An actor asks it at each start.
	store        *token.Store
	authStore    *auth.Store
	logins       *auth.Logins
	feed         *feed.Store
	series       *bars.Store
	opening      *optionchain.OpenInterest
	instruments  *instruments.Store
	chains       *chain.Store
	phases       *market.PhaseStore
	hours        *hours.Store
	reminders    *reminder.Store
	alerts       *alerts.Store
	webStore     *web.Store
	gateway      *gatewayParts // nil: there is none
	recorder     *record.Store
	bus          *bus.Store // nil: there is none
	peers        *peers.Config
	peerListener *sharedListener // nil: the server listens for none
	boot         string          // names this start of the process
	ready        *ready.Store
	replies      *replies.Store
	login        *auth.Handlers
	lastLogin    atomic.Pointer[messages.LoginEnded] // that brought a token; nil: none
	assumed      *assume.Ledger                      // what Kite was seen to do of what is assumed of it
	answers      answers                             // of Kite's REST
	exchange     *simulator.Exchange                 // nil unless it is embedded
	remote       *remoteclock.Clock                  // of a simulator in another process; nil: none
	flight       *flight.Recorder                    // nil: the process has another one

	kite    kite.Exchange
	clock   actors.Clock
	metrics metrics

	listener *sharedListener
	unlock   func() // of the .env file
	tree     *supervisor.Supervisor
}

// metrics are made once; actors come and go.
type metrics struct {
	token *token.Metrics
	auth  *auth.Metrics
	rest  *kite.Metrics
	feed  *feed.Metrics
	web   *web.Metrics

	record *record.Metrics
}

// Open prepares the server, listens and starts the tree. Its errors are
// for people: what happened and what to do.
func Open(ctx context.Context, cfg Config) (_ *Server, err error) {
	s := &Server{
		cfg: cfg, started: time.Now(), registry: prometheus.NewRegistry(), clock: wallClock{},
		logins: auth.NewLogins(),
		feed:   feed.NewStore(), series: &bars.Store{}, opening: &optionchain.OpenInterest{},
		instruments: instruments.NewStore(), chains: &chain.Store{}, phases: &market.PhaseStore{}, hours: &hours.Store{}, webStore: web.NewStore(),
	}
	s.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), buildInfo(cfg.Version))
	if cfg.LogMetrics != nil {
		s.registry.MustRegister(cfg.LogMetrics)
	}
	market.Metrics(s.registry, s.phases)
	s.reminders = reminder.NewStore(s.registry)
	s.ready = ready.NewStore(s.registry)
	s.replies = replies.NewStore(s.registry)
	s.alerts = alerts.NewStore(s.registry)
	defer func() {
		if err != nil {
			s.closeAll()
		}
	}()
	s.log = slog.New(auth.NewScrubber(cfg.Log.Handler(), s.secrets))
	if err := os.MkdirAll(cfg.StateDir, 0o700); err != nil {
		return nil, fmt.Errorf("the state directory %s cannot be made: %w. Choose another with --state-dir", cfg.StateDir, reason(err))
	}
	s.metrics = metrics{
		token: token.NewMetrics(s.registry), auth: auth.NewMetrics(s.registry), rest: kite.NewMetrics(s.registry),
		feed: feed.NewMetrics(s.registry, s.feed), web: web.NewMetrics(s.registry),
	}
	if s.store, err = token.Open(token.StoreConfig{Path: cfg.EnvFile, Getenv: cfg.Getenv, Log: s.log, Metrics: s.metrics.token}); err != nil {
		return nil, err
	}
	if s.profile, err = profile.Resolve(cfg.Profile, s.store); err != nil {
		return nil, err
	}
	if err := cfg.Reloadable.check(); err != nil {
		return nil, err
	}
	s.reloadable.Store(&cfg.Reloadable)
	if err := profile.CheckExposure("--addr", cfg.Addr, s.store); err != nil {
		return nil, err
	}
	if s.listener, err = listenShared(cfg.Addr, s.log, &s.connections); err != nil {
		return nil, cannotListen(cfg.Addr, "--addr", err)
	}
	if s.unlock, err = lockEnv(cfg.EnvFile, s.URL()); err != nil {
		return nil, err
	}
	if err := s.openGateway(); err != nil {
		return nil, err
	}
	s.registry.MustRegister(s.listener.collectors(s.webStore.RefusedConnections)...)
	if s.profile == "sim" {
		if err := s.openExchange(ctx); err != nil {
			return nil, err
		}
	}
	if s.kite, err = profile.Endpoints(s.profile, s.store, s.SimAddr()); err != nil {
		return nil, err
	}
	s.registry.MustRegister(s.replayTicks())
	s.openRecorder()
	s.openBus()
	// One a profile: simulated mornings teach nothing about Kite's.
	s.authStore = auth.NewStore(filepath.Join(cfg.StateDir, "expiry-"+s.profile+".json"))
	s.answers.base, s.answers.clock = newTransport(), s.clock
	s.kite.Transport = &s.answers
	s.kite.Budget = kite.NewBudget()
	s.assumed = assume.NewLedger(s.clock, s.contradicted)
	s.registry.MustRegister(s.assumed)
	s.kite.Observe = func(class kite.Class, code int, took time.Duration) {
		s.metrics.rest.Observe(class, code, took)
		if code == http.StatusOK || code == http.StatusTooManyRequests {
			s.assumed.Note(messages.RequestLimits, code == http.StatusOK, 1)
		}
	}
	s.kite.Skipped = func(class kite.Class, items int, why string) {
		s.metrics.rest.Skip(class, items)
		s.log.Warn("part of an answer of kite could not be read and is left out", "class", string(class), "items", items, "first", why)
	}
	if err := s.openPeers(); err != nil {
		return nil, err
	}
	if s.flight, err = flight.Open(filepath.Join(cfg.StateDir, "traces"), s.log, s.recordedNow); err != nil {
		s.log.Warn("no traces will be kept of failures", "error", err) // no reason not to serve
	}
	if err := s.startTree(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// contradicted says once a row that Kite does not do what is assumed of it.
func (s *Server) contradicted(r assume.Row) {
	s.log.Warn("an assumption about kite is contradicted for the first time", "assumption", string(r.Name), "claim", r.Claim, "fallback", r.Fallback)
	s.webStore.Note("assumption", "Kite does not do what is assumed of it (%s): %s What is done instead: %s", r.Name, r.Claim, r.Fallback)
}

// openExchange makes the simulator's .env file and the embedded exchange, or
// finds the one that the file names.
func (s *Server) openExchange(ctx context.Context) (err error) {
	redirect := "http://" + s.Addr() + "/callback"
	if err := profile.Bootstrap(ctx, s.store, redirect); err != nil {
		return err
	}
	if at := profile.Value(s.store, profile.KeyAPIURL); at != "" {
		s.remote, err = remoteclock.Open(ctx, at)
		s.clock = s.remote
		return err
	}
	login := simulator.LoginAuto
	if s.cfg.Sim.ManualLogin {
		login = simulator.LoginManual
	}
	if file := s.cfg.Reloadable.HolidayFile; file != "" { // the market actor reads it only later
		table, err := hours.Load(file)
		if err != nil {
			return err
		}
		s.hours.Set(table)
	}
	s.exchange, err = simulator.New(simulator.Config{
		APIKey: SimAPIKey, APISecret: messages.NewSecret(SimAPISecret), RedirectURL: redirect, Login: login,
		StateDir: filepath.Join(s.cfg.StateDir, "simulator"), Seed: uint64(s.cfg.Sim.Seed), Speed: s.cfg.Sim.Speed,
		BarsDir: s.cfg.Sim.Bars, Tape: s.cfg.Sim.Tape, Instruments: s.cfg.Sim.Instruments, Rate: s.cfg.Sim.Rate, Sequence: true, Sampling: s.cfg.Sim.Sampling, Log: s.log,
		Start: s.cfg.Sim.Start, Hours: s.hours, TradingDay: s.cfg.Sim.TradingDay, OldSockets: s.cfg.Sim.OldSockets,
	})
	if err != nil {
		return fmt.Errorf("the simulated exchange: %w", err)
	}
	if err := s.exchange.Listen(s.cfg.Sim.Addr); err != nil {
		return cannotListen(s.cfg.Sim.Addr, "--sim-addr", err)
	}
	s.clock = s.exchange.Clock()
	if off := s.cfg.Sim.ClockOff; off != 0 {
		s.clock = offClock{s.clock, off}
	}
	return nil
}

// sequenced reports whether the exchange counts ticks in the last quantity, and
// sends each of them: sockets with moments of their own leave ticks out, and a
// hole in the numbers is no loss then.
func (s *Server) sequenced() bool {
	if s.cfg.Sim.Tape != nil {
		return s.cfg.Sim.Tape.Sequenced
	}
	return s.exchange != nil && s.cfg.Sim.Sampling != simulator.SamplingIndependent || s.remote != nil && s.remote.Counts()
}

// secrets are the values that no log line may hold, whatever else fails.
func (s *Server) secrets() []messages.Secret {
	secrets := s.logins.Secrets()
	if s.store != nil {
		view := s.store.Current()
		secrets = append(secrets, s.store.Credentials().APISecret, s.store.Secret(token.KeyAccessToken), s.store.Secret(profile.KeyAdminToken),
			view.Adopted.Token.Secret, view.Candidate.Token.Secret)
		secrets = append(secrets, channels.Secrets(s.store)...)
	}
	return secrets
}

// Stop ends the tree in reverse order and closes the doors. The error names
// what did not end in time.
func (s *Server) Stop(ctx context.Context) error {
	err := s.tree.Stop(ctx)
	s.closeAll()
	return err
}

func (s *Server) closeAll() {
	if s.unlock != nil {
		s.unlock()
	}
	if s.listener != nil {
		_ = s.listener.TCPListener.Close()
	}
	if s.gateway != nil {
		_ = s.gateway.listener.TCPListener.Close()
	}
	if s.peerListener != nil {
		_ = s.peerListener.TCPListener.Close()
	}
	if s.recorder != nil {
		_ = s.recorder.Close()
	}
	if s.bus != nil {
		_ = s.bus.Close()
	}
	if s.exchange != nil {
		_ = s.exchange.Close()
	}
	if s.remote != nil {
		s.remote.Close()
	}
	if s.flight != nil {
		s.flight.Close()
	}
	if t, ok := s.kite.Transport.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}

// SetKey writes one key of the .env file, as the command line does.
func (s *Server) SetKey(ctx context.Context, key, value string) error {
	return s.store.Set(ctx, key, value)
}

// Profile is the profile that auto came to.
func (s *Server) Profile() string { return s.profile }

// Addr is where the server listens.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// URL is the dashboard's address, as a browser on this machine opens it.
func (s *Server) URL() string { return web.PageURL(s.Addr()) }

// SimAddr is where the embedded exchange listens, "" outside the sim profile.
func (s *Server) SimAddr() string {
	if s.exchange == nil {
		return ""
	}
	return s.exchange.Addr()
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
func (s *Server) Exchange() *simulator.Exchange { return s.exchange }

func (s *Server) process() api.StatusProcess {
	return api.StatusProcess{ID: os.Getpid(), StartedAt: s.started.UTC(), Version: s.cfg.Version}
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
