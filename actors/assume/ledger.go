package assume

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kitestring/actors"
	"kitestring/messages"
)

// Ledger counts what is seen for and against each row. Made once by the tree.
// Safe for concurrent use.
type Ledger struct {
	clock actors.Clock
	first func(Row) // called once a row, at its first contradiction
	rows  []*row
	by    map[messages.Assumption]*row
}

type row struct {
	Row
	seen, contradicted atomic.Uint64
	once               sync.Once
	at                 atomic.Pointer[time.Time]
}

// NewLedger makes one without counts. clock is the exchange's; first is called
// at the first contradiction of each row.
func NewLedger(clock actors.Clock, first func(Row)) *Ledger {
	l := &Ledger{clock: clock, first: first, by: map[messages.Assumption]*row{}}
	for _, r := range Table {
		one := &row{Row: r}
		l.rows = append(l.rows, one)
		l.by[r.Name] = one
	}
	return l
}

// Note counts that a fact held n times, or did not. What is not in the table is
// a mistake of the program, and counts nothing.
func (l *Ledger) Note(name messages.Assumption, held bool, n uint64) {
	r := l.by[name]
	if r == nil || n == 0 {
		return
	}
	if held {
		r.seen.Add(n)
		return
	}
	r.once.Do(func() {
		at := l.clock.Now().UTC()
		r.at.Store(&at)
		defer l.first(r.Row)
	})
	r.contradicted.Add(n)
}

// Status is every row as it stands.
func (l *Ledger) Status() []messages.AssumptionStatus {
	list := make([]messages.AssumptionStatus, len(l.rows))
	for i, r := range l.rows {
		list[i] = messages.AssumptionStatus{
			Name: r.Name, Claim: r.Claim, Source: r.Source, Verdict: r.verdict(), Seen: r.seen.Load(), Contradicted: r.contradicted.Load(),
			FirstContradictedAt: r.at.Load(), Fallback: r.Fallback,
		}
	}
	return list
}

func (r *row) verdict() messages.AssumptionVerdict {
	switch {
	case r.contradicted.Load() > 0:
		return messages.AssumptionContradicted
	case r.seen.Load() > 0:
		return messages.AssumptionSeen
	}
	return messages.AssumptionOpen
}

var desc = prometheus.NewDesc("kitestring_assumption", "1, with what was found of an assumption about Kite as the label verdict.", []string{"name", "verdict"}, nil)

// Describe implements prometheus.Collector.
func (l *Ledger) Describe(out chan<- *prometheus.Desc) { out <- desc }

// Collect implements prometheus.Collector: a series a row, of its verdict.
func (l *Ledger) Collect(out chan<- prometheus.Metric) {
	for _, r := range l.rows {
		out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, 1, string(r.Name), string(r.verdict()))
	}
}
