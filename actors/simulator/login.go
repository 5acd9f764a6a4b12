package simulator

import (
	"context"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"time"

	"kitestring/messages"
	"kitestring/messages/ist"
)

// loginPage is Kite's consent page: Approve sends the browser to the redirect
// URL with a request token, Cancel with status=cancelled and nothing else.
func (e *Exchange) loginPage(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	if !e.isKey(query.Get("api_key")) {
		writeError(w, badInput("Invalid `api_key`."))
		return
	}
	params := query.Get("redirect_params")
	if e.cfg.Login != LoginManual {
		e.redirectTo(w, r, true, params)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_ = page.Execute(w, map[string]string{"Key": e.cfg.APIKey, "Params": params}) // the client went away
}

func (e *Exchange) loginAnswer(w http.ResponseWriter, r *http.Request) {
	if !e.isKey(r.PostFormValue("api_key")) {
		writeError(w, badInput("Invalid `api_key`."))
		return
	}
	e.redirectTo(w, r, r.PostFormValue("answer") == "approve", r.PostFormValue("redirect_params"))
}

func (e *Exchange) redirectTo(w http.ResponseWriter, r *http.Request, approved bool, params string) {
	e.mu.Lock()
	text := e.redirect
	e.mu.Unlock()
	to, err := url.Parse(text)
	if err != nil || to.Host == "" {
		writeError(w, badInput("Invalid `redirect_url`: the app has none registered."))
		return
	}
	query := to.Query()
	if !approved {
		query = url.Values{"status": {"cancelled"}}
	} else {
		more, err := url.ParseQuery(params)
		if err != nil {
			writeError(w, badInput("Invalid `redirect_params`."))
			return
		}
		for k, v := range more {
			query[k] = v
		}
		for k, v := range map[string]string{"action": "login", "type": "login", "status": "success", "request_token": e.sessions.request()} {
			query.Set(k, v)
		}
	}
	to.RawQuery = query.Encode()
	http.Redirect(w, r, to.String(), http.StatusFound)
}

var page = template.Must(template.New("login").Parse(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Login (simulator)</title>
<style>
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
body { margin: 0; min-height: 100vh; display: grid; place-items: center }
main { max-width: 22rem; padding: 2rem; border: 1px solid light-dark(#ccc, #444); border-radius: 8px }
h1 { font-size: 1.2rem; margin: 0 0 .5rem }
button { font: inherit; padding: .5rem 1.2rem; border-radius: 4px; border: 1px solid currentcolor; background: none; cursor: pointer }
button[value=approve] { background: #2457c5; border-color: #2457c5; color: #fff }
</style>
</head>
<body>
<main>
<h1>Simulated exchange</h1>
<p>The app <b>{{.Key}}</b> asks for access to the simulated account. No broker is involved and no password is asked.</p>
<form method="post" action="/connect/login">
<input type="hidden" name="api_key" value="{{.Key}}">
<input type="hidden" name="redirect_params" value="{{.Params}}">
<button name="answer" value="approve" autofocus>Approve</button>
<button name="answer" value="cancel">Cancel</button>
</form>
</main>
</body>
</html>
`))

// SelfLogin logs in in place of a person: once at the start, when the product's
// file holds no token that the exchange accepts, and once after each flush at
// 06:00, it requests the product's login page, as a browser would. It never does
// so because a token was refused: the product has to notice that; and never in
// the place of a token that the exchange did not make, which is a person's.
// Made once; it outlives the actor.
type SelfLogin struct {
	URL   string                      // of the product's /login
	Token func() messages.AccessToken // the newest in the product's file

	flush time.Time // the last flush that was answered; zero: the start was not
}

// watch logs in whenever it is due, until ctx ends.
func (s *SelfLogin) watch(ctx context.Context, e *Exchange) error {
	const first, most = 50 * time.Millisecond, 5 * time.Second
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for pause := first; ; {
		if flush := lastFlush(e.clock.Now()); flush.After(s.flush) {
			if t := s.Token(); e.Valid(t) {
				s.flush = flush
			} else if !t.IsZero() && !e.Issued(t) {
				e.log.Warn("simulator did not log in to itself: the file holds an access token that it did not make, and it is left as it is; remove the line, or log in by hand", "fingerprint", t.Fingerprint())
				s.flush = flush
			} else if err := s.visit(ctx, client); err == nil {
				e.log.Info("simulator logged in to itself")
				s.flush = flush
			} else { // the product may not listen yet, or refuse for long
				pause = min(2*pause, most)
			}
		} else {
			pause = first
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// visit is a whole login: the product redirects to our page, which redirects back.
func (s *SelfLogin) visit(ctx context.Context, client *http.Client) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL, nil)
	if err != nil {
		return fmt.Errorf("visit the login page: %w", err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("visit the login page: %w", withoutURL(err))
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("visit the login page: %s", resp.Status)
	}
	return nil
}

// withoutURL drops the address, which holds a request token.
func withoutURL(err error) error {
	if u, ok := err.(*url.Error); ok {
		return u.Err
	}
	return err
}

// lastFlush is the latest 06:00 IST.
func lastFlush(now time.Time) time.Time {
	flush := ist.At(now, 6, 0, 0)
	if flush.After(now) {
		flush = flush.AddDate(0, 0, -1)
	}
	return flush
}
