package rehearse

import (
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"kitestring/actors/web/api"
)

// The drills of heartbeats: an actor runs and does not do what it is there for,
// its own states do not find it, and it does not hang. Only the supervisor's
// heartbeat heals that.

// restartedByHeartbeat waits until an actor is restarted for want of a
// heartbeat, and for nothing else.
func (r *Rig) restartedByHeartbeat(name string, d time.Duration, before uint64) {
	start := time.Now()
	r.within(d, name+" is restarted by its heartbeat", func() (bool, any) {
		a := r.actor(name)
		return a.State == "running" && a.Epoch > before && r.metric("kitestring_supervisor_restarts_total", "actor", name, "reason", "heartbeat") > 0, a
	})
	r.recovery(start)
	for _, reason := range []string{"panic", "error", "hang"} {
		if n := r.metric("kitestring_supervisor_restarts_total", "actor", name, "reason", reason); n > 0 {
			failf("%s was restarted %v times because of: %s", name, n, reason)
		}
	}
}

var _ = register(Drill{
	Name: "heartbeat-feed", Topic: Actors, Setup: Setup{Start: ordinary, Cold: true, ManualLogin: true},
	Inject: "at the first login of an open day no message about the token reaches the feed: it waits for ever",
	Hold:   "the heartbeat restarts it within 60 s; it asks for everything that it needs and is live",
	Steps: func(r *Rig) {
		epoch := r.actor("feed").Epoch
		r.chaos(api.Chaos{Actor: "feed", Kind: "drop_token_messages"})
		r.login()
		r.restartedByHeartbeat("feed", 100*time.Second, epoch)
		r.live()
	},
})

var _ = register(Drill{
	Name: "heartbeat-bars", Topic: Actors, Setup: Setup{Start: ordinary},
	Inject: "in an open market no message and no tick reaches bars, although they are sent",
	Hold:   "the heartbeat restarts it within 30 s; it asks for everything that it needs, and its bars go on",
	Steps: func(r *Rig) {
		before := r.workers()
		r.streams(2 * time.Second)
		r.chaos(api.Chaos{Actor: "bars", Kind: "drop_messages"})
		r.restartedByHeartbeat("bars", 60*time.Second, r.actor("bars").Epoch)
		since := r.status().Market.ExchangeTime
		r.within(90*time.Second, "there is a bar of a minute that began after the restart", func() (bool, any) {
			bars := r.minuteBars("NIFTY", "index")
			return len(bars) > 0 && bars[len(bars)-1].Start.Add(time.Minute).After(since), bars[max(0, len(bars)-1):]
		})
		r.untouched(before, "bars")
	},
})

var _ = register(Drill{
	Name: "heartbeat-token", Topic: Actors,
	Inject: "the watcher's open of the .env file never returns; every later open does",
	Hold:   "the heartbeat restarts the watcher within 10 s, and it adopts the token that was written meanwhile",
	Steps: func(r *Rig) {
		g, epoch, whole := r.generation()+1, r.actor("token").Epoch, r.withToken(r.rotate())
		f := must(os.OpenFile(r.EnvFile, os.O_WRONLY, 0))
		defer f.Close()
		h := hang(r.EnvFile, 1)
		r.cleanup(h.release)
		must(f.WriteAt(whole, 0))
		check(f.Truncate(int64(len(whole))))
		r.restartedByHeartbeat("token", 40*time.Second, epoch)
		r.adopted(g, healWithin)
		h.release()
		r.live()
	},
})

// hung are opens of a file that block, as on a dead network mount.
type hung struct {
	fd    int
	ended chan struct{}
	stop  chan struct{}
}

// hang lets opens of a file block until release: the first n, or all for 0.
func hang(path string, n int) *hung {
	fd, err := unix.FanotifyInit(unix.FAN_CLASS_CONTENT|unix.FAN_CLOEXEC|unix.FAN_NONBLOCK, unix.O_RDONLY)
	if err == nil {
		err = unix.FanotifyMark(fd, unix.FAN_MARK_ADD, unix.FAN_OPEN_PERM, unix.AT_FDCWD, path)
	}
	if err != nil {
		skipf("opens cannot be made to hang here (fanotify): %v", err)
	}
	h := &hung{fd, make(chan struct{}), make(chan struct{})}
	go h.answer(n)
	return h
}

// answer allows every open after the first n.
func (h *hung) answer(n int) {
	defer close(h.ended)
	defer unix.Close(h.fd) // the end of the group lets those go on that wait
	var e unix.FanotifyEventMetadata
	buf := unsafe.Slice((*byte)(unsafe.Pointer(&e)), unsafe.Sizeof(e))
	for seen := 0; ; {
		select {
		case <-h.stop:
			return
		case <-time.After(time.Millisecond):
		}
		for {
			if read, err := unix.Read(h.fd, buf); err != nil || read < len(buf) {
				break
			}
			if seen++; n > 0 && seen > n {
				allow := unix.FanotifyResponse{Fd: e.Fd, Response: unix.FAN_ALLOW}
				_, _ = unix.Write(h.fd, unsafe.Slice((*byte)(unsafe.Pointer(&allow)), unsafe.Sizeof(allow)))
			}
			unix.Close(int(e.Fd))
		}
	}
}

func (h *hung) release() {
	select {
	case <-h.ended:
	default:
		close(h.stop)
		<-h.ended
	}
}
