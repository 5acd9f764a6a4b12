package web

import (
	"net/http"

	"kitestring/actors/web/api"
)

// Gateway is the Kite-protocol gateway as far as a person looks at it and says
// who may use it.
type Gateway interface {
	Status() api.StatusGateway
	Clients() []api.Client
	// Add makes a client and its key; its error says what is wrong with the name
	// or the scopes.
	Add(name string, scopes []string) (api.ClientKey, error)
	// Revoke takes a client's key away. It answers a *NameError for an unknown one.
	Revoke(name string) error
}

// gated answers only where there is a gateway.
func (s *server) gated(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if s.Gateway == nil {
			writeProblem(w, http.StatusNotFound, "no gateway", "This server runs without a gateway. Start it with --gateway-addr 127.0.0.1:8430.", nil)
			return
		}
		h(w, r)
	}
}

func (s *server) clients(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, orEmpty(s.Gateway.Clients()))
}

func (s *server) oneClient(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	all := s.Gateway.Clients()
	names := make([]string, len(all))
	for i, c := range all {
		if c.Name == name {
			writeJSON(w, http.StatusOK, c)
			return
		}
		names[i] = c.Name
	}
	writeError(w, &NameError{What: "client", Name: name, Known: names})
}

func (s *server) addClient(w http.ResponseWriter, r *http.Request) {
	var in api.ClientAdd
	if !decodeBody(w, r, &in) {
		return
	}
	if len(in.Scopes) == 0 {
		in.Scopes = []string{"data"}
	}
	key, err := s.Gateway.Add(in.Name, in.Scopes)
	if err != nil {
		writeProblem(w, http.StatusUnprocessableEntity, "client not added", err.Error()+".", nil)
		return
	}
	s.Store.Note("client", "gateway client %s added", printable(in.Name, 60))
	writeJSON(w, http.StatusCreated, key)
}

func (s *server) revokeClient(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	if err := s.Gateway.Revoke(name); err != nil {
		writeError(w, err)
		return
	}
	s.Store.Note("client", "gateway client %s revoked", printable(name, 60))
	writeJSON(w, http.StatusOK, map[string]string{"revoked": name})
}

// statusGateway is nil without a gateway.
func (s *server) statusGateway() *api.StatusGateway {
	if s.Gateway == nil {
		return nil
	}
	status := s.Gateway.Status()
	return &status
}
