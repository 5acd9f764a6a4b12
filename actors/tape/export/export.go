// Package export makes Parquet and CSV of a recorded day.
//
// Promise: a row for each recorded tick; sorted by instrument and time of
// receipt; a file has its name only after it was written to the disk, read back
// and compared with what was recorded, value by value. Times are UTC, beside
// them stands the date in India. Symbols are those of the day's instruments
// file. Memory is some hundred megabytes whatever a day holds: a large one is
// first split by instrument, on the disk of the output.
//
// Limits: what the recording left out is not there: damaged parts of files (they
// are in the Report), frames that were dropped. A tick that came on two sockets
// in a swap has two rows; columns of "full" tell them apart.
package export

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"kitestring/actors/tape"
	"kitestring/messages"
	"kitestring/messages/ist"
	"kitestring/messages/wire"
)

// The formats.
const (
	Parquet = "parquet" // ticks, in folders date=…/exchange=…
	CSV     = "csv"     // ticks, one file
	Bars    = "bars"    // bars of a minute, as Parquet
)

// Config says what to export.
type Config struct {
	Directory *tape.Directory
	Day       string // 2026-11-27
	Format    string
	Full      bool   // every field and the depth; else price, quantity, volume, OI and times
	Out       string // made when it is missing
	Replace   bool   // files of an earlier export of the day and format

	Progress func(done, total int64) // may be nil
}

// Report says what was written.
type Report struct {
	Day     string        `json:"day"`
	Format  string        `json:"format"`
	Rows    int64         `json:"rows"`
	Ticks   int64         `json:"ticks"` // recorded
	Bytes   int64         `json:"bytes"` // of the files
	Files   []string      `json:"files"`
	Unnamed int           `json:"instruments_without_symbol"` // they are not in the day's instruments file
	Damage  []tape.Damage `json:"damage"`                     // what is not in the recording any more
}

// ErrExists is the answer when files of an earlier export are in the way.
var ErrExists = errors.New("there is an export of that day already")

// bucketBytes is how much of the ticks is in memory at once.
var bucketBytes = int64(256 << 20)

// tick is one row of ticks.
type tick struct {
	messages.Tick
	received   int64 // Unix nanoseconds
	shard      int
	socket     uint64
	generation messages.Generation
	packet     []byte     // with Config.Full only
	depth      wire.Depth // with Config.Full only, as hasDepth
	hasDepth   bool
	instrument *instrument
}

// instrument is what the rows of an instrument have in common.
type instrument struct {
	token    uint32
	symbol   string // "": not in the day's instruments file
	exchange string
	divisor  float64
}

type exporter struct {
	Config
	names    map[uint32]messages.Instrument
	blind    blind
	report   Report
	pending  []*pending
	csv      *csvFile
	done     int64
	total    int64
	buckets  int
	unnamed  map[uint32]bool
	ticksCol []column[tick]
}

// Run exports a day.
func Run(ctx context.Context, cfg Config) (report Report, err error) {
	x := &exporter{Config: cfg, unnamed: map[uint32]bool{}}
	x.report = Report{Day: cfg.Day, Format: cfg.Format, Files: []string{}, Damage: []tape.Damage{}}
	for _, c := range tickColumns {
		if cfg.Full || !c.full {
			x.ticksCol = append(x.ticksCol, c)
		}
	}
	day, err := cfg.Directory.Day(cfg.Day)
	if err != nil {
		return x.report, err
	}
	if x.names, err = cfg.Directory.Instruments(cfg.Day); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return x.report, err
	}
	old, err := x.earlier()
	if err != nil {
		return x.report, err
	}
	if len(old) > 0 && !cfg.Replace {
		return x.report, fmt.Errorf("%s: %w", old[0], ErrExists)
	}
	if err := os.MkdirAll(cfg.Out, 0o755); err != nil {
		return x.report, err
	}
	defer func() {
		for _, p := range x.pending {
			_ = os.Remove(p.temporary)
		}
	}()
	if err := x.all(ctx, day.Segments); err != nil {
		return x.report, err
	}
	if x.report.Rows != x.report.Ticks && cfg.Format != Bars {
		return x.report, fmt.Errorf("%d rows were made of %d recorded ticks", x.report.Rows, x.report.Ticks)
	}
	x.report.Unnamed = len(x.unnamed)
	return x.report, x.commit(old)
}

// earlier are the files of an export before.
func (x *exporter) earlier() ([]string, error) {
	if x.Format == CSV {
		return filepath.Glob(x.csvPath())
	}
	return filepath.Glob(filepath.Join(x.Out, "date="+x.Day, "exchange=*", x.name("*")))
}

func (x *exporter) csvPath() string { return filepath.Join(x.Out, "ticks-"+x.Day+".csv") }

func (x *exporter) name(part string) string {
	if x.Format == Bars {
		return "bars-" + part + ".parquet"
	}
	return "ticks-" + part + ".parquet"
}

// all exports segments, split by instrument where they are too large.
func (x *exporter) all(ctx context.Context, segments []tape.Segment) error {
	var ticks int64
	for _, s := range segments {
		index, err := s.Index()
		if err != nil {
			return err
		}
		ticks += index.Ticks
	}
	each := int64(150) // in memory, with what append keeps in reserve
	if x.Full {
		each = 550
	}
	x.buckets = int(ticks*each/bucketBytes) + 1
	x.total = 2 * ticks
	if x.buckets > 1 {
		x.total = 3 * ticks
	}
	if x.Format == CSV {
		var err error
		if x.csv, err = x.createCSV(); err != nil {
			return err
		}
	}
	if err := x.split(ctx, segments); err != nil {
		return err
	}
	if x.csv != nil {
		return x.csv.close(x)
	}
	return nil
}

// split exports the segments, bucket by bucket.
func (x *exporter) split(ctx context.Context, segments []tape.Segment) error {
	if x.buckets == 1 {
		c := newCollector(x)
		if err := x.read(ctx, segments, true, c.add); err != nil {
			return err
		}
		return x.write(ctx, 0, c)
	}
	temporary, err := os.MkdirTemp(x.Out, ".export-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temporary)
	s := newSplitter(temporary, x.buckets)
	err = errors.Join(x.read(ctx, segments, true, s.add), s.close())
	if err != nil {
		return err
	}
	for i, dir := range s.directories {
		days, err := dir.Days()
		if err != nil {
			return err
		}
		c := newCollector(x)
		for _, day := range days {
			if err := x.read(ctx, day.Segments, false, c.add); err != nil {
				return err
			}
		}
		if err := x.write(ctx, i, c); err != nil {
			return err
		}
		if err := os.RemoveAll(dir.Path()); err != nil {
			return err
		}
	}
	return nil
}

// read gives the records of segments to each. first is the time that the day
// itself is read, and not what it was split into.
func (x *exporter) read(ctx context.Context, segments []tape.Segment, first bool, each func(*tape.Record) (ticks int, err error)) error {
	counts, damage, err := tape.Read(segments, time.Time{}, time.Time{}, func(records []tape.Record) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		var n int
		for i := range records {
			r := &records[i]
			if first && x.Format == Bars {
				x.blind.record(r)
			}
			if r.Kind == "" {
				ticks, err := each(r)
				if err != nil {
					return err
				}
				n += ticks
			}
		}
		x.progress(int64(n))
		return nil
	})
	if first {
		x.report.Ticks = counts.Ticks
		x.report.Damage = append(x.report.Damage, damage...)
	} else if len(damage) > 0 {
		return fmt.Errorf("%s: %s", damage[0].Path, damage[0].Reason)
	}
	return err
}

func (x *exporter) progress(n int64) {
	if x.done += n; x.Progress != nil {
		x.Progress(x.done, x.total)
	}
}

// write makes files of what was collected.
func (x *exporter) write(ctx context.Context, bucket int, c *collector) error {
	tokens := slices.Sorted(maps.Keys(c.series))
	if x.Format == CSV {
		for _, token := range tokens {
			if err := c.rows(token, func(t *tick) error { return x.csv.row(t) }); err != nil {
				return err
			}
			x.progress(int64(c.series[token].len()))
		}
		return ctx.Err()
	}
	byExchange := map[string][]uint32{}
	for _, token := range tokens {
		byExchange[x.instrument(token).exchange] = append(byExchange[x.instrument(token).exchange], token)
	}
	for _, exchange := range slices.Sorted(maps.Keys(byExchange)) {
		path := filepath.Join(x.Out, "date="+x.Day, "exchange="+exchange, x.name(fmt.Sprint(bucket)))
		var err error
		if x.Format == Bars {
			err = writeParquet(x, path, "start", barColumns, byExchange[exchange], c, c.bars)
		} else {
			err = writeParquet(x, path, "received", x.ticksCol, byExchange[exchange], c, c.rows)
		}
		if err := cmp.Or(err, ctx.Err()); err != nil {
			return err
		}
	}
	return nil
}

// pending is a file that is whole, under another name.
type pending struct{ temporary, path string }

// create makes a file that gets its name with the others, at the end.
func (x *exporter) create(path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*.tmp")
	if err == nil {
		x.pending = append(x.pending, &pending{f.Name(), path})
	}
	return f, err
}

// commit gives the files their names, and removes those of an export before.
func (x *exporter) commit(old []string) error {
	for _, p := range x.pending {
		if err := os.Rename(p.temporary, p.path); err != nil {
			return err
		}
		info, err := os.Stat(p.path)
		if err != nil {
			return err
		}
		x.report.Files = append(x.report.Files, p.path)
		x.report.Bytes += info.Size()
	}
	for _, path := range old {
		if !slices.Contains(x.report.Files, path) {
			if err := os.Remove(path); err != nil {
				return err
			}
		}
	}
	return nil
}

// exchanges by segment, for instruments that are not in the instruments file.
var exchanges = map[messages.Segment]string{
	messages.NSE: "NSE", messages.NFO: "NFO", messages.CDS: "CDS", messages.BSE: "BSE", messages.BFO: "BFO",
	messages.BCD: "BCD", messages.MCX: "MCX", messages.MCXSX: "MCXSX", messages.NCO: "NCO",
}

func (x *exporter) instrument(token uint32) *instrument {
	i := &instrument{token: token, divisor: float64(messages.Divisor(token)), exchange: cmp.Or(exchanges[messages.SegmentOf(token)], "UNKNOWN")}
	if named, ok := x.names[token]; ok {
		i.symbol, i.exchange = named.Tradingsymbol, cmp.Or(named.Exchange, i.exchange)
	} else {
		x.unnamed[token] = true
	}
	return i
}

// blind are the times of which something is missing.
type blind struct {
	all  []span            // every instrument
	of   map[uint32][]span // one instrument
	last int64
}

type span struct{ from, to int64 } // Unix nanoseconds

// quiet is how long nothing comes on a socket that is open: Kite sends a
// heartbeat a second.
const quiet = 5 * time.Second

// record takes up what a record says of missing times.
func (b *blind) record(r *tape.Record) {
	at := r.At.UnixNano()
	if b.last == 0 {
		b.all = append(b.all, span{0, at}) // the recording began
	} else if at-b.last > int64(quiet) {
		b.all = append(b.all, span{b.last, at})
	}
	b.last = max(b.last, at)
	switch r.Kind {
	case tape.FramesDropped:
		var d tape.Dropped
		if json.Unmarshal(r.Data, &d) == nil {
			b.all = append(b.all, span{d.From.UnixNano(), d.To.UnixNano()})
		}
	case tape.GapFound:
		var g messages.GapDetected
		if json.Unmarshal(r.Data, &g) == nil {
			if b.of == nil {
				b.of = map[uint32][]span{}
			}
			for _, gap := range g.Gaps {
				b.of[gap.InstrumentToken] = append(b.of[gap.InstrumentToken], span{gap.From.UnixNano(), gap.To.UnixNano()})
			}
		}
	}
}

func (b *blind) within(token uint32, from, to int64) bool {
	meets := func(s span) bool { return s.from < to && s.to > from }
	return slices.ContainsFunc(b.all, meets) || slices.ContainsFunc(b.of[token], meets)
}

// istDate is the day number in India.
func istDate(ns int64) int64 {
	_, offset := time.Unix(0, ns).In(ist.Zone).Zone()
	return floorDiv(ns+int64(offset)*1e9, 86400e9)
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
