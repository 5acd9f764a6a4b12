package soak

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"kitestring/actors/simulator"
	"kitestring/actors/web/api"
	"kitestring/messages"
	"kitestring/messages/ist"
)

// DaysOptions are those of Days.
type DaysOptions struct {
	Options
	Days int
}

// Day is a row of Days.
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

// DaysReport is what Days found.
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
	// fixed is about what they take: the burst at the open, faults, looking.
	fixed = 25 * time.Second
	// burst is how long the open is watched at real speed.
	burst = 8 * time.Second
	// daysRate are the ticks a second of the whole exchange.
	daysRate = 4000
)

// struck are the restarts that a day's faults cause.
const struck = 2

// days is a soak under way.
type days struct {
	*rig
	fast   float64 // exchange seconds a second in the quiet parts of a day
	box    *box
	rss    atomic.Int64 // the most since the day began
	opened sample       // before the open of the day
}

// Days soaks the server over whole trading days.
func Days(ctx context.Context, o DaysOptions) (report DaysReport, err error) {
	if err := checkProc(); err != nil {
		return report, err
	}
	if o.Days < 1 || o.For < time.Duration(o.Days)*LeastDay {
		return report, fmt.Errorf("%d days in %s: a day takes at least %s", o.Days, o.For, LeastDay)
	}
	d := &days{rig: newRig(o.Options)}
	quiet := 10 * time.Hour
	d.fast = quiet.Seconds() / (o.For/time.Duration(o.Days) - fixed).Seconds()
	defer func() { err = errors.Join(err, d.close()) }()
	if d.box, err = openBox(); err != nil {
		return report, err
	}
	defer d.box.close()
	day, err := d.open(ctx)
	if err != nil {
		return report, err
	}
	watching, end := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { d.watchMemory(watching) })
	defer watch.Wait()
	defer end()
	var first, last sample
	for range o.Days {
		row, from, to, err := d.day(ctx, &day)
		if err != nil {
			return report, fmt.Errorf("%s: %w", day.Format(time.DateOnly), err)
		}
		if len(report.Days) == 0 {
			first = from
		}
		last = to
		report.Days = append(report.Days, row)
		if o.Row != nil {
			o.Row(row)
		}
	}
	report.total(first, last)
	report.judge()
	report.Machine = machine()
	report.Machine.OtherPC = report.Total.OtherCPU
	return report, nil
}

// open starts both at the dawn of a day, without a token.
func (d *days) open(ctx context.Context) (time.Time, error) {
	addr, err := freePort()
	if err != nil {
		return time.Time{}, err
	}
	if err := d.openSim("--redirect-url", "http://"+addr+"/callback", "--rate", fmt.Sprint(daysRate)); err != nil {
		return time.Time{}, err
	}
	now, err := d.now()
	if err != nil {
		return time.Time{}, err
	}
	if err := d.dawn(now); err != nil {
		return time.Time{}, err
	}
	d.lines = append(d.lines, "WEBHOOK_URL="+d.box.url)
	if err := d.writeToken(""); err != nil {
		return time.Time{}, err
	}
	return now, d.openServer("--addr", addr)
}

func at(day time.Time, h, m int) time.Time {
	y, mo, dd := day.In(ist.Zone).Date()
	return time.Date(y, mo, dd, h, m, 0, 0, ist.Zone)
}

func (d *days) dawn(day time.Time) error { return d.clock(at(day, 5, 55), 1, false) }

// day goes through the next trading day after *day.
func (d *days) day(ctx context.Context, day *time.Time) (row Day, from, to sample, err error) {
	if err := d.nextTradingDay(ctx, day); err != nil {
		return row, from, to, err
	}
	row.Day = day.In(ist.Zone).Format(time.DateOnly)
	if from, err = d.sample(); err != nil {
		return row, from, to, err
	}
	d.rss.Store(from.server.rss)
	for _, part := range []func(context.Context, time.Time, *Day) error{d.morning, d.opening, d.trading, d.evening} {
		if err := part(ctx, *day, &row); err != nil {
			return row, from, to, err
		}
	}
	if to, err = d.sample(); err != nil {
		return row, from, to, err
	}
	row.Figures = span(from, to, d.rss.Load())
	// The cached ticks of a new day still bear the sequence of the last one.
	row.Twice = span(d.opened, to, 0).Twice
	row.Restarts = int(row.restarts)
	var receipts []messages.Rotation
	if err := d.get("/api/v1/rotations", &receipts); err != nil {
		return row, from, to, err
	}
	for _, rot := range receipts {
		if rot.ChangedAt.After(from.at) && rot.Result == "adopted" && rot.TotalMS != nil {
			row.Rotations++
			row.RotationMS = max(row.RotationMS, *rot.TotalMS)
		}
	}
	if row.Restarts != struck {
		row.note("%d restarts, %d injected", row.Restarts, struck)
	}
	return row, from, to, nil
}

func (row *Day) note(format string, args ...any) {
	if row.Notes != "" {
		row.Notes += "; "
	}
	row.Notes += fmt.Sprintf(format, args...)
}

// nextTradingDay moves the clock to the dawn of the next day that the server's
// own table calls a trading day.
func (d *days) nextTradingDay(ctx context.Context, day *time.Time) error {
	for range 15 {
		*day = at(*day, 0, 0).AddDate(0, 0, 1)
		if err := d.dawn(*day); err != nil {
			return err
		}
		var next time.Time
		err := within(ctx, 20*time.Second, "the server sees the new day", func() (bool, string) {
			var st api.Status
			if err := d.get("/api/v1/status", &st); err != nil {
				return false, err.Error()
			}
			next = st.Market.Next
			return st.Market.Phase == messages.Closed && next.After(at(*day, 5, 55)), fmt.Sprintf("%s until %s", st.Market.Phase, next)
		})
		if err != nil {
			return err
		}
		if at(next, 0, 0).Equal(at(*day, 0, 0)) {
			return nil
		}
	}
	return errors.New("no trading day within two weeks")
}

// until runs the clock fast to a time of the day.
func (d *days) until(ctx context.Context, t time.Time) error {
	if err := d.clock(time.Time{}, d.fast, false); err != nil {
		return err
	}
	if err := within(ctx, 5*time.Minute, "the exchange's clock stands at "+t.Format("15:04"), func() (bool, string) {
		now, err := d.now()
		return err == nil && !now.Before(t), now.Format("15:04:05")
	}); err != nil {
		return err
	}
	return d.clock(time.Time{}, 1, false)
}

// morning: the flush, two reminders, the login.
func (d *days) morning(ctx context.Context, day time.Time, row *Day) error {
	if err := d.until(ctx, at(day, 6, 10)); err != nil {
		return err
	}
	if err := within(ctx, 30*time.Second, "a login is due after the flush", func() (bool, string) {
		var t api.Token
		if err := d.get("/api/v1/token", &t); err != nil {
			return false, err.Error()
		}
		return t.LoginDue, t.State.String()
	}); err != nil {
		return err
	}
	if err := d.until(ctx, at(day, 8, 46)); err != nil {
		return err
	}
	if err := within(ctx, 10*time.Second, "two reminders have come", func() (bool, string) {
		row.Reminders = len(d.box.of(day))
		return row.Reminders >= 2, fmt.Sprint(d.box.of(day))
	}); err != nil {
		row.note("%v", err)
	}
	var receipts []messages.Rotation
	if err := d.get("/api/v1/rotations", &receipts); err != nil {
		return err
	}
	before := messages.Generation(0)
	if len(receipts) > 0 {
		before = receipts[0].Generation
	}
	visited := time.Now()
	if err := d.login(ctx); err != nil {
		return err
	}
	if err := d.live(ctx, 30*time.Second); err != nil {
		return err
	}
	row.LoginMS = float64(time.Since(visited).Microseconds()) / 1000
	// The old socket leads until both have sent the same; before the open they
	// have nothing in common, and it is given up after 2 s.
	return within(ctx, 20*time.Second, "the feed has left the old token", func() (bool, string) {
		// Not by the time of the change: a file's clock stands still for
		// milliseconds, in which a whole login fits.
		var receipts []messages.Rotation
		if err := d.get("/api/v1/rotations", &receipts); err != nil || len(receipts) == 0 {
			return false, fmt.Sprint(err)
		}
		return receipts[0].Generation > before && receipts[0].TotalMS != nil, receipts[0].Result
	})
}

// opening: silence at 09:05, then the burst of the open at real speed.
func (d *days) opening(ctx context.Context, day time.Time, row *Day) error {
	if err := d.until(ctx, at(day, 9, 8)); err != nil {
		return err
	}
	if slots := d.box.of(day); len(slots) != row.Reminders {
		row.note("reminded after the login: %v", slots)
	}
	if err := d.clock(at(day, 9, 15).Add(-2*time.Second), 1, false); err != nil {
		return err
	}
	before, err := d.sample()
	if err != nil {
		return err
	}
	d.opened = before
	if err := wait(ctx, burst); err != nil {
		return err
	}
	after, err := d.sample()
	if err != nil {
		return err
	}
	open := span(before, after, 0)
	row.BurstP99 = open.FanoutP99
	if open.Received == 0 {
		row.note("no tick at the open")
	}
	return nil
}

// trading: faults of every kind, each healed before the next.
func (d *days) trading(ctx context.Context, day time.Time, row *Day) error {
	for _, fault := range []struct {
		h, m   int
		what   string
		inject func() error
	}{
		{10, 30, "a cut socket", func() error { return d.fault(simulator.Fault{Kind: simulator.FaultDrop, Count: 1}) }},
		{11, 30, "a rotation", d.rotate},
		{12, 30, "a panic of the feed", func() error { return d.chaos("feed", "panic") }},
		{13, 15, "a panic of an analysis", func() error { return d.chaos("pcr", "panic") }},
		{14, 0, "a socket that is mute", func() error { return d.fault(simulator.Fault{Kind: simulator.FaultMute, ForMS: 3500}) }},
		{14, 45, "malformed frames", func() error {
			return d.fault(simulator.Fault{Kind: simulator.FaultMalformed, Variant: "truncated", Count: 5})
		}},
	} {
		if err := d.until(ctx, at(day, fault.h, fault.m)); err != nil {
			return err
		}
		if err := fault.inject(); err != nil {
			return fmt.Errorf("%s: %w", fault.what, err)
		}
		took, err := d.recovered(ctx)
		if err != nil {
			return fmt.Errorf("after %s: %w", fault.what, err)
		}
		row.RecoveryMS = max(row.RecoveryMS, took.Seconds()*1000)
	}
	return nil
}

// recovered waits until ticks flow and every actor runs, half a second long,
// and answers when that began.
func (d *days) recovered(ctx context.Context) (time.Duration, error) {
	const settled = 500 * time.Millisecond
	struckAt := time.Now()
	since := struckAt
	err := within(ctx, 30*time.Second, "everything runs again", func() (bool, string) {
		var st api.Status
		err := d.get("/api/v1/status", &st)
		age := st.Feed.LastTickAgeSeconds
		if err == nil && st.Live && st.Actors.Running == st.Actors.Total && age != nil && *age < 0.5 {
			return time.Since(since) >= settled, "runs"
		}
		since = time.Now()
		return false, st.Message + strings.Join(st.Actors.NotRunning, " ")
	})
	return since.Sub(struckAt), err
}

// evening: the close, and what must hold at a day's end.
func (d *days) evening(ctx context.Context, day time.Time, row *Day) error {
	if err := d.until(ctx, at(day, 15, 32)); err != nil {
		return err
	}
	if err := within(ctx, 20*time.Second, "the market is closing", func() (bool, string) {
		var st api.Status
		if err := d.get("/api/v1/status", &st); err != nil {
			return false, err.Error()
		}
		if st.Actors.Quarantined > 0 {
			return false, "quarantined: " + strings.Join(st.Actors.NotRunning, " ")
		}
		return st.Market.Phase == messages.Closing, st.Market.Phase.String()
	}); err != nil {
		return err
	}
	if err := within(ctx, 10*time.Second, "everybody uses the same token", func() (bool, string) {
		var t api.Token
		if err := d.get("/api/v1/token", &t); err != nil {
			return false, err.Error()
		}
		return t.Coherent, fmt.Sprintf("%+v", t.Holders)
	}); err != nil {
		row.note("%v", err)
	}
	return nil
}

// watchMemory keeps the largest resident set.
func (d *days) watchMemory(ctx context.Context) {
	for wait(ctx, 500*time.Millisecond) == nil {
		if v, err := d.server.kernel(); err == nil && v.rss > d.rss.Load() {
			d.rss.Store(v.rss)
		}
	}
}

func (r *DaysReport) total(first, last sample) {
	most, twice := 0.0, int64(0)
	for _, d := range r.Days {
		most = max(most, d.RSS)
		twice += d.Twice
		r.Total.Reminders += d.Reminders
		r.Total.Rotations += d.Rotations
		r.Total.Restarts += d.Restarts
		r.Total.LoginMS = max(r.Total.LoginMS, d.LoginMS)
		r.Total.RotationMS = max(r.Total.RotationMS, d.RotationMS)
		r.Total.RecoveryMS = max(r.Total.RecoveryMS, d.RecoveryMS)
		r.Total.BurstP99 = max(r.Total.BurstP99, d.BurstP99)
	}
	r.Total.Figures = span(first, last, int64(most*mb))
	r.Total.Twice = twice
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
		verdict(t.Restarts == struck*n, "no restart but the injected", "%d, %d injected", t.Restarts, struck*n),
		verdict(t.RecoveryMS <= 5000, "from a fault to a live feed <= 5 s", "%.0f ms at most", t.RecoveryMS),
		verdict(t.RSS <= mostRSS, fmt.Sprintf("RSS <= %.0f MB", mostRSS), "%.0f MB", t.RSS),
		verdict(last.Live <= 1.25*first.Live+2, "heap flat", "%.1f MB live on the first day, %.1f MB on the last", first.Live, last.Live),
		verdict(last.Goroutines <= first.Goroutines+4, "goroutines flat", "%d, %d", first.Goroutines, last.Goroutines),
		verdict(last.FDs <= first.FDs+4, "open files flat", "%d, %d", first.FDs, last.FDs),
		verdict(t.Twice == 0, "0 ticks duplicated", "%d", t.Twice),
	}
}

// box is a webhook that keeps the reminders.
type box struct {
	url    string
	server *http.Server
	ended  chan struct{}
	mu     sync.Mutex
	slots  map[string][]string // by day
}

func openBox() (*box, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for reminders: %w", err)
	}
	b := &box{url: "http://" + l.Addr().String() + "/reminder", ended: make(chan struct{}), slots: map[string][]string{}}
	b.server = &http.Server{Handler: b, ReadHeaderTimeout: 5 * time.Second}
	go func() {
		defer close(b.ended)
		_ = b.server.Serve(l)
	}()
	return b, nil
}

// ServeHTTP takes a reminder.
func (b *box) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var said struct{ Day, Slot string }
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(&said); err != nil {
		http.Error(w, "not a reminder", http.StatusBadRequest)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.slots[said.Day] = append(b.slots[said.Day], said.Slot)
}

// of are the slots of a day, in the order of their arrival.
func (b *box) of(day time.Time) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.slots[day.In(ist.Zone).Format(time.DateOnly)]...)
}

func (b *box) close() {
	_ = b.server.Close()
	<-b.ended
}
