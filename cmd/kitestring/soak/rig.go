package soak

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"kitestring/actors/simulator"
	"kitestring/actors/web/api"
	"kitestring/messages"
)

// rig is a simulated exchange and a server on it, with hands on both.
type rig struct {
	o           Options
	sim, server *process
	simURL, url string // without a slash at the end
	envFile     string
	lines       []string // of the .env file, without the token
	http        *http.Client
}

func newRig(o Options) *rig {
	return &rig{
		o: o, envFile: filepath.Join(o.Dir, ".env"),
		http: &http.Client{Timeout: 15 * time.Second, Transport: &http.Transport{}},
	}
}

// openSim starts the exchange.
func (r *rig) openSim(args ...string) error {
	var err error
	if r.sim, err = start(r.o, "sim", append([]string{"sim", "--addr", "127.0.0.1:0"}, args...)...); err != nil {
		return err
	}
	line, err := r.sim.firstLine(30 * time.Second)
	if err != nil {
		return err
	}
	var said struct {
		APIURL string `json:"api_url"`
		APIKey string `json:"api_key"`
	}
	if err := json.Unmarshal([]byte(line), &said); err != nil || said.APIURL == "" {
		return fmt.Errorf("the simulator said %q", line)
	}
	r.simURL = said.APIURL
	r.lines = []string{
		"KITESTRING_PROFILE=sim", "KITE_API_URL=" + said.APIURL, "ZERODHA_API_KEY=" + said.APIKey,
		"ZERODHA_API_SECRET=simsecret", // the simulator's own when it is told none
	}
	return nil
}

// openServer starts the server.
func (r *rig) openServer(args ...string) error {
	var err error
	r.server, err = start(r.o, "server", append([]string{
		"run", "--profile", "sim", "--env-file", r.envFile, "--state-dir", filepath.Join(r.o.Dir, "state"), "--log-format", "json",
	}, args...)...)
	if err != nil {
		return err
	}
	line, err := r.server.firstLine(30 * time.Second)
	if err != nil {
		return err
	}
	_, at, ok := strings.Cut(line, "dashboard at ")
	if !ok {
		return fmt.Errorf("the server said %q", line)
	}
	r.url = strings.TrimSuffix(at, "/")
	return nil
}

// close stops both, the server first.
func (r *rig) close() (err error) {
	r.http.CloseIdleConnections()
	for _, p := range []*process{r.server, r.sim} {
		if p != nil {
			err = errors.Join(err, p.stop())
		}
	}
	return err
}

// writeToken puts a token into the .env file, as a careful writer does.
func (r *rig) writeToken(token string) error {
	text := strings.Join(r.lines, "\n") + "\n"
	if token != "" {
		text += "ZERODHA_ACCESS_TOKEN=" + token + "\n"
	}
	next := r.envFile + ".next"
	if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
		return fmt.Errorf("write the .env file: %w", err)
	}
	if err := os.Rename(next, r.envFile); err != nil {
		return fmt.Errorf("write the .env file: %w", err)
	}
	return nil
}

// rotate makes the exchange issue a new token and puts it into the file.
func (r *rig) rotate() error {
	var said struct {
		AccessToken string `json:"access_token"`
	}
	if err := r.call(http.MethodPost, r.simURL+"/sim/v1/token", map[string]string{"action": "rotate"}, &said); err != nil {
		return err
	}
	return r.writeToken(said.AccessToken)
}

// login visits the server's login, as a person's browser does.
func (r *rig) login(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url+"/login", nil)
	if err != nil {
		return err
	}
	resp, err := r.http.Do(req)
	if err != nil {
		return fmt.Errorf("log in: %w", withoutURL(err))
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("log in: %s", resp.Status)
	}
	return nil
}

// live waits until the server is ready.
func (r *rig) live(ctx context.Context, d time.Duration) error {
	return within(ctx, d, "the server is live", func() (bool, string) {
		var ready api.Ready
		if err := r.get("/readyz", &ready); err != nil {
			return false, err.Error()
		}
		return ready.Ready, fmt.Sprintf("token: %s; feed: %s", ready.Token, ready.Feed)
	})
}

// clock moves the exchange's clock; zero values stay as they are.
func (r *rig) clock(now time.Time, speed float64, skipNights bool) error {
	set := map[string]any{"skip_nights": skipNights}
	if !now.IsZero() {
		set["now"] = now
	}
	if speed > 0 {
		set["speed"] = speed
	}
	return r.call(http.MethodPost, r.simURL+"/sim/v1/clock", set, nil)
}

func (r *rig) now() (time.Time, error) {
	var clock simulator.ClockState
	err := r.call(http.MethodGet, r.simURL+"/sim/v1/clock", nil, &clock)
	return clock.Now, err
}

func (r *rig) fault(f simulator.Fault) error {
	return r.call(http.MethodPost, r.simURL+"/sim/v1/faults", f, nil)
}

func (r *rig) chaos(actor, kind string) error {
	return r.call(http.MethodPost, r.url+"/api/v1/chaos", api.Chaos{Actor: actor, Kind: kind}, nil)
}

func (r *rig) get(path string, into any) error {
	return r.call(http.MethodGet, r.url+path, nil, into)
}

// call asks; 503 is an answer (of /readyz).
func (r *rig) call(method, address string, body, into any) error {
	var payload io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return err
		}
		payload = bytes.NewReader(data)
	}
	req, err := http.NewRequest(method, address, payload)
	if err != nil {
		return err
	}
	resp, err := r.http.Do(req)
	if err != nil {
		return withoutURL(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return err
	case resp.StatusCode >= 400 && resp.StatusCode != http.StatusServiceUnavailable:
		return fmt.Errorf("%s %s: %s: %s", method, req.URL.Path, resp.Status, bytes.TrimSpace(data))
	case into == nil:
		return nil
	}
	return api.Decode(data, into)
}

// withoutURL drops the address, which may hold a request token.
func withoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// extraShares are instruments that no analysis needs, for load.
func (r *rig) extraShares(n int) ([]messages.Want, error) {
	resp, err := r.http.Get(r.simURL + "/instruments/NSE")
	if err != nil {
		return nil, fmt.Errorf("read the instruments: %w", withoutURL(err))
	}
	defer resp.Body.Close()
	rows, err := csv.NewReader(resp.Body).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("read the instruments: %w", err)
	}
	var wants []messages.Want
	for _, row := range rows[min(1, len(rows)):] { // instrument_token,exchange_token,tradingsymbol,...,instrument_type,segment,exchange
		token, err := strconv.ParseUint(row[0], 10, 32)
		if err == nil && row[len(row)-2] == "NSE" && len(wants) < n {
			wants = append(wants, messages.Want{InstrumentToken: uint32(token), Tradingsymbol: row[2], Mode: messages.ModeFull})
		}
	}
	if len(wants) < n {
		return nil, fmt.Errorf("the simulator lists %d shares, %d are wanted", len(wants), n)
	}
	return wants, nil
}

// writeConfig writes the server's configuration file with these instruments.
func (r *rig) writeConfig(wants []messages.Want) (path string, err error) {
	type entry struct {
		Token  uint32        `json:"instrument_token"`
		Symbol string        `json:"tradingsymbol"`
		Mode   messages.Mode `json:"mode"`
	}
	var list []entry
	for _, w := range wants {
		list = append(list, entry{w.InstrumentToken, w.Tradingsymbol, w.Mode})
	}
	data, err := json.Marshal(map[string]any{"instruments": list})
	if err != nil {
		return "", err
	}
	path = filepath.Join(r.o.Dir, "config.json")
	return path, os.WriteFile(path, data, 0o600)
}

// freePort is a port that was free a moment ago: the exchange wants to know
// where logins end before the server listens there.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
