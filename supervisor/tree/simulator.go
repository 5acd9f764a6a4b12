package tree

import (
	"context"
	"slices"
	"time"

	"kitestring/actors/simulator"
	"kitestring/actors/token"
	"kitestring/actors/web"
)

// rehearsal is the simulated exchange as the window may touch it.
type rehearsal struct {
	exchange *simulator.Exchange
	store    *token.Store
}

// rehearsal is nil outside the sim profile.
func (h *Server) rehearsal() web.Exchange {
	if h.exchange == nil {
		return nil // not a nil *rehearsal in an interface
	}
	return rehearsal{h.exchange, h.store}
}

// Inject implements web.Exchange.
func (r rehearsal) Inject(kind string, d time.Duration) error {
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
func (r rehearsal) Lift() { r.exchange.ClearFaults() }

// Rotate implements web.Exchange.
func (r rehearsal) Rotate(ctx context.Context) (string, error) {
	if err := simMayWrite(r.store); err != nil {
		return "", err // a person has put an account into the file since the start
	}
	t, err := r.exchange.Rotate()
	if err != nil {
		return "", err
	}
	return t.Fingerprint(), r.store.Set(ctx, token.KeyAccessToken, t.Reveal())
}
