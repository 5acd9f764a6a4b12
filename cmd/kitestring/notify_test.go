package main

import (
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"kitestring/supervisor"
)

// notifySocket is systemd's end of a notifier of a short watchdog.
func notifySocket(t *testing.T, limit time.Duration) *net.UnixConn {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", strconv.FormatInt(limit.Microseconds(), 10))
	t.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()))
	return socket
}

// No pulse of the root, no ping: it is systemd's turn then.
func TestPingsFollowThePulse(t *testing.T) {
	const limit = 300 * time.Millisecond
	socket := notifySocket(t, limit)
	n := newNotifier(slog.New(slog.DiscardHandler))
	defer n.close()
	receive := func(d time.Duration) string {
		buf := make([]byte, 1024)
		if err := socket.SetReadDeadline(time.Now().Add(d)); err != nil {
			t.Fatal(err)
		}
		size, err := socket.Read(buf)
		if err != nil {
			return ""
		}
		return string(buf[:size])
	}
	const want = "WATCHDOG=1\nSTATUS=3 of 4 actors running, 1 quarantined"
	for range 3 {
		// One pulse is one ping, when the last ping is long enough ago: then none is
		// on its way when the pulses end.
		n.pulse(supervisor.Health{Running: 3, Total: 4, Quarantined: 1})
		if said := receive(time.Minute); said != want {
			t.Fatalf("a pulse made %q, want %q", said, want)
		}
		<-time.After(n.each)
	}
	if said := receive(2 * limit); said != "" {
		t.Errorf("without a pulse systemd received %q", said)
	}
}

// A systemd that does not read does not keep the server from stopping.
func TestSystemdDoesNotRead(t *testing.T) {
	notifySocket(t, time.Second)
	var log safeBuffer
	n := newNotifier(slog.New(slog.NewTextHandler(&log, nil)))
	for range 10_000 {
		n.ready()
		if strings.Contains(log.String(), "does not read") {
			break
		}
	}
	if !strings.Contains(log.String(), "does not read") {
		t.Error("a full socket goes unnoticed")
	}
	n.close()
}
