package rehearse

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"kitestring/actors/simulator"
	"kitestring/actors/web/api"
	"kitestring/messages"
)

var _ = register(Drill{
	Name: "login-abuse", Topic: Login, Short: true, Setup: Setup{Prepare: withLiveToken, ManualLogin: true},
	Inject: "a cancelled login, a wrong, a missing and a replayed state, a used request token, a wrong secret, two callbacks at once",
	Hold:   "the right message each, one exchange at most, the token in the file untouched",
	Steps: func(r *Rig) {
		r.abuse("cancelled", messages.LoginCancelled, func() { r.follow(r.consent("cancel")) })
		r.abuse("wrong state", messages.LoginBadState, func() {
			back := r.consent("approve")
			q := back.Query()
			for k := range q {
				if k != "action" && k != "type" && k != "status" && k != "request_token" {
					q.Set(k, strings.Repeat("0", 64))
				}
			}
			back.RawQuery = q.Encode()
			r.follow(back)
		})
		r.abuse("no state", messages.LoginBadState, func() {
			r.follow(&url.URL{Path: "/callback", RawQuery: "status=success&request_token=" + strings.Repeat("r", 32)})
		})
		r.abuse("request token of somebody else", messages.LoginExchangeFailed, func() {
			back := r.consent("approve")
			q := back.Query()
			q.Set("request_token", strings.Repeat("r", 32))
			back.RawQuery = q.Encode()
			r.follow(back)
		})
		r.abuse("wrong secret", messages.LoginExchangeFailed, func() {
			r.fault(simulator.Fault{Kind: simulator.FaultChecksum, Count: 1})
			r.follow(r.consent("approve"))
		})
		r.abuse("pasted nonsense", messages.LoginBadState, func() {
			body := must(json.Marshal(api.LoginPasted{Pasted: "https://example.com/?nothing=here"}))
			req := must(http.NewRequestWithContext(r.ctx, http.MethodPost, "http://"+r.web+"/api/v1/login/complete", bytes.NewReader(body)))
			req.Header.Set("Content-Type", "application/json")
			if resp, _ := r.do(req); resp.StatusCode != http.StatusUnprocessableEntity {
				failf("answered with %s", resp.Status)
			}
		})
		// Two callbacks at once: one exchange, one new token.
		back := r.consent("approve")
		r.step("two callbacks at once", func() {
			g, exchanged := r.generation(), r.exchange().Requests.Answered["session"]
			var both sync.WaitGroup
			for range 2 {
				both.Go(func() { _ = attempt(func() { r.follow(back) }) }) // one of them may be refused
			}
			both.Wait()
			r.adopted(g+1, 10*time.Second)
			r.secret(r.fileToken())
			if n := r.exchange().Requests.Answered["session"] - exchanged; n > 1 {
				failf("%d exchanges", n)
			}
		})
		r.abuse("replayed", messages.LoginBadState, func() { r.follow(back) })
	},
})

// abuse demands that a login ends in a certain way and leaves the token in the
// file as it is.
func (r *Rig) abuse(name string, want messages.LoginResult, steps func()) {
	r.step(name, func() {
		before, start := r.fileToken(), time.Now()
		steps()
		login := r.status().Login
		if login == nil || login.At.Before(start) || login.Result != want {
			failf("ended as %+v, want %s", login, want)
		}
		r.note("%s: %q", name, login.Reason)
		if r.fileToken() != before {
			failf("the token in the file was changed")
		}
	})
}

// follow goes where the exchange sends the browser.
func (r *Rig) follow(back *url.URL) {
	if page := r.visit(back.RequestURI()); strings.Contains(page, "panic") {
		failf("the page speaks of a panic")
	}
}
