package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"kitestring/actors/actorstest"
)

// Each trouble is named in words, and the words go away when it is over.
func TestTroublesAreNamedAndHeal(t *testing.T) {
	server := startServer(t)
	server.live()
	b := openTab(t, browser(t), server.URL())
	b.await(soon, ".hero .word", "Live")
	took := func(what string, most, took time.Duration) {
		t.Helper()
		t.Logf("%s: said after %s", what, took.Round(time.Millisecond))
		if took > most {
			t.Errorf("%s: said after %s, want %s", what, took, most)
		}
	}

	// Kill an actor, with the page's own form.
	b.chord("g", "d")
	b.await(soon, "h1", "Drills")
	b.fill("#drill-victim", "pcr")
	b.click("#card-drill-actor button[type=submit]")
	took("an actor's panic", shown, b.await(soon, "#card-drill-events", "pcr failed: panic"))
	b.await(soon, "#drill-result", "panic injected into pcr")
	b.await(soon, "#card-drill-events", "pcr runs again")
	b.keep("trouble-drills")
	b.chord("g", "a")
	b.unfolded("#card-restarts", `1\s+restart since[\s\S]*pcr`)
	b.await(soon, ".tree", `pcr[\s\S]*running`)

	// An actor that hangs is seen to, and its failures are kept in the tree.
	server.post("/api/v1/chaos", `{"actor":"direct","kind":"exit"}`)
	b.await(soon, "#card-restarts", `2\s+restarts since`)

	// Rotate the token.
	server.post("/api/v1/exchange/rotate", "")
	took("a new token", shown, b.await(soon, "#card-token", "gen 2"))
	b.await(soon, "#card-rotation", `gen 2 adopted[\s\S]*No ticks lost`)
	b.unfolded("#card-rotation", `old closed\s+\d`)
	b.await(soon, ".hero .word", "Live")
	b.keep("trouble-rotated")

	// An actor that misses the next token stays behind, and the page shows it.
	server.post("/api/v1/chaos", `{"actor":"instruments","kind":"drop_token_messages"}`)
	server.post("/api/v1/exchange/rotate", "")
	b.await(soon, "#card-token", `gen 3[\s\S]*Some services still use an older token`)
	took("an actor left behind", shown, b.await(soon, ".tree .behind", "gen 2 behind"))
	b.keep("trouble-behind")
	server.post("/api/v1/actors/instruments/restart", "")
	b.await(3*soon, "#card-token", "all services use it")

	// Cut the feed, and keep it cut.
	b.unfolded("#card-feed", `last gap\s+none since the start`)
	server.post("/api/v1/exchange/faults", `{"kind":"server_error"}`)
	server.post("/api/v1/exchange/faults", `{"kind":"drop"}`)
	took("a cut feed", shown, b.await(soon, ".hero", `Not live[\s\S]*feed is down`))
	b.await(soon, "#card-feed", "Down")
	b.await(soon, "title", "Not live")
	b.keep("trouble-cut")
	server.sim(http.MethodDelete, "/faults", "")
	b.await(3*soon, ".hero .word", "Live")
	b.unfolded("#card-feed", `last gap\s+\d+ instruments?, `)

	// Ticks stop, the socket lives: another word than a cut feed's.
	server.post("/api/v1/exchange/faults", `{"kind":"heartbeat_only"}`)
	took("a stale feed (10 s without a tick make it stale)", 15*time.Second+shown, b.await(15*time.Second+soon, ".hero", `Feed stale[\s\S]*no tick arrives although the market is open`))
	b.await(soon, "#card-feed", "Stale")
	b.keep("trouble-stale")
	server.call(http.MethodDelete, "http://"+server.Addr()+"/api/v1/exchange/faults", "")
	b.await(2*soon, ".hero .word", "Live")

	// A market that closes is no trouble, and looks like none.
	server.sim(http.MethodPost, "/clock", fmt.Sprintf(`{"now":%q}`, afterClose(t, server)))
	took("the end of the session", 2*shown, b.await(2*soon, ".hero", `Market clos[\s\S]*No ticks expected|No more ticks expected`))
	b.await(soon, "#card-feed", "Connected")
	b.keep("trouble-closed")
	b.holds("a closed market is shown as one", `document.documentElement.dataset.state === "closed"`)

	// The server stops: the page itself says so, and comes back with it.
	at := server.Addr()
	server.stop()
	took("a stopped server", shown, b.await(soon, ".banner", `server does not answer. Is kitestring running\?`))
	b.await(soon, ".hero .word", "Server gone")
	b.await(soon, "title", "Server gone")
	b.await(soon, ".banner", `Everything below is \d+ s old`)
	b.keep("trouble-server-gone")
	server.open()
	if server.Addr() != at {
		t.Fatalf("the server came back at %s, not at %s", server.Addr(), at)
	}
	b.await(3*soon, ".hero .word", "Live")
	b.holds("the banner goes when the server is back", `document.querySelector(".banner").hidden`)
}

// afterClose is a minute after the session's end, on the exchange's day.
func afterClose(t *testing.T, s *server) string {
	t.Helper()
	_, body := s.sim(http.MethodGet, "/state", "")
	day := regexp.MustCompile(`"now":"(\d{4}-\d\d-\d\d)T`).FindSubmatch(body)
	if day == nil {
		t.Fatalf("the exchange has no time: %.200s", body)
	}
	return string(day[1]) + "T15:41:00+05:30"
}

// A stream that says nothing more while its server answers is another trouble
// than a server that is gone.
func TestDeadStreamIsNoDeadServer(t *testing.T) {
	server := startServer(t)
	server.live()
	var frozen atomic.Bool
	upstream, _ := url.Parse(server.URL())
	client := &http.Transport{DisableKeepAlives: true}
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		out := r.Clone(r.Context())
		out.URL.Scheme, out.URL.Host, out.RequestURI = "http", upstream.Host, ""
		resp, err := client.RoundTrip(out)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		defer resp.Body.Close()
		for k, v := range resp.Header {
			w.Header()[k] = v
		}
		w.WriteHeader(resp.StatusCode)
		buf := make([]byte, 32<<10)
		for {
			n, err := resp.Body.Read(buf)
			if !frozen.Load() || r.URL.Path != "/api/v1/stream" {
				_, _ = w.Write(buf[:n])
				_ = http.NewResponseController(w).Flush()
			}
			if err != nil {
				return
			}
		}
	}))
	defer proxy.Close()
	defer proxy.CloseClientConnections() // or a page that a failure left open keeps it
	b := openTab(t, browser(t), proxy.URL+"/")
	b.await(soon, ".hero .word", "Live")
	frozen.Store(true)
	t.Logf("a silent stream: said after %s (2 s of silence make it dead)", b.await(2*time.Second+soon, ".banner", "stream of data to this page is dead"))
	b.await(soon, ".hero .word", "Disconnected")
	b.keep("trouble-dead-stream")
	frozen.Store(false)
	b.await(2*soon, ".hero .word", "Live")
	b.do("leave", chromedp.Navigate("about:blank")) // or its stream keeps the proxy open
}

// A page has one stream, whatever is shown, and none while nobody looks; its
// title is true then, too.
func TestOneStreamAPage(t *testing.T) {
	server := startServer(t)
	server.live()
	b := openTab(t, browser(t), server.URL())
	b.await(soon, ".hero .word", "Live")
	streams := func(want float64) {
		t.Helper()
		end := time.Now().Add(2 * soon)
		for server.metric("kitestring_sse_clients") != want {
			if time.Now().After(end) {
				t.Fatalf("%v streams are open, want %v", server.metric("kitestring_sse_clients"), want)
			}
			<-time.After(20 * time.Millisecond)
		}
	}
	for _, p := range []struct{ key, name string }{{"a", "Actors"}, {"e", "Events"}, {"c", "Chain"}, {"o", "Overview"}} {
		b.chord("g", p.key)
		b.await(soon, "h1", p.name)
		streams(1)
	}
	show := func(hidden bool) {
		b.do("hide or show", chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`Object.defineProperty(document, "hidden", { configurable: true, get: () => %t }); document.dispatchEvent(new Event("visibilitychange"))`, hidden)))
	}
	// The alarm is off until then.
	b.do("notifications", chromedp.Evaluate[chromedp.Void](`window.Notification = class { static permission = "granted"; constructor(title) { (window.raised ??= []).push(title); } }`))
	b.click(`header button[aria-label="Alarms: off"]`)
	b.click("#alarm-notify")
	b.click(`dialog[open] form button:last-child`)
	b.holds("the alarm is on", `document.querySelector('header button[aria-label="Alarms: on"]') !== null`)
	// A hidden page has no stream and stays true: it asks now and then.
	show(true)
	streams(0)
	at := server.Addr()
	server.stop()
	b.await(2*soon, "title", "Server gone")
	b.holds("a person is called back", `window.raised?.includes("kitestring: Server gone")`)
	b.holds("the favicon of a hidden page is true", `document.querySelector("link[rel=icon]").getAttribute("href") === "/assets/lost.svg"`)
	server.open()
	if server.Addr() != at {
		t.Fatalf("the server came back at %s, not at %s", server.Addr(), at)
	}
	b.await(3*soon, "title", "Live")
	streams(0)
	// One that the browser puts to sleep knows nothing, and says so.
	b.do("freeze", chromedp.Evaluate[chromedp.Void](`document.dispatchEvent(new Event("freeze"))`))
	b.holds("a page that sleeps says that it does not know", `/Unknown/.test(document.title) && document.querySelector("link[rel=icon]").getAttribute("href") === "/assets/lost.svg"`)
	show(false)
	streams(1)
	b.await(soon, ".hero .word", "Live")
	b.clean("Failed to load resource") // the browser itself logs that the server was gone
}

// Fifty browsers, five of which do not read: the five are dropped and counted,
// the others and the feed do not notice.
func TestBrowsersThatDoNotReadAreDropped(t *testing.T) {
	server := startServer(t)
	server.live()
	edges, _ := server.fanout()
	<-time.After(2 * time.Second) // what is counted with nobody watching
	_, before := server.fanout()
	const readers, stuck = 45, 5
	var received [readers]atomic.Int64 // time of the last status
	for i := range readers {
		conn := server.stream(0)
		go func() {
			lines := bufio.NewScanner(conn)
			lines.Buffer(nil, 4<<20)
			for lines.Scan() {
				if lines.Text() == "event: status" {
					received[i].Store(time.Now().UnixNano())
				}
			}
		}()
	}
	for range stuck {
		server.stream(4096)
	}
	start := time.Now()
	for server.metric(`kitestring_sse_dropped_total`) < stuck {
		if time.Since(start) > time.Minute {
			t.Fatalf("only %v of %d that do not read were dropped within a minute", server.metric(`kitestring_sse_dropped_total`), stuck)
		}
		<-time.After(100 * time.Millisecond)
	}
	t.Logf("%d streams that did not read were dropped after %s", stuck, time.Since(start).Round(100*time.Millisecond))
	// It is dropped a moment before it is not open any more.
	for end := time.Now().Add(soon); server.metric("kitestring_sse_clients") != readers; <-time.After(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%v streams are open, want the %d that read", server.metric("kitestring_sse_clients"), readers)
		}
	}
	if n := server.metric("kitestring_sse_dropped_total"); n != stuck {
		t.Errorf("%v streams were dropped, want %d", n, stuck)
	}
	for i := range received {
		if silence := time.Since(time.Unix(0, received[i].Load())); silence > soon {
			t.Errorf("reader %d has received nothing for %s", i, silence)
		}
	}
	_, after := server.fanout()
	none := make([]float64, len(edges))
	t.Logf("fan-out p99: at most %v s with nobody watching, at most %v s with %d streams", quantile(0.99, edges, none, before), quantile(0.99, edges, before, after), readers+stuck)
	if alone, watched := quantile(0.99, edges, none, before), quantile(0.99, edges, before, after); watched > max(alone, 0.005) && !actorstest.Race { // the race detector's own cost is no feed's
		t.Errorf("the feed's fan-out p99 went from %v s to %v s", alone, watched)
	}
	// The median: a feed that waits for browsers does so again and again, while a
	// machine with 45 readers on it holds any program up now and then.
	if alone, watched := quantile(0.5, edges, none, before), quantile(0.5, edges, before, after); watched > max(10*alone, 0.005) {
		t.Errorf("the feed's median fan-out went from %v s to %v s", alone, watched)
	}
}

// stream opens an event stream of its own; window bounds what it takes in
// without being read, 0 does not.
func (s *server) stream(window int) net.Conn {
	s.t.Helper()
	d := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		if window == 0 {
			return nil
		}
		var err error
		if e := c.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, window) }); e != nil {
			return e
		}
		return err
	}}
	conn, err := d.DialContext(s.t.Context(), "tcp", s.Addr())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "GET /api/v1/stream HTTP/1.1\r\nHost: %s\r\n\r\n", s.Addr())
	return conn
}

// exposition is /metrics.
func (s *server) exposition() string {
	s.t.Helper()
	resp, err := s.client.Get(s.URL() + "metrics")
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(data)
}

func (s *server) metric(name string) float64 {
	s.t.Helper()
	for line := range strings.Lines(s.exposition()) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				s.t.Fatal(err)
			}
			return n
		}
	}
	return 0
}

var fanoutBucket = regexp.MustCompile(`(?m)^kitestring_tick_fanout_seconds_bucket\{le="([^"]+)"\} (\S+)`)

// fanout counts the fan-outs so far by the upper end of their bucket, in
// seconds: the time from a frame's receipt to its last push.
func (s *server) fanout() (edges []float64, counts []float64) {
	s.t.Helper()
	for _, b := range fanoutBucket.FindAllStringSubmatch(s.exposition(), -1) {
		edge, _ := strconv.ParseFloat(b[1], 64)
		n, _ := strconv.ParseFloat(b[2], 64)
		edges, counts = append(edges, edge), append(counts, n)
	}
	if len(edges) == 0 {
		s.t.Fatal("there is no histogram of the fan-out")
	}
	return edges, counts
}

// quantile is the upper end of the bucket that holds it of what was counted
// between two readings.
func quantile(q float64, edges, from, to []float64) float64 {
	total := to[len(to)-1] - from[len(from)-1]
	for i, edge := range edges {
		if to[i]-from[i] >= q*total {
			return edge
		}
	}
	return 0
}
