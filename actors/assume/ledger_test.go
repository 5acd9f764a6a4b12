package assume

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"kitestring/messages"
)

type fixed time.Time

func (f fixed) Now() time.Time { return time.Time(f) }

func TestTheFirstContradictionStands(t *testing.T) {
	var first []messages.Assumption
	at := time.Date(2026, 3, 11, 3, 45, 0, 0, time.UTC)
	l := NewLedger(fixed(at), func(r Row) { first = append(first, r.Name) })
	l.Note(messages.Heartbeat, true, 5)
	l.Note("of another program", false, 1)
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() { l.Note(messages.Heartbeat, false, 1) })
	}
	all.Wait()
	l.Note(messages.Heartbeat, true, 1)
	l.Note(messages.SameToken, true, 0)
	for _, r := range l.Status() {
		want := messages.AssumptionOpen
		if r.Name == messages.Heartbeat {
			want = messages.AssumptionContradicted
			if r.Seen != 6 || r.Contradicted != 10 || r.FirstContradictedAt == nil || !r.FirstContradictedAt.Equal(at) {
				t.Errorf("%+v", r)
			}
		}
		if r.Verdict != want {
			t.Errorf("%s is %s, want %s", r.Name, r.Verdict, want)
		}
	}
	if len(first) != 1 || first[0] != messages.Heartbeat {
		t.Errorf("said at first: %v", first)
	}
	if n := testutil.CollectAndCount(l); n != len(Table) {
		t.Errorf("%d series, want %d", n, len(Table))
	}
}

func TestNamesAreDistinct(t *testing.T) {
	seen := map[messages.Assumption]bool{}
	for _, r := range Table {
		if seen[r.Name] || strings.Contains(r.Claim+r.Source+r.Fallback, "|") {
			t.Errorf("%s", r.Name)
		}
		seen[r.Name] = true
	}
}
