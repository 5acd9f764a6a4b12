package tree

import (
	"context"
	"slices"
	"time"

	"kitestring/actors/simulator"
	"kitestring/actors/token"
	"kitestring/actors/web"
)

// simulatorControl is what the web actor may do with the simulated exchange.
type simulatorControl struct {
	exchange *simulator.Exchange
	store    *token.Store
}

// simulatorControl is nil outside the sim profile.
func (s *Server) simulatorControl() web.Exchange {
	if s.exchange == nil {
		return nil // not a nil *simulatorControl in an interface
	}
	return simulatorControl{s.exchange, s.store}
}

// Inject implements web.Exchange.
func (r simulatorControl) Inject(kind string, d time.Duration) error {
	kinds := simulator.FaultKinds()
	if !slices.Contains(kinds, simulator.FaultKind(kind)) {
		known := make([]string, len(kinds))
		for i, k := range kinds {
			known[i] = string(k)
		}
		return &web.NameError{What: "kind of fault", Name: kind, Known: known}
	}
	return r.exchange.InjectFault(simulator.Fault{Kind: simulator.FaultKind(kind), ForMS: int(d / time.Millisecond)})
}

// Lift implements web.Exchange.
func (r simulatorControl) Lift() { r.exchange.ClearFaults() }

// Rotate implements web.Exchange.
func (r simulatorControl) Rotate(ctx context.Context) (string, error) {
	t, err := r.exchange.Rotate()
	if err != nil {
		return "", err
	}
	return t.Fingerprint(), r.store.Set(ctx, token.KeyAccessToken, t.Reveal())
}
