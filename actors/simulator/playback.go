package simulator

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"kitestring/actors/hours"
	"kitestring/messages/ist"
)

// barLength is the length of the bars that can be played.
const barLength = 5 * time.Minute

// playback plays bars: the open, high, low and close of the index each as a
// tick inside its bar, and the same prices with the volume on the near future.
// Time goes from bar to bar; what the files leave out is not waited for.
type playback struct {
	slots   []slot
	next    int // the slot
	phase   int // its tick
	started bool
}

// slot is the bars of one start.
type slot struct {
	start   time.Time
	session *session
	rows    map[string]bar // by underlying
}

// pauses is true of an underlying that is played but has no bar now: nothing
// on it trades.
func (s slot) pauses(u *underlying) bool {
	if u == nil || u.played == 0 {
		return false
	}
	_, ok := s.rows[u.name]
	return !ok
}

type bar struct {
	prices [4]int32 // open, high, low, close, in paise
	volume uint32
}

// phases are the moments of the four ticks. The open brings no volume, so that
// counting from the bar's first tick and counting from the last one before it
// give the same.
var phases = [4]time.Duration{0, 75 * time.Second, 150 * time.Second, 299 * time.Second}

func (b bar) share(phase int) uint32 {
	switch phase {
	case 0:
		return 0
	case 3:
		return b.volume - 2*(b.volume/3)
	default:
		return b.volume / 3
	}
}

func (p *playback) finished() bool { return p.next >= len(p.slots) }

// calendar adds the days of the file, which may be a Sunday's special session.
func (p *playback) calendar(cal *calendar) *calendar {
	days := map[int64]bool{}
	for _, s := range p.slots {
		days[s.session.day] = true
	}
	return newCalendar(cal.hours, func(day time.Time) bool { return days[dayNumber(day)] || cal.trading(day) })
}

// settle lets history before the file join its first prices.
func (p *playback) settle(prices *prices) {
	for _, u := range prices.unders {
		for _, s := range p.slots {
			b, ok := s.rows[u.name]
			if !ok {
				continue
			}
			first := prices.cal.session(p.slots[0].start)
			u.scale = float64(b.prices[0]) / 100 / prices.reference(u, first)
			u.refDay = -1
			u.played = b.prices[0]
			break
		}
	}
}

// walkAgain forgets the playback's prices until the function returned is
// called: for the days before it.
func (p *prices) walkAgain() (restore func()) {
	played := make([]int32, len(p.unders))
	for i, u := range p.unders {
		played[i], u.played = u.played, 0
	}
	return func() {
		for i, u := range p.unders {
			u.played = played[i]
		}
	}
}

// due is the moment of the next tick.
func (p *playback) due() time.Time { return p.slots[p.next].start.Add(phases[p.phase]) }

// Step plays the next tick of every underlying, sets the clock to it, and
// waits until the sockets have taken it; false at the end of the bars. It is
// for driving a playback as fast as its readers go, instead of Run.
func (e *Exchange) Step(ctx context.Context) (bool, error) {
	if e.bars == nil {
		return false, errors.New("there are no bars to step through; give Config.BarsDir")
	}
	e.mu.Lock()
	if e.bars.finished() {
		e.mu.Unlock()
		return false, nil
	}
	e.clock.tick(e.bars.due())
	e.playNext()
	e.mu.Unlock()
	select {
	case <-ctx.Done():
		return false, ctx.Err()
	case <-e.inFlight.landed():
		return true, nil
	}
}

// playNext makes the ticks that are due. Called with mu held.
func (e *Exchange) playNext() {
	at, s, phase := e.bars.due(), e.bars.slots[e.bars.next], e.bars.phase
	if e.bars.phase++; e.bars.phase == len(phases) {
		e.bars.next, e.bars.phase = e.bars.next+1, 0
	}
	e.list(at)
	played := map[*instrument]bool{}
	play := func(token uint32, b bar, volume uint32) {
		in := e.listing.tokens[token]
		if in == nil {
			return
		}
		played[in] = true
		e.settle(in, s.session, at)
		second := s.session.second(at)
		e.trade(in, int(second), b.prices[phase], float64(volume), e.prices.openInterest(in, s.session, second))
		in.asOf = at
		e.emitted(in, volume)
		if t := e.topics[token]; t != nil {
			e.publish(t)
		}
	}
	for _, u := range e.prices.unders {
		b, ok := s.rows[u.name]
		if !ok {
			continue
		}
		u.played = b.prices[phase]
		play(u.index.Token, b, 0)
		play(e.nearFuture(u.name), b, b.share(phase))
	}
	for _, t := range e.hot {
		if played[t.in] || t.in != nil && s.pauses(t.in.under) {
			continue
		}
		e.tickTopic(t, s.session, at)
	}
	e.flush()
}

// runBars plays at the clock's speed.
func (e *Exchange) runBars(ctx context.Context) error {
	e.mu.Lock()
	if !e.bars.started {
		e.bars.started = true
		speed := e.cfg.Speed
		if speed == 0 {
			speed = 1
		}
		e.clock.set(clockSetting{Speed: &speed})
	}
	e.mu.Unlock()
	for {
		e.mu.Lock()
		if e.bars.finished() {
			last := e.bars.slots[len(e.bars.slots)-1].session.close()
			if now := e.clock.Now(); now.Before(last) {
				e.clock.set(clockSetting{Now: &last})
			}
			e.mu.Unlock()
			e.log.Info("simulator played its bars to the end")
			<-ctx.Done()
			return nil
		}
		due := e.bars.due()
		if now := e.clock.Now(); e.bars.phase == 0 && due.Sub(now) > barLength {
			e.clock.set(clockSetting{Now: &due})
		}
		e.mu.Unlock()
		if !e.waitUntil(ctx, due) {
			return nil
		}
		e.mu.Lock()
		e.playNext()
		e.cool(time.Now())
		e.mu.Unlock()
	}
}

// waitUntil waits for a moment of the exchange; false when ctx ended first.
func (e *Exchange) waitUntil(ctx context.Context, due time.Time) bool {
	for {
		now, speed, _, changed := e.clock.status()
		left := due.Sub(now)
		if left <= 0 {
			return true
		}
		var timer <-chan time.Time
		if speed > 0 {
			timer = time.After(time.Duration(float64(left)/speed) + time.Millisecond)
		}
		select {
		case <-ctx.Done():
			return false
		case <-changed:
		case <-timer:
		}
	}
}

// loadBars reads <underlying>_5m.csv of a folder, in-session rows only.
func loadBars(dir string, table *hours.Store) (*playback, error) {
	slots := map[int64]*slot{}
	found := 0
	cal := newCalendar(table, nil) // the days are those of the file
	for _, u := range underlyings() {
		name := filepath.Join(dir, strings.ToLower(u.name)+"_5m.csv")
		file, err := os.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		found++
		err = readBars(file, cal, func(start time.Time, b bar) {
			s := slots[start.Unix()]
			if s == nil {
				s = &slot{start: start, session: cal.session(start), rows: map[string]bar{}}
				slots[start.Unix()] = s
			}
			s.rows[u.name] = b
		})
		file.Close()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	if found == 0 {
		return nil, fmt.Errorf("%s holds no nifty_5m.csv, banknifty_5m.csv or sensex_5m.csv", dir)
	}
	if len(slots) == 0 {
		return nil, fmt.Errorf("%s: no row within a session of the exchange", dir)
	}
	p := &playback{}
	for _, s := range slots {
		p.slots = append(p.slots, *s)
	}
	slices.SortFunc(p.slots, func(a, b slot) int { return a.start.Compare(b.start) })
	for i := range p.slots { // the day before, in the file
		s := p.slots[i].session
		for j := i - 1; j >= 0; j-- {
			if day := p.slots[j].session.day; day < s.day {
				s.prev = day
				break
			}
		}
	}
	return p, nil
}

// readBars reads one file; columns are found by their names.
func readBars(r io.Reader, cal *calendar, take func(start time.Time, b bar)) error {
	in := csv.NewReader(r)
	header, err := in.Read()
	if err != nil {
		return fmt.Errorf("header: %w", err)
	}
	var columns [6]int
	for i, name := range [...]string{"time_ist", "open", "high", "low", "close", "volume"} {
		if columns[i] = slices.Index(header, name); columns[i] < 0 {
			return fmt.Errorf("column %q is missing; the columns are time_ist, open, high, low, close, volume", name)
		}
	}
	var last time.Time
	for {
		row, err := in.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		line, _ := in.FieldPos(0)
		start, b, err := parseBar(row, columns)
		if err != nil {
			return fmt.Errorf("line %d: %w", line, err)
		}
		if !start.After(last) {
			return fmt.Errorf("line %d: %s does not come after the row before", line, row[columns[0]])
		}
		last = start
		if s := cal.session(start); s.running(start) && s.running(start.Add(barLength-time.Second)) {
			take(start, b)
		}
	}
}

func parseBar(row []string, columns [6]int) (time.Time, bar, error) {
	var b bar
	start, err := time.ParseInLocation(ist.Layout, row[columns[0]], ist.Zone)
	if err != nil {
		return start, b, err
	}
	for i := range b.prices {
		if b.prices[i], err = paise(row[columns[i+1]]); err != nil {
			return start, b, err
		}
	}
	volume, err := strconv.ParseFloat(row[columns[5]], 64)
	if err != nil || volume < 0 || volume > math.MaxUint32 {
		return start, b, fmt.Errorf("volume %q is no quantity", row[columns[5]])
	}
	b.volume = uint32(volume)
	open, high, low, last := b.prices[0], b.prices[1], b.prices[2], b.prices[3]
	if high < max(open, last) || low > min(open, last) {
		return start, b, errors.New("the high or the low does not hold the open and the close")
	}
	return start, b, nil
}

func paise(text string) (int32, error) {
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, err
	}
	p := math.Round(v * 100)
	if math.Abs(v*100-p) > 1e-4 || p <= 0 || p > math.MaxInt32 {
		return 0, fmt.Errorf("price %q is no positive number of paise", text)
	}
	return int32(p), nil
}
