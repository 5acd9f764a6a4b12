package feed

import (
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"kitestring/actors/actorstest"
	"kitestring/actors/kite"
	"kitestring/messages"
)

func TestSocketURL(t *testing.T) {
	got, err := socketURL(kite.Exchange{WSURL: "wss://ws.example/path?x=1", WSExtra: url.Values{"user_id": {"AB1"}}}, session(3, "a+b/c="))
	if err != nil {
		t.Fatal(err)
	}
	if want := "wss://ws.example/path?access_token=a%2Bb%2Fc%3D&api_key=key&user_id=AB1&x=1"; got.String() != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if _, err := socketURL(kite.Exchange{WSURL: "nonsense"}, session(1, "secret")); err == nil {
		t.Error("took an address without a host")
	}
}

func TestCausesAndLabels(t *testing.T) {
	for _, c := range []struct {
		err   error
		cause cause
		label string
	}{
		{refusal{403}, forbidden, "forbidden"},
		{fmt.Errorf("dial: %w", refusal{429}), tooMany, "too_many"},
		{refusal{503}, serverError, "server_error"},
		{refusal{400}, serverError, "server_error"},
		{errors.New("refused"), network, "network"},
	} {
		if got := dialCause(c.err); got != c.cause || connectResults[got] != c.label {
			t.Errorf("%v: %v, %s", c.err, got, connectResults[got])
		}
	}
	if disconnectReasons[network] != "remote" || disconnectReasons[byUs] != "swap" {
		t.Error("labels")
	}
}

// Neither a message nor a state ever holds the token, whatever the dialler's
// error says.
func TestNoSecretInAnyMessage(t *testing.T) {
	const canary = "canary-token"
	r := newRig(t, func(r *rig) {
		r.cfg.Dial = func(context.Context, string, string) (net.Conn, error) {
			return nil, &url.Error{Op: "Get", URL: "wss://x/?access_token=" + canary, Err: errors.New("refused")}
		}
	})
	r.offer(1, canary)
	r.until("backoff", func() bool { return r.state.Stats().State == messages.Backoff })
	actorstest.Await(r.actor, func(m messages.FeedChanged) bool { return m.State == messages.Backoff })
	var out strings.Builder
	for _, sent := range r.actor.Sent() {
		fmt.Fprintf(&out, "%+v %#v\n", sent.Msg, sent.Msg)
	}
	fmt.Fprintf(&out, "%+v %#v", r.state.Stats(), r.state.Rotations())
	if strings.Contains(out.String(), canary) {
		t.Error("the token is in a message")
	}
	if !strings.Contains(out.String(), "refused") {
		t.Error("the cause is missing")
	}
}

// answering is a server that reads each request up to its end and hands it to
// answer.
func answering(t *testing.T, answer func(request string, conn net.Conn)) (url string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				defer conn.Close()
				request, err := http.ReadRequest(bufio.NewReader(conn))
				if err == nil {
					answer(request.Method+" "+request.RequestURI+" HTTP/1.1", conn)
				}
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		conns.Wait()
	})
	return "ws://" + listener.Addr().String()
}

// A proxy, a portal or a load balancer may answer the upgrade with our own
// request line in it, and the token is in that line.
func TestNoTokenOfAnEchoedRequest(t *testing.T) {
	const canary = "cAnaryT0kenOfTheDay"
	for name, answer := range map[string]string{
		"status line":       "%s\r\n\r\n",
		"status":            "HTTP/1.1 %s\r\n\r\n",
		"header without :":  "HTTP/1.1 101 Switching\r\n%s\r\n\r\n",
		"header":            "HTTP/1.1 101 Switching\r\nX-Request: %s\r\n\r\n",
		"content length":    "HTTP/1.1 200 OK\r\nContent-Length: %s\r\n\r\n",
		"transfer encoding": "HTTP/1.1 200 OK\r\nTransfer-Encoding: %s\r\n\r\n",
		"upgrade":           "HTTP/1.1 101 Switching\r\nUpgrade: %s\r\nConnection: upgrade\r\n\r\n",
		"extensions":        "HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-Websocket-Extensions: %s\r\n\r\n",
		"body":              "HTTP/1.1 400 Bad\r\nConnection: close\r\n\r\n%s",
		"quoted":            "HTTP/1.1 200 OK\r\nContent-Length: %q\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(r *rig) {
				r.cfg.Exchange.WSURL = answering(t, func(request string, conn net.Conn) { fmt.Fprintf(conn, answer, request) })
			})
			r.offer(1, canary)
			changed := actorstest.Await(r.actor, func(m messages.FeedChanged) bool { return m.State == messages.Backoff })
			var out strings.Builder
			for _, sent := range r.actor.Sent() {
				fmt.Fprintf(&out, "%+v %#v\n", sent.Msg, sent.Msg)
			}
			fmt.Fprintf(&out, "%+v %#v", r.state.Stats(), r.state.Rotations())
			if strings.Contains(out.String(), canary) {
				t.Errorf("the token is in a message: %s", changed.Reason)
			}
		})
	}
}

// An answer without an end is given up after 64 KB and a read buffer, at once.
func TestEndlessAnswer(t *testing.T) {
	for name, begin := range map[string]string{
		"status line": "HTTP/1.1 101 ", "header": "HTTP/1.1 101 Switching\r\nX: ", "headers": "HTTP/1.1 101 Switching\r\n", "body": "HTTP/1.1 400 Bad\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			part := bytes.Repeat([]byte("a: b\r\n"), 1<<10)
			if name == "header" || name == "status line" {
				part = bytes.Repeat([]byte("a"), 8<<10)
			}
			var sent, dials atomic.Int64
			r := newRig(t, func(r *rig) {
				r.cfg.Exchange.WSURL = answering(t, func(_ string, conn net.Conn) {
					dials.Add(1)
					for _, err := io.WriteString(conn, begin); err == nil; {
						var n int
						n, err = conn.Write(part)
						sent.Add(int64(n))
					}
				})
			})
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			r.offer(1, "A")
			changed := actorstest.Await(r.actor, func(m messages.FeedChanged) bool { return m.State == messages.Backoff })
			runtime.ReadMemStats(&after)
			if name != "body" && !strings.Contains(changed.Reason, "64 KB") {
				t.Errorf("reason: %s", changed.Reason)
			}
			// The kernel's buffers hold the rest of what was sent.
			allocated := (after.TotalAlloc - before.TotalAlloc) >> 10
			if allocated > 2<<10*uint64(dials.Load()) {
				t.Errorf("%d KB allocated for %d answers", allocated, dials.Load())
			}
			t.Logf("%d answers of %d KB, %d KB allocated: %s", dials.Load(), sent.Load()>>10, allocated, changed.Reason)
		})
	}
}

// An answer that comes a byte at a time is given up when its time is over.
func TestSlowAnswer(t *testing.T) {
	began := time.Now()
	r := newRig(t, func(r *rig) {
		r.cfg.timeouts.dial = 300 * time.Millisecond
		r.cfg.Exchange.WSURL = answering(t, func(_ string, conn net.Conn) {
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			for _, err := io.WriteString(conn, "HTTP/1.1 101 "); err == nil; <-tick.C {
				_, err = io.WriteString(conn, "a")
			}
		})
	})
	r.offer(1, "A")
	changed := actorstest.Await(r.actor, func(m messages.FeedChanged) bool { return m.State == messages.Backoff })
	t.Logf("given up after %s: %s", time.Since(began), changed.Reason)
}

// A connection that finds no descriptor left gets one of those held back: the feed
// does not wait.
func TestDialsWithSpareDescriptors(t *testing.T) {
	var dials atomic.Int32
	var none atomic.Bool
	r := adoptedRig(t, instruments(1), func(r *rig) {
		r.cfg.Dial = func(ctx context.Context, netw, addr string) (net.Conn, error) {
			if dials.Add(1); none.Swap(false) {
				return nil, &net.OpError{Op: "dial", Net: netw, Err: os.NewSyscallError("socket", syscall.EMFILE)}
			}
			return (&net.Dialer{}).DialContext(ctx, netw, addr)
		}
	})
	before := dials.Load()
	none.Store(true)
	r.venue.drop()
	r.until("two dials", func() bool { return dials.Load() == before+2 })
	r.streaming(1)
	if s := r.state.Stats(); s.Connects["network"] != 0 {
		t.Errorf("a dial without a descriptor was given up: %v", s.Connects)
	}
}

// Gorilla reads the answer to the upgrade, and none of what has come with it.
func TestAnswerAndMessagesTogether(t *testing.T) {
	const answer = "HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n"
	sent := strings.Repeat("\x82\x01\x00 any bytes\r\n\r\n", 999)
	for name, parts := range map[string]func(io.Reader) io.Reader{
		"whole": func(r io.Reader) io.Reader { return r }, "bytes": iotest.OneByteReader, "halves": iotest.HalfReader,
	} {
		c := &upgradeConn{Conn: readConn{Reader: parts(strings.NewReader(answer + sent))}, asked: true}
		buffer := bufio.NewReader(c)
		response, err := http.ReadResponse(buffer, nil)
		if err != nil || response.StatusCode != 101 || buffer.Buffered() != 0 {
			t.Fatalf("%s: %v, %d bytes too many", name, err, buffer.Buffered())
		}
		if rest, err := io.ReadAll(c); err != nil || string(rest) != sent {
			t.Errorf("%s: %d of %d bytes are left, %v", name, len(rest), len(sent), err)
		}
	}
}

type readConn struct {
	net.Conn
	io.Reader
}

func (c readConn) Read(p []byte) (int, error) { return c.Reader.Read(p) }

// Swaps over TLS lose nothing, and resume the session.
func TestSwapsOverTLS(t *testing.T) {
	var resumed atomic.Int64
	tokens := instruments(10)
	r := adoptedRig(t, tokens, overTLS(&resumed))
	stop := r.flow(10*time.Millisecond, tokens...)
	const last = 6
	for g := messages.Generation(2); g <= last; g++ {
		token := fmt.Sprint("T", g)
		r.offer(g, token)
		r.until("the swap", func() bool {
			rs := r.state.Rotations()
			return rs[0].Generation == g && rs[0].Result == adopted
		})
		r.adopt(g, token)
	}
	stop()
	r.caughtUp(tokens...)
	r.exact()
	if resumed.Load() < last-1 {
		t.Errorf("%d sessions resumed", resumed.Load())
	}
}

// A server whose certificate nobody vouches for gets no token.
func TestUnknownCertificate(t *testing.T) {
	var resumed atomic.Int64
	r := newRig(t, func(r *rig) {
		overTLS(&resumed)(r)
		r.cfg.roots = x509.NewCertPool()
	})
	r.offer(1, "A")
	changed := actorstest.Await(r.actor, func(m messages.FeedChanged) bool { return m.State == messages.Backoff })
	if !strings.Contains(changed.Reason, "certificate") {
		t.Errorf("reason: %s", changed.Reason)
	}
	r.venue.set(func(v *venue) {
		if len(v.upgrades) > 0 {
			t.Error("the request, and the token with it, reached a server that is not known")
		}
	})
}

// A proxy is asked for the exchange's address, and the TLS of what it connects
// to is the exchange's.
func TestTLSThroughAProxy(t *testing.T) {
	var resumed atomic.Int64
	var asked sync.Map
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		asked.Store(req.Method+" "+req.Host, true)
		to, err := net.Dial("tcp", req.Host)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer to.Close()
		from, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer from.Close()
		_, _ = io.WriteString(from, "HTTP/1.1 200 OK\r\n\r\n")
		var back sync.WaitGroup
		back.Go(func() {
			_, _ = io.Copy(from, to)
			_ = from.Close()
		})
		_, _ = io.Copy(to, from)
		_ = to.Close()
		back.Wait()
	}))
	t.Cleanup(proxy.Close)
	tokens := instruments(3)
	r := adoptedRig(t, tokens, overTLS(&resumed), func(r *rig) {
		r.cfg.proxy = func(req *http.Request) (*url.URL, error) {
			if req.URL.Scheme != "https" {
				t.Errorf("the proxy of %s is asked for", req.URL.Scheme)
			}
			return url.Parse(proxy.URL)
		}
	})
	exchange := strings.TrimPrefix(r.cfg.Exchange.WSURL, "wss://")
	if _, found := asked.Load("CONNECT " + exchange); !found {
		t.Errorf("the proxy was not asked for %s", exchange)
	}
	r.exact()
}
