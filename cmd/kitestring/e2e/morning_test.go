package e2e

import (
	"net/http"
	"testing"
	"time"

	"kitestring/messages/ist"
	"kitestring/supervisor/tree"
)

// TestMorningCard goes from a morning without a login to the second live minute.
func TestMorningCard(t *testing.T) {
	server := startServer(t, manual, func(cfg *tree.Config) { cfg.Sim.Start = time.Date(2026, time.March, 11, 8, 50, 0, 0, ist.Zone) })
	b := openTab(t, browser(t), server.URL())
	b.await(soon, "#card-morning", `Not ready: 1 thing is missing[\s\S]*token: missing[\s\S]*log in: http[\s\S]*option chain: waiting`)
	b.look(390, "dark")
	b.keep("morning-missing")
	b.look(1200, "light")
	if code, body := server.post("/api/v1/exchange/rotate", ""); code >= 300 {
		t.Fatalf("%d %s", code, body)
	}
	b.await(2*soon, "#card-morning", `Ready for the open\s+\d+ of \d+ checks are ok$`)
	b.unfolded("#card-morning", `session: ok[\s\S]*trading today 09:15-15:30 IST[\s\S]*token: ok`)
	b.keep("morning-ready")
	server.sim(http.MethodPost, "/clock", `{"now":"2026-03-11T09:14:57+05:30","speed":20,"skip_nights":false}`)
	b.await(2*soon, ".hero .word", "Live")
	b.holds("the card goes after the first live minute", `document.querySelector("#card-morning") === null`)
	b.clean()
}
