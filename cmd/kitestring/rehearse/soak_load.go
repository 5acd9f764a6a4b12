package rehearse

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"kitestring/messages"
)

// LoadOptions are those of SoakLoad.
type LoadOptions struct {
	SoakOptions
	Instruments int  // subscribed to in all, in full mode
	Rate        int  // ticks a second over all of them
	Clients     int  // programs that stream every instrument of the load through the gateway; 0: no gateway
	Unrecorded  bool // the recorder is off
}

// Recorded is what the recorder of a soak has written.
type Recorded struct {
	Ticks        int64   `json:"ticks"`
	Bytes        int64   `json:"bytes"`
	BytesPerTick float64 `json:"bytes_per_tick"`
	Dropped      uint64  `json:"dropped_frames"`
}

// Minute is a row of SoakLoad. It has one rotation in its middle.
type Minute struct {
	Minute int `json:"minute"` // from 1
	Figures
	Rotations  int     `json:"rotations"`
	RotationMS float64 `json:"rotation_ms"` // the longest, from the change of the file to the last socket's move
}

// LoadReport is what SoakLoad found.
type LoadReport struct {
	Minutes   []Minute  `json:"minutes"`
	Total     Minute    `json:"total"` // Minute is 0
	Wanted    int       `json:"instruments"`
	Sockets   int       `json:"sockets"`
	Actors    int       `json:"actors"`
	Receivers int       `json:"tick_actors"` // those that are given each tick; the others live on bars
	Clients   *Clients  `json:"clients"`     // null: no gateway
	Recorded  *Recorded `json:"recorded"`    // null: the recorder was off
	Verdicts  []Verdict `json:"verdicts"`
	Machine   Machine   `json:"machine"`
}

// The targets of a server at full load.
const (
	mostCPU = 15.0  // % of one core
	mostRSS = 150.0 // MB

	// What the recorder may take of either, and of the disk.
	recorderCPU    = 4.0
	recorderRSS    = 48.0
	mostBytesATick = 35.0
)

// own is room for the instruments that the analyses of the three default
// underlyings want: index, future and 82 options each, and the next future
// before an expiry. A 6001st instrument would take the third socket, and with
// it the room to swap without a gap.
const own = 3 * (2 + 2*41 + 2)

// ticksFrom is the capacity that separates mailboxes for ticks from those for
// messages only.
const ticksFrom = 4096

// warmUp is how long the server runs before it is measured: instruments and
// history are read, the collector finds its pace.
const warmUp = 15 * time.Second

// SoakLoad runs the server under the heaviest load that it is to carry, with a
// rotation of the token each minute.
func SoakLoad(ctx context.Context, o LoadOptions) (report LoadReport, err error) {
	if o.Instruments < own {
		return report, fmt.Errorf("%d instruments: the analyses alone want %d", o.Instruments, own)
	}
	err = runSoak(ctx, o.SoakOptions, func(s *soak) {
		s.openLoad(o)
		s.pause(min(warmUp, o.For))
		programs := s.openPrograms(o)
		first := s.sample()
		programs.begin()
		from, most := first, int64(0)
		for n := 1; from.at.Sub(first.at) < o.For-time.Second; n++ {
			m, to := s.minute(from, min(time.Minute, o.For))
			m.Minute = n
			most = max(most, int64(m.RSS*mb))
			report.Minutes = append(report.Minutes, m)
			if o.Row != nil {
				o.Row(m)
			}
			from = to
		}
		report.Total = Minute{Figures: span(first, from, most)}
		for _, m := range report.Minutes {
			report.Total.Rotations += m.Rotations
			report.Total.RotationMS = max(report.Total.RotationMS, m.RotationMS)
		}
		st := s.status()
		report.Wanted, report.Sockets, report.Actors = st.Feed.Instruments, st.Feed.Sockets, st.Actors.Total
		for _, m := range from.metrics["kitestring_actor_mailbox_capacity"].GetMetric() {
			if m.GetGauge().GetValue() > ticksFrom {
				report.Receivers++
			}
		}
		report.Clients = programs.end(report.Total)
		if !o.Unrecorded {
			rec := st.Record
			report.Recorded = &Recorded{Ticks: rec.Ticks, Bytes: rec.Written, Dropped: rec.Dropped, BytesPerTick: float64(rec.Written) / float64(max(1, rec.Ticks))}
		}
		report.Verdicts = append(judgeLoad(report, o), judgeClients(report.Clients)...)
		report.Machine = machine(report.Total.OtherCPU)
	})
	return report, err
}

// openLoad brings the server to where every instrument streams.
func (s *soak) openLoad(o LoadOptions) {
	s.openSim(nil, "--instruments", strconv.Itoa(o.Instruments), "--rate", strconv.Itoa(o.Rate))
	s.load = s.extraShares(o.Instruments - own)
	config := s.writeConfig(s.load, !o.Unrecorded)
	s.byRename(s.rotate())
	gateway := "off"
	if o.Clients > 0 {
		gateway = "127.0.0.1:0"
	}
	s.startServer(nil, "--config", config, "--gateway-addr", gateway)
	s.ready(time.Minute)
	s.within(time.Minute, "every instrument is subscribed to", func() (bool, any) {
		n := s.status().Feed.Instruments
		return n >= o.Instruments-6, fmt.Sprintf("%d of %d", n, o.Instruments)
	})
}

// minute is a span with a rotation in its middle.
func (s *soak) minute(from sample, d time.Duration) (m Minute, to sample) {
	most, rotated := int64(0), false
	for time.Since(from.at) < d || !rotated {
		s.pause(time.Second)
		most = max(most, s.process.kernel().rss)
		if !rotated && time.Since(from.at) >= d/2 {
			rotated = true
			s.byRename(s.rotate())
		}
	}
	// One that takes longer than the rest of the span belongs to it all the same;
	// one that is never complete is the verdict's business.
	completed := func(rot messages.Rotation) bool {
		return rot.ChangedAt.After(from.at) && rot.Result == "adopted" && rot.TotalMS != nil
	}
	err := attempt(func() {
		s.within(time.Minute, "the rotation is complete", func() (bool, any) {
			receipts := s.rotations()
			return slices.ContainsFunc(receipts, completed), fmt.Sprintf("%d receipts", len(receipts))
		})
	})
	if s.ctx.Err() != nil {
		check(err)
	}
	to = s.sample()
	m.Figures = span(from, to, most)
	for _, rot := range s.rotations() {
		if completed(rot) {
			m.Rotations++
			m.RotationMS = max(m.RotationMS, *rot.TotalMS)
		}
	}
	return m, to
}

func judgeLoad(r LoadReport, o LoadOptions) []Verdict {
	t := r.Total
	// In the first third buffers and pools grow to what bursts want of them.
	warm, last := r.Minutes[len(r.Minutes)/3], r.Minutes[len(r.Minutes)-1]
	rate := float64(t.Received) / t.Seconds
	mostCPU, mostRSS := mostCPU, mostRSS
	var recorded []Verdict
	if rec := r.Recorded; rec != nil {
		mostCPU, mostRSS = mostCPU+recorderCPU, mostRSS+recorderRSS
		recorded = []Verdict{
			verdict(rec.Dropped == 0, "0 frames not recorded", "%d of %d ticks", rec.Dropped, rec.Ticks),
			verdict(rec.BytesPerTick <= mostBytesATick, fmt.Sprintf("<= %.0f bytes a recorded tick", mostBytesATick), "%.1f", rec.BytesPerTick),
		}
	}
	return append([]Verdict{
		verdict(rate >= 0.97*float64(o.Rate), fmt.Sprintf("%d ticks/s", o.Rate), "%.0f ticks/s over %d instruments on %d sockets; %d actors, %d of them take ticks", rate, r.Wanted, r.Sockets, r.Actors, r.Receivers),
		verdict(t.CPU <= mostCPU, fmt.Sprintf("CPU <= %.0f %% of one core", mostCPU), "%.1f %%", t.CPU),
		verdict(t.RSS <= mostRSS, fmt.Sprintf("RSS <= %.0f MB", mostRSS), "%.0f MB", t.RSS),
		verdict(last.Live <= 1.25*warm.Live+2, "heap flat", "%.1f MB live after minute %d, %.1f MB after the last", warm.Live, warm.Minute, last.Live),
		verdict(last.Goroutines <= warm.Goroutines+4, "goroutines flat", "%d, %d", warm.Goroutines, last.Goroutines),
		verdict(last.FDs <= warm.FDs+4, "open files flat", "%d, %d", warm.FDs, last.FDs),
		verdict(t.Lost == 0, "0 ticks lost", "%d", t.Lost),
		verdict(t.Repeated == 0, "0 ticks duplicated", "%d", t.Repeated),
		verdict(t.Malformed == 0, "0 malformed frames", "%d", t.Malformed),
		verdict(t.Rotations == len(r.Minutes), "a rotation each minute", "%d rotations in %d minutes, the longest %.0f ms", t.Rotations, len(r.Minutes), t.RotationMS),
	}, recorded...)
}
