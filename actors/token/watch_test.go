package token

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"

	"kitestring/actors/actorstest"
	"kitestring/messages"
)

// fakeNotifier is silent until it is closed or made to end.
type fakeNotifier struct {
	events chan fsnotify.Event
	errs   chan error
	once   sync.Once
	addErr error
	calls  []string
}

func newFake() *fakeNotifier {
	return &fakeNotifier{events: make(chan fsnotify.Event), errs: make(chan error)}
}

func (n *fakeNotifier) Add(p string) error { n.calls = append(n.calls, "add "+p); return n.addErr }

func (n *fakeNotifier) Remove(p string) error { n.calls = append(n.calls, "remove "+p); return nil }

func (n *fakeNotifier) Close() error                  { n.once.Do(func() { close(n.events) }); return nil }
func (n *fakeNotifier) Events() <-chan fsnotify.Event { return n.events }
func (n *fakeNotifier) Errors() <-chan error          { return n.errs }

// TestDegraded: without events, with a failing or dying notifier, the poll
// still sees each change, and events come back when the system lets them.
func TestDegraded(t *testing.T) {
	for _, c := range []struct {
		name   string
		broken func() (notifier, error)
		reason string
	}{
		{"no notifier", func() (notifier, error) { return nil, errors.New("too many open files") }, "no file events: too many open files"},
		{"no watch", func() (notifier, error) { n := newFake(); n.addErr = errors.New("no space left"); return n, nil }, "no space left"},
		{"dies", func() (notifier, error) { n := newFake(); _ = n.Close(); return n, nil }, "stopped reporting"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			token := newToken()
			path := fileWith(t, token)
			s := openStore(t, path)
			heal := make(chan struct{})
			notify := func() (notifier, error) {
				select {
				case <-heal:
					return newNotifier()
				default:
					return c.broken()
				}
			}
			h := actorstest.Start(t, "token", New(Config{Store: s, Auth: authPID, Feed: feedPID, Web: webPID, notify: notify}))
			await(t, h, token)
			actorstest.Await(h, func(m messages.WatchChanged) bool { return m.Degraded && strings.Contains(m.Reason, c.reason) })
			next := newToken()
			move(t, path, fmt.Sprintf(fileText, next))
			if m := await(t, h, next); m.Source != messages.ChangeByPoll {
				t.Errorf("source is %s, want poll", m.Source)
			}
			seen := len(h.Sent()) // before: it may heal at once
			close(heal)
			for deadline := time.Now().Add(patience); ; pause() {
				if healed(h, seen) {
					break
				} else if time.Now().After(deadline) {
					t.Fatal("events have not come back")
				}
			}
			next = newToken()
			move(t, path, fmt.Sprintf(fileText, next))
			await(t, h, next)
			if err := h.Err(); err != nil {
				t.Errorf("the watcher failed: %v", err)
			}
		})
	}
}

func healed(h *actorstest.Harness, from int) bool {
	for _, sent := range h.Sent()[from:] {
		if m, ok := sent.Msg.(messages.WatchChanged); ok && !m.Degraded {
			return true
		}
	}
	return false
}

// TestSilentNotifier: events that never come are made good by the poll.
func TestSilentNotifier(t *testing.T) {
	token := newToken()
	path := fileWith(t, token)
	s := openStore(t, path)
	notify := func() (notifier, error) { return newFake(), nil }
	h := actorstest.Start(t, "token", New(Config{Store: s, Auth: authPID, Feed: feedPID, Web: webPID, notify: notify}))
	await(t, h, token)
	for range 3 {
		token = newToken()
		move(t, path, fmt.Sprintf(fileText, token))
		await(t, h, token)
	}
}

// stalled holds the events of a real notifier back until open is closed.
type stalled struct {
	notifier
	events chan fsnotify.Event
	errs   chan error
	seen   sync.Map
}

func stall(n notifier, open <-chan struct{}) *stalled {
	s := &stalled{notifier: n, events: make(chan fsnotify.Event), errs: make(chan error)}
	go func() {
		<-open
		defer close(s.events)
		for {
			select {
			case ev, ok := <-n.Events():
				if !ok {
					return
				}
				s.seen.Store(ev.Name, true)
				s.events <- ev
			case err, ok := <-n.Errors():
				if !ok {
					return
				}
				s.seen.Store(err, true)
				s.errs <- err
			}
		}
	}()
	return s
}

func (s *stalled) Events() <-chan fsnotify.Event { return s.events }
func (s *stalled) Errors() <-chan error          { return s.errs }

// TestOverflow makes the kernel's queue overflow, so that the event of the
// file itself is lost, and wants to be woken all the same.
func TestOverflow(t *testing.T) {
	limit, err := os.ReadFile("/proc/sys/fs/inotify/max_queued_events")
	if err != nil {
		t.Skipf("the length of the queue is unknown: %v", err)
	}
	queue, err := strconv.Atoi(strings.TrimSpace(string(limit)))
	if err != nil || queue > 1<<16 {
		t.Skipf("the queue is too long to fill: %s", limit)
	}
	path := fileWith(t, newToken())
	real, err := newNotifier()
	if err != nil {
		t.Fatal(err)
	}
	open := make(chan struct{})
	n := stall(real, open)
	wake := make(chan struct{}, 1)
	set := newWatchSet(n, wake)
	if err := set.sync(follow(path)); err != nil {
		t.Fatal(err)
	}
	noise := [2]string{path + ".a", path + ".b"}
	put(t, noise[0], "", 0o600)
	for i := range queue/2 + 4096 { // two events each
		if err := os.Rename(noise[i%2], noise[1-i%2]); err != nil {
			t.Fatal(err)
		}
	}
	move(t, path, fmt.Sprintf(fileText, newToken()))
	go set.drain()
	close(open)
	select {
	case <-wake:
	case <-time.After(patience):
		t.Error("not woken")
	}
	if _, overflowed := n.seen.Load(fsnotify.ErrEventOverflow); !overflowed {
		t.Error("the queue did not overflow: the test proves nothing")
	}
	if _, reported := n.seen.Load(path); reported {
		t.Error("the event of the file was not lost: the test proves nothing")
	}
	if err := real.Close(); err != nil {
		t.Error(err)
	}
	<-set.dead
}

func TestMatters(t *testing.T) {
	path := fileWith(t, newToken())
	n, err := newNotifier()
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	set := newWatchSet(n, make(chan struct{}, 1))
	if !set.matters("/anything") {
		t.Error("before the first sync everything matters")
	}
	if err := set.sync(follow(path)); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(path)
	for name, want := range map[string]bool{
		path: true, dir: true, filepath.Dir(dir): true, "": true, "/elsewhere": true,
		path + ".lock": false, filepath.Join(dir, "server.log"): false, filepath.Join(filepath.Dir(dir), "noise"): false,
	} {
		if got := set.matters(name); got != want {
			t.Errorf("matters(%q) is %v, want %v", name, got, want)
		}
	}
}

// TestSeparateWatchesEnd: replaced files and directories leave no watch behind.
func TestSeparateWatchesEnd(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "conf", ".env")
	set := newWatchSet(newFake(), nil)
	for range 10 {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		put(t, path, "K=v\n", 0o600)
		if err := set.sync(follow(path)); err != nil {
			t.Fatal(err)
		}
		if n := len(set.watched); n != 3 {
			t.Fatalf("%d watches with the file there: %v", n, set.watched)
		}
		if err := os.RemoveAll(filepath.Dir(path)); err != nil {
			t.Fatal(err)
		}
		if err := set.sync(follow(path)); err != nil {
			t.Fatal(err)
		}
		if n := len(set.watched); n != 2 {
			t.Fatalf("%d watches with the directory gone: %v", n, set.watched)
		}
	}
}

// TestAReplacedDirectoryGetsANewWatch: its old watch is dead, though its path is
// the same.
func TestAReplacedDirectoryGetsANewWatch(t *testing.T) {
	n := newFake()
	set := newWatchSet(n, nil)
	before := trace{{dir: "/", name: "conf", id: identity{1, 10}}, {dir: "/conf", name: ".env", id: identity{1, 11}}}
	if err := set.sync(before); err != nil {
		t.Fatal(err)
	}
	n.calls = nil
	after := trace{{dir: "/", name: "conf", id: identity{1, 20}}, {dir: "/conf", name: ".env", id: identity{1, 11}}}
	if err := set.sync(after); err != nil {
		t.Fatal(err)
	}
	removed, added := slices.Index(n.calls, "remove /conf"), slices.Index(n.calls, "add /conf")
	if removed < 0 || added < removed || slices.Contains(n.calls, "remove /conf/.env") {
		t.Errorf("calls %v", n.calls)
	}
}
