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
	"syscall"
	"time"

	"kitestring/actors/token"
	"kitestring/actors/web/api"
	"kitestring/messages"
	"kitestring/supervisor/tree"
)

// askWithin bounds each question over the network.
const askWithin = 5 * time.Second

// mostSkew is how far the clock may be off before it is worth a word: an HTTP
// date has a resolution of one second, and the way takes time.
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

// lookAtPort checks that the address is free, or a server of ours has it.
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
	if d.askOurs(ctx, "/api/v1/status", &st) == nil && st.Process.ID != 0 {
		d.running = &st
		d.note(checkPort, good, fmt.Sprintf("a kitestring listens on %s: process %d, version %s, profile %s", d.addr, st.Process.ID, st.Process.Version, st.Profile), "")
		return
	}
	d.note(checkPort, failed, "another program listens on "+d.addr, "stop it, or choose another address with --addr (and register it with Kite)")
}

// lookAtServer checks that the running server is live, on the token in the file.
func (d *doctor) lookAtServer(context.Context) {
	if d.running == nil {
		d.note(checkServer, skipped, "no server of ours listens on "+d.addr, "")
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

// askOurs asks the server on our address.
func (d *doctor) askOurs(ctx context.Context, path string, into any) error {
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

// lookAtRedirect checks that a login comes back to our listener.
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
	if u.Path != "/callback" {
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

// answer is what Kite says to /user/profile.
type answer struct {
	status    int
	errorType string
	date      time.Time // of the answer; zero: none
	sent, got time.Time
}

// askKite asks Kite once: that it answers, what time it has, and what it says
// of the token.
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
	a, err := d.profileOf(ctx)
	if err != nil {
		d.note(checkAPI, failed, fmt.Sprintf("no answer from %s: %v", host, err), "check the network, DNS and proxy of this machine, and KITE_API_URL if the file has one")
		d.note(checkClock, skipped, "no answer to compare with", "")
		d.noteToken(nil)
		return
	}
	d.note(checkAPI, good, fmt.Sprintf("%s answers in %d ms", host, a.got.Sub(a.sent).Milliseconds()), "")
	d.lookAtClock(a)
	d.noteToken(a)
}

// hostOf is an address without what may be secret in it.
func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "an address that is none"
	}
	return u.Scheme + "://" + u.Host
}

// profileOf asks Kite who the token belongs to.
func (d *doctor) profileOf(ctx context.Context) (*answer, error) {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.plan.Exchange.APIURL+"/user/profile", nil)
	if err != nil {
		return nil, errors.New("the address is none")
	}
	req.Close = true
	req.Header.Set("X-Kite-Version", "3")
	if access := d.store.Secret(token.KeyAccessToken); !access.IsZero() {
		req.Header.Set("Authorization", "token "+d.store.Credentials().APIKey+":"+access.Reveal())
	}
	c := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	a := &answer{sent: time.Now()}
	resp, err := c.Do(req)
	if err != nil {
		var inner *url.Error
		if errors.As(err, &inner) { // its text holds the whole address
			err = inner.Err
		}
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("nothing within %s", askWithin)
		}
		return nil, err
	}
	defer resp.Body.Close()
	a.got, a.status = time.Now(), resp.StatusCode
	a.date, _ = http.ParseTime(resp.Header.Get("Date"))
	var body struct {
		ErrorType string `json:"error_type"`
	}
	// A body that is no JSON leaves the error without a type, as it is.
	_ = json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&body)
	a.errorType = body.ErrorType
	return a, nil
}

func (d *doctor) lookAtClock(a *answer) {
	if a.date.IsZero() {
		d.note(checkClock, skipped, "the answer has no date", "")
		return
	}
	// The date was cut to a second, somewhere between sending and receiving.
	skew := a.sent.Add(a.got.Sub(a.sent) / 2).Sub(a.date.Add(time.Second / 2))
	switch {
	case skew > mostSkew:
		d.note(checkClock, failed, fmt.Sprintf("this machine's clock is %s ahead of the exchange's", skew.Round(time.Second)), "turn time synchronisation on: timedatectl set-ntp true")
	case skew < -mostSkew:
		d.note(checkClock, failed, fmt.Sprintf("this machine's clock is %s behind the exchange's", -skew.Round(time.Second)), "turn time synchronisation on: timedatectl set-ntp true")
	default:
		d.note(checkClock, good, fmt.Sprintf("within %s of the exchange's", mostSkew), "")
	}
}

// noteToken says what Kite thinks of the token; nil: it did not answer.
func (d *doctor) noteToken(a *answer) {
	access := d.store.Secret(token.KeyAccessToken)
	shown := "the token with fingerprint " + access.Fingerprint()
	const login = "kitestring login"
	switch {
	case access.IsZero():
		d.note(checkToken, failed, "there is no access token yet", login)
	case a == nil:
		d.note(checkToken, skipped, "Kite gave no answer about "+shown, "")
	case a.status == http.StatusOK:
		d.note(checkToken, good, "Kite accepts "+shown, "")
	case a.status == http.StatusForbidden && a.errorType == "TokenException":
		d.note(checkToken, failed, "Kite refuses "+shown+": it has expired, or belongs to another API key", login)
	default:
		d.note(checkToken, warned, fmt.Sprintf("Kite answered %d, which says nothing about %s", a.status, shown), "try again in a minute")
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
	case d.askOurs(ctx, "/api/v1/token", &t) != nil:
		d.note(checkToken, skipped, "the server does not tell", "")
	case t.State == messages.Valid:
		d.note(checkToken, good, fmt.Sprintf("the simulator accepts the token with fingerprint %s", t.Fingerprint), "")
	default:
		d.note(checkToken, failed, "the server's token is "+t.State.String(), "kitestring login")
	}
}
