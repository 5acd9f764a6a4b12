package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"kitestring/cmd/kitestring/cli"
	"kitestring/cmd/kitestring/rehearse"
)

// TestSoakCarriesALightLoad soaks a server for seconds: what must hold at every
// load does; how fast it is, is for the real soak on a quiet machine.
func TestSoakCarriesALightLoad(t *testing.T) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("the soak needs /proc")
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	report, err := rehearse.SoakLoad(t.Context(), rehearse.LoadOptions{
		SoakOptions: rehearse.SoakOptions{
			Options: rehearse.Options{Binary: program, Env: []string{asProgram + "=1"}, For: 4 * time.Second},
			Dir:     t.TempDir(),
			Row:     func(row fmt.Stringer) { rows++; t.Log(row) },
		},
		Instruments: 400, Rate: 2000,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range report.Verdicts {
		exact := strings.Contains(v.Target, "lost") || strings.Contains(v.Target, "duplicated") || strings.Contains(v.Target, "malformed") || strings.Contains(v.Target, "rotation")
		if exact && !v.OK {
			t.Errorf("%s: %s", v.Target, v.Found)
		}
	}
	if rows != 1 || report.Sockets != 1 || report.Receivers == 0 || report.Total.Received == 0 || report.Total.CPU <= 0 || report.Total.RSS <= 0 {
		t.Errorf("%d rows, %+v", rows, report)
	}
}

// TestSoakPairLosesNothing hurts two servers for seconds: how silent it is, is
// for the real soak.
func TestSoakPairLosesNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("two servers and an edge: not in the short run")
	}
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("the soak needs /proc")
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	report, err := rehearse.SoakPair(t.Context(), rehearse.PairOptions{
		SoakOptions: rehearse.SoakOptions{
			Options: rehearse.Options{Binary: program, Env: []string{asProgram + "=1"}, For: 15 * time.Second},
			Dir:     t.TempDir(),
			Row:     func(row fmt.Stringer) { t.Log(row) },
		},
		Instruments: 50, Rate: 1000, Programs: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range report.Verdicts {
		exact := strings.Contains(v.Target, "lost") || strings.Contains(v.Target, "repeated") || strings.Contains(v.Target, "closed") || strings.Contains(v.Target, "socket")
		if exact && !v.OK {
			t.Errorf("%s: %s (seed %d)", v.Target, v.Found, report.Seed)
		}
	}
	if total := report.Total; len(report.Spans) == 0 || total.Ticks == 0 || total.Rotations == 0 || total.Kills+total.Pauses+total.Partitions == 0 {
		t.Errorf("%+v", report)
	}
}

func TestSoakRefusesWhatItCannotDo(t *testing.T) {
	full := t.TempDir()
	if err := os.WriteFile(full+"/file", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]string{
		"soak load --for 1s":                  "--for 1s: it is at least",
		"soak pair --for 1s":                  "--for 1s: it is at least",
		"soak days --days 5 --for 10s":        "--for 10s: it is at least",
		"soak load --keep " + full:            "the folder is not empty",
		"soak load --keep " + full + "/file":  "not a directory",
		"soak load --for 10s --instruments 5": "the analyses alone want",
	} {
		code, _, stderr := kitestring(t, t.Context(), nil, "", strings.Fields(args)...)
		if code == cli.ExitOK || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit %d, %q", args, code, stderr)
		}
	}
}
