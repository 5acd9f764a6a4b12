package tree

import (
	"net/http"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"kitestring/actors"
	"kitestring/actors/gateway"
	"kitestring/actors/hours"
	"kitestring/actors/ready"
	"kitestring/actors/record"
	"kitestring/actors/tape"
	"kitestring/messages"
	"kitestring/supervisor"
)

// roomWithoutGap is how many instruments two of Kite's three sockets hold: the
// third one stays free for a swap.
const roomWithoutGap = 6000

// morning looks at all that a trading day needs. It may hang with a disk.
func (s *Server) morning() ready.Snapshot {
	now, machine := s.clock.Now(), time.Now()
	phase, _ := s.phases.Phase()
	snap := ready.Snapshot{
		Now: now, Hours: s.hours.Table(), Phase: phase.Phase, Next: phase.Next, HoursFault: phase.HoursFault, ClockOff: phase.ClockOff,
		LoginURL: s.URL() + "login", EnvFault: s.store.Fault(), EnvUnwatched: s.webStore.WatchFault(),
		Gateway: s.gatewayPart(), Recorder: s.recorderPart(), Peer: s.peerPart(), Channels: s.channels(), Room: roomWithoutGap,
		Live: s.webStore.Live(feedView{s.feed, s.clock}.Stats(), now),
	}
	if snap.ClockOff == 0 {
		snap.ClockOff = s.answers.clockOff()
	}
	snap.Token, snap.TokenProven = s.authStore.Adopted()
	snap.EnvMounted, snap.EnvReadOnly = s.store.Place()
	for what, dir := range map[string]string{"state directory": s.cfg.StateDir, ".env file": filepath.Dir(s.cfg.EnvFile)} {
		snap.Disks = append(snap.Disks, s.diskSpace(what, dir))
	}
	slices.SortFunc(snap.Disks, func(a, b ready.DiskSpace) int { return len(b.What) - len(a.What) })
	snap.Throttled, snap.Refusing = s.answers.throttling(machine)
	snap.FileDay, snap.FileWant, snap.FileGaps, snap.Refused = s.instruments.File(now)
	resolved, _ := s.instruments.Resolved()
	snap.Underlyings = resolved.Underlyings
	stats, arrivals := s.feed.Stats(), s.feed.Arrivals()
	snap.Wanted = stats.Instruments
	for _, r := range stats.Refused {
		snap.Refused = append(snap.Refused, r.Reason)
	}
	for _, shard := range stats.Shards {
		if shard.State == messages.Stopped {
			continue
		}
		a := arrivals[shard.Shard]
		one := ready.Shard{ShardStatus: shard, Streams: machine.Sub(shard.Since), Silent: -1, Wanted: a.Wanted, Arrived: a.Arrived}
		if !a.LastFrame.IsZero() {
			one.Silent = machine.Sub(a.LastFrame)
		}
		snap.Shards = append(snap.Shards, one)
	}
	return snap
}

// missingToday is what a session that is still to come, or runs, needs and does
// not have.
func (s *Server) missingToday() []messages.ReadyCheck {
	now := s.clock.Now()
	if day := s.hours.Table().Day(now, hours.Market); !day.Trading() || !now.Before(day.Close()) {
		return nil
	}
	return s.ready.Readiness().Missing()
}

// diskSpace asks a file system.
func (s *Server) diskSpace(what, dir string) ready.DiskSpace {
	space := tape.Space
	if s.cfg.RecordDisk.Space != nil {
		space = s.cfg.RecordDisk.Space
	}
	free, _, err := space(dir)
	if err != nil {
		return ready.DiskSpace{What: what, Err: reason(err).Error()}
	}
	return ready.DiskSpace{What: what, Free: uint64(free)}
}

// recorderPart is how the recorder stands.
func (s *Server) recorderPart() ready.Part {
	st := s.recorder.Status()
	p := s.part(record.Name, "keeps what Kite sends in "+st.Dir)
	switch st.State {
	case record.Off:
		return ready.Part{}
	case record.Starting:
		p.Wait = "the recorder is starting"
	case record.PausedDisk:
		p.Fault, p.Fix = "nothing is recorded: "+st.Reason, "make room on the disk of the state directory, or mend it: kitestring status"
	case record.Elsewhere:
		p.Fault, p.Fix = "nothing is recorded: "+st.Reason, "stop the other server, or give this one a directory of its own with --state-dir"
	case record.Recording, record.Stopped:
	}
	return p
}

// gatewayPart is how the gateway stands.
func (s *Server) gatewayPart() ready.Part {
	if s.gateway == nil {
		return ready.Part{}
	}
	return s.part(gateway.Name, "serves other programs at "+s.GatewayAddr())
}

// part is an actor of the tree that does something for others.
func (s *Server) part(name, does string) ready.Part {
	p := ready.Part{On: true, Detail: does, Fix: "kitestring actors says why; then: kitestring restart " + name}
	for _, a := range s.tree.Snapshot().Actors {
		if a.Name != name || a.State == supervisor.Running {
			continue
		}
		is := "the actor " + name + " is " + a.State.String()
		if a.LastError != "" {
			is += ": " + a.LastError
		}
		if a.State == supervisor.Quarantined {
			p.Fault = is
		} else {
			p.Wait = is
		}
	}
	return p
}

// channels are the ways to a person, with how their last messages fared.
func (s *Server) channels() ready.Channels {
	status := s.reminders.Status()
	c := ready.Channels{SetUp: status.Channels, Warnings: status.Warnings}
	for _, r := range status.Last {
		if r.Arrived {
			c.Tried = append(c.Tried, r.Channel)
		} else {
			c.Failed = append(c.Failed, r.Channel+": "+r.Reason)
		}
	}
	admitted, faults := s.replies.Listening()
	for _, kind := range admitted {
		if !slices.Contains(c.Tried, kind) {
			c.Tried = append(c.Tried, kind)
		}
	}
	for kind, fault := range faults {
		c.Failed = append(c.Failed, kind+": "+fault)
	}
	return c
}

// answers notes what every answer of Kite's says beside its content: its date
// and whether it was one too many. Safe for concurrent use.
type answers struct {
	base      http.RoundTripper
	clock     actors.Clock
	off       atomic.Int64 // of our clock before Kite's, at the last answer
	throttled atomic.Int64 // Unix nanoseconds of the last 429; 0: none
	refusing  atomic.Bool  // the last answer was one
}

// throttling is how long ago the last 429 came, 0 for none, and whether nothing
// was answered since.
func (a *answers) throttling(now time.Time) (ago time.Duration, refusing bool) {
	at := a.throttled.Load()
	if at == 0 {
		return 0, false
	}
	return max(1, now.Sub(time.Unix(0, at))), a.refusing.Load()
}

// RoundTrip implements http.RoundTripper.
func (a *answers) RoundTrip(req *http.Request) (*http.Response, error) {
	sent := a.clock.Now()
	resp, err := a.base.RoundTrip(req)
	if err != nil {
		return resp, err
	}
	tooMany := resp.StatusCode == http.StatusTooManyRequests
	if tooMany {
		a.throttled.Store(time.Now().UnixNano())
	}
	a.refusing.Store(tooMany)
	if _, ours := a.clock.(wallClock); !ours {
		return resp, err // a simulated exchange has another time than the server that plays it
	}
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		a.off.Store(int64(clockOff(sent, a.clock.Now(), date)))
	}
	return resp, err
}

// CloseIdleConnections is what http.Client looks for.
func (a *answers) CloseIdleConnections() {
	if t, ok := a.base.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}

// clockOff is how far a clock that showed sent and received is certainly before
// a date that the answer was given between the two; a date is cut to a second.
func clockOff(sent, received, date time.Time) time.Duration {
	switch {
	case sent.After(date.Add(time.Second)):
		return sent.Sub(date.Add(time.Second))
	case received.Before(date):
		return received.Sub(date)
	}
	return 0
}

// mostOff is how far the clock may be off unnoticed, as with the ticks' time.
const mostOff = 20 * time.Second

func (a *answers) clockOff() time.Duration {
	if off := time.Duration(a.off.Load()); off.Abs() >= mostOff {
		return off
	}
	return 0
}
