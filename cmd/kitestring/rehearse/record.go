package rehearse

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"kitestring/actors/analysis"
	"kitestring/actors/replay"
	"kitestring/actors/simulator"
	"kitestring/actors/tape"
	"kitestring/actors/web/api"
	"kitestring/cmd/kitestring/judge"
	"kitestring/messages"
	"kitestring/messages/ist"
)

var _ = register(Drill{
	Name: "recorder-kill", Topic: Recorder, Setup: Setup{Cold: true},
	Inject: "kill -9 at random moments while 5000 ticks/s are recorded, three times",
	Hold:   "at most 150 ms are lost each time, every file is whole, each start writes a new one and touches no other",
	Steps: func(r *Rig) {
		s, rng := r.folder("killed"), r.random()
		var worst time.Duration
		before := map[string]string{}
		for n := 1; n <= 3; n++ {
			s.startServer(nil, "--sim-rate", "5000")
			s.recording(time.Minute)
			ticks := s.status().Record.Ticks
			s.within(30*time.Second, "5000 more ticks are recorded", func() (bool, any) {
				now := s.status().Record.Ticks
				return now >= ticks+5000, now
			})
			// The count above is of the tape, which has just been written to: a recorder
			// that writes less often than it should must have the time to lose more.
			stood := s.still.SoFar()
			s.pause(300*time.Millisecond + time.Duration(rng.Int64N(int64(300*time.Millisecond))))
			killed := time.Now()
			s.process.kill()
			after := s.files()
			s.unchanged(before, after, 1)
			lost := s.lostBefore(killed)
			// A machine that stands still for a moment delays the writer as it does all others.
			if stood = s.still.SoFar() - stood; lost > 150*time.Millisecond+stood {
				failf("the tape ends %s before the kill", lost)
			}
			worst, before = max(worst, lost), after
		}
		r.note("at most %s lost", worst.Round(time.Millisecond))
	},
})

var _ = register(Drill{
	Name: "recorder-disk-full", Topic: Recorder,
	Setup:  Setup{Prepare: onTheDisk},
	Inject: "the disk takes no more in the middle of a block, and has room again after some seconds",
	Hold:   "the state says so, the feed and readiness do not care, what was written is whole, and recording goes on in a new file without a hole that is not counted",
	Steps: func(r *Rig) {
		r.recording(10 * time.Second)
		theDisk.fails(unix.ENOSPC)
		defer theDisk.fails(0)
		r.paused("the disk is full")
		g := r.rotated(15 * time.Second) // a rotation does not care either
		theDisk.fails(0)
		start := time.Now()
		r.recording(20 * time.Second)
		r.recovery(start)
		r.pause(2 * time.Second)
		nothingLost(r.receipt(g))
		r.wholeTape(2)
		if seen := r.played(); r.status().Record.Dropped == 0 && seen.lost != 0 || seen.repeated != 0 {
			failf("the recording has a hole that is not counted: %+v", seen)
		}
	},
})

var _ = register(Drill{
	Name: "recorder-readonly", Topic: Recorder,
	Setup: Setup{Prepare: func(r *Rig) {
		theDisk.fails(unix.EROFS)
		onTheDisk(r)
	}},
	Inject: "the directory of the recordings cannot be written to from the start",
	Hold:   "the server is live without a recording and says why; recording begins when the disk can be written to",
	Steps: func(r *Rig) {
		defer theDisk.fails(0)
		r.paused("read-only")
		theDisk.fails(0)
		start := time.Now()
		r.recording(20 * time.Second)
		r.recovery(start)
		r.pause(time.Second)
		r.wholeTape(1)
	},
})

var _ = register(Drill{
	Name: "recorder-slow-disk", Topic: Recorder,
	Setup:  Setup{Rate: 20_000, Prepare: onTheDisk},
	Inject: "at 20,000 ticks/s a write takes 2 s, and later one takes until the memory is full",
	Hold:   "the late write costs nothing; what the full memory does not take is counted, on the tape too; the feed loses nothing",
	Steps: func(r *Rig) {
		r.recording(10 * time.Second)
		r.cleanup(theDisk.release)
		theDisk.hold()
		r.pause(2 * time.Second)
		theDisk.release()
		r.within(10*time.Second, "the recorder has caught up", func() (bool, any) {
			rec := r.status().Record
			return rec.Queue < 1<<20, rec
		})
		if d := r.status().Record.Dropped; d != 0 {
			failf("%d frames dropped by a write that was 2 s late", d)
		}
		theDisk.hold()
		g := r.rotated(15 * time.Second)
		r.within(time.Minute, "the memory is full", func() (bool, any) {
			d := r.status().Record.Dropped
			return d > 0, d
		})
		r.streams(time.Second)
		theDisk.release()
		r.within(30*time.Second, "the recorder has caught up", func() (bool, any) {
			rec := r.status().Record
			return rec.Queue < 1<<20, rec
		})
		nothingLost(r.receipt(g))
		r.wholeTape(1)
		r.note("%d frames dropped and counted", r.status().Record.Dropped)
	},
})

var _ = register(Drill{
	Name: "recorder-bit-flip", Topic: Recorder, Setup: Setup{Cold: true},
	Inject: "a bit of a file flips while no server runs",
	Hold:   "what lies before it is read, the damage is named with its place, the next start leaves the file as it is and writes a new one",
	Steps: func(r *Rig) {
		s := r.folder("flipped")
		s.startServer(nil)
		s.recording(time.Minute)
		s.pause(3 * time.Second)
		s.process.stop()
		day := s.day()
		path := day.Segments[0].Path
		whole := must(os.ReadFile(path))
		all, damage, err := tape.ReadFile(path, func([]tape.Record) error { return nil })
		if check(err); damage != nil {
			failf("damaged before: %+v", *damage)
		}
		// Many bits, each in a copy: whatever it means, the flip is found. The last one
		// gets into the recording.
		rng, copied := r.random(), filepath.Join(s.Dir, "copy")
		var at int
		for n := range 200 {
			flipped := bytes.Clone(whole)
			at = len(whole)/4 + rng.IntN(len(whole)/2)
			flipped[at] ^= 1 << rng.IntN(8)
			check(os.WriteFile(copied, flipped, 0o600))
			if _, damage, err = tape.ReadFile(copied, func([]tape.Record) error { return nil }); err != nil || damage == nil {
				failf("flip %d, of a bit at %d of %d, is not found (%v)", n, at, len(whole), err)
			}
		}
		check(os.Rename(copied, path))
		before := s.files()
		s.startServer(nil)
		s.recording(time.Minute)
		s.pause(2 * time.Second)
		s.process.stop()
		s.unchanged(before, s.files(), 1)
		read, damage, err := tape.ReadFile(path, func([]tape.Record) error { return nil })
		check(err)
		if damage == nil || damage.Offset > int64(at) || read.Ticks >= all.Ticks || read.Bytes != damage.Offset || damage.Offset+damage.Bytes != int64(len(whole)) {
			failf("the flipped bit at %d of %d: read %+v, damage %+v", at, len(whole), read, damage)
		}
		r.note("%d of %d bytes read, then: %s", damage.Offset, len(whole), damage.Reason)
	},
})

var _ = register(Drill{
	Name: "recorder-day-rollover", Topic: Recorder, Setup: Setup{Cold: true},
	Inject: "midnight in India on a host in UTC, while the server records",
	Hold:   "each day has its own folder by the date in India, and no moment of the other",
	Steps: func(r *Rig) {
		s := r.folder("midnight")
		s.sim = freeAddr()
		s.startServer([]string{"TZ=UTC"}, "--sim-addr", s.sim)
		s.recording(time.Minute)
		first := s.day().Day
		night := on(must(time.ParseInLocation(time.DateOnly, first, ist.Zone)), 23, 59).Add(57 * time.Second)
		s.clock(map[string]any{"now": night, "skip_nights": false})
		next := night.Add(time.Hour).Format(time.DateOnly)
		s.within(30*time.Second, "the next day has a folder", func() (bool, any) {
			days := must(tape.Open(s.tapes()).Days())
			return len(days) == 2 && days[1].Day == next, days
		})
		s.pause(2 * time.Second)
		s.process.stop()
		for _, day := range must(tape.Open(s.tapes()).Days()) {
			n := 0
			_, damage, err := tape.Read(day.Segments, time.Time{}, time.Time{}, func(records []tape.Record) error {
				for _, rec := range records {
					if date := rec.At.In(ist.Zone).Format(time.DateOnly); rec.Kind == "" && date != day.Day {
						return fmt.Errorf("a frame of %s is in the folder of %s", rec.At.In(ist.Zone), day.Day)
					}
				}
				n += len(records)
				return nil
			})
			check(err)
			if n == 0 || len(damage) > 0 {
				failf("%s: %d records, damage %+v", day.Day, n, damage)
			}
		}
	},
})

var _ = register(Drill{
	Name: "recorder-restart-same-minute", Topic: Recorder, Setup: Setup{Cold: true},
	Inject: "the server starts three times within the same minute of the exchange",
	Hold:   "each start has a file of its own, in their order, and the earlier ones stay as they were",
	Steps: func(r *Rig) {
		s := r.folder("again")
		before := map[string]string{}
		for range 3 {
			s.startServer(nil)
			s.recording(time.Minute)
			s.pause(time.Second)
			s.process.stop()
			after := s.files()
			s.unchanged(before, after, 1)
			before = after
		}
		day := s.day()
		for i, seg := range day.Segments {
			if name := filepath.Base(seg.Path); name[:11] != fmt.Sprintf("0915-%05d-", i+1) {
				failf("file %d is %s", i+1, name)
			}
		}
		s.wholeTape(3)
	},
})

var _ = register(Drill{
	Name: "replay-equals-live", Topic: Recorder, Setup: Setup{Rate: 2000}, Limit: 5 * time.Minute,
	Inject: "six minutes of a simulated day are recorded and played again, at 60 times their speed and as fast as they are read",
	Hold:   "every packet and every whole bar of live comes again, and every reading: those of the recording and of its replays are equal, and those that the server gave of closed bars are among them",
	Steps: func(r *Rig) {
		// In a replay time stands until all is subscribed. A chain that is chosen late
		// on the day, when its index has moved, has another middle there.
		r.chainsSubscribed()
		start := r.status().Market.ExchangeTime
		r.clock(map[string]any{"speed": 20})
		given := map[string]string{}
		r.within(time.Minute, "six minutes have passed", func() (bool, any) {
			r.collect(start, given)
			now := r.status().Market.ExchangeTime
			return now.Sub(start) > 6*time.Minute, now
		})
		live := r.wholeBars(start)
		r.close()
		said := map[string]string{}
		day := must(judge.Run(r.ctx, r.day().Segments, r.config.Reloadable, func(_ time.Time, one messages.Reading) {
			if of, says := ofClosedBars(one); of != "" {
				said[of] = says
			}
		}))
		if day.Readings < 6*7 || len(given) < 6 {
			failf("%d readings of the recording, %d of the server", day.Readings, len(given))
		}
		for of, says := range given {
			if said[of] != says {
				failf("the server said of %s: %s, the recording says: %s", of, says, said[of])
			}
		}
		r.note("%d readings, sha256 %s; %d that the server gave are among them", day.Readings, day.SHA256[:16], len(given))
		for _, speed := range []float64{60, 0} {
			s := r.replay(speed)
			n := 0
			s.within(30*time.Second, "the bars of live are there", func() (bool, any) {
				got := s.wholeBars(start)
				n = 0
				for series, bars := range live {
					for _, b := range bars {
						at := slices.IndexFunc(got[series], func(o api.Bar) bool { return o.Start.Equal(b.Start) })
						if at < 0 {
							return false, fmt.Sprintf("%s has no bar of %s", series, b.Start)
						}
						if !sameBar(got[series][at], b) {
							return false, fmt.Sprintf("%s: the bar is %+v, live it was %+v", series, got[series][at], b)
						}
						n++
					}
				}
				return true, n
			})
			if n < 12 {
				failf("only %d bars to compare", n)
			}
			s.close()
			packets, _, err := replay.Hashes(r.day().Segments)
			check(err)
			replayed, _, err := replay.Hashes(s.day().Segments)
			check(err)
			for token, want := range packets {
				if got := replayed[token]; got != want {
					failf("the packets of a replay differ, first those of instrument %d: %d of %d; %d instruments, and %d of the day", token, got.Packets, want.Packets, len(replayed), len(packets))
				}
			}
			again := must(judge.Run(r.ctx, s.day().Segments, r.config.Reloadable, nil))
			if again.SHA256 != day.SHA256 {
				failf("the packets of a replay are those of the day, and its readings differ: %+v, of the day: %+v", again.Kinds, day.Kinds)
			}
			r.note("%d bars, packets of %d instruments and all readings equal", n, len(packets))
		}
	},
})

var _ = register(Drill{
	Name: "replay-rotation-day", Topic: Recorder, Setup: Setup{Rate: 3000}, Limit: 5 * time.Minute,
	Inject: "three rotations under load, two of them with overlapping sockets and one with a cut, are recorded and replayed",
	Hold:   "each packet that the feed passed on is in the stream once: nothing lost, nothing repeated, and a server on the replay counts the same",
	Steps: func(r *Rig) {
		r.ticked()
		for range 3 {
			nothingLost(r.receipt(r.rotated(20 * time.Second)))
		}
		r.pause(2 * time.Second)
		want := r.metric("kitestring_feed_ticks_total")
		r.close()
		seen := r.played()
		if seen.lost != 0 || seen.repeated != 0 || seen.ticks < int(want) {
			failf("live passed on %g ticks: %+v", want, seen)
		}
		s := r.replay(0)
		s.within(30*time.Second, "a server on the replay has had the same ticks", func() (bool, any) {
			got := s.metric("kitestring_feed_ticks_total")
			return int(got) == seen.ticks, fmt.Sprintf("%g of %d", got, seen.ticks)
		})
		r.note("%d ticks over four tokens, %d instruments", seen.ticks, seen.instruments)
		s.close()
	},
})

// faultyDisk is a disk whose faults a drill sets.
type faultyDisk struct {
	fault atomic.Int64 // an errno; 0: none
	slow  sync.RWMutex // writes wait while it is held
	held  bool
}

func (d *faultyDisk) hold() {
	d.slow.Lock()
	d.held = true
}

func (d *faultyDisk) release() {
	if d.held {
		d.held = false
		d.slow.Unlock()
	}
}

// theDisk is of the drill that runs: one at a time does.
var theDisk faultyDisk

func (d *faultyDisk) fails(errno unix.Errno) { d.fault.Store(int64(errno)) }

func (d *faultyDisk) err(path string) error {
	if errno := d.fault.Load(); errno != 0 {
		return &os.PathError{Op: "write", Path: path, Err: unix.Errno(errno)}
	}
	return nil
}

// create makes a file on the disk.
func (d *faultyDisk) create(path string) (tape.File, error) {
	if err := d.err(path); errors.Is(err, unix.EROFS) {
		return nil, err
	}
	f, err := tape.CreateFile(path)
	return faultyFile{f, path, d}, err
}

type faultyFile struct {
	tape.File
	path string
	disk *faultyDisk
}

// Write implements tape.File: half of a block gets onto a full disk.
func (f faultyFile) Write(block []byte) (int, error) {
	f.disk.slow.RLock()
	defer f.disk.slow.RUnlock()
	if err := f.disk.err(f.path); err != nil {
		n, _ := f.File.Write(block[:len(block)/2])
		return n, err
	}
	return f.File.Write(block)
}

// onTheDisk has the server record onto the drill's disk.
func onTheDisk(r *Rig) { r.config.RecordDisk.Create = theDisk.create }

// recording waits until the server records.
func (r *Rig) recording(d time.Duration) {
	r.within(d, "the server records", func() (bool, any) {
		rec := r.status().Record
		return rec != nil && rec.State == "recording" && rec.Ticks > 0, rec
	})
}

// paused waits until the recorder says why it pauses, and demands that nothing
// else is affected.
func (r *Rig) paused(why string) {
	r.within(15*time.Second, "the recorder pauses: "+why, func() (bool, any) {
		rec := r.status().Record
		return rec.State == "paused_disk" && strings.Contains(rec.Reason, why), rec
	})
	r.ready(5 * time.Second)
	r.streams(time.Second)
}

// tapes is where the server of the rig records.
func (r *Rig) tapes() string { return tape.Folder(filepath.Join(r.Dir, "state"), "sim") }

// day is the only day that is recorded.
func (r *Rig) day() tape.Day {
	days := must(tape.Open(r.tapes()).Days())
	if len(days) != 1 {
		failf("%d days are recorded, want one: %+v", len(days), days)
	}
	return days[0]
}

// files are the files of the recording, each with a hash of what is in it.
func (r *Rig) files() map[string]string {
	found := map[string]string{}
	for _, day := range must(tape.Open(r.tapes()).Days()) {
		for _, s := range day.Segments {
			found[s.Path] = fmt.Sprintf("%x", sha256.Sum256(must(os.ReadFile(s.Path))))
		}
	}
	return found
}

// unchanged demands that each earlier file is as it was, and that so many new
// ones are there.
func (r *Rig) unchanged(before, after map[string]string, added int) {
	for path, sum := range before {
		if after[path] != sum {
			failf("%s has changed", filepath.Base(path))
		}
	}
	if len(after) != len(before)+added {
		failf("%d files, and %d before", len(after), len(before))
	}
}

// wholeTape demands that the recording has so many files at least, none of them
// damaged, and that it names each frame that was dropped.
func (r *Rig) wholeTape(least int) {
	dropped := 0
	files := 0
	for _, day := range must(tape.Open(r.tapes()).Days()) {
		files += len(day.Segments)
		_, damage, err := tape.Read(day.Segments, time.Time{}, time.Time{}, func(records []tape.Record) error {
			for _, rec := range records {
				if rec.Kind == tape.FramesDropped {
					var d tape.Dropped
					if err := json.Unmarshal(rec.Data, &d); err != nil {
						return err
					}
					dropped += d.Frames
				}
			}
			return nil
		})
		check(err)
		if len(damage) > 0 {
			failf("damaged: %+v", damage)
		}
	}
	if files < least {
		failf("%d files, want %d", files, least)
	}
	if r.Server != nil {
		if d := r.status().Record.Dropped; int(d) != dropped {
			failf("%d frames were dropped, the tape says %d", d, dropped)
		}
	}
}

// lostBefore is how much time lies between a moment and the last frame before
// it, on the machine's clock.
func (r *Rig) lostBefore(killed time.Time) time.Duration {
	var last time.Time
	var offset time.Duration
	segments := r.day().Segments
	_, damage, err := tape.ReadFile(segments[len(segments)-1].Path, func(records []tape.Record) error {
		for _, rec := range records {
			switch rec.Kind {
			case "":
				last = rec.At
			case tape.ClockChecked:
				var c struct {
					OffsetMS float64 `json:"offset_ms"`
				}
				if err := json.Unmarshal(rec.Data, &c); err != nil {
					return err
				}
				offset = time.Duration(c.OffsetMS * float64(time.Millisecond))
			}
		}
		return nil
	})
	if check(err); damage != nil {
		failf("a kill has damaged the tape: %+v", *damage)
	}
	return killed.Add(offset).Sub(last)
}

// replay is a server on the day that this rig's server has recorded. speed 0: as
// fast as it is read.
func (r *Rig) replay(speed float64) *Rig {
	stream := must(replay.Open(r.tapes(), r.day().Day))
	file := must(stream.Instruments())
	history := must(stream.History())
	s := r.sibling(filepath.Join(r.Dir, fmt.Sprintf("replay-%g", speed)))
	check(os.Mkdir(s.Dir, 0o700))
	s.open(Setup{Speed: speed, Prepare: func(s *Rig) {
		s.config.Sim.Rate, s.config.Sim.RecordTape = 0, true
		s.config.Sim.Tape = &simulator.Recording{
			Day: stream.Day, Instruments: file, Sequenced: stream.Sequenced(), Max: speed == 0, Close: stream.Close, History: history,
			Next: func() (time.Time, [][]byte, error) {
				b, err := stream.Next()
				return b.At, b.Packets, err
			},
		}
	}})
	s.within(2*time.Minute, "the recording is at its end", func() (bool, any) {
		rep := s.status().Replay
		return rep.Ended, rep
	})
	return s
}

// stream is what a recording says by the numbers of its packets.
type stream struct{ ticks, instruments, lost, repeated int }

// played reads the recording as a replay does; the exchange counts its packets
// in the last quantity.
func (r *Rig) played() (seen stream) {
	tape := must(replay.Open(r.tapes(), r.day().Day))
	defer tape.Close()
	last := map[uint32]uint32{}
	for {
		b, err := tape.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		check(err)
		for _, p := range b.Packets {
			if len(p) == 28 || len(p) == 44 {
				continue // the answer to a subscription, before its mode has acted
			}
			if seen.ticks++; len(p) < 184 {
				continue
			}
			token, n := binary.BigEndian.Uint32(p), binary.BigEndian.Uint32(p[8:])
			before, known := last[token]
			last[token] = n
			switch {
			case !known:
			case n > before+1:
				seen.lost += int(n - before - 1)
			case n < before:
				seen.repeated++
			}
		}
	}
	if len(tape.Damage()) > 0 {
		failf("damaged: %+v", tape.Damage())
	}
	seen.instruments = len(last)
	return seen
}

// wholeBars are the closed bars that lie after a moment, by series, the first
// one left out: it began with the recording.
func (r *Rig) wholeBars(from time.Time) map[string][]api.Bar {
	found := map[string][]api.Bar{}
	for _, u := range r.underlyings() {
		for _, source := range []string{"index", "future"} {
			for _, b := range get[[]api.Bar](r, "/api/v1/bars/"+u.Name+"?interval=1m&source="+source) {
				if b.Closed && !b.Partial && !b.Gapped && !b.Backfilled && b.Start.After(from) {
					series := u.Name + " " + source
					found[series] = append(found[series], b)
				}
			}
		}
	}
	return found
}

// chainsSubscribed waits until each option of the chains is subscribed.
func (r *Rig) chainsSubscribed() {
	r.within(time.Minute, "the option chains are subscribed", func() (bool, any) {
		r.pause(50 * time.Millisecond)
		subscribed, chains := r.exchange().Subscriptions, 0
		for _, u := range r.underlyings() {
			for _, in := range u.Chain {
				if subscribed[fmt.Sprint(in.Token)] == 0 {
					return false, in.Tradingsymbol + " is not subscribed"
				}
			}
			chains += min(1, len(u.Chain))
		}
		return chains == 3, fmt.Sprintf("%d of 3 chains", chains)
	})
}

// sameBar compares what was traded.
func sameBar(a, b api.Bar) bool {
	return a.Open == b.Open && a.High == b.High && a.Low == b.Low && a.Close == b.Close && a.Volume == b.Volume && a.OI == b.OI
}

// collect notes what the server says of closed bars since a moment.
func (r *Rig) collect(since time.Time, into map[string]string) {
	for _, one := range get[[]messages.Reading](r, "/api/v1/readings") {
		if of, says := ofClosedBars(one); of != "" && one.AsOf.After(since) {
			into[of] = says
		}
	}
}

// ofClosedBars is what a reading is of and what it says, without what it says of
// the bar that still grows; "": it rests on more than closed bars, or on nothing.
func ofClosedBars(r messages.Reading) (of, says string) {
	if !slices.Contains(analysis.FileKinds(), r.Kind) || r.Status == messages.Unavailable {
		return "", ""
	}
	var values map[string]any
	check(json.Unmarshal(must(json.Marshal(r.Values)), &values)) // as a reader of the API has them
	delete(values, "running")
	delete(values, "provisional")
	return fmt.Sprint(r.Kind, " of ", r.Underlying, " at ", r.AsOf.Unix()), fmt.Sprintf("%s %g %s %s", r.Signal, r.Confidence, r.Session, must(json.Marshal(values)))
}
