package tree

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"kitestring/actors/kite"
	"kitestring/actors/token"
)

// The simulator's credentials. They open nothing but a simulator.
const (
	SimAPIKey    = "simkey"
	SimAPISecret = "simsecret"
)

// Keys of the .env file besides the credentials.
const (
	keyProfile    = "KITESTRING_PROFILE" // the mark of a file that the simulator wrote
	keyAdminToken = "ADMIN_TOKEN"
	keyAPIURL     = "KITE_API_URL"
	keyWSURL      = "KITE_WS_URL"
	keyLoginURL   = "KITE_LOGIN_URL"
	keyWSExtra    = "KITE_WS_EXTRA" // e.g. user_id=AB1234, which the sandbox wants
)

// minAdminToken is the length below which an admin token is no protection.
const minAdminToken = 32

// resolveProfile resolves auto: live when the file has API credentials that the
// simulator did not write, else sim. A file with real credentials is never
// touched by the simulator.
func resolveProfile(wanted string, store *token.Store) (string, error) {
	file := store.Path()
	marked := value(store, keyProfile) == "sim"
	has := store.Credentials().APIKey != ""
	switch wanted {
	case "auto":
		if has && !marked {
			return "live", nil
		}
		return "sim", nil
	case "sim":
		if has && !marked {
			return "", fmt.Errorf("%s holds the credentials of a real account; the simulator does not touch it. Give it a file of its own: --env-file sim.env", file)
		}
	case "sandbox":
		if value(store, keyAPIURL) == "" || value(store, keyWSURL) == "" || value(store, keyLoginURL) == "" {
			return "", fmt.Errorf("the sandbox has addresses of its own: put %s, %s and %s into %s", keyAPIURL, keyWSURL, keyLoginURL, file)
		}
	}
	if wanted != "sim" && !has {
		return "", fmt.Errorf("%s has no %s. Put the key and the secret of your Kite Connect app there, or try the simulator first: --profile sim", file, token.KeyAPIKey)
	}
	return wanted, nil
}

// value is a key of the file, else of the environment; "" when neither has it.
func value(store *token.Store, key string) string {
	v, _ := store.Value(key)
	return v
}

// endpoints are where the exchange is: Kite's own, or the simulator's, unless
// the file says otherwise.
func endpoints(profile string, store *token.Store, simAddr string) (kite.Exchange, error) {
	ex := kite.Exchange{
		APIURL: "https://api.kite.trade", WSURL: "wss://ws.kite.trade", LoginURL: "https://kite.zerodha.com/connect/login",
	}
	if profile == "sim" {
		at := "http://" + simAddr
		if remote := value(store, keyAPIURL); remote != "" {
			at = remote
		}
		ex.APIURL, ex.WSURL, ex.LoginURL = at, "ws"+strings.TrimPrefix(at, "http"), at+"/connect/login"
	}
	for key, into := range map[string]*string{keyAPIURL: &ex.APIURL, keyWSURL: &ex.WSURL, keyLoginURL: &ex.LoginURL} {
		address := value(store, key)
		if address == "" {
			continue
		}
		if u, err := url.Parse(address); err != nil || u.Host == "" {
			return ex, fmt.Errorf("%s is not an address like %s", key, *into)
		}
		*into = address
	}
	extra, err := url.ParseQuery(value(store, keyWSExtra))
	if err != nil {
		return ex, fmt.Errorf("%s is not a query like user_id=AB1234", keyWSExtra)
	}
	ex.WSExtra = extra
	return ex, nil
}

// bootstrapSim writes what the simulator needs into its own file.
func bootstrapSim(ctx context.Context, store *token.Store, redirectURL string) error {
	for _, kv := range [][2]string{
		{keyProfile, "sim"},
		{token.KeyAPIKey, SimAPIKey},
		{token.KeyAPISecret, SimAPISecret},
		{token.KeyRedirectURL, redirectURL},
	} {
		if value(store, kv[0]) == kv[1] {
			continue
		}
		if err := store.Set(ctx, kv[0], kv[1]); err != nil {
			return fmt.Errorf("prepare the simulator's .env file: %w", err)
		}
	}
	return nil
}

// checkExposure refuses an address that others can reach without a password.
func checkExposure(flag, addr string, store *token.Store) error {
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return fmt.Errorf("%s %q: it looks like 127.0.0.1:8420", flag, addr)
	}
	if isLoopback(addr) {
		return nil
	}
	if len(value(store, keyAdminToken)) < minAdminToken {
		return errors.New(flag + " " + addr + " can be reached from other machines: put ADMIN_TOKEN=<at least 32 characters> into the .env file first, or listen on 127.0.0.1")
	}
	return nil
}

// isLoopback reports whether only this machine reaches an address to listen on.
func isLoopback(addr string) bool {
	host, _, _ := net.SplitHostPort(addr)
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Plan is what a server would make of a .env file, found without opening or
// writing anything: for "kitestring doctor".
type Plan struct {
	Profile  string        // that the wanted one comes to
	Embedded bool          // the exchange is inside the server: without one there is none
	Exchange kite.Exchange // addresses only; zero when Embedded
}

// PlanFor is the plan for a wanted profile (auto, sim, sandbox, live) and an
// address to listen on. Its errors are those that Open would give.
func PlanFor(store *token.Store, profile, addr string) (p Plan, err error) {
	if p.Profile, err = resolveProfile(profile, store); err != nil {
		return p, err
	}
	if err := checkExposure("--addr", addr, store); err != nil {
		return p, err
	}
	if p.Embedded = p.Profile == "sim" && value(store, keyAPIURL) == ""; p.Embedded {
		return p, nil
	}
	p.Exchange, err = endpoints(p.Profile, store, "")
	return p, err
}
