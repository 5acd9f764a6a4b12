package rehearse

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"strings"
	"time"

	"kitestring/actors/simulator"
	"kitestring/actors/web/api"
	"kitestring/messages"
	"kitestring/supervisor/tree"
)

// Setup is the server that a drill needs.
type Setup struct {
	Rate        int               // ticks a second of the whole exchange; 0: 1000
	Speed       float64           // of the exchange's clock; 0: 1
	Environment map[string]string // of the process, which is empty otherwise
	Prepare     func(r *Rig)      // before the server starts
	Cold        bool              // do not wait until it is live
	ManualLogin bool              // the exchange's login page waits for a click

	Gateway       bool // the server has a gateway
	GatewayOrders bool // that lets orders through

	Start      time.Time            // of the exchange's clock; zero: 09:15 of the latest trading day
	TradingDay func(time.Time) bool // of the exchange; nil: as the server's table has it
	OldSockets simulator.OldSockets // at a new login; "": they live
	Sampling   simulator.Sampling   // when sockets get packets; "": all at the same moments
	ClockOff   time.Duration        // how far the server's clock is ahead of the exchange's
}

// simSecret is the API secret of the embedded simulator.
const simSecret = tree.SimAPISecret

// open starts the server and, unless the setup wants it cold, waits until it
// is live.
func (r *Rig) open(setup Setup) {
	r.setup = setup
	r.config = tree.Config{
		EnvFile: r.EnvFile, StateDir: filepath.Join(r.Dir, "state"), Addr: "127.0.0.1:0", Profile: "sim", Version: "drill",
		Getenv: func(key string) string { return setup.Environment[key] },
		Log:    slog.New(slog.NewJSONHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Sim: tree.SimConfig{
			Addr: "127.0.0.1:0", Rate: cmp.Or(setup.Rate, 1000), Seed: 1, Speed: cmp.Or(setup.Speed, 1), ManualLogin: setup.ManualLogin,
			Start: setup.Start, TradingDay: setup.TradingDay, OldSockets: setup.OldSockets, ClockOff: setup.ClockOff, Sampling: setup.Sampling,
		},
	}
	if setup.Gateway {
		r.config.GatewayAddr = "127.0.0.1:0"
		r.config.Reloadable.GatewayOrders = setup.GatewayOrders
	}
	if setup.Prepare != nil {
		setup.Prepare(r)
	}
	server, err := tree.Open(r.ctx, r.config)
	if err != nil {
		failf("start the server: %w", err)
	}
	r.Server = server
	r.web, r.sim, r.gateway = server.Addr(), server.SimAddr(), server.GatewayAddr()
	r.cleanup(r.close)
	if !setup.Cold {
		r.live()
	}
}

// second starts another server, in a folder of its own, with a file that
// prepare lays out.
func (r *Rig) second(name string, setup Setup, prepare func(dir, content string) (path string, err error)) *Rig {
	s := r.sibling(filepath.Join(r.Dir, name))
	check(os.Mkdir(s.Dir, 0o700))
	addr := freeAddr()
	if setup.Environment != nil {
		setup.Environment["REDIRECT_URL"] = "http://" + addr + "/callback"
	}
	content, value := simFile(addr, setup.Start)
	r.secret(value)
	cold := setup.Cold
	setup.Cold, setup.ManualLogin = true, true
	setup.Prepare = func(s *Rig) {
		s.EnvFile = must(prepare(s.Dir, content))
		s.config.Addr, s.config.EnvFile = addr, s.EnvFile
	}
	s.open(setup)
	if !cold {
		s.live()
	}
	return s
}

// ready waits until /readyz says 200.
func (r *Rig) ready(d time.Duration) {
	r.within(d, "the server is live", func() (bool, any) {
		ready := get[api.Ready](r, "/readyz")
		return ready.Ready, fmt.Sprintf("token: %s; feed: %s", ready.Token, ready.Feed)
	})
}

// allInstruments is the least number of instruments of a server that has
// resolved its three indices, their futures and their option chains.
const allInstruments = 3 + 3 + 3*2*41

// live waits until the server is ready and has all its instruments, and keeps
// the token for the final checks.
func (r *Rig) live() {
	defer attempt(func() { r.secret(r.fileToken()) })
	r.ready(15 * time.Second)
	r.within(15*time.Second, "the option chains are subscribed", func() (bool, any) {
		n := r.status().Feed.Instruments
		return n >= allInstruments, fmt.Sprintf("%d instruments", n)
	})
}

// finalChecks are the demands at the end of every drill.
func (r *Rig) finalChecks() {
	if r.Server == nil {
		return
	}
	r.within(10*time.Second, "every holder is on the adopted generation", func() (bool, any) {
		t := r.token()
		return t.Coherent, fmt.Sprintf("adopted %d, holders %+v", t.Generation, t.Holders)
	})
	outputs := map[string][]byte{"the log": r.logBytes()}
	for _, path := range []string{"/metrics", "/api/v1/status", "/api/v1/token", "/api/v1/rotations", "/api/v1/actors", "/api/v1/events", "/"} {
		outputs[path] = r.call(http.MethodGet, r.web, path, nil)
	}
	r.noSecrets(outputs)
}

// noSecrets demands that no output contains a secret.
func (r *Rig) noSecrets(outputs map[string][]byte) {
	for _, name := range slices.Sorted(maps.Keys(outputs)) {
		for _, secret := range append(slices.Clone(r.secrets), simSecret) {
			if bytes.Contains(outputs[name], []byte(secret)) {
				failf("a secret is in the output of %s", name)
			}
		}
	}
}

// close stops a server in this process and demands that every goroutine of it
// has ended.
func (r *Rig) close() {
	if r.Server == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	before := r.still.SoFar()
	err := r.Server.Stop(ctx)
	r.Server = nil
	switch stood := r.still.SoFar() - before; {
	case err != nil && stood > time.Second:
		r.note("stopped late: %v", err) // the goroutines show whether all has ended
	case err != nil:
		failf("stop the server: %w", err)
	}
	r.noLeaks()
}

// noLeaks demands that every goroutine of the drill has ended.
func (r *Rig) noLeaks() {
	var left []string
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		left = left[:0]
		for g := range goroutines() {
			if !r.before[g] {
				left = append(left, g)
			}
		}
		if len(left) == 0 {
			return
		}
	}
	failf("%d goroutines left over, e.g. %s", len(left), left[0])
}

// goroutines are the goroutines of the server and of its sockets, each by the
// function that it was started with.
func goroutines() map[string]bool {
	var buf bytes.Buffer
	_ = pprof.Lookup("goroutine").WriteTo(&buf, 2)
	found := map[string]bool{}
	for stack := range strings.SplitSeq(buf.String(), "\n\n") {
		if (strings.Contains(stack, "kitestring/actors/") || strings.Contains(stack, "kitestring/supervisor")) && !strings.Contains(stack, "rehearse.goroutines") && !strings.Contains(stack, "/channelstest.") {
			head, _, _ := strings.Cut(stack, " [")
			_, creator, _ := strings.Cut(stack, "created by ")
			creator, _, _ = strings.Cut(creator, "\n")
			found[head+" "+creator] = true
		}
	}
	return found
}

// freeAddr is a loopback address that was free a moment ago.
func freeAddr() string {
	l := must(net.Listen("tcp", "127.0.0.1:0"))
	check(l.Close())
	return l.Addr().String()
}

// simFile is a simulator's .env with a token that the exchange will accept:
// tokens certify themselves, so one exchange's are another's until the next day;
// start is of its clock, zero for the latest trading day.
func simFile(addr string, start time.Time) (content, value string) {
	if start.IsZero() {
		start = time.Now().Add(24 * time.Hour) // midnight may pass before the server starts; a token of tomorrow works today, too
	}
	ex := must(simulator.New(simulator.Config{APIKey: tree.SimAPIKey, APISecret: messages.NewSecret(simSecret), Start: start}))
	value = must(ex.IssueToken()).Reveal()
	return fmt.Sprintf("# a simulator's file\nKITESTRING_PROFILE=sim\nZERODHA_API_KEY=%s\nZERODHA_API_SECRET=%s\nREDIRECT_URL=http://%s/callback\nZERODHA_ACCESS_TOKEN=%s\n",
		tree.SimAPIKey, simSecret, addr, value), value
}

// plainFile is a file like any other.
func plainFile(dir, content string) (string, error) {
	path := filepath.Join(dir, ".env")
	return path, os.WriteFile(path, []byte(content), 0o600)
}

// withLiveToken gives a server whose login a person approves a token to start
// with.
func withLiveToken(r *Rig) { r.startWith(func(content, _ string) string { return content }) }

// withDeadToken makes the server start with a token that was rotated away.
func withDeadToken(r *Rig) {
	r.startWith(func(content, value string) string { return strings.Replace(content, value, strings.Repeat("D", 32), 1) })
}

func (r *Rig) startWith(edit func(content, value string) string) {
	r.config.Addr = freeAddr()
	content, value := simFile(r.config.Addr, r.setup.Start)
	r.secret(value)
	check(os.WriteFile(r.EnvFile, []byte(edit(content, value)), 0o600))
}
