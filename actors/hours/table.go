package hours

import (
	"bufio"
	_ "embed"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"kitestring/messages/ist"
)

//go:embed sessions.txt
var builtIn string

// Table is the dated table of sessions. It never changes.
type Table struct {
	regular map[Segment][]rule // oldest first
	special map[dated]special
	years   map[int]bool // that the table has a special day in
}

// rule is the hours of Monday to Friday since a date.
type rule struct {
	since   time.Time // midnight IST
	spans   []span
	auction int // minute at which the closing auction begins; 0: none
}

// span is a session in minutes since midnight.
type span struct{ from, to int }

type dated struct {
	date    time.Time // midnight IST
	segment Segment
}

// special is a day that differs from its weekday.
type special struct {
	open    bool
	regular bool // the hours are those of a regular day
	spans   []span
	name    string
}

var segments = map[string]Segment{
	"NSE": NSE, "NFO": NFO, "CDS": CDS, "BSE": BSE, "BFO": BFO, "BCD": BCD, "MCX": MCX, "INDICES": Indices, "NCO": NCO,
}

// unnamed are the segments of a special day that names none: the commodity
// exchanges keep days of their own.
var unnamed = append(slices.Clone(equity), CDS, BCD)

// BuiltIn is the table that comes with the program.
var BuiltIn = sync.OnceValue(func() *Table {
	t, err := parse(strings.NewReader(builtIn), nil)
	if err != nil {
		panic("hours: the built-in table: " + err.Error()) // a test reads it
	}
	return t
})

// Load reads a file that replaces the built-in table, in the format that
// sessions.txt describes. Special days are those of the file alone; the regular
// hours of a segment are the built-in ones until the first date from which the
// file gives others. An error names the line.
func Load(path string) (*Table, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open holiday file: %w", err)
	}
	defer func() { _ = f.Close() }()
	t, err := parse(f, BuiltIn().regular)
	if err != nil {
		return nil, fmt.Errorf("read holiday file: %w", err)
	}
	return t, nil
}

// mostTable bounds a table in bytes: a hundred years have 80 KB.
const mostTable = 1 << 20

// parse reads a table; regular are the hours until it gives others.
func parse(r io.Reader, regular map[Segment][]rule) (*Table, error) {
	t := &Table{regular: map[Segment][]rule{}, special: map[dated]special{}, years: map[int]bool{}}
	lines := bufio.NewScanner(io.LimitReader(r, mostTable))
	for n := 1; lines.Scan(); n++ {
		line, _, _ := strings.Cut(lines.Text(), "#")
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		var err error
		if words[0] == "from" {
			err = t.addRegular(words[1:])
		} else {
			err = t.addSpecial(words)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(t.special) == 0 && len(t.regular) == 0 {
		return nil, fmt.Errorf("it holds no day")
	}
	for segment, rules := range regular {
		own := t.regular[segment]
		if len(own) > 0 {
			rules = slices.DeleteFunc(slices.Clone(rules), func(r rule) bool { return !r.since.Before(own[0].since) })
		}
		t.regular[segment] = slices.Concat(rules, own)
	}
	return t, nil
}

// addRegular reads "DATE SEGMENTS SPAN... [auction TIME]" of a line that begins with "from".
func (t *Table) addRegular(words []string) error {
	if len(words) < 3 {
		return fmt.Errorf("want a line like \"from 2026-08-03 NFO,BFO 09:15-15:40\"")
	}
	since, err := parseDate(words[0])
	if err != nil {
		return err
	}
	names, err := parseSegments(words[1])
	if err != nil {
		return err
	}
	spans, rest, err := parseSpans(words[2:])
	if err != nil {
		return err
	}
	auction := 0
	if len(rest) == 2 && rest[0] == "auction" {
		at, err := time.Parse("15:04", rest[1])
		if err != nil || len(spans) == 0 {
			return fmt.Errorf("%q is not a time like 15:15", rest[1])
		}
		auction, rest = at.Hour()*60+at.Minute(), nil
	}
	if len(rest) > 0 || len(spans) == 0 {
		return fmt.Errorf("%q is not a span like 09:15-15:40", append(rest, words[2])[0])
	}
	for _, s := range names {
		rules := t.regular[s]
		if n := len(rules); n > 0 && !rules[n-1].since.Before(since) {
			return fmt.Errorf("the hours of a segment stand oldest first: %s is not after %s", words[0], rules[n-1].since.Format(time.DateOnly))
		}
		t.regular[s] = append(rules, rule{since, spans, auction})
	}
	return nil
}

// addSpecial reads "DATE [SEGMENTS] closed|open [SPAN...] NAME".
func (t *Table) addSpecial(words []string) error {
	date, err := parseDate(words[0])
	if err != nil {
		return err
	}
	named, rest := unnamed, words[1:]
	isVerb := func(i int) bool { return len(rest) > i && (rest[i] == "closed" || rest[i] == "open") }
	if !isVerb(0) && isVerb(1) {
		if named, err = parseSegments(rest[0]); err != nil {
			return err
		}
		rest = rest[1:]
	}
	if len(rest) == 0 {
		return fmt.Errorf("want \"closed\" or \"open\" after the date")
	}
	day := special{open: rest[0] == "open"}
	switch rest[0] {
	case "closed":
		rest = rest[1:]
	case "open":
		if day.spans, rest, err = parseSpans(rest[1:]); err != nil {
			return err
		}
		day.regular = len(day.spans) == 0
	default:
		return fmt.Errorf("%q is neither \"closed\" nor \"open\"", rest[0])
	}
	day.name = strings.Join(rest, " ")
	for _, s := range named {
		if err := t.add(dated{date, s}, day); err != nil {
			return fmt.Errorf("%s: %w", words[0], err)
		}
	}
	t.years[date.Year()] = true
	return nil
}

// add notes a special day, or one more session of it.
func (t *Table) add(at dated, day special) error {
	before, found := t.special[at]
	if !found {
		t.special[at] = day
		return nil
	}
	if len(before.spans) == 0 || len(day.spans) == 0 {
		return fmt.Errorf("this day has a line already; only further sessions with their hours may follow it")
	}
	spans, err := inOrder(slices.Concat(before.spans, day.spans))
	if err != nil {
		return err
	}
	before.spans = spans
	if day.name != "" && day.name != before.name {
		before.name = strings.TrimPrefix(before.name+", "+day.name, ", ")
	}
	t.special[at] = before
	return nil
}

func parseDate(word string) (time.Time, error) {
	date, err := time.ParseInLocation(time.DateOnly, word, ist.Zone)
	if err != nil {
		return date, fmt.Errorf("%q is not a date like 2026-01-26", word)
	}
	return date, nil
}

func parseSegments(word string) ([]Segment, error) {
	var list []Segment
	for name := range strings.SplitSeq(word, ",") {
		s, known := segments[name]
		if !known {
			return nil, fmt.Errorf("%q is not an exchange segment; these are: NSE NFO CDS BSE BFO BCD MCX NCO INDICES", name)
		}
		list = append(list, s)
	}
	return list, nil
}

// parseSpans reads the spans that words begin with, and gives what follows.
func parseSpans(words []string) ([]span, []string, error) {
	var spans []span
	for len(words) > 0 && words[0][0] >= '0' && words[0][0] <= '9' && strings.ContainsRune(words[0], ':') {
		from, to, _ := strings.Cut(words[0], "-")
		a, errFrom := time.Parse("15:04", from)
		b, errTo := time.Parse("15:04", to)
		if errFrom != nil || errTo != nil || !a.Before(b) {
			return nil, nil, fmt.Errorf("%q is not a span like 13:45-14:45", words[0])
		}
		spans = append(spans, span{a.Hour()*60 + a.Minute(), b.Hour()*60 + b.Minute()})
		words = words[1:]
	}
	spans, err := inOrder(spans)
	return spans, words, err
}

func inOrder(spans []span) ([]span, error) {
	slices.SortFunc(spans, func(a, b span) int { return a.from - b.from })
	for i := 1; i < len(spans); i++ {
		if spans[i].from <= spans[i-1].to {
			return nil, fmt.Errorf("two sessions of a day overlap or touch")
		}
	}
	return spans, nil
}

// dayOf is the day of one segment; date is midnight IST.
func (t *Table) dayOf(date time.Time, segment Segment) Day {
	if _, known := t.regular[segment]; !known {
		segment = NSE // a segment that the table does not know
	}
	sp, found := t.special[dated{date, segment}]
	switch weekday := date.Weekday(); {
	case found && !sp.regular:
		return Day{Spans: on(date, sp.spans), Name: sp.name}
	case !found && (weekday == time.Saturday || weekday == time.Sunday):
		return Day{Name: "weekend"}
	}
	day := t.regularOn(date, segment)
	day.Name = sp.name
	return day
}

func (t *Table) regularOn(date time.Time, segment Segment) Day {
	rules := t.regular[segment]
	i := len(rules) - 1
	for i > 0 && rules[i].since.After(date) {
		i--
	}
	// The oldest rule speaks for the time before it as well.
	day := Day{Spans: on(date, rules[i].spans)}
	if a := rules[i].auction; a != 0 {
		day.Auction = date.Add(time.Duration(a) * time.Minute)
	}
	return day
}

// Regular is t's day as a trading day of regular hours, whatever the table
// says of it.
func (t *Table) Regular(at time.Time, segment Segment) Day {
	date := ist.Day(at)
	if segment != Market {
		return t.regularOn(date, segment)
	}
	var spans []Span
	for _, s := range equity {
		spans = append(spans, t.regularOn(date, s).Spans...)
	}
	return Day{Spans: union(spans)}
}

func on(date time.Time, spans []span) []Span {
	list := make([]Span, len(spans))
	for i, s := range spans {
		list[i] = Span{date.Add(time.Duration(s.from) * time.Minute), date.Add(time.Duration(s.to) * time.Minute)}
	}
	return list
}

// Covers reports whether the table speaks of t's year: without an entry in a
// whole year, its holidays are missing.
func (t *Table) Covers(at time.Time) bool { return t.years[at.In(ist.Zone).Year()] }
