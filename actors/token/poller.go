package token

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync/atomic"
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

	// stillAfter is how long a file must not have changed before a last line
	// without a newline is used: nobody is writing it any more.
	stillAfter = 3 * time.Second
	// hungAfter is how long one call of the kernel in a look may take: it is
	// microseconds otherwise. A second after a write the status must say so.
	hungAfter = 750 * time.Millisecond
)

// poller is the watcher's task: it keeps the watches, reads at every wake and at
// least once a pollSlow, and sends the actor what is new.
type poller struct {
	self   actors.Self
	store  *Store
	notify func() (notifier, error)
	lease  leaser

	wake    chan struct{}
	watches *watchSet // nil: no working notifier
	revived time.Time // when a notifier was last asked for
	fault   string    // why events do not arrive; "": they do
	health  *health   // as last sent

	trace   trace
	last    reading
	start   time.Time    // monotonic
	stepped atomic.Int64 // nanoseconds after start: when the look under way began, or last opened the file
	looked  bool
	awake   bool      // an event has arrived since the last change that none had announced
	refused bool      // the last finding
	since   time.Time // when the text was first seen as it is; monotonic
	silent  string
}

// run looks until the incarnation ends.
func (p *poller) run(ctx context.Context) error {
	p.wake, p.start = make(chan struct{}, 1), time.Now()
	via := messages.ChangeByPoll
	for confirm := false; ; {
		if !p.watchedLook(ctx, via, confirm) {
			return nil
		}
		p.self.Beat()
		pause := p.pause()
		confirm = p.refused && !confirm
		if confirm {
			pause = confirmAfter + time.Millisecond
		}
		var dead chan struct{}
		if p.watches != nil {
			dead = p.watches.dead
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			select {
			case <-p.drop():
			case <-time.After(partAfter):
			}
			return nil
		case <-p.wake:
			via, p.awake = messages.ChangeByEvent, true
			confirm = false
		case <-dead:
			p.drop()
			p.fault = "the system has stopped reporting file changes"
			via = messages.ChangeByPoll
		case <-timer.C:
			if !confirm { // a confirmation belongs to what came before
				via = messages.ChangeByPoll
			}
		}
		timer.Stop()
	}
}

// watchedLook looks in a goroutine of its own and says so when it does not come
// back: a call of the kernel into a dead network mount returns when it likes,
// and cannot be cancelled. There is one look at a time over all incarnations,
// and few more when it hangs, because each keeps a thread. It is false when the incarnation has ended
// meanwhile; the look then ends by itself.
func (p *poller) watchedLook(ctx context.Context, via messages.ChangeSource, confirm bool) bool {
	done := make(chan struct{})
	p.step()
	go func() {
		defer close(done)
		defer func() {
			if v := recover(); v != nil {
				p.self.Fail(fmt.Errorf("look: panic: %v", v))
			}
		}()
		if p.store.beginLook(ctx) {
			defer p.store.endLook()
			p.look(ctx, via, confirm)
		}
	}()
	hung := time.NewTimer(hungAfter)
	defer hung.Stop()
	said := false
	for {
		select {
		case <-done:
			if said {
				p.health = nil
				p.sendHealth()
			}
			return true
		case <-hung.C:
			// A file that is rewritten all the time is read for longer, but it answers.
			if left := hungAfter - time.Since(p.start.Add(time.Duration(p.stepped.Load()))); left > 0 {
				hung.Reset(left)
				continue
			}
			said = true
			p.self.Tell(health{true, hungReason})
		case <-ctx.Done():
			select {
			case <-done:
				return true
			case <-time.After(partAfter):
				go func() { <-done; p.drop() }()
				return false
			}
		}
	}
}

const hungReason = "the file does not answer: its disk or network mount hangs. The last token stays in use; nothing new is read until it answers"

// step notes that the look goes on.
func (p *poller) step() { p.stepped.Store(int64(time.Since(p.start))) }

// open opens the file for a look.
func (p *poller) open(path string) (f *os.File, closing func(), err error) {
	p.step()
	return p.store.open(path)
}

// look brings the watches up to date, then reads: in this order nothing that
// happens in between goes unseen. confirm asks for an observation in any case.
func (p *poller) look(ctx context.Context, via messages.ChangeSource, confirm bool) {
	path := follow(p.store.path)
	p.keepWatch(path)
	r := readStable(ctx, p.store.path, p.last.hash, p.open, p.lease)
	if ctx.Err() != nil {
		return
	}
	p.sendHealth()
	if !p.looked || r.hash != p.last.hash {
		p.since = time.Now()
	}
	// While the file is refused, each other look judges it again.
	still := r.err == nil && !r.held && time.Since(p.since) >= stillAfter
	if !p.store.takeReopened() && p.looked && !confirm && r.same(&p.last) {
		p.trace = path
		return
	}
	if p.looked && via == messages.ChangeByPoll && !confirm {
		p.awake = false
	}
	seen := observation{via: via, at: time.Now(), changed: time.Unix(0, r.changed)}
	if p.looked {
		seen.changed = time.Unix(0, max(r.changed, path.changedAt(p.trace, p.last.err != nil)))
	}
	seen.env, seen.finding = judge(p.store.path, &r, p.store.getenv, p.store.hadToken(), still)
	r.text = nil // messages carry no secrets in the open
	seen.read = r
	p.trace, p.last, p.looked, p.refused = path, r, true, seen.finding.refusal != nil
	p.self.Tell(seen)
}

// keepWatch syncs the watches, and gets a new notifier when there is none.
func (p *poller) keepWatch(path trace) {
	if p.watches == nil && time.Since(p.revived) >= reviveAfter {
		p.revived = time.Now()
		n, err := p.notify()
		if err != nil {
			p.fault = fmt.Sprintf("the system offers no file events: %v", err)
			return
		}
		watches := newWatchSet(n, p.wake)
		go func() { // ends with drop
			defer func() {
				if v := recover(); v != nil {
					p.self.Fail(fmt.Errorf("drain: panic: %v", v))
				}
			}()
			watches.drain()
		}()
		p.watches = watches
	}
	if p.watches == nil {
		return
	}
	switch err := p.watches.sync(path); {
	case err == nil:
		p.fault = ""
	case errors.Is(err, fs.ErrPermission):
		p.fault = err.Error()
	default:
		p.fault = err.Error()
		p.drop()
	}
	p.silent = silentFileSystem(path[len(path)-1].dir)
}

// drop closes the notifier. Nobody waits for the kernel to let go of it:
// the channel is closed when it has, and the drain has ended.
func (p *poller) drop() (gone <-chan struct{}) {
	w := p.watches
	p.watches = nil
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

func (p *poller) pause() time.Duration {
	if p.watches == nil || p.fault != "" || p.silent != "" || !p.awake || p.last.held {
		return pollFast
	}
	return pollSlow
}

func (p *poller) sendHealth() {
	var h health
	switch {
	case p.fault != "":
		h = health{true, fmt.Sprintf("%s; the file is read every %v instead", p.fault, pollFast)}
	case p.silent != "" && p.silent != overlay:
		h = health{true, fmt.Sprintf("changes made elsewhere are not reported on %s; the file is read every %v instead", p.silent, pollFast)}
	}
	if p.health == nil || *p.health != h {
		p.health = &h
		p.self.Tell(h)
	}
}
