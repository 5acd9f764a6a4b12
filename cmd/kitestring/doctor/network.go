package doctor

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
	"kitestring/supervisor/tree/profile"
)

// askWithin bounds each question over the network.
const askWithin = 5 * time.Second

// mostSkew is how far the clock may be off before it is a finding: an HTTP date
// has a resolution of one second, and the answer takes its time to arrive.
const mostSkew = 5 * time.Second

// lookAtPlan checks that the flags and the file go together.
func (e *examination) lookAtPlan(context.Context) {
	plan, err := profile.PlanOf(e.store, e.cfg.Profile, e.cfg.Addr)
	e.plan = plan
	switch e.planned = err == nil; {
	case err != nil:
		detail, fix := sentence(err.Error())
		e.note(Profile, Failed, detail, fix)
	case plan.Embedded:
		e.note(Profile, OK, plan.Profile+": the exchange is simulated inside the server", "")
	default:
		e.note(Profile, OK, plan.Profile+": the exchange is "+hostOf(plan.Exchange.APIURL), "")
	}
}

// lookAtPort checks that the address is free, or that a kitestring has it.
func (e *examination) lookAtPort(ctx context.Context) {
	l, err := net.Listen("tcp", e.cfg.Addr)
	if err == nil {
		_ = l.Close()
		if _, port, _ := net.SplitHostPort(e.cfg.Addr); port == "0" {
			e.note(Port, Warned, "port 0 is another one at each start, and Kite sends logins to one that is registered", "choose one, such as --addr "+e.cfg.DefaultAddr)
		} else {
			e.note(Port, OK, e.cfg.Addr+" is free", "")
		}
		return
	}
	if !errors.Is(err, syscall.EADDRINUSE) {
		var errno syscall.Errno
		if errors.As(err, &errno) {
			err = errno
		}
		e.note(Port, Failed, fmt.Sprintf("cannot listen on %s: %v", e.cfg.Addr, err), "choose another address with --addr, such as "+e.cfg.DefaultAddr)
		return
	}
	var st api.Status
	if e.askServer(ctx, "/api/v1/status", &st) == nil && st.Process.ID != 0 {
		e.running = &st
		e.note(Port, OK, fmt.Sprintf("a kitestring listens on %s: process %d, version %s, profile %s", e.cfg.Addr, st.Process.ID, st.Process.Version, st.Profile), "")
		return
	}
	e.note(Port, Failed, "another program listens on "+e.cfg.Addr, "stop it, or choose another address with --addr (and register it with Kite)")
}

// lookAtServer checks that the running server is live on the token in the file.
func (e *examination) lookAtServer(context.Context) {
	if e.running == nil {
		e.note(Server, Skipped, "no kitestring listens on "+e.cfg.Addr, "")
		return
	}
	in, its := e.store.Secret(token.KeyAccessToken).Fingerprint(), e.running.Token.Fingerprint
	switch {
	case in != "" && its != "" && in != its:
		e.note(Server, Warned, fmt.Sprintf("the server works with the token %s, and the file holds %s: it reads another file, or Kite refused this one", its, in),
			"compare its --env-file with "+e.cfg.EnvFile+", then see: kitestring token show")
	case !e.running.Token.Coherent:
		e.note(Server, Warned, "a part of the server is still on an older token", "kitestring token show names it, kitestring restart NAME restarts it")
	case !e.running.Live:
		detail := e.running.Message
		if detail == "" {
			detail = "the server is not live"
		}
		e.note(Server, Warned, detail, "kitestring status says more")
	default:
		e.note(Server, OK, "live, all services use the token of generation "+fmt.Sprint(e.running.Token.Generation), "")
	}
}

// askServer asks the kitestring that listens on our address.
func (e *examination) askServer(ctx context.Context, path string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+e.cfg.Addr+path, nil)
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
func (e *examination) lookAtRedirect(context.Context) {
	want := "http://" + e.cfg.Addr + "/callback"
	fix := fmt.Sprintf("set %s=%s in the file and in the app at developers.kite.trade", token.KeyRedirectURL, want)
	have := e.store.Credentials().RedirectURL
	if have == "" {
		e.note(Redirect, OK, fmt.Sprintf("%s is not set: the app at developers.kite.trade must name %s", token.KeyRedirectURL, want), "")
		return
	}
	s, detail := redirectFault(have, e.cfg.Addr)
	if s == Failed && e.plan.Profile == "sim" {
		s, detail, fix = Warned, detail+"; the simulator does without it", "remove the line from the file: the next start writes the right one"
	}
	if s == OK {
		fix = ""
	}
	e.note(Redirect, s, detail, fix)
}

// redirectFault judges a redirect URL against the address that we listen on.
func redirectFault(have, addr string) (Status, string) {
	u, err := url.Parse(have)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return Failed, token.KeyRedirectURL + " is not an address"
	}
	shown := u.Scheme + "://" + u.Host + u.Path
	if !slices.Contains([]string{"/callback", "/callback/", "/", ""}, u.Path) {
		return Failed, shown + " does not end in /callback, where the server takes a login"
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return Failed, shown + " cannot lead to " + addr
	}
	theirs := u.Port()
	if theirs == "" {
		theirs = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	switch {
	case !isLoopback(u.Hostname()) && u.Hostname() != host:
		return Warned, shown + " is another host: something there must pass logins on to " + addr
	case theirs != port:
		return Failed, fmt.Sprintf("a login would come back to %s, and the server listens on %s", shown, addr)
	case u.Scheme == "https":
		return Warned, shown + " is https, and the server speaks http: something before it must unwrap that"
	}
	return OK, shown + " leads to the server"
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
func (e *examination) askKite(ctx context.Context) {
	if !e.planned || e.plan.Embedded {
		why := "the exchange is simulated inside the server"
		if !e.planned {
			why = "the profile does not hold"
		}
		e.note(API, Skipped, why, "")
		e.note(Clock, Skipped, why, "")
		e.lookAtSimToken(ctx)
		return
	}
	host := hostOf(e.plan.Exchange.APIURL)
	a := e.askProfile(ctx)
	var refused *kite.Error
	if errors.As(a.err, &refused) && refused.Status == 0 {
		e.note(API, Failed, fmt.Sprintf("no answer from %s: %s", host, refused.Detail), "check the network, DNS and proxy of this machine, and KITE_API_URL if the file has one")
		e.note(Clock, Skipped, "no answer to compare with", "")
	} else {
		e.note(API, OK, fmt.Sprintf("%s answers in %d ms", host, a.got.Sub(a.sent).Milliseconds()), "")
		e.lookAtClock(a)
	}
	e.lookAtToken(refused)
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
func (e *examination) askProfile(ctx context.Context) *answer {
	ctx, cancel := context.WithTimeoutCause(ctx, askWithin, fmt.Errorf("nothing within %s", askWithin))
	defer cancel()
	a := &answer{}
	ex := e.plan.Exchange
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
	session := messages.Session{APIKey: e.store.Credentials().APIKey, Token: messages.AccessToken{Secret: e.accessToken()}}
	_, a.err = kite.New(ex, session, func(messages.Generation) {}).Profile(ctx)
	return a
}

// accessToken is the token that a server would take from the file: none while
// the file is refused.
func (e *examination) accessToken() messages.Secret {
	if e.file.Refusal != "" {
		return messages.Secret{}
	}
	return e.store.Secret(token.KeyAccessToken)
}

// roundTripper is an http.RoundTripper.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func (e *examination) lookAtClock(a *answer) {
	// The date was cut to a second, somewhere between sending and receiving.
	skew := a.sent.Add(a.got.Sub(a.sent) / 2).Sub(a.date.Add(time.Second / 2))
	side := "ahead of"
	if skew < 0 {
		side = "behind"
	}
	switch {
	case a.date.IsZero():
		e.note(Clock, Skipped, "the answer has no date", "")
	case skew.Abs() > mostSkew:
		e.note(Clock, Failed, fmt.Sprintf("this machine's clock is %s %s the exchange's", skew.Abs().Round(time.Second), side), "turn time synchronisation on: timedatectl set-ntp true")
	default:
		e.note(Clock, OK, fmt.Sprintf("within %s of the exchange's", mostSkew), "")
	}
}

// lookAtToken says what Kite thinks of the token; refused is nil when Kite
// accepts it.
func (e *examination) lookAtToken(refused *kite.Error) {
	access := e.accessToken()
	shown := "the token with fingerprint " + access.Fingerprint()
	const login = "kitestring login"
	switch {
	case e.file.Refusal != "":
		e.note(Token, Skipped, "the file cannot be used as it is, so no token of it was asked about", "")
	case access.IsZero():
		e.note(Token, Failed, "there is no access token yet", login)
	case refused == nil:
		e.note(Token, OK, "Kite accepts "+shown, "")
	case refused.Status == 0:
		e.note(Token, Skipped, "Kite gave no answer about "+shown, "")
	case refused.Kind == kite.TokenRefused:
		e.note(Token, Failed, fmt.Sprintf("Kite refuses %s (%q): it has expired, or belongs to another API key", shown, refused.Detail), login)
	default:
		e.note(Token, Warned, fmt.Sprintf("Kite answered %d %s, which says nothing about %s", refused.Status, refused.Detail, shown), "try again in a minute")
	}
}

// lookAtSimToken asks the running server, which has the simulator inside.
func (e *examination) lookAtSimToken(ctx context.Context) {
	var t api.Token
	switch {
	case !e.planned:
		e.note(Token, Skipped, "the profile does not hold", "")
	case e.running == nil:
		e.note(Token, Skipped, "no server runs, and the simulator is inside it", "")
	case e.askServer(ctx, "/api/v1/token", &t) != nil:
		e.note(Token, Skipped, "the server gives no answer about it", "")
	case t.State == messages.Valid:
		e.note(Token, OK, fmt.Sprintf("the simulator accepts the token with fingerprint %s", t.Fingerprint), "")
	default:
		e.note(Token, Failed, "the server's token is "+t.State.String(), "kitestring login")
	}
}
