package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"syscall"
	"time"

	"kitestring/actors/kite"
	"kitestring/actors/token"
	"kitestring/actors/web/api"
	"kitestring/messages"
	"kitestring/supervisor/tree"
)

// askWithin bounds each question over the network.
const askWithin = 5 * time.Second

// mostSkew is how far the clock may be off before it is a finding: an HTTP date
// has a resolution of one second, and the answer takes its time to arrive.
const mostSkew = 5 * time.Second

// lookAtPlan checks that the flags and the file go together.
func (d *doctor) lookAtPlan(context.Context) {
	plan, err := tree.PlanFor(d.store, d.profile, d.addr)
	d.plan = plan
	switch d.planned = err == nil; {
	case err != nil:
		detail, fix := sentence(err.Error())
		d.note(checkPlan, failed, detail, fix)
	case plan.Embedded:
		d.note(checkPlan, good, plan.Profile+": the exchange is simulated inside the server", "")
	default:
		d.note(checkPlan, good, plan.Profile+": the exchange is "+hostOf(plan.Exchange.APIURL), "")
	}
}

// lookAtPort checks that the address is free, or that a kitestring has it.
func (d *doctor) lookAtPort(ctx context.Context) {
	l, err := net.Listen("tcp", d.addr)
	if err == nil {
		_ = l.Close()
		if _, port, _ := net.SplitHostPort(d.addr); port == "0" {
			d.note(checkPort, warned, "port 0 is another one at each start, and Kite sends logins to one that is registered", "choose one, such as --addr "+defaultAddr)
		} else {
			d.note(checkPort, good, d.addr+" is free", "")
		}
		return
	}
	if !errors.Is(err, syscall.EADDRINUSE) {
		var errno syscall.Errno
		if errors.As(err, &errno) {
			err = errno
		}
		d.note(checkPort, failed, fmt.Sprintf("cannot listen on %s: %v", d.addr, err), "choose another address with --addr, such as "+defaultAddr)
		return
	}
	var st api.Status
	if d.askServer(ctx, "/api/v1/status", &st) == nil && st.Process.ID != 0 {
		d.running = &st
		d.note(checkPort, good, fmt.Sprintf("a kitestring listens on %s: process %d, version %s, profile %s", d.addr, st.Process.ID, st.Process.Version, st.Profile), "")
		return
	}
	d.note(checkPort, failed, "another program listens on "+d.addr, "stop it, or choose another address with --addr (and register it with Kite)")
}

// lookAtServer checks that the running server is live on the token in the file.
func (d *doctor) lookAtServer(context.Context) {
	if d.running == nil {
		d.note(checkServer, skipped, "no kitestring listens on "+d.addr, "")
		return
	}
	in, its := d.store.Secret(token.KeyAccessToken).Fingerprint(), d.running.Token.Fingerprint
	switch {
	case in != "" && its != "" && in != its:
		d.note(checkServer, warned, fmt.Sprintf("the server works with the token %s, and the file holds %s: it reads another file, or Kite refused this one", its, in),
			"compare its --env-file with "+d.envFile+", then see: kitestring token show")
	case !d.running.Token.Coherent:
		d.note(checkServer, warned, "a part of the server is still on an older token", "kitestring token show names it, kitestring restart NAME restarts it")
	case !d.running.Live:
		detail := d.running.Message
		if detail == "" {
			detail = "the server is not live"
		}
		d.note(checkServer, warned, detail, "kitestring status says more")
	default:
		d.note(checkServer, good, "live, every part on the token of generation "+fmt.Sprint(d.running.Token.Generation), "")
	}
}

// askServer asks the kitestring that listens on our address.
func (d *doctor) askServer(ctx context.Context, path string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+d.addr+path, nil)
	if err != nil {
		return err
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(into)
}

// lookAtRedirect checks that a login comes back to the server.
func (d *doctor) lookAtRedirect(context.Context) {
	want := "http://" + d.addr + "/callback"
	fix := fmt.Sprintf("set %s=%s in the file and in the app at developers.kite.trade", token.KeyRedirectURL, want)
	have := d.store.Credentials().RedirectURL
	if have == "" {
		d.note(checkRedirect, good, fmt.Sprintf("%s is not set: the app at developers.kite.trade must name %s", token.KeyRedirectURL, want), "")
		return
	}
	s, detail := redirectFault(have, d.addr)
	if s == failed && d.plan.Profile == "sim" {
		s, detail, fix = warned, detail+"; the simulator's own is rewritten at the next start", "start the server: kitestring run --addr "+d.addr
	}
	if s == good {
		fix = ""
	}
	d.note(checkRedirect, s, detail, fix)
}

// redirectFault judges a redirect URL against the address that we listen on.
func redirectFault(have, addr string) (status, string) {
	u, err := url.Parse(have)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return failed, token.KeyRedirectURL + " is not an address"
	}
	shown := u.Scheme + "://" + u.Host + u.Path
	if !slices.Contains([]string{"/callback", "/callback/", "/", ""}, u.Path) {
		return failed, shown + " does not end in /callback, where the server takes a login"
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return failed, shown + " cannot lead to " + addr
	}
	theirs := u.Port()
	if theirs == "" {
		theirs = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	switch {
	case !isLoopback(u.Hostname()) && u.Hostname() != host:
		return warned, shown + " is another host: something there must pass logins on to " + addr
	case theirs != port:
		return failed, fmt.Sprintf("a login would come back to %s, and the server listens on %s", shown, addr)
	case u.Scheme == "https":
		return warned, shown + " is https, and the server speaks http: something before it must unwrap that"
	}
	return good, shown + " leads to the server"
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// answer is what Kite said to a question about the token.
type answer struct {
	err       error     // a *kite.Error; nil: it accepts the token
	date      time.Time // of the answer; zero: it had none
	sent, got time.Time
}

// askKite asks Kite once: that it answers, what time it has, and whether it
// accepts the token.
func (d *doctor) askKite(ctx context.Context) {
	if !d.planned || d.plan.Embedded {
		why := "the exchange is simulated inside the server"
		if !d.planned {
			why = "the profile does not hold"
		}
		d.note(checkAPI, skipped, why, "")
		d.note(checkClock, skipped, why, "")
		d.lookAtSimToken(ctx)
		return
	}
	host := hostOf(d.plan.Exchange.APIURL)
	a := d.askProfile(ctx)
	var refused *kite.Error
	if errors.As(a.err, &refused) && refused.Status == 0 {
		d.note(checkAPI, failed, fmt.Sprintf("no answer from %s: %s", host, refused.Detail), "check the network, DNS and proxy of this machine, and KITE_API_URL if the file has one")
		d.note(checkClock, skipped, "no answer to compare with", "")
	} else {
		d.note(checkAPI, good, fmt.Sprintf("%s answers in %d ms", host, a.got.Sub(a.sent).Milliseconds()), "")
		d.lookAtClock(a)
	}
	d.lookAtToken(refused)
}

// hostOf is an address without what may be secret in it.
func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "an address that is none"
	}
	return u.Scheme + "://" + u.Host
}

// askProfile asks for the profile of the token in the file.
func (d *doctor) askProfile(ctx context.Context) *answer {
	ctx, cancel := context.WithTimeoutCause(ctx, askWithin, fmt.Errorf("nothing within %s", askWithin))
	defer cancel()
	a := &answer{}
	ex := d.plan.Exchange
	ex.Budget = kite.NewBudget()
	ex.Transport = roundTripper(func(req *http.Request) (*http.Response, error) {
		req.Close = true
		a.sent = time.Now()
		resp, err := http.DefaultTransport.RoundTrip(req)
		a.got = time.Now()
		if err == nil {
			a.date, _ = http.ParseTime(resp.Header.Get("Date"))
		}
		return resp, err
	})
	session := messages.Session{APIKey: d.store.Credentials().APIKey, Token: messages.AccessToken{Secret: d.accessToken()}}
	_, a.err = kite.New(ex, session, func(messages.Generation) {}).Profile(ctx)
	return a
}

// accessToken is the token that a server would take from the file: none while
// the file is refused.
func (d *doctor) accessToken() messages.Secret {
	if d.file.Refusal != "" {
		return messages.Secret{}
	}
	return d.store.Secret(token.KeyAccessToken)
}

// roundTripper is an http.RoundTripper.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func (d *doctor) lookAtClock(a *answer) {
	// The date was cut to a second, somewhere between sending and receiving.
	skew := a.sent.Add(a.got.Sub(a.sent) / 2).Sub(a.date.Add(time.Second / 2))
	side := "ahead of"
	if skew < 0 {
		side = "behind"
	}
	switch {
	case a.date.IsZero():
		d.note(checkClock, skipped, "the answer has no date", "")
	case skew.Abs() > mostSkew:
		d.note(checkClock, failed, fmt.Sprintf("this machine's clock is %s %s the exchange's", skew.Abs().Round(time.Second), side), "turn time synchronisation on: timedatectl set-ntp true")
	default:
		d.note(checkClock, good, fmt.Sprintf("within %s of the exchange's", mostSkew), "")
	}
}

// lookAtToken says what Kite thinks of the token; refused is nil when Kite
// accepts it.
func (d *doctor) lookAtToken(refused *kite.Error) {
	access := d.accessToken()
	shown := "the token with fingerprint " + access.Fingerprint()
	const login = "kitestring login"
	switch {
	case d.file.Refusal != "":
		d.note(checkToken, skipped, "the file cannot be used as it is, so no token of it was asked about", "")
	case access.IsZero():
		d.note(checkToken, failed, "there is no access token yet", login)
	case refused == nil:
		d.note(checkToken, good, "Kite accepts "+shown, "")
	case refused.Status == 0:
		d.note(checkToken, skipped, "Kite gave no answer about "+shown, "")
	case refused.Kind == kite.TokenRefused:
		d.note(checkToken, failed, fmt.Sprintf("Kite refuses %s (%q): it has expired, or belongs to another API key", shown, refused.Detail), login)
	default:
		d.note(checkToken, warned, fmt.Sprintf("Kite answered %d %s, which says nothing about %s", refused.Status, refused.Detail, shown), "try again in a minute")
	}
}

// lookAtSimToken asks the running server, which has the simulator inside.
func (d *doctor) lookAtSimToken(ctx context.Context) {
	var t api.Token
	switch {
	case !d.planned:
		d.note(checkToken, skipped, "the profile does not hold", "")
	case d.running == nil:
		d.note(checkToken, skipped, "no server runs, and the simulator is inside it", "")
	case d.askServer(ctx, "/api/v1/token", &t) != nil:
		d.note(checkToken, skipped, "the server gives no answer about it", "")
	case t.State == messages.Valid:
		d.note(checkToken, good, fmt.Sprintf("the simulator accepts the token with fingerprint %s", t.Fingerprint), "")
	default:
		d.note(checkToken, failed, "the server's token is "+t.State.String(), "kitestring login")
	}
}
