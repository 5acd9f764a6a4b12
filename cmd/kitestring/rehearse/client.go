package rehearse

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"kitestring/actors/web/api"
	"kitestring/messages"
)

// get asks the server's API.
func get[T any](r *Rig, path string) (answer T) {
	check(api.Decode(r.call(http.MethodGet, r.web, path, nil), &answer))
	return answer
}

func (r *Rig) post(path string, body any) []byte { return r.call(http.MethodPost, r.web, path, body) }

// call asks the server or the exchange. 503 is an answer (of /readyz); every
// other status of 400 and above ends the drill.
func (r *Rig) call(method, host, path string, body any) []byte {
	var payload io.Reader
	if body != nil {
		payload = bytes.NewReader(must(json.Marshal(body)))
	}
	req := must(http.NewRequestWithContext(r.ctx, method, "http://"+host+path, payload))
	resp, data := r.do(req)
	if resp.StatusCode >= 400 && resp.StatusCode != http.StatusServiceUnavailable {
		failf("%s %s: %s: %s", method, req.URL.Path, resp.Status, bytes.TrimSpace(data))
	}
	return data
}

// do sends a request and reads the answer. Errors leave out the address, which
// may contain a request token.
func (r *Rig) do(req *http.Request) (*http.Response, []byte) {
	resp, err := r.http.Do(req)
	if r.ctx.Err() != nil {
		err = context.Cause(r.ctx)
	}
	if u := (*url.Error)(nil); errors.As(err, &u) {
		err = &url.Error{Op: u.Op, URL: req.URL.Path, Err: u.Err}
	}
	check(err)
	defer resp.Body.Close()
	return resp, must(io.ReadAll(resp.Body))
}

func (r *Rig) status() api.Status          { return get[api.Status](r, "/api/v1/status") }
func (r *Rig) token() api.Token            { return get[api.Token](r, "/api/v1/token") }
func (r *Rig) actor(name string) api.Actor { return get[api.Actor](r, "/api/v1/actors/"+name) }
func (r *Rig) rotations() []messages.Rotation {
	return get[[]messages.Rotation](r, "/api/v1/rotations")
}

// generation is the adopted one.
func (r *Rig) generation() messages.Generation { return r.token().Generation }

// adopted waits until generation g is adopted and every holder works with it.
func (r *Rig) adopted(g messages.Generation, d time.Duration) {
	r.within(d, fmt.Sprintf("generation %d is adopted by all", g), func() (bool, any) {
		t := r.token()
		return t.Generation == g && t.Coherent, fmt.Sprintf("adopted %d, coherent %t, holders %+v", t.Generation, t.Coherent, t.Holders)
	})
}

// feedIs waits for a state of the feed.
func (r *Rig) feedIs(d time.Duration, state messages.FeedState) (st api.Status) {
	r.within(d, "the feed is "+state.String(), func() (bool, any) {
		st = r.status()
		return st.Feed.State == state, st.Feed
	})
	return st
}

// receipt waits for the finished receipt of a generation.
func (r *Rig) receipt(g messages.Generation) (found messages.Rotation) {
	r.within(10*time.Second, fmt.Sprintf("the receipt of generation %d is complete", g), func() (bool, any) {
		for _, rot := range r.rotations() {
			if rot.Generation == g {
				found = rot
			}
		}
		// The profile's answer and the first tick may come after the old socket's end.
		return found.TotalMS != nil && missingStage(found) == "", fmt.Sprintf("%s, no stage %q", found.Result, missingStage(found))
	})
	return found
}

// missingStage names a stage that a receipt does not have, "" when it has all.
func missingStage(rot messages.Rotation) string {
	for _, stage := range []struct {
		name string
		ms   *float64
	}{
		{"detected", rot.DetectedMS},
		{"validated", rot.ValidatedMS},
		{"dialled", rot.DialledMS},
		{"first frame", rot.FirstFrameMS},
		{"first tick", rot.FirstTickMS},
		{"old closed", rot.RetiredMS},
	} {
		if stage.ms == nil {
			return stage.name
		}
	}
	return ""
}

// nothingLost demands that both sockets streamed side by side, and that the receipt
// counted nothing lost and nothing repeated. Without the overlap it is luck that no
// tick fell into the gap of a millisecond.
func nothingLost(rot messages.Rotation) {
	if rot.Lost == nil || rot.Repeated == nil {
		failf("the receipt does not count what was lost, though the simulator is sequenced")
	}
	if rot.Overlapped == 0 {
		failf("no packet came on both sockets: the old one was closed before the new one streamed")
	}
	if *rot.Lost != 0 || *rot.Repeated != 0 {
		failf("%d ticks lost, %d repeated", *rot.Lost, *rot.Repeated)
	}
}

// workers are the actors, in the tree's order.
func (r *Rig) workers() []api.Actor {
	return slices.DeleteFunc(get[[]api.Actor](r, "/api/v1/actors"), func(a api.Actor) bool { return a.Kind != "worker" })
}

// untouched demands that no actor but the victim was restarted or lost
// anything since before; it returns the victim.
func (r *Rig) untouched(before []api.Actor, victim string) (found api.Actor) {
	for i, a := range r.workers() {
		switch {
		case a.Name == victim:
			found = a
		case a.Epoch != before[i].Epoch:
			failf("%s was restarted too", a.Name)
		case a.Mailbox.Dropped != before[i].Mailbox.Dropped:
			failf("%s lost %d messages", a.Name, a.Mailbox.Dropped-before[i].Mailbox.Dropped)
		}
	}
	return found
}

// chaos injects a fault into an actor. The web actor may not get the answer
// about its own fault out; its next incarnation shows it, too.
func (r *Rig) chaos(f api.Chaos) {
	err := attempt(func() { r.post("/api/v1/chaos", f) })
	if cut := (*url.Error)(nil); f.Actor != "web" || !errors.As(err, &cut) {
		check(err)
	}
}

func (r *Rig) restart(name string) { r.post("/api/v1/actors/"+name+"/restart", nil) }
func (r *Rig) validate()           { r.post("/api/v1/token/validate", nil) }

// events are those of a kind (all when empty) since an id, oldest first.
func (r *Rig) events(kind string, since uint64) (found []api.Event) {
	for _, e := range slices.Backward(get[[]api.Event](r, "/api/v1/events")) {
		if e.ID > since && (kind == "" || e.Kind == kind) {
			found = append(found, e)
		}
	}
	return found
}

// lastEvent is the id of the newest event.
func (r *Rig) lastEvent() uint64 {
	all := r.events("", 0)
	if len(all) == 0 {
		return 0
	}
	return all[len(all)-1].ID
}

// happens waits for an event whose text contains all parts.
func (r *Rig) happens(d time.Duration, kind string, since uint64, parts ...string) {
	r.within(d, fmt.Sprintf("an event of kind %s that says %q", kind, parts), func() (bool, any) {
		events := r.events(kind, since)
		return slices.ContainsFunc(events, func(e api.Event) bool { return containsAll([]byte(e.Text), parts) }), events
	})
}

// gapsSince are the gaps of tradable instruments that were found after a
// moment, the newest of each.
func (r *Rig) gapsSince(since time.Time) map[uint32]messages.Gap {
	found := map[uint32]messages.Gap{}
	for _, g := range slices.Backward(get[[]messages.GapDetected](r, "/api/v1/gaps")) {
		if g.At.Before(since) {
			continue
		}
		for _, one := range g.Gaps {
			if messages.SegmentOf(one.InstrumentToken) != messages.Indices {
				found[one.InstrumentToken] = one
			}
		}
	}
	return found
}

// ticked waits until every option of every chain has had a tick: an instrument
// that is subscribed to and has had none has nothing to miss.
func (r *Rig) ticked() {
	for _, u := range r.underlyings() {
		r.within(30*time.Second, "every option of "+u.Name+" has had a tick", func() (bool, any) {
			reading := get[messages.Reading](r, "/api/v1/readings/"+u.Name+"/pcr")
			return reading.Coverage == 1, fmt.Sprintf("coverage %.2f, %s", reading.Coverage, reading.Reason)
		})
	}
}

// underlyings are what the server works on today.
func (r *Rig) underlyings() []messages.Underlying {
	return get[[]messages.Underlying](r, "/api/v1/instruments")
}

func (r *Rig) underlying(name string) messages.Underlying {
	all := r.underlyings()
	i := slices.IndexFunc(all, func(u messages.Underlying) bool { return u.Name == name })
	if i < 0 {
		failf("there is no %s", name)
	}
	return all[i]
}

// streams demands that ticks go on for a while.
func (r *Rig) streams(d time.Duration) {
	r.during(d, "ticks go on", func() (bool, any) {
		f := r.status().Feed
		return f.State == messages.Streaming && f.LastTickAgeSeconds != nil && *f.LastTickAgeSeconds < 5, f
	})
}

// capture keeps the log of a server in this process.
type capture struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (c *capture) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.buf.Write(p)
}

// size is the memory that it takes.
func (c *capture) size() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.buf.Cap()
}

func (c *capture) bytes() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Clone(c.buf.Bytes())
}

// logBytes is the server's log so far.
func (r *Rig) logBytes() []byte {
	if r.process != nil {
		return r.process.output()
	}
	return r.log.bytes()
}

// logged are the times of the log lines that contain all parts.
func (r *Rig) logged(parts ...string) (times []time.Time) {
	for line := range bytes.Lines(r.logBytes()) {
		var record struct {
			Time time.Time `json:"time"`
		}
		if containsAll(line, parts) && json.Unmarshal(line, &record) == nil {
			times = append(times, record.Time)
		}
	}
	return times
}

func containsAll(text []byte, parts []string) bool {
	return !slices.ContainsFunc(parts, func(part string) bool { return !bytes.Contains(text, []byte(part)) })
}

// lastWarnings are the newest warnings of the log, for a drill that failed.
func (r *Rig) lastWarnings() string {
	var lines []string
	for line := range strings.Lines(string(r.logBytes())) {
		if strings.Contains(line, `"level":"WARN"`) || strings.Contains(line, `"level":"ERROR"`) {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	if len(lines) == 0 {
		return ""
	}
	return "; last warnings: " + strings.Join(lines[max(0, len(lines)-3):], " ")
}
