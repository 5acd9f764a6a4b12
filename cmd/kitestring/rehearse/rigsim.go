package rehearse

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"kitestring/actors/simulator"
	"kitestring/actors/web/api"
	"kitestring/messages"
	"kitestring/messages/ist"
	"kitestring/supervisor/tree"
)

// at is a moment in India.
func at(year int, month time.Month, day, hour, minute, second int) time.Time {
	return time.Date(year, month, day, hour, minute, second, 0, ist.Zone)
}

// ordinary is a Wednesday on which nothing expires.
var ordinary = at(2026, time.March, 11, 10, 0, 0)

// evening is shortly before its close: prices do not jump when a drill ends
// the session, and option chains stay.
var evening = at(2026, time.March, 11, 15, 20, 0)

// askSim asks the simulated exchange's admin interface.
func askSim[T any](r *Rig, method, path string, body any) (answer T) {
	check(api.Decode(r.call(method, r.sim, "/sim/v1"+path, body), &answer))
	return answer
}

// fault makes something go wrong at the exchange.
func (r *Rig) fault(f simulator.Fault) { r.call(http.MethodPost, r.sim, "/sim/v1/faults", f) }

// lift ends the faults of some kinds, all when none is named.
func (r *Rig) lift(kinds ...simulator.FaultKind) {
	query := url.Values{}
	for _, k := range kinds {
		query.Add("kind", string(k))
	}
	r.call(http.MethodDelete, r.sim, "/sim/v1/faults?"+query.Encode(), nil)
}

// clock sets the exchange's clock: fields are now, speed, skip_nights.
func (r *Rig) clock(set map[string]any) { r.call(http.MethodPost, r.sim, "/sim/v1/clock", set) }

// exchange is what the simulated exchange counts.
func (r *Rig) exchange() simulator.State {
	return askSim[simulator.State](r, http.MethodGet, "/state", nil)
}

// upgrades counts the dials that the exchange has seen, whatever it answered.
func (r *Rig) upgrades() int64 { return dials(r.exchange()) }

func dials(st simulator.State) int64 {
	n := st.Upgrades.Accepted
	for _, refused := range st.Upgrades.Refused {
		n += refused
	}
	return n
}

// sockets are the fingerprints of the tokens of the open sockets.
func (r *Rig) sockets() (tokens []string) {
	for _, s := range r.exchange().Sockets {
		tokens = append(tokens, s.Fingerprint)
	}
	return tokens
}

// rotate makes the exchange issue a new token; the old one is dead then.
func (r *Rig) rotate() string {
	answer := askSim[struct {
		AccessToken string `json:"access_token"`
	}](r, http.MethodPost, "/token", map[string]string{"action": "rotate"})
	r.secret(answer.AccessToken)
	return answer.AccessToken
}

// rotated rotates, writes the new token and waits until it is adopted by all.
func (r *Rig) rotated(d time.Duration) messages.Generation {
	g := r.generation() + 1
	value := r.rotate()
	start := time.Now()
	r.byRename(value)
	r.adopted(g, d)
	r.recovery(start)
	return g
}

// redialled waits for a socket that was opened after a moment and has every
// subscription; it returns how long after.
func (r *Rig) redialled(d time.Duration, since time.Time, instruments int) (took time.Duration) {
	r.within(d, "a new socket with every subscription", func() (bool, any) {
		sockets := r.exchange().Sockets
		for _, s := range sockets {
			if s.OpenedAt.After(since) && s.Instruments >= instruments {
				took = s.OpenedAt.Sub(since)
				return true, nil
			}
		}
		return false, sockets
	})
	return took
}

// closeMarket sets the exchange's clock to after the close, and waits until
// the last ticks have come.
func (r *Rig) closeMarket() {
	r.redialled(20*time.Second, time.Time{}, allInstruments)
	day := r.status().Market.ExchangeTime.In(ist.Zone)
	r.clock(map[string]any{"now": at(day.Year(), day.Month(), day.Day(), 15, 45, 0), "speed": 1, "skip_nights": false})
	r.within(10*time.Second, "the market is closed", func() (bool, any) {
		m := r.status().Market
		return m.Phase == messages.Closing, m
	})
	ticks := int64(-1)
	r.within(20*time.Second, "the exchange makes no more ticks", func() (bool, any) {
		before := ticks
		r.pause(200 * time.Millisecond)
		ticks = r.exchange().Ticks
		return ticks == before, ticks
	})
	// The closing price of every instrument, once; an order behind it on the same
	// socket shows that the feed has read it all.
	r.fault(simulator.Fault{Kind: simulator.FaultDuplicateSnapshot})
	last := r.lastEvent()
	const mark = "behind-the-last-tick"
	r.fault(simulator.Fault{Kind: simulator.FaultOrderUpdate, Order: map[string]any{"order_id": mark}})
	r.happens(20*time.Second, "order", last, mark)
}

// visit opens a page of the server as a browser does, redirects followed.
func (r *Rig) visit(path string) (page string) {
	_, body := r.do(must(http.NewRequestWithContext(r.ctx, http.MethodGet, "http://"+r.web+path, nil)))
	return string(body)
}

// consent asks for a login and presses a button on the exchange's page; it
// returns where the browser is sent back to, without going there.
func (r *Rig) consent(button string) *url.URL {
	var started api.LoginStarted
	check(api.Decode(r.post("/api/v1/login/start", nil), &started))
	login := must(url.Parse(started.LoginURL))
	form := url.Values{"api_key": {tree.SimAPIKey}, "redirect_params": {login.Query().Get("redirect_params")}, "answer": {button}}
	req := must(http.NewRequestWithContext(r.ctx, http.MethodPost, "http://"+r.sim+"/connect/login", strings.NewReader(form.Encode())))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	noRedirect := *r.http
	noRedirect.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp := must(noRedirect.Do(req))
	resp.Body.Close()
	back, err := resp.Location()
	if err != nil {
		failf("the exchange's page answered %s: %w", resp.Status, err)
	}
	if t := back.Query().Get("request_token"); t != "" {
		r.secret(t)
	}
	return back
}

// login does a whole login.
func (r *Rig) login() {
	r.visit(r.consent("approve").RequestURI())
	if login := r.status().Login; login == nil || login.Result != messages.LoginOK {
		failf("the login failed: %+v", login)
	}
	r.secret(r.fileToken())
}

// serveExchange is an exchange of the drill's own, for servers that are
// processes: it keeps clock, prices and tokens when they die.
func (r *Rig) serveExchange(cfg simulator.Config) (*simulator.Exchange, messages.AccessToken) {
	cfg.APIKey, cfg.APISecret, cfg.Sequence, cfg.Seed = tree.SimAPIKey, messages.NewSecret(simSecret), true, 1
	ex := must(simulator.New(cfg))
	check(ex.Listen("127.0.0.1:0"))
	ctx, end := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- ex.Serve(ctx) }()
	r.cleanup(func() {
		end()
		if err := <-served; !errors.Is(err, context.Canceled) {
			check(err)
		}
		check(ex.Close())
	})
	return ex, must(ex.IssueToken())
}

// fingerprint is how a token is shown.
func fingerprint(value string) string { return messages.NewAccessToken(value).Fingerprint() }

// serverOn starts a server process in a folder, in a time zone, on an exchange
// of the drill's own. A folder that exists stays as it is.
func (r *Rig) serverOn(ex *simulator.Exchange, token messages.AccessToken, name, zone string) *Rig {
	s := r.folder(name)
	s.configure(ex, token)
	s.startServer([]string{"TZ=" + zone, "HOME=" + s.Dir}, "--log-level", "debug")
	return s
}

// configure writes the file of a server on an exchange, if there is none.
func (r *Rig) configure(ex *simulator.Exchange, token messages.AccessToken) {
	r.secret(token.Reveal())
	r.sim = ex.Addr()
	if !r.hasFile() {
		r.writeEnv(fmt.Sprintf("KITESTRING_PROFILE=sim\nZERODHA_API_KEY=%s\nZERODHA_API_SECRET=%s\nKITE_API_URL=%s\nZERODHA_ACCESS_TOKEN=%s\n",
			tree.SimAPIKey, simSecret, ex.APIURL(), token.Reveal()))
	}
}

// on is a time of a day.
func on(day time.Time, h, m int) time.Time {
	y, mo, dd := day.In(ist.Zone).Date()
	return at(y, mo, dd, h, m, 0)
}

// beforeOpen is when people look whether they are ready.
var beforeOpen = at(2026, time.March, 11, 8, 50, 0)

// reconnect drops the sockets of the exchange.
func (r *Rig) reconnect() { r.fault(simulator.Fault{Kind: simulator.FaultDrop}) }
