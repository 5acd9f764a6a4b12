package web

import (
	"context"
	"net/http"
	"time"

	"kitestring/actors/web/api"
)

// Exchange is the simulated exchange as far as a person may rehearse with it.
// The page cannot speak to it itself: it listens elsewhere, and the page's
// policy allows its own server only.
type Exchange interface {
	// Inject makes it misbehave; d 0 is until Lift. It answers a *NameError
	// for an unknown kind.
	Inject(kind string, d time.Duration) error
	// Lift ends every fault.
	Lift()
	// Rotate kills the token in use and puts a new one into the .env file, as
	// another program would.
	Rotate(ctx context.Context) (fingerprint string, err error)
}

// simulated guards the routes that only the sim profile has.
func (s *server) simulated(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if s.Exchange == nil {
			problem(w, http.StatusConflict, "no simulated exchange", "This server talks to a real exchange, which takes no orders from a rehearsal. Run it without credentials (profile sim), or run \"kitestring drill all\": that uses a server of its own.", nil)
			return
		}
		next(w, r)
	}
}

func (s *server) exchangeFault(w http.ResponseWriter, r *http.Request) {
	var f api.ExchangeFault
	if !body(w, r, &f) || !spanAllowed(w, f.ForMS) {
		return
	}
	if err := s.Exchange.Inject(f.Kind, time.Duration(f.ForMS)*time.Millisecond); err != nil {
		failed(w, err)
		return
	}
	s.Board.Note("drill", "the simulated exchange: %s", printable(f.Kind))
	answer(w, http.StatusAccepted, f)
}

func (s *server) exchangeLift(w http.ResponseWriter, _ *http.Request) {
	s.Exchange.Lift()
	s.Board.Note("drill", "the simulated exchange behaves again")
	w.WriteHeader(http.StatusNoContent)
}

func (s *server) exchangeRotate(w http.ResponseWriter, r *http.Request) {
	s.Board.Note("drill", "the simulated exchange issues a new token, and another program writes it into the file")
	print, err := s.Exchange.Rotate(r.Context())
	if err != nil {
		failed(w, err)
		return
	}
	answer(w, http.StatusAccepted, api.ExchangeRotated{Fingerprint: print})
}
