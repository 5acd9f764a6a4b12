package tree

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"kitestring/actors/actorstest"
)

func TestConnectionsLeaveAReserveOfFiles(t *testing.T) {
	for files, want := range map[uint64]int64{64: 32, 256: 128, 1024: 896, 1152: 1024, 1 << 20: 1024} {
		if got := connectionsFor(files); got != want {
			t.Errorf("%d files allow %d connections, want %d", files, got, want)
		}
	}
}

// Clients that hold connections take no more than their share; when they let
// go, others get in again. A restart of the server on the listener changes
// nothing of that.
func TestTooManyConnectionsAreRefused(t *testing.T) {
	var all atomic.Int64
	l, err := listenShared("127.0.0.1:0", slog.New(slog.DiscardHandler), &all)
	if err != nil {
		t.Fatal(err)
	}
	l.most = 3
	defer l.TCPListener.Close()
	serve := func() *http.Server {
		listener, err := l.listen()
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{Handler: http.NotFoundHandler(), ReadHeaderTimeout: time.Minute}
		go func() { _ = server.Serve(listener) }()
		return server
	}
	first := serve()
	var held []net.Conn
	dial := func() net.Conn {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, conn)
		return conn
	}
	// Those of another address of the server count too.
	all.Add(1)
	for range 2 {
		dial()
	}
	actorstest.Until(t, "two are open, and one elsewhere", func() bool { return l.open.Load() == 2 })
	refused := dial()
	_ = refused.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := refused.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the fourth connection is served: %v", err)
	}
	if n := l.refused.Load(); n != 1 {
		t.Errorf("%d refused", n)
	}
	_ = first.Close()
	actorstest.Until(t, "the closed server's connections are given back", func() bool { return l.open.Load() == 0 })
	second := serve()
	resp, err := http.Get("http://" + l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	_ = second.Close()
	for _, conn := range held {
		_ = conn.Close()
	}
}
