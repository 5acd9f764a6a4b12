package tree

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kitestring/actors/simulator"
	"kitestring/actors/token"
	"kitestring/actors/web"
	"kitestring/actors/web/api"
	"kitestring/messages"
	"kitestring/supervisor/tree/profile"
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

// replayView is the recording that the exchange plays.
type replayView struct{ exchange *simulator.Exchange }

// webReplay is nil while nothing is replayed.
func (s *Server) webReplay() web.Replay {
	if s.cfg.Sim.Tape == nil {
		return nil // not an empty replayView in an interface
	}
	return replayView{s.exchange}
}

// Status implements web.Replay.
func (v replayView) Status() api.StatusReplay {
	r, _ := v.exchange.Replay()
	return api.StatusReplay{Day: r.Day, At: r.At.UTC(), Speed: r.Speed, Max: r.Max, Waiting: r.Waiting, Ended: r.Ended, Ticks: r.Ticks}
}

// SetSpeed implements web.Replay.
func (v replayView) SetSpeed(s api.ReplaySpeed) error {
	return v.exchange.SetReplaySpeed(s.Speed, s.Max)
}

// replayTicks counts what a replay has played.
func (s *Server) replayTicks() prometheus.Collector {
	return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "kitestring_replay_ticks_total", Help: "Packets of a recorded day that were played; 0: nothing is replayed."}, func() float64 {
		if s.cfg.Sim.Tape == nil {
			return 0
		}
		return float64(s.exchange.Ticks())
	})
}

// Inject implements web.Exchange.
func (c simulatorControl) Inject(kind string, d time.Duration) error {
	if err := checkKind(simulator.FaultKinds(), kind); err != nil {
		return err
	}
	return c.exchange.InjectFault(simulator.Fault{Kind: simulator.FaultKind(kind), ForMS: int(d / time.Millisecond)})
}

// Lift implements web.Exchange.
func (c simulatorControl) Lift() { c.exchange.ClearFaults() }

// Rotate implements web.Exchange.
func (c simulatorControl) Rotate(ctx context.Context) (string, error) {
	if err := profile.MayWrite(c.store); err != nil {
		return "", err // a person has put an account into the file since the start
	}
	if held := (messages.AccessToken{Secret: c.store.Held(token.KeyAccessToken)}); !held.IsZero() && !c.exchange.Issued(held) {
		return "", fmt.Errorf("%s holds an access token that the simulator did not make, and it is left as it is. Remove the line %s, or log in to replace it", c.store.Path(), token.KeyAccessToken)
	}
	t, err := c.exchange.Rotate()
	if err != nil {
		return "", err
	}
	return t.Fingerprint(), c.store.Set(ctx, token.KeyAccessToken, t.Reveal())
}
