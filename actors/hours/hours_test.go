package hours

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"kitestring/messages/ist"
)

// at reads a time in IST.
func at(t testing.TB, text string) time.Time {
	t.Helper()
	v, err := time.ParseInLocation(ist.Layout, text, ist.Zone)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// spansOf spells the sessions of a day.
func spansOf(d Day) string {
	var list []string
	for _, s := range d.Spans {
		list = append(list, s.From.In(ist.Zone).Format("15:04")+"-"+s.To.In(ist.Zone).Format("15:04"))
	}
	return strings.Join(list, " ")
}

func TestSessionsOfADay(t *testing.T) {
	for _, c := range []struct {
		day     string
		segment Segment
		want    string
	}{
		{"2026-07-31", NSE, "09:15-15:30"},
		{"2026-07-31", NFO, "09:15-15:30"},
		{"2026-07-31", Market, "09:15-15:30"},
		{"2026-08-03", NSE, "09:15-15:35"},
		{"2026-08-03", BSE, "09:15-15:35"},
		{"2026-08-03", Indices, "09:15-15:35"},
		{"2026-08-03", NFO, "09:15-15:40"},
		{"2026-08-03", BFO, "09:15-15:40"},
		{"2026-08-03", Market, "09:15-15:40"},
		{"2026-08-03", CDS, "09:00-17:00"},
		{"2026-08-03", MCX, "09:00-23:30"},
		{"2026-11-02", MCX, "09:00-23:55"},
		{"2026-02-01", NFO, "09:15-15:30"},    // Sunday of the budget
		{"2026-02-08", NFO, ""},               // another Sunday
		{"2026-11-08", Market, "18:00-19:00"}, // Muhurat, a Sunday
		{"2025-10-21", NFO, "13:45-14:45"},
		{"2026-11-24", NFO, ""},            // Guru Nanak Jayanti
		{"2026-11-24", MCX, "17:00-23:55"}, // in the evening
		{"2026-12-25", MCX, ""},
		{"2019-05-06", NFO, "09:15-15:30"},
		{"1999-05-06", NFO, "09:15-15:30"},
		{"2026-12-01", Segment(200), "09:15-15:35"}, // unknown: as cash
	} {
		noon := at(t, c.day+" 12:00:00")
		// The host's zone must not matter.
		for _, zone := range []*time.Location{ist.Zone, time.UTC, time.FixedZone("Kiritimati", 14*3600)} {
			if got := spansOf(BuiltIn().Day(noon.In(zone), c.segment)); got != c.want {
				t.Errorf("%s, segment %d, in %v: %q, want %q", c.day, c.segment, zone, got, c.want)
			}
		}
	}
}

func TestQuestions(t *testing.T) {
	table, err := parse(strings.NewReader("2026-12-05 open 09:15-10:00 DR first\n2026-12-05 open 11:30-12:30 DR second\n"), BuiltIn().regular)
	if err != nil {
		t.Fatal(err)
	}
	if d := table.Day(at(t, "2026-12-05 00:00:00"), NFO); spansOf(d) != "09:15-10:00 11:30-12:30" || d.Name != "DR first, DR second" {
		t.Errorf("a Saturday with two sessions: %q %q", spansOf(d), d.Name)
	}
	for _, c := range []struct {
		at, next, last string
		open, expected bool
	}{
		{"2026-12-05 08:00:00", "2026-12-05 09:15:00", "2026-12-04 15:40:00", false, false},
		{"2026-12-05 09:00:00", "2026-12-05 09:15:00", "2026-12-04 15:40:00", false, true},
		{"2026-12-05 09:15:00", "2026-12-05 11:30:00", "2026-12-04 15:40:00", true, true},
		{"2026-12-05 10:00:00", "2026-12-05 11:30:00", "2026-12-05 10:00:00", false, true},
		{"2026-12-05 11:30:00", "2026-12-07 09:15:00", "2026-12-05 10:00:00", true, true},
		{"2026-12-05 12:30:00", "2026-12-07 09:15:00", "2026-12-05 12:30:00", false, true},
		{"2026-12-06 12:30:00", "2026-12-07 09:15:00", "2026-12-05 12:30:00", false, false},
		{"2026-12-07 15:39:59", "2026-12-08 09:15:00", "2026-12-05 12:30:00", true, true},
		{"2026-12-07 17:00:00", "2026-12-08 09:15:00", "2026-12-07 15:40:00", false, false},
	} {
		now := at(t, c.at)
		if got := table.Next(now, NFO); !got.Equal(at(t, c.next)) {
			t.Errorf("%s: next opening %v, want %s", c.at, got, c.next)
		}
		if got := table.LastClose(now, NFO); !got.Equal(at(t, c.last)) {
			t.Errorf("%s: last close %v, want %s", c.at, got, c.last)
		}
		if table.IsOpen(now, NFO) != c.open || table.Expects(now, NFO) != c.expected {
			t.Errorf("%s: open %v, expected %v", c.at, table.IsOpen(now, NFO), table.Expects(now, NFO))
		}
	}
	if got := table.Previous(at(t, "2026-12-07 10:00:00"), NFO); !got.Equal(at(t, "2026-12-05 00:00:00")) {
		t.Errorf("previous trading day: %v", got)
	}
	if got := table.Following(at(t, "2026-12-05 10:00:00"), NFO); !got.Equal(at(t, "2026-12-07 00:00:00")) {
		t.Errorf("following trading day: %v", got)
	}
	if d := BuiltIn().Day(at(t, "2026-12-01 10:00:00"), NFO); !d.Open().Equal(at(t, "2026-12-01 09:15:00")) || !d.Close().Equal(at(t, "2026-12-01 15:40:00")) {
		t.Errorf("the day is over at %v", d.Close())
	}
	if d := BuiltIn().Day(at(t, "2026-08-03 10:00:00"), Indices); !d.Auction.Equal(at(t, "2026-08-03 15:15:00")) {
		t.Errorf("the closing auction begins at %v", d.Auction)
	}
	if d := BuiltIn().Day(at(t, "2026-07-31 10:00:00"), Indices); !d.Auction.IsZero() {
		t.Errorf("a closing auction at %v, before there were any", d.Auction)
	}
	if d := (Day{}); d.Trading() || !d.Open().IsZero() || !d.Close().IsZero() {
		t.Error("a day without a session has hours")
	}
}

func TestSlots(t *testing.T) {
	saturday, err := parse(strings.NewReader("2026-12-05 open 09:15-10:05 11:30-12:30 DR\n2026-12-12 open 09:15-10:05 10:08-10:12"), BuiltIn().regular)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		table       *Table
		day         string
		interval    time.Duration
		count       int
		first, last string
	}{
		{BuiltIn(), "2026-07-31", time.Minute, 375, "09:15", "15:29"},
		{BuiltIn(), "2026-08-03", time.Minute, 385, "09:15", "15:39"},
		{BuiltIn(), "2026-08-03", 5 * time.Minute, 77, "09:15", "15:35"},
		{BuiltIn(), "2026-08-03", 15 * time.Minute, 26, "09:15", "15:30"},
		{BuiltIn(), "2026-08-02", 15 * time.Minute, 0, "", ""},
		{saturday, "2026-12-05", 15 * time.Minute, 8, "09:15", "12:15"},
		{saturday, "2026-12-12", 15 * time.Minute, 4, "09:15", "10:00"}, // one slot for both sessions
	} {
		slots := c.table.Slots(at(t, c.day+" 00:00:00"), NFO, c.interval)
		if len(slots) != c.count {
			t.Errorf("%s, %v: %d slots, want %d: %v", c.day, c.interval, len(slots), c.count, slots)
			continue
		}
		if c.count > 0 && (slots[0].Format("15:04") != c.first || slots[c.count-1].Format("15:04") != c.last) {
			t.Errorf("%s, %v: from %v to %v", c.day, c.interval, slots[0], slots[c.count-1])
		}
	}
}

// A holiday that falls on a weekend, or a special session at regular hours on
// a weekday, would be a typing error in the table.
func TestBuiltInTable(t *testing.T) {
	closed := map[int]int{}
	for on, day := range BuiltIn().special {
		weekend := on.date.Weekday() == time.Saturday || on.date.Weekday() == time.Sunday
		if !day.open {
			if on.segment == NFO {
				closed[on.date.Year()]++
			}
			if weekend {
				t.Errorf("%v is a weekend", on)
			}
		}
		if day.open && !weekend && day.regular {
			t.Errorf("%v is open anyway", on)
		}
		if day.name == "" {
			t.Errorf("%v has no name", on)
		}
	}
	// 2025: 14 announced, one of them with Muhurat trading; 2026: 15 and the
	// elections of January.
	if closed[2025] != 13 || closed[2026] != 16 {
		t.Errorf("holidays on weekdays: %v", closed)
	}
	for name, segment := range segments {
		if len(BuiltIn().regular[segment]) == 0 {
			t.Errorf("no regular hours of %s", name)
		}
	}
	if !BuiltIn().Covers(at(t, "2026-05-01 00:00:00")) || BuiltIn().Covers(at(t, "2027-05-01 00:00:00")) {
		t.Error("the years that the table speaks of")
	}
}

func TestBadTables(t *testing.T) {
	for text, want := range map[string]string{
		"":                                     "no day",
		"# only a comment\n":                   "no day",
		"2026-13-01 closed X":                  "line 1",
		"26/01/2026 closed X":                  "line 1",
		"\n\n2026-01-26 shut X":                "line 3",
		"2026-01-26":                           "line 1",
		"2026-01-26 open 9:xx-10:00 X":         "line 1",
		"2026-01-26 open 10:00-09:00 X":        "line 1",
		"2026-01-26 open 10:00 X":              "line 1",
		"2026-01-26 closed X\n2026-01-26 open": "line 2",
		"2026-01-26 open 09:15-10:00\n2026-01-26 open 09:50-11:00":         "line 2: 2026-01-26: two sessions",
		"2026-01-26 open 09:15-10:00 10:00-11:00":                          "two sessions",
		"2026-01-26 NFO,XYZ open":                                          "\"XYZ\" is not an exchange segment",
		"from 2026-08-03 NSE 09:15-15:35 auction late":                     "\"late\" is not a time",
		"from 2026-08-03 NSE auction 15:15":                                "is not a",
		"from 2026-08-03 NFO":                                              "line 1",
		"from 2026-08-03 NFO 09:15-15:40 late":                             "\"late\" is not a span",
		"from 2026-08-03 NFO 09:15-15:40\nfrom 2026-08-02 NFO 09:15-15:30": "line 2: the hours of a segment stand oldest first",
		strings.Repeat("x", 1<<17):                                         "too long",
	} {
		if _, err := parse(strings.NewReader(text), nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v, want %q", text, err, want)
		}
	}
	if _, err := Load(filepath.Join(t.TempDir(), "absent")); err == nil {
		t.Error("an absent file was read")
	}
}

func TestAReplacement(t *testing.T) {
	path := filepath.Join(t.TempDir(), "holidays")
	text := "2026-03-04 closed Holi # moved\n2026-03-07 open Drill\n2026-03-08 NFO,BFO open 18:00-19:30 Derivatives\nfrom 2027-01-01 NFO 09:00-16:00\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	table, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	var store *Store
	if store.Table() != BuiltIn() {
		t.Error("a store without a table holds the built-in one")
	}
	store = &Store{}
	store.Set(table)
	for _, c := range []struct {
		day     string
		segment Segment
		want    string
	}{
		{"2026-03-04", NFO, ""},
		{"2026-03-03", NFO, "09:15-15:30"}, // the built-in holiday is gone
		{"2026-03-07", NSE, "09:15-15:30"},
		{"2026-03-08", NFO, "18:00-19:30"},
		{"2026-03-08", NSE, ""},
		{"2026-03-08", Market, "18:00-19:30"},
		{"2026-12-01", NFO, "09:15-15:40"}, // the built-in hours until others begin
		{"2027-01-01", NFO, "09:00-16:00"},
		{"2027-01-01", BFO, "09:15-15:40"},
	} {
		if got := spansOf(store.Table().Day(at(t, c.day+" 12:00:00"), c.segment)); got != c.want {
			t.Errorf("%s, segment %d: %q, want %q", c.day, c.segment, got, c.want)
		}
	}
}

// The answers agree with each other at every moment.
func TestAnswersAgree(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		now := at(t, "2025-01-01 00:00:00").Add(time.Duration(rapid.IntRange(0, 2*365*24*3600).Draw(rt, "second")) * time.Second)
		s := rapid.SampledFrom([]Segment{Market, NSE, NFO, MCX}).Draw(rt, "segment")
		table := BuiltIn()
		next, last := table.Next(now, s), table.LastClose(now, s)
		if !next.After(now) || !table.IsOpen(next, s) || last.After(now) || table.IsOpen(last, s) {
			rt.Fatalf("at %v: next %v, last close %v", now, next, last)
		}
		between := now.Add(time.Duration(rapid.Int64Range(0, int64(next.Sub(now))-1).Draw(rt, "between")))
		if table.IsOpen(between, s) && !table.IsOpen(now, s) {
			rt.Fatalf("open at %v, before the next opening %v after %v", between, next, now)
		}
		if table.IsOpen(now, s) && !table.Expects(now, s) {
			rt.Fatalf("a tick in a session is not expected at %v", now)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add(builtIn)
	f.Add("2026-01-26 open 09:15-10:00 X\nfrom 2027-01-01 NFO 09:00-16:00 17:00-18:00\n")
	f.Fuzz(func(t *testing.T, text string) {
		table, err := parse(strings.NewReader(text), BuiltIn().regular)
		if err != nil {
			return
		}
		for on := range table.special {
			spans := table.Day(on.date, on.segment).Spans
			for i, s := range spans {
				if !s.From.Before(s.To) || i > 0 && !spans[i-1].To.Before(s.From) {
					t.Fatalf("sessions that cannot be: %v", spans)
				}
			}
		}
	})
}
