package ask

import (
	"strings"
	"testing"
	"time"

	"kitestring/actors/web/api"
	"kitestring/cmd/kitestring/cli"
	"kitestring/messages"
)

// Out of the session nothing is live.
func TestHeadlineKnowsTheSession(t *testing.T) {
	p := &cli.Program{Getenv: func(string) string { return "" }}
	for want, st := range map[string]api.Status{
		"LIVE":     {Live: true, Market: api.StatusMarket{Phase: messages.Open}},
		"CLOSED":   {Live: true, Market: api.StatusMarket{Phase: messages.Closed}},
		"PRE OPEN": {Live: true, Market: api.StatusMarket{Phase: messages.PreOpen}},
		"NOT LIVE": {Market: api.StatusMarket{Phase: messages.Open}},
	} {
		if got := headline(p, st); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestSharedAssumptionsNameNoOne prints what a user may post.
func TestSharedAssumptionsNameNoOne(t *testing.T) {
	var out strings.Builder
	at := time.Date(2026, 3, 11, 6, 0, 0, 0, time.UTC)
	st := api.Status{Profile: "live", Message: "CANARY", At: at, Process: api.StatusProcess{Version: "1", StartedAt: at.Add(-time.Hour), ID: 4711}}
	st.Token.Fingerprint = "CANARY"
	shareAssumptions(&out, []messages.AssumptionStatus{{Name: messages.Heartbeat, Claim: "A message comes every second.", Verdict: messages.AssumptionSeen, Seen: 7}}, st)
	if got := out.String(); !strings.Contains(got, "heartbeat: seen (for: 7, against: 0)") || strings.Contains(got, "CANARY") || strings.Contains(got, "4711") {
		t.Error(got)
	}
}
