package tree

import (
	"kitestring/actors/kite"
	"kitestring/actors/token"
)

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
