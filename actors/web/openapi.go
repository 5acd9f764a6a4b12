package web

import (
	"net/http"

	"kitestring/actors/web/api"
	"kitestring/actors/web/openapi"
	"kitestring/messages"
)

// openapi describes the routes.
func (s *server) openapi(w http.ResponseWriter, _ *http.Request) {
	var all []openapi.Operation
	for _, r := range s.table() {
		all = append(all, openapi.Operation{
			Method: r.method, Path: r.path, Summary: r.summary, Admin: r.admin, Code: r.code,
			Takes: r.takes, Gives: r.gives, CSV: r.csv, Media: r.media, Query: r.queries(), Events: r.events,
		})
	}
	writeJSON(w, http.StatusOK, openapi.Document(s.Process.Version, sessionCookie, all))
}

// streamed are values of what each topic of the stream carries.
var streamed = map[string]any{
	"status": api.Status{}, "token": api.Token{}, "actors": []api.Actor{}, "tick": openapi.OneOf{api.Quote{}, api.Tick{}}, "bar": barEvent{},
	"reading": messages.Reading{}, "event": api.Event{}, "rotation": messages.Rotation{}, "login": messages.LoginEnded{},
	"ready": messages.Readiness{}, "chain": messages.Chain{}, "alert": messages.AlertChanged{},
}
