package rehearse

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"kitestring/actors/web/api"
	"kitestring/cmd/kitestring/rehearse/program"
	"kitestring/messages"
)

// client is a program behind the gateway.
type client struct {
	*program.Program
	name, key string
}

// programs connects n programs that stream the near options of NIFTY in full.
func (r *Rig) programs(n int) (all []*client) {
	for i := range n {
		all = append(all, r.program(fmt.Sprint("program", i)))
	}
	return all
}

func (r *Rig) program(name string) *client {
	return r.connect(name, r.addClient(name, "data", "account"))
}

func (r *Rig) addClient(name string, scopes ...string) (key string) {
	var added api.ClientKey
	check(api.Decode(r.post("/api/v1/clients", api.ClientAdd{Name: name, Scopes: scopes}), &added))
	r.secret(added.Key)
	return added.Key
}

func (r *Rig) connect(name, key string) *client {
	o := program.Options{Addr: r.gatewayAddr(), APIKey: name, AccessToken: messages.NewSecret(key)}
	for _, in := range r.underlying("NIFTY").Chain {
		o.Instruments = append(o.Instruments, in.Token)
	}
	c := &client{must(program.Start(r.ctx, o)), name, key}
	r.cleanup(c.Close)
	r.within(10*time.Second, name+" streams", func() (bool, any) { return c.Ticks() > 0, "no tick" })
	return c
}

// gatewayAddr is asked for once: programs may still run when the server has ended.
func (r *Rig) gatewayAddr() string {
	if r.gateway == "" {
		status := r.status().Gateway
		if status == nil {
			failf("the server has no gateway")
		}
		r.gateway = status.Addr
	}
	return r.gateway
}

// untroubled demands that the program has noticed nothing.
func (c *client) untroubled() {
	if lost, repeated := c.Missed(); lost != 0 || repeated != 0 || c.Closed() {
		failf("%s: %d ticks lost, %d repeated, closed %v", c.name, lost, repeated, c.Closed())
	}
}

func total(programs []*client) (n int64) {
	for _, p := range programs {
		n += p.Ticks()
	}
	return n
}

func (r *Rig) gatewayClient(name string) api.Client {
	return get[api.Client](r, "/api/v1/clients/"+name)
}

// through sends a program's request through the gateway; code 0: no answer.
func (r *Rig) through(key, method, path, body string) (code int, answer string) {
	req, err := http.NewRequestWithContext(r.ctx, method, "http://"+r.gatewayAddr()+path, strings.NewReader(body))
	check(err)
	req.Header.Set("Authorization", "token drill:"+key)
	if body != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}).Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(text)
}

// asking sends a request each interval until stop, which says what was not
// answered well.
func (r *Rig) asking(key, path string, interval time.Duration) (stop func() (asked int, refused []string)) {
	var asked int
	var refused []string
	end := make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		every := time.NewTicker(interval)
		defer every.Stop()
		for {
			select {
			case <-end:
				return
			case <-every.C:
			}
			asked++
			if code, body := r.through(key, http.MethodGet, path, ""); code != http.StatusOK {
				refused = append(refused, fmt.Sprint(code, " ", body))
			}
		}
	})
	return func() (int, []string) {
		close(end)
		done.Wait()
		return asked, refused
	}
}
