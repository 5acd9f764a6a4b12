package rehearse

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"syscall"
	"time"
)

// PairOptions are those of SoakPair.
type PairOptions struct {
	SoakOptions
	Instruments int // that each program streams, in full mode
	Rate        int // ticks a second of the exchange
	Programs    int // behind the edge
}

// PairSpan is a row of SoakPair.
type PairSpan struct {
	Minute     int        `json:"minute"` // from 1; 0: all
	Seconds    float64    `json:"seconds"`
	Ticks      int64      `json:"ticks"` // to all programs together
	Lost       int64      `json:"ticks_lost"`
	Repeated   int64      `json:"ticks_duplicated"`
	Kills      int        `json:"kills"`
	Pauses     int        `json:"pauses"`
	Partitions int        `json:"partitions"`
	Rotations  int        `json:"rotations"`
	QuietMS    float64    `json:"quiet_ms"` // longest silence of a program while nothing was wrong: the exchange ticks one instrument after the other, the servers' own in a row
	KillMS     float64    `json:"kill_ms"`  // at a kill
	FaultMS    float64    `json:"fault_ms"` // at a pause or a partition, which has to be found out
	Sockets    int        `json:"sockets"`  // most at the exchange at once, since its start
	Refused    int64      `json:"refused"`  // sockets beyond three that were asked for
	RSS        [3]float64 `json:"rss_mb"`   // of both servers and of the edge
	Goroutines [3]int     `json:"goroutines"`
	EdgeCPU    float64    `json:"edge_cpu_percent"` // of one core
}

// PairReport is what SoakPair found.
type PairReport struct {
	Spans    []PairSpan `json:"spans"`
	Total    PairSpan   `json:"total"`
	Seed     uint64     `json:"seed"`
	Verdicts []Verdict  `json:"verdicts"`
	Machine  Machine    `json:"machine"`
}

// rotateEvery is how often both servers get a new token.
const rotateEvery = 2 * time.Minute

// SoakPair runs two servers on one exchange and an edge before them, and hurts
// one of the servers at a time: it is killed, stands still, or is cut off from
// Kite or from the edge. Both get a new token while both are well.
func SoakPair(ctx context.Context, o PairOptions) (report PairReport, err error) {
	err = runSoak(ctx, o.SoakOptions, func(s *soak) {
		report.Seed = cmp.Or(o.Seed, rand.Uint64())
		p := &pairSoak{soak: s, random: rand.New(rand.NewPCG(report.Seed, 0))}
		p.open(o)
		most := [3]float64{}
		first, machineBefore, ownBefore := time.Now(), machineCPU(), p.ownCPU()
		rotated := first
		for n := 1; time.Since(first) < o.For; n++ {
			at := p.begin()
			for time.Since(at) < min(time.Minute, o.For) {
				if time.Since(rotated) >= min(rotateEvery, o.For/2) {
					rotated = time.Now()
					p.now.Rotations++
					p.rotatedBoth()
					continue
				}
				p.hurt()
			}
			p.end(n)
			report.Spans = append(report.Spans, p.now)
			report.Total.add(p.now)
			if o.Row != nil {
				o.Row(p.now)
			}
			for i := range most {
				most[i] = max(most[i], p.now.RSS[i])
			}
		}
		report.Total.RSS = most
		_, _, _, closed := p.missed()
		report.Verdicts = judgePair(report, closed)
		other := machineCPU() - machineBefore - (p.ownCPU() - ownBefore)
		report.Machine = machine(max(0, 100*other.Seconds()/time.Since(first).Seconds()))
	})
	return report, err
}

type pairSoak struct {
	*soak
	*pair
	random *rand.Rand
	now    PairSpan
	from   struct {
		at                    time.Time
		ticks, lost, repeated int64
		edge                  time.Duration // CPU
	}
}

// ownCPU is what this process and all that it has started took.
func (p *pairSoak) ownCPU() (sum time.Duration) {
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} { // the children that have ended
		var used syscall.Rusage
		check(syscall.Getrusage(who, &used))
		sum += time.Duration(used.Utime.Nano() + used.Stime.Nano())
	}
	for _, r := range []*process{p.soak.exchange, p.servers[0].process, p.servers[1].process, p.edge.process} {
		sum += r.kernel().cpu
	}
	return sum
}

func (p *pairSoak) open(o PairOptions) {
	p.openSim(nil, "--instruments", strconv.Itoa(o.Instruments), "--rate", strconv.Itoa(o.Rate))
	var watched []uint32
	for _, w := range p.soak.extraShares(o.Instruments) {
		watched = append(watched, w.InstrumentToken)
	}
	p.pair = p.soak.openPair(p.soak.rotate(), nil, watched, o.Programs)
}

func (p *pairSoak) begin() time.Time {
	p.now = PairSpan{}
	f := &p.from
	f.at, f.edge = time.Now(), p.edge.process.kernel().cpu
	f.ticks, f.lost, f.repeated, _ = p.missed()
	return f.at
}

func (p *pairSoak) end(minute int) {
	n := &p.now
	n.Minute, n.Seconds = minute, time.Since(p.from.at).Seconds()
	ticks, lost, repeated, _ := p.missed()
	n.Ticks, n.Lost, n.Repeated = ticks-p.from.ticks, lost-p.from.lost, repeated-p.from.repeated
	p.pair.within(time.Minute, "the figures of a row", func() (bool, any) { // a busy machine may not answer one request in time
		upgrades := p.pair.exchange().Upgrades
		n.Sockets, n.Refused = upgrades.Most, upgrades.Refused["too_many"]
		for i, r := range []*Rig{p.servers[0], p.servers[1], p.edge} {
			n.RSS[i] = float64(r.process.kernel().rss) / mb
			goroutines, _ := r.metrics().sum("go_goroutines")
			n.Goroutines[i] = int(goroutines)
		}
		return true, nil
	})
	n.EdgeCPU = 100 * (p.edge.process.kernel().cpu - p.from.edge).Seconds() / n.Seconds
}

// add adds a row to the sum of those before it.
func (t *PairSpan) add(s PairSpan) {
	t.EdgeCPU = (t.EdgeCPU*t.Seconds + s.EdgeCPU*s.Seconds) / (t.Seconds + s.Seconds)
	t.Seconds += s.Seconds
	t.Ticks, t.Lost, t.Repeated = t.Ticks+s.Ticks, t.Lost+s.Lost, t.Repeated+s.Repeated
	t.Kills, t.Pauses, t.Partitions, t.Rotations = t.Kills+s.Kills, t.Pauses+s.Pauses, t.Partitions+s.Partitions, t.Rotations+s.Rotations
	t.QuietMS, t.KillMS, t.FaultMS = max(t.QuietMS, s.QuietMS), max(t.KillMS, s.KillMS), max(t.FaultMS, s.FaultMS)
	t.Sockets, t.Refused, t.Goroutines = s.Sockets, s.Refused, s.Goroutines
}

// hurt does one thing to one server and waits until both are well again.
func (p *pairSoak) hurt() {
	victim := p.random.IntN(2)
	some := time.Second + time.Duration(p.random.Int64N(int64(5*time.Second)))
	p.now.QuietMS = max(p.now.QuietMS, 1000*p.silent(2*time.Second).Seconds())
	switch p.random.IntN(4) {
	case 0:
		p.now.Kills++
		p.killed(victim)
		p.now.KillMS = max(p.now.KillMS, 1000*p.silent(time.Second).Seconds())
		p.restarted(victim)
	case 1:
		p.now.Pauses++
		p.signal(victim, syscall.SIGSTOP)
		p.now.FaultMS = max(p.now.FaultMS, 1000*p.silent(some).Seconds())
		p.signal(victim, syscall.SIGCONT)
	case 2:
		p.now.Partitions++
		l := p.toServer[victim]
		l.cut(p.random.IntN(2) == 0)
		p.now.FaultMS = max(p.now.FaultMS, 1000*p.silent(some).Seconds())
		l.mend()
	case 3:
		p.now.Partitions++
		l := p.toKite[victim]
		l.cut(p.random.IntN(2) == 0)
		p.now.FaultMS = max(p.now.FaultMS, 1000*p.silent(some).Seconds())
		l.mend()
	}
	p.whole()
}

func judgePair(r PairReport, closed int) []Verdict {
	t := r.Total
	// In the first third buffers and pools grow to what bursts want of them.
	third := len(r.Spans) / 3
	verdicts := []Verdict{
		verdict(t.Lost == 0, "0 ticks lost", "%d of %d", t.Lost, t.Ticks),
		verdict(t.Repeated == 0, "0 ticks repeated", "%d", t.Repeated),
		verdict(closed == 0, "no program is closed", "%d", closed),
		verdict(t.Sockets <= 3 && t.Refused == 0, "never a fourth socket", "%d at most, %d refused", t.Sockets, t.Refused),
		verdict(t.KillMS <= t.QuietMS+50, "a kill adds <= 50 ms of silence", "%.0f ms, %.0f ms when nothing is wrong, %d kills", t.KillMS, t.QuietMS, t.Kills),
		verdict(t.FaultMS <= 3000, "silent <= 3 s where it must be found out", "%.0f ms, %d pauses, %d partitions", t.FaultMS, t.Pauses, t.Partitions),
	}
	for i, name := range []string{"the first server", "the second server", "the edge"} {
		warm, late, goroutines, lateGoroutines := 0.0, 0.0, 0, 0
		for n, s := range r.Spans {
			if n <= third {
				warm, goroutines = max(warm, s.RSS[i]), max(goroutines, s.Goroutines[i])
			}
			if n >= len(r.Spans)-1-third {
				late, lateGoroutines = max(late, s.RSS[i]), max(lateGoroutines, s.Goroutines[i])
			}
		}
		verdicts = append(verdicts,
			verdict(late <= 1.25*warm+8, "memory flat: "+name, "%.0f MB at most in the first third, %.0f MB in the last", warm, late),
			verdict(lateGoroutines <= goroutines+8, "goroutines flat: "+name, "%d at most in the first third, %d in the last", goroutines, lateGoroutines))
	}
	return verdicts
}

// PairHeader is the head of SoakPair's table: the servers and the edge in this
// order, memory in MB, silence in ms.
var PairHeader = header(pairColumns)

var pairColumns = []column[PairSpan]{
	{"minute", func(s PairSpan) string { return orTotal(s.Minute != 0, strconv.Itoa(s.Minute)) }},
	{"      ticks", func(s PairSpan) string { return strconv.FormatInt(s.Ticks, 10) }},
	{"lost", func(s PairSpan) string { return strconv.FormatInt(s.Lost, 10) }},
	{"repeated", func(s PairSpan) string { return strconv.FormatInt(s.Repeated, 10) }},
	{"kills", func(s PairSpan) string { return strconv.Itoa(s.Kills) }},
	{"pauses", func(s PairSpan) string { return strconv.Itoa(s.Pauses) }},
	{"cuts", func(s PairSpan) string { return strconv.Itoa(s.Partitions) }},
	{"rotations", func(s PairSpan) string { return strconv.Itoa(s.Rotations) }},
	{"silent: well", func(s PairSpan) string { return fmt.Sprintf("%.0f", s.QuietMS) }},
	{"at a kill", func(s PairSpan) string { return fmt.Sprintf("%.0f", s.KillMS) }},
	{"else", func(s PairSpan) string { return fmt.Sprintf("%.0f", s.FaultMS) }},
	{"sockets", func(s PairSpan) string { return strconv.Itoa(s.Sockets) }},
	{"refused", func(s PairSpan) string { return strconv.FormatInt(s.Refused, 10) }},
	{"        rss", func(s PairSpan) string { return fmt.Sprintf("%.0f %.0f %.0f", s.RSS[0], s.RSS[1], s.RSS[2]) }},
	{" goroutines", func(s PairSpan) string {
		return fmt.Sprintf("%d %d %d", s.Goroutines[0], s.Goroutines[1], s.Goroutines[2])
	}},
	{"edge cpu%", func(s PairSpan) string { return fmt.Sprintf("%.1f", s.EdgeCPU) }},
}

// String is the row of PairHeader.
func (s PairSpan) String() string {
	return row(pairColumns, func(c column[PairSpan]) string { return c.cell(s) })
}
