package drills

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strings"
	"sync"
	"time"

	"kitestring/actors/simulator"
	"kitestring/actors/web/api"
	"kitestring/messages"
	"kitestring/supervisor/tree"
)

// Setup is the server that a drill needs.
type Setup struct {
	Rate        int                // ticks a second of the whole exchange; 0: 1000
	Speed       float64            // of the exchange's clock; 0: 1
	Environment map[string]string  // of the process, beside nothing
	Prepare     func(r *Rig) error // before the server starts
	Cold        bool               // do not wait until it is live
	ManualLogin bool               // nobody logs in by himself

	Start      time.Time            // of the exchange's clock; zero: 09:15 of the latest trading day
	TradingDay func(time.Time) bool // of the exchange; nil: as our table has it
	OldSockets simulator.OldSockets // at a new login; "": they live
	ClockOff   time.Duration        // how far our clock is ahead of the exchange's
}

// Rig is a running server with hands on it.
type Rig struct {
	Dir, EnvFile string
	House        *tree.Server
	setup        Setup
	config       tree.Config
	web, sims    string // addresses of the server and of the exchange
	http         *http.Client
	log          *capture
	before       map[string]bool // goroutines that were there already
	secrets      []string        // that no output may hold
	recovered    time.Duration
	detail       string
	options      Options
	still        *Standstill // one of a whole drill
}

// open starts the server and, unless the setup wants it cold, waits until it
// is live.
func open(ctx context.Context, setup Setup, dir string, options Options, still *Standstill) (*Rig, error) {
	if setup.Rate == 0 {
		setup.Rate = 1000
	}
	if setup.Speed == 0 {
		setup.Speed = 1
	}
	r := &Rig{
		Dir: dir, EnvFile: filepath.Join(dir, ".env"), setup: setup,
		http: &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}},
		log:  &capture{}, before: goroutines(), options: options, still: still,
	}
	r.config = tree.Config{
		EnvFile: r.EnvFile, StateDir: filepath.Join(dir, "state"), Addr: "127.0.0.1:0", Profile: "sim", Version: "drill",
		Getenv: func(key string) string { return setup.Environment[key] },
		Log:    slog.New(slog.NewJSONHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Sim: tree.SimConfig{
			Addr: "127.0.0.1:0", Rate: setup.Rate, Seed: 1, Speed: setup.Speed, ManualLogin: setup.ManualLogin,
			Start: setup.Start, TradingDay: setup.TradingDay, OldSockets: setup.OldSockets, ClockOff: setup.ClockOff,
		},
	}
	if setup.Prepare != nil {
		if err := setup.Prepare(r); err != nil {
			return r, err
		}
	}
	if err := r.start(ctx); err != nil {
		return r, err
	}
	if setup.Cold {
		return r, nil
	}
	return r, r.live(ctx)
}

// start starts the server (again).
func (r *Rig) start(ctx context.Context) error {
	house, err := tree.Open(ctx, r.config)
	if err != nil {
		return fmt.Errorf("start the server: %w", err)
	}
	r.House = house
	r.web, r.sims = house.Addr(), house.SimAddr()
	// The same addresses at a second start, as an operator would have them.
	r.config.Addr, r.config.Sim.Addr = house.Addr(), house.SimAddr()
	return nil
}

// live waits until /readyz says 200, and keeps the token for the last check.
func (r *Rig) live(ctx context.Context) error {
	err := r.within(ctx, 15*time.Second, "the server is live", func() (bool, string) {
		var ready api.Ready
		if err := r.get("/readyz", &ready); err != nil {
			return false, err.Error()
		}
		return ready.Ready, fmt.Sprintf("token: %s; feed: %s", ready.Token, ready.Feed)
	})
	if value, e := r.fileToken(); e == nil {
		r.secrets = append(r.secrets, value)
	}
	if err != nil {
		return err
	}
	return r.within(ctx, 15*time.Second, "the option chains are subscribed", func() (bool, string) {
		var st api.Status
		if err := r.get("/api/v1/status", &st); err != nil {
			return false, err.Error()
		}
		return st.Feed.Instruments >= wholeHouse, fmt.Sprintf("%d instruments", st.Feed.Instruments)
	})
}

// wholeHouse is the least number of instruments of a house that has resolved
// its three indices, their futures and their option chains.
const wholeHouse = 3 + 3 + 3*2*41

// holds are the demands at the end of every drill.
func (r *Rig) holds(ctx context.Context) error {
	if r.House == nil {
		return nil
	}
	err := r.within(ctx, 10*time.Second, "every holder is on the adopted generation", func() (bool, string) {
		var t api.Token
		if err := r.get("/api/v1/token", &t); err != nil {
			return false, err.Error()
		}
		return t.Coherent, fmt.Sprintf("adopted %d, holders %+v", t.Generation, t.Holders)
	})
	outputs := map[string][]byte{"log": r.log.bytes()}
	for _, path := range []string{"/metrics", "/api/v1/status", "/api/v1/token", "/api/v1/rotations", "/api/v1/actors", "/api/v1/events", "/"} {
		body, e := r.raw(http.MethodGet, path, nil)
		if e != nil {
			err = errors.Join(err, e)
			continue
		}
		outputs[path] = body
	}
	for name, output := range outputs {
		for _, secret := range append(r.secrets, simSecret) {
			if bytes.Contains(output, []byte(secret)) {
				err = errors.Join(err, fmt.Errorf("a secret stands in the output of %s", name))
			}
		}
	}
	return err
}

// simSecret is the API secret of the embedded simulator.
const simSecret = tree.SimAPISecret

func (r *Rig) close() error {
	if r.House == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	before := r.still.SoFar()
	err := r.House.Stop(ctx)
	r.House = nil
	if stood := r.still.SoFar() - before; err != nil && stood > time.Second {
		r.note("stopped late: %v", err) // the leavings tell whether all has ended
		return nil
	}
	if err != nil {
		return fmt.Errorf("stop the server: %w", err)
	}
	return nil
}

// leavings demands that every goroutine of the drill has ended.
func (r *Rig) leavings() error {
	r.http.CloseIdleConnections()
	var left []string
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		left = left[:0]
		for g := range goroutines() {
			if !r.before[g] {
				left = append(left, g)
			}
		}
		if len(left) == 0 {
			return nil
		}
	}
	return fmt.Errorf("%d goroutines stayed behind, e.g. %s", len(left), left[0])
}

// goroutines are the goroutines of ours and of our sockets, each by the
// function that it was started with.
func goroutines() map[string]bool {
	var buf bytes.Buffer
	_ = pprof.Lookup("goroutine").WriteTo(&buf, 2)
	found := map[string]bool{}
	for _, stack := range strings.Split(buf.String(), "\n\n") {
		head, _, _ := strings.Cut(stack, " [")
		if strings.Contains(stack, "kitestring/actors/") || strings.Contains(stack, "kitestring/supervisor") {
			if !strings.Contains(stack, "drills.goroutines") {
				found[head+" "+created(stack)] = true
			}
		}
	}
	return found
}

func created(stack string) string {
	_, by, ok := strings.Cut(stack, "created by ")
	if !ok {
		return ""
	}
	line, _, _ := strings.Cut(by, "\n")
	return line
}

// lastWords are the newest warnings of the log, for a drill that failed.
func (r *Rig) lastWords() string {
	var words []string
	for line := range strings.Lines(string(r.log.bytes())) {
		if strings.Contains(line, `"level":"WARN"`) || strings.Contains(line, `"level":"ERROR"`) {
			words = append(words, strings.TrimSpace(line))
		}
	}
	if len(words) == 0 {
		return ""
	}
	return "; last warnings: " + strings.Join(words[max(0, len(words)-3):], " ")
}

// within polls until ok, or names what was never true. Time in which the
// machine stood still does not count.
func (r *Rig) within(ctx context.Context, d time.Duration, what string, ok func() (bool, string)) error {
	start, before := time.Now(), r.still.SoFar()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		stood := r.still.SoFar() - before
		over := time.Since(start) >= d+stood // before the look, so that the last one is not too early
		done, seen := ok()
		switch {
		case done:
			return nil
		case over || ctx.Err() != nil:
			err := fmt.Errorf("not within %s: %s (last seen: %s)", d, what, seen)
			if stood > time.Second {
				err = fmt.Errorf("%w, although the machine stood still for %s meanwhile, which is not counted", err, stood.Round(time.Millisecond))
			}
			return err
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// during demands that something stays true for a while.
func (r *Rig) during(ctx context.Context, d time.Duration, what string, ok func() (bool, string)) error {
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(d); ; {
		if still, seen := ok(); !still {
			return fmt.Errorf("did not stay true: %s (seen: %s)", what, seen)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-end:
			return nil
		case <-tick.C:
		}
	}
}

// note keeps a sentence for the verdict.
func (r *Rig) note(format string, args ...any) {
	if r.detail != "" {
		r.detail += "; "
	}
	r.detail += fmt.Sprintf(format, args...)
}

// recovery keeps the longest recovery.
func (r *Rig) recovery(d time.Duration) { r.recovered = max(r.recovered, d) }

func (r *Rig) get(path string, into any) error {
	body, err := r.raw(http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	return api.Decode(body, into)
}

func (r *Rig) post(path string, body any) error {
	_, err := r.raw(http.MethodPost, path, body)
	return err
}

// raw asks the server; 503 is an answer (of /readyz), every other status of
// 400 and above an error.
func (r *Rig) raw(method, path string, body any) ([]byte, error) {
	return r.call(method, "http://"+r.web+path, body)
}

// sim asks the simulated exchange's admin interface.
func (r *Rig) sim(method, path string, body, into any) error {
	data, err := r.call(method, "http://"+r.sims+"/sim/v1"+path, body)
	if err != nil || into == nil {
		return err
	}
	return api.Decode(data, into)
}

func (r *Rig) call(method, url string, body any) ([]byte, error) {
	var payload io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		payload = bytes.NewReader(data)
	}
	req, err := http.NewRequest(method, url, payload)
	if err != nil {
		return nil, err
	}
	resp, err := r.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= 400 && resp.StatusCode != http.StatusServiceUnavailable {
		err = fmt.Errorf("%s %s: %s: %s", method, req.URL.Path, resp.Status, bytes.TrimSpace(data))
	}
	return data, err
}

// rotate makes the exchange issue a new token; the old one is dead then.
func (r *Rig) rotate() (string, error) {
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	if err := r.sim(http.MethodPost, "/token", map[string]string{"action": "rotate"}, &answer); err != nil {
		return "", err
	}
	r.secrets = append(r.secrets, answer.AccessToken)
	return answer.AccessToken, nil
}

// fileToken is the token that stands in the file.
func (r *Rig) fileToken() (string, error) {
	data, err := os.ReadFile(r.EnvFile)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(data)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), "ZERODHA_ACCESS_TOKEN="); ok {
			return strings.Trim(value, `'"`), nil
		}
	}
	return "", errors.New("the file holds no token")
}

// withToken is the file's content with another token.
func (r *Rig) withToken(value string) ([]byte, error) {
	data, err := os.ReadFile(r.EnvFile)
	if err != nil {
		return nil, err
	}
	var out strings.Builder
	for line := range strings.Lines(string(data)) {
		if !strings.HasPrefix(line, "ZERODHA_ACCESS_TOKEN=") {
			out.WriteString(line)
		}
	}
	fmt.Fprintf(&out, "ZERODHA_ACCESS_TOKEN=%s\n", value)
	return []byte(out.String()), nil
}

// byRename writes a token as careful writers do: a new file, moved over.
func (r *Rig) byRename(value string) error {
	data, err := r.withToken(value)
	if err != nil {
		return err
	}
	tmp := r.EnvFile + ".new"
	if err := os.WriteFile(tmp, data, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, r.EnvFile)
}

// inPlace writes a token as "echo >" does: truncate, then write.
func (r *Rig) inPlace(value string) error {
	data, err := r.withToken(value)
	if err != nil {
		return err
	}
	return os.WriteFile(r.EnvFile, data, 0o600)
}

// loggedAt is the time of the newest log line that holds all parts.
func (r *Rig) loggedAt(parts ...string) (at time.Time, found bool) {
	if all := r.allLogged(parts...); len(all) > 0 {
		return all[len(all)-1], true
	}
	return at, false
}

// allLogged are the times of the log lines that hold all parts.
func (r *Rig) allLogged(parts ...string) (all []time.Time) {
	for line := range bytes.Lines(r.log.bytes()) {
		if !containsAll(line, parts) {
			continue
		}
		var record struct {
			Time time.Time `json:"time"`
		}
		if json.Unmarshal(line, &record) == nil {
			all = append(all, record.Time)
		}
	}
	return all
}

func containsAll(line []byte, parts []string) bool {
	for _, part := range parts {
		if !bytes.Contains(line, []byte(part)) {
			return false
		}
	}
	return true
}

func writeFile(path, content string) error { return os.WriteFile(path, []byte(content), 0o600) }

// generation is the adopted one.
func (r *Rig) generation() (messages.Generation, error) {
	var t api.Token
	err := r.get("/api/v1/token", &t)
	return t.Generation, err
}

// adopted waits until generation g is adopted and every holder works with it.
func (r *Rig) adopted(ctx context.Context, g messages.Generation, d time.Duration) error {
	return r.within(ctx, d, fmt.Sprintf("generation %d is adopted by all", g), func() (bool, string) {
		var t api.Token
		if err := r.get("/api/v1/token", &t); err != nil {
			return false, err.Error()
		}
		return t.Generation == g && t.Coherent, fmt.Sprintf("adopted %d, coherent %t, holders %+v", t.Generation, t.Coherent, t.Holders)
	})
}

// receipt waits for the finished receipt of a generation.
func (r *Rig) receipt(ctx context.Context, g messages.Generation) (messages.Rotation, error) {
	var found messages.Rotation
	err := r.within(ctx, 10*time.Second, fmt.Sprintf("the receipt of generation %d is complete", g), func() (bool, string) {
		var all []messages.Rotation
		if err := r.get("/api/v1/rotations", &all); err != nil {
			return false, err.Error()
		}
		for _, rot := range all {
			if rot.Generation == g {
				found = rot
			}
		}
		// The profile's word and the first tick may come after the old socket's end.
		return found.TotalMS != nil && missing(found) == "", fmt.Sprintf("%s, no stage %q", found.Result, missing(found))
	})
	return found, err
}

// workers are the names of the actors, in the tree's order.
func (r *Rig) workers() ([]api.Actor, error) {
	var all []api.Actor
	if err := r.get("/api/v1/actors", &all); err != nil {
		return nil, err
	}
	var workers []api.Actor
	for _, a := range all {
		if a.Kind == "worker" {
			workers = append(workers, a)
		}
	}
	return workers, nil
}

// capture keeps the log.
type capture struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (c *capture) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.buf.Write(p)
}

// size is the memory that it takes.
func (c *capture) size() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.buf.Cap()
}

func (c *capture) bytes() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Clone(c.buf.Bytes())
}
