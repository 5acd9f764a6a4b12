package simulator_test

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"kitestring/actors/simulator"
	"kitestring/messages"
)

// upgrade sends an upgrade as raw bytes and gives what comes back, at most n bytes.
func (e *exchange) upgrade(token string, n int64) string {
	e.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(e.url, "http://"))
	if err != nil {
		e.t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	_, _ = io.WriteString(conn, "GET /?api_key=simkey&access_token="+token+" HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	got, err := io.ReadAll(io.LimitReader(conn, n))
	if err != nil {
		e.t.Fatal(err)
	}
	return string(got)
}

func TestHostileUpgrades(t *testing.T) {
	t.Parallel()
	e := open(t, false, nil)
	token := e.token()
	for _, variant := range simulator.EchoVariants() {
		e.inject(simulator.Fault{Kind: simulator.FaultEchoUpgrade, Variant: variant, Count: 1})
		if got := e.upgrade(token, 4096); !strings.Contains(got, "GET /?api_key=simkey&access_token="+token) {
			t.Errorf("%s does not repeat the request line: %q", variant, got)
		}
	}
	for variant, begins := range map[string]string{
		"": "HTTP/1.1 200 OK\r\nX-Filler: a", "header": "HTTP/1.1 200 OK\r\nX-Filler: a", "status_line": "HTTP/1.1 200 aaa",
		"body": "HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\n\r\naaa",
	} {
		e.inject(simulator.Fault{Kind: simulator.FaultEndlessUpgrade, Variant: variant, Count: 1})
		if got := e.upgrade(token, 1<<20); !strings.HasPrefix(got, begins) || len(got) < 1<<20 {
			t.Errorf("%q: %d bytes, beginning %.60q", variant, len(got), got)
		}
	}
	if _, status := e.dial(token); status != 101 {
		t.Errorf("when the faults are over: %d", status)
	}
	if err := e.InjectFault(simulator.Fault{Kind: simulator.FaultEchoUpgrade, Variant: "mirror"}); err == nil || !strings.Contains(err.Error(), "status_line") {
		t.Errorf("an unknown variant: %v", err)
	}
}

func TestPongOnly(t *testing.T) {
	t.Parallel()
	for _, variant := range []string{"pong", "ping", "fragments"} {
		t.Run(variant, func(t *testing.T) {
			t.Parallel()
			e := open(t, true, nil)
			s := e.mustDial()
			s.mode(messages.ModeFull, 408065)
			s.ticks()
			e.inject(simulator.Fault{Kind: simulator.FaultPongOnly, Variant: variant})
			pongs, pings, messages := 0, 0, 0
			s.conn.SetPongHandler(func(string) error { pongs++; return nil })
			s.conn.SetPingHandler(func(string) error { pings++; return nil })
			began := time.Now()
			_ = s.conn.SetReadDeadline(began.Add(2500 * time.Millisecond))
			_ = s.conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(time.Second))
			for {
				_, _, err := s.conn.ReadMessage()
				if err != nil {
					break
				}
				if time.Since(began) > 500*time.Millisecond { // earlier ones were on their way
					messages++
				}
			}
			if pongs != 1 || messages != 0 || (pings > 0) != (variant == "ping") {
				t.Errorf("%d pongs, %d pings, %d messages", pongs, pings, messages)
			}
		})
	}
}

func TestFragmentsEndWithTheSocket(t *testing.T) {
	t.Parallel()
	e := open(t, true, nil)
	s := e.mustDial()
	e.inject(simulator.Fault{Kind: simulator.FaultPongOnly, Variant: "fragments", ForMS: 1500})
	_ = s.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	for {
		if _, _, err := s.conn.ReadMessage(); err != nil {
			if strings.Contains(err.Error(), "timeout") {
				t.Error("a socket with an unfinished message lives on after the fault")
			}
			return
		}
	}
}

func TestFloods(t *testing.T) {
	t.Parallel()
	for kind, text := range map[simulator.FaultKind]string{simulator.FaultTextFlood: `"flood `, simulator.FaultOrderFlood: `"order_id":"9`} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			e := open(t, true, nil)
			s := e.mustDial()
			e.inject(simulator.Fault{Kind: kind})
			seen := map[string]bool{}
			for began := time.Now(); len(seen) < 2000; {
				if time.Since(began) > 20*time.Second {
					t.Fatalf("only %d texts came", len(seen))
				}
				if _, data := s.read(); strings.Contains(string(data), text) {
					seen[string(data)] = true
				}
			}
			e.ClearFaults()
			s.mode(messages.ModeFull, 408065)
			s.ticks()
		})
	}
}

func TestProfileFaultsStrikeOnce(t *testing.T) {
	t.Parallel()
	e := open(t, false, nil)
	client := e.kite(e.token())
	for kind, want := range map[simulator.FaultKind]string{simulator.FaultFalseRejection: "Incorrect", simulator.FaultProfile502: "pars"} {
		e.inject(simulator.Fault{Kind: kind})
		if _, err := client.GetUserProfile(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", kind, err)
		}
		if _, err := client.GetUserProfile(); err != nil {
			t.Errorf("%s applied again: %v", kind, err)
		}
	}
}

// The routes that change the exchange answer under a loopback name only.
func TestAdminIsLocal(t *testing.T) {
	t.Parallel()
	e := open(t, false, nil)
	for host, want := range map[string]int{"127.0.0.1:1": 200, "localhost": 200, "[::1]:8421": 200, "rebound.example": 421, "192.0.2.1": 421, "": 200} {
		request, _ := http.NewRequest(http.MethodGet, e.url+"/sim/v1/state", nil)
		request.Host = host
		response, err := browser().Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("host %q: %d, want %d", host, response.StatusCode, want)
		}
	}
}
