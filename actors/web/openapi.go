package web

import (
	"net/http"

	"kitestring/actors/web/openapi"
)

// openapi describes the routes.
func (s *server) openapi(w http.ResponseWriter, _ *http.Request) {
	var all []openapi.Operation
	for _, r := range s.table() {
		all = append(all, openapi.Operation{
			Method: r.method, Path: r.path, Summary: r.summary, Admin: r.admin, Code: r.code,
			Takes: r.takes, Gives: r.gives, CSV: r.csv, Media: r.media, Query: r.queries(),
		})
	}
	writeJSON(w, http.StatusOK, openapi.Document(s.Process.Version, sessionCookie, all))
}
