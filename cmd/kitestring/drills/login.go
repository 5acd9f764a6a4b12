package drills

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"kitestring/actors/simulator"
	"kitestring/actors/web/api"
	"kitestring/messages"
	"kitestring/supervisor/tree"
)

var loginDrills = []Drill{
	{
		Name: "login-abuse", Short: true, Setup: Setup{Prepare: withLiveToken, ManualLogin: true},
		Inject: "a cancelled login, a wrong, a missing and a replayed state, a used request token, a wrong secret, two callbacks at once",
		Hold:   "the right message each, one exchange at most, the token in the file untouched",
		run:    loginAbuse,
	},
}

// withLiveToken gives a rig whose login a person approves a token to start with.
func withLiveToken(r *Rig) error {
	addr, err := freeAddr()
	if err != nil {
		return err
	}
	r.config.Addr = addr
	content, value, err := simFile(addr, r.setup.Start)
	if err != nil {
		return err
	}
	r.secrets = append(r.secrets, value)
	return writeFile(r.EnvFile, content)
}

// visit opens one of our pages as a browser does, redirects followed.
func (r *Rig) visit(ctx context.Context, path string) (final *url.URL, page string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.House.Addr()+path, nil)
	if err != nil {
		return nil, "", err
	}
	resp, err := r.http.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.Request.URL, string(body), err
}

// consent asks for a login and presses a button on the exchange's page; it
// answers where the browser is sent back to, without going there.
func (r *Rig) consent(ctx context.Context, button string) (*url.URL, error) {
	var started api.LoginStarted
	data, err := r.raw(http.MethodPost, "/api/v1/login/start", nil)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(data, &started); err != nil {
		return nil, err
	}
	at, err := url.Parse(started.LoginURL)
	if err != nil {
		return nil, err
	}
	form := url.Values{
		"api_key": {tree.SimAPIKey}, "redirect_params": {at.Query().Get("redirect_params")}, "answer": {button},
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+r.House.SimAddr()+"/connect/login", strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	still := *r.http
	still.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := still.Do(req)
	if err != nil {
		return nil, err
	}
	resp.Body.Close()
	back, err := resp.Location()
	if err != nil {
		return nil, fmt.Errorf("the exchange's page answered %s: %w", resp.Status, err)
	}
	if t := back.Query().Get("request_token"); t != "" {
		r.secrets = append(r.secrets, t)
	}
	return back, nil
}

// login does a whole login.
func (r *Rig) login(ctx context.Context) error {
	back, err := r.consent(ctx, "approve")
	if err != nil {
		return err
	}
	if _, _, err := r.visit(ctx, back.RequestURI()); err != nil {
		return err
	}
	var st api.Status
	if err := r.get("/api/v1/status", &st); err != nil {
		return err
	}
	if st.Login == nil || st.Login.Result != messages.LoginOK {
		return fmt.Errorf("the login failed: %+v", st.Login)
	}
	if value, err := r.fileToken(); err == nil {
		r.secrets = append(r.secrets, value)
	}
	return nil
}

func loginAbuse(ctx context.Context, r *Rig) error {
	before, err := r.fileToken()
	if err != nil {
		return err
	}
	abuse := func(name string, want messages.LoginResult, do func() error) error {
		start := time.Now()
		if err := do(); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		var st api.Status
		if err := r.get("/api/v1/status", &st); err != nil {
			return err
		}
		if st.Login == nil || st.Login.At.Before(start) || st.Login.Result != want {
			return fmt.Errorf("%s ended as %+v, want %s", name, st.Login, want)
		}
		r.note("%s: %q", name, st.Login.Reason)
		if now, err := r.fileToken(); err != nil || now != before {
			return fmt.Errorf("%s changed the token in the file (%v)", name, err)
		}
		return nil
	}
	go1 := func(back *url.URL) error {
		_, page, err := r.visit(ctx, back.RequestURI())
		if err == nil && strings.Contains(page, "panic") {
			err = errors.New("the page speaks of a panic")
		}
		return err
	}
	approved := func() (*url.URL, error) { return r.consent(ctx, "approve") }
	change := func(back *url.URL, key, value string) *url.URL {
		q := back.Query()
		for k := range q {
			if k != "action" && k != "type" && k != "status" && k != "request_token" && key == "state" {
				q.Set(k, value)
			}
		}
		if key != "state" {
			q.Set(key, value)
		}
		changed := *back
		changed.RawQuery = q.Encode()
		return &changed
	}
	err = errors.Join(
		abuse("cancelled", messages.LoginCancelled, func() error {
			back, err := r.consent(ctx, "cancel")
			if err != nil {
				return err
			}
			return go1(back)
		}),
		abuse("wrong state", messages.LoginBadState, func() error {
			back, err := approved()
			if err != nil {
				return err
			}
			return go1(change(back, "state", strings.Repeat("0", 64)))
		}),
		abuse("no state", messages.LoginBadState, func() error {
			return go1(&url.URL{Path: "/callback", RawQuery: "status=success&request_token=" + strings.Repeat("r", 32)})
		}),
		abuse("request token of somebody else", messages.LoginExchangeFailed, func() error {
			back, err := approved()
			if err != nil {
				return err
			}
			return go1(change(back, "request_token", strings.Repeat("r", 32)))
		}),
		abuse("wrong secret", messages.LoginExchangeFailed, func() error {
			if err := r.sim(http.MethodPost, "/faults", simulator.Fault{Kind: simulator.FaultChecksum, Count: 1}, nil); err != nil {
				return err
			}
			back, err := approved()
			if err != nil {
				return err
			}
			return go1(back)
		}),
		abuse("pasted nonsense", messages.LoginBadState, func() error {
			body, err := json.Marshal(api.LoginPasted{Pasted: "https://example.com/?nothing=here"})
			if err != nil {
				return err
			}
			resp, err := r.http.Post("http://"+r.House.Addr()+"/api/v1/login/complete", "application/json", bytes.NewReader(body))
			if err != nil {
				return err
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusUnprocessableEntity {
				return fmt.Errorf("answered with %s", resp.Status)
			}
			return nil
		}),
	)
	if err != nil {
		return err
	}
	// Two callbacks at once: one exchange, one new token.
	back, err := approved()
	if err != nil {
		return err
	}
	g, err := r.generation()
	if err != nil {
		return err
	}
	var st simulator.State
	if err := r.sim(http.MethodGet, "/state", nil, &st); err != nil {
		return err
	}
	exchanged := st.Requests.Answered["session"]
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() { _ = go1(back) })
	}
	both.Wait()
	if err := r.adopted(ctx, g+1, 10*time.Second); err != nil {
		return fmt.Errorf("two callbacks at once: %w", err)
	}
	if value, err := r.fileToken(); err == nil {
		r.secrets = append(r.secrets, value)
	}
	if err := r.sim(http.MethodGet, "/state", nil, &st); err != nil {
		return err
	}
	if n := st.Requests.Answered["session"] - exchanged; n > 1 {
		return fmt.Errorf("two callbacks at once made %d exchanges", n)
	}
	// The same callback once more, later: replayed.
	if before, err = r.fileToken(); err != nil {
		return err
	}
	return abuse("replayed", messages.LoginBadState, func() error { return go1(back) })
}
