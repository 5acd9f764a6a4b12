package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kitestring/actors/web/api"
	"kitestring/messages"
	"kitestring/supervisor/tree"
)

// startServer starts a whole server in this process and waits until it is live; it
// answers how long that took.
func startServer(b *testing.B) (h *tree.Server, env string, ready time.Duration, stop func()) {
	b.Helper()
	dir := b.TempDir()
	env = filepath.Join(dir, ".env")
	start := time.Now()
	h, err := tree.Open(b.Context(), tree.Config{
		EnvFile: env, StateDir: filepath.Join(dir, "state"), Addr: "127.0.0.1:0", Profile: "sim", Version: "bench",
		Getenv: func(string) string { return "" }, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Sim: tree.SimConfig{Addr: "127.0.0.1:0", Seed: 1, Speed: 1, Rate: 1000},
	})
	if err != nil {
		b.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		if err := h.Stop(context.Background()); err != nil { // b.Context() ends before the cleanup
			b.Error(err)
		}
	})
	b.Cleanup(stop)
	var r api.Ready
	for !fetch(h.Addr(), "/readyz", &r) || !r.Ready {
		if time.Since(start) > 20*time.Second {
			b.Fatalf("not ready: %+v", r)
		}
	}
	return h, env, time.Since(start), stop
}

// BenchmarkReady is the time from a cold start, with nothing in the file, to
// /readyz: the simulator's login, validation, socket and first tick included.
func BenchmarkReady(b *testing.B) {
	var all []time.Duration
	for b.Loop() {
		_, _, ready, stop := startServer(b)
		all = append(all, ready)
		b.StopTimer()
		stop()
		b.StartTimer()
	}
	report(b, all)
}

// BenchmarkRename is the time from the rename of the .env file to the first
// tick of the new generation, through watcher, dial, swap and fan-out, at
// 1000 ticks/s; lost and doubled ticks are counted by the sequence.
func BenchmarkRename(b *testing.B) {
	h, env, _, _ := startServer(b)
	var st api.Status
	for fetch(h.Addr(), "/api/v1/status", &st) && st.Feed.Instruments < 250 {
	}
	content, err := os.ReadFile(env)
	if err != nil {
		b.Fatal(err)
	}
	var all []time.Duration
	stages := map[string][]time.Duration{}
	var lost, repeated int64
	g := st.Token.Generation
	b.ResetTimer()
	for b.Loop() {
		b.StopTimer()
		token, err := h.Exchange().Rotate()
		if err != nil {
			b.Fatal(err)
		}
		next := withToken(content, token.Reveal())
		if err := os.WriteFile(env+".new", next, 0o600); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		start := time.Now()
		if err := os.Rename(env+".new", env); err != nil {
			b.Fatal(err)
		}
		g++
		r := receipt(b, h.Addr(), g)
		b.StopTimer()
		first := r.ChangedAt.Add(time.Duration(*r.FirstTickMS * float64(time.Millisecond)))
		all = append(all, first.Sub(start))
		for unit, ms := range map[string]*float64{"detected-p50-ms": r.DetectedMS, "dialled-p50-ms": r.DialledMS, "frame-p50-ms": r.FirstFrameMS} {
			// Since the rename itself: the file's ctime is as coarse as the kernel's tick.
			at := r.ChangedAt.Add(time.Duration(*ms * float64(time.Millisecond)))
			stages[unit] = append(stages[unit], at.Sub(start))
		}
		lost, repeated = lost+*r.Lost, repeated+*r.Repeated
		b.StartTimer()
	}
	b.ReportMetric(float64(lost), "lost")
	b.ReportMetric(float64(repeated), "repeated")
	for unit, took := range stages {
		slices.Sort(took)
		b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, unit)
	}
	report(b, all)
}

// withToken is a file's content with another token.
func withToken(content []byte, value string) []byte {
	var out strings.Builder
	for line := range strings.Lines(string(content)) {
		if !strings.HasPrefix(line, "ZERODHA_ACCESS_TOKEN=") {
			out.WriteString(line)
		}
	}
	return []byte(out.String() + "ZERODHA_ACCESS_TOKEN=" + value + "\n")
}

// receipt waits for a finished receipt.
func receipt(b *testing.B, addr string, g messages.Generation) messages.Rotation {
	b.Helper()
	// With pauses: who asks without end takes the processor from what is measured.
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); <-poll.C {
		var all []messages.Rotation
		if !fetch(addr, "/api/v1/rotations", &all) {
			continue
		}
		for _, r := range all {
			if r.Generation == g && r.TotalMS != nil && r.FirstTickMS != nil {
				return r
			}
		}
	}
	b.Fatalf("no receipt of generation %d", g)
	return messages.Rotation{}
}

func report(b *testing.B, all []time.Duration) {
	slices.Sort(all)
	at := func(q float64) float64 {
		return float64(all[int(q*float64(len(all)-1))]) / float64(time.Millisecond)
	}
	b.ReportMetric(at(0.5), "p50-ms")
	b.ReportMetric(at(0.99), "p99-ms")
	b.ReportMetric(at(1), "max-ms")
	b.ReportMetric(0, "ns/op")
}
