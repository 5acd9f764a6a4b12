// Package profile decides what a .env file makes of a server: which exchange it
// talks to, where that is, and whether the simulator may write into the file.
package profile

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"kitestring/actors/kite"
	"kitestring/actors/token"
	"kitestring/actors/token/dotenv"
)

// The simulator's credentials. They open nothing but a simulator.
const (
	SimAPIKey    = "simkey"
	SimAPISecret = "simsecret"
)

// Keys of the .env file besides the credentials.
const (
	keyProfile    = "KITESTRING_PROFILE" // the mark of a file that the simulator wrote
	KeyAdminToken = "ADMIN_TOKEN"
	KeyAccount    = "ZERODHA_USER_ID" // that a login must be of
	KeyAPIURL     = "KITE_API_URL"
	keyWSURL      = "KITE_WS_URL"
	keyLoginURL   = "KITE_LOGIN_URL"
	keyWSExtra    = "KITE_WS_EXTRA" // e.g. user_id=AB1234, which the sandbox wants
)

// minAdminToken is the length below which an admin token is no protection.
const minAdminToken = 32

// Resolve resolves auto: live when there is an API key that is not the
// simulator's, sim when the file is the simulator's own or holds nothing. What a
// person or another program has put into the file is never overwritten.
func Resolve(wanted string, store *token.Store) (string, error) {
	file := store.Path()
	has := store.Credentials().APIKey != ""
	switch wanted {
	case "auto":
		switch {
		case marked(store):
			return "sim", MayWrite(store)
		case has:
			return "live", nil
		}
		return "sim", onlySims(store)
	case "sim":
		return "sim", MayWrite(store)
	case "sandbox":
		if Value(store, KeyAPIURL) == "" || Value(store, keyWSURL) == "" || Value(store, keyLoginURL) == "" {
			return "", fmt.Errorf("the sandbox has addresses of its own: put %s, %s and %s into %s", KeyAPIURL, keyWSURL, keyLoginURL, file)
		}
	}
	if !has {
		return "", fmt.Errorf("%s has no %s. Put the key and the secret of your Kite Connect app there, or try the simulator first: --profile sim", file, token.KeyAPIKey)
	}
	return wanted, nil
}

// marked reports whether the simulator wrote the file.
func marked(store *token.Store) bool { return store.Held(keyProfile).Reveal() == "sim" }

const ownFile = "give the simulator a file of its own: --env-file sim.env"

// MayWrite says why the simulator must not write into the file: it holds
// credentials that are not the simulator's, or may hold them.
func MayWrite(store *token.Store) error {
	file, contents := store.Path(), store.Contents()
	if contents.Unreadable != nil {
		return fmt.Errorf("%s cannot be read (%w), so the simulator does not write into it. Mend it, or %s", file, contents.Unreadable, ownFile)
	}
	for key, own := range map[string]string{token.KeyAPIKey: SimAPIKey, token.KeyAPISecret: SimAPISecret, token.KeyAccessToken: ""} {
		held := store.Held(key).Reveal()
		switch {
		case held == "" || held == own:
		case !marked(store):
			return fmt.Errorf("%s holds the credentials of a real account (%s); the simulator does not write into it. Run without --profile sim, or %s", file, key, ownFile)
		case key != token.KeyAccessToken: // the simulator's tokens change; who writes one asks whether it made the one that is there
			return fmt.Errorf("%s has the line %s=sim, which the simulator wrote, but its %s is not the simulator's. Nothing was changed. To use your own account, remove the line %s=sim; or %s",
				file, keyProfile, key, keyProfile, ownFile)
		}
	}
	// Setting a key replaces a damaged line of it, with whatever stands there.
	keys := []string{token.KeyAPIKey, token.KeyAPISecret}
	if !marked(store) {
		keys = append(keys, token.KeyAccessToken, token.KeyRedirectURL, keyProfile)
	}
	for _, fault := range contents.Faults {
		if slices.Contains(keys, fault.Key) {
			return fmt.Errorf("%s has lines that cannot be read: %s. The simulator does not write into it. Write KEY=value on each line, or %s", file, skipped(contents.Faults), ownFile)
		}
	}
	return nil
}

// onlySims refuses a file without a mark and without an API key that holds
// anything but comments: nobody has asked for the simulator there.
func onlySims(store *token.Store) error {
	if err := MayWrite(store); err != nil {
		return err
	}
	file, contents := store.Path(), store.Contents()
	if len(contents.Keys) == 0 && len(contents.Faults) == 0 {
		return nil
	}
	var holds string
	if len(contents.Faults) > 0 {
		holds = " Not understood: " + skipped(contents.Faults) + "."
	}
	if len(contents.Keys) > 0 {
		holds += " It holds " + strings.Join(contents.Keys[:min(len(contents.Keys), 10)], ", ") + "."
	}
	return fmt.Errorf("%s has no %s, and the simulator did not write it, so it is left as it is.%s Add the lines %s=... and %s=... for your account, run the simulator on it all the same with --profile sim, or %s",
		file, token.KeyAPIKey, holds, token.KeyAPIKey, token.KeyAPISecret, ownFile)
}

// skipped names the lines that were not understood, without any value.
func skipped(faults []dotenv.Fault) string {
	var lines []string
	for i, f := range faults {
		if i == 5 {
			lines = append(lines, fmt.Sprintf("and %d more lines", len(faults)-i))
			break
		}
		line := fmt.Sprintf("line %d", f.Line)
		if f.Key != "" {
			line += " (" + f.Key + ")"
		}
		lines = append(lines, line+": "+f.Reason)
	}
	return strings.Join(lines, "; ")
}

// Value is a key of the file, else of the environment; "" when neither has it.
func Value(store *token.Store, key string) string {
	v, _ := store.Value(key)
	return v
}

// Endpoints are where the exchange is: Kite's own, or the simulator's, unless
// the file says otherwise.
func Endpoints(profile string, store *token.Store, simAddr string) (kite.Exchange, error) {
	ex := kite.Exchange{
		APIURL: "https://api.kite.trade", WSURL: "wss://ws.kite.trade", LoginURL: "https://kite.zerodha.com/connect/login",
	}
	if profile == "sim" {
		at := "http://" + simAddr
		if remote := Value(store, KeyAPIURL); remote != "" {
			at = remote
		}
		ex.APIURL, ex.WSURL, ex.LoginURL = at, "ws"+strings.TrimPrefix(at, "http"), at+"/connect/login"
	}
	for key, into := range map[string]*string{KeyAPIURL: &ex.APIURL, keyWSURL: &ex.WSURL, keyLoginURL: &ex.LoginURL} {
		address := Value(store, key)
		if address == "" {
			continue
		}
		if u, err := url.Parse(address); err != nil || u.Host == "" {
			return ex, fmt.Errorf("%s is not an address like %s", key, *into)
		}
		*into = strings.TrimRight(address, "/") // paths are appended to it
	}
	extra, err := url.ParseQuery(Value(store, keyWSExtra))
	if err != nil {
		return ex, fmt.Errorf("%s is not a query like user_id=AB1234", keyWSExtra)
	}
	ex.WSExtra = extra
	return ex, nil
}

// Bootstrap writes what the simulator needs into its own file. The redirect URL is
// written once: the simulator does not read it, and a person may have changed it
// since.
func Bootstrap(ctx context.Context, store *token.Store, redirectURL string) error {
	for _, kv := range [][2]string{
		{keyProfile, "sim"},
		{token.KeyAPIKey, SimAPIKey},
		{token.KeyAPISecret, SimAPISecret},
		{token.KeyRedirectURL, redirectURL},
	} {
		held := store.Held(kv[0]).Reveal()
		if held == kv[1] || kv[0] == token.KeyRedirectURL && held != "" {
			continue
		}
		if err := store.Set(ctx, kv[0], kv[1]); err != nil {
			return fmt.Errorf("prepare the simulator's .env file: %w", err)
		}
	}
	return nil
}

// CheckExposure refuses an admin token that can be guessed, and an address that
// others can reach without one.
func CheckExposure(flag, addr string, store *token.Store) error {
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return fmt.Errorf("%s %q: it looks like 127.0.0.1:8420", flag, addr)
	}
	admin := Value(store, KeyAdminToken)
	if admin != "" && len(admin) < minAdminToken {
		return fmt.Errorf("ADMIN_TOKEN has %d characters, which can be guessed: make it at least %d (openssl rand -hex 32 makes a good one)", len(admin), minAdminToken)
	}
	if IsLoopback(addr) {
		return nil
	}
	if admin == "" {
		return errors.New(flag + " " + addr + " can be reached from other machines: put ADMIN_TOKEN=<at least 32 characters> into the .env file first, or listen on 127.0.0.1")
	}
	return nil
}

// IsLoopback reports whether only this machine reaches an address to listen on.
func IsLoopback(addr string) bool {
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

// PlanOf is the plan for a wanted profile (auto, sim, sandbox, live) and an
// address to listen on. Its errors are those that Open would give.
func PlanOf(store *token.Store, profile, addr string) (p Plan, err error) {
	if p.Profile, err = Resolve(profile, store); err != nil {
		return p, err
	}
	if err := CheckExposure("--addr", addr, store); err != nil {
		return p, err
	}
	if p.Embedded = p.Profile == "sim" && Value(store, KeyAPIURL) == ""; p.Embedded {
		return p, nil
	}
	p.Exchange, err = Endpoints(p.Profile, store, "")
	return p, err
}
