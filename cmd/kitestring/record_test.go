package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kitestring/actors/tape"
	"kitestring/actors/tape/export"
	"kitestring/cmd/kitestring/cli"
	"kitestring/messages"
	"kitestring/messages/ist"
	"kitestring/messages/wire"
)

var recordedMorning = time.Date(2026, 11, 26, 9, 15, 0, 0, ist.Zone)

// recordDay records n seconds of a morning, two full ticks of an index's future
// and one index tick a second, and gives the state directory.
func recordDay(t *testing.T, n int) (stateDir string) {
	t.Helper()
	stateDir = t.TempDir()
	dir, err := tape.OpenForWriting(tape.Folder(stateDir, "sim"))
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	w := dir.NewWriter(tape.WriterConfig{Boot: "test"})
	for i := range n {
		at := recordedMorning.Add(time.Duration(i) * time.Second)
		var packets [][]byte
		for k := range 2 {
			p := &wire.Packet{}
			p.InstrumentToken, p.LastPrice, p.Volume = 13411330, int32(2_400_000+10*i+k), uint32(100*i+k)
			p.ExchangeTime, p.LastTradeTime, p.OI = uint32(at.Unix()), uint32(at.Unix()), 500
			packets = append(packets, wire.AppendPacket(nil, p, messages.ModeFull))
		}
		index := &wire.Packet{}
		index.InstrumentToken, index.LastPrice = 256265, int32(2_390_000+i)
		packets = append(packets, wire.AppendPacket(nil, index, messages.ModeLTP))
		if err := w.Append(tape.Frame{At: at, Socket: 1, Generation: 1, Data: wire.AppendFrame(nil, packets...)}); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := dir.WriteInstruments("2026-11-26", []byte("instrument_token,tradingsymbol,name,expiry,strike,instrument_type,segment,exchange\n"+
		"13411330,NIFTY26DECFUT,NIFTY,2026-12-29,0,FUT,NFO-FUT,NFO\n256265,NIFTY 50,NIFTY 50,,0,EQ,INDICES,NSE\n")); err != nil {
		t.Fatal(err)
	}
	return stateDir
}

// asJSON runs a command and decodes what it prints.
func asJSON(t *testing.T, wantCode int, into any, args ...string) {
	t.Helper()
	code, stdout, stderr := kitestring(t, t.Context(), nil, "", args...)
	if code != wantCode {
		t.Fatalf("%v: exit %d, %s", args, code, stderr)
	}
	if err := json.Unmarshal([]byte(stdout), into); err != nil {
		t.Fatalf("%v: %v in %q", args, err, stdout)
	}
}

func segmentOf(t *testing.T, stateDir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(stateDir, "record", "sim", "day=*", "*.ks"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	return files[0]
}

func TestRecordCommandsReadTheFiles(t *testing.T) {
	stateDir := recordDay(t, 60)
	here := []string{"--state-dir", stateDir, "--json"}
	var days []map[string]any
	asJSON(t, cli.ExitOK, &days, append([]string{"record", "ls"}, here...)...)
	if len(days) != 1 || days[0]["day"] != "2026-11-26" || days[0]["ticks"] != 180.0 || days[0]["frames"] != 60.0 || days[0]["segments"] != 1.0 ||
		days[0]["damaged_bytes"] != 0.0 || days[0]["kept"] != false || days[0]["instruments"] != true || days[0]["from"] != "2026-11-26T03:45:00Z" {
		t.Errorf("%v", days)
	}
	for _, command := range []string{"verify", "status"} {
		var got map[string]any
		asJSON(t, cli.ExitOK, &got, append([]string{"record", command}, here...)...)
		for field, want := range map[string]float64{"ticks": 180, "frames": 60, "bytes": days[0]["bytes"].(float64), "damaged_bytes": 0, "segments": 1} {
			if got[field] != want {
				t.Errorf("%s: %s is %v, not %v", command, field, got[field], want)
			}
		}
	}
	if code, stdout, _ := kitestring(t, t.Context(), nil, "", "record", "ls", "--state-dir", stateDir); code != cli.ExitOK || !strings.Contains(stdout, "2026-11-26  09:15:00    09:15:59  1") {
		t.Error(stdout)
	}
	var cut map[string]any
	out := filepath.Join(t.TempDir(), "open.ks")
	asJSON(t, cli.ExitOK, &cut, append([]string{"record", "cut", "2026-11-26", "--from", "09:15:10", "--to", "09:15:19", "-o", out}, here...)...)
	if cut["frames"] != 10.0 || cut["ticks"] != 30.0 {
		t.Error(cut)
	}
	if code, _, stderr := kitestring(t, t.Context(), nil, "", append([]string{"record", "cut", "2026-11-26", "--from", "09:15:10", "--to", "09:15:19", "-o", out}, here...)...); code != cli.ExitUsage || !strings.Contains(stderr, "is there already") {
		t.Error(code, stderr)
	}
	var same, other comparison
	asJSON(t, cli.ExitOK, &same, append([]string{"record", "compare", "2026-11-26", filepath.Dir(segmentOf(t, stateDir))}, here...)...)
	if !same.Equal || len(same.Instruments) != 2 || same.Instruments[0].Packets != [2]int64{60, 60} {
		t.Errorf("%+v", same)
	}
	asJSON(t, cli.ExitError, &other, append([]string{"record", "compare", "2026-11-26", out}, here...)...)
	if other.Equal || other.Differing != 2 || other.Instruments[1].Packets != [2]int64{120, 20} {
		t.Errorf("%+v", other)
	}
}

func TestRecordKeepOutlivesPrune(t *testing.T) {
	stateDir := recordDay(t, 3)
	here := []string{"--state-dir", stateDir, "--json"}
	prune := append([]string{"record", "prune", "--gigabytes", "0"}, here...)
	var deleted deletedSegments
	asJSON(t, cli.ExitOK, &deleted, append(prune, "--dry-run")...)
	if deleted.Segments != 1 || !deleted.DryRun {
		t.Errorf("%+v", deleted)
	}
	var kept map[string]any
	asJSON(t, cli.ExitOK, &kept, append([]string{"record", "keep", "2026-11-26"}, here...)...)
	asJSON(t, cli.ExitOK, &deleted, prune...)
	if deleted.Segments != 0 {
		t.Errorf("%+v", deleted)
	}
	asJSON(t, cli.ExitOK, &kept, append([]string{"record", "keep", "--off", "2026-11-26"}, here...)...)
	asJSON(t, cli.ExitOK, &deleted, prune...)
	if deleted.Segments != 1 {
		t.Errorf("%+v", deleted)
	}
	var days []any
	asJSON(t, cli.ExitOK, &days, append([]string{"record", "ls"}, here...)...)
	if len(days) != 0 {
		t.Error(days)
	}
	if code, _, stderr := kitestring(t, t.Context(), nil, "", append([]string{"record", "keep", "2026-11-20"}, here...)...); code != cli.ExitUsage || !strings.Contains(stderr, "nothing is recorded of that day") {
		t.Error(code, stderr)
	}
}

func TestRecordVerifyNamesTheDamage(t *testing.T) {
	stateDir := recordDay(t, 60)
	path := segmentOf(t, stateDir)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	verify := func(change func([]byte) []byte) (v verified) {
		t.Helper()
		if err := os.WriteFile(path, change(bytes.Clone(data)), 0o600); err != nil {
			t.Fatal(err)
		}
		asJSON(t, cli.ExitError, &v, "record", "verify", "--state-dir", stateDir, "--json")
		return v
	}
	flipped := verify(func(b []byte) []byte { b[len(b)/2] ^= 1; return b })
	if flipped.OK || len(flipped.Damage) != 1 || flipped.Frames == 0 || flipped.Frames >= 60 || flipped.DamagedBytes < 100 || flipped.Damage[0].Offset+flipped.DamagedBytes != int64(len(data)) {
		t.Errorf("%+v", flipped)
	}
	cut := verify(func(b []byte) []byte { return b[:len(b)-1] })
	if cut.Frames != 59 || cut.Ticks != 177 {
		t.Errorf("%+v", cut)
	}
	future := verify(func(b []byte) []byte { b[11] = 7; return b })
	if future.Frames != 0 || !strings.Contains(future.Damage[0].Reason, "format 7") {
		t.Errorf("%+v", future)
	}
	if _, stdout, _ := kitestring(t, t.Context(), nil, "", "record", "verify", "--state-dir", stateDir); !strings.Contains(stdout, "DAMAGED") || !strings.Contains(stdout, "at byte 0") {
		t.Error(stdout)
	}
}

func TestRecordCommandsSayWhatIsMissing(t *testing.T) {
	empty := t.TempDir()
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"record", "ls", "--state-dir", empty}, cli.ExitOK, "nothing is recorded in " + empty},
		{[]string{"record", "ls", "--state-dir", filepath.Join(empty, "none")}, cli.ExitUsage, "no such file or directory; name the folder"},
		{[]string{"record", "ls", "--profile", "x"}, cli.ExitUsage, "it is live, sandbox or sim"},
		{[]string{"record", "verify", "moon", "--state-dir", empty}, cli.ExitUsage, `"moon" is neither a day`},
		{[]string{"record", "verify", "2026-11-27", "--state-dir", empty}, cli.ExitUsage, "nothing is recorded of that day"},
		{[]string{"record", "cut", "2026-11-27"}, cli.ExitUsage, "for example"},
		{[]string{"record", "keep"}, cli.ExitUsage, "usage"},
		{[]string{"record", "prune", "--days", "0"}, cli.ExitUsage, "at least 1"},
	} {
		code, stdout, stderr := kitestring(t, t.Context(), nil, "", c.args...)
		if code != c.code || !strings.Contains(stdout+stderr, c.says) {
			t.Errorf("%v: exit %d, %s%s", c.args, code, stdout, stderr)
		}
	}
}

func TestExportWritesARowForEachTick(t *testing.T) {
	stateDir := recordDay(t, 60)
	out := t.TempDir()
	here := []string{"export", "2026-11-26", "--state-dir", stateDir, "-o", out}
	var r export.Report
	asJSON(t, cli.ExitOK, &r, append(here, "--format", "csv", "--json")...)
	text, err := os.ReadFile(filepath.Join(out, "ticks-2026-11-26.csv"))
	if err != nil || r.Rows != 180 || strings.Count(string(text), "\n") != 181 || !strings.HasPrefix(string(text), "date,exchange,received,") {
		t.Errorf("%+v %.200s %v", r, text, err)
	}
	code, stdout, stderr := kitestring(t, t.Context(), nil, "", append(here, "--columns", "full")...)
	if code != cli.ExitOK || !strings.Contains(stdout, filepath.Join("date=2026-11-26", "exchange=NFO", "ticks-0.parquet")) || !strings.Contains(stdout, "180 ticks") {
		t.Error(code, stdout, stderr)
	}
	if code, stdout, stderr := kitestring(t, t.Context(), nil, "", append(here, "--format", "bars")...); code != cli.ExitOK || !strings.Contains(stdout, "2 bars of 180 ticks") {
		t.Error(code, stdout, stderr)
	}
	for _, c := range []struct {
		args []string
		says string
	}{
		{here, "--replace exports it again"},
		{[]string{"export", "2026-11-27", "--state-dir", stateDir, "-o", out}, "recorded: 2026-11-26"},
		{[]string{"export", "2026-11-26", "--state-dir", stateDir}, "-o is missing"},
		{append(here, "--format", "xls"), "it is one of parquet, csv, bars"},
		{append(here, "--columns", "all"), "narrow or full"},
		{[]string{"export", "yesterday", "--state-dir", stateDir, "-o", out}, "spell it 2026-11-27"},
	} {
		if code, _, stderr := kitestring(t, t.Context(), nil, "", c.args...); code == cli.ExitOK || !strings.Contains(stderr, c.says) {
			t.Errorf("%v: exit %d, %s", c.args, code, stderr)
		}
	}
}
