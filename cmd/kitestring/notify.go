package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"kitestring/supervisor"
)

// notifier reports the server's state to systemd: READY when the tree is up,
// WATCHDOG while the root supervisor has a pulse, STOPPING. A quarantined actor
// does not stop the pings: systemd would kill the whole server, and the rest of
// it works.
type notifier struct {
	log    *slog.Logger
	socket string        // "": systemd did not start us
	each   time.Duration // between pings; 0: no watchdog
	pulses chan supervisor.Health
	stop   context.CancelFunc
	done   sync.WaitGroup
}

// newNotifier reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID from the
// environment, where systemd puts them. Without them it says nothing.
func newNotifier(log *slog.Logger) *notifier {
	ctx, stop := context.WithCancel(context.Background())
	n := &notifier{log: log, socket: os.Getenv("NOTIFY_SOCKET"), pulses: make(chan supervisor.Health, 1), stop: stop}
	limit, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn("systemd's watchdog is not understood", "error", err)
	}
	n.each = limit / 3
	n.done.Go(func() { n.ping(ctx) })
	return n
}

// pulse is for tree.Config: it never blocks, whatever systemd does.
func (n *notifier) pulse(h supervisor.Health) {
	select {
	case n.pulses <- h:
	default:
	}
}

func (n *notifier) ping(ctx context.Context) {
	var last time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case h := <-n.pulses:
			if n.each > 0 && time.Since(last) >= n.each {
				last = time.Now()
				n.send(fmt.Sprintf("%s\nSTATUS=%d of %d actors running, %d quarantined", daemon.SdNotifyWatchdog, h.Running, h.Total, h.Quarantined))
			}
		}
	}
}

func (n *notifier) ready()    { n.send(daemon.SdNotifyReady) }
func (n *notifier) stopping() { n.send(daemon.SdNotifyStopping) }

// sendWithin bounds a message to systemd: when systemd does not read, the server
// must still be able to stop. (daemon.SdNotify waits for ever.)
const sendWithin = time.Second

func (n *notifier) send(state string) {
	if n.socket == "" {
		return
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: n.socket, Net: "unixgram"})
	if err == nil {
		defer conn.Close()
		err = conn.SetWriteDeadline(time.Now().Add(sendWithin))
	}
	if err == nil {
		_, err = conn.Write([]byte(state))
	}
	if err != nil {
		n.log.Warn("systemd does not read notifications", "error", err)
	}
}

// close ends the pings.
func (n *notifier) close() {
	n.stop()
	n.done.Wait()
}
