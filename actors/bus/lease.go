package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sys/unix"

	"kitestring/messages/scrub"
)

// The lease. Its holder stops leaseMargin before another one can have it, counted
// from before it asked for the renewal.
const (
	leaseBucket = "kitestring_bus"
	leaseTime   = 2 * time.Second
	leaseMargin = 500 * time.Millisecond
	leaseRenew  = 400 * time.Millisecond
	leaseLook   = 50 * time.Millisecond
	leaseAnswer = time.Second // a renewal that takes longer has failed
)

// lease says which of the servers on a bus publishes. held is safe for concurrent
// use.
type lease struct {
	key    string
	holder string // this server's name, for people
	id     string // of this process: two servers may have one name

	kv       jetstream.KeyValue
	revision uint64       // that was written here; 0: none
	until    atomic.Int64 // CLOCK_BOOTTIME in nanoseconds
}

// held reports whether this server may publish now.
func (l *lease) held() bool { return boottime() < l.until.Load() }

// boottime is a clock that goes on while the machine sleeps. The monotonic clock
// of package time does not, and a process that wakes up would believe in a lease
// that somebody else has.
func boottime() int64 {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &t) != nil {
		return 1 << 62 // no lease is held on a machine without that clock
	}
	return t.Nano()
}

// run asks for the lease until ctx ends, then gives it back. It has a connection
// of its own: that of the frames sends nothing while the lease is not held.
func (l *lease) run(ctx context.Context, url string, options []nats.Option, tell func(fact)) {
	conn, err := nats.Connect(url, options...)
	if err != nil {
		tell(leased{why: "the lease cannot be asked for: " + scrub.Text(err.Error())})
		return
	}
	defer conn.Close()
	defer l.giveBack()
	for {
		if conn.IsConnected() {
			l.ask(ctx, conn, tell)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(leaseRenew):
		}
	}
}

// ask makes or renews the lease.
func (l *lease) ask(ctx context.Context, conn *nats.Conn, tell func(fact)) {
	ctx, cancel := context.WithTimeout(ctx, leaseAnswer)
	defer cancel()
	if l.kv == nil {
		kv, err := bucket(ctx, conn)
		if err != nil {
			tell(leased{why: err.Error()})
			return
		}
		l.kv = kv
	}
	value := []byte(l.holder + "\n" + l.id)
	asked := boottime()
	var err error
	if l.revision == 0 {
		l.revision, err = l.kv.Create(ctx, l.key, value)
	} else {
		l.revision, err = l.kv.Update(ctx, l.key, value, l.revision)
	}
	switch {
	case err == nil:
		l.until.Store(asked + int64(leaseTime-leaseMargin))
	case errors.Is(err, jetstream.ErrKeyExists), errors.Is(err, jetstream.ErrKeyRevisionMismatch):
		l.look(ctx, tell)
	case errors.Is(err, jetstream.ErrBucketNotFound), errors.Is(err, jetstream.ErrStreamNotFound), errors.Is(err, nats.ErrNoResponders), errors.Is(err, jetstream.ErrNoStreamResponse):
		l.kv, l.revision = nil, 0 // the bus has been restarted, and has forgotten the bucket
	}
	// Whatever else went wrong says nothing of the lease: it is held until it is too old.
}

// look finds out who holds the lease. It is this server's own when the answer to
// its last request was lost.
func (l *lease) look(ctx context.Context, tell func(fact)) {
	l.revision = 0
	entry, err := l.kv.Get(ctx, l.key)
	if err != nil {
		return // it has just ended
	}
	name, id, _ := strings.Cut(string(entry.Value()), "\n")
	if id == l.id {
		l.revision = entry.Revision()
		return
	}
	l.until.Store(0)
	tell(leased{holder: scrub.Text(name)})
}

// giveBack lets another server publish at once.
func (l *lease) giveBack() {
	l.until.Store(0)
	if l.kv == nil || l.revision == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), flushWithin)
	defer cancel()
	_ = l.kv.Delete(ctx, l.key, jetstream.LastRevision(l.revision)) // else it ends by itself
}

// bucket is where the lease is, made where it is missing. One with other settings
// is not used: a lease without an end would let nobody take over.
func bucket(ctx context.Context, conn *nats.Conn) (jetstream.KeyValue, error) {
	js, err := jetstream.New(conn)
	if err != nil {
		return nil, fmt.Errorf("the lease cannot be asked for: %w", err)
	}
	kv, err := js.KeyValue(ctx, leaseBucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		kv, err = js.CreateKeyValue(ctx, jetstream.KeyValueConfig{
			Bucket: leaseBucket, Description: "which kitestring server publishes", TTL: leaseTime, History: 1, Storage: jetstream.MemoryStorage,
		})
	}
	if err != nil {
		return nil, fmt.Errorf("the bus has no JetStream for the lease (%s): switch it on there, or let one server alone publish (bus.shared)", scrub.Text(err.Error()))
	}
	status, err := kv.Status(ctx)
	if err != nil {
		return nil, fmt.Errorf("the bucket of the lease cannot be read: %s", scrub.Text(err.Error()))
	}
	if status.TTL() != leaseTime || status.History() != 1 {
		return nil, fmt.Errorf("the bucket %s of the bus keeps %d revisions for %s, and a lease wants 1 for %s: delete it (nats kv del %s), and it is made again", leaseBucket, status.History(), status.TTL(), leaseTime, leaseBucket)
	}
	return kv, nil
}
