package web

import (
	"net/http"
)

// What a client, or what comes over the feed, must not be able to use up or
// to see: connections, the timeline, the secrets.

// guarded is a response that passes the gate. What writes to it writes whole
// JSON values.
type guarded struct {
	http.ResponseWriter
	server *server
}

// Write implements http.ResponseWriter.
func (g guarded) Write(data []byte) (int, error) {
	if _, err := g.ResponseWriter.Write(g.server.gate.Hide(data, g.server.Secrets())); err != nil {
		return 0, err
	}
	return len(data), nil
}

// Unwrap lets http.ResponseController reach the connection.
func (g guarded) Unwrap() http.ResponseWriter { return g.ResponseWriter }

// scrubbed wraps a handler whose responses pass the gate.
func (s *server) scrubbed(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { next(guarded{w, s}, r) }
}

// RefusedConnections is how many connections were closed at once because too many
// were open, in all or from one address.
func (s *Store) RefusedConnections() uint64 { return s.connections.Refused() }
