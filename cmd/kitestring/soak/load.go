package soak

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"kitestring/actors/web/api"
	"kitestring/messages"
)

// LoadOptions are those of Load.
type LoadOptions struct {
	Options
	Instruments int // subscribed to in all, in full mode
	Rate        int // ticks a second over all of them
}

// Minute is a row of Load. It has one rotation in its middle.
type Minute struct {
	Minute int `json:"minute"` // from 1
	Figures
	Rotations  int     `json:"rotations"`
	RotationMS float64 `json:"rotation_ms"` // the longest, from the change of the file to the last socket's move
}

// LoadReport is what Load found.
type LoadReport struct {
	Minutes  []Minute  `json:"minutes"`
	Total    Minute    `json:"total"` // Minute is 0
	Wanted   int       `json:"instruments"`
	Sockets  int       `json:"sockets"`
	Actors   int       `json:"actors"`
	Takers   int       `json:"tick_actors"` // those that are given each tick; the others live on bars
	Verdicts []Verdict `json:"verdicts"`
	Machine  Machine   `json:"machine"`
}

// The targets of a server at full load.
const (
	mostCPU = 15.0  // % of one core
	mostRSS = 150.0 // MB
)

// own is room for the instruments that the analyses of the three default
// underlyings want: index, future and 82 options each, and the next future
// before an expiry. A 6001st instrument would take the third socket, and with
// it the room to swap without a gap.
const own = 3 * (2 + 2*41 + 2)

// ticksFrom tells a mailbox for ticks from one for messages only, by its room.
const ticksFrom = 4096

// warmUp is how long the server runs before it is measured: instruments and
// history are read, the collector finds its pace.
const warmUp = 15 * time.Second

// Load soaks the server under the heaviest load that it is to carry.
func Load(ctx context.Context, o LoadOptions) (report LoadReport, err error) {
	if err := checkProc(); err != nil {
		return report, err
	}
	if o.Instruments < own {
		return report, fmt.Errorf("%d instruments: the analyses alone want %d", o.Instruments, own)
	}
	r := newRig(o.Options)
	defer func() { err = errors.Join(err, r.close()) }()
	if err := r.openLoad(ctx, o); err != nil {
		return report, err
	}
	if err := wait(ctx, min(warmUp, o.For)); err != nil {
		return report, err
	}
	first, err := r.sample()
	if err != nil {
		return report, err
	}
	from, most := first, int64(0)
	for n := 1; from.at.Sub(first.at) < o.For-time.Second; n++ {
		m, to, err := r.minute(ctx, from, min(time.Minute, o.For))
		if err != nil {
			return report, err
		}
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
	var st api.Status
	if err := r.get("/api/v1/status", &st); err != nil {
		return report, err
	}
	report.Wanted, report.Sockets, report.Actors = st.Feed.Instruments, st.Feed.Sockets, st.Actors.Total
	for series, capacity := range from.metrics {
		if strings.HasPrefix(series, "kitestring_actor_mailbox_capacity{") && capacity > ticksFrom {
			report.Takers++
		}
	}
	report.Verdicts = judgeLoad(report, o)
	report.Machine = machine()
	report.Machine.OtherPC = report.Total.OtherCPU
	return report, nil
}

// openLoad brings the server to where every instrument streams.
func (r *rig) openLoad(ctx context.Context, o LoadOptions) error {
	if err := r.openSim("--instruments", strconv.Itoa(o.Instruments), "--rate", strconv.Itoa(o.Rate)); err != nil {
		return err
	}
	wants, err := r.extraShares(o.Instruments - own)
	if err != nil {
		return err
	}
	config, err := r.writeConfig(wants)
	if err != nil {
		return err
	}
	if err := r.rotate(); err != nil {
		return err
	}
	if err := r.openServer("--addr", "127.0.0.1:0", "--config", config); err != nil {
		return err
	}
	if err := r.live(ctx, time.Minute); err != nil {
		return err
	}
	return within(ctx, time.Minute, "every instrument is subscribed to", func() (bool, string) {
		var st api.Status
		if err := r.get("/api/v1/status", &st); err != nil {
			return false, err.Error()
		}
		return st.Feed.Instruments >= o.Instruments-6, fmt.Sprintf("%d of %d", st.Feed.Instruments, o.Instruments)
	})
}

// minute is a span with a rotation in its middle.
func (r *rig) minute(ctx context.Context, from sample, d time.Duration) (m Minute, to sample, err error) {
	most := int64(0)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	rotated := false
	for time.Since(from.at) < d || !rotated {
		select {
		case <-ctx.Done():
			return m, to, ctx.Err()
		case <-tick.C:
		}
		v, err := r.server.kernel()
		if err != nil {
			return m, to, err
		}
		most = max(most, v.rss)
		if !rotated && time.Since(from.at) >= d/2 {
			rotated = true
			if err := r.rotate(); err != nil {
				return m, to, err
			}
		}
	}
	// One that takes longer than the rest of the span belongs to it all the same.
	var receipts []messages.Rotation
	err = within(ctx, time.Minute, "the rotation is complete", func() (bool, string) {
		err := r.get("/api/v1/rotations", &receipts)
		return slices.ContainsFunc(receipts, func(rot messages.Rotation) bool { return completed(rot, from) }), fmt.Sprintf("%d receipts, %v", len(receipts), err)
	})
	if ctx.Err() != nil {
		return m, to, err // one that never is complete is the verdict's business
	}
	if to, err = r.sample(); err != nil {
		return m, to, err
	}
	m.Figures = span(from, to, most)
	for _, rot := range receipts {
		if completed(rot, from) {
			m.Rotations++
			m.RotationMS = max(m.RotationMS, *rot.TotalMS)
		}
	}
	return m, to, nil
}

// completed reports whether a rotation of after a sample has come to its end.
func completed(rot messages.Rotation, from sample) bool {
	return rot.ChangedAt.After(from.at) && rot.Result == "adopted" && rot.TotalMS != nil
}

func judgeLoad(r LoadReport, o LoadOptions) []Verdict {
	t := r.Total
	// In the first third buffers and pools grow to what bursts want of them.
	warm, last := r.Minutes[len(r.Minutes)/3], r.Minutes[len(r.Minutes)-1]
	growth := func(of func(Minute) float64) (from, to float64) { return of(warm), of(last) }
	live0, live1 := growth(func(m Minute) float64 { return m.Live })
	gor0, gor1 := growth(func(m Minute) float64 { return float64(m.Goroutines) })
	fds0, fds1 := growth(func(m Minute) float64 { return float64(m.FDs) })
	rate := float64(t.Received) / t.Seconds
	return slices.Concat([]Verdict{
		verdict(rate >= 0.97*float64(o.Rate), fmt.Sprintf("%d ticks/s", o.Rate), "%.0f ticks/s over %d instruments on %d sockets; %d actors, %d of them take ticks", rate, r.Wanted, r.Sockets, r.Actors, r.Takers),
		verdict(t.CPU <= mostCPU, fmt.Sprintf("CPU <= %.0f %% of one core", mostCPU), "%.1f %%", t.CPU),
		verdict(t.RSS <= mostRSS, fmt.Sprintf("RSS <= %.0f MB", mostRSS), "%.0f MB", t.RSS),
		verdict(live1 <= 1.25*live0+2, "heap flat", "%.1f MB live after minute %d, %.1f MB after the last", live0, warm.Minute, live1),
		verdict(gor1 <= gor0+4, "goroutines flat", "%.0f, %.0f", gor0, gor1),
		verdict(fds1 <= fds0+4, "open files flat", "%.0f, %.0f", fds0, fds1),
		verdict(t.Lost == 0, "0 ticks lost", "%d", t.Lost),
		verdict(t.Twice == 0, "0 ticks duplicated", "%d", t.Twice),
		verdict(t.Malformed == 0, "0 malformed frames", "%d", t.Malformed),
		verdict(t.Rotations == len(r.Minutes), "a rotation each minute", "%d rotations in %d minutes, the longest %.0f ms", t.Rotations, len(r.Minutes), t.RotationMS),
	})
}
