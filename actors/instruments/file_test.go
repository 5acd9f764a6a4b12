package instruments

import (
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"kitestring/actors/actorstest"
	"kitestring/actors/hours"
	"kitestring/messages"
	"kitestring/messages/ist"
)

// published reads a file of Kite's published mocks.
func published(t *testing.T, name string) []byte { return actorstest.ReadShared(t, "mocks", name) }

// The published file has no names on its options: as one underlying without a
// name they are all read, with every column right.
func TestPublishedFile(t *testing.T) {
	text := published(t, "instruments_all.csv")
	got, err := readFile(bytes.NewReader(text), []UnderlyingSpec{{DerivativesExchange: "NFO"}}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	for _, row := range rows[1:] {
		if row[11] != "NFO" {
			continue
		}
		compared++
		i := slices.IndexFunc(got.contracts[0].options, func(in messages.Instrument) bool { return in.Tradingsymbol == row[2] })
		if i < 0 {
			t.Errorf("%s was not read", row[2])
			continue
		}
		in := got.contracts[0].options[i]
		back := []string{
			strconv.Itoa(int(in.Token)), strconv.Itoa(int(in.Token >> 8)), in.Tradingsymbol, in.Name, row[4],
			in.Expiry.In(ist.Zone).Format("2006-01-02"), fmt.Sprintf("%.1f", in.Strike), fmt.Sprint(in.TickSize),
			strconv.Itoa(in.LotSize), in.Type, in.Segment, in.Exchange,
		}
		if !slices.Equal(back, row) {
			t.Errorf("read %v, the row is %v", back, row)
		}
	}
	if got.rows != len(rows)-1 || got.unreadable != 0 || len(got.contracts[0].options) != compared {
		t.Errorf("%d rows, %d unreadable, %d options", got.rows, got.unreadable, len(got.contracts[0].options))
	}
	t.Logf("%d rows read, %d options compared", got.rows, compared)
}

func TestColumnsInAnyOrder(t *testing.T) {
	text := "\ufeffexchange, segment, instrument_type, lot_size, tick_size, strike, expiry, name, tradingsymbol, instrument_token, something_new\n" +
		"NSE,INDICES,EQ,1,0.05,0.0,,NIFTY 50,NIFTY 50,256265,x\n" +
		"NFO,NFO-FUT,FUT,65,0.1,0.0,2026-03-30,NIFTY,NIFTY26MARFUT,15150594,x\n" +
		"NFO,NFO-OPT,CE,65,0.05,25000.0,2026-03-10,NIFTY,NIFTY2631025000CE,12345602,x\n"
	got, err := readFile(strings.NewReader(text), Defaults(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	c := got.contracts[0]
	wantFuture := messages.Instrument{
		Token: 15150594, Exchange: "NFO", Tradingsymbol: "NIFTY26MARFUT", Name: "NIFTY", Type: "FUT", Segment: "NFO-FUT",
		Expiry: at(t, "2026-03-30 00:00:00"), TickSize: 0.1, LotSize: 65,
	}
	if c.index.Token != 256265 || len(c.futures) != 1 || c.futures[0] != wantFuture || len(c.options) != 1 || c.options[0].Strike != 25000 {
		t.Errorf("read %+v", c)
	}
}

func TestBadFiles(t *testing.T) {
	good := march().String()
	half := zipped(good)
	half = half[:len(half)/2]
	for _, c := range []struct {
		name string
		file io.Reader
		want string
	}{
		{"empty", strings.NewReader(""), "empty"},
		{"HTML", strings.NewReader("<html><body>Too many requests</body></html>\n"), "lacks the columns"},
		{"a column gone", strings.NewReader(strings.Replace(good, "expiry", "expires", 1)), "lacks the columns expiry"},
		{"no underlying", strings.NewReader(head + "738561,2885,RELIANCE,RELIANCE,0,,0,0.05,1,EQ,NSE,NSE\n"), "none of the 1 rows"},
		{"torn gzip", unzip(t, half), "unexpected EOF"},
		{"torn connection", io.MultiReader(strings.NewReader(good[:len(good)/2]), failing{}), "connection torn"},
	} {
		if got, err := readFile(c.file, Defaults(), nil, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: read %+v, error %v, want %q", c.name, got, err, c.want)
		}
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("connection torn") }

func unzip(t testing.TB, b []byte) io.Reader {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func TestUnreadableRows(t *testing.T) {
	s := march()
	for _, row := range []string{
		"x,1,NIFTYBADTOKEN,NIFTY,0,2026-03-30,0,0.05,65,FUT,NFO-FUT,NFO",
		"0,0,NIFTYZERO,NIFTY,0,2026-03-30,0,0.05,65,FUT,NFO-FUT,NFO",
		"99999999999,1,NIFTYHUGE,NIFTY,0,2026-03-30,0,0.05,65,FUT,NFO-FUT,NFO",
		"9000002,1,NIFTYNOEXPIRY,NIFTY,0,,0,0.05,65,FUT,NFO-FUT,NFO",
		"9000002,1,NIFTYBADEXPIRY,NIFTY,0,30-03-2026,0,0.05,65,FUT,NFO-FUT,NFO",
		"9000002,1,NIFTYNOLOT,NIFTY,0,2026-03-30,0,0.05,,FUT,NFO-FUT,NFO",
		"9000002,1,NIFTYNOSTRIKE,NIFTY,0,2026-03-10,0,0.05,65,CE,NFO-OPT,NFO",
		"9000002,1,NIFTYNANSTRIKE,NIFTY,0,2026-03-10,NaN,0.05,65,CE,NFO-OPT,NFO",
		"9000002,1,NIFTYINFSTRIKE,NIFTY,0,2026-03-10,+Inf,0.05,65,PE,NFO-OPT,NFO",
		"9000002,1,,NIFTY,0,2026-03-10,25000,0.05,65,PE,NFO-OPT,NFO",
		"256265,1,NIFTYTAKEN,NIFTY,0,2026-03-10,25000,0.05,65,PE,NFO-OPT,NFO", // another's instrument token
		`9000258,1,"A, B and ""C""",OTHER,0,,0,0.05,1,EQ,NSE,NSE`,
		`9000514,1,LAZY"QUOTE,OTHER,0,,0,0.05,1,EQ,NSE,NSE`,
		"short,row",
		"9000002,1,NIFTYOTHERTYPE,NIFTY,0,2026-03-10,25000,0.05,65,XX,NFO-OPT,NFO",
	} {
		s.WriteString(row + "\n")
	}
	clean, got := march().read(t, Defaults()), s.read(t, Defaults())
	if got.rows != clean.rows+15 || got.unreadable != 10 || got.contested != 1 {
		t.Errorf("%d rows more, %d unreadable, %d contested", got.rows-clean.rows, got.unreadable, got.contested)
	}
	if fmt.Sprint(got.contracts) != fmt.Sprint(clean.contracts) {
		t.Error("an unreadable row changed the contracts")
	}
}

func TestRecycledInstrumentToken(t *testing.T) {
	known := map[uint32]string{738561: "NIFTY26FEBFUT", 256265: "NIFTY 50", 9: "GONE"}
	got, err := readFile(strings.NewReader(march().String()), Defaults(), known, nil)
	if err != nil {
		t.Fatal(err)
	}
	if want := []recycled{{738561, "NIFTY26FEBFUT", "RELIANCE"}}; !slices.Equal(got.recycled, want) {
		t.Errorf("recycled %v, want %v", got.recycled, want)
	}
}

// bigFile has n rows, of which as many belong to underlyings as on a real day.
func bigFile(t testing.TB, n int) string {
	s := newSample().indices()
	for i := range 18 {
		expiry := at(t, "2026-03-03 00:00:00").AddDate(0, 0, 7*i).Format("2006-01-02")
		s.chain("NFO", "NIFTY", expiry, 25000, 50, 45)
		s.chain("BFO", "SENSEX", expiry, 82000, 100, 45)
	}
	s.futures("NFO", "NIFTY", "2026-03-30", "2026-04-28", "2026-05-26")
	s.futures("NFO", "BANKNIFTY", "2026-03-30", "2026-04-28", "2026-05-26")
	s.futures("BFO", "SENSEX", "2026-03-26", "2026-04-30", "2026-05-28")
	for i := strings.Count(s.String(), "\n"); i <= n; i++ {
		s.row(uint32(1<<24+i), fmt.Sprintf("STOCK%d26MAR%dCE", i%200, i), fmt.Sprintf("STOCK%d", i%200), "2026-03-30", float64(i), 500, call, "NFO-OPT", "NFO")
	}
	return s.String()
}

// A quote without an end costs its row, or nothing where the row can be read
// without it; a row with another number of columns is counted and named.
func TestQuotesWithoutAnEnd(t *testing.T) {
	text := strings.Replace(march().String(), "\n", "\n"+
		`9000258,1,ABC,"ABC LTD,0,,0,0.05,1,EQ,NSE,NSE`+"\n"+
		`9000514,1,"X, Y,OTHER,0,,0,0.05,1,EQ,NSE,NSE`+"\n", 1)
	got, err := readFile(strings.NewReader(text), Defaults(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if clean := march().read(t, Defaults()); got.rows != clean.rows+2 || fmt.Sprint(got.contracts) != fmt.Sprint(clean.contracts) {
		t.Errorf("%d rows, want %d", got.rows, clean.rows+2)
	}
	if got.broken != 1 || got.firstBroken != "line 3 has 13 columns in place of 12" {
		t.Errorf("%d broken, the first: %s", got.broken, got.firstBroken)
	}
}

// The peak of the heap cannot exceed what is allocated in all.
func TestMemoryOfABigFile(t *testing.T) {
	text := bigFile(t, 100_000)
	file := zipped(text)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	got, err := readFile(unzip(t, file), Defaults(), nil, nil)
	runtime.ReadMemStats(&after)
	if err != nil || got.rows != 100_000 {
		t.Fatalf("%v, %+v", err, got.rows)
	}
	allocated := (after.TotalAlloc - before.TotalAlloc) >> 20
	t.Logf("%d rows, %d MB inflated, %d MB allocated in all, %d rows kept", got.rows, len(text)>>20, allocated,
		len(got.contracts[0].options)+len(got.contracts[2].options))
	if allocated > 40 {
		t.Errorf("%d MB allocated", allocated)
	}
}

func BenchmarkReadFile(b *testing.B) {
	const rows = 100_000
	file := zipped(bigFile(b, rows))
	known := map[uint32]string{256265: "NIFTY 50"}
	b.ReportAllocs()
	for b.Loop() {
		if got, err := readFile(unzip(b, file), Defaults(), known, nil); err != nil || got.rows != rows {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

func FuzzReadFile(f *testing.F) {
	f.Add(march().String()[:4000])
	f.Add(head + "256265,1001,NIFTY 50,NIFTY 50,0,,0,0.05,1,EQ,INDICES,NSE\n")
	f.Add(head + "1,1,N\",NIFTY,0,2026-03-30,0,0.05,65,FUT,NFO-FUT,NFO\n\"")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := readFile(strings.NewReader(text), Defaults(), map[uint32]string{1: "X"}, nil)
		if err != nil {
			return
		}
		now := at(t, "2026-03-02 10:00:00")
		specs := Defaults()
		for i := range specs {
			for _, in := range slices.Concat(got.contracts[i].futures, got.contracts[i].options) {
				if in.Token == 0 || in.Tradingsymbol == "" || in.Expiry.IsZero() {
					t.Fatalf("read %+v", in)
				}
			}
			checkChain(t, resolve(&specs[i], &got.contracts[i], now, hours.BuiltIn(), 25013, 0), now)
		}
	})
}
