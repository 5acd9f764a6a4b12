package token

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"kitestring/actors"
	"kitestring/messages"
)

// How often the file is read without being asked to.
const (
	pollSlow = time.Second
	pollFast = 250 * time.Millisecond // where events do not arrive, or have not proved that they do

	reviveAfter = time.Second // between attempts to get a working notifier

	// partAfter is how long the end waits for the kernel to let go of a notifier:
	// some 10 ms, but 2.2 s were seen on a busy machine.
	partAfter = time.Second
)

// looker is the watcher's task: it keeps the watches, reads on every wake and
// with the poll, and tells the actor what is new.
type looker struct {
	self   actors.Self
	store  *Store
	notify func() (notifier, error)
	lease  leaser

	wake    chan struct{}
	watches *watchSet // nil: no working notifier
	revived time.Time // when a notifier was last asked for
	fault   string    // why events do not arrive; "": they do
	health  *health   // as last told

	way     trace
	last    reading
	looked  bool
	awake   bool // an event has arrived since the last change that none had announced
	refused bool // the last finding
	silent  string
}

// run looks until the incarnation ends.
func (l *looker) run(ctx context.Context) error {
	l.wake = make(chan struct{}, 1)
	defer func() {
		select {
		case <-l.drop():
		case <-time.After(partAfter):
		}
	}()
	via := messages.ChangeByPoll
	for confirm := false; ; {
		l.look(ctx, via, confirm)
		l.self.Beat()
		pause := l.pause()
		confirm = l.refused && !confirm
		if confirm {
			pause = confirmAfter + time.Millisecond
		}
		var dead chan struct{}
		if l.watches != nil {
			dead = l.watches.dead
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-l.wake:
			via, l.awake = messages.ChangeByEvent, true
			confirm = false
		case <-dead:
			l.drop()
			l.fault = "the system has stopped reporting file changes"
			via = messages.ChangeByPoll
		case <-timer.C:
			if !confirm { // a confirmation belongs to what came before
				via = messages.ChangeByPoll
			}
		}
		timer.Stop()
	}
}

// look brings the watches up to date, then reads: in this order nothing that
// happens in between goes unseen. confirm asks for a sighting in any case.
func (l *looker) look(ctx context.Context, via messages.ChangeSource, confirm bool) {
	way := follow(l.store.path)
	l.keepWatch(way)
	r := readStable(ctx, l.store.path, l.last.hash, l.lease)
	if ctx.Err() != nil {
		return
	}
	l.tellHealth()
	if l.looked && !confirm && r.same(&l.last) {
		l.way = way
		return
	}
	if l.looked && via == messages.ChangeByPoll && !confirm {
		l.awake = false
	}
	seen := sighting{via: via, at: time.Now(), changed: time.Unix(0, r.changed)}
	if l.looked {
		seen.changed = time.Unix(0, max(r.changed, way.changedAt(l.way, l.last.err != nil)))
	}
	seen.env, seen.finding = judge(l.store.path, &r, l.store.getenv, l.store.hadToken())
	r.text = nil // messages carry no secrets in the open
	seen.read = r
	l.way, l.last, l.looked, l.refused = way, r, true, seen.finding.refusal != nil
	l.self.Tell(seen)
}

// keepWatch syncs the watches, and gets a new notifier when there is none.
func (l *looker) keepWatch(way trace) {
	if l.watches == nil && time.Since(l.revived) >= reviveAfter {
		l.revived = time.Now()
		n, err := l.notify()
		if err != nil {
			l.fault = fmt.Sprintf("the system offers no file events: %v", err)
			return
		}
		watches := newWatchSet(n, l.wake)
		go func() { // ends with drop
			defer func() {
				if p := recover(); p != nil {
					l.self.Fail(fmt.Errorf("drain: panic: %v", p))
				}
			}()
			watches.drain()
		}()
		l.watches = watches
	}
	if l.watches == nil {
		return
	}
	switch err := l.watches.sync(way); {
	case err == nil:
		l.fault = ""
	case errors.Is(err, fs.ErrPermission):
		l.fault = err.Error()
	default:
		l.fault = err.Error()
		l.drop()
	}
	l.silent = silentFileSystem(way[len(way)-1].dir)
}

// drop closes the notifier. Nobody who looks waits for the kernel to let go of
// it; the channel is closed when it has, and the drain has ended.
func (l *looker) drop() (gone <-chan struct{}) {
	w := l.watches
	l.watches = nil
	done := make(chan struct{})
	if w == nil {
		close(done)
		return done
	}
	go func() {
		defer close(done)
		_ = w.n.Close()
		<-w.dead
	}()
	return done
}

func (l *looker) pause() time.Duration {
	if l.watches == nil || l.fault != "" || l.silent != "" || !l.awake || l.last.held {
		return pollFast
	}
	return pollSlow
}

func (l *looker) tellHealth() {
	var h health
	switch {
	case l.fault != "":
		h = health{true, fmt.Sprintf("%s; the file is read every %v instead", l.fault, pollFast)}
	case l.silent != "" && l.silent != overlay:
		h = health{true, fmt.Sprintf("changes made elsewhere are not reported on %s; the file is read every %v instead", l.silent, pollFast)}
	}
	if l.health == nil || *l.health != h {
		l.health = &h
		l.self.Tell(h)
	}
}
