package web

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"kitestring/messages"
)

// chainKey names an option chain; expiry is YYYY-MM-DD.
type chainKey struct{ underlying, expiry string }

const (
	// askAgain is how often a stream of an expiry that is not the nearest asks for
	// it: what nobody asks for is no longer subscribed to after some minutes.
	askAgain = time.Minute
	// chainWait is how long a first question for an expiry waits for packets.
	chainWait = 2 * time.Second
)

// applyChain keeps a chain. Called with mu held.
func (s *Store) applyChain(m messages.ChainUpdated) {
	c := m.Chain
	if !s.shows(c.Underlying) {
		return
	}
	key := chainKey{c.Underlying, c.Expiry}
	if m.Nearest {
		if old := s.nearest[c.Underlying]; old != c.Expiry {
			delete(s.chains, chainKey{c.Underlying, old}) // it has expired
		}
		s.nearest[c.Underlying] = c.Expiry
	}
	s.chains[key] = c
	s.hub.SendChain(m)
}

// chain is the kept chain of an expiry, "" for the nearest.
func (s *Store) chain(underlying, expiry string) (messages.Chain, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if expiry == "" {
		expiry = s.nearest[underlying]
	}
	c, ok := s.chains[chainKey{underlying, expiry}]
	return c, ok
}

// chain is GET /api/v1/chain/{underlying}: the kept chain with the ages of now.
func (s *server) chain(w http.ResponseWriter, r *http.Request) {
	u, expiry := r.PathValue("underlying"), r.URL.Query().Get("expiry")
	nearest, ok := s.Store.chain(u, "")
	switch {
	case !ok && !slices.Contains(s.Store.underlyingNames(), u):
		writeError(w, &NameError{What: "underlying", Name: u, Known: s.Store.underlyingNames()})
		return
	case !ok:
		writeProblem(w, http.StatusConflict, "no option chain yet", "The option chain of "+u+" is not known yet; ask again in a second.", nil)
		return
	case expiry == "" || expiry == nearest.Expiry:
		s.writeChain(w, r, nearest)
		return
	case !slices.Contains(nearest.Expiries, expiry):
		writeError(w, &NameError{What: "expiry of " + u, Name: expiry, Known: nearest.Expiries})
		return
	}
	s.AskChain(u, expiry)
	poll := time.NewTicker(100 * time.Millisecond)
	defer poll.Stop()
	deadline := time.After(chainWait)
	for {
		if c, ok := s.Store.chain(u, expiry); ok && (c.AsOf != nil || len(c.Rows) == 0) && s.Clock.Now().Sub(c.At) < time.Minute {
			s.writeChain(w, r, c)
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-deadline:
			if c, ok := s.Store.chain(u, expiry); ok {
				s.writeChain(w, r, c)
				return
			}
			writeProblem(w, http.StatusConflict, "no option chain yet", "The options of "+u+" of "+expiry+" have just been subscribed to; ask again in a second.", nil)
			return
		case <-poll.C:
		}
	}
}

// chainLine is an option as a line of CSV.
type chainLine struct {
	Underlying string  `json:"underlying"`
	Expiry     string  `json:"expiry"`
	Strike     float64 `json:"strike"`
	Type       string  `json:"type"` // CE, PE
	messages.ChainOption
	Reason string `json:"reason"`
}

func (s *server) writeChain(w http.ResponseWriter, r *http.Request, c messages.Chain) {
	c = c.Aged(s.Clock.Now())
	if r.URL.Query().Get("format") != "csv" {
		writeJSON(w, http.StatusOK, c)
		return
	}
	var lines []chainLine
	for _, row := range c.Rows {
		if row.Call != nil {
			lines = append(lines, chainLine{c.Underlying, c.Expiry, row.Strike, "CE", *row.Call, strings.Join(row.Call.Reasons, "; ")})
		}
		if row.Put != nil {
			lines = append(lines, chainLine{c.Underlying, c.Expiry, row.Strike, "PE", *row.Put, strings.Join(row.Put.Reasons, "; ")})
		}
	}
	writeList(w, r, lines)
}

// chainDay is GET /api/v1/chain/{underlying}/day.
func (s *server) chainDay(w http.ResponseWriter, r *http.Request) {
	u := r.PathValue("underlying")
	if known := s.Store.underlyingNames(); !slices.Contains(known, u) {
		writeError(w, &NameError{What: "underlying", Name: u, Known: known})
		return
	}
	writeList(w, r, s.ChainDay(u))
}

// streamedChain is the key of the option chain that a stream is to show, "" for
// the nearest of each underlying, and when to ask for it again; false: the request
// is refused.
func (s *server) streamedChain(w http.ResponseWriter, r *http.Request) (key string, again <-chan time.Time, ok bool) {
	u, expiry := r.URL.Query().Get("underlying"), r.URL.Query().Get("expiry")
	if u == "" && expiry == "" {
		return "", nil, true
	}
	nearest, known := s.Store.chain(u, "")
	switch names := s.Store.underlyingNames(); {
	case !slices.Contains(names, u):
		writeError(w, &NameError{What: "underlying", Name: u, Known: names})
		return "", nil, false
	case expiry == "" || known && expiry == nearest.Expiry:
		// Also of a chain that is not known yet: the stream has it once it is.
		return messages.ChainUpdated{Chain: messages.Chain{Underlying: u}, Nearest: true}.Key(), nil, true
	case known && !slices.Contains(nearest.Expiries, expiry):
		writeError(w, &NameError{What: "expiry of " + u, Name: expiry, Known: nearest.Expiries})
		return "", nil, false
	}
	s.AskChain(u, expiry)
	every := time.NewTicker(askAgain) // collected with the stream
	return messages.ChainUpdated{Chain: messages.Chain{Underlying: u, Expiry: expiry}}.Key(), every.C, true
}
