package simulator

import (
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

	"kitestring/messages/ist"
)

// loadBars reads <underlying>_5m.csv of a folder, in-session rows only.
func loadBars(dir string) (*playback, error) {
	slots := map[int64]*slot{}
	found := 0
	var cal calendar // the days are those of the file
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
		err = readBars(file, func(start time.Time, b bar) {
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
		return nil, fmt.Errorf("%s: no row between 09:15 and 15:30", dir)
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
func readBars(r io.Reader, take func(start time.Time, b bar)) error {
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
		if s := (calendar{}).session(start); !start.Before(s.open) && !start.Add(barLength).After(s.close()) {
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
