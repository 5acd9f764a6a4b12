// Package soak runs the server for long against the simulated exchange, each a
// process of its own, and measures it from outside: the server's CPU, memory,
// goroutines and files from the kernel and from /metrics, its ticks against
// what the exchange says it sent.
//
// [Load] is the heaviest load that is to be carried, with a rotation of the
// token each minute. [Days] are whole trading days on a fast clock: the flush
// at 06:00, reminders, the login, the burst at the open, faults, the close.
// Both give a row for each minute or day and verdicts against the targets.
//
// Limits: it needs /proc (Linux). On a machine with other work the CPU figures
// and latencies are upper bounds; the report says how busy the machine was.
// Nobody but the soak talks to its server; it touches no file outside its folder.
package soak

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
)

// Options are what both soaks need.
type Options struct {
	Program string   // the kitestring to run; "": the running one
	Env     []string // of its processes, beside PATH
	Dir     string   // an empty folder for .env, state and logs
	For     time.Duration
	Row     func(row fmt.Stringer) // is given each row when it is complete
}

// Verdict is a target and whether it was reached.
type Verdict struct {
	OK     bool   `json:"ok"`
	Target string `json:"target"`
	Found  string `json:"found"`
}

// Machine says where the figures were measured.
type Machine struct {
	CPU     string  `json:"cpu"`
	CPUs    int     `json:"cpus"`
	Go      string  `json:"go"`
	Load    float64 `json:"load"`     // 1 minute average at the end, the soak's own processes included
	OtherPC float64 `json:"other_pc"` // what others took of the machine meanwhile, in % of one core
}

func machine() Machine {
	m := Machine{CPUs: runtime.NumCPU(), Go: runtime.Version(), CPU: "unknown"}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if name, ok := strings.CutPrefix(line, "model name"); ok {
				m.CPU = strings.TrimSpace(strings.TrimLeft(name, "\t :"))
				break
			}
		}
	}
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		_, _ = fmt.Sscan(string(text), &m.Load)
	}
	return m
}

// verdict compares a figure with its target.
func verdict(ok bool, target, format string, args ...any) Verdict {
	return Verdict{ok, target, fmt.Sprintf(format, args...)}
}

// within polls until ok, or names what was never true.
func within(ctx context.Context, d time.Duration, what string, ok func() (bool, string)) error {
	timeout := time.NewTimer(d)
	defer timeout.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		done, seen := ok()
		if done {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timeout.C:
			return fmt.Errorf("not within %s: %s (last seen: %s)", d, what, seen)
		case <-tick.C:
		}
	}
}

// wait is a pause that ctx can end.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// checkProc says early that the figures cannot be had here.
func checkProc() error {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		return errors.New("the soak reads its figures from /proc, which this system has not")
	}
	return nil
}
