package e2e

import (
	"bufio"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"kitestring/actors/actorstest"
	"kitestring/actors/web/api"
	"kitestring/messages/wire"
	"kitestring/supervisor/tree"
)

const nodeFolder = "../../../actors/gateway/testdata/node"

// nodeProgram starts a program of Node with the official clients at hand and
// gives its lines; the channel closes when the program ends.
func nodeProgram(t *testing.T, source string, args ...string) (lines <-chan string) {
	t.Helper()
	node := actorstest.Tool(t, "node", "nodejs")
	modules, err := filepath.Abs(filepath.Join(nodeFolder, "node_modules"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(modules); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("LEFT OUT: the official JavaScript clients are missing: cd actors/gateway/testdata/node && npm ci")
	}
	dir := t.TempDir()
	if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "program.mjs"), []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), node, append([]string{"program.mjs"}, args...)...)
	cmd.Dir = dir
	return linesOf(t, cmd)
}

// linesOf starts a program and gives its lines; the channel closes when it
// ends.
func linesOf(t *testing.T, cmd *exec.Cmd) (lines <-chan string) {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	received := make(chan string, 10_000)
	go func() {
		defer close(received)
		for scanner := bufio.NewScanner(out); scanner.Scan(); {
			received <- scanner.Text()
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		for range received { //nolint:revive // until the pipe is at its end
		}
		_ = cmd.Wait()
	})
	return received
}

// until reads lines until one is what is waited for. Lines that have come
// before the call are read, too, with old set.
func until(t *testing.T, lines <-chan string, what string, found func(line string, old bool) bool) {
	t.Helper()
	before := len(lines)
	deadline := time.After(30 * time.Second)
	for {
		select {
		case line, ok := <-lines:
			if !ok {
				t.Fatalf("the program ended before %s", what)
			}
			if found(line, before > 0) {
				return
			}
			before--
		case <-deadline:
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}

// withGateway starts a live server with a gateway.
func withGateway(t *testing.T) *server {
	t.Helper()
	s := startServer(t, func(cfg *tree.Config) { cfg.GatewayAddr = "127.0.0.1:0" })
	s.live()
	return s
}

func (s *server) generation() (g uint64) {
	s.t.Helper()
	var token struct{ Generation uint64 }
	_, body := s.call(http.MethodGet, "http://"+s.Addr()+"/api/v1/token", "")
	if err := json.Unmarshal(body, &token); err != nil {
		s.t.Fatal(err)
	}
	return token.Generation
}

// rotate brings a new token and waits until it is adopted.
func (s *server) rotate() {
	s.t.Helper()
	before := s.generation()
	if code, body := s.post("/api/v1/exchange/rotate", ""); code/100 != 2 {
		s.t.Fatalf("rotate: %d %s", code, body)
	}
	actorstest.Until(s.t, "the new token is adopted", func() bool { return s.generation() > before })
}

// The official JavaScript clients ask and stream through the gateway; a new
// token, a dropped socket and a silence of Kite's that is longer than their
// own patience (5 s) do not reach them.
func TestOfficialJavaScriptClients(t *testing.T) {
	source, err := os.ReadFile(filepath.Join(nodeFolder, "client.mjs"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"kiteconnect", "kiteconnect4"} {
		t.Run(name, func(t *testing.T) {
			s := withGateway(t)
			key, err := s.AddGatewayClient("strategy", []string{"data"})
			if err != nil {
				t.Fatal(err)
			}
			lines := nodeProgram(t, string(source), name, s.GatewayAddr(), key)
			type said struct {
				Asked     map[string]any
				Connected bool
				Trouble   string
				Modes     []string
			}
			next := func(what string, found func(m said, old bool) bool) {
				t.Helper()
				until(t, lines, what, func(line string, old bool) bool {
					var m said
					if err := json.Unmarshal([]byte(line), &m); err != nil || m.Trouble != "" {
						t.Fatalf("waiting for %s: %s", what, line)
					}
					return found(m, old)
				})
			}
			next("the answers", func(m said, _ bool) bool {
				for call, answer := range m.Asked {
					switch text, _ := answer.(string); {
					case call == "getOrders" && strings.HasPrefix(text, "PermissionException: ") && strings.Contains(text, "kitestring clients add strategy --scope data,account"):
					case call == "getOrders", answer == nil, answer == false, answer == 0.:
						t.Errorf("%s: %v", call, answer)
					}
				}
				return len(m.Asked) == 7
			})
			streams := func(when string) {
				t.Helper()
				seen := map[string]int{}
				next("ticks of every mode "+when, func(m said, old bool) bool {
					if old {
						return false
					}
					for _, mode := range m.Modes {
						seen[mode]++
					}
					return seen["full"] >= 3 && seen["quote"] >= 3 && seen["ltp"] >= 3
				})
			}
			next("the connection", func(m said, _ bool) bool { return m.Connected })
			streams("at first")
			s.rotate()
			streams("after a new token")
			if code, body := s.sim(http.MethodPost, "/faults", `{"kind":"drop"}`); code/100 != 2 {
				t.Fatalf("%d %s", code, body)
			}
			streams("after a dropped socket")
			if code, body := s.sim(http.MethodPost, "/faults", `{"kind":"mute"}`); code/100 != 2 {
				t.Fatalf("%d %s", code, body)
			}
			silence, lastTick := time.After(7*time.Second), time.Now()
			for quiet := false; !quiet; {
				select {
				case line, ok := <-lines:
					if !ok || strings.Contains(line, "trouble") {
						t.Fatalf("in a silence of Kite's: %s", line)
					}
					lastTick = time.Now()
				case <-silence:
					quiet = true
				}
			}
			if quiet := time.Since(lastTick); quiet < 5500*time.Millisecond {
				t.Fatalf("Kite was silent for %s only", quiet)
			}
			if code, body := s.sim(http.MethodDelete, "/faults", ""); code/100 != 2 {
				t.Fatalf("%d %s", code, body)
			}
			streams("after a silence")
			for _, c := range s.gatewayClients() {
				if c.Name == "strategy" && (c.Sockets != 1 || c.Conflated != 0) {
					t.Errorf("%+v", c)
				}
			}
		})
	}
}

func (s *server) gatewayClients() (list []api.Client) {
	s.t.Helper()
	_, body := s.call(http.MethodGet, "http://"+s.Addr()+"/api/v1/clients", "")
	if err := json.Unmarshal(body, &list); err != nil {
		s.t.Fatal(err)
	}
	return list
}

// The page of the clients: a key is shown once, the program that uses it has a
// row, and a second press takes the key away.
func TestClientsPage(t *testing.T) {
	s := withGateway(t)
	b := openTab(t, browser(t), s.URL()+"clients")
	b.await(soon, "#card-clients", `demo\s+data, account\s+\S+ not connected`)
	b.await(soon, "#card-capacity", `0 of 5.500 instruments`)
	b.await(soon, "#card-budget", `quotes \d+ of 57[\s\S]*orders 0 of 400`)
	b.fill("#client-name", "My Bot")
	b.click("#card-client-add button")
	b.await(soon, "#client-result", "is no name for a client")
	b.fill("#client-name", "mybot")
	b.click("#card-client-add button")
	b.await(soon, "#client-key", `mybot[\s\S]*[A-Za-z0-9]{32}[\s\S]*ws://`+regexp.QuoteMeta(s.GatewayAddr()))
	key := regexp.MustCompile(`[A-Za-z0-9]{32}`).FindString(b.text("#client-key"))
	conn, _, err := websocket.DefaultDialer.Dial("ws://"+s.GatewayAddr()+"?api_key=x&access_token="+key, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.WriteMessage(websocket.TextMessage, []byte(`{"a":"subscribe","v":[256265]}`)); err != nil {
		t.Fatal(err)
	}
	b.await(soon, "#card-clients", `mybot\s+data\s+\S+ 1 socket\s[\s\S]*0 / 1 / 0`)
	b.await(soon, "#card-capacity", `1 of 5.500`)
	b.click("#card-clients tr:last-child button")
	b.await(soon, "#card-clients tr:last-child", "Really revoke")
	b.click("#card-clients tr:last-child button")
	b.await(soon, "#client-result", "mybot is revoked")
	for err == nil {
		_, _, err = conn.ReadMessage()
	}
	b.holds("the key is gone from the page", `!document.body.innerText.includes("`+key+`")`)
	b.clean(`422`)
}

// readmeProgram is a program of the README with the address of a test's
// gateway, and nothing else, changed.
func readmeProgram(t *testing.T, language, addr string) string {
	t.Helper()
	readme, err := os.ReadFile("../../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)```" + language + "\n(.*?)```").FindSubmatch(readme)
	if m == nil || !strings.Contains(string(m[1]), "127.0.0.1:8430") || !strings.Contains(string(m[1]), tree.DemoKey) {
		t.Fatalf("the README has no program in %s for 127.0.0.1:8430 with the demo key", language)
	}
	return strings.ReplaceAll(string(m[1]), "127.0.0.1:8430", addr)
}

// officialPython is a Python that has the official client, "" without one.
func officialPython() string {
	python, err := exec.LookPath("python3")
	if err != nil || exec.Command(python, "-c", "import kiteconnect").Run() != nil {
		return ""
	}
	return python
}

// streamsThroughARotation demands that a program prints ticks and nothing else,
// before a new token and after it.
func streamsThroughARotation(t *testing.T, s *server, lines <-chan string) {
	t.Helper()
	tick := regexp.MustCompile(`^256265 \d+(\.\d+)?$`)
	for _, when := range []string{"at first", "after a new token"} {
		n := 0
		until(t, lines, "ticks "+when, func(line string, old bool) bool {
			if !tick.MatchString(line) {
				t.Fatalf("%s the program said %q", when, line)
			}
			if !old {
				n++
			}
			return n == 3
		})
		if when == "at first" {
			s.rotate()
		}
	}
}

// The README's programs work as printed, through a new token.
func TestReadmePrograms(t *testing.T) {
	t.Run("node", func(t *testing.T) {
		s := withGateway(t)
		streamsThroughARotation(t, s, nodeProgram(t, readmeProgram(t, "js", s.GatewayAddr())))
	})
	t.Run("python", func(t *testing.T) {
		s := withGateway(t)
		program := readmeProgram(t, "python", s.GatewayAddr())
		if python := officialPython(); python != "" {
			streamsThroughARotation(t, s, linesOf(t, exec.CommandContext(t.Context(), python, "-u", "-c", program)))
			return
		}
		if !strings.Contains(program, `root="ws://`+s.GatewayAddr()+`"`) {
			t.Fatalf("the README's program has another root:\n%s", program)
		}
		t.Log("LEFT OUT: the official Python client, which is not installed; a client that sends the same bytes stands in")
		header := http.Header{"X-Kite-Version": {"3"}, "User-Agent": {"kiteconnect-python/5.2.0"}}
		conn, _, err := websocket.DefaultDialer.Dial("ws://"+s.GatewayAddr()+"?api_key=demo&access_token="+tree.DemoKey, header)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		for _, command := range []string{`{"a": "subscribe", "v": [256265]}`, `{"a": "mode", "v": ["full", [256265]]}`} {
			if err := conn.WriteMessage(websocket.TextMessage, []byte(command)); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			for full := 0; full < 3; {
				if err := conn.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
					t.Fatal(err)
				}
				kind, frame, err := conn.ReadMessage()
				if err != nil {
					t.Fatal(err)
				}
				if kind != websocket.BinaryMessage || wire.Heartbeat(frame) {
					continue
				}
				ticks, err := new(wire.Decoder).Decode(frame, nil)
				if err != nil {
					t.Fatal(err)
				}
				if len(ticks) == 1 && ticks[0].InstrumentToken == 256265 && ticks[0].Length == 32 {
					full++
				}
			}
			s.rotate()
		}
	})
}
