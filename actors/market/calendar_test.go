package market

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"kitestring/messages"
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

func TestPhases(t *testing.T) {
	const nextMorning = "2026-03-05 09:00:00"
	for _, c := range []struct {
		at    string
		phase messages.Phase
		next  string
	}{
		{"2026-03-04 00:00:00", messages.Closed, "2026-03-04 09:00:00"},
		{"2026-03-04 08:59:59", messages.Closed, "2026-03-04 09:00:00"},
		{"2026-03-04 09:00:00", messages.PreOpen, "2026-03-04 09:08:00"},
		{"2026-03-04 09:07:59", messages.PreOpen, "2026-03-04 09:08:00"},
		{"2026-03-04 09:08:00", messages.Matching, "2026-03-04 09:15:00"},
		{"2026-03-04 09:15:00", messages.Open, "2026-03-04 15:30:00"},
		{"2026-03-04 15:29:59", messages.Open, "2026-03-04 15:30:00"},
		{"2026-03-04 15:30:00", messages.Closing, "2026-03-04 16:00:00"},
		{"2026-03-04 16:00:00", messages.Closed, nextMorning},
		{"2026-03-04 23:59:59", messages.Closed, nextMorning},
		{"2026-03-03 11:00:00", messages.Closed, "2026-03-04 09:00:00"},  // Holi
		{"2026-03-06 16:00:00", messages.Closed, "2026-03-09 09:00:00"},  // Friday evening
		{"2026-04-02 17:00:00", messages.Closed, "2026-04-06 09:00:00"},  // Good Friday and a weekend
		{"2026-02-01 10:00:00", messages.Open, "2026-02-01 15:30:00"},    // Sunday of the budget
		{"2025-10-21 10:00:00", messages.Closed, "2025-10-21 13:30:00"},  // before Muhurat trading
		{"2025-10-21 13:30:00", messages.PreOpen, "2025-10-21 13:38:00"}, //
		{"2025-10-21 14:00:00", messages.Open, "2025-10-21 14:45:00"},    //
		{"2025-10-21 14:45:00", messages.Closing, "2025-10-21 15:15:00"}, //
		{"2025-10-21 15:15:00", messages.Closed, "2025-10-23 09:00:00"},  // the 22nd is closed
		{"2026-12-31 16:00:00", messages.Closed, "2027-01-01 09:00:00"},  // a year that the table does not know
		{"2028-02-29 12:00:00", messages.Open, "2028-02-29 15:30:00"},    //
		{"2026-11-23 14:00:00", messages.Open, "2026-11-23 15:30:00"},    //
		{"2026-11-23 16:00:00", messages.Closed, "2026-11-25 09:00:00"},  // Guru Nanak Jayanti
		{"2026-01-24 12:00:00", messages.Closed, "2026-01-27 09:00:00"},  // weekend and Republic Day
	} {
		// The host's zone must not matter.
		for _, zone := range []*time.Location{ist.Zone, time.UTC, time.FixedZone("New York", -5*3600), time.FixedZone("Kiritimati", 14*3600)} {
			phase, next := BuiltIn().Phase(at(t, c.at).In(zone))
			if phase != c.phase || !next.Equal(at(t, c.next)) {
				t.Errorf("%s in %v: %v until %v, want %v until %s", c.at, zone, phase, next.In(ist.Zone), c.phase, c.next)
			}
		}
	}
}

// A holiday that falls on a weekend, or a special session on a regular day,
// would be a typing error in the table.
func TestBuiltInTable(t *testing.T) {
	closed := map[int]int{}
	for date, day := range BuiltIn().days {
		weekend := date.Weekday() == time.Saturday || date.Weekday() == time.Sunday
		if !day.Trading {
			closed[date.Year()]++
			if weekend {
				t.Errorf("%v is a weekend", date)
			}
		}
		if day.Trading && !weekend && day.Open.Equal(regular(date).Open) {
			t.Errorf("%v is open anyway", date)
		}
		if day.Name == "" {
			t.Errorf("%v has no name", date)
		}
	}
	// 2025: 14 announced, one of them with Muhurat trading; 2026: 15 and the
	// elections of January.
	if closed[2025] != 13 || closed[2026] != 16 {
		t.Errorf("holidays on weekdays: %v", closed)
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
		strings.Repeat("x", 1<<17):             "too long",
	} {
		if _, err := parse(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %q", text, err, want)
		}
	}
	if _, err := Load(filepath.Join(t.TempDir(), "absent")); err == nil {
		t.Error("an absent file was read")
	}
	path := filepath.Join(t.TempDir(), "holidays")
	if err := os.WriteFile(path, []byte("2026-03-04 closed Holi # moved\n2026-03-07 open Drill"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(path)
	if err != nil || c.Day(at(t, "2026-03-04 12:00:00")).Name != "Holi" || !c.Day(at(t, "2026-03-07 12:00:00")).Trading {
		t.Errorf("a replacement: %+v, %v", c, err)
	}
	if !c.Day(at(t, "2026-03-03 12:00:00")).Trading {
		t.Error("the built-in table shines through its replacement")
	}
}

// However often the clock is looked at, the next change is where the phase
// changes, and not before.
func TestNextIsTheNextChange(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		from := at(t, "2025-01-01 00:00:00").Add(time.Duration(rapid.IntRange(0, 2*365*24*3600).Draw(rt, "second")) * time.Second)
		phase, next := BuiltIn().Phase(from)
		if !next.After(from) {
			rt.Fatalf("at %v the next change is %v", from, next)
		}
		between := from.Add(time.Duration(rapid.Int64Range(0, int64(next.Sub(from))-1).Draw(rt, "between")))
		if p, n := BuiltIn().Phase(between); p != phase || !n.Equal(next) {
			rt.Fatalf("%v until %v at %v, but %v until %v at %v", phase, next, from, p, n, between)
		}
		if p, _ := BuiltIn().Phase(next); p == phase {
			rt.Fatalf("no change at %v", next)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add(builtIn)
	f.Add("2026-01-26 open 09:15-10:00 X\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parse(strings.NewReader(text))
		if err != nil {
			return
		}
		for _, day := range c.days {
			if day.Trading != day.Open.Before(day.Close) {
				t.Fatalf("a session that cannot be: %+v", day)
			}
		}
	})
}
