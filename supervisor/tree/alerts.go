package tree

import (
	"kitestring/actors/alerts"
	"kitestring/actors/channels"
	"kitestring/actors/web/api"
	"kitestring/messages"
)

// alertsView shows the alerts and lets a person try them.
type alertsView struct{ server *Server }

// Alerts implements web.Alerts.
func (v alertsView) Alerts() api.Alerts {
	s := v.server.alerts
	shown := api.Alerts{Alerts: []api.Alert{}, Channels: v.channels(nil), Waiting: s.Waiting(), Deliveries: []api.AlertDelivery{}}
	for _, r := range s.Rules() {
		a := api.Alert{
			Name: r.Name, Underlying: r.Underlying, Kind: r.Kind, Condition: r.Condition(), MinConfidence: r.MinConfidence, MinCoverage: r.MinCoverage,
			SessionOnly: !r.Always, DoubtfulInput: r.Doubtful, CooldownSeconds: r.Cooldown.Seconds(), Channels: v.channels(r.Channels), Watches: []api.AlertWatch{},
		}
		for _, w := range s.Watches(r.Name) {
			shown := api.AlertWatch{Underlying: w.Underlying, Holds: w.Holds, Reason: w.Reason}
			if !w.Fired.IsZero() {
				at := w.Fired.UTC()
				shown.LastFiredAt = &at
			}
			a.Watches = append(a.Watches, shown)
		}
		shown.Alerts = append(shown.Alerts, a)
	}
	for _, d := range s.Deliveries() {
		d.At = d.At.UTC()
		shown.Deliveries = append(shown.Deliveries, api.AlertDelivery(d))
	}
	return shown
}

// channels are those that are set up; of them the wanted ones, where any are
// named.
func (v alertsView) channels(wanted []string) []string {
	setUp := channels.Read(v.server.store, v.server.URL()).Names()
	return append([]string{}, alerts.Wanted(wanted, setUp)...)
}

// Test implements web.Alerts.
func (v alertsView) Test(name string) api.AlertTested {
	s := v.server
	id := s.alerts.NextTest()
	var wanted []string
	for _, r := range s.alerts.Rules() {
		if r.Name == name {
			wanted = r.Channels
		}
	}
	s.tree.Engine().Send(pidAlerts, messages.TestAlert{Name: name, ID: id})
	return api.AlertTested{ID: id, Channels: v.channels(wanted)}
}
