package serve_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"kitestring/actors/actorstest"
	"kitestring/actors/internal/serve"
)

func TestMain(m *testing.M) { actorstest.Main(m) }

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func get(l net.Listener) (string, error) {
	c := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := c.Get("http://" + l.Addr().String())
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

// A handler that does not look at its connection is waited for; one that looks
// at its context learns of the end.
func TestUntilTheLastHandlerHasReturned(t *testing.T) {
	l := listen(t)
	inside, finish := make(chan struct{}), make(chan struct{})
	var wrote, cancelled atomic.Bool
	server := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(inside)
		<-r.Context().Done()
		cancelled.Store(true)
		<-finish
		wrote.Store(true)
	})}
	ctx, cancel := context.WithCancel(t.Context())
	served, asked := make(chan error, 1), make(chan error, 1)
	go func() { served <- serve.Until(ctx, server, l, 0, nil) }()
	go func() {
		_, err := get(l)
		asked <- err
	}()
	<-inside
	cancel()
	if err := <-asked; err == nil {
		t.Error("the connection was not closed")
	}
	select {
	case err := <-served:
		t.Fatalf("it has ended (%v) while a handler runs", err)
	default:
	}
	close(finish)
	if err := <-served; err != nil || !wrote.Load() || !cancelled.Load() {
		t.Errorf("ended with %v, wrote %v, cancelled %v", err, wrote.Load(), cancelled.Load())
	}
}

func TestAnswersUnderWayAreFinished(t *testing.T) {
	l := listen(t)
	inside, finish := make(chan struct{}), make(chan struct{})
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(inside)
		<-finish
		_, _ = io.WriteString(w, "whole")
	})}
	ctx, cancel := context.WithCancel(t.Context())
	served, asked := make(chan error, 1), make(chan string, 1)
	released := false
	go func() { served <- serve.Until(ctx, server, l, 20*time.Second, func() { released = true }) }()
	go func() {
		body, _ := get(l)
		asked <- body
	}()
	<-inside
	cancel()
	close(finish)
	if body := <-asked; body != "whole" {
		t.Errorf("answered %q", body)
	}
	if err := <-served; err != nil || !released {
		t.Errorf("ended with %v, released %v", err, released)
	}
}

func TestAListenerThatFails(t *testing.T) {
	l := listen(t)
	l.Close()
	err := serve.Until(t.Context(), &http.Server{Handler: http.NotFoundHandler()}, l, 0, nil)
	if !errors.Is(err, net.ErrClosed) {
		t.Errorf("%v", err)
	}
}
