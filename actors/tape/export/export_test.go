package export

import (
	"bufio"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kitestring/actors/tape"
	"kitestring/messages"
	"kitestring/messages/ist"
	"kitestring/messages/wire"
)

const day = "2026-11-26"

var morning = time.Date(2026, 11, 26, 9, 15, 0, 0, ist.Zone)

// The instruments of a recorded day: an index, a future with depth, an equity in
// quote, one in ltp, a currency with another divisor, and one that the day's
// instruments file does not name.
const (
	nifty   = 256265
	future  = 13411330
	equity  = 408065
	ltpOnly = 738561
	usdinr  = 278275<<8 | 3
	unnamed = 99999<<8 | 1
)

var instrumentsFile = fmt.Sprintf(`instrument_token,tradingsymbol,name,expiry,strike,instrument_type,segment,exchange
%d,NIFTY 50,NIFTY 50,,0,EQ,INDICES,NSE
%d,NIFTY26DECFUT,NIFTY,2026-12-29,0,FUT,NFO-FUT,NFO
%d,INFY,INFOSYS,,0,EQ,NSE,NSE
%d,"M&M,X",MAHINDRA,,0,EQ,NSE,NSE
%d,USDINR26DECFUT,USDINR,2026-12-29,0,FUT,CDS-FUT,CDS
`, nifty, future, equity, ltpOnly, usdinr)

// sent is one tick as it was recorded.
type sent struct {
	wire.Packet
	mode messages.Mode
	at   time.Time
	raw  []byte
}

// record makes the recording of a morning, and gives its ticks by instrument.
func record(t testing.TB, seconds int) (*tape.Directory, map[uint32][]sent) {
	t.Helper()
	dir := tape.Open(t.TempDir())
	w := dir.NewWriter(tape.WriterConfig{Boot: "test"})
	rng := rand.New(rand.NewPCG(1, 2))
	all := map[uint32][]sent{}
	modes := map[uint32]messages.Mode{nifty: messages.ModeFull, future: messages.ModeFull, equity: messages.ModeQuote, ltpOnly: messages.ModeLTP, usdinr: messages.ModeFull, unnamed: messages.ModeFull}
	for i := range seconds {
		at := morning.Add(time.Duration(i)*time.Second + 123456789)
		var packets [][]byte
		for _, token := range []uint32{unnamed, nifty, future, usdinr, equity, ltpOnly} {
			s := sent{mode: modes[token], at: at}
			p := &s.Packet
			p.InstrumentToken, p.LastPrice, p.Volume = token, int32(100_000+rng.IntN(1000)), uint32(1000+100*i)
			p.Open, p.High, p.Low, p.Close, p.AveragePrice = 99_000, 102_000, 98_000, 99_500, 100_100
			p.LastQuantity, p.BuyQuantity, p.SellQuantity, p.OI, p.OIDayHigh, p.OIDayLow = rng.Uint32N(100), 5, 6, uint32(7000+i), 9000, 1
			p.ExchangeTime, p.LastTradeTime = uint32(at.Unix()), uint32(at.Unix())
			for l := range 5 {
				p.Depth.Buy[l] = wire.DepthLevel{Quantity: uint32(10 + l), Price: int32(99_990 - l), Orders: uint16(1 + l)}
				p.Depth.Sell[l] = wire.DepthLevel{Quantity: uint32(20 + l), Price: int32(100_010 + l), Orders: uint16(2 + l)}
			}
			s.raw = wire.AppendPacket(nil, p, s.mode)
			packets = append(packets, s.raw)
			all[token] = append(all[token], s)
		}
		for _, data := range [][]byte{wire.AppendFrame(nil, packets...), wire.HeartbeatFrame(), {0, 9, 1}} {
			if err := w.Append(tape.Frame{At: at, Shard: 1, Socket: 4, Generation: 2, Data: data}); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := dir.WriteInstruments(day, []byte(instrumentsFile)); err != nil {
		t.Fatal(err)
	}
	return dir, all
}

func export(t testing.TB, cfg Config) Report {
	t.Helper()
	cfg.Day = day
	r, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func readCSV(t testing.TB, path string) [][]string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(bufio.NewReader(f)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func TestCSVHasAHeaderAndARowForEachTick(t *testing.T) {
	dir, _ := record(t, 20)
	out := t.TempDir()
	r := export(t, Config{Directory: dir, Format: CSV, Out: out})
	if r.Rows != 120 || r.Ticks != 120 || len(r.Files) != 1 || r.Unnamed != 1 || len(r.Damage) != 0 {
		t.Errorf("%+v", r)
	}
	rows := readCSV(t, filepath.Join(out, "ticks-2026-11-26.csv"))
	if len(rows) != 121 || strings.Join(rows[0], ",") != "date,exchange,received,ist_date,exchange_time,instrument_token,tradingsymbol,mode,last_price,last_quantity,volume,oi" {
		t.Fatalf("%d rows, %v", len(rows), rows[0])
	}
	byToken := func(token string) []string {
		at := slices.IndexFunc(rows, func(r []string) bool { return r[5] == token })
		return rows[at]
	}
	for _, want := range []string{
		"2026-11-26,NSE,2026-11-26T03:45:00.123456Z,2026-11-26,2026-11-26T03:45:00.000000Z,256265,NIFTY 50,full,",
		"2026-11-26,NSE,2026-11-26T03:45:00.123456Z,2026-11-26,,738561,M&M,X,ltp,",
		"2026-11-26,NSE,2026-11-26T03:45:00.123456Z,2026-11-26,2026-11-26T03:45:00.000000Z,25599745,,full,",
		"2026-11-26,NFO,2026-11-26T03:45:00.123456Z,2026-11-26,2026-11-26T03:45:00.000000Z,13411330,NIFTY26DECFUT,full,",
	} {
		token := strings.Split(want, ",")[5]
		if got := strings.Join(byToken(token), ","); !strings.HasPrefix(got, want) {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if ltp := byToken("738561"); ltp[9] != "" || ltp[10] != "" || ltp[11] != "" {
		t.Errorf("an ltp tick has a volume: %v", ltp)
	}
	if usd := byToken(fmt.Sprint(usdinr)); !strings.HasPrefix(usd[8], "0.010") {
		t.Errorf("the currency's price: %v", usd)
	}
	_, err := Run(t.Context(), Config{Directory: dir, Day: day, Format: CSV, Out: out})
	if !errors.Is(err, ErrExists) {
		t.Error(err)
	}
	export(t, Config{Directory: dir, Format: CSV, Full: true, Out: out, Replace: true})
	if rows := readCSV(t, filepath.Join(out, "ticks-2026-11-26.csv")); len(rows) != 121 || len(rows[0]) != 2+len(tickColumns) {
		t.Error(len(rows), rows[0])
	}
	noTemporaryFiles(t, out)
}

func noTemporaryFiles(t *testing.T, out string) {
	t.Helper()
	_ = filepath.WalkDir(out, func(path string, d os.DirEntry, err error) error {
		if name := filepath.Base(path); strings.HasPrefix(name, ".") || strings.HasSuffix(name, ".tmp") {
			t.Errorf("%s is left", path)
		}
		return err
	})
}

// A large day is split on the disk first; the rows are the same.
func TestALargeDayIsSplitByInstrument(t *testing.T) {
	dir, _ := record(t, 20)
	whole, split := t.TempDir(), t.TempDir()
	export(t, Config{Directory: dir, Format: CSV, Full: true, Out: whole})
	defer func(n int64) { bucketBytes = n }(bucketBytes)
	bucketBytes = 3000
	r := export(t, Config{Directory: dir, Format: CSV, Full: true, Out: split})
	a, b := readCSV(t, filepath.Join(whole, "ticks-2026-11-26.csv")), readCSV(t, filepath.Join(split, "ticks-2026-11-26.csv"))
	join := func(row []string) string { return strings.Join(row, ",") }
	var left, right []string
	for i := range a {
		left, right = append(left, join(a[i])), append(right, join(b[i]))
	}
	slices.Sort(left)
	slices.Sort(right)
	if !slices.Equal(left, right) || r.Rows != 120 {
		t.Error("other rows after a split")
	}
	noTemporaryFiles(t, split)
}

func TestBucketsAreEven(t *testing.T) {
	for _, n := range []int{2, 3, 7, 16, 64} {
		count := make([]int, n)
		for i := range 6000 {
			count[bucketOf(uint32(100_001+i)<<8|uint32(1+i%2), n)]++
		}
		if most := slices.Max(count); most > 6000/n*3/2 {
			t.Errorf("%d buckets: %v", n, count)
		}
	}
}

func TestADamagedDayGivesWhatIsReadable(t *testing.T) {
	dir, _ := record(t, 20)
	d, err := dir.Day(day)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(d.Segments[0].Path, d.Segments[0].Bytes-1); err != nil {
		t.Fatal(err)
	}
	r := export(t, Config{Directory: dir, Format: Parquet, Out: t.TempDir()})
	if r.Rows != 114 || len(r.Damage) != 1 {
		t.Errorf("%+v", r)
	}
}

func TestAnInterruptedExportLeavesNothing(t *testing.T) {
	dir, _ := record(t, 20)
	out := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	_, err := Run(ctx, Config{Directory: dir, Day: day, Format: Parquet, Out: out, Progress: func(int64, int64) { cancel() }})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	noTemporaryFiles(t, out)
	if _, err := Run(t.Context(), Config{Directory: dir, Day: "2026-11-25", Format: Parquet, Out: out}); !errors.Is(err, tape.ErrNoDay) {
		t.Error(err)
	}
}
