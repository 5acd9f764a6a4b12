package rehearse

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/procfs"

	"kitestring/messages"
)

// SoakOptions are what both soaks need. A soak runs the exchange and the server
// as processes and measures the server from outside: CPU, memory, goroutines and
// files from the kernel and from /metrics, ticks against what the exchange says
// it sent. On a machine with other work the CPU figures and latencies are upper
// bounds; the report says how busy the machine was.
type SoakOptions struct {
	Options
	Dir string                 // an empty folder for .env, state and logs
	Row func(row fmt.Stringer) // is given each row when it is complete
}

// Verdict is a target and whether it was reached.
type Verdict struct {
	OK     bool   `json:"ok"`
	Target string `json:"target"`
	Found  string `json:"found"`
}

// Machine is where the figures were measured.
type Machine struct {
	CPU     string  `json:"cpu"`
	CPUs    int     `json:"cpus"`
	Go      string  `json:"go"`
	Load    float64 `json:"load"`     // 1 minute average at the end, the soak's own processes included
	OtherPC float64 `json:"other_pc"` // what other programs took of the machine meanwhile, in % of one core
}

func machine(other float64) Machine {
	m := Machine{CPUs: runtime.NumCPU(), Go: runtime.Version(), CPU: "unknown", OtherPC: other}
	fs := must(procfs.NewDefaultFS())
	if cpus, err := fs.CPUInfo(); err == nil && len(cpus) > 0 && cpus[0].ModelName != "" {
		m.CPU = cpus[0].ModelName
	}
	if load, err := fs.LoadAvg(); err == nil {
		m.Load = load.Load1
	}
	return m
}

// verdict compares a figure with its target.
func verdict(ok bool, target, format string, args ...any) Verdict {
	return Verdict{ok, target, fmt.Sprintf(format, args...)}
}

// soak is a rig whose exchange and server are processes.
type soak struct {
	*Rig
	SoakOptions
	exchange *process
	load     []messages.Want // what is subscribed to for load alone
}

// runSoak runs the steps of a soak.
func runSoak(ctx context.Context, o SoakOptions, steps func(s *soak)) error {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		return errors.New("the soak reads its figures from /proc, which this system has not")
	}
	s := &soak{Rig: newRig(ctx, o.Dir, o.Options, o.For+time.Hour), SoakOptions: o}
	return s.perform(func() { steps(s) }, func() {})
}

// openSim starts the exchange and writes a file for a server on it, without a
// token.
func (s *soak) openSim(env []string, args ...string) {
	s.exchange = s.start("sim", nil, nil, append([]string{"sim", "--addr", "127.0.0.1:0"}, args...)...)
	line := s.exchange.firstLine()
	var listening struct {
		APIURL string `json:"api_url"`
		APIKey string `json:"api_key"`
	}
	if err := json.Unmarshal([]byte(line), &listening); err != nil || listening.APIURL == "" {
		failf("the simulator printed %q", line)
	}
	s.sim = strings.TrimPrefix(listening.APIURL, "http://")
	s.writeEnv(strings.Join(append([]string{
		"KITESTRING_PROFILE=sim", "KITE_API_URL=" + listening.APIURL, "ZERODHA_API_KEY=" + listening.APIKey,
		"ZERODHA_API_SECRET=" + simSecret,
	}, env...), "\n") + "\n")
}

// extraShares are instruments that no analysis needs, for load.
func (r *Rig) extraShares(n int) (wants []messages.Want) {
	list := r.call(http.MethodGet, r.sim, "/instruments/NSE", nil)
	rows := must(csv.NewReader(strings.NewReader(string(list))).ReadAll())
	for _, row := range rows[min(1, len(rows)):] { // instrument_token,exchange_token,tradingsymbol,...,instrument_type,segment,exchange
		token, err := strconv.ParseUint(row[0], 10, 32)
		if err == nil && row[len(row)-2] == "NSE" && len(wants) < n {
			wants = append(wants, messages.Want{InstrumentToken: uint32(token), Tradingsymbol: row[2], Mode: messages.ModeFull})
		}
	}
	if len(wants) < n {
		failf("the simulator lists %d shares, %d are wanted", len(wants), n)
	}
	return wants
}

// writeConfig writes the server's configuration file with these instruments,
// and with the recorder on or off.
func (r *Rig) writeConfig(wants []messages.Want, recorded bool) (path string) {
	type entry struct {
		Token  uint32        `json:"instrument_token"`
		Symbol string        `json:"tradingsymbol"`
		Mode   messages.Mode `json:"mode"`
	}
	var list []entry
	for _, w := range wants {
		list = append(list, entry{w.InstrumentToken, w.Tradingsymbol, w.Mode})
	}
	path = filepath.Join(r.Dir, "config.json")
	config := map[string]any{"instruments": list}
	if !recorded {
		config["record"] = "off"
	}
	check(os.WriteFile(path, must(json.Marshal(config)), 0o600))
	return path
}
