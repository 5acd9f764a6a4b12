package market

import (
	"bufio"
	_ "embed"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"kitestring/messages"
	"kitestring/messages/ist"
)

//go:embed holidays.txt
var builtIn string

// Calendar knows the trading days. It is immutable.
type Calendar struct {
	days  map[time.Time]Day // by midnight IST; only the days that differ
	years map[int]bool      // that the table speaks of
}

// Day is one day of the exchange, in IST.
type Day struct {
	Trading     bool
	Open, Close time.Time // of the session; zero when there is none
	Name        string    // of the holiday or special session; "": a day like any other
}

// BuiltIn is the calendar that comes with the program.
var BuiltIn = sync.OnceValue(func() *Calendar {
	c, err := parse(strings.NewReader(builtIn))
	if err != nil {
		panic("market: the built-in table: " + err.Error()) // a test reads it
	}
	return c
})

// Load reads a replacement of the built-in table, in the same format. An
// error names the line.
func Load(path string) (*Calendar, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open holiday file: %w", err)
	}
	defer func() { _ = f.Close() }()
	c, err := parse(f)
	if err != nil {
		return nil, fmt.Errorf("read holiday file: %w", err)
	}
	return c, nil
}

// mostTable bounds a table in bytes: a hundred years have 80 KB.
const mostTable = 1 << 20

func parse(r io.Reader) (*Calendar, error) {
	c := &Calendar{days: map[time.Time]Day{}, years: map[int]bool{}}
	lines := bufio.NewScanner(io.LimitReader(r, mostTable))
	for n := 1; lines.Scan(); n++ {
		line, _, _ := strings.Cut(lines.Text(), "#")
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		date, day, err := parseDay(words)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if _, twice := c.days[date]; twice {
			return nil, fmt.Errorf("line %d: %s is there twice", n, words[0])
		}
		c.days[date] = day
		c.years[date.Year()] = true
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(c.days) == 0 {
		return nil, fmt.Errorf("it holds no day")
	}
	return c, nil
}

func parseDay(words []string) (time.Time, Day, error) {
	date, err := time.ParseInLocation(time.DateOnly, words[0], ist.Zone)
	if err != nil {
		return date, Day{}, fmt.Errorf("%q is not a date like 2026-01-26", words[0])
	}
	if len(words) < 2 {
		return date, Day{}, fmt.Errorf("want \"closed\" or \"open\" after the date")
	}
	switch words[1] {
	case "closed":
		return date, Day{Name: strings.Join(words[2:], " ")}, nil
	case "open":
		day, rest := regular(date), words[2:]
		if len(rest) > 0 && strings.ContainsRune(rest[0], ':') {
			from, to, _ := strings.Cut(rest[0], "-")
			day.Open, err = clockOn(date, from)
			if err == nil {
				day.Close, err = clockOn(date, to)
			}
			if err != nil || !day.Open.Before(day.Close) {
				return date, Day{}, fmt.Errorf("%q is not a span like 13:45-14:45", rest[0])
			}
			rest = rest[1:]
		}
		day.Name = strings.Join(rest, " ")
		return date, day, nil
	default:
		return date, Day{}, fmt.Errorf("%q is neither \"closed\" nor \"open\"", words[1])
	}
}

func clockOn(date time.Time, text string) (time.Time, error) {
	t, err := time.Parse("15:04", text)
	return ist.At(date, t.Hour(), t.Minute(), 0), err
}

// regular is a trading day of 09:15-15:30.
func regular(t time.Time) Day {
	return Day{Trading: true, Open: ist.At(t, 9, 15, 0), Close: ist.At(t, 15, 30, 0)}
}

// Day is the day that t falls on in IST.
func (c *Calendar) Day(t time.Time) Day {
	date := ist.Day(t)
	if day, ok := c.days[date]; ok {
		return day
	}
	if w := date.Weekday(); w == time.Saturday || w == time.Sunday {
		return Day{Name: "weekend"}
	}
	return regular(date)
}

// Covers reports whether the table speaks of t's year: without an entry in a
// whole year, its holidays are missing.
func (c *Calendar) Covers(t time.Time) bool { return c.years[t.In(ist.Zone).Year()] }

// Phase is the phase at t and the instant of the next change; zero when the
// table has no trading day within two months.
func (c *Calendar) Phase(t time.Time) (messages.Phase, time.Time) {
	phase, next := c.Day(t).phase(t)
	for date := ist.Day(t); next.IsZero() && date.Before(t.AddDate(0, 2, 0)); {
		date = ist.Day(date.Add(36 * time.Hour)) // midnight of the day after, without thinking of zones
		if day := c.Day(date); day.Trading {
			next = day.preOpen()
		}
	}
	return phase, next
}

// preOpen is when the orders of the opening auction begin to be taken.
func (d Day) preOpen() time.Time { return d.Open.Add(-15 * time.Minute) }

// phase is the phase at t, and the next change on the same day, zero for none.
func (d Day) phase(t time.Time) (messages.Phase, time.Time) {
	if !d.Trading {
		return messages.Closed, time.Time{}
	}
	for _, step := range [...]struct {
		until time.Time
		phase messages.Phase
	}{
		{d.preOpen(), messages.Closed},
		{d.Open.Add(-7 * time.Minute), messages.PreOpen},
		{d.Open, messages.Matching},
		{d.Close, messages.Open},
		{d.Close.Add(30 * time.Minute), messages.Closing},
	} {
		if t.Before(step.until) {
			return step.phase, step.until
		}
	}
	return messages.Closed, time.Time{}
}
