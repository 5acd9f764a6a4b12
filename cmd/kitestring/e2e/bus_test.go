package e2e

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"kitestring/actors/actorstest"
	"kitestring/supervisor/tree"
)

// natsProcess is a NATS server of its own: the pinned one, built here.
type natsProcess struct {
	t             *testing.T
	program, addr string
	cmd           *exec.Cmd
}

func buildNATS(t *testing.T) *natsProcess {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	n := &natsProcess{t: t, program: filepath.Join(t.TempDir(), "nats-server"), addr: addr}
	if out, err := exec.Command("go", "build", "-o", n.program, "github.com/nats-io/nats-server/v2").CombinedOutput(); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	t.Cleanup(n.kill)
	n.start()
	return n
}

func (n *natsProcess) start() {
	host, port, _ := net.SplitHostPort(n.addr)
	n.cmd = exec.CommandContext(context.Background(), n.program, "-a", host, "-p", port) // the test kills it
	if err := n.cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
}

func (n *natsProcess) kill() {
	if n.cmd != nil {
		_ = n.cmd.Process.Kill()
		_ = n.cmd.Wait()
		n.cmd = nil
	}
}

// The printed consumers of the bus print ticks, live through a NATS server that
// is killed, count the hole and get what is missing from the recording.
func TestBusExamples(t *testing.T) {
	const folder = "../assets/examples/"
	for name, command := range map[string]func(t *testing.T) *exec.Cmd{
		"go": func(t *testing.T) *exec.Cmd {
			text, err := os.ReadFile(folder + "nats.go.txt")
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "main.go"), text, 0o600); err != nil {
				t.Fatal(err)
			}
			program := filepath.Join(dir, "program")
			if out, err := exec.Command("go", "build", "-o", program, filepath.Join(dir, "main.go")).CombinedOutput(); err != nil {
				t.Fatalf("%s: %v", out, err)
			}
			return exec.CommandContext(t.Context(), program)
		},
		"python": func(t *testing.T) *exec.Cmd {
			return exec.CommandContext(t.Context(), actorstest.Tool(t, "python3", "python3"), "-u", folder+"nats.py")
		},
	} {
		t.Run(name, func(t *testing.T) {
			bus := buildNATS(t)
			s := startServer(t, func(cfg *tree.Config) { cfg.Reloadable.Bus = tree.BusConfig{URL: "nats://" + bus.addr} })
			s.live()
			cmd := command(t)
			cmd.Env = append(os.Environ(), "KITESTRING_BUS=nats://"+bus.addr, "KITESTRING_ADDR="+s.Addr())
			lines := linesOf(t, cmd)
			tick := regexp.MustCompile(`^256265 \d+(\.\d+)?$`)
			until(t, lines, "a tick", func(line string, _ bool) bool { return tick.MatchString(line) })
			bus.kill()
			actorstest.Until(t, "frames are lost", func() bool { return s.metric(`kitestring_bus_lost_total{reason="down"}`) > 3 })
			bus.start()
			until(t, lines, "the hole", func(line string, _ bool) bool {
				return regexp.MustCompile(`^hole: [1-9]\d* messages of ks\.sim\.md\.frame\.0$`).MatchString(line)
			})
			until(t, lines, "what the recording has", func(line string, _ bool) bool {
				if strings.HasPrefix(line, "the recording: ") {
					t.Fatal(line)
				}
				return regexp.MustCompile(`^the recording has [1-9]\d* messages of that time$`).MatchString(line)
			})
			until(t, lines, "a tick after it", func(line string, _ bool) bool { return tick.MatchString(line) })
		})
	}
}
