package rehearse

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"kitestring/actors/hours"
	"kitestring/actors/simulator"
	"kitestring/actors/web/api"
	"kitestring/messages"
)

// DaysOptions are those of SoakDays.
type DaysOptions struct {
	SoakOptions
	Days int
}

// Day is a row of SoakDays.
type Day struct {
	Day string `json:"day"`
	Figures
	Reminders  int     `json:"reminders"`   // that came before the login
	LoginMS    float64 `json:"login_ms"`    // from the visit of the login page to a live feed
	Rotations  int     `json:"rotations"`   // the login's included
	RotationMS float64 `json:"rotation_ms"` // the longest
	Restarts   int     `json:"restarts"`    // two are of injected faults
	RecoveryMS float64 `json:"recovery_ms"` // the longest from a fault to a live feed
	BurstP99   float64 `json:"burst_p99_ms"`
	Notes      string  `json:"notes,omitempty"` // what did not go as it should
}

// DaysReport is what SoakDays found.
type DaysReport struct {
	Days     []Day     `json:"days"`
	Total    Day       `json:"total"` // Day is ""
	Verdicts []Verdict `json:"verdicts"`
	Machine  Machine   `json:"machine"`
}

const (
	// LeastDay is the least real time for a day: in less, the clock runs so fast
	// that a reminder comes too late for its slot.
	LeastDay = 50 * time.Second
	// fixed is about what takes as long at any speed: the burst at the open,
	// faults, requests.
	fixed = 25 * time.Second
	// burst is how long the open is watched at real speed.
	burst = 8 * time.Second
	// daysRate are the ticks a second of the whole exchange.
	daysRate = 4000
	// injected are the restarts that a day's faults cause.
	injected = 2
)

// days is a soak under way.
type days struct {
	*soak
	fast      float64 // exchange seconds a second in the quiet parts of a day
	reminders *reminders
	rss       atomic.Int64 // the most since the day began
	opened    sample       // before the open of the day
}

// SoakDays runs the server over whole trading days on a fast clock: the flush
// at 06:00, reminders, the login, the burst at the open, faults, the close.
func SoakDays(ctx context.Context, o DaysOptions) (report DaysReport, err error) {
	if o.Days < 1 || o.For < time.Duration(o.Days)*LeastDay {
		return report, fmt.Errorf("%d days in %s: a day takes at least %s", o.Days, o.For, LeastDay)
	}
	err = runSoak(ctx, o.SoakOptions, func(s *soak) {
		quiet := 10 * time.Hour
		d := &days{soak: s, reminders: s.receiveReminders(), fast: quiet.Seconds() / (o.For/time.Duration(o.Days) - fixed).Seconds()}
		day := d.open()
		// The largest resident set, between the samples too.
		s.meanwhile(func(r *Rig) {
			for ; ; r.pause(500 * time.Millisecond) {
				d.rss.Store(max(d.rss.Load(), r.process.kernel().rss))
			}
		})
		var first, last sample
		for range o.Days {
			day = d.nextTradingDay(day)
			d.step(day.Format(time.DateOnly), func() {
				row, from, to := d.day(day)
				if len(report.Days) == 0 {
					first = from
				}
				last = to
				report.Days = append(report.Days, row)
				if o.Row != nil {
					o.Row(row)
				}
			})
		}
		report.total(first, last)
		report.judge()
		report.Machine = machine(report.Total.OtherCPU)
	})
	return report, err
}

// open starts both at the dawn of a day, without a token.
func (d *days) open() time.Time {
	addr := freeAddr() // the exchange wants to know where logins end before the server listens there
	d.openSim([]string{"WEBHOOK_URL=" + d.reminders.url}, "--redirect-url", "http://"+addr+"/callback", "--rate", fmt.Sprint(daysRate))
	now := d.now()
	d.dawn(now)
	d.startServer(nil, "--addr", addr)
	return now
}

func (d *days) now() time.Time {
	return askSim[simulator.ClockState](d.Rig, http.MethodGet, "/clock", nil).Now
}

func (d *days) setClock(now time.Time, speed float64) {
	d.clock(map[string]any{"now": now, "speed": speed, "skip_nights": false})
}

func (d *days) dawn(day time.Time) { d.setClock(on(day, 5, 55), 1) }

// day goes through a trading day.
func (d *days) day(day time.Time) (row Day, from, to sample) {
	row.Day = day.Format(time.DateOnly)
	from = d.sample()
	d.rss.Store(from.server.rss)
	d.morning(day, &row)
	d.opening(day, &row)
	d.trading(day, &row)
	d.evening(day, &row)
	to = d.sample()
	row.Figures = span(from, to, d.rss.Load())
	// The cached ticks of a new day still bear the sequence of the last one.
	row.Repeated = span(d.opened, to, 0).Repeated
	row.Restarts = int(row.restarts)
	for _, rot := range d.rotations() {
		if rot.ChangedAt.After(from.at) && rot.Result == "adopted" && rot.TotalMS != nil {
			row.Rotations++
			row.RotationMS = max(row.RotationMS, *rot.TotalMS)
		}
	}
	if row.Restarts != injected {
		row.note("%d restarts, %d injected", row.Restarts, injected)
	}
	return row, from, to
}

func (row *Day) note(format string, args ...any) {
	if row.Notes != "" {
		row.Notes += "; "
	}
	row.Notes += fmt.Sprintf(format, args...)
}

// nextTradingDay moves the clock to the dawn of the next day that the server's
// own table calls a trading day.
func (d *days) nextTradingDay(day time.Time) time.Time {
	for range 15 {
		day = on(day, 0, 0).AddDate(0, 0, 1)
		d.dawn(day)
		var next time.Time
		d.within(20*time.Second, "the server sees the new day", func() (bool, any) {
			m := d.status().Market
			next = m.Next
			return m.Phase == messages.Closed && next.After(on(day, 5, 55)), m
		})
		if on(next, 0, 0).Equal(day) {
			return day
		}
	}
	failf("no trading day within two weeks")
	return day
}

// until runs the clock fast to a time of the day.
func (d *days) until(t time.Time) {
	d.clock(map[string]any{"speed": d.fast, "skip_nights": false})
	d.within(5*time.Minute, "the exchange's clock shows "+t.Format("15:04"), func() (bool, any) {
		now := d.now()
		return !now.Before(t), now
	})
	d.clock(map[string]any{"speed": 1, "skip_nights": false})
}

// morning: the flush, two reminders, the login.
func (d *days) morning(day time.Time, row *Day) {
	d.until(on(day, 6, 10))
	d.within(30*time.Second, "a login is due after the flush", func() (bool, any) {
		t := d.token()
		return t.LoginDue, t.State
	})
	d.until(on(day, 8, 46))
	row.demand(func() {
		d.within(10*time.Second, "two reminders have come", func() (bool, any) {
			row.Reminders = len(d.reminders.of(day))
			return row.Reminders >= 2, d.reminders.of(day)
		})
	})
	before := messages.Generation(0)
	if receipts := d.rotations(); len(receipts) > 0 {
		before = receipts[0].Generation
	}
	visited := time.Now()
	d.call(http.MethodGet, d.web, "/login", nil)
	d.ready(30 * time.Second)
	row.LoginMS = float64(time.Since(visited).Microseconds()) / 1000
	// The old socket leads until both have sent the same; before the open they
	// have nothing in common, and it is given up after 2 s.
	d.within(20*time.Second, "the feed has left the old token", func() (bool, any) {
		// Not by the time of the change: a file's clock stands still for
		// milliseconds, in which a whole login fits.
		receipts := d.rotations()
		return len(receipts) > 0 && receipts[0].Generation > before && receipts[0].TotalMS != nil, receipts
	})
}

// demand notes a failing step and goes on.
func (row *Day) demand(steps func()) {
	if err := attempt(steps); err != nil {
		row.note("%v", err)
	}
}

// opening: silence at 09:05, then the burst of the open at real speed.
func (d *days) opening(day time.Time, row *Day) {
	d.until(on(day, 9, 8))
	if slots := d.reminders.of(day); len(slots) != row.Reminders {
		row.note("reminded after the login: %v", slots)
	}
	d.setClock(hours.BuiltIn().Day(day, hours.Market).Open().Add(-2*time.Second), 1)
	d.opened = d.sample()
	d.pause(burst)
	open := span(d.opened, d.sample(), 0)
	row.BurstP99 = open.FanoutP99
	if open.Received == 0 {
		row.note("no tick at the open")
	}
}

// trading: faults of every kind, each healed before the next.
func (d *days) trading(day time.Time, row *Day) {
	for _, f := range []struct {
		h, m   int
		name   string
		inject func()
	}{
		{10, 30, "a cut socket", func() { d.fault(simulator.Fault{Kind: simulator.FaultDrop, Count: 1}) }},
		{11, 30, "a rotation", func() { d.byRename(d.rotate()) }},
		{12, 30, "a panic of the feed", func() { d.chaos(api.Chaos{Actor: "feed", Kind: "panic"}) }},
		{13, 15, "a panic of an analysis", func() { d.chaos(api.Chaos{Actor: "pcr", Kind: "panic"}) }},
		{14, 0, "a socket that is mute", func() { d.fault(simulator.Fault{Kind: simulator.FaultMute, ForMS: 3500}) }},
		{14, 45, "malformed frames", func() {
			d.fault(simulator.Fault{Kind: simulator.FaultMalformed, Variant: "truncated", Count: 5})
		}},
	} {
		d.until(on(day, f.h, f.m))
		d.step(f.name, func() {
			f.inject()
			row.RecoveryMS = max(row.RecoveryMS, d.recovers().Seconds()*1000)
		})
	}
}

// recovers waits until ticks flow and every actor runs, half a second long,
// and returns how long that took to begin.
func (d *days) recovers() time.Duration {
	const settled = 500 * time.Millisecond
	start := time.Now()
	since := start
	d.within(30*time.Second, "everything runs again", func() (bool, any) {
		var st api.Status
		if err := attempt(func() { st = d.status() }); err == nil {
			if age := st.Feed.LastTickAgeSeconds; st.Live && st.Actors.Running == st.Actors.Total && age != nil && *age < 0.5 {
				return time.Since(since) >= settled, "runs"
			}
		}
		since = time.Now()
		return false, st.Message + strings.Join(st.Actors.NotRunning, " ")
	})
	return since.Sub(start)
}

// evening: the close, and what must hold at a day's end.
func (d *days) evening(day time.Time, row *Day) {
	d.until(hours.BuiltIn().Day(day, hours.Market).Close().Add(2 * time.Minute))
	d.within(20*time.Second, "the market is closing and nothing is quarantined", func() (bool, any) {
		st := d.status()
		return st.Market.Phase == messages.Closing && st.Actors.Quarantined == 0, st
	})
	row.demand(func() {
		d.within(10*time.Second, "all holders use the same token", func() (bool, any) {
			t := d.token()
			return t.Coherent, t.Holders
		})
	})
}

func (r *DaysReport) total(first, last sample) {
	most, repeated := 0.0, int64(0)
	for _, d := range r.Days {
		most = max(most, d.RSS)
		repeated += d.Repeated
		r.Total.Reminders += d.Reminders
		r.Total.Rotations += d.Rotations
		r.Total.Restarts += d.Restarts
		r.Total.LoginMS = max(r.Total.LoginMS, d.LoginMS)
		r.Total.RotationMS = max(r.Total.RotationMS, d.RotationMS)
		r.Total.RecoveryMS = max(r.Total.RecoveryMS, d.RecoveryMS)
		r.Total.BurstP99 = max(r.Total.BurstP99, d.BurstP99)
	}
	r.Total.Figures = span(first, last, int64(most*mb))
	r.Total.Repeated = repeated
}

func (r *DaysReport) judge() {
	n, t := len(r.Days), r.Total
	first, last := r.Days[0], r.Days[n-1]
	noted := 0
	for _, d := range r.Days {
		if d.Notes != "" {
			noted++
		}
	}
	r.Verdicts = []Verdict{
		verdict(noted == 0, "each day as it should be", "%d of %d without a note", n-noted, n),
		verdict(t.Reminders == 2*n, "two reminders a day, none after the login", "%d in %d days", t.Reminders, n),
		verdict(t.Rotations >= 2*n, "two rotations a day", "%d, the longest %.0f ms", t.Rotations, t.RotationMS),
		verdict(t.Restarts == injected*n, "no restart but the injected", "%d, %d injected", t.Restarts, injected*n),
		verdict(t.RecoveryMS <= 5000, "from a fault to a live feed <= 5 s", "%.0f ms at most", t.RecoveryMS),
		verdict(t.RSS <= mostRSS, fmt.Sprintf("RSS <= %.0f MB", mostRSS), "%.0f MB", t.RSS),
		verdict(last.Live <= 1.25*first.Live+2, "heap flat", "%.1f MB live on the first day, %.1f MB on the last", first.Live, last.Live),
		verdict(last.Goroutines <= first.Goroutines+4, "goroutines flat", "%d, %d", first.Goroutines, last.Goroutines),
		verdict(last.FDs <= first.FDs+4, "open files flat", "%d, %d", first.FDs, last.FDs),
		verdict(t.Repeated == 0, "0 ticks duplicated", "%d", t.Repeated),
	}
}
