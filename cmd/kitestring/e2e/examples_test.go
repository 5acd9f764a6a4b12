package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"kitestring/actors/actorstest"
	"kitestring/messages/wire"
	"kitestring/supervisor/tree"
)

// The programs of "kitestring assets print example-*" work as printed, with
// nothing but the address set.
func TestExamples(t *testing.T) {
	const folder = "../assets/examples/"
	s := withGateway(t)
	set := func(cmd *exec.Cmd, more ...string) *exec.Cmd {
		cmd.Env = append(append(os.Environ(), "KITESTRING_GATEWAY="+s.GatewayAddr()), more...)
		return cmd
	}
	prints := func(t *testing.T, lines <-chan string, first, then string) {
		t.Helper()
		seen := 0
		until(t, lines, "a quote and three ticks", func(line string, _ bool) bool {
			want := then
			if seen == 0 {
				want = first
			}
			if !regexp.MustCompile(want).MatchString(line) {
				t.Fatalf("line %d is %q, want %s", seen+1, line, want)
			}
			seen++
			return seen == 4
		})
	}
	t.Run("node", func(t *testing.T) {
		program, err := os.ReadFile(folder + "node.mjs")
		if err != nil {
			t.Fatal(err)
		}
		source := strings.Replace(string(program), `process.env.KITESTRING_GATEWAY || "127.0.0.1:8430"`, `"`+s.GatewayAddr()+`"`, 1)
		prints(t, nodeProgram(t, source), `^NIFTY 50 now: \d`, `^256265 \d`)
	})
	t.Run("go", func(t *testing.T) {
		text, err := os.ReadFile(folder + "go.go.txt")
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "main.go"), text, 0o600); err != nil {
			t.Fatal(err)
		}
		program := filepath.Join(dir, "program")
		build := exec.Command("go", "build", "-o", program, filepath.Join(dir, "main.go")) // in this module, which has the official client
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v", out, err)
		}
		prints(t, linesOf(t, set(exec.CommandContext(t.Context(), program))), `^NIFTY 50 now: \d`, `^256265 \d`)
	})
	t.Run("python", func(t *testing.T) {
		python := officialPython()
		if python == "" {
			t.Skip("LEFT OUT: the official Python client, which is not installed: pip install kiteconnect")
		}
		prints(t, linesOf(t, set(exec.CommandContext(t.Context(), python, "-u", folder+"python.py"))), `^NIFTY 50 now: \d`, `^256265 \d`)
	})
	t.Run("curl", func(t *testing.T) {
		curl := actorstest.Tool(t, "curl", "curl")
		real, err := exec.LookPath("websocat")
		path := filepath.Dir(curl) + ":/usr/bin:/bin"
		dir := t.TempDir()
		if err == nil {
			path = filepath.Dir(real) + ":" + path
		} else {
			t.Log("LEFT OUT: websocat, which is not installed; what it is given is sent by a client of the test")
			standIn := "#!/bin/sh\necho \"$@\" >" + dir + "/arguments\ncat >" + dir + "/input\n"
			if err := os.WriteFile(filepath.Join(dir, "websocat"), []byte(standIn), 0o700); err != nil {
				t.Fatal(err)
			}
			path = dir + ":" + path
		}
		lines := linesOf(t, set(exec.CommandContext(t.Context(), "/bin/sh", folder+"curl.sh"), "PATH="+path))
		until(t, lines, "the quote", func(line string, _ bool) bool {
			return regexp.MustCompile(`"NSE:NIFTY 50":\{"instrument_token":256265,"last_price":\d`).MatchString(line)
		})
		if real != "" {
			until(t, lines, "a frame in hexadecimal", func(line string, _ bool) bool { return strings.HasPrefix(line, "00000000: 0001 0020") })
			return
		}
		for range lines { //nolint:revive // until the script has ended
		}
		arguments, err := os.ReadFile(filepath.Join(dir, "arguments"))
		if err != nil {
			t.Fatal(err)
		}
		input, err := os.ReadFile(filepath.Join(dir, "input"))
		if err != nil {
			t.Fatal(err)
		}
		fields := strings.Fields(string(arguments))
		address := fields[len(fields)-1]
		if !strings.HasPrefix(address, "ws://"+s.GatewayAddr()+"/") || !strings.Contains(address, tree.DemoKey) {
			t.Fatalf("websocat is given %q", fields)
		}
		conn, _, err := websocket.DefaultDialer.Dial(address, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := conn.WriteMessage(websocket.TextMessage, input); err != nil {
			t.Fatal(err)
		}
		for {
			if err := conn.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
				t.Fatal(err)
			}
			kind, frame, err := conn.ReadMessage()
			if err != nil {
				t.Fatal(err)
			}
			if kind == websocket.BinaryMessage && !wire.Heartbeat(frame) {
				if len(frame) != 2+2+32 {
					t.Errorf("a frame of %d bytes, want the full packet of an index", len(frame))
				}
				return
			}
		}
	})
}
