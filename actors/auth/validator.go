package auth

import (
	"context"
	"errors"
	"math/rand/v2"

	"kitestring/actors/kite"
	"kitestring/messages"
)

// ask puts one question to /user/profile, in a task, instead of any older one.
func (a *auth) ask(session messages.Session, serial int) {
	if a.cancel != nil {
		a.cancel()
	}
	superseded, cancel := context.WithCancel(context.Background())
	a.cancel = cancel
	if a.client == nil || a.client.Generation() != session.Generation {
		a.client = kite.New(a.Exchange, session, a.use)
	}
	client := a.client
	a.self.Go("validate", func(ctx context.Context) error {
		defer cancel()
		ctx, stop := context.WithCancel(ctx)
		defer stop()
		defer context.AfterFunc(superseded, stop)()
		profile, err := client.Profile(ctx)
		if superseded.Err() != nil || ctx.Err() != nil {
			return nil
		}
		answer := answered{
			serial: serial, generation: session.Generation,
			userID: profile.UserID, jitter: 0.5 + rand.Float64()/2,
		}
		if err != nil {
			answer.kind = kite.Network // whatever it is, it is no verdict
			var failed *kite.Error
			if errors.As(err, &failed) {
				answer.kind, answer.status = failed.Kind, failed.Status
			}
			a.log.Debug("profile check failed", "error", err, "generation", uint64(session.Generation))
		}
		a.self.Tell(answer)
		return nil
	})
}

// use notes a question that has left. Asking about a candidate is no work with
// it: the book of uses speaks of the adopted token, and a typing error must
// not make the house look incoherent.
func (a *auth) use(g messages.Generation) {
	a.sent.Store(uint64(g))
	if a.Tokens.Current().Adopted.Generation == g {
		a.Tokens.Used(a.self.Name(), g)
	}
}
