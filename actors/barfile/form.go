package barfile

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"kitestring/messages/ist"
)

// fileRow is a bar of a file before it is judged.
type fileRow struct {
	line  int
	time  string
	cells [5]string // open, high, low, close, volume
}

var fileColumns = [...]string{"open", "high", "low", "close", "volume"}

// timeColumns are the names that a time has, the first of them first.
var timeColumns = [...]string{"time_ist", "date", "datetime", "timestamp", "time"}

func (l *Loaded) readCSV(in io.Reader) ([]fileRow, error) {
	r := csv.NewReader(in)
	r.FieldsPerRecord = -1
	r.TrimLeadingSpace = true
	r.ReuseRecord = true
	header, err := r.Read()
	if err != nil {
		return nil, csvError(err)
	}
	line, _ := r.FieldPos(0)
	var others []string
	at := map[string]int{}
	for i, h := range header {
		h = strings.ToLower(strings.TrimSpace(h))
		if _, repeated := at[h]; repeated {
			return nil, fmt.Errorf("line %d: the column %q stands there again", line, h)
		}
		at[h] = i
	}
	when := ""
	for _, name := range timeColumns {
		if _, ok := at[name]; ok && when == "" {
			when = name
		}
	}
	for _, want := range append([]string{when}, fileColumns[:4]...) {
		if _, ok := at[want]; !ok {
			if want == "" {
				want = timeColumns[0]
			}
			return nil, fmt.Errorf("line %d: the column %q is missing; needed are a time (%s), open, high, low, close, and volume where there is one",
				line, want, strings.Join(timeColumns[:], ", "))
		}
	}
	for _, h := range header {
		if h = strings.ToLower(strings.TrimSpace(h)); h != "" && h != when && !slices.Contains(fileColumns[:], h) {
			others = append(others, h)
		}
	}
	if len(others) > 0 {
		l.Report.Notes = append(l.Report.Notes, "columns ignored: "+strings.Join(others, ", "))
	}
	var rows []fileRow
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			return rows, nil
		}
		if err != nil {
			return nil, csvError(err)
		}
		line, _ := r.FieldPos(0)
		cell := func(name string) string {
			if i, ok := at[name]; ok && i < len(record) {
				return strings.Clone(strings.TrimSpace(record[i]))
			}
			return ""
		}
		row := fileRow{line: line, time: cell(when)}
		for i, name := range fileColumns {
			row.cells[i] = cell(name)
		}
		rows = append(rows, row)
	}
}

func csvError(err error) error {
	var parse *csv.ParseError
	if errors.As(err, &parse) {
		return fmt.Errorf("line %d: not CSV: %w", parse.Line, parse.Err)
	}
	return fmt.Errorf("read: %w", err)
}

func (l *Loaded) readJSON(in io.Reader) ([]fileRow, error) {
	text, err := io.ReadAll(in)
	if err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	counted, lines := 0, 1
	line := func() int {
		// The decoder stands behind the value before; the next one starts behind
		// commas and blanks.
		at := int(d.InputOffset())
		for at < len(text) && strings.IndexByte(" \t\r\n,", text[at]) >= 0 {
			at++
		}
		lines += bytes.Count(text[counted:at], []byte("\n"))
		counted = at
		return lines
	}
	refuse := func(reason string, err error) error {
		if err != nil {
			reason += ": " + err.Error()
		}
		return fmt.Errorf("line %d: %s", line(), reason)
	}
	first, err := d.Token()
	if err != nil {
		return nil, refuse("not JSON", err)
	}
	// Into the object that has the candles: the file's own, or Kite's "data".
	for inside := first == json.Delim('{'); inside; {
		if !d.More() {
			return nil, refuse("the object has no list named candles", nil)
		}
		key, err := d.Token()
		if err != nil {
			return nil, refuse("not JSON", err)
		}
		switch key {
		case "data":
			if open, err := d.Token(); err != nil || open != json.Delim('{') && open != json.Delim('[') {
				return nil, refuse("data is neither an object nor a list", err)
			} else if open == json.Delim('[') {
				inside = false
			}
		case "candles":
			if open, err := d.Token(); err != nil || open != json.Delim('[') {
				return nil, refuse("candles is not a list", err)
			}
			inside = false
		case "symbol":
			if err := d.Decode(&l.Symbol); err != nil {
				return nil, refuse("symbol is not a text", err)
			}
		default:
			var skip json.RawMessage
			if err := d.Decode(&skip); err != nil {
				return nil, refuse("not JSON", err)
			}
		}
	}
	var rows []fileRow
	for d.More() {
		row := fileRow{line: line()}
		var candle json.RawMessage
		if err := d.Decode(&candle); err != nil {
			return nil, refuse("not JSON", err)
		}
		if err := row.read(candle); err != nil {
			return nil, refuse("a candle is neither an object nor a list", err)
		}
		rows = append(rows, row)
	}
	if _, err := d.Token(); err != nil {
		return nil, refuse("the list does not end", err)
	}
	return rows, nil
}

// read takes a candle: an object with names, or [time, open, high, low, close,
// volume, ...] as Kite sends it.
func (r *fileRow) read(candle json.RawMessage) error {
	fields := map[string]json.RawMessage{}
	if candle[0] == '[' {
		var cells []json.RawMessage
		if err := json.Unmarshal(candle, &cells); err != nil {
			return err
		}
		for i, name := range append([]string{timeColumns[0]}, fileColumns[:]...) {
			if i < len(cells) {
				fields[name] = cells[i]
			}
		}
	} else if err := json.Unmarshal(candle, &fields); err != nil {
		return err
	}
	for _, name := range timeColumns {
		if v, ok := fields[name]; ok && r.time == "" {
			_ = json.Unmarshal(v, &r.time) // what is no text is no time, and reported as one
		}
	}
	for i, name := range fileColumns {
		r.cells[i] = string(fields[name])
	}
	return nil
}

// fileTime reads a time; spelling tells the layouts apart.
func fileTime(s string) (at time.Time, spelling string, ok bool) {
	for _, layout := range [...]string{
		"2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02 15:04", "2006-01-02T15:04",
		"2006-01-02 15:04:05Z07:00", "2006-01-02T15:04:05Z07:00", "2006-01-02 15:04:05Z0700", "2006-01-02T15:04:05Z0700",
	} {
		if at, err := time.ParseInLocation(layout, s, ist.Zone); err == nil {
			return at, layout, true
		}
	}
	return time.Time{}, "", false
}

// parseCells reads the numbers; it gives the index of the first that is none,
// -1 for all good.
func parseCells(cells [5]string, v *[5]float64) int {
	for i, s := range cells {
		if i == 4 && (s == "" || s == "null") {
			continue // an index has no volume
		}
		x, err := strconv.ParseFloat(s, 64)
		if err != nil {
			return i
		}
		v[i] = x
	}
	return -1
}

func shown(cell string) string {
	if cell == "" {
		return "missing"
	}
	return strconv.Quote(cell[:min(len(cell), 40)])
}
