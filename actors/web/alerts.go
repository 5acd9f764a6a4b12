package web

import (
	"net/http"
	"slices"

	"kitestring/actors/web/api"
)

// Alerts shows the configured alerts and tries them.
type Alerts interface {
	Alerts() api.Alerts
	// Test sends the message of an alert now, "" for a message of none.
	Test(name string) api.AlertTested
}

// testAlert is POST /api/v1/alerts/test.
func (s *server) testAlert(w http.ResponseWriter, r *http.Request) {
	var in api.AlertTest
	if !decodeBody(w, r, &in) {
		return
	}
	var names []string
	for _, a := range s.Alerts.Alerts().Alerts {
		names = append(names, a.Name)
	}
	if in.Name != "" && !slices.Contains(names, in.Name) {
		writeError(w, &NameError{What: "alert", Name: in.Name, Known: names})
		return
	}
	writeJSON(w, http.StatusAccepted, s.Alerts.Test(in.Name))
}
