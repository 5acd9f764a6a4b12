package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"kitestring/actors/web/api"
	"kitestring/supervisor/tree"
)

// TestPeerOnThePage: the server that shares the login is a line of the actors'
// page, which unfolds by itself and says what to do when the other one is gone.
func TestPeerOnThePage(t *testing.T) {
	first := startServer(t, func(cfg *tree.Config) { cfg.Reloadable.PeerAddr = "127.0.0.1:0" })
	first.live()
	second := startServer(t, func(cfg *tree.Config) {
		cfg.EnvFile = filepath.Join(t.TempDir(), ".env")
		cfg.Sim.ManualLogin = true
		text := fmt.Sprintf("KITESTRING_PROFILE=sim\nZERODHA_API_KEY=%s\nZERODHA_API_SECRET=%s\nKITE_API_URL=http://%s\n", tree.SimAPIKey, tree.SimAPISecret, first.SimAddr())
		if err := os.WriteFile(cfg.EnvFile, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	})
	b := openTab(t, browser(t), first.URL()+"actors")
	b.await(soon, "#card-restarts", "run")
	b.holds("without a peer there is no line of one", `document.querySelector("#card-peer") === null`)

	var made api.PeerInvitation
	if code, body := first.post("/api/v1/peer/invite", `{}`); code >= 300 || json.Unmarshal(body, &made) != nil {
		t.Fatal(code, string(body))
	}
	if code, body := second.post("/api/v1/peer/join", fmt.Sprintf(`{"code":%q}`, made.Code)); code >= 300 {
		t.Fatal(code, string(body))
	}
	b.await(time.Minute, "#card-peer", `Peer[\s\S]*One token[\s\S]*shared with .+, compared .* ago$`)
	b.holds("a line while all is well", `!document.querySelector("#card-peer").open`)
	b.unfolded("#card-peer", `connects to this one[\s\S]*token here[\s\S]*gen \d+, accepted by Kite[\s\S]*token there[\s\S]*gen \d+, accepted by Kite[\s\S]*its clock\s+as this one's`)
	b.loadAxe()
	for _, width := range widths {
		b.judge("peer", width, "light", width == 1280)
		b.judge("peer", width, "dark", width == 390)
	}
	b.keep("peer")
	eval[bool](b, `document.querySelector("#card-peer").open = false, true`)

	second.stop()
	b.await(time.Minute, "#card-peer", `Not one token[\s\S]*The peer has not been in touch for \d+[\s\S]*is down, cut off, or has removed this server`)
	b.holds("what is wrong unfolds the line", `document.querySelector("#card-peer").open`)
	b.keep("peer-gone")
	b.clean()
}
