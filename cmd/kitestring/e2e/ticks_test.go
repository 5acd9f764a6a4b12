package e2e

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"kitestring/actors/actorstest"
	"kitestring/actors/web/api"
	"kitestring/cmd/kitestring/assets"
	"kitestring/messages"
	"kitestring/supervisor/tree"
)

// pythonProgram runs a program with the standard library only.
func pythonProgram(t *testing.T, source string, args ...string) (lines <-chan string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), actorstest.Tool(t, "python3", "python3"), append([]string{"-I", "-"}, args...)...)
	cmd.Stdin = strings.NewReader(source)
	return linesOf(t, cmd)
}

// The README's program for ticks works as printed, through a new token, for an
// instrument that only the configuration wants.
func TestReadmeProgramForTicks(t *testing.T) {
	readme, err := os.ReadFile("../../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)```py\n(.*?)```").FindSubmatch(readme)
	printed, err := assets.Read("example-ticks")
	if err != nil || m == nil || string(m[1]) != string(printed) {
		t.Fatalf("the README's program for ticks is not what \"assets print example-ticks\" prints (%v)", err)
	}
	if n := strings.Count(string(printed), "\n"); n > 24 {
		t.Errorf("the program has %d lines", n)
	}
	s := startServer(t, func(c *tree.Config) {
		c.Reloadable.Instruments = []messages.Want{{InstrumentToken: 408065, Tradingsymbol: "INFY", Mode: messages.ModeFull}}
	})
	s.live()
	actorstest.Until(t, "the configured instrument has a tick", func() bool {
		_, body := s.call(http.MethodGet, s.URL()+"api/v1/ticks?instruments=408065", "")
		var list []api.Tick
		return json.Unmarshal(body, &list) == nil && len(list) == 1 && list[0].LastPrice != nil && list[0].Tradingsymbol == "INFY" && list[0].Exchange == "NSE"
	})
	program := strings.ReplaceAll(string(printed), "127.0.0.1:8420", s.Addr())
	lines := pythonProgram(t, program, "NSE:NIFTY 50", "408065")
	tick := regexp.MustCompile(`^\S+ (NIFTY 50|INFY) \d+(\.\d+)? (None|\d+)$`)
	for _, when := range []string{"at first", "after a new token"} {
		seen := map[string]int{}
		until(t, lines, "ticks of both "+when, func(line string, old bool) bool {
			m := tick.FindStringSubmatch(line)
			if m == nil {
				t.Fatalf("%s the program said %q", when, line)
			}
			if !old {
				seen[m[1]]++
			}
			return seen["NIFTY 50"] >= 2 && seen["INFY"] >= 2
		})
		if when == "at first" {
			s.rotate()
		}
	}
	// What is wrong with the request stands in the program's last line.
	until(t, pythonProgram(t, program, "NSE:MOON"), "a reason", func(line string, _ bool) bool {
		return strings.Contains(line, `No instrument "NSE:MOON" is subscribed`)
	})
}

// TestExamplesOfTheAPI: the programs for curl and pandas work as printed.
func TestExamplesOfTheAPI(t *testing.T) {
	s := startServer(t)
	s.live()
	actorstest.Until(t, "ten bars of the future", func() bool {
		_, body := s.call(http.MethodGet, s.URL()+"api/v1/bars/NIFTY?interval=5m&source=future&limit=10", "")
		var bars []api.Bar
		return json.Unmarshal(body, &bars) == nil && len(bars) == 10
	})
	actorstest.Until(t, "a bar of today", func() bool {
		_, body := s.call(http.MethodGet, s.URL()+"api/v1/bars/NIFTY?interval=1m&limit=1", "")
		var bars []api.Bar
		return json.Unmarshal(body, &bars) == nil && len(bars) == 1
	})
	t.Run("curl", func(t *testing.T) {
		actorstest.Tool(t, "curl", "curl")
		program, err := assets.Read("example-api")
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), "/bin/sh", "-s")
		cmd.Stdin, cmd.Env = strings.NewReader(string(program)), append(os.Environ(), "KITESTRING_ADDR="+s.Addr())
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		for _, want := range []string{`"tradingsymbol":"NIFTY 50"`, "\ninstrument_token,", "\nstart,", `"kind":"pcr"`, "event: tick\n"} {
			if !strings.Contains("\n"+string(out), want) {
				t.Errorf("the program does not print %q: %.4000s", want, out)
			}
		}
		if strings.Contains(string(out), `"detail"`) || strings.Contains(string(out), "curl:") {
			t.Errorf("a request of the program is refused: %.4000s", out)
		}
	})
	t.Run("pandas", func(t *testing.T) {
		program, err := assets.Read("example-pandas")
		if err != nil {
			t.Fatal(err)
		}
		python := ""
		for _, name := range []string{"python3", "/usr/bin/python3"} { // Debian's package belongs to Debian's
			if exec.Command(name, "-c", "import pandas").Run() == nil {
				python = name
				break
			}
		}
		switch {
		case python == "" && onCI:
			t.Fatal("pandas is missing: install Debian's package python3-pandas")
		case python == "":
			t.Skip("LEFT OUT: pandas is missing; Debian's package python3-pandas has it")
		}
		cmd := exec.CommandContext(t.Context(), python, "-c", strings.ReplaceAll(string(program), "127.0.0.1:8420", s.Addr()))
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if rows := regexp.MustCompile(`(?m)^\d{4}-\d\d-\d\d \d\d:\d[05]:00\+05:30 `).FindAllString(string(out), -1); len(rows) != 10 || !strings.Contains(string(out), "volume") {
			t.Errorf("not ten bars in IST: %s", out)
		}
	})
}
