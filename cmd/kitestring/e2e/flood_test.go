package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"testing"
	"time"

	"kitestring/actors/actorstest"
	"kitestring/actors/web/api"
)

// mostMemory is what the whole program may hold under any flood, the simulated
// exchange that makes it included.
const mostMemory = 200 << 20

var residentLine = regexp.MustCompile(`(?m)^VmRSS:\s+(\d+) kB`)

// resident is the memory of this process.
func resident(t *testing.T) int {
	t.Helper()
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skipf("LEFT OUT: %v", err)
	}
	kb, err := strconv.Atoi(string(residentLine.FindSubmatch(data)[1]))
	if err != nil {
		t.Fatal(err)
	}
	return kb << 10
}

func (s *server) restartsOf(name string) uint64 {
	s.t.Helper()
	_, body := s.call(http.MethodGet, "http://"+s.Addr()+"/api/v1/actors/"+name, "")
	var a api.Actor
	if err := json.Unmarshal(body, &a); err != nil {
		s.t.Fatalf("%v: %s", err, body)
	}
	return a.Restarts
}

// A flood of any kind restarts nothing, leaves the page answering, and takes no
// more memory than the program may have.
func TestFloodsAreBounded(t *testing.T) {
	for _, c := range []struct {
		name  string
		flood func(t *testing.T, s *server) (stop func())
	}{
		{"orders", exchangeFlood("order_flood")},
		{"texts", exchangeFlood("text_flood")},
		{"slow bodies", slowBodies},
		{"streams that do not read", mutedStreams},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := startServer(t)
			s.live()
			before, most := resident(t), 0
			stop := c.flood(t, s)
			answered := 0
			for end := time.Now().Add(4 * time.Second); time.Now().Before(end); <-time.After(100 * time.Millisecond) {
				most = max(most, resident(t))
				if code, _ := s.call(http.MethodGet, "http://"+s.Addr()+"/api/v1/status", ""); code == http.StatusOK {
					answered++
				}
			}
			stop()
			t.Logf("resident: %d MB before, at most %d MB; %d answers", before>>20, most>>20, answered)
			if most > mostMemory && !actorstest.Race {
				t.Errorf("%d MB of memory under the flood, want at most %d MB", most>>20, mostMemory>>20)
			}
			if n := s.restartsOf("web"); n != 0 {
				t.Errorf("the web actor was restarted %d times", n)
			}
			if answered < 10 {
				t.Errorf("only %d answers under the flood", answered)
			}
		})
	}
}

func exchangeFlood(kind string) func(t *testing.T, s *server) func() {
	return func(t *testing.T, s *server) func() {
		if code, body := s.post("/api/v1/exchange/faults", fmt.Sprintf(`{"kind":%q,"for_ms":4000}`, kind)); code != http.StatusAccepted {
			t.Fatalf("%d %s", code, body)
		}
		return func() { s.call(http.MethodDelete, "http://"+s.Addr()+"/api/v1/exchange/faults", "") }
	}
}

// dial opens connections, from another address than the test's own requests,
// and sends on each the beginning of a request.
func dial(t *testing.T, s *server, n int, request string) func() {
	var conns []net.Conn
	from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	for range n {
		conn, err := from.DialContext(t.Context(), "tcp", s.Addr())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = fmt.Fprintf(conn, request, s.Addr())
		conns = append(conns, conn)
	}
	return func() {
		for _, conn := range conns {
			_ = conn.Close()
		}
	}
}

func slowBodies(t *testing.T, s *server) func() {
	hang := dial(t, s, 150, "POST /api/v1/chaos HTTP/1.1\r\nHost: %s\r\nContent-Length: 60000\r\n\r\n{")
	// And more connections than one address may have: they are closed at once.
	extra := dial(t, s, 200, "GET /healthz HTTP/1.1\r\nHost: %s\r\n")
	return func() { hang(); extra() }
}

func mutedStreams(t *testing.T, s *server) func() {
	return dial(t, s, 100, "GET /api/v1/stream HTTP/1.1\r\nHost: %s\r\n\r\n")
}
