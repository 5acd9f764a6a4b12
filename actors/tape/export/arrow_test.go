package export

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"kitestring/actors/tape"
	"kitestring/messages"
)

// readArrow reads a Parquet file with Apache Arrow's implementation: the one
// that wrote it is another.
func readArrow(t *testing.T, path string) arrow.Table {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	table, err := pqarrow.ReadTable(t.Context(), f, nil, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(table.Release)
	return table
}

// columnOf is a column of a table, as one list; nil: null.
func columnOf(t *testing.T, table arrow.Table, name string) (values []any) {
	t.Helper()
	at := table.Schema().FieldIndices(name)
	if len(at) != 1 {
		t.Fatalf("no column %s in %v", name, table.Schema())
	}
	for _, chunk := range table.Column(at[0]).Data().Chunks() {
		for i := range chunk.Len() {
			switch c := chunk.(type) {
			case *array.Timestamp:
				values = append(values, c.Value(i).ToTime(arrow.Microsecond))
			case *array.Date32:
				values = append(values, c.Value(i).ToTime().Format(time.DateOnly))
			case *array.Int64:
				values = append(values, c.Value(i))
			case *array.Float64:
				values = append(values, c.Value(i))
			case *array.Boolean:
				values = append(values, c.Value(i))
			case *array.String:
				values = append(values, c.Value(i))
			default:
				t.Fatalf("%s is %T", name, chunk)
			}
			if chunk.IsNull(i) {
				values[len(values)-1] = nil
			}
		}
	}
	return values
}

func partitions(t *testing.T, out, prefix string) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(out, "date="+day, "exchange=*", prefix+"-0.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, path := range files {
		all[strings.TrimPrefix(filepath.Base(filepath.Dir(path)), "exchange=")] = path
	}
	return all
}

func TestParquetReadsTheSameInAnotherImplementation(t *testing.T) {
	dir, recorded := record(t, 90)
	out := t.TempDir()
	r := export(t, Config{Directory: dir, Format: Parquet, Full: true, Out: out})
	if r.Rows != 6*90 {
		t.Errorf("%+v", r)
	}
	files := partitions(t, out, "ticks")
	if len(files) != 3 || files["NSE"] == "" || files["NFO"] == "" || files["CDS"] == "" {
		t.Fatalf("%v", files)
	}
	noTemporaryFiles(t, out)

	types := map[string]string{
		"received": "timestamp[us, tz=UTC]", "exchange_time": "timestamp[us, tz=UTC]", "last_trade_time": "timestamp[us, tz=UTC]", "ist_date": "date32",
		"instrument_token": "int64", "tradingsymbol": "utf8", "mode": "utf8", "last_price": "float64", "last_quantity": "int64", "volume": "int64", "oi": "int64",
		"bid_price_1": "float64", "ask_quantity_5": "int64", "bid_orders_3": "int64", "generation": "int64",
	}
	seen := map[uint32]int{}
	for exchange, path := range files {
		table := readArrow(t, path)
		for name, want := range types {
			field, _ := table.Schema().FieldsByName(name)
			if got := field[0].Type.String(); got != want {
				t.Errorf("%s %s is %s, not %s", exchange, name, got, want)
			}
		}
		if first := table.Schema().Field(0).Name; first != "received" {
			t.Errorf("the first column is %s", first)
		}
		column := map[string][]any{}
		for _, f := range table.Schema().Fields() {
			column[f.Name] = columnOf(t, table, f.Name)
		}
		var before uint32
		for i := range int(table.NumRows()) {
			token := uint32(column["instrument_token"][i].(int64))
			want := recorded[token][seen[token]] // in the order of time
			seen[token]++
			if token < before {
				t.Fatalf("%s row %d: instrument %d after %d", exchange, i, token, before)
			}
			before = token
			got := func(name string) any { return column[name][i] }
			divisor := float64(messages.Divisor(token))
			check := func(name string, has bool, v any) {
				t.Helper()
				if !has {
					v = nil
				}
				if got(name) != v {
					t.Errorf("%s %d %s: %v, want %v", exchange, token, name, got(name), v)
				}
			}
			full, quote := want.mode == messages.ModeFull, want.mode != messages.ModeLTP
			index := token == nifty
			check("received", true, want.at.UTC().Truncate(time.Microsecond))
			check("ist_date", true, day)
			check("exchange_time", full, want.at.UTC().Truncate(time.Second))
			check("last_price", true, float64(want.LastPrice)/divisor)
			check("mode", true, want.mode.String())
			check("volume", quote && !index, int64(want.Volume))
			check("last_quantity", quote && !index, int64(want.LastQuantity))
			check("oi", full && !index, int64(want.OI))
			check("oi_day_high", full && !index, int64(want.OIDayHigh))
			check("open", quote, float64(want.Open)/divisor)
			check("bid_price_2", full && !index, float64(want.Depth.Buy[1].Price)/divisor)
			check("ask_orders_5", full && !index, int64(want.Depth.Sell[4].Orders))
			check("generation", true, int64(2))
			if token == unnamed {
				check("tradingsymbol", false, nil)
			}
			if token == future {
				check("tradingsymbol", true, "NIFTY26DECFUT")
			}
		}
	}
	for token, list := range recorded {
		if seen[token] != len(list) {
			t.Errorf("%d: %d rows of %d ticks", token, seen[token], len(list))
		}
	}
	reader, err := file.OpenParquetFile(files["NSE"], false)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	var order []string
	for _, c := range reader.MetaData().RowGroup(0).SortingColumns() {
		order = append(order, fmt.Sprint(reader.MetaData().Schema.Column(int(c.ColumnIdx)).Name(), " ", c.Descending))
	}
	if !slices.Equal(order, []string{"instrument_token false", "received false"}) {
		t.Errorf("the order is declared as %v", order)
	}
}

func TestBarsMarkWhatMayBeMissing(t *testing.T) {
	dir, recorded := record(t, 300)
	w := dir.NewWriter(tape.WriterConfig{Boot: "test"})
	gap := messages.GapDetected{Gaps: []messages.Gap{{InstrumentToken: future, From: morning.Add(130 * time.Second), To: morning.Add(140 * time.Second)}}}
	add := func(kind tape.Kind, v any) {
		t.Helper()
		e, err := tape.NewEvent(morning.Add(300*time.Second), kind, v)
		if err := errors.Join(err, w.AppendEvent(e)); err != nil {
			t.Fatal(err)
		}
	}
	add(tape.GapFound, gap)
	add(tape.FramesDropped, tape.Dropped{Frames: 3, From: morning.Add(245 * time.Second), To: morning.Add(246 * time.Second), Reason: "x"})
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	r := export(t, Config{Directory: dir, Format: Bars, Out: out})
	if r.Rows != 5*6 || r.Ticks != 1800 {
		t.Errorf("%+v", r)
	}
	table := readArrow(t, partitions(t, out, "bars")["NFO"])
	start, volume, gaps := columnOf(t, table, "start"), columnOf(t, table, "volume"), columnOf(t, table, "gap")
	opens, highs, closes, ticks := columnOf(t, table, "open"), columnOf(t, table, "high"), columnOf(t, table, "close"), columnOf(t, table, "ticks")
	if !slices.Equal(gaps, []any{true, false, true, false, true}) { // the first: the recording began in it
		t.Errorf("gaps %v", gaps)
	}
	list := recorded[future]
	for minute := range 5 {
		part := list[60*minute : 60*minute+60]
		high := math.Inf(-1)
		for _, s := range part {
			high = max(high, float64(s.LastPrice)/100)
		}
		want := []any{morning.Add(time.Duration(minute) * time.Minute).UTC(), float64(part[0].LastPrice) / 100, high, float64(part[59].LastPrice) / 100, int64(60)}
		got := []any{start[minute], opens[minute], highs[minute], closes[minute], ticks[minute]}
		if !slices.Equal(got, want) {
			t.Errorf("minute %d: %v, want %v", minute, got, want)
		}
	}
	if !slices.Equal(volume, []any{int64(5900), int64(6000), int64(6000), int64(6000), int64(6000)}) {
		t.Errorf("volumes %v", volume)
	}
	index := readArrow(t, partitions(t, out, "bars")["NSE"])
	if v := columnOf(t, index, "volume"); v[0] != nil && v[len(v)-1] != nil {
		t.Errorf("an index has a volume: %v", v)
	}
}
