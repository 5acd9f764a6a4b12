package tree

import (
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kitestring/actors/spare"
)

// What the web actor's clients may take of the process's file descriptors. The
// rest is a reserve for what the server is there for: the .env file and its
// watch, the sockets to the exchange, REST, the state directory.
const (
	mostConnections = 1024
	reservedFiles   = 128
)

// sharedListener is the server's address, kept over restarts of the web actor: an
// incarnation's Close only ends its Accept. So the next one finds the port, no
// other program can take it meanwhile, and a client that connects waits.
//
// It closes a new connection at once while most are open, on this address and the
// server's others.
type sharedListener struct {
	*net.TCPListener
	log     *slog.Logger
	most    int64
	all     *atomic.Int64 // open on every listener of the server
	open    atomic.Int64
	refused atomic.Uint64
	warned  time.Time // used by Accept alone
}

func listenShared(addr string, log *slog.Logger, all *atomic.Int64) (*sharedListener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	files := syscall.Rlimit{Cur: mostConnections + reservedFiles}
	_ = syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files) // the default is as good as any
	return &sharedListener{TCPListener: l.(*net.TCPListener), log: log, all: all, most: connectionsFor(files.Cur)}, nil
}

// connectionsFor is how many connections a limit of open files allows.
func connectionsFor(files uint64) int64 {
	return int64(min(mostConnections, files-min(reservedFiles, files/2)))
}

// Accept implements net.Listener.
func (l *sharedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.AcceptTCP()
		switch {
		case spare.NoneLeft(err):
			l.refuse("no file descriptor is left for it; raise the limit (LimitNOFILE in the unit, ulimit -n)", "")
			return nil, err // net/http pauses and tries again
		case err != nil:
			return nil, err
		case l.all.Add(1) <= l.most:
			l.open.Add(1)
			return &countedConn{TCPConn: conn, closed: sync.OnceFunc(func() { l.open.Add(-1); l.all.Add(-1) })}, nil
		}
		l.all.Add(-1)
		l.refuse("too many are open; find out which clients hold them", conn.RemoteAddr().String())
		_ = conn.Close()
	}
}

// refuse counts a connection that was not served, and logs one a minute.
func (l *sharedListener) refuse(why, client string) {
	l.refused.Add(1)
	if now := time.Now(); now.Sub(l.warned) > time.Minute {
		l.warned = now
		l.log.Warn("connection refused: "+why, "open", l.all.Load(), "most", l.most, "client", client)
	}
}

// Close implements net.Listener for the server on it.
func (l *sharedListener) Close() error { return l.SetDeadline(time.Now()) }

// listen gives the listener to an incarnation.
func (l *sharedListener) listen() (net.Listener, error) { return l, l.SetDeadline(time.Time{}) }

// collectors are the metrics of the web server's listener; further counts the
// connections that the web server itself refused.
func (l *sharedListener) collectors(further func() uint64) []prometheus.Collector {
	return []prometheus.Collector{
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "kitestring_http_connections", Help: "Connections of the web server's clients that are open.",
		}, func() float64 { return float64(l.open.Load()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "kitestring_http_connections_refused_total", Help: "Connections that were not served, because too many were open, in all or from one address, or no file descriptor was left.",
		}, func() float64 { return float64(l.refused.Load() + further()) }),
	}
}

// countedConn gives its place back when it is closed.
type countedConn struct {
	*net.TCPConn
	closed func()
}

// Close implements net.Conn.
func (c *countedConn) Close() error {
	defer c.closed()
	return c.TCPConn.Close()
}
